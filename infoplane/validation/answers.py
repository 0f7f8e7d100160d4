"""Known answers: layers so simple that their information can be written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from infoplane.data import FloatArray
from infoplane.validation.geometries import GEOMETRIES
from infoplane.validation.known_mi import MI_TASKS, Draw
from infoplane.validation.problems import Case, Problem, Resolution
from infoplane.validation.traps import TRAPS, labelled_layer
from infoplane.validation.truths import (
    channel_information,
    drawn_labels,
    entropy_of,
    rectified_label_information,
    state_truths,
)


def discrete_channel(n: int, rng: np.random.Generator) -> Problem:
    """Draw labels and a layer of four states that names the wrong one in a quarter of the cases."""
    joint = np.full((4, 4), 1 / 48) + (3 / 16 - 1 / 48) * np.eye(4)
    return _states_of_table(joint, n, rng)


def uneven_channel(n: int, rng: np.random.Generator) -> Problem:
    """Draw labels of uneven frequency and a layer of three states of uneven frequency."""
    joint = np.array([[0.50, 0.02, 0.0], [0.06, 0.26, 0.0], [0.02, 0.02, 0.12]])
    return _states_of_table(joint, n, rng)


def _states_of_table(joint: FloatArray, n: int, rng: np.random.Generator) -> Problem:
    cells = drawn_labels(joint.ravel(), n, rng)
    labels, states = np.divmod(cells, joint.shape[1])
    return Problem(
        np.column_stack([cells + rng.uniform(-0.3, 0.3, n), rng.standard_normal(n)]),
        np.eye(joint.shape[1])[states],
        labels,
        truths=state_truths(np.eye(joint.shape[1]), joint),
    )


def function_of_input(n: int, rng: np.random.Generator) -> Problem:
    """Draw inputs from 40 patterns, each seen often, and a layer of eight states of the pattern."""
    patterns = rng.standard_normal((40, 3))
    which = drawn_labels(np.full(40, 1 / 40), n, rng)
    states = which % 8
    joint = np.kron(np.eye(2), np.full((1, 4), 1 / 8))
    return Problem(
        patterns[which],
        np.eye(8)[states],
        (states >= 4).astype(np.int64),
        truths={**state_truths(np.eye(8), joint), "ht": 3.0},
    )


def independent_of_label(n: int, rng: np.random.Generator, units: int = 2) -> Problem:
    """Draw a normal layer that knows nothing of the label."""
    return Problem(
        rng.standard_normal((n, 3)),
        rng.standard_normal((n, units)),
        drawn_labels(np.full(4, 0.25), n, rng),
        truths=dict.fromkeys(("ity", "dsmi_y", "ity[renyi]", "csx", "csy"), 0.0),
    )


def permuted_labels(n: int, rng: np.random.Generator) -> Problem:
    """Draw well separated classes and shuffle their labels."""
    made = separated_clusters(n, rng)
    assert made.labels is not None
    truths = dict.fromkeys(("ity", "dsmi_y", "ity[renyi]", "csy"), 0.0)
    return Problem(made.inputs, made.activations, rng.permutation(made.labels), truths=truths)


def constant_layer(n: int, rng: np.random.Generator) -> Problem:
    """Draw labels and a layer that does not vary."""
    names = ("ixt", "ity", "ht", "ixt_given_y", "dse", "dsmi_x", "dsmi_y")
    measures = ("ixt[renyi]", "ity[renyi]", "csx", "csy")
    return Problem(
        rng.standard_normal((n, 3)),
        np.full((n, 3), 0.5),
        drawn_labels(np.full(4, 0.25), n, rng),
        truths=dict.fromkeys((*names, *measures), 0.0),
    )


def separated_clusters(n: int, rng: np.random.Generator, k: int = 8, scale: float = 1.0) -> Problem:
    """Draw k equal classes, each one point of the layer; all points are equally far apart."""
    shares = np.full(k, 1 / k)
    labels = drawn_labels(shares, n, rng)
    return Problem(
        10 * rng.standard_normal((k, 3))[labels] + rng.standard_normal((n, 3)),
        scale * np.eye(k)[labels],
        labels,
        truths={
            **state_truths(scale * np.eye(k), np.eye(k) / k),
            "ht": math.log2(k),
            "size": math.log2(scale * math.sqrt(2.0)),
            "dse": partial(_clusters_dse, k=k, scale=scale),
            "ity[renyi]": partial(_clusters_renyi, k=k, scale=scale),
            "csy": partial(_clusters_cauchy_schwarz, k=k, scale=scale),
        },
    )


def _clusters_dse(at: Resolution, k: int, scale: float) -> float:
    """Return DSE of k equal clusters at mutual distance sqrt(2) scale and this bandwidth.

    The diffusion matrix has the eigenvalue 1, and k - 1 times (1 - a) / (1 + (k - 1) a) for the
    affinity a of two clusters. Far apart, that is log2(k).
    """
    affinity = math.exp(-(scale**2) / float(at.diagnostics["sigma"]) ** 2)
    second = (1 - affinity) / (1 + (k - 1) * affinity)
    times = at.parameters.get("t", (1.0,))
    weights = np.array([1.0, *[second ** float(times[0])] * (k - 1)])
    return entropy_of(weights / weights.sum())


def _clusters_renyi(at: Resolution, k: int, scale: float) -> float | None:
    """Return the excess of the matrix-based Renyi information of k equal clusters and their labels.

    Labels have one Gram matrix of blocks, and so has the product: I = H(T) + log2(k) - log2(k).
    The layer's matrix has the eigenvalues (1 + (k - 1) a) / k, and k - 1 times (1 - a) / k.
    """
    width, null = at.diagnostics.get("width"), at.diagnostics.get("null")
    if width is None or null is None:
        return None
    units = scale * math.sqrt((k - 1) / k**2)  # standard deviation of a unit, which is divided out
    apart = scale / units if at.parameters["width"] == "silverman" else scale
    affinity = math.exp(-((apart / float(width)) ** 2))
    alpha = float(at.parameters["alpha"])
    values = np.array([(1 + (k - 1) * affinity) / k, *[(1 - affinity) / k] * (k - 1)])
    return float(np.log2((values**alpha).sum()) / (1 - alpha)) - float(null)


def _clusters_cauchy_schwarz(at: Resolution, k: int, scale: float) -> float | None:
    """Return the excess of the Cauchy-Schwarz information of k equal clusters and their labels.

    All means but that of the layer's kernel, (1 + (k - 1) a) / k, are those of labels.
    """
    width, null = at.diagnostics.get("width"), at.diagnostics.get("null")
    if width is None or null is None:
        return None
    affinity = math.exp(-((scale / float(width)) ** 2))
    return math.log2(k / (1 + (k - 1) * affinity)) - float(null)


def normal_layer(n: int, rng: np.random.Generator, units: int, scale: float = 1.0) -> Problem:
    """Draw a normal layer whose units have standard deviations from 1 down to 0.2."""
    spread = scale * np.linspace(1.0, 0.2, units)
    turn = np.linalg.qr(rng.standard_normal((units, units)))[0]
    layer = rng.standard_normal((n, units)) * spread @ turn

    def with_noise(at: Resolution) -> float | None:
        return channel_information(np.diag(spread**2), at.noise) if at.noise else None

    return Problem(rng.standard_normal((n, 3)), layer, truths={"ixt": with_noise})


def rectified_layer(n: int, rng: np.random.Generator) -> Problem:
    """Draw one unit behind a ReLU, half of it zeros, whose class means differ."""
    means = np.array([-1.0, 0.0, 1.5])
    labels = drawn_labels(np.full(3, 1 / 3), n, rng)
    layer = np.maximum(means[labels] + rng.standard_normal(n), 0.0)[:, None]
    truths = {"ity": lambda at: rectified_label_information(means, at.noise)}
    return Problem(rng.standard_normal((n, 3)), layer.astype(np.float32), labels, truths=truths)


def known_pair(n: int, rng: np.random.Generator, draw: Draw, *, declared: bool) -> Problem:
    """Draw a pair of known information; the layer declares its noise, if it has one."""
    pair = draw(n, rng)
    noise = pair.noise if declared else None
    if pair.labels is not None:
        inputs = rng.standard_normal((n, 3))
        return Problem(inputs, pair.y, pair.labels, truths={"ity": _only_without_noise(pair.bits)})
    return Problem(pair.x, pair.y, noise=noise, truths={"ixt": pair.bits})


def _only_without_noise(bits: float) -> Callable[[Resolution], float | None]:
    return lambda at: None if at.noise else bits


def copied_input(n: int, rng: np.random.Generator) -> Problem:
    """Draw a layer that is the input itself: without noise it holds infinitely many bits."""
    x = rng.standard_normal((n, 2))
    return Problem(x, x.copy(), truths={"ixt": lambda at: None if at.noise else math.inf})


_DECLARED = ("1v1-normal-0.75", "rep-independent-25-25", "rep-channel-10-64")
_QUICK_TASKS = (
    "1v1-normal-0.75",
    "1v1-additive-0.1",
    "asinh-student-identity-1-1-1",
    "swissroll_x-normal_cdf-1v1-normal-0.75",
    "multinormal-sparse-5-5-2-2.0",
    "rep-independent-25-25",
    "rep-label-K10-d64",
    "rep-channel-10-64",
)

ANSWERS: tuple[Case, ...] = (
    Case("discrete channel", discrete_channel),
    Case("uneven channel", uneven_channel),
    Case("function of X", function_of_input),
    Case("independent of Y", independent_of_label),
    Case("independent of Y, 64 units", partial(independent_of_label, units=64)),
    Case("permuted labels", permuted_labels),
    Case("constant layer", constant_layer),
    Case("8 separated clusters", separated_clusters),
    Case("8 clusters x1000", partial(separated_clusters, scale=1000.0)),
    Case("normal layer, 1 unit", partial(normal_layer, units=1)),
    Case("normal layer, 5 units", partial(normal_layer, units=5)),
    Case("normal layer, 64 units", partial(normal_layer, units=64)),
    Case("normal layer x1000", partial(normal_layer, units=5, scale=1000.0)),
    Case("3 classes, 2 units", partial(labelled_layer, classes=3, units=2, distance=1.5)),
    Case("5 classes, 20 units", partial(labelled_layer, classes=5, units=20, distance=2.5)),
    Case(
        "3 classes x1000",
        partial(labelled_layer, classes=3, units=2, distance=1.5, scale=1000.0),
    ),
    Case("3 classes behind ReLU", rectified_layer),
    *TRAPS,
    *GEOMETRIES,
    Case("T = X", copied_input, pairs=True),
    *(
        Case(
            name,
            partial(known_pair, draw=draw, declared=name in _DECLARED),
            pairs=name not in (*_DECLARED, "rep-label-K10-d64"),
            quick=name in _QUICK_TASKS,
        )
        for name, draw in MI_TASKS.items()
    ),
)
"""All cases with a known answer."""

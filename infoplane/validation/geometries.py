"""Layers of known geometry: their spectrum, their dimension, and how their classes lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from infoplane.data import FloatArray
from infoplane.validation.known_mi import structure
from infoplane.validation.problems import Case, Problem
from infoplane.validation.truths import drawn_labels, entropy_of


def spectral_truths(variances: FloatArray, mean: FloatArray | None = None) -> Mapping[str, float]:
    """Return the spectral measures of a layer of many samples.

    Parameters
    ----------
    variances : array (n_units,)
        Eigenvalues of its covariance.
    mean : array (n_units,), optional
        Of the layer, along the same directions; 0 unless given.
    """
    shares = variances / variances.sum()
    moments = np.diag(variances)
    if mean is not None:
        moments = moments + np.outer(mean, mean)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0.0))
    return {
        "effective_rank": 2.0 ** entropy_of(shares),
        "vne_centred": entropy_of(shares),
        "participation_ratio": 1.0 / float(shares @ shares),
        "stable_rank": 1.0 / float(shares.max()),
        "rankme": 2.0 ** entropy_of(roots / roots.sum()),
    }


def class_truths(
    means: FloatArray, variances: FloatArray, shares: FloatArray
) -> Mapping[str, float]:
    """Return the class geometry of a layer of many samples, whose classes are normal.

    Parameters
    ----------
    means : array (n_classes, n_units)
        Class means, along the principal directions within the classes.
    variances : array (n_units,)
        Variances within the classes along those directions.
    shares : array (n_classes,)
        Of the classes.
    """
    if len(means) < 2:
        return {}
    about = means - shares @ means
    middle = means - means.mean(axis=0)
    within = float(variances.sum())
    between = float(shares @ np.square(about).sum(axis=1))
    if not np.square(middle).sum() > 0:
        return {}
    return {
        "nc1_quotient": within / float(np.square(middle).sum(axis=1).mean()),
        "class_separation": between / (between + within),
    }


def power_law_layer(n: int, rng: np.random.Generator, units: int, alpha: float) -> Problem:
    """Draw a normal layer with variances rank^(-alpha), in no unit alone."""
    variances = np.arange(1.0, units + 1) ** -alpha
    turn = np.linalg.qr(structure(units).standard_normal((units, units)))[0]
    layer = rng.standard_normal((n, units)) * np.sqrt(variances) @ turn
    truths = {**spectral_truths(variances), "alpha_req": alpha}
    if alpha == 0:
        truths["vne"] = math.log2(units)
    return Problem(rng.standard_normal((n, 3)), layer, truths=truths)


def few_directions(n: int, rng: np.random.Generator, rank: int, units: int) -> Problem:
    """Draw a layer that is equally spread over a few of its directions, far from 0."""
    frame = np.linalg.qr(structure(units).standard_normal((units, rank)))[0]
    layer = rng.standard_normal((n, rank)) @ frame.T
    truths = {k: v for k, v in spectral_truths(np.ones(rank)).items() if k != "rankme"}
    return Problem(rng.standard_normal((n, 3)), layer + 100.0, truths=truths)


def ball(n: int, rng: np.random.Generator, dimension: int, units: int) -> Problem:
    """Draw a layer that fills a ball of fewer dimensions than units, evenly."""
    frame = np.linalg.qr(structure(units).standard_normal((units, dimension)))[0]
    points = rng.standard_normal((n, dimension))
    points *= (rng.random(n) ** (1.0 / dimension) / np.linalg.norm(points, axis=1))[:, None]
    return _of_dimension(points @ frame.T, dimension, rng)


def sphere(n: int, rng: np.random.Generator, dimension: int) -> Problem:
    """Draw a layer on the surface of a ball."""
    points = rng.standard_normal((n, dimension + 1))
    return _of_dimension(points / np.linalg.norm(points, axis=1)[:, None], dimension, rng)


def _of_dimension(layer: FloatArray, dimension: int, rng: np.random.Generator) -> Problem:
    names = ("intrinsic_dimension", "intrinsic_dimension_mle")
    truths = dict.fromkeys(names, float(dimension))
    return Problem(rng.standard_normal((len(layer), 3)), layer, truths=truths)


def simplex_classes(
    n: int, rng: np.random.Generator, classes: int, units: int, spread: float
) -> Problem:
    """Draw classes around the corners of a simplex, at distance 1 from its middle.

    The scatter of n / K samples adds spread^2 d K / n to the squared length of their means.
    """
    corners = np.eye(classes) - 1.0 / classes
    corners /= np.linalg.norm(corners[0])
    frame = np.linalg.qr(structure(units).standard_normal((units, units)))[0][:classes]
    labels = drawn_labels(np.full(classes, 1 / classes), n, rng)
    layer = (corners @ frame)[labels] + spread * rng.standard_normal((n, units))
    within = spread**2 * units
    truths = {
        "nc1": spread**2 * (classes - 1) ** 2 / classes,
        "nc1_quotient": within,
        "cdnv": within * (classes - 1) / (2.0 * classes),
        "nc2_equinorm": 0.0,
        "nc2_equiangle": 0.0,
        "nc2_etf": 0.0,
        "class_separation": 1.0 / (1.0 + within),
        "label_alignment": _alignment(classes, units, spread),
    }
    return Problem(rng.standard_normal((n, 3)), layer, labels, truths=truths)


def _alignment(classes: int, units: int, spread: float) -> float:
    """Return <Cov of T with Y, itself> / (|Cov T| |Cov Y|) of classes at a simplex."""
    between = np.append(np.full(classes - 1, 1.0 / (classes - 1)), 0.0)
    variances = np.full(units, spread**2)
    variances[: len(between)] += between
    shared = (classes - 1) * (1.0 / (classes - 1)) / classes
    return shared / float(np.linalg.norm(variances) * math.sqrt(classes - 1) / classes)


def collapsed_classes(n: int, rng: np.random.Generator, classes: int) -> Problem:
    """Draw classes of one point each, all at right angles."""
    labels = drawn_labels(np.full(classes, 1 / classes), n, rng)
    zero = ("nc1", "nc1_quotient", "cdnv", "nc2_equinorm", "nc2_equiangle", "nc2_etf")
    truths = {
        **dict.fromkeys(zero, 0.0),
        **dict.fromkeys(("label_alignment", "class_separation", "probe", "knn"), 1.0),
        "centroid_nuclear_norm": float(classes),
    }
    return Problem(rng.standard_normal((n, 3)), np.eye(classes)[labels], labels, truths=truths)


def unrelated_classes(n: int, rng: np.random.Generator, units: int) -> Problem:
    """Draw a normal layer that knows nothing of its four classes, and units of one another."""
    labels = drawn_labels(np.full(4, 0.25), n, rng)
    truths = {
        "label_alignment": 0.0,
        "class_separation": 0.0,
        "rdm_stability": 0.0,
        "probe": 0.25,
        "knn": 0.25,
    }
    return Problem(
        rng.standard_normal((n, 3)), rng.standard_normal((n, units)), labels, truths=truths
    )


def normal_target(n: int, rng: np.random.Generator, units: int, correlation: float) -> Problem:
    """Draw a normal layer, and a target that is a noisy sum of its units."""
    layer = rng.standard_normal((n, units))
    own = layer.sum(axis=1) / math.sqrt(units)
    targets = correlation * own + math.sqrt(1 - correlation**2) * rng.standard_normal(n)
    truths = {
        "probe_r2": correlation**2,
        "ity_normal": -0.5 * math.log2(1 - correlation**2),
    }
    return Problem(rng.standard_normal((n, 3)), layer, truths=truths, targets=targets)


GEOMETRIES: tuple[Case, ...] = (
    Case("20 equal directions", partial(power_law_layer, units=20, alpha=0.0)),
    Case("200 equal directions", partial(power_law_layer, units=200, alpha=0.0)),
    Case("variances 1 / rank", partial(power_law_layer, units=128, alpha=1.0)),
    Case("variances 1 / rank^2", partial(power_law_layer, units=128, alpha=2.0)),
    Case("variances 1 / rank, 512 units", partial(power_law_layer, units=512, alpha=1.0)),
    Case("5 of 40 directions", partial(few_directions, rank=5, units=40)),
    Case("1 of 40 directions", partial(few_directions, rank=1, units=40)),
    *(
        Case(f"ball of {d} dimensions", partial(ball, dimension=d, units=30))
        for d in (1, 2, 3, 5, 10, 20)
    ),
    Case("sphere of 2 dimensions", partial(sphere, dimension=2)),
    Case("sphere of 4 dimensions", partial(sphere, dimension=4)),
    *(
        Case(f"simplex of {k} classes, spread {s}", partial(
            simplex_classes, classes=k, units=d, spread=s))
        for k, d, s in ((3, 10, 0.1), (5, 20, 0.3), (10, 50, 0.2), (10, 50, 1.0))
    ),
    Case("6 collapsed classes", partial(collapsed_classes, classes=6)),
    Case("classes of no structure", partial(unrelated_classes, units=10)),
    Case("normal target", partial(normal_target, units=10, correlation=0.8)),
    Case("weak normal target", partial(normal_target, units=10, correlation=0.2)),
)  # fmt: skip
"""Cases whose geometry can be written down."""

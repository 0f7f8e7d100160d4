"""Layers that estimators tend to get wrong: wide ones, copies, tails, and labels that hide."""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np
from scipy.stats import norm, t

from infoplane.data import FloatArray
from infoplane.validation.known_mi import structure
from infoplane.validation.problems import Case, Problem, Resolution
from infoplane.validation.truths import (
    channel_information,
    drawn_labels,
    mixture_truths,
    scalar_channel_information,
    spread_channel_information,
    state_truths,
)

_QUANTILES = 4000  # that stand for a distribution


def labelled_layer(
    n: int, rng: np.random.Generator, classes: int, units: int, distance: float, scale: float = 1.0
) -> Problem:
    """Draw classes that are normal around their means, at ``distance`` from 0."""
    means = structure(classes, units).standard_normal((classes, units))
    means *= distance / np.linalg.norm(means, axis=1, keepdims=True)
    shares = np.full(classes, 1 / classes)
    labels = drawn_labels(shares, n, rng)
    layer = scale * (means[labels] + rng.standard_normal((n, units)))
    truths = mixture_truths(means, np.ones(units), shares, scale=scale)
    return Problem(rng.standard_normal((n, 3)), layer, labels, truths=truths)


def decaying_layer(n: int, rng: np.random.Generator, units: int) -> Problem:
    """Draw a normal layer with variances 1, 1/2, 1/3, ... along its principal directions."""
    variances = 1.0 / np.arange(1, units + 1)
    layer = _turned(rng.standard_normal((n, units)) * np.sqrt(variances))

    def with_noise(at: Resolution) -> float | None:
        return channel_information(np.diag(variances), at.noise) if at.noise else None

    return Problem(rng.standard_normal((n, 3)), layer, truths={"ixt": with_noise})


def repeated_layer(n: int, rng: np.random.Generator, copies: int = 4) -> Problem:
    """Draw a normal layer of four units in which every sample was recorded several times."""
    rows = np.arange(n) // copies
    inputs, layer = rng.standard_normal((n, 3)), rng.standard_normal((n, 4))

    def with_noise(at: Resolution) -> float | None:
        return channel_information(np.eye(4), at.noise) if at.noise else None

    return Problem(inputs[rows], layer[rows], truths={"ixt": with_noise})


def saturated_layer(n: int, rng: np.random.Generator, units: int = 6, gain: float = 8.0) -> Problem:
    """Draw independent tanh units that are mostly at their ends."""
    quantiles = np.tanh(gain * norm.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES))

    @lru_cache
    def of_unit(noise: float) -> float:
        return spread_channel_information(quantiles, noise)

    layer = np.tanh(gain * rng.standard_normal((n, units)))
    truths = {"ixt": lambda at: units * of_unit(at.noise) if at.noise else None}
    return Problem(rng.standard_normal((n, 3)), layer, truths=truths)


def heavy_tails(n: int, rng: np.random.Generator, units: int = 3, freedom: float = 2.0) -> Problem:
    """Draw independent units whose variance is infinite."""

    @lru_cache
    def of_unit(noise: float) -> float:
        return scalar_channel_information(t(freedom).pdf, noise, 1e5)

    layer = rng.standard_t(freedom, size=(n, units))
    truths = {"ixt": lambda at: units * of_unit(at.noise) if at.noise else None}
    return Problem(rng.standard_normal((n, 3)), layer, truths=truths)


def exclusive_or(n: int, rng: np.random.Generator, units: int = 10) -> Problem:
    """Draw labels that are the XOR of two of the units, which are 1 or -1."""
    corners = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    which = drawn_labels(np.full(4, 0.25), n, rng)
    spread = 0.1
    layer = rng.standard_normal((n, units))
    layer[:, :2] = corners[which] + spread * layer[:, :2]
    of_states = state_truths(corners, np.kron(np.eye(2), np.full((1, 2), 0.25)))["ity"]
    assert callable(of_states)

    def of_labels(at: Resolution) -> float | None:
        return of_states(Resolution(at.parameters, math.hypot(spread, at.noise), at.diagnostics))

    means = np.zeros((4, units))
    means[:, :2] = corners
    variances = np.array([spread**2] * 2 + [1.0] * (units - 2))
    of_inputs = mixture_truths(means, variances, np.full(4, 0.25))["ixt"]
    return Problem(
        rng.standard_normal((n, 3)),
        layer,
        which // 2,
        truths={"ixt": of_inputs, "ity": of_labels},
    )


def one_unit_of_many(
    n: int, rng: np.random.Generator, units: int = 500, other: float = 1.0
) -> Problem:
    """Draw two classes that differ in the first unit alone, beside units of another size."""
    means = np.zeros((2, units))
    means[:, 0] = [-1.5, 1.5]
    variances = np.full(units, other**2)
    variances[0] = 1.0
    return _two_classes(n, rng, means, variances)


def dominated_layer(n: int, rng: np.random.Generator, units: int = 20) -> Problem:
    """Draw two classes that differ in all units but one, which is 1,000 times as large."""
    means = np.zeros((2, units))
    means[:, 1:] = np.array([[-0.5], [0.5]])
    variances = np.ones(units)
    variances[0] = 1e6
    return _two_classes(n, rng, means, variances)


def _two_classes(
    n: int, rng: np.random.Generator, means: FloatArray, variances: FloatArray
) -> Problem:
    labels = drawn_labels(np.full(2, 0.5), n, rng)
    layer = means[labels] + np.sqrt(variances) * rng.standard_normal((n, len(variances)))
    truths = mixture_truths(means, variances, np.full(2, 0.5))
    return Problem(rng.standard_normal((n, 3)), layer, labels, truths=truths)


def _turned(layer: FloatArray) -> FloatArray:
    """Return a layer mirrored so that its variances are in no unit alone."""
    axis = structure(layer.shape[1]).standard_normal((layer.shape[1],))
    axis /= np.linalg.norm(axis)
    return np.asarray(layer - 2.0 * np.outer(layer @ axis, axis))


TRAPS: tuple[Case, ...] = (
    Case("decaying layer, 256 units", partial(decaying_layer, units=256)),
    Case("decaying layer, 1024 units", partial(decaying_layer, units=1024), quick=False),
    Case("every sample four times", repeated_layer),
    Case("saturated tanh", saturated_layer),
    Case("heavy tails", heavy_tails),
    Case("heavy tails, 100 units", partial(heavy_tails, units=100), quick=False),
    Case("10 clusters, 30 units", partial(labelled_layer, classes=10, units=30, distance=20.0)),
    Case("2 clusters far apart", partial(labelled_layer, classes=2, units=5, distance=60.0)),
    Case("100 classes", partial(labelled_layer, classes=100, units=20, distance=5.0)),
    Case("XOR of two of ten units", exclusive_or),
    Case("one unit of 500 tells", one_unit_of_many),
    Case("one unit of 500 is huge", partial(dominated_layer, units=500), quick=False),
    Case("one unit of 20 is huge", dominated_layer),
)
"""Cases that catch an estimator which is right on simple ones."""

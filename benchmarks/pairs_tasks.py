"""Pairs of known information that put the pair functions to the test, by name.

They are drawn afresh, unlike the tasks by which thresholds were found; those of ``MI_TASKS`` are
among them. ``PAIRS`` are two continuous samples, ``LABELLED`` a sample and class ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.special import ndtr

from infoplane.data import FloatArray, IntArray
from infoplane.validation.known_mi import (
    MI_TASKS,
    Draw,
    Pair,
    concentric_normals,
    dense_normal,
    half_cube,
    independent_normals,
    labelled,
    low_rank,
    mapped,
    noisy_layer,
    normal_pair,
    rectified,
    rotated_pairs,
    sparse_normal,
    spiral,
    student_pair,
    swiss_roll,
    uniform_plus_uniform,
)
from infoplane.validation.truths import LOG2_E, rectified_label_information

_NATS_OF_NOISE = 0.5 * math.log(2 * math.pi * math.e)


def density_information(density: Callable[[float], float], low: float, high: float) -> float:
    """Return I(S; S + E) of standard normal noise E from the density of the sum."""

    def integrand(v: float) -> float:
        p = density(v)
        return -p * math.log(p) if p > 0 else 0.0

    return (quad(integrand, low, high, limit=400)[0] - _NATS_OF_NOISE) * LOG2_E


def _normal_density(v: float) -> float:
    return math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)


def states_information(places: FloatArray) -> float:
    """Return I(S; S + E) of equally likely places (n,) on a line."""

    def density(v: float) -> float:
        return float(np.mean([_normal_density(v - place) for place in places]))

    return density_information(density, float(places.min()) - 9, float(places.max()) + 9)


def parity(n: int, rng: np.random.Generator, dim: int, height: float) -> Pair:
    """Draw normal X, and Y of the sign of the product of two components, plus noise."""
    x = rng.standard_normal((n, dim))
    y = height * np.sign(x[:, :1] * x[:, 1:2]) + rng.standard_normal((n, 1))
    return Pair(x, y, states_information(np.array([-height, height])))


def clusters(n: int, rng: np.random.Generator, k: int, dim: int) -> Pair:
    """Draw both sides near one of k far points: they share the cluster."""
    which = rng.integers(0, k, n)
    places = 20 * np.random.default_rng(k).permutation(k)
    x = rng.standard_normal((n, dim))
    y = rng.standard_normal((n, dim))
    x[:, 0] += 20 * which
    y[:, 0] += places[which]
    return Pair(x, y, math.log2(k))


def one_informative(n: int, rng: np.random.Generator, dim: int, correlation: float) -> Pair:
    """Draw normal X of which one component is correlated with the number Y."""
    pair = normal_pair(n, rng, correlation)
    return Pair(np.hstack([rng.standard_normal((n, dim - 1)), pair.x]), pair.y, pair.bits)


def small_unit(n: int, rng: np.random.Generator, size: float) -> Pair:
    """Draw X of a component that tells of Y, and three others that are larger."""
    pair = normal_pair(n, rng, 0.9)
    return Pair(np.hstack([rng.standard_normal((n, 3)), size * pair.x]), pair.y, pair.bits)


def doubled(draw: Draw) -> Draw:
    """Return a sample every row of which occurs twice."""

    def make(n: int, rng: np.random.Generator) -> Pair:
        pair = draw(n // 2, rng)
        return Pair(np.repeat(pair.x, 2, axis=0), np.repeat(pair.y, 2, axis=0), pair.bits)

    return make


def some_doubled(n: int, rng: np.random.Generator) -> Pair:
    """Draw a normal pair a tenth of whose rows repeat others."""
    pair = normal_pair(n, rng)
    x, y = pair.x.copy(), pair.y.copy()
    x[: n // 10], y[: n // 10] = x[-(n // 10) :], y[-(n // 10) :]
    return Pair(x, y, pair.bits)


def shells(n: int, rng: np.random.Generator, dim: int) -> Pair:
    """Draw X in one of three thin shells, Y the number of the shell plus noise."""
    which = rng.integers(0, 3, n)
    way = rng.standard_normal((n, dim))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    x = way * (1.0 + which + 0.1 * rng.standard_normal(n))[:, None]
    y = 4.0 * which[:, None] + rng.standard_normal((n, 1))
    # Shells ten standard deviations apart: X gives the shell away.
    return Pair(x, y, states_information(np.array([0.0, 4.0, 8.0])))


def wave(n: int, rng: np.random.Generator, periods: float, noise: float) -> Pair:
    """Draw X uniform on [0, 1] and Y a sine of it plus normal noise."""
    x = rng.uniform(size=(n, 1))
    y = np.sin(2 * math.pi * periods * x) + noise * rng.standard_normal((n, 1))
    phases = np.sin(math.pi * (np.arange(400) + 0.5) / 400 - math.pi / 2) / noise
    return Pair(x, y, states_information(phases))


def outlier(n: int, rng: np.random.Generator) -> Pair:
    """Draw a normal pair with one enormous row."""
    pair = normal_pair(n, rng)
    x = pair.x.copy()
    x[0] = 1e6
    return Pair(x, pair.y, pair.bits)


def copied(n: int, rng: np.random.Generator) -> Pair:
    """Draw Y = X: infinitely many bits."""
    x = rng.standard_normal((n, 2))
    return Pair(x, x.copy(), math.inf)


def heteroscedastic(n: int, rng: np.random.Generator) -> Pair:
    """Draw Y normal whose spread is one of two, by the side of X: no correlation."""
    x = rng.standard_normal((n, 1))
    spread = np.where(x > 0, 5.0, 0.5)

    def density(v: float) -> float:
        return 0.5 * (_normal_density(v / 5) / 5 + _normal_density(2 * v) * 2)

    def integrand(v: float) -> float:
        p = density(v)
        return -p * math.log(p) if p > 0 else 0.0

    whole = 2 * quad(integrand, 0, 45, limit=400)[0]
    inside = _NATS_OF_NOISE + 0.5 * (math.log(5) + math.log(0.5))
    return Pair(x, spread * rng.standard_normal((n, 1)), (whole - inside) * LOG2_E)


def _rounded(x: FloatArray) -> FloatArray:
    return np.round(x, 2)


def _exp3(x: FloatArray) -> FloatArray:
    return np.exp(3.0 * x)


def _cube(x: FloatArray) -> FloatArray:
    return np.asarray(x**5)


def _turned(x: FloatArray) -> FloatArray:
    turn = np.linalg.qr(np.random.default_rng(7).standard_normal((x.shape[1],) * 2))[0]
    return np.asarray(x @ turn)


PAIRS: dict[str, Draw] = {
    **{name: draw for name, draw in MI_TASKS.items() if name != "rep-label-K10-d64"},
    "normal 0.3": lambda n, rng: normal_pair(n, rng, 0.3),
    "normal 0.99": lambda n, rng: normal_pair(n, rng, 0.99),
    "normal 0.9999": lambda n, rng: normal_pair(n, rng, 0.9999),
    "independent 1+1": lambda n, rng: independent_normals(n, rng, 1),
    "independent 3+3": lambda n, rng: independent_normals(n, rng, 3),
    "independent 8+8": lambda n, rng: independent_normals(n, rng, 8),
    "independent Cauchy 2+2": mapped(
        lambda n, rng: independent_normals(n, rng, 2),
        lambda x: np.tan(3.1 * (ndtr(x) - 0.5)),
        lambda x: np.tan(3.1 * (ndtr(x) - 0.5)),
    ),
    "uniform noise 0.75": lambda n, rng: uniform_plus_uniform(n, rng, 0.75),
    "uniform noise 0.01": lambda n, rng: uniform_plus_uniform(n, rng, 0.01),
    "student 1-1-1": lambda n, rng: student_pair(n, rng, 1, 1),
    "student 2-2-1": lambda n, rng: student_pair(n, rng, 2, 1),
    "student 3-3-2": lambda n, rng: student_pair(n, rng, 3, 2),
    "student 3-3-3": lambda n, rng: student_pair(n, rng, 3, 3),
    "asinh student 3-3-2": mapped(
        lambda n, rng: student_pair(n, rng, 3, 2), np.arcsinh, np.arcsinh
    ),
    "half cube 1+1": mapped(normal_pair, half_cube, half_cube),
    "fifth power 1+1": mapped(normal_pair, _cube, _cube),
    "log-normal 1+1": mapped(normal_pair, _exp3, _exp3),
    "log-normal sparse 2+2": mapped(lambda n, rng: sparse_normal(n, rng, 2), _exp3, _exp3),
    "dense 2+2": lambda n, rng: dense_normal(n, rng, 2),
    "dense 3+3": lambda n, rng: dense_normal(n, rng, 3),
    "dense 10+10": lambda n, rng: dense_normal(n, rng, 10),
    "dense 25+25": lambda n, rng: dense_normal(n, rng, 25),
    "sparse 2+2": lambda n, rng: sparse_normal(n, rng, 2),
    "sparse 3+3": lambda n, rng: sparse_normal(n, rng, 3),
    "sparse 10+10": lambda n, rng: sparse_normal(n, rng, 10),
    "turned sparse 4+4": mapped(lambda n, rng: sparse_normal(n, rng, 4), _turned, _turned),
    "spiral sparse 3+3": mapped(
        lambda n, rng: sparse_normal(n, rng, 3),
        lambda x: spiral(x, (0, 1), 1 / 3),
        lambda y: spiral(y, (1, 2), 1 / 3),
    ),
    "fast spiral 2+2": mapped(
        lambda n, rng: sparse_normal(n, rng, 2), lambda x: spiral(x, (0, 1), 3.0), np.asarray
    ),
    "swiss roll 0.95": mapped(
        lambda n, rng: normal_pair(n, rng, 0.95), lambda x: swiss_roll(ndtr(x)), np.asarray
    ),
    "low rank 1 in 20": lambda n, rng: low_rank(n, rng, 1, 20, 1.0),
    "low rank 2 in 50": lambda n, rng: low_rank(n, rng, 2, 50, 1.0),
    "parity of 2": lambda n, rng: parity(n, rng, 2, 2.0),
    "parity of 2 in 5": lambda n, rng: parity(n, rng, 5, 2.0),
    "parity of 2 in 10": lambda n, rng: parity(n, rng, 10, 2.0),
    "2 clusters 1+1": lambda n, rng: clusters(n, rng, 2, 1),
    "8 clusters 2+2": lambda n, rng: clusters(n, rng, 8, 2),
    "4 clusters 10+10": lambda n, rng: clusters(n, rng, 4, 10),
    "rectified 1": lambda n, rng: rectified(n, rng, 1),
    "2 pairs of 6 nats": lambda n, rng: rotated_pairs(n, rng, 2, 6.0),
    "noisy layer 2-20": lambda n, rng: noisy_layer(n, rng, 2, 20),
    "concentric 3": lambda n, rng: concentric_normals(n, rng, 3, 4),
    "concentric 25": lambda n, rng: concentric_normals(n, rng, 25, 5),
    "one of 5": lambda n, rng: one_informative(n, rng, 5, 0.9),
    "one of 50": lambda n, rng: one_informative(n, rng, 50, 0.95),
    "one of 500": lambda n, rng: one_informative(n, rng, 500, 0.95),
    "small unit": lambda n, rng: small_unit(n, rng, 0.02),
    "all rows twice": doubled(normal_pair),
    "a tenth twice": some_doubled,
    "two decimals": mapped(normal_pair, _rounded, _rounded),
    "shells in 3": lambda n, rng: shells(n, rng, 3),
    "shells in 10": lambda n, rng: shells(n, rng, 10),
    "wave of 2": lambda n, rng: wave(n, rng, 2.0, 0.3),
    "wave of 20": lambda n, rng: wave(n, rng, 20.0, 0.1),
    "outlier": outlier,
    "heteroscedastic": heteroscedastic,
    "copy": copied,
}


def _with_labels(x: FloatArray, labels: IntArray, bits: float) -> Pair:
    return Pair(x, np.empty((len(x), 0)), bits, labels=labels)


def _binary_entropy(q: float) -> float:
    return -q * math.log2(q) - (1 - q) * math.log2(1 - q)


def label_parity(n: int, rng: np.random.Generator, dim: int, flipped: float = 0.03) -> Pair:
    """Draw labels by the sign of the product of two of ``dim`` normal units."""
    x = rng.standard_normal((n, dim))
    labels = (x[:, 0] * x[:, 1] > 0) ^ (rng.uniform(size=n) < flipped)
    return _with_labels(x, labels.astype(np.int64), 1 - _binary_entropy(flipped))


def label_side(n: int, rng: np.random.Generator, dim: int, flipped: float = 0.05) -> Pair:
    """Draw labels by the sign of one of ``dim`` normal units."""
    x = rng.standard_normal((n, dim))
    labels = (x[:, 0] > 0) ^ (rng.uniform(size=n) < flipped)
    return _with_labels(x, labels.astype(np.int64), 1 - _binary_entropy(flipped))


def label_shells(n: int, rng: np.random.Generator, dim: int, classes: int = 3) -> Pair:
    """Draw classes in thin shells that do not touch."""
    which = rng.integers(0, classes, n)
    way = rng.standard_normal((n, dim))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    x = way * (1.0 + which + 0.1 * rng.standard_normal(n))[:, None]
    return _with_labels(x, which, math.log2(classes))


def label_noise(n: int, rng: np.random.Generator, dim: int, classes: int) -> Pair:
    """Draw labels that have nothing to do with the units."""
    return _with_labels(rng.standard_normal((n, dim)), rng.integers(0, classes, n), 0.0)


def classes_of(n: int, rng: np.random.Generator, classes: int, dim: int, distance: float) -> Pair:
    """Draw normal classes around means at ``distance`` from 0."""
    pair = labelled(n, rng, classes, dim, distance)
    assert pair.labels is not None
    return _with_labels(pair.y, pair.labels, pair.bits)


def rectified_classes(n: int, rng: np.random.Generator) -> Pair:
    """Draw three classes seen by one rectified unit."""
    means = np.array([-1.0, 0.0, 1.5])
    labels = rng.integers(0, 3, n)
    x = np.maximum(means[labels] + rng.standard_normal(n), 0.0)[:, None]
    return _with_labels(x, labels, rectified_label_information(means, 0.0))


def small_class_unit(n: int, rng: np.random.Generator, size: float) -> Pair:
    """Draw two classes told apart by one small unit beside five of noise."""
    labels = rng.integers(0, 2, n)
    unit = size * (2 * labels - 1 + 0.05 * rng.standard_normal(n))
    return _with_labels(np.column_stack([rng.standard_normal((n, 5)), unit]), labels, 1.0)


def turned_spirals(n: int, rng: np.random.Generator) -> Pair:
    """Draw two spirals wound into each other that do not touch."""
    labels = rng.integers(0, 2, n)
    t = 2 * math.pi * np.sqrt(rng.uniform(0.05, 1.5, n))
    angle = t + math.pi * labels
    x = np.column_stack([t * np.cos(angle), t * np.sin(angle)])
    return _with_labels(x + 0.1 * rng.standard_normal((n, 2)), labels, 1.0)


def checkers(n: int, rng: np.random.Generator, cells: int, flipped: float = 0.05) -> Pair:
    """Draw labels by the colour of a square of a board."""
    x = rng.uniform(size=(n, 2))
    colour = np.floor(cells * x).sum(axis=1).astype(np.int64) % 2
    labels = colour ^ (rng.uniform(size=n) < flipped)
    return _with_labels(x, labels.astype(np.int64), 1 - _binary_entropy(flipped))


def behind(draw: Draw, of_x: Callable[[FloatArray], FloatArray]) -> Draw:
    """Return a labelled sample behind an invertible map of its units."""

    def make(n: int, rng: np.random.Generator) -> Pair:
        pair = draw(n, rng)
        assert pair.labels is not None
        return _with_labels(np.asarray(of_x(pair.x)), pair.labels, pair.bits)

    return make


def doubled_classes(n: int, rng: np.random.Generator) -> Pair:
    """Draw three classes every sample of which occurs twice."""
    pair = classes_of(n // 2, rng, 3, 2, 1.5)
    assert pair.labels is not None
    return _with_labels(np.repeat(pair.x, 2, axis=0), np.repeat(pair.labels, 2), pair.bits)


def uneven(n: int, rng: np.random.Generator) -> Pair:
    """Draw a rare class, one of fifty, that is told from the rest."""
    labels = (rng.uniform(size=n) < 0.02).astype(np.int64)
    x = rng.standard_normal((n, 2)) + 20.0 * labels[:, None]
    return _with_labels(x, labels, _binary_entropy(0.02))


def states(n: int, rng: np.random.Generator) -> Pair:
    """Draw a layer of four states, none continuous, that names three quarters of labels right."""
    labels = rng.integers(0, 4, n)
    shown = np.where(rng.uniform(size=n) < 0.75, labels, rng.integers(0, 4, n))
    right = 0.75 + 0.25 / 4
    wrong = (1 - right) / 3
    bits = 2 + right * math.log2(right) + 3 * wrong * math.log2(wrong)
    return _with_labels(np.eye(4)[shown], labels, bits)


LABELLED: dict[str, Draw] = {
    "10 classes in 64": lambda n, rng: classes_of(n, rng, 10, 64, 2.0),
    "3 classes in 1": lambda n, rng: classes_of(n, rng, 3, 1, 1.5),
    "3 classes in 2": lambda n, rng: classes_of(n, rng, 3, 2, 1.5),
    "3 classes in 2, near": lambda n, rng: classes_of(n, rng, 3, 2, 0.5),
    "5 classes in 5": lambda n, rng: classes_of(n, rng, 5, 5, 2.0),
    "5 classes in 20": lambda n, rng: classes_of(n, rng, 5, 20, 2.5),
    "10 classes in 3": lambda n, rng: classes_of(n, rng, 10, 3, 3.0),
    "10 far classes in 10": lambda n, rng: classes_of(n, rng, 10, 10, 12.0),
    "100 classes in 20": lambda n, rng: classes_of(n, rng, 100, 20, 6.0),
    "noise in 1": lambda n, rng: label_noise(n, rng, 1, 2),
    "noise in 3": lambda n, rng: label_noise(n, rng, 3, 5),
    "noise in 10": lambda n, rng: label_noise(n, rng, 10, 10),
    "noise in 64": lambda n, rng: label_noise(n, rng, 64, 2),
    "side of 1": lambda n, rng: label_side(n, rng, 1),
    "side of 1 in 4": lambda n, rng: label_side(n, rng, 4),
    "side of 1 in 10": lambda n, rng: label_side(n, rng, 10),
    "side of 1 in 500": lambda n, rng: label_side(n, rng, 500),
    "parity of 2": lambda n, rng: label_parity(n, rng, 2),
    "parity of 2 in 5": lambda n, rng: label_parity(n, rng, 5),
    "parity of 2 in 10": lambda n, rng: label_parity(n, rng, 10),
    "shells in 3": lambda n, rng: label_shells(n, rng, 3),
    "shells in 10": lambda n, rng: label_shells(n, rng, 10),
    "shells in 50": lambda n, rng: label_shells(n, rng, 50),
    "rectified": rectified_classes,
    "small unit": lambda n, rng: small_class_unit(n, rng, 0.01),
    "spirals": turned_spirals,
    "board of 4": lambda n, rng: checkers(n, rng, 4),
    "board of 16": lambda n, rng: checkers(n, rng, 16),
    "log-normal classes": behind(lambda n, rng: classes_of(n, rng, 3, 2, 1.5), _exp3),
    "fifth power, 5 in 4": behind(lambda n, rng: classes_of(n, rng, 5, 4, 2.0), _cube),
    "rows twice": doubled_classes,
    "rare class": uneven,
    "four states": states,
}

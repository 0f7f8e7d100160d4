"""Pairs of random vectors whose mutual information is known.

The names of the first twelve are those of the public benchmark of Czyz et al., "Beyond normal: on
the evaluation of mutual information estimators", NeurIPS 2023; they are written here from their
definitions. The others, named ``rep-``, look more like activations: wide and of low dimension,
rectified, against class labels, or with more information than a sample can show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from infoplane.data import Array, FloatArray, IntArray
from infoplane.validation.truths import (
    LOG2_E,
    channel_information,
    drawn_labels,
    gaussian_information,
    label_information,
    rectified_information,
    student_information,
    uniform_noise_information,
)


@dataclass(frozen=True, eq=False)
class Pair:
    """A sample of a pair of random vectors.

    Parameters
    ----------
    x, y : array (n_samples, dim)
        The sample; for the label task ``x`` is empty and ``labels`` stands for it.
    bits : float
        I(X;Y), or I(labels;Y).
    noise : float, optional
        Standard deviation of white normal noise that Y = f(X) + noise contains.
    labels : array of int (n_samples,), optional
        The class ids of the label task.
    clean : array (n_samples, dim), optional
        f(X) of Y = f(X) + noise.
    """

    x: FloatArray
    y: FloatArray
    bits: float
    noise: float | None = None
    labels: IntArray | None = None


Draw = Callable[[int, np.random.Generator], Pair]


def structure(*sizes: int) -> np.random.Generator:
    """Return the generator of what is the same in all draws of a problem: means, weights, turns."""
    return np.random.default_rng(sizes)


def _normal(n: int, covariance: FloatArray, dim_x: int, rng: np.random.Generator) -> Pair:
    sample = rng.standard_normal((n, len(covariance))) @ np.linalg.cholesky(covariance).T
    return Pair(sample[:, :dim_x], sample[:, dim_x:], gaussian_information(covariance, dim_x))


def normal_pair(n: int, rng: np.random.Generator, correlation: float = 0.75) -> Pair:
    """Draw two standard normal numbers of given correlation."""
    pair = _normal(n, np.array([[1.0, correlation], [correlation, 1.0]]), 1, rng)
    return Pair(pair.x, pair.y, pair.bits, noise=math.sqrt(1 - correlation**2))


def uniform_plus_uniform(n: int, rng: np.random.Generator, width: float = 0.1) -> Pair:
    """Draw X uniform on [0, 1] and Y = X plus uniform noise."""
    x = rng.uniform(size=(n, 1))
    return Pair(x, x + rng.uniform(-width, width, size=(n, 1)), uniform_noise_information(width))


def student_pair(n: int, rng: np.random.Generator, dim: int, freedom: int) -> Pair:
    """Draw a multivariate Student vector with identity dispersion, cut in two."""
    scale = np.sqrt(freedom / rng.chisquare(freedom, size=(n, 1)))
    sample = rng.standard_normal((n, 2 * dim)) * scale
    return Pair(sample[:, :dim], sample[:, dim:], student_information(dim, dim, freedom))


def dense_normal(n: int, rng: np.random.Generator, dim: int, correlation: float = 0.5) -> Pair:
    """Draw a normal vector all of whose components are equally correlated, cut in two."""
    covariance = np.full((2 * dim, 2 * dim), correlation)
    np.fill_diagonal(covariance, 1.0)
    return _normal(n, covariance, dim, rng)


def sparse_normal(n: int, rng: np.random.Generator, dim: int) -> Pair:
    """Draw normal vectors of which only the first two components are correlated, at 0.8."""
    covariance = np.eye(2 * dim)
    for i in range(2):
        covariance[i, dim + i] = covariance[dim + i, i] = 0.8
    return _normal(n, covariance, dim, rng)


def mapped(draw: Draw, of_x: Callable[[Array], Array], of_y: Callable[[Array], Array]) -> Draw:
    """Return the pair behind invertible maps, which keep the information."""

    def make(n: int, rng: np.random.Generator) -> Pair:
        pair = draw(n, rng)
        return Pair(np.asarray(of_x(pair.x)), np.asarray(of_y(pair.y)), pair.bits)

    return make


def half_cube(x: FloatArray) -> FloatArray:
    """Return sign(x) |x|^(3/2)."""
    return np.asarray(x * np.sqrt(np.abs(x)))


def spiral(x: FloatArray, plane: tuple[int, int], speed: float) -> FloatArray:
    """Return rows rotated in a plane of coordinates by ``speed`` times their squared length."""
    angle = speed * (x**2).sum(axis=1)
    cos, sin = np.cos(angle), np.sin(angle)
    i, j = plane
    turned = x.copy()
    turned[:, i] = cos * x[:, i] - sin * x[:, j]
    turned[:, j] = sin * x[:, i] + cos * x[:, j]
    return turned


def swiss_roll(x: FloatArray) -> FloatArray:
    """Return numbers in [0, 1] (n, 1) rolled up in the plane."""
    t = 1.5 * math.pi * (1 + 2 * x[:, 0])
    return np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 21


def concentric_normals(n: int, rng: np.random.Generator, dim: int = 5, classes: int = 5) -> Pair:
    """Draw Y near c of 1..classes, and X normal of standard deviation c in every direction."""
    labels = rng.integers(1, classes + 1, size=n)
    x = rng.standard_normal((n, dim)) * labels[:, None]
    y = labels[:, None] + 0.01 * rng.standard_normal((n, 1))
    draws = np.random.default_rng(0)
    c = np.arange(1, classes + 1)
    own = draws.integers(0, classes, size=200_000)
    squared = draws.chisquare(dim, size=len(own)) * c[own] ** 2
    logs = -dim * np.log(c) - 0.5 * squared[:, None] / c**2
    mean = np.logaddexp.reduce(logs, axis=1) - math.log(classes)
    return Pair(x, y, float((logs[np.arange(len(own)), own] - mean).mean()) * LOG2_E)


def independent_normals(n: int, rng: np.random.Generator, dim: int = 25) -> Pair:
    """Draw independent standard normal vectors; Y is noise alone."""
    return Pair(rng.standard_normal((n, dim)), rng.standard_normal((n, dim)), 0.0, noise=1.0)


def low_rank(n: int, rng: np.random.Generator, k: int, dim: int, nats: float) -> Pair:
    """Draw k correlated pairs and bend each side smoothly and invertibly into ``dim`` units."""
    correlation = math.sqrt(1 - math.exp(-2 * nats / k))
    x = rng.standard_normal((n, k))
    y = correlation * x + math.sqrt(1 - correlation**2) * rng.standard_normal((n, k))

    fixed = structure(k, dim)

    def embedded(z: FloatArray) -> FloatArray:
        bent = np.tanh(z @ fixed.standard_normal((k, dim - k)) / math.sqrt(k))
        turn = np.linalg.qr(fixed.standard_normal((dim, dim)))[0]
        return np.asarray(np.hstack([z, bent / math.sqrt(k)]) @ turn)

    return Pair(embedded(x), embedded(y), nats * LOG2_E)


def labelled(n: int, rng: np.random.Generator, classes: int, dim: int, distance: float) -> Pair:
    """Draw equally likely labels and Y normal around a mean of each at ``distance`` from 0."""
    means = structure(classes, dim).standard_normal((classes, dim))
    means *= distance / np.linalg.norm(means, axis=1, keepdims=True)
    shares = np.full(classes, 1 / classes)
    labels = drawn_labels(shares, n, rng)
    y = means[labels] + rng.standard_normal((n, dim))
    bits = label_information(means, shares)
    return Pair(np.empty((n, 0)), y, bits, noise=1.0, labels=labels)


def rectified(n: int, rng: np.random.Generator, k: int = 5, correlation: float = 0.9) -> Pair:
    """Draw k normal inputs, each seen by a noisy rectified unit."""
    x = rng.standard_normal((n, k))
    before = correlation * x + math.sqrt(1 - correlation**2) * rng.standard_normal((n, k))
    return Pair(x, np.maximum(before, 0.0), k * rectified_information(correlation))


def rotated_pairs(n: int, rng: np.random.Generator, k: int, nats: float) -> Pair:
    """Draw k correlated pairs and rotate each side."""
    correlation = math.sqrt(1 - math.exp(-2 * nats / k))
    x = rng.standard_normal((n, k))
    y = correlation * x + math.sqrt(1 - correlation**2) * rng.standard_normal((n, k))
    turns = [np.linalg.qr(rng.standard_normal((k, k)))[0] for _ in range(2)]
    return Pair(x @ turns[0], y @ turns[1], nats * LOG2_E)


def noisy_layer(n: int, rng: np.random.Generator, dim_x: int, dim_t: int) -> Pair:
    """Draw inputs and a random linear layer of them with unit noise."""
    weights = structure(dim_x, dim_t).standard_normal((dim_x, dim_t)) / math.sqrt(dim_x)
    x = rng.standard_normal((n, dim_x))
    y = x @ weights + rng.standard_normal((n, dim_t))
    return Pair(x, y, channel_information(weights @ weights.T, 1.0), noise=1.0)


def _sparse_maps(dim: int) -> Draw:
    return lambda n, rng: sparse_normal(n, rng, dim)


_same = np.asarray

MI_TASKS: dict[str, Draw] = {
    "1v1-normal-0.75": normal_pair,
    "1v1-additive-0.1": uniform_plus_uniform,
    "asinh-student-identity-1-1-1": mapped(
        lambda n, rng: student_pair(n, rng, 1, 1), np.arcsinh, np.arcsinh
    ),
    "swissroll_x-normal_cdf-1v1-normal-0.75": mapped(
        normal_pair, lambda x: swiss_roll(ndtr(x)), ndtr
    ),
    "multinormal-dense-5-5-0.5": lambda n, rng: dense_normal(n, rng, 5),
    "multinormal-dense-50-50-0.5": lambda n, rng: dense_normal(n, rng, 50),
    "multinormal-sparse-5-5-2-2.0": _sparse_maps(5),
    "multinormal-sparse-25-25-2-2.0": _sparse_maps(25),
    "half_cube-multinormal-sparse-25-25-2-2.0": mapped(_sparse_maps(25), half_cube, half_cube),
    "spiral-multinormal-sparse-5-5-2-2.0": mapped(
        _sparse_maps(5), lambda x: spiral(x, (0, 1), 1 / 5), lambda y: spiral(y, (1, 2), 1 / 5)
    ),
    "student-identity-5-5-2": lambda n, rng: student_pair(n, rng, 5, 2),
    "concentric-5v1-5": concentric_normals,
    "rep-independent-25-25": independent_normals,
    "rep-lowrank-k3-d100-mi2": lambda n, rng: low_rank(n, rng, 3, 100, 2.0),
    "rep-label-K10-d64": lambda n, rng: labelled(n, rng, 10, 64, 2.0),
    "rep-relu-k5-rho0.9": rectified,
    "rep-highmi-k10-mi6": lambda n, rng: rotated_pairs(n, rng, 10, 6.0),
    "rep-channel-10-64": lambda n, rng: noisy_layer(n, rng, 10, 64),
}
"""Draws of the benchmark's tasks by name."""

"""Data with known information for ``compressed.py``; in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import digamma, gammaln, ndtr

ARRAY = np.ndarray


def gaussian_pair(
    mi: float, d: int, n: int, rng: np.random.Generator, turns: int | None = None
) -> tuple[ARRAY, ARRAY]:
    """Return normal samples with MI ``mi``; the seed ``turns`` turns them the same way again."""
    rho = math.sqrt(1 - math.exp(-2 * mi / d))
    x = rng.normal(size=(n, d))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d))
    source = rng if turns is None else np.random.default_rng(turns)
    turned = [np.linalg.qr(source.normal(size=(d, d)))[0] for _ in range(2)]
    return x @ turned[0], y @ turned[1]


def gaussian_images(z: ARRAY, size: int = 16) -> ARRAY:
    center, grid = ndtr(z), np.linspace(0, 1, size)
    across = (grid[None, :] - center[:, :1]) ** 2
    down = (grid[None, :] - center[:, 1:]) ** 2
    return np.exp(-10 * (down[:, :, None] + across[:, None, :])).reshape(len(z), -1)


def rectangle_images(z: ARRAY, size: int = 32) -> ARRAY:
    u, shortest, pixel = ndtr(z), 2 / size, np.arange(size)
    sides = []
    for axis in (0, 2):
        left = (1 - shortest) * (1 - np.sqrt(1 - u[:, axis]))
        right = left + shortest + u[:, axis + 1] * (1 - left - shortest)
        covered = np.minimum(right[:, None] * size, pixel + 1)
        sides.append(np.clip(covered - np.maximum(left[:, None] * size, pixel), 0, 1))
    return (sides[0][:, :, None] * sides[1][:, None, :]).reshape(len(z), -1)


def noisy_layer(q: int, share: float, n: int, rng: np.random.Generator) -> tuple:
    """Return a linear-Gaussian layer of 20 inputs, clean, noisy, its noise and covariance."""
    spectrum = 1.0 / np.arange(1, 21)
    weights = rng.normal(size=(20, q)) / math.sqrt(20)
    covariance = weights.T @ (spectrum[:, None] * weights)
    noise = share * math.sqrt(np.trace(covariance) / q)
    x = rng.normal(size=(n, 20)) * np.sqrt(spectrum)
    clean = x @ weights
    return x, clean, clean + noise * rng.normal(size=clean.shape), noise, covariance


def tanh_truth(gain: float, noise: float, weights: ARRAY, draws: int) -> float:
    """Return I(X;T) of two tanh units by convolution on a grid."""
    rng, step = np.random.default_rng(99), noise / 8
    low, cells = -1 - 6 * noise, int((2 + 12 * noise) / step)
    counts = np.zeros(cells * cells)
    for _ in range(draws):
        at = ((np.tanh(gain * rng.normal(size=(10**6, 2)) @ weights) - low) / step).astype(int)
        counts += np.bincount(at[:, 0] * cells + at[:, 1], minlength=cells * cells)
    p = gaussian_filter((counts / counts.sum()).reshape(cells, cells), 8, truncate=7) / step**2
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum() * step**2
    return float(entropy - math.log(2 * math.pi * math.e * noise**2))


def _uniform(mi: float, d: int, n: int, rng: np.random.Generator) -> tuple:
    x, y = gaussian_pair(mi, d, n, rng)
    return ndtr(x), ndtr(y), mi


def _student(mi: float, d: int, n: int, rng: np.random.Generator, degrees: int = 3) -> tuple:
    x, y = gaussian_pair(mi, d, n, rng)
    scale = np.sqrt(rng.chisquare(degrees, size=(n, 1)) / degrees)
    c = [gammaln(f / 2) - f / 2 * digamma(f / 2) for f in (degrees, degrees + d, degrees + 2 * d)]
    return x / scale, y / scale, mi + c[0] + c[2] - 2 * c[1]


def _smoothed(mi: float, d: int, n: int, rng: np.random.Generator) -> tuple:
    each = max(mi, 0.05 * d) / d
    low, high = 1e-12, 1e3
    for _ in range(200):  # information falls with the width of the noise
        width = math.sqrt(low * high)
        value = width / 2 - math.log(width) if width <= 1 else 1 / (2 * width)
        low, high = (width, high) if value > each else (low, width)
    x = rng.random((n, d))
    return x, x + width * rng.random((n, d)), each * d


def _log_gamma(mi: float, d: int, n: int, rng: np.random.Generator) -> tuple:
    each = max(mi, 0.05 * d) / d
    low, high = 1e-6, 1e4
    for _ in range(200):
        a = math.sqrt(low * high)
        low, high = (a, high) if digamma(a) + 1 / a - math.log(a) > each else (low, a)
    # log Gamma(a) as log Gamma(a + 1) + log(U) / a: Gamma(a) itself underflows at small a.
    x = np.log(rng.gamma(a + 1, size=(n, d))) + np.log(rng.random((n, d))) / a
    return x, np.log(rng.exponential(size=(n, d))) - x, each * d


def _rings(mi: float, d: int, n: int, rng: np.random.Generator) -> tuple:
    u, v, _ = _uniform(mi, 2, n, rng)
    polar = [
        np.column_stack([(1 + w[:, 0]) * np.cos(2 * np.pi * w[:, 1]),
                         (1 + w[:, 0]) * np.sin(2 * np.pi * w[:, 1])])
        for w in (u, v)
    ]  # fmt: skip
    return polar[0], polar[1], mi


COPULAS: dict[str, Callable[[float, int, int, np.random.Generator], tuple]] = {
    "uniform": _uniform,
    "student 3": _student,
    "smoothed": _smoothed,
    "log-gamma": _log_gamma,
    "rings": _rings,
}

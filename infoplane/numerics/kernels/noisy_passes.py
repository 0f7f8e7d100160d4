"""Information of a layer of a network that is random itself, from several passes of each input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray

_PAIRS = 1 << 20  # that are held at a time


@dataclass(frozen=True)
class BetweenBounds:
    """An information in bits, between bounds that hold on average over the passes.

    Attributes
    ----------
    bits : float
        The estimate, in which the errors of both bounds cancel in their largest term.
    low, high : float
        The bounds; of one pass both are the estimate. ``low`` may be -inf.
    error : float
        Standard error over the choice of the inputs, their passes and the draws.
    """

    bits: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class PassesInformation:
    """Information of a random layer with Gaussian noise, in bits.

    Attributes
    ----------
    ixt, ity : BetweenBounds
        I(X;T) of the recorded inputs, and I(T;Y), None without labels.
    null_ity : float or None
        I(T;Y) of labels that are shuffled.
    others : float
        I(X;T) if the density at an input is that of the others: an upper bound for inputs that
        are drawn anew, where ``ixt`` is a lower one; inf where no other input is near.
    """

    ixt: BetweenBounds
    ity: BetweenBounds | None
    null_ity: float | None
    others: float


def passes_information(
    centres: FloatArray,
    classes: IntArray | None,
    std: float,
    draws: int,
    rng: np.random.Generator,
) -> PassesInformation:
    """Return I(X;T) and I(T;Y) of T = S + Z, where S is random given X and Z is Gaussian noise.

    Given input i, T has the density p(t|i), whose estimate is the mixture q(t|i) of Gaussians
    around the passes s_ik. I(X;T) is the mean of log2 q(t|i) / mean_j q(t|j) over inputs and passes
    at t = s_ik + z. With the pass of t itself in the mixture it is the information of the channel
    q, and so on average an upper bound, as information is convex in the channel. Without it, q does
    not depend on t, and the mean is a lower bound for every q (Barber, Agakov, NeurIPS 2003). In
    1/K, the first errors of the two are in the proportion of 1 / K and -1 / (K - 1); the estimate
    is where they cancel.

    Parameters
    ----------
    centres : array (n_samples, n_passes, n_units)
        The passes s_ik before the noise.
    classes : array (n_samples,), optional
        Class of each sample, from 0.
    std : float
        Standard deviation of the noise of each unit, above 0.
    draws : int
        Draws of the noise for each pass.
    rng : numpy.random.Generator
        Draws the noise, and shuffles labels.

    Notes
    -----
    Time grows with draws * (n_samples * n_passes)^2 * n_units.

    References
    ----------
    Goldfeld et al.: "Estimating information flow in deep neural networks", ICML 2019.
    """
    n, k, _ = centres.shape
    points = centres.reshape(n * k, -1)
    points = (points - points.mean(axis=0)) / std
    shuffled = None if classes is None else rng.permutation(classes)
    logs: list[FloatArray] = []  # (n_terms, n_samples * n_passes), by draw
    for _ in range(draws):
        noise = rng.standard_normal(points.shape)
        parts = [
            _terms(sums, own, rows // k, k, [classes, shuffled])
            for rows, sums, own in _densities(points, noise, k)
        ]
        logs.append(np.concatenate(parts, axis=1))
    by_input = np.mean(logs, axis=0).reshape(-1, n, k).mean(axis=2)
    found = _combined(by_input[0], by_input[1], k)
    others = float(by_input[2].mean())
    if classes is None:
        return PassesInformation(found, None, None, others)
    null = _combined(by_input[5], by_input[6], k).bits
    return PassesInformation(found, _combined(by_input[3], by_input[4], k), null, others)


def _combined(high: FloatArray, low: FloatArray, k: int) -> BetweenBounds:
    """Return the information between the bounds, each given by input."""
    upper, lower = float(high.mean()), float(low.mean())
    if k == 1:
        return BetweenBounds(upper, upper, upper, _error(high))
    middle = (k * high + (k - 1) * low) / (2 * k - 1)
    return BetweenBounds(float(middle.mean()), lower, upper, _error(middle))


def _error(values: FloatArray) -> float:
    if not np.isfinite(values).all():
        return float("inf")
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _densities(
    points: FloatArray, noise: FloatArray, k: int
) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
    """Yield rows of points with noise, the density there by input, and that of the point itself.

    Points are in units of the standard deviation. Densities (n_rows, n_samples) are sums over the
    passes without the point itself, up to a factor of the row.
    """
    m = len(points)
    squares = np.einsum("ij,ij->i", points, points)
    n_rows = max(1, _PAIRS // m)
    for first in range(0, m, n_rows):
        rows = np.arange(first, min(first + n_rows, m))
        places = points[rows] + noise[rows]
        exponents = places @ points.T - squares / 2
        exponents -= ((places * points[rows]).sum(axis=1) - squares[rows] / 2)[:, None]
        exponents[np.arange(len(rows)), rows] = 0
        peak = exponents.max(axis=1)
        np.exp(exponents - peak[:, None], out=exponents)
        exponents[np.arange(len(rows)), rows] = 0
        yield rows, exponents.reshape(len(rows), -1, k).sum(axis=2), np.exp(-peak)


def _terms(
    sums: FloatArray, own: FloatArray, inputs: IntArray, k: int, labels: list[IntArray | None]
) -> FloatArray:
    """Return log2 of the ratios of densities, with the point's own pass and without, by row.

    ``sums`` (n_rows, n_samples) are without it. Nothing is taken off a sum: rounding would remain.
    """
    n, each = sums.shape[1], np.arange(len(sums))
    others = sums[each, inputs]
    mine = others + own
    # Of one pass nothing is left without its own: both are the same then.
    less = others * (k / (k - 1)) if k > 1 else mine
    sums[each, inputs] = 0.0
    rest = sums.sum(axis=1)
    found = [
        _log_ratio(n * mine, rest + mine),
        _log_ratio(n * less, rest + less),
        _log_ratio((n - 1) * mine, rest),
    ]
    for classes in labels:
        if classes is None:
            continue
        sizes = np.bincount(classes)
        order = np.argsort(classes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        alike = np.add.reduceat(sums[:, order], starts, axis=1)[each, classes[inputs]]
        share = n / sizes[classes[inputs]]
        found.append(_log_ratio(share * (alike + mine), rest + mine))
        found.append(_log_ratio(share * (alike + less), rest + less))
    return np.array(found)


def _log_ratio(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return log2 of a ratio; -inf where nothing is above the line, whatever is below it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one > 0, np.log2(one) - np.log2(other), -np.inf)

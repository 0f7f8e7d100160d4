"""Information of a layer with additive Gaussian noise, from a low-dimensional projection of it.

T = S + sigma Z with S a function of the input X and Z standard normal. Its projection T_c on q
orthonormal directions has h(T_c|X) = (q/2) log(2 pi e sigma^2), so I(X;T_c) = h(T_c) - h(T_c|X)
needs neither X nor a joint sample (Goldfeld et al., ICML 2019, for the noise; Butakov et al., ICLR
2024, for the compression).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.neighbors.search import nearest_neighbors, neighbor_distances
from infoplane.numerics.neighbors.terms import (
    LOG2_E,
    dimension_from,
    entropy_terms,
    log_unit_ball,
    minimum_norm_weights,
    removal_effects,
    whitened,
)

SMALLEST_SAMPLE = 50  # no estimate below
_SMALLEST_SUM = 1e-25  # of single-precision terms that has not lost any
_MIXTURE_VALUES = 2_000_000  # terms of the mixture's density that are evaluated for bounds
_DENSITY_SAMPLES = 2000
_BLOCK_VALUES = 100_000  # of them held in double precision
_RECORDED_VALUES = 8_000_000  # and where the mixture is the estimate
_LARGEST_HALF_SQUARE = 1e10  # of codes in units of noise; beyond, 16 digits leave errors of 1e-5


@dataclass(frozen=True, eq=False)
class NoiseInformation:
    """I(X;T_c) of one code, in bits.

    Parameters
    ----------
    bits : float
        The estimate.
    terms : array (n_samples,)
        Contributions of the samples to the neighbour estimate, but for a constant.
    removals : array (n_samples,)
        How the sum of the other contributions grows without a sample.
    bound_error : float
        Standard error of the bound that the estimate was moved to; 0 if it was not.
    drift : float or None
        Mean of the estimates from the folds, held between the same bounds, less the estimate; None
        without folds.
    neighbor : float
        The neighbour estimate from all samples, its bias corrected.
    correction : float
        The correction in it.
    bounds : tuple of float, optional
        Lower and upper bound in expectation, if the code before the noise is known.
    dimension : float
        Intrinsic dimension of the noisy code.
    k : int
        Neighbours used.
    weights_norm : float
        Euclidean norm of their weights; the variance grows with it.
    """

    bits: float
    terms: FloatArray
    removals: FloatArray
    bound_error: float
    drift: float | None
    neighbor: float
    correction: float
    bounds: tuple[float, float] | None
    dimension: float
    k: int
    weights_norm: float

    @property
    def error(self) -> float:
        """Standard error in bits, from one search.

        The contributions have about the variance of the estimate, but neighbours share their balls:
        where the density changes within them, it is more. The jackknife sees that, and is too large
        on average (Efron and Stein, Annals of Statistics 9, 1981). The mean of both variances is
        taken; each of the two alone fails by a third or more, either way.
        """
        variance = 0.5 * (self.terms.var(ddof=1) + (self.terms - self.removals).var(ddof=1))
        return math.hypot(math.sqrt(variance / len(self.terms)), self.bound_error)


def default_neighbors(n: int, n_dims: int) -> int:
    """Return the number of neighbours for ``n`` samples: 20, or 40 from 8 dimensions on."""
    wanted = 40 if n_dims >= 8 else 20
    return max(min(wanted, n // 50), min(5, n - 1))


def noise_information(
    code: FloatArray,
    noise: float,
    k: int | None = None,
    folds: list[IntArray] | None = None,
    clean: FloatArray | None = None,
    rng: np.random.Generator | None = None,
    device: str | None = None,
) -> NoiseInformation:
    """Return I(X;T_c) of a code that contains Gaussian noise.

    The entropy is the weighted Kozachenko-Leonenko estimate after whitening, less the mean error
    that the same estimate makes on normal samples of this size: at no information, and for normal
    codes at any, nothing of its bias is left. Where the code clusters, other bias remains; if the
    code before the noise is known, the estimate is therefore held between `mixture_bounds`.

    Parameters
    ----------
    code : array (n_samples, q)
        Projection of the noisy layer on orthonormal directions.
    noise : float
        Standard deviation of the noise in each direction.
    k : int, optional
        Neighbours, at least 3; `default_neighbors` unless given.
    folds : list of arrays, optional
        Indices of parts to estimate separately, for the drift.
    clean : array (n_samples, q), optional
        The code before the noise.
    rng : numpy.random.Generator, optional
        Draws the samples for the bounds; ``default_rng(0)`` unless given.
    device : str, optional
        torch device that searches for neighbours.

    Raises
    ------
    EstimationError
        If the code is degenerate, i.e. contains no noise.
    """
    n, q = code.shape
    points, log_det = whitened(code)
    # Of unit covariance now; the determinant enters both whole and folds alike.
    rest = log_det - noise_entropy(q, noise)
    neighbors = default_neighbors(n, q) if k is None else min(k, n - 1)
    distances, indices = nearest_neighbors(points, neighbors, device)
    weights = _weights(neighbors, q)
    bias = reference_bias(n, neighbors, q)
    flat = np.full(neighbors, 1.0 / neighbors)
    terms, control = entropy_terms(distances, q, np.stack([weights, flat], axis=1)).T
    value = float(terms.mean()) + rest - bias
    # A fold less the same samples within the whole: what is left is the effect of their number.
    parts = np.array(
        [
            value + _mean_term(points[fold], k, device) - float(terms[fold].mean()) + bias
            for fold in folds or []
        ]
    )
    held, bounds, bound_error = value, None, 0.0
    if clean is not None:
        generator = np.random.default_rng(0) if rng is None else rng
        low, high = mixture_bounds(clean, code, noise, control, generator)
        if value < low[0]:
            held, bound_error = low
        if value > high[0]:
            held, bound_error = high
        parts = np.minimum(np.maximum(parts, low[0]), high[0])
        bounds = (low[0] * LOG2_E, high[0] * LOG2_E)
    return NoiseInformation(
        bits=held * LOG2_E,
        terms=terms * LOG2_E,
        removals=removal_effects(distances, indices, q, weights) * LOG2_E,
        bound_error=bound_error * LOG2_E,
        drift=(float(parts.mean()) - held) * LOG2_E if len(parts) else None,
        neighbor=value * LOG2_E,
        correction=-bias * LOG2_E,
        bounds=bounds,
        dimension=dimension_from(distances[distances[:, 0] > 0]),
        k=neighbors,
        weights_norm=float(np.linalg.norm(weights)),
    )


def averaged(found: Sequence[NoiseInformation]) -> NoiseInformation:
    """Return the mean over draws of the noise for the same samples.

    Contributions are averaged by sample, so that the error falls by as much as the noise is part of
    it.
    """
    first = found[0]
    if len(found) == 1:
        return first

    def mean(name: str) -> Any:
        return np.mean([getattr(one, name) for one in found], axis=0)

    return replace(
        first,
        bits=float(mean("bits")),
        terms=mean("terms"),
        removals=mean("removals"),
        bound_error=float(np.linalg.norm([one.bound_error for one in found])) / len(found),
        drift=None if first.drift is None else float(mean("drift")),
        neighbor=float(mean("neighbor")),
        bounds=None if first.bounds is None else tuple(mean("bounds").tolist()),
        dimension=float(mean("dimension")),
    )


def _mean_term(points: FloatArray, k: int | None, device: str | None) -> float:
    """Return the mean contribution to the entropy of whitened points, its bias corrected."""
    n, q = points.shape
    neighbors = default_neighbors(n, q) if k is None else min(k, n - 1)
    terms = entropy_terms(neighbor_distances(points, neighbors, device), q, _weights(neighbors, q))
    return float(terms.mean()) - reference_bias(n, neighbors, q)


def _weights(k: int, n_dims: int) -> FloatArray:
    """Return short weights: the bias that longer ones remove is mostly corrected already."""
    return np.array(minimum_norm_weights(k, n_dims, largest_norm=2.0))


def noise_entropy(n_dims: int, noise: float) -> float:
    """Return the entropy of the noise, h(T_c|X), in nats."""
    return 0.5 * n_dims * math.log(2.0 * math.pi * math.e * noise**2)


@lru_cache(maxsize=512)
def reference_bias(n: int, k: int, n_dims: int) -> float:
    """Return the expected error of the entropy estimate on ``n`` standard normal samples, in nats.

    The probability u of the ball that reaches to the j-th neighbour is Beta(j, n - j) whatever the
    density. With rho(u, x) the radius of the ball of probability u around x,
    E d log rho_j is an integral over u and over the squared norm of x, chi-squared with d degrees
    of freedom; both are done by quadrature.
    """
    from scipy.special import chndtr, roots_genlaguerre
    from scipy.stats import beta

    nodes, masses = roots_genlaguerre(24, 0.5 * n_dims - 1.0)
    masses = masses / masses.sum()
    shares = np.exp(np.linspace(math.log(0.02 / n), math.log(min(0.9, (2.0 * k + 20.0) / n)), 48))
    log_radius = np.linspace(math.log(shares[0]) / n_dims - 3.0, 4.0, 800)
    excess = np.zeros(len(shares))
    for half_square, mass in zip(nodes, masses, strict=True):
        reached = chndtr(np.exp(2.0 * log_radius), n_dims, 2.0 * half_square)
        rising = np.flatnonzero((reached > 1e-14) & (reached < 1.0 - 1e-12))
        radius = np.interp(np.log(shares), np.log(reached[rising]), log_radius[rising])
        log_density = -half_square - 0.5 * n_dims * math.log(2.0 * math.pi)
        # How far the mean density within the ball is below the density at its centre.
        excess += mass * (n_dims * radius + log_unit_ball(n_dims) + log_density - np.log(shares))
    quantiles = (np.arange(32) + 0.5) / 32.0
    ranks = np.arange(1, k + 1)
    drawn = beta.ppf(quantiles[None, :], ranks[:, None], n - ranks[:, None])
    by_rank = np.interp(np.log(drawn), np.log(shares), excess).mean(axis=1)
    return float(by_rank @ _weights(k, n_dims)) + math.log(n - 1) - float(scipy.special.digamma(n))


def may_contain_noise(code: FloatArray, noise: float, k: int = 20) -> bool:
    """Return whether a code (n_samples, q) may contain Gaussian noise of this size.

    No direction can then have less variance than the noise, and no density can be higher than that
    of the noise alone, which is looked for in about 2000 samples. Low density without noise passes
    too: the more directions of the layer are given, the fewer layers do.
    """
    n, q = code.shape
    centred = code - code.mean(axis=0)
    smallest = float(np.linalg.eigvalsh(centred.T @ centred / n)[0])
    if smallest < noise**2 * (1.0 - 5.0 * math.sqrt((2.0 + q) / n)):
        return False
    centred = centred[:: max(1, n // _DENSITY_SAMPLES)]
    n = len(centred)
    neighbors = min(k, n - 1)
    distances = neighbor_distances(centred, neighbors)[:, -1]
    highest = -0.5 * q * math.log(2.0 * math.pi * noise**2)
    radius = math.exp(
        (scipy.special.digamma(neighbors) - math.log(n - 1) - log_unit_ball(q) - highest
         - 3.0 * math.sqrt(scipy.special.polygamma(1, neighbors))) / q
    )  # fmt: skip
    return float((distances < radius).mean()) < 0.01


def mixture_bounds(
    clean: FloatArray,
    noisy: FloatArray,
    noise: float,
    control: FloatArray,
    rng: np.random.Generator,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a lower and an upper bound on I(X;T_c) that hold in expectation, each with its error.

    The density of the code is taken as the mixture of normals around the recorded codes. Its
    entropy is below the true one, since entropy is concave: this is I(X;T_c) if X takes only the
    recorded values, at most log(n). The mean negative log-density of each noisy code under the
    mixture around the others is above the true entropy. The others have a second normal each, as
    wide as the codes and of weight 1/n: without it a few codes far from all others are the bound.

    Parameters
    ----------
    clean, noisy : array (n_samples, q)
        Code before and with the noise, in the same order.
    noise : float
        Standard deviation of the noise.
    control : array (n_samples,)
        Another estimate of the negative log-density; its mean over all samples replaces that over
        the 100 to 500 at which the mixture is evaluated.
    rng : numpy.random.Generator
        Draws the samples at which the mixture is evaluated.

    Returns
    -------
    pair of (bound, error)
        In nats; the error is that of evaluating the mixture at some of the samples.

    References
    ----------
    Lower bound: Goldfeld et al., "Estimating information flow in deep neural networks", ICML 2019.
    """
    n, q = clean.shape
    chosen = rng.permutation(n)[: max(100, min(500, _MIXTURE_VALUES // n))]
    kernel = _kernel(clean, noisy[chosen], noise)
    total = kernel.sum(axis=1, dtype=np.float64)
    others = np.maximum(total - kernel[np.arange(len(chosen)), chosen], 0.0)
    scale = 0.5 * q * math.log(2.0 * math.pi * noise**2) - noise_entropy(q, noise)
    shift = float(control.mean()) - control[chosen]
    with np.errstate(divide="ignore"):
        logs = np.log(others)
    for at in np.flatnonzero(others < _SMALLEST_SUM):  # far from all others: beyond float32
        exponents = -0.5 * ((noisy[chosen[at]] - clean) ** 2).sum(axis=1) / noise**2
        logs[at] = np.logaddexp.reduce(np.delete(exponents, chosen[at]))
    logs = np.logaddexp(logs + math.log1p(-1.0 / n), _wide_logs(clean, noisy, chosen, noise))
    upper = scale + shift - logs + math.log(n - 1)
    lower = scale + shift - np.log(total / n)
    unseen = math.sqrt(1.0 - len(chosen) / n)
    return _mean_and_error(lower, unseen), _mean_and_error(upper, unseen)


def _wide_logs(clean: FloatArray, noisy: FloatArray, chosen: IntArray, noise: float) -> FloatArray:
    """Return logarithms of the sums over the other codes, with normals as wide as the codes.

    They are in units of the density of the noise at 0, and of weight 1/n.
    """
    n, q = clean.shape
    wide = math.sqrt(noise**2 + 2.0 * float(clean.var(axis=0).mean()))
    kernel = _kernel(clean, noisy[chosen], wide)
    others = kernel.sum(axis=1, dtype=np.float64) - kernel[np.arange(len(chosen)), chosen]
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(others, 0.0))
    return np.asarray(logs + q * math.log(noise / wide) - math.log(n))


def _mean_and_error(values: FloatArray, unseen: float) -> tuple[float, float]:
    mean = float(values.mean())
    if not math.isfinite(mean):
        return mean, math.inf
    return mean, unseen * float(values.std(ddof=1)) / math.sqrt(len(values))


def recorded_information(
    clean: FloatArray, noisy: FloatArray, noise: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return I(X;T_c), in bits, if X takes the recorded values only, and its standard error.

    Mean of log2 p(t|x) / p(t) over at most 2000 samples, none of which can exceed log2(n_samples).

    Parameters
    ----------
    clean, noisy : array (n_samples, q)
        Code before and with the noise, in the same order.
    noise : float
        Standard deviation of the noise.
    rng : numpy.random.Generator
        Draws the samples.
    """
    n = len(clean)
    chosen = rng.permutation(n)[: max(200, min(2000, _RECORDED_VALUES // n))]
    total = _kernel(clean, noisy[chosen], noise).sum(axis=1, dtype=np.float64)
    own = -0.5 * ((noisy[chosen] - clean[chosen]) ** 2).sum(axis=1) / noise**2
    # The sample's own term is in the sum; single precision may have rounded it.
    gains = np.minimum(own - np.log(total / n), math.log(n)) * LOG2_E
    return float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))


def _kernel(clean: FloatArray, points: FloatArray, noise: float) -> NDArray[np.float32]:
    """Return exp(-|t - s|^2 / 2 sigma^2) for points t (rows) and recorded codes s (columns)."""
    from scipy.spatial.distance import cdist

    middle = clean.mean(axis=0)
    centers, scaled = (clean - middle) / noise, (points - middle) / noise
    halves, center_halves = 0.5 * (scaled**2).sum(axis=1), 0.5 * (centers**2).sum(axis=1)
    # One product gives t.s - |t|^2 / 2 - |s|^2 / 2, unless the squares are too large to cancel.
    cancels = max(halves.max(), center_halves.max()) < _LARGEST_HALF_SQUARE
    left = np.column_stack([scaled, -halves, np.ones(len(scaled))])
    right = np.column_stack([centers, np.ones(len(centers)), -center_halves])
    kernel = np.empty((len(points), len(clean)), dtype=np.float32)
    rows = max(1, _BLOCK_VALUES // len(clean))
    for start in range(0, len(points), rows):
        block = slice(start, start + rows)
        if cancels:
            exponent = left[block] @ right.T
        else:
            exponent = -0.5 * cdist(scaled[block], centers, "sqeuclidean")
        with np.errstate(over="ignore"):  # to minus infinity: 0
            np.exp(exponent.astype(np.float32), out=kernel[block])
    return kernel  # relative errors of 1e-5 at most

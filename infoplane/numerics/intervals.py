"""Intervals for estimates that break when samples are drawn twice.

Neighbour estimates take a duplicate for a distance of 0: a bootstrap with replacement shifts them
by tenths of a bit and covers nothing. Both schemes here draw without replacement. They give the
sampling uncertainty of the estimate, i.e. an interval for its expectation; bias is not included.
Where samples are tokens, both draw whole sequences (``infoplane.numerics.sequences``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import InputError
from infoplane.numerics.sequences import sequences_of

IntervalMethod: TypeAlias = Literal[
    "bootstrap", "subsample", "jackknife", "analytic", "bracket", "none"
]

ROUNDING = 1e-9
"""Bits below 0 that are rounding: such an estimate is not called negative."""

CHANCE = 3.0
"""Standard errors up to which a difference is chance."""

_FEWEST_SEQUENCES = 4  # of which halves are drawn


@dataclass(frozen=True)
class Interval:
    """Sampling uncertainty of an estimate.

    Parameters
    ----------
    low, high : float
        Ends, in the unit of the estimate.
    standard_error : float
        Estimated standard deviation of the estimate.
    drift : float
        Mean over the parts minus the whole: how far the estimate still moves with the sample size.
    fewer : float
        How many times smaller than the whole the parts are; infinite without parts.
    method : str
        How the standard error was found.
    """

    low: float
    high: float
    standard_error: float
    drift: float
    fewer: float
    method: IntervalMethod = "subsample"

    def bias(self, rate: float = 0.5) -> float:
        """Return how far the whole is from its limit, going by the drift.

        Of a bias that falls like n^(-rate), m times smaller parts have drift = bias (m^rate - 1).
        """
        return self.drift / (math.pow(self.fewer, rate) - 1.0)

    def bias_dominates(self, rate: float = 0.5, least: float = math.inf) -> bool:
        """Whether a drift that is no chance tells of a bias beyond half the interval, or ``least``.

        A drift of up to three standard errors is chance: parts and whole are the same samples, but
        not the same permutations or draws of noise.
        """
        half = 0.5 * (self.high - self.low)
        significant = abs(self.drift) > CHANCE * self.standard_error
        return significant and abs(self.bias(rate)) > max(min(half, least), ROUNDING)


def neighbor_rate(n_dims: int) -> float:
    """Return the rate at which the bias of neighbour estimates falls in so many dimensions.

    It falls like n^(-2/d), up to four dimensions like 1 / sqrt(n) or faster.
    """
    return 2.0 / max(4, n_dims)


def difference_rate(n_dims: int) -> float:
    """Return the rate at which the bias of a shuffle difference falls in so many dimensions.

    What is left of its leading term, which the weights cancel and the difference as well, falls
    faster than n^(-4/d), up to eight dimensions like 1 / sqrt(n) or faster.
    """
    return 4.0 / max(8, n_dims)


def disjoint_folds(n: int, folds: int, rng: np.random.Generator) -> list[IntArray]:
    """Return ``folds`` disjoint random sets of indices below ``n``, of sizes that differ by 1.

    Sequences are in one of them whole; then it is the numbers of sequences that differ by 1.
    """
    if not 2 <= folds <= n:
        raise InputError(f"expected 2 to {n} folds, got {folds}")
    if (sequences := sequences_of(n, folds)) is not None:
        shared_out = np.array_split(rng.permutation(len(sequences)), folds)
        return [np.sort(np.concatenate([sequences[i] for i in part])) for part in shared_out]
    return [np.sort(part) for part in np.array_split(rng.permutation(n), folds)]


def fold_interval(whole: float, parts: FloatArray, level: float = 0.95) -> Interval:
    """Return the interval of an estimate from its values on disjoint folds of the sample.

    With G folds of n/G samples the standard error is sd(parts) / sqrt(G), since the variance falls
    as 1/n; the quantile is Student's with G - 1 degrees of freedom.

    Parameters
    ----------
    whole : float
        Estimate from all samples.
    parts : array (n_folds,)
        Estimates from each fold.
    level : float, default 0.95
        Probability that the interval is to cover the expectation of the estimate.
    """
    error = float(parts.std(ddof=1)) / math.sqrt(len(parts))
    drift = float(parts.mean()) - whole
    return _interval(whole, error, len(parts) - 1, drift, len(parts), level)


def normal_interval(
    whole: float,
    error: float,
    level: float = 0.95,
    *,
    method: IntervalMethod = "analytic",
    drift: float = 0.0,
    fewer: float = math.inf,
) -> Interval:
    """Return the interval of an estimate whose standard error is known, with its drift if known."""
    from scipy.special import ndtri

    half = float(ndtri(0.5 + 0.5 * level)) * error
    return Interval(whole - half, whole + half, error, drift, fewer, method)


def difference_interval(
    first: Interval, second: Interval, whole: float, covariance: float, level: float = 0.95
) -> Interval:
    """Return the interval of the difference ``whole`` of two estimates from the same samples."""
    one, two = first.standard_error, second.standard_error
    # A covariance that is itself estimated can be too large for the errors, never for their sum.
    variance = max(one**2 + two**2 - 2.0 * covariance, (one - two) ** 2)
    return normal_interval(
        whole,
        math.sqrt(variance),
        level,
        method=first.method,
        drift=first.drift - second.drift,
        fewer=max(first.fewer, second.fewer),
    )


def half_sampling_interval(
    estimate: Callable[[IntArray], float],
    n: int,
    rng: np.random.Generator,
    *,
    repeats: int = 40,
    level: float = 0.95,
    whole: float | None = None,
) -> Interval:
    """Return the interval of an estimate from random halves of the sample.

    The standard error is sd * sqrt(m / (n - m)) over ``repeats`` subsets of m = n // 2 samples
    drawn without replacement (delete-d jackknife).

    Parameters
    ----------
    estimate : callable
        Takes indices of samples, returns the estimate from them.
    n : int
        Samples, at least 4.
    rng : numpy.random.Generator
        Draws the halves.
    repeats : int, default 40
        Halves drawn, at least 2.
    level : float, default 0.95
        Nominal coverage.
    whole : float, optional
        The estimate from all samples, if already known.

    References
    ----------
    Shao, Wu, Annals of Statistics 17 (1989).
    """
    if n < 4 or repeats < 2:
        raise InputError(
            f"expected at least 4 samples and 2 repeats, got n = {n}, repeats = {repeats}"
        )
    center = estimate(np.arange(n)) if whole is None else whole
    values = np.array([estimate(rows) for rows in random_halves(n, repeats, rng)])
    return interval_of_halves(center, values, n, level)


def random_halves(n: int, repeats: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Yield so many random halves of indices below ``n``, or of their sequences, ascending."""
    sequences = sequences_of(n, _FEWEST_SEQUENCES) if repeats else None
    for _ in range(repeats):
        if sequences is not None:
            half = rng.permutation(len(sequences))[: len(sequences) // 2]
            yield np.sort(np.concatenate([sequences[i] for i in half]))
            continue
        yield np.sort(rng.permutation(n)[: n // 2])


def interval_of_halves(
    whole: float, values: FloatArray, n: int, level: float = 0.95, least: float = 0.0
) -> Interval:
    """Return the interval of an estimate from its values on random halves of ``n`` samples.

    The standard error is ``least`` where theory knows that; a few halves may lie close by chance.
    """
    m = n // 2
    error = max(float(values.std(ddof=1)) * math.sqrt(m / (n - m)), least)
    return _interval(whole, error, len(values) - 1, float(values.mean()) - whole, n / m, level)


def _interval(
    center: float, error: float, degrees: int, drift: float, fewer: float, level: float
) -> Interval:
    """Return the interval of an estimate, given its drift on samples ``fewer`` times smaller."""
    half = _student_quantile(degrees, level) * error
    return Interval(center - half, center + half, error, drift, fewer)


@lru_cache(maxsize=64)
def _student_quantile(degrees: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + 0.5 * level))

"""What samples say of an estimate of the information of a pair: its spread, drift and blind spots.

Each check is an identity that holds whatever the distribution: information does not change under
monotone maps of a column, is 0 of shuffled rows, does not depend on how many samples and neighbours
measure it, and is known where it is planted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from infoplane.data import Array, FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.intervals import Interval, half_sampling_interval
from infoplane.numerics.neighbors.label_information import label_entropy
from infoplane.numerics.neighbors.planted import (
    HOLDS,
    normal_scores,
    planted_labels,
    planted_order,
)
from infoplane.numerics.neighbors.terms import LOG2_E

Measure: TypeAlias = Callable[[FloatArray, Array, int], float]
"""Estimates the information of two samples, or of a sample and labels, in bits, with k neighbours.
"""

_HALVES = 20
_PLANTED_SAMPLES = 2000  # each planted dependence costs an estimate
_NULL_SAMPLES = 1000  # and so does each permutation
_PLANTINGS = 2  # of each kind, either way round
_SMALLEST_PLANTED = 1.0  # bits
_LARGEST_SHARE = 0.9  # of H(Y) that is planted


@dataclass(frozen=True, eq=False)
class PairChecks:
    """What was measured beside the value of an estimate, in bits.

    Parameters
    ----------
    bits : float
        The value.
    k : int
        Neighbours of it.
    interval : Interval
        From halves of the sample, with their drift.
    by_k : dict of int to float
        Values with other numbers of neighbours.
    some : float
        The value of some of the samples.
    ranks : float or None
        The value of the normal scores of each column; None if the estimate refuses them.
    linear : float
        What a normal distribution would hold whose scores correlate like these; of labels, whose
        classes have one covariance.
    planted : dict of str to float
        Shares found of planted dependences.
    null : array (n_permutations,)
        Values of those with shuffled rows.
    """

    bits: float
    k: int
    interval: Interval
    by_k: dict[int, float]
    some: float
    ranks: float | None
    linear: float
    planted: dict[str, float]
    null: FloatArray

    @property
    def p_value(self) -> float:
        """Of independence, by the permutations."""
        return float((1 + (self.null >= self.some).sum()) / (1 + len(self.null)))

    @property
    def found(self) -> float:
        """The share of a planted dependence that the estimate finds.

        As far as the scores' linear dependence explains the value, that of dependences of single
        columns counts; for the rest that of the kind found least.
        """
        simple = min(max(self.linear / self.bits, 0.0), 1.0) if self.bits > 0.0 else 0.0
        least = min(self.planted.values())
        return simple * self.planted["side"] + (1.0 - simple) * least


def pair_checks(
    measure: Measure,
    x: FloatArray,
    y: Array,
    bits: float,
    k: int,
    other_k: Sequence[int],
    permutations: int,
    rng: np.random.Generator,
) -> PairChecks:
    """Return the checks of an estimate.

    Parameters
    ----------
    measure : callable
        The estimate.
    x : array (n_samples, n_dims_x)
        One side.
    y : array (n_samples, n_dims_y), or class ids (n_samples,)
        The other side.
    bits : float
        Its value on all samples, with ``k`` neighbours.
    k, other_k : int, sequence of int
        Neighbours of the estimate, and others to try.
    permutations : int
        Of the null.
    rng : numpy.random.Generator
        Draws halves, permutations and planted dependences.

    Raises
    ------
    EstimationError
        If the estimate refuses a part of the samples.
    """
    n = len(x)
    scores = normal_scores(x)
    other_scores = y if y.ndim == 1 else normal_scores(y)
    interval = half_sampling_interval(
        lambda rows: measure(x[rows], y[rows], min(k, len(rows) - 1)),
        n,
        rng,
        repeats=_HALVES,
        whole=bits,
    )
    try:
        ranks = measure(scores, other_scores, k)
    except EstimationError:
        ranks = None
    by_k = {j: measure(x, y, j) for j in other_k if j < n}
    rows = rng.permutation(n)[:_PLANTED_SAMPLES]
    planted = _planted(measure, x[rows], y[rows], k, bits, rng)
    x, y = x[rows[:_NULL_SAMPLES]], y[rows[:_NULL_SAMPLES]]
    return PairChecks(
        bits=bits,
        k=k,
        interval=interval,
        by_k=by_k,
        some=measure(x, y, min(k, len(x) - 1)),
        ranks=ranks,
        linear=linear_information(scores, other_scores),
        planted=planted,
        null=np.array(
            [measure(x, rng.permutation(y), min(k, len(x) - 1)) for _ in range(permutations)]
        ),
    )


def _planted(
    measure: Measure, x: FloatArray, y: Array, k: int, bits: float, rng: np.random.Generator
) -> dict[str, float]:
    """Return the share of planted information found, by what it hangs on."""
    scores, k = normal_scores(x), min(k, len(x) - 1)
    shares: dict[str, float] = {}
    if y.ndim == 1:
        h_y = label_entropy(y)
        bits = min(max(bits, 0.5 * h_y), _LARGEST_SHARE * h_y)
        for hold in HOLDS:
            found = 0.0
            for sharp in (False, True) * _PLANTINGS:
                found += measure(x, planted_labels(scores, y, hold, bits, rng, sharp=sharp), k)
            shares[hold] = found / (2 * _PLANTINGS * bits)
        return shares
    others, bits = normal_scores(y), max(bits, _SMALLEST_PLANTED)
    for hold in HOLDS:
        found = 0.0
        for holds in ((hold, HOLDS[0]), (HOLDS[0], hold)) * _PLANTINGS:
            found += measure(x, y[planted_order(scores, others, holds, bits, rng)], k)
        shares[hold] = found / (2 * _PLANTINGS * bits)
    return shares


def linear_information(x: FloatArray, y: Array) -> float:
    """Return the information of a joint normal sample, in bits, less its bias.

    Parameters
    ----------
    x : array (n_samples, n_dims_x)
        Columns of unit variance.
    y : array (n_samples, n_dims_y), or class ids (n_samples,)
        Class ids count as their indicators.

    Returns
    -------
    float
        -1/2 sum log2(1 - r^2) over the canonical correlations r.
    """
    others = _indicators(y) if y.ndim == 1 else y - y.mean(axis=0)
    left, right = _basis(x - x.mean(axis=0)), _basis(others)
    if 0 in (left.shape[1], right.shape[1]):
        return 0.0
    correlations = np.linalg.svd(left.T @ right, compute_uv=False)
    bits = -0.5 * np.log2(np.maximum(1.0 - correlations**2, 1e-12)).sum()
    return float(bits - 0.5 * left.shape[1] * right.shape[1] / len(x) * LOG2_E)


def _indicators(labels: IntArray) -> FloatArray:
    shown = (labels[:, None] == np.unique(labels)[1:]).astype(np.float64)
    return np.asarray(shown - shown.mean(axis=0))


def _basis(centred: FloatArray) -> FloatArray:
    """Return an orthonormal basis (n_samples, rank) of the columns."""
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(float(sizes[0]), math.ulp(0.0))])

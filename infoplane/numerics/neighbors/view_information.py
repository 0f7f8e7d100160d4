"""Mutual information of two codes when there is no noise model: shuffle difference or counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.codes import folds_of
from infoplane.numerics.neighbors.estimates import (
    intrinsic_dimension,
    ksg_mutual_information,
    shuffle_differences,
)
from infoplane.numerics.neighbors.terms import LOG2_E, flat_and_sharp_weights, whitened

_KSG_NEIGHBORS = 3
_PERMUTATIONS = 4
# Views that share little need no sharp weights, whose variance is large; views that share much have
# a thin joint density, where flat ones miss bits. In between, the share of the sharp ones rises.
_FLAT_BITS = 1.5
_RISE_BITS = 7.0
_LARGEST_SHARPNESS = 1.15
_DIMENSION_SAMPLES = 2000


@dataclass(frozen=True, eq=False)
class ViewInformation:
    """What two codes tell about each other, in bits.

    Parameters
    ----------
    bits : float
        I(A;B).
    folds : list of arrays
        Indices of disjoint folds.
    parts : array (n_folds,)
        Values on the folds; none where one of them holds too many duplicates.
    k : int
        Neighbours.
    sharpness : float or None
        Share of the sharp weights; None of counts.
    counts : float
        I(A;B) by counts of neighbours.
    ceiling : float
        The largest value that counts can give: digamma(n) - digamma(k).
    """

    bits: float
    folds: list[IntArray]
    parts: FloatArray
    k: int
    sharpness: float | None
    counts: float
    ceiling: float


def view_information(
    a: FloatArray,
    b: FloatArray,
    *,
    counted: bool,
    k: int | None,
    folds: int,
    rng: np.random.Generator,
    seed: int,
) -> ViewInformation:
    """Return I(A;B) of two codes of full rank, on one scale.

    Parameters
    ----------
    a, b : array (n_samples, n_dims)
        Codes, rows in the same order.
    counted : bool
        Whether neighbours are counted; otherwise it is the shuffle difference, whose neighbours
        have weights between flat and sharp ones, see `flat_and_sharp_weights`: the sharper, the
        more the codes share by the flat ones.
    k : int, optional
        Neighbours; unless given 40, from 8 joint dimensions on 80, of small samples fewer, and 3
        for counts.
    folds : int
        Disjoint folds.
    rng : numpy.random.Generator
        Draws the folds.
    seed : int
        Of the permutations.

    Raises
    ------
    EstimationError
        If the codes depend on each other linearly.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, Physical Review E 69 (2004), for the counts.
    """
    n, d = len(a), a.shape[1] + b.shape[1]
    neighbors = k if k is not None else _KSG_NEIGHBORS if counted else _shuffle_neighbors(n, d)

    def measured(rows: IntArray | slice) -> FloatArray:
        """Return one count, or the differences by flat and sharp weights, in bits."""
        # The whole and its folds have the same neighbours and weights: others spread otherwise.
        k_i = min(neighbors, len(a[rows]) - 1)
        if counted:
            return np.array([ksg_mutual_information(a[rows], b[rows], k_i)])
        weights = np.array(flat_and_sharp_weights(k_i, d))
        return shuffle_differences(a[rows], b[rows], weights, _PERMUTATIONS, seed) * LOG2_E

    values = measured(slice(None))
    sharpness = min(max(0.0, float(values[0] - _FLAT_BITS) / _RISE_BITS), _LARGEST_SHARPNESS)
    mixed = np.array([1.0]) if counted else np.array([1.0 - sharpness, sharpness])
    bits = float(values @ mixed)
    parts_of = folds_of(n, folds, rng)
    try:
        parts = np.array([measured(fold) @ mixed for fold in parts_of])
    except EstimationError:  # a fold can hold more duplicates than the whole
        parts = np.empty(0)
    k_counted = neighbors if counted else _KSG_NEIGHBORS
    return ViewInformation(
        bits=bits,
        folds=parts_of,
        parts=parts,
        k=neighbors,
        sharpness=None if counted else sharpness,
        counts=bits if counted else ksg_mutual_information(a, b, _KSG_NEIGHBORS),
        ceiling=float(scipy.special.digamma(n) - scipy.special.digamma(k_counted)) * LOG2_E,
    )


def _shuffle_neighbors(n: int, d: int) -> int:
    wanted = min(80, n // 25) if d >= 8 else min(40, n // 50)
    return min(max(5, wanted), n - 1)


def on_one_scale(code: FloatArray) -> FloatArray:
    """Return the code with columns of one spread: counts overlook columns smaller than others."""
    centred = code - np.median(code, axis=0)
    sizes = np.abs(centred)
    middle = np.median(sizes, axis=0)  # heavy tails move it little
    return np.asarray(centred / np.where(middle > 0.0, middle, sizes.mean(axis=0)))


def dimension_ratio(a: FloatArray, b: FloatArray, rng: np.random.Generator) -> float | None:
    """Return intrinsic dimension over dimension of the shuffled pair, or None if undefined."""
    rows = rng.permutation(len(a))[:_DIMENSION_SAMPLES]
    points, _ = whitened(np.hstack([a[rows], b[rng.permutation(rows)]]))
    try:
        return float(intrinsic_dimension(points, min(20, len(points) - 1)) / points.shape[1])
    except EstimationError:
        return None

"""Procrustes distance: the angle between two shapes after the best rotation.

With X and Y centred and of unit Frobenius norm, the angle is arccos of the nuclear norm of X'Y
(Williams et al. 2021, angular shape metric; 2 - 2 cos is the squared distance of Ding et al. 2021).
It is a metric: 0 for equal shapes, at most pi / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.similarity.samples import Compared, few_parts, spread

_SMALL = 0.01  # radians; the cosine of less has lost half of its digits
_LEADING = 64  # components in which the spread of the value and of its null is found
_DRAWS = 2  # permutations for the mean of the null: a sum over many directions hardly varies
_LEADING_DRAWS = 12  # for its standard deviation


@dataclass(frozen=True, slots=True)
class ShapeView:
    """Centred activations of no more units than samples, and their leading components."""

    bounds: IntArray
    values: FloatArray  # (n_samples, at most n_samples)
    leading: FloatArray  # (n_samples, at most _LEADING)

    @property
    def norm(self) -> float:
        """Frobenius norm."""
        return float(np.linalg.norm(self.values))


def shape_view(centred: FloatArray, bounds: IntArray) -> ShapeView:
    """Return the view of centred activations; a rotation takes them to as many units as samples."""
    if centred.shape[1] > len(centred):
        centred = scipy.linalg.qr(centred.T, mode="r")[0][: len(centred)].T
    leading, units = centred, centred.shape[1]
    if units > _LEADING:
        largest = [units - _LEADING, units - 1]
        onto = scipy.linalg.eigh(centred.T @ centred, subset_by_index=largest)[1]
        leading = centred @ onto
    return ShapeView(bounds, centred, leading)


def angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle between two shapes, in radians."""
    between = x.values.T @ y.values
    cosine = float(np.linalg.svd(between, compute_uv=False).sum()) / (x.norm * y.norm)
    found = math.acos(min(cosine, 1.0))
    return _small_angle(x, y) if found < _SMALL else found


def compared(x: ShapeView, y: ShapeView, rng: np.random.Generator) -> Compared:
    """Return the angle of two views of the same samples, with its error and its null.

    Halves, and the standard deviation of the null, are taken in the leading components: the many
    others add up to a number that hardly varies.
    """
    value = angle(x, y)
    norm, n = x.norm * y.norm, len(x.values)
    whole = x.leading.shape[1] == x.values.shape[1] and y.leading.shape[1] == y.values.shape[1]
    of_leading = [
        _rough(x.leading, y.leading[rng.permutation(n)], norm) for _ in range(_LEADING_DRAWS)
    ]
    means = of_leading
    if not whole:
        means = [_rough(x.values, y.values[rng.permutation(n)], norm) for _ in range(_DRAWS)]
    # The angle of the whole is less than that of the components: the slope of arccos differs.
    cosines = np.cos(of_leading)
    null = float(np.mean(means))
    slope = max(math.sin(null), 1e-6)
    null_sd = float(np.std(cosines, ddof=1)) / slope
    return Compared(value, spread(_halves(x, y, value)), null, null_sd)


def _halves(x: ShapeView, y: ShapeView, value: float) -> FloatArray:
    """Return the value, then that of each half: its cosine moved as that of the components."""
    chosen = few_parts(len(x.bounds) - 1)
    group = np.repeat(np.arange(len(x.bounds) - 1), np.diff(x.bounds))
    cosines = []
    for part in chosen:
        rows = part[group]
        left, right = (side[rows] - side[rows].mean(axis=0) for side in (x.leading, y.leading))
        norm = float(np.linalg.norm(left) * np.linalg.norm(right))
        cosines.append(_cosine(left, right, norm) if norm > 0 else math.nan)
    moved = math.cos(value) + np.array(cosines) - cosines[0]
    return np.asarray(np.arccos(np.clip(moved, -1.0, 1.0)))


def _rough(x: FloatArray, y: FloatArray, norm: float) -> float:
    """Return an angle to six digits, which takes a third of the time."""
    return math.acos(min(_cosine(x, y, norm), 1.0))


def _cosine(x: FloatArray, y: FloatArray, norm: float) -> float:
    if x.shape[1] < y.shape[1]:
        x, y = y, x
    between = x.T @ y
    squares = scipy.linalg.eigvalsh(between.T @ between)
    return float(np.sqrt(np.maximum(squares, 0.0)).sum()) / norm


def _small_angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle by the distance after the best rotation."""
    left, right = x.values / x.norm, y.values / y.norm
    if left.shape[1] < right.shape[1]:
        left, right = right, left
    onto, _, turned = np.linalg.svd(left.T @ right, full_matrices=False)
    # The larger side is turned as a whole: what lies beyond the smaller one counts as distance.
    inside = np.linalg.norm(left @ onto @ turned - right)
    beyond = np.linalg.norm(left - (left @ onto) @ onto.T)
    return 2 * math.asin(min(math.hypot(inside, beyond) / 2, 1.0))

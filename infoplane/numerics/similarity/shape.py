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
from infoplane.numerics.similarity.samples import Compared, few_parts, groups_of, spread

_DRAWS = 5  # permutations of the null: the nuclear norm sums over many directions
_SMALL = 0.01  # radians; the cosine of less has lost half of its digits


@dataclass(frozen=True, slots=True)
class ShapeView:
    """Centred activations of no more units than samples, and their norm on all and on halves."""

    bounds: IntArray
    values: FloatArray  # (n_samples, at most n_samples)
    sums: FloatArray  # (n_groups, n_units)
    norms: FloatArray  # (n_parts,), squared, centred on the part


def shape_view(centred: FloatArray, bounds: IntArray) -> ShapeView:
    """Return the view of centred activations; a rotation takes them to as many units as samples."""
    if centred.shape[1] > len(centred):
        centred = scipy.linalg.qr(centred.T, mode="r")[0][: len(centred)].T
    groups = groups_of(bounds)
    sums = np.array([centred[rows].sum(axis=0) for rows in groups])
    squares = np.array([float((centred[rows] ** 2).sum()) for rows in groups])
    chosen = few_parts(len(groups)).astype(float)
    of_part = chosen @ sums
    norms = chosen @ squares - (of_part**2).sum(axis=1) / (chosen @ np.diff(bounds))
    return ShapeView(bounds, centred, sums, norms)


def angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle between two shapes, in radians."""
    found = _angle(x.values.T @ y.values, float(x.norms[0] * y.norms[0]))
    return _small_angle(x, y) if found < _SMALL else found


def compared(x: ShapeView, y: ShapeView, rng: np.random.Generator) -> Compared:
    """Return the angle of two views of the same samples, with its error and its null."""
    chosen = few_parts(len(x.sums)).astype(float)
    by_group = [x.values[rows].T @ y.values[rows] for rows in groups_of(x.bounds)]
    n, norms = chosen @ np.diff(x.bounds), x.norms * y.norms
    halves = []
    for part, size, norm in zip(chosen[1:], n[1:], norms[1:], strict=True):
        between = sum(one for one, there in zip(by_group, part, strict=True) if there)
        between = between - np.outer(part @ x.sums, part @ y.sums) / size
        halves.append(_angle(between, float(norm)))
    value = angle(x, y)
    null = [
        _angle(x.values.T @ y.values[rng.permutation(len(y.values))], float(norms[0]))
        for _ in range(_DRAWS)
    ]
    return Compared(
        value, spread(np.array([value, *halves])), float(np.mean(null)), float(np.std(null, ddof=1))
    )


def _angle(between: FloatArray, norm: float) -> float:
    """Return the angle by the product of units; NaN where a side does not vary."""
    if not norm > 0:
        return math.nan
    cosine = float(np.linalg.svd(between, compute_uv=False).sum()) / math.sqrt(norm)
    return math.acos(min(cosine, 1.0))


def _small_angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle by the distance after the best rotation."""
    left, right = x.values / math.sqrt(x.norms[0]), y.values / math.sqrt(y.norms[0])
    if left.shape[1] < right.shape[1]:
        left, right = right, left
    onto, _, turned = np.linalg.svd(left.T @ right, full_matrices=False)
    # The larger side is turned as a whole: what lies beyond the smaller one counts as distance.
    inside = np.linalg.norm(left @ onto @ turned - right)
    beyond = np.linalg.norm(left - (left @ onto) @ onto.T)
    return 2 * math.asin(min(math.hypot(inside, beyond) / 2, 1.0))

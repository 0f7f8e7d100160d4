"""Classes of real targets of any number of columns, and their ranks."""

from __future__ import annotations

import numpy as np

from infoplane.arrays import sortable
from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.held_out_regression import normal_scores
from infoplane.target_classes import target_classes

_NO_SPREAD = 1e-9  # of an axis, relative to the longest one
_DIGITS = 9  # of a position along an axis, in which equal targets are equal


def joint_classes(targets: Array, bins: int) -> IntArray:
    """Return classes of targets (n_samples,) or (n_samples, n_targets); ``bins`` at most.

    Of several columns the samples are halved again and again, along one principal axis of their
    ranks after the other, as often as there are halves for: 8 classes for ``bins`` of 8 to 15.
    Columns that do not vary count for nothing.
    """
    columns = targets.reshape(len(targets), -1)
    if columns.shape[1] == 1:
        return target_classes(columns[:, 0], bins)
    ranks = normal_ranks(columns)
    _, sizes, axes = np.linalg.svd(ranks, full_matrices=False)
    values = ranks @ axes[sizes > _NO_SPREAD * max(sizes.max(), 1.0)].T
    classes = np.zeros(len(values), dtype=np.int64)
    for halving in range(int(np.log2(bins)) if values.shape[1] else 0):
        column = values[:, halving % values.shape[1]]
        halves = np.empty_like(classes)
        for one in np.unique(classes):
            members = classes == one
            halves[members] = target_classes(column[members].round(_DIGITS), 2)
        classes = 2 * classes + halves
    return np.unique(classes, return_inverse=True)[1].reshape(-1).astype(np.int64)


def normal_ranks(columns: Array) -> FloatArray:
    """Return each column with its ranks made normal, ties kept: zeros where it does not vary."""
    found: FloatArray = np.column_stack([normal_scores(sortable(column)) for column in columns.T])
    centred: FloatArray = found - found.mean(axis=0)
    return centred

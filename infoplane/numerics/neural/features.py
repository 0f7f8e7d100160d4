"""What the critics see of a sample: functions of its rows that hold the same information."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from infoplane.data import FloatArray
from infoplane.numerics.neighbors.planted import normal_scores

_WAVES = {1: 16, 2: 8, 3: 4}  # of each column, by the number of columns
_SPREAD = 2.0  # variance that all columns together may have: many would be learned by heart


def features(columns: FloatArray, normal: FloatArray) -> FloatArray:
    """Return the inputs of a network (n_samples, n_features).

    The normal scores of all columns; the distance from the middle, of the scores and of the values,
    which tells of tails, scales and turns; and of few columns waves over their ranks, by which a
    small network can draw sharp edges.

    Parameters
    ----------
    columns, normal : array (n_samples, n_dims)
        A sample whose columns vary, and its normal scores.
    """
    n_dims = normal.shape[1]
    parts = [normal * min(1.0, float(np.sqrt(_SPREAD / n_dims)))]
    if n_dims > 1:
        middle = np.median(columns, axis=0)
        spread = np.median(np.abs(columns - middle), axis=0)
        spread = np.where(spread > 0, spread, columns.std(axis=0))
        squares = [np.square((columns - middle) / spread), np.square(normal)]
        parts.append(normal_scores(np.column_stack([one.mean(axis=1) for one in squares])))
    shares = ndtr(normal)
    parts.extend(np.cos(np.pi * k * shares) for k in range(1, _WAVES.get(n_dims, 0) + 1))
    return np.hstack(parts)

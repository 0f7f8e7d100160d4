"""Gram matrices of Gaussian kernels, and of classes: what information by kernels is made of."""

from __future__ import annotations

import numpy as np
import scipy

from infoplane.data import FloatArray, IntArray

_LOST = 1e-9  # error of a squared distance, in squared widths, that a kernel does not show
_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)  # of it, in squares of the point farthest out


def class_gram(labels: IntArray) -> FloatArray:
    """Return the Gram matrix (n, n) of class ids: 1 within a class, 0 between classes."""
    return np.asarray(labels[:, None] == labels[None, :], np.float64)


def square_distances(points: FloatArray) -> FloatArray:
    """Return the squared distances (n, n) between all rows; exactly 0 where rounding hides them."""
    centred = points - np.median(points, axis=0)
    squares = np.einsum("ij,ij->i", centred, centred)
    both = squares[:, None] + squares[None, :]
    distances: FloatArray = both - 2 * (centred @ centred.T)
    distances[distances <= _ROUNDING * both] = 0.0  # equal rows among them, and the diagonal
    return distances


def resolved_distances(points: FloatArray, width: float | None) -> tuple[FloatArray, float]:
    """Return the squared distances (n, n) of rows, and the width that they are looked at with.

    Without a width it is the `median_distance`; of equal rows it is 0. Products of matrices give
    the distances. Where a point lies so far out that they lose what is as short as the width,
    differences do.
    """
    squares = square_distances(points)
    if not squares.any():
        return squares, 0.0
    used = median_distance(squares) if width is None else width
    farthest = float(squares.max())
    if farthest * _ROUNDING > _LOST * used**2:
        squares = scipy.spatial.distance.squareform(
            scipy.spatial.distance.pdist(points, "sqeuclidean")
        )
        used = median_distance(squares) if width is None else width
    return squares, used


def median_distance(squares: FloatArray) -> float:
    """Return the median distance of two rows that differ, from all squared ones; 0 if none do.

    Equal rows are left out: where more than half of the pairs are equal, as behind a ReLU, the
    median of all of them is 0, and no width.
    """
    pairs = squares[np.triu_indices(len(squares), 1)]
    apart = pairs[pairs > 0.0]
    return float(np.sqrt(np.median(apart))) if apart.size else 0.0


def exponents(squares: FloatArray, width: float) -> FloatArray:
    """Return -d^2 / 2 width^2 of squared distances (n, n); 0 of equal rows at any width."""
    with np.errstate(over="ignore"):  # of a width far too narrow: the kernel is 0
        return np.asarray(squares * -0.5 / width / width if width > 0.0 else np.zeros_like(squares))

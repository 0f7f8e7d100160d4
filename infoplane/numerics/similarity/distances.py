"""Representational similarity analysis (RSA): the correlation of two matrices of distances.

Over all pairs of samples, the distances in one representation are correlated with those in the
other (Kriegeskorte et al. 2008), by rank or as they are. When the rows of one side are permuted,
the mean of the correlation is 0; its variance follows from sums over the matrices (Mantel 1967).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.spatial
import scipy.stats

from infoplane.arrays import magnitudes
from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.similarity.pairs_of_samples import Blocks, in_parts
from infoplane.numerics.similarity.permuted import Moments, permuted_variance
from infoplane.numerics.similarity.samples import Compared, groups_of, parts, spread

Metric: TypeAlias = Literal["sqeuclidean", "euclidean", "cosine", "correlation", "cityblock"]
_DIGITS = 12  # beyond these, differences between equal distances are rounding
_UNEVEN = 1e3  # largest square of a sample, in medians of the squared distances
METRICS = ("sqeuclidean", "euclidean", "cosine", "correlation", "cityblock")


@dataclass(frozen=True, slots=True)
class DistanceView:
    """Distances, or their ranks, with mean 0 over all pairs of samples; the diagonal is 0."""

    matrix: Blocks
    totals: FloatArray  # (n_groups, n_groups), sums over blocks
    squares: FloatArray  # likewise
    moments: Moments


def distance_view(
    activations: FloatArray, bounds: IntArray, *, metric: str, ranks: bool
) -> DistanceView:
    """Return the view of activations (n_samples, n_units).

    Raises
    ------
    EstimationError
        If all distances are equal, or one is undefined.
    """
    distances = _distances(activations, metric)
    if not np.isfinite(distances).all():
        raise EstimationError(
            f"the {metric} distance is undefined: a sample has the same value in all units",
            hint="use metric='sqeuclidean'",
        )
    values = scipy.stats.rankdata(distances) if ranks else distances
    values = values - values.mean()
    norm = math.sqrt(float(values @ values))
    if norm <= 1e-12 * float(np.abs(distances).max() if not ranks else len(distances)):
        raise EstimationError(
            "all distances between samples are equal in this layer: nothing to correlate",
            hint="leave the layer out",
        )
    square = scipy.spatial.distance.squareform(values / norm, checks=False)
    matrix = Blocks.of(square, bounds)
    sums = matrix.sums()
    totals = np.array([sums[rows].sum(axis=0) for rows in groups_of(bounds)])
    return DistanceView(matrix, totals, matrix.products(matrix), Moments.symmetric(square))


def compared(x: DistanceView, y: DistanceView) -> Compared:
    """Return the correlation of two views of the same samples, with its error and its null.

    On halves, ranks are those among all samples.
    """
    bounds = x.matrix.bounds
    chosen = parts(len(bounds) - 1).astype(float)
    n = chosen @ np.diff(bounds)
    n_pairs = n * (n - 1)
    mean_x, mean_y = (in_parts(view.totals, chosen) / n_pairs for view in (x, y))
    covariance = in_parts(x.matrix.products(y.matrix), chosen) / n_pairs - mean_x * mean_y
    var_x = in_parts(x.squares, chosen) / n_pairs - mean_x**2
    var_y = in_parts(y.squares, chosen) / n_pairs - mean_y**2
    there = (var_x > 0) & (var_y > 0)
    values = np.full(len(n), np.nan)
    values[there] = covariance[there] / np.sqrt(var_x[there] * var_y[there])
    variance = permuted_variance(x.moments, y.moments, int(bounds[-1]))
    total = math.sqrt(float(x.squares.sum() * y.squares.sum()))
    return Compared(float(values[0]), spread(values), 0.0, math.sqrt(max(variance, 0.0)) / total)


def _distances(activations: FloatArray, metric: str) -> FloatArray:
    """Return the distances of all pairs (n_pairs,); equal ones are equal numbers."""
    if metric in ("cosine", "correlation"):  # of directions alone
        activations = activations / magnitudes(activations)[:, None]
    if metric not in ("sqeuclidean", "euclidean"):
        return np.asarray(scipy.spatial.distance.pdist(activations, metric))
    products = activations @ activations.T
    squares = products.diagonal()
    rows, columns = np.triu_indices(len(squares), 1)
    found = squares[rows] + squares[columns] - 2 * products[rows, columns]
    largest = float(squares.max())
    if largest > _UNEVEN * float(np.median(found)):  # most distances are digits of the largest
        found = scipy.spatial.distance.pdist(activations, "sqeuclidean")
        mantissa, exponent = np.frexp(found)
        found = np.ldexp(np.round(mantissa, _DIGITS), exponent)
    elif largest > 0:
        found = np.round(found / largest, _DIGITS)
    return np.sqrt(found) if metric == "euclidean" else np.asarray(found)

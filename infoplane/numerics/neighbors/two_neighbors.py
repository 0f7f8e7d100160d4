"""Intrinsic dimension from the distances to the two nearest neighbours.

Where the density is even between a sample and its second neighbour, the ratio of the two distances
follows a Pareto law whose exponent is the dimension, whatever the density.

References
----------
Facco, d'Errico, Rodriguez, Laio: "Estimating the intrinsic dimension of datasets by a minimal
neighborhood information", Scientific Reports 7, 2017. Denti et al., Scientific Reports 12, 2022:
the unbiased maximum likelihood.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.neighbors.search import neighbor_distances

DISCARDED = 0.1
"""Share of the largest ratios, which tell of curvature and edges more than of dimension."""

_BLOCK = 1 << 22  # distances held at once
_CANCELLED = 1e-6  # share of a squared length below which a squared distance is measured again

FEWEST = 10
"""Distinct samples below which there is no dimension."""


def neighbor_ratios(points: FloatArray) -> FloatArray:
    """Return the ratios of the distances to the second and first neighbour, ascending.

    Parameters
    ----------
    points : array (n_samples, n_dims)
        Distinct.

    Raises
    ------
    EstimationError
        If there are fewer than 10.
    """
    if len(points) < FEWEST:
        raise EstimationError(f"expected at least {FEWEST} distinct samples, got {len(points)}")
    return ratios_of(neighbor_distances(points, 2))


def ratios_of(distances: FloatArray) -> FloatArray:
    """Return the ratios, ascending, from the distances to neighbours (n_samples, 2 or more)."""
    return np.sort(distances[:, 1] / distances[:, 0])


def distances_by_products(points: FloatArray, k: int) -> FloatArray:
    """Return the distances to the k nearest other points (n_samples, k), ascending.

    By products in double precision, the quicker way for a few thousand points of many dimensions;
    where they cancel, pairs are measured again.

    Parameters
    ----------
    points : array (n_samples, n_dims)
        Distinct, about their mean.
    k : int
        Below ``n_samples``.
    """
    squares = np.einsum("ij,ij->i", points, points)
    found = np.empty((len(points), k))
    step = max(1, _BLOCK // len(points))
    for start in range(0, len(points), step):
        block = points[start : start + step]
        here = np.arange(len(block))
        apart = block @ points.T
        apart *= -2.0
        apart += squares
        apart += squares[start : start + step, None]
        apart[here, start + here] = np.inf
        nearest = np.argpartition(apart, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(apart, nearest, axis=1)
        lost = np.nonzero(near < _CANCELLED * squares[start : start + step, None])
        gaps = block[lost[0]] - points[nearest[lost]]
        near[lost] = np.einsum("ij,ij->i", gaps, gaps)
        found[start : start + step] = np.sqrt(np.sort(near, axis=1))
    return found


def censored_dimension(ratios: FloatArray) -> float:
    """Return the dimension by maximum likelihood; the largest ratios count as larger than others.

    Parameters
    ----------
    ratios : array (n,)
        Ascending, above 1.
    """
    n, kept = len(ratios), int(len(ratios) * (1.0 - DISCARDED))
    logs = np.log(ratios[:kept])
    total = float(logs.sum() + (n - kept) * logs[-1])
    if total <= 0.0:
        raise EstimationError("expected neighbours at different distances, got equal ones")
    return (kept - 1) / total


def fitted_dimension(ratios: FloatArray) -> float:
    """Return the slope through 0 of -log(1 - F) against log ratio, of the smaller ratios."""
    n, kept = len(ratios), int(len(ratios) * (1.0 - DISCARDED))
    logs, y = np.log(ratios[:kept]), -np.log1p(-np.arange(1, kept + 1) / n)
    return float((logs @ y) / (logs @ logs))


def mean_over_parts(
    dimension: Callable[[FloatArray], float],
    points: FloatArray,
    scale: int,
    rng: np.random.Generator,
) -> float:
    """Return the mean dimension of so many disjoint random parts of points (n_samples, n_dims)."""
    if scale == 1:
        return dimension(points)
    parts: list[IntArray] = np.array_split(rng.permutation(len(points)), scale)
    return float(np.mean([dimension(points[np.sort(part)]) for part in parts]))

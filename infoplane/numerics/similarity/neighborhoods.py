"""Mutual nearest neighbours: the share of each sample's neighbours that both sides agree on.

Of the k nearest other samples of each sample in one representation, the share that is among the k
nearest in the other, averaged over samples (the alignment metric of Huh et al. 2024; the overlap of
Doimo et al. 2020). When the rows of one side are permuted, its mean is k / (n - 1).

Samples that are equally far share the places that are left among the k (a layer of few states has
many). Then a row has weights, and the overlap is divided by the geometric mean of that of each side
with itself, so that it stays 1 for equal neighbourhoods; both are k for every row without ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.spatial
from scipy import sparse

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.neighbors.search import nearest_neighbors
from infoplane.numerics.similarity.permuted import Moments, permuted_mean, permuted_variance
from infoplane.numerics.similarity.samples import Compared, parts, spread

_VALUES = 1 << 22  # distances held at once
_ROUNDING = 1e-12  # share of the largest norm within which distances are equal


@dataclass(frozen=True, slots=True)
class NeighborView:
    """The nearest neighbours of each sample, as a matrix of ones, or of shares of tied places."""

    bounds: IntArray
    k: int
    links: sparse.csr_array  # (n_samples, n_samples), each row sums to k
    own: FloatArray  # (n_groups,), sums of its squares
    moments: Moments


def neighbor_view(centred: FloatArray, bounds: IntArray, k: int) -> NeighborView:
    """Return the view of activations (n_samples, n_units), of more than ``k`` samples."""
    n = len(centred)
    links = _links(np.ascontiguousarray(centred), k)
    squares = np.asarray(links.multiply(links).sum(axis=1)).ravel()
    columns = np.asarray(links.sum(axis=0)).ravel()
    mutual = float(links.multiply(links.T).sum())
    moments = Moments.of(np.full(n, float(k)), columns, float(squares.sum()), mutual)
    return NeighborView(bounds, k, links, np.add.reduceat(squares, bounds[:-1]), moments)


def _links(points: FloatArray, k: int) -> sparse.csr_array:
    """Return the weight of each sample among the neighbours of each (n_samples, n_samples)."""
    n = len(points)
    more = min(k + 1, n - 1)
    distances, nearest = nearest_neighbors(points, more)
    rounding = _ROUNDING * float(np.linalg.norm(points, axis=1).max())
    last = distances[:, k:].min(axis=1, initial=np.inf)  # none is left where all are neighbours
    tied = np.flatnonzero(last <= distances[:, k - 1] + rounding).astype(np.int64)
    rows = np.repeat(np.arange(n), k)
    columns, weights = nearest[:, :k].ravel(), np.ones(n * k)
    if len(tied):
        kept = ~np.isin(rows, tied)
        found = [(rows[kept], columns[kept], weights[kept])]
        step = max(1, _VALUES // n)
        for start in range(0, len(tied), step):
            of = tied[start : start + step]
            found.append(_shares(points, of, k, distances[of, k - 1], rounding))
        rows, columns, weights = map(np.concatenate, zip(*found, strict=True))
    return sparse.csr_array((weights, (rows, columns)), shape=(n, n))


def _shares(
    points: FloatArray, of: IntArray, k: int, radii: FloatArray, rounding: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return rows, samples no farther than the ``k``-th nearest, and the places of each."""
    distances = scipy.spatial.distance.cdist(points[of], points)
    distances[np.arange(len(of)), of] = np.inf
    within = distances <= radii[:, None] + rounding
    sure = distances < radii[:, None] - rounding
    n_sure = sure.sum(axis=1)
    left = (k - n_sure) / (within.sum(axis=1) - n_sure)
    rows, columns = np.nonzero(within)
    return of[rows], columns, np.where(sure[rows, columns], 1.0, left[rows])


def compared(x: NeighborView, y: NeighborView) -> Compared:
    """Return the overlap of two views of the same samples, with its error and its null.

    On halves, neighbours are those among all samples.
    """
    n = x.links.shape[0]
    shared = np.asarray(x.links.multiply(y.links).sum(axis=1)).ravel()
    groups = np.add.reduceat(shared, x.bounds[:-1])
    chosen = parts(len(groups)).astype(float)
    norms = np.sqrt((chosen @ x.own) * (chosen @ y.own))
    values = chosen @ groups / norms
    variance = permuted_variance(x.moments, y.moments, n)
    return Compared(
        float(values[0]),
        spread(values),
        permuted_mean(x.moments, y.moments, n) / norms[0],
        math.sqrt(max(variance, 0.0)) / norms[0],
    )

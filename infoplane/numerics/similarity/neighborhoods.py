"""Mutual nearest neighbours: the share of each sample's neighbours that both sides agree on.

Of the k nearest other samples of each sample in one representation, the share that is among the k
nearest in the other, averaged over samples (the alignment metric of Huh et al. 2024; the overlap of
Doimo et al. 2020). When the rows of one side are permuted, its mean is k / (n - 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.neighbors.search import nearest_neighbors
from infoplane.numerics.similarity.permuted import Moments, permuted_mean, permuted_variance
from infoplane.numerics.similarity.samples import Compared, parts, spread


@dataclass(frozen=True, slots=True)
class NeighborView:
    """The nearest neighbours of each sample, as a matrix of ones."""

    bounds: IntArray
    k: int
    links: sparse.csr_array  # (n_samples, n_samples)
    moments: Moments


def neighbor_view(centred: FloatArray, bounds: IntArray, k: int) -> NeighborView:
    """Return the view of activations (n_samples, n_units), of more than ``k`` samples."""
    n = len(centred)
    nearest = nearest_neighbors(np.ascontiguousarray(centred), k)[1]
    rows = np.repeat(np.arange(n), k)
    links = sparse.csr_array((np.ones(n * k), (rows, nearest.ravel())), shape=(n, n))
    columns = np.asarray(links.sum(axis=0)).ravel()
    mutual = float(links.multiply(links.T).sum())
    moments = Moments.of(np.full(n, float(k)), columns, float(n * k), mutual)
    return NeighborView(bounds, k, links, moments)


def compared(x: NeighborView, y: NeighborView) -> Compared:
    """Return the overlap of two views of the same samples, with its error and its null.

    On halves, neighbours are those among all samples.
    """
    n, k = x.links.shape[0], x.k
    shared = np.asarray(x.links.multiply(y.links).sum(axis=1)).ravel() / k
    groups = np.add.reduceat(shared, x.bounds[:-1])
    chosen = parts(len(groups)).astype(float)
    values = chosen @ groups / (chosen @ np.diff(x.bounds))
    variance = permuted_variance(x.moments, y.moments, n)
    return Compared(
        float(values[0]),
        spread(values),
        permuted_mean(x.moments, y.moments, n) / (n * k),
        math.sqrt(max(variance, 0.0)) / (n * k),
    )

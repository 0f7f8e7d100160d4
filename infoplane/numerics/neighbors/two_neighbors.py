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
from dataclasses import dataclass

import numpy as np

from infoplane.arrays import empty
from infoplane.data import Array, FloatArray, IntArray
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


@dataclass(frozen=True, eq=False)
class SquaredDistances:
    """Squared distances between all samples of a layer, from which those of some are taken.

    They are made of products in double precision, the quicker way for a few thousand samples of
    many units; where they cancel, the pairs that are needed are measured again. The layer is read
    in blocks of units.

    Parameters
    ----------
    values : array (n_samples, n_units)
        Finite and distinct rows, of any size.
    scale : float
        By which values are divided.
    lengths : array (n_samples,)
        Squared distances from the mean.
    apart : array (n_samples, n_samples)
        Of pairs; infinite on the diagonal.
    """

    values: Array
    scale: float
    lengths: FloatArray
    apart: FloatArray

    @classmethod
    def of(cls, values: Array) -> SquaredDistances:
        """Return those between the rows of a layer."""
        from scipy.linalg.blas import dsyrk

        n, n_units = values.shape
        scale = max(float(values.max()), -float(values.min())) or 1.0
        apart = empty((n, n), np.float64).T
        apart[:] = 0.0
        step = max(1, _BLOCK // n)
        for start in range(0, n_units, step):
            block = np.array(values[:, start : start + step], dtype=np.float64, order="F")
            block /= scale
            block -= block.mean(axis=0)
            apart = dsyrk(-2.0, block, beta=1.0, c=apart, overwrite_c=1)
        lengths = -0.5 * apart.diagonal()
        for start in range(0, n, step := max(1, _BLOCK // n)):
            here = slice(start, start + step)
            upper = apart[here, start:]  # of rows here, from their own columns on
            upper += lengths[here, None] + lengths[start:]
            width = len(upper)
            upper[:, :width] = np.triu(upper[:, :width], 1)
            upper[:, :width] += upper[:, :width].T
            np.fill_diagonal(upper, np.inf)
            apart[start + width :, here] = upper[:, width:].T
        return cls(values, scale, lengths, apart)

    def nearest(self, samples: IntArray, k: int) -> FloatArray:
        """Return the distances of samples to the k nearest of these (n, k), ascending."""
        found = np.empty((len(samples), k))
        step = max(1, _BLOCK // len(samples))
        for start in range(0, len(samples), step):
            rows = samples[start : start + step]
            apart = self.apart[samples[:, None], rows].T  # a symmetric matrix, in Fortran order
            columns = np.argpartition(apart, k - 1, axis=1)[:, :k]
            near = np.take_along_axis(apart, columns, axis=1)
            lost = np.nonzero(near < _CANCELLED * self.lengths[rows, None])
            near[lost] = self._measured(rows[lost[0]], samples[columns[lost]])
            found[start : start + step] = np.sqrt(np.sort(near, axis=1))
        return found * self.scale

    def _measured(self, one: IntArray, other: IntArray) -> FloatArray:
        """Return squared distances by differences."""
        found = np.empty(len(one))
        step = max(1, _BLOCK // self.values.shape[1])
        for start in range(0, len(one), step):
            here = slice(start, start + step)
            gaps = self.values[one[here]].astype(np.float64) / self.scale
            gaps -= self.values[other[here]].astype(np.float64) / self.scale
            found[here] = np.einsum("ij,ij->i", gaps, gaps)
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

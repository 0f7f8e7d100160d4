"""Centred kernel alignment (CKA): linear, of the rest after the top component, Gaussian.

With a kernel matrix K of one side and L of the other, CKA is HSIC(K, L) divided by the geometric
mean of HSIC(K, K) and HSIC(L, L) (Cortes et al. 2012; Kornblith et al. 2019). The biased HSIC is
far above 0 for independent data of more units than samples. Debiased, each is the unbiased one of
Song et al. 2012: the diagonals are left out, and

    n (n - 3) HSIC = sum KL + (sum K) (sum L) / ((n - 1) (n - 2)) - 2 / (n - 2) sum_i k_i l_i

with row sums k and l. When the rows of one side are permuted, its mean is exactly 0 and the
standard deviation of debiased CKA exactly sqrt(2 / (n (n - 3))), whatever the kernels: both are
matrices whose rows and diagonal sum to 0.

Linear kernels are summed over samples or over units, whichever is cheaper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.spatial

from infoplane.calls import unfit
from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.similarity.pairs_of_samples import (
    Blocks,
    in_parts,
    pairs,
    row_products,
    rows_in_parts,
)
from infoplane.numerics.similarity.samples import Compared, groups_of, parts, positive, spread

_MANY = 4000  # samples of which a kernel matrix takes much memory
_VALUES = 1 << 22  # products of units held at once
_WIDTHS = (1e-6, 1e6)  # of Gaussian kernels; beyond, it is linear, or no samples are alike
_ONE_VARIANCE = 1e-4  # share of the largest variance; random layers of 1000 units are above 1e-3


@dataclass(frozen=True, slots=True)
class KernelView:
    """What is kept of a kernel matrix over the samples, for any number of comparisons.

    The matrix itself, or the centred activations whose products it holds; with the sums and its
    HSIC with itself on all samples and on each half.
    """

    bounds: IntArray
    debiased: bool
    features: FloatArray | None  # (n_samples, n_units), of a linear kernel of few units
    matrix: Blocks | None
    diagonal: FloatArray  # (n_samples,), zeros where it is left out
    sums: FloatArray  # (n_samples, n_groups)
    own: FloatArray  # (n_parts,), HSIC with itself
    trace: float  # of the centred matrix
    fourth: float  # sum of the squares of its diagonal

    def blocks(self) -> Blocks:
        """Return the matrix, made anew where only activations are kept."""
        if self.matrix is not None:
            return self.matrix
        assert self.features is not None
        matrix = _linear_blocks(self.features, self.bounds)
        return matrix.without_diagonal() if self.debiased else matrix

    @property
    def n_samples(self) -> int:
        """Samples of the view."""
        return len(self.diagonal)


def as_matrix(n: int, d: int) -> bool:
    """Tell whether the kernel matrix of so many samples and units is cheaper than activations."""
    return d * (16 if n <= _MANY else 4) >= n


def linear_view(centred: FloatArray, bounds: IntArray, *, debiased: bool) -> KernelView:
    """Return the view of the linear kernel of centred activations (n_samples, n_units)."""
    if as_matrix(*centred.shape):
        return _of_matrix(_linear_blocks(centred, bounds), bounds, debiased=debiased)
    diagonal = np.einsum("ij,ij->i", centred, centred)
    sums = centred @ np.array([centred[rows].sum(axis=0) for rows in groups_of(bounds)]).T
    return _finished(
        bounds, debiased=debiased, features=centred, matrix=None, diagonal=diagonal, sums=sums,
        products=_feature_products(centred, centred, bounds),
    )  # fmt: skip


def checked_width(width: object) -> float:
    """Return the width of a Gaussian kernel.

    Raises
    ------
    InputError
        If it is no positive number, or beyond all use.
    """
    found = positive(width, "width")
    if not _WIDTHS[0] <= found <= _WIDTHS[1]:
        raise unfit("width", "a number from {:g} to {:g}".format(*_WIDTHS), width)
    return found


def gaussian_view(
    centred: FloatArray, bounds: IntArray, *, width: float, debiased: bool
) -> KernelView:
    """Return the view of a Gaussian kernel.

    Its bandwidth is ``width`` times the root of the median squared distance, over all pairs and the
    diagonal (as in the notebook of Kornblith et al. 2019).
    """
    distances = scipy.spatial.distance.squareform(
        scipy.spatial.distance.pdist(centred, "sqeuclidean")
    )
    median = float(np.median(distances))
    if median == 0:
        raise EstimationError(
            "the median distance between samples is 0: a Gaussian kernel has no width",
            hint="most samples are alike in this layer; use the linear kernel",
        )
    of = np.expm1 if width > 1.0 else np.exp  # 1 less: centred as much, and a wide one has digits
    kernel = of(distances / (-2 * width**2 * median))
    return _of_matrix(Blocks.of(kernel, bounds), bounds, debiased=debiased)


def compared(x: KernelView, y: KernelView) -> Compared:
    """Return the CKA of two views of the same samples, with its error and its null."""
    values = _hsic(x, y) / np.sqrt(x.own * y.own)
    null, null_sd = (0.0, _debiased_sd(x.n_samples)) if x.debiased else _biased_null(x, y)
    return Compared(float(values[0]), spread(values), null, null_sd)


def without_top_component(centred: FloatArray) -> FloatArray:
    """Return centred activations without their first principal component.

    Raises
    ------
    EstimationError
        If nothing is left, or the two largest variances are equal: which component is the first
        would then be a matter of rounding, or of the order of the units.
    """
    n, d = centred.shape
    side = centred.T @ centred if d < n else centred @ centred.T
    size = len(side)
    variances, vectors = scipy.linalg.eigh(side, subset_by_index=[max(size - 2, 0), size - 1])
    variance, vector = float(variances[-1]), vectors[:, -1:]
    if d < n:
        rest = centred - (centred @ vector) @ vector.T
    else:
        rest = centred - vector @ (vector.T @ centred)
    if size > 1 and variance - float(variances[0]) <= _ONE_VARIANCE * variance:
        raise EstimationError(
            "the two largest components have the same variance: neither is the first",
            hint="use cka, which leaves nothing out, or another measure",
        )
    if float((rest**2).sum()) <= 1e-20 * variance:
        raise EstimationError(
            "the layer has one component only: nothing is left without the first",
            hint="leave the layer out, or use another measure",
        )
    return np.asarray(rest)


def _of_matrix(matrix: Blocks, bounds: IntArray, *, debiased: bool) -> KernelView:
    diagonal = matrix.diagonal()
    if debiased:
        matrix = matrix.without_diagonal()
    return _finished(
        bounds, debiased=debiased, features=None, matrix=matrix, diagonal=diagonal,
        sums=matrix.sums(), products=matrix.products(matrix),
    )  # fmt: skip


def _finished(
    bounds: IntArray, *, debiased: bool, features: FloatArray | None, matrix: Blocks | None,
    diagonal: FloatArray, sums: FloatArray, products: FloatArray,
) -> KernelView:  # fmt: skip
    """Return a view; ``sums`` and ``products`` of activations still hold the diagonal."""
    if debiased and features is not None:
        for g, rows in enumerate(groups_of(bounds)):
            sums[rows, g] -= diagonal[rows]
            products[g, g] -= float(diagonal[rows] @ diagonal[rows])
    total = sums.sum(axis=1)
    centre = diagonal - 2 * total / len(total) + total.sum() / len(total) ** 2
    own = _hsic_of(products, sums, sums, bounds, debiased=debiased)
    if not (own > 0).all():
        if not own[0] > 0:
            raise EstimationError(
                "every two samples are equally alike in this layer: nothing to compare",
                hint="leave the layer out",
            )
        own = np.where(own > 0, own, np.nan)  # a half that is constant has no value
    return KernelView(
        bounds, debiased, features, matrix, diagonal, sums, own,
        float(centre.sum()), float(centre @ centre),
    )  # fmt: skip


def _hsic(x: KernelView, y: KernelView) -> FloatArray:
    """Return HSIC on all samples and on each half, up to a factor that all pairs share."""
    if x.features is not None and y.features is not None:
        products = _feature_products(x.features, y.features, x.bounds)
        if x.debiased:
            for g, rows in enumerate(groups_of(x.bounds)):
                products[g, g] -= float(x.diagonal[rows] @ y.diagonal[rows])
    else:
        products = x.blocks().products(y.blocks())
    return _hsic_of(products, x.sums, y.sums, x.bounds, debiased=x.debiased)


def _hsic_of(
    products: FloatArray, left: FloatArray, right: FloatArray, bounds: IntArray, *, debiased: bool
) -> FloatArray:
    chosen = parts(len(bounds) - 1).astype(float)
    n: FloatArray = chosen @ np.diff(bounds)
    both = in_parts(products, chosen)
    rows = rows_in_parts(row_products(left, right, bounds), chosen)
    totals = _totals(left, bounds, chosen) * _totals(right, bounds, chosen)
    if debiased:
        return both + totals / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)
    return both + totals / n**2 - 2 * rows / n


def _totals(sums: FloatArray, bounds: IntArray, chosen: FloatArray) -> FloatArray:
    return in_parts(np.array([sums[rows].sum(axis=0) for rows in groups_of(bounds)]), chosen)


def _feature_products(x: FloatArray, y: FloatArray, bounds: IntArray) -> FloatArray:
    """Return the sums of products of two linear kernels by pair of groups (n_groups, n_groups).

    The sum over samples i of one and j of another group of (x_i x_j) (y_i y_j) is the product of
    the two groups' covariances of units.
    """
    groups = groups_of(bounds)
    found = np.zeros((len(groups), len(groups)))
    step = max(1, _VALUES // (x.shape[1] * len(groups)))
    for start in range(0, y.shape[1], step):
        some = y[:, start : start + step]
        between = np.stack([(x[rows].T @ some[rows]).ravel() for rows in groups])
        found += between @ between.T
    return found


def _linear_blocks(x: FloatArray, bounds: IntArray) -> Blocks:
    return Blocks(bounds, tuple(x[a] @ x[b].T for _, _, a, b in pairs(bounds)))


def _debiased_sd(n: int) -> float:
    return math.sqrt(2 / (n * (n - 3)))


def _biased_null(x: KernelView, y: KernelView) -> tuple[float, float]:
    """Return mean and standard deviation of biased CKA over permutations of rows.

    The first two moments of the trace of a product of two centred matrices, one of them permuted:
    Kazi-Aoual, Hitier, Sabatier, Lebreton 1995.
    """
    n, norm = x.n_samples, math.sqrt(x.own[0] * y.own[0])
    squares = [(n - 1) * view.own[0] - view.trace**2 for view in (x, y)]
    fourths = [
        n * (n + 1) * view.fourth - (n - 1) * (view.trace**2 + 2 * view.own[0]) for view in (x, y)
    ]
    variance = 2 * squares[0] * squares[1] / ((n - 1) ** 2 * (n + 1) * (n - 2))
    variance += fourths[0] * fourths[1] / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    return x.trace * y.trace / ((n - 1) * norm), math.sqrt(max(variance, 0.0)) / norm

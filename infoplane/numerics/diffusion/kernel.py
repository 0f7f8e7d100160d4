"""Gaussian and diffusion kernels of points.

Arrays may be NumPy or torch (CUDA); the code uses only what both spell alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.diffusion.points import SMALL, STRIP, PointCloud, half_square_strips
from infoplane.numerics.tensors import Tensor, array_module, place_of

Normalization: TypeAlias = Literal["official", "rowstochastic"]

BLOCK = 64  # rows scaled at a time, in cache; divides the strips of distances
_FLOOR = {"float32": -60.0, "float64": -600.0}  # denormal numbers slow products down tenfold
_MERGED = 4e-16  # share of the squared norms below which a squared distance is rounding
NEAR_ENOUGH = 200.0  # squared norm, in bandwidths, from which float32 distances cost digits
_NEAR = 50.0  # squared norm up to which products and distances are rounded alike


def gaussian_kernel(cloud: PointCloud, dtype: str = "float64", *, lower: bool = False) -> Tensor:
    """Return the Gaussian kernel exp(-|x_i - x_j|² / 2) (n, n), its diagonal exactly 1.

    Parameters
    ----------
    cloud : PointCloud
        The points, the bandwidth as their unit of length.
    dtype : {"float64", "float32"}
        Of the result. Distances are float32 only where that costs no accuracy.
    lower : bool
        Leave what is right of the diagonal blocks undefined, for who reads the lower triangle.
    """
    xp = array_module(cloud.points)
    largest = float(cloud.square_norms.max())
    if dtype == "float32" and largest < NEAR_ENOUGH:
        cloud = cloud.in_single_precision()
    kind, place = getattr(xp, dtype), place_of(cloud.points)
    floor = _FLOOR[dtype]
    kernel = xp.empty((cloud.n, cloud.n), dtype=kind, **place)
    out = kernel if cloud.points.dtype == kind else None
    merge = _MERGED if largest > 1e4 else 0.0
    for rows, strip in half_square_strips(cloud, merge=merge, out=out):
        if 2 * largest > -floor:
            strip[strip < floor] = -np.inf
        done = kernel[rows, : rows.stop]
        xp.exp(strip, out=done)
        if not lower:
            kernel[: rows.start, rows] = done[:, : rows.start].T
    diagonal = xp.arange(cloud.n, **place)
    kernel[diagonal, diagonal] = 1.0
    return kernel


def half_squares(cloud: PointCloud) -> Tensor:
    """Return the matrix -|x_i - x_j|² / 2 (n, n), in the unit and type of the cloud."""
    xp, points = array_module(cloud.points), cloud.points
    if points.dtype == xp.float32:
        matrix = points @ points.T
        for half in (0.5 * cloud.square_norms[:, None], 0.5 * cloud.square_norms):
            matrix -= half
        xp.clip(matrix, None, 0.0, out=matrix)
    else:
        matrix = xp.empty((cloud.n, cloud.n), dtype=xp.float64, **place_of(points))
        for rows, strip in half_square_strips(cloud, merge=_MERGED, out=matrix):
            matrix[: rows.start, rows] = strip[:, : rows.start].T
    diagonal = xp.arange(cloud.n, **place_of(cloud.points))
    matrix[diagonal, diagonal] = 0.0
    return matrix


def kernel_of_squares(squares: Tensor, unit: float, *, overwrite: bool = False) -> Tensor:
    """Return the Gaussian kernel of :func:`half_squares`, the bandwidth 1 / ``unit`` of theirs."""
    xp = array_module(squares)
    kernel = xp.multiply(squares, unit**2, out=squares if overwrite else None)
    floor = _FLOOR[str(kernel.dtype).removeprefix("torch.")]
    if float(kernel.min()) < floor:
        kernel[kernel < floor] = -np.inf
    return xp.exp(kernel, out=kernel)


def unweighted_kernel(cloud: PointCloud) -> tuple[FloatArray, FloatArray] | None:
    """Return exp(x_i · x_j) (n, n) and exp(-|x_i|² / 2) (n,), factors of the Gaussian kernel.

    The "official" diffusion kernel of the first, with the second as weights, is that of the
    Gaussian kernel, for what divides rows and columns cancels; passes over a matrix are saved. What
    is right of the diagonal blocks is undefined. None far from the centre, where it costs digits.
    """
    if float(cloud.square_norms.max()) > _NEAR:
        return None
    kernel = np.empty((cloud.n, cloud.n))
    step = cloud.n if cloud.n <= SMALL else STRIP
    for start in range(0, cloud.n, step):
        stop = min(start + step, cloud.n)
        done = kernel[start:stop, :stop]
        np.matmul(cloud.points[start:stop], cloud.points[:stop].T, out=done)
        np.exp(done, out=done)
    return kernel, np.exp(-0.5 * cloud.square_norms)


def check_normalization(normalization: str, alpha: float) -> None:
    """Refuse unknown normalisations.

    Raises
    ------
    InputError
        If ``normalization`` is unknown or ``alpha`` is outside [0, 1].
    """
    if normalization not in ("official", "rowstochastic"):
        raise InputError(
            f"expected normalization 'official' or 'rowstochastic', got {normalization!r}"
        )
    if not 0 <= alpha <= 1:
        raise InputError(f"expected alpha in [0, 1], got {alpha}")


def diffusion_kernel(
    gaussian: Tensor,
    normalization: str,
    alpha: float,
    *,
    weights: Tensor | None = None,
    n: int | None = None,
    lower: bool = False,
) -> tuple[Tensor, Tensor, float]:
    """Turn a Gaussian kernel into the symmetric diffusion kernel, in place.

    ``official`` is K = D^-1/2 G D^-1/2, similar to the random walk D^-1 G. ``rowstochastic``
    first divides by (d_i d_j)^alpha, then does the same with the new row sums; at alpha 0 both
    are equal, at 1/2 it is the operator that the paper defines.

    Parameters
    ----------
    gaussian : array (n, n)
        Overwritten.
    normalization : {"official", "rowstochastic"}
        Which one.
    alpha : float
        Exponent of the density, for ``rowstochastic``.
    weights : array (n,), optional
        How many equal points each row stands for. The kernel then has the eigenvalues of that of
        all the points, which only has zeros beside them.
    n : int, optional
        How many points there are; None is the sum of the weights.
    lower : bool
        Read and write no more than the lower triangle of ``gaussian`` and its diagonal blocks.

    Returns
    -------
    kernel : array (n, n)
        Symmetric, positive semi-definite, largest eigenvalue 1.
    top : array (n,)
        Its eigenvector to the eigenvalue 1, not normalised.
    mean_degree : float
        Mean row sum of the Gaussian kernel, the effective number of neighbours with the point.

    Raises
    ------
    EstimationError
        If a row sum is not positive and finite.

    References
    ----------
    Liao et al., arXiv 2312.04823, section III; Coifman, Lafon: "Diffusion maps", 2006.
    """
    weight = 1.0 if weights is None else weights
    degree = _row_sums(gaussian, weights, lower)
    total = n or (len(gaussian) if weights is None else float(weights.sum()))
    mean_degree = float((weight * degree).sum()) / total
    if not np.isfinite(mean_degree):
        raise EstimationError("expected a finite kernel, got overflow in the distances")
    if normalization == "rowstochastic" and alpha > 0:
        _scale(gaussian, degree**-alpha, lower)
        degree = _row_sums(gaussian, weights, lower)
    _scale(gaussian, (weight / degree) ** 0.5, lower)
    return gaussian, (weight * degree) ** 0.5, mean_degree


def _strips(matrix: Tensor, lower: bool) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield rows, columns and their part of a matrix (n, n): whole rows, or up to the diagonal."""
    n = len(matrix)
    step = BLOCK if isinstance(matrix, np.ndarray) and n > SMALL else n
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        columns = slice(0, rows.stop if lower else n)
        yield rows, columns, matrix[rows, columns]


def _row_sums(matrix: Tensor, weights: Tensor | None, lower: bool) -> Tensor:
    """Return the weighted sums in float64 of the rows of a symmetric matrix."""
    xp = array_module(matrix)
    sums = xp.zeros(len(matrix), dtype=xp.float64, **place_of(matrix))
    for rows, columns, strip in _strips(matrix, lower):
        above = strip[:, : rows.start if lower else 0]
        if weights is None:
            sums[rows] += strip.sum(1, dtype=xp.float64)
            sums[: above.shape[1]] += above.sum(0, dtype=xp.float64)
        else:
            sums[rows] += strip @ weights[columns]
            sums[: above.shape[1]] += weights[rows] @ above
    return sums


def _scale(matrix: Tensor, factor: Tensor, lower: bool) -> None:
    """Multiply rows and columns of ``matrix`` by ``factor``, in place and in cache."""
    on_cpu = isinstance(matrix, np.ndarray)
    factor = factor.astype(matrix.dtype) if on_cpu else factor.to(matrix.dtype)
    for rows, columns, strip in _strips(matrix, lower):
        strip *= factor[rows, None]
        strip *= factor[columns]

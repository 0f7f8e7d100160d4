"""Points, their bandwidth, and the diffusion kernel on them.

Arrays may be NumPy or torch (CUDA); the code uses only what both spell alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np

from infoplane.errors import EstimationError, InputError
from infoplane.numerics.arrays import Tensor, array_module

Sigma: TypeAlias = float | str
Normalization: TypeAlias = Literal["official", "rowstochastic"]

SIGMA_RULES = ("median", "rms", "sqrtd", "l2")
_SMALL = 512  # points up to which all distances are one product
_STRIP, _STRIP_CUDA = 192, 2048  # rows of the kernel that are made at a time
_MEDIAN_ROWS = 10_000
_MEDIAN_DOUBLE = 4096
_MEDIAN_SAMPLE = 192  # rows of the median that is only reported
_SMALLEST_SIGMA = 1e-6  # in typical distances: below, those of a matrix product are rounding


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Centred points in units of a power of two, so that squares neither overflow nor cancel."""

    points: Tensor  # (n, n_units) float64
    unit: float  # original coordinates = unit * points + centre
    n_zero_rows: int = 0  # rows without direction, if rows were brought to unit length

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.points)

    @cached_property
    def square_norms(self) -> Tensor:
        """Squared norms of the points (n,)."""
        return _square_norms(self.points)

    @property
    def rms_distance(self) -> float:
        """Root mean square distance of two different points, in original units."""
        if self.n < 2:
            return 0.0
        square = float(self.square_norms.sum())
        return self.unit * float(np.sqrt(2.0 * square / (self.n - 1)))

    def rows(self, index: Tensor) -> PointCloud:
        """Return the cloud of some of the points, in the same units."""
        return replace(self, points=self.points[index])


@dataclass(frozen=True)
class Bandwidth:
    """Bandwidth of the Gaussian kernel and how it was found."""

    sigma: float
    rule: str
    rms_distance: float
    median_distance: float
    requested: float | None = None  # if it was too small to resolve and has been raised


def _square_norms(points: Tensor) -> Tensor:
    """Return the squared norms of rows, without a temporary of their size."""
    return array_module(points).einsum("ij,ij->i", points, points)


def checked_points(x: Tensor, *, name: str = "x") -> Tensor:
    """Return ``x`` as a finite array (n, n_units): NumPy, or a torch tensor if it is on CUDA.

    Raises
    ------
    InputError
        If ``x`` has not two axes, is empty, not real, or holds NaN or inf.
    """
    if type(x).__module__.partition(".")[0] == "torch":
        x = x.detach()
        if x.device.type != "cuda":
            x = x.float().numpy() if str(x.dtype) == "torch.bfloat16" else x.numpy()
    if isinstance(x, np.ndarray) or not hasattr(x, "device"):
        x = np.asarray(x)
        if x.dtype.kind not in "fiub":
            raise InputError(f"expected {name} of real numbers, got dtype {x.dtype}")
    shape = tuple(x.shape)
    if len(shape) != 2:
        raise InputError(
            f"expected {name} of shape (n_samples, n_units), got {shape}",
            hint="flatten further axes yourself: all positions as units, a mean over positions, "
            "or each position as a sample are different questions",
        )
    if 0 in shape:
        raise InputError(f"expected {name} with samples and units, got shape {shape}")
    xp = array_module(x)
    finite = xp.isfinite(x)
    if not bool(finite.all()):
        bad = int((~finite.all(1)).sum())
        raise InputError(
            f"expected finite {name}, got NaN or inf in {bad} of {shape[0]} rows",
            hint="drop those rows before",
        )
    return x


def point_cloud(x: Tensor, sigma: Sigma) -> PointCloud:
    """Return checked points, centred in float64; at ``sigma="l2"`` rows are first of length 1."""
    xp = array_module(x)
    largest = max(float(x.max()), -float(x.min()))
    unit = float(2.0 ** np.clip(np.floor(np.log2(largest)), -1000, 1000)) if largest > 0 else 1.0
    points = (x.astype(np.float64) if xp is np else x.double()) if x.dtype != xp.float64 else x
    points = points * (1 / unit)
    zero_rows = 0
    if sigma == "l2":
        length = _square_norms(points) ** 0.5
        zero_rows = int((length == 0).sum())
        length[length == 0] = 1.0
        points, unit = points / length[:, None], 1.0
    points -= points[:1] + 0.0  # equal rows give exact zeros, which subtracting a mean does not
    points -= points.mean(0)
    return PointCloud(points, unit, zero_rows)


def check_sigma(sigma: Any) -> None:
    """Refuse a bandwidth that is no positive number and no known rule.

    Raises
    ------
    InputError
        In that case.
    """
    if isinstance(sigma, str):
        if sigma not in SIGMA_RULES:
            raise InputError(
                f"expected sigma as a number or one of {', '.join(SIGMA_RULES)}, got {sigma!r}"
            )
    elif not (isinstance(sigma, Real) and 0 < float(sigma) < np.inf):
        raise InputError(f"expected sigma above 0, got {sigma}")


def bandwidth(cloud: PointCloud, sigma: Sigma, *, seed: int = 0) -> Bandwidth:
    """Return the bandwidth of a cloud.

    Parameters
    ----------
    cloud : PointCloud
        The whole set: its class subsets use the same bandwidth.
    sigma : float or str
        A number, or a rule: ``median`` is the median distance / sqrt 2, ``rms`` the root mean
        square distance / sqrt 2, ``sqrtd`` the root of the number of units, ``l2`` is 1 on rows of
        unit length.
    seed : int
        Draws the rows of the median above 10 000 rows.

    Raises
    ------
    InputError
        If ``sigma`` is no positive number and no known rule.
    """
    check_sigma(sigma)
    rms = cloud.rms_distance
    if sigma == "median":
        sample = cloud
        if cloud.n > _MEDIAN_ROWS:
            drawn = random.Random(seed).sample(range(cloud.n), _MEDIAN_ROWS)  # noqa: S311
            sample = cloud.rows(sorted(drawn))
        median = median_distance(sample)
        rule, value = "median", median / 2**0.5
        if median == 0.0:
            rule, value = "rms (median distance is 0)", rms / 2**0.5
    else:
        median = median_distance(cloud.rows(slice(None, None, -(-cloud.n // _MEDIAN_SAMPLE))))
        if isinstance(sigma, str):
            n_units = cloud.points.shape[1]
            value = {"rms": rms / 2**0.5, "sqrtd": n_units**0.5, "l2": 1.0}[sigma]
            rule = sigma
        else:
            rule, value = "fixed", float(sigma)
    if rms == 0.0:
        return Bandwidth(value or 1.0, rule, rms, median)
    norms = cloud.square_norms
    norms = norms if isinstance(norms, np.ndarray) else norms.cpu().numpy()
    typical = cloud.unit * float(np.sqrt(2 * np.median(norms)))  # not moved by a few outliers
    least = _SMALLEST_SIGMA * min(rms, typical or rms)
    if value < least:
        return Bandwidth(least, rule, rms, median, requested=value)
    return Bandwidth(value, rule, rms, median)


def median_distance(cloud: PointCloud) -> float:
    """Return the median distance of two different points, in original units.

    Exact, by partial sorting of all of them. Above 4096 points distances are float32, unless the
    median is too short for that. What rounding cannot tell from 0 is 0.
    """
    if cloud.n < 2:
        return 0.0
    points, typical, xp = cloud.points, float(cloud.square_norms.mean()), array_module(cloud.points)
    if cloud.n > _MEDIAN_DOUBLE and float(cloud.square_norms.max()) < 1e3 * typical:
        single = points.astype(np.float32) if xp is np else points.float()
        middle = _middle_of_pairs(single)
        if -middle > 1e-3 * typical:
            return cloud.unit * float(np.sqrt(-2.0 * middle))
    return cloud.unit * float(np.sqrt(-2.0 * _middle_of_pairs(points))) + 0.0


def _middle_of_pairs(points: Tensor) -> float:
    """Return the median of -|x_i - x_j|²/2 over pairs i < j."""
    xp, (n, n_units) = array_module(points), points.shape
    values = xp.empty(n * (n - 1) // 2, dtype=points.dtype, **_place(points))
    number, filled = xp.arange(n, **_place(points)), 0
    rounding = (4 + n_units**0.5) * float(xp.finfo(points.dtype).eps)
    for rows, strip in _half_square_strips(points, merge=rounding):
        below = strip[number[rows, None] > number[: rows.stop]]
        values[filled : filled + len(below)] = below
        filled += len(below)
    return _median(values)


def _median(values: Tensor) -> float:
    """Return the median of ``values`` (n,), which are reordered."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    if isinstance(values, np.ndarray):
        values.partition(high)  # one rank at a time is several times quicker than two
        pair = [values[high] if low == high else values[:high].max(), values[high]]
    else:
        pair = [values.kthvalue(rank + 1).values for rank in (low, high)]
    return (float(pair[0]) + float(pair[1])) / 2


def _place(points: Tensor) -> dict[str, Any]:
    """Return where to make arrays that go with ``points``."""
    return {} if isinstance(points, np.ndarray) else {"device": points.device}


def _half_square_strips(
    points: Tensor, *, merge: float = 0.0, out: Tensor | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of the matrix -|x_i - x_j|²/2, and these rows up to the diagonal; none above 0.

    Matrix products give them, with rounding of about eps times the squared norms; points closer
    than ``merge`` times these count as equal. Strips are views of ``out`` (n, n), if given.
    """
    xp = array_module(points)
    half = 0.5 * _square_norms(points)
    n, ones = len(points), xp.ones_like(half)
    small = xp is np and n <= _SMALL
    if small:  # one product, which BLAS does by half
        left, right, step = points, points, n
    else:
        left = xp.concatenate([points, half[:, None], ones[:, None]], 1)
        right = xp.concatenate([points, -ones[:, None], -half[:, None]], 1)
        step = _STRIP if xp is np else _STRIP_CUDA
    for start in range(0, n, step):
        rows, columns = slice(start, min(start + step, n)), slice(0, min(start + step, n))
        place = None if out is None else out[rows, columns]
        strip = xp.matmul(left[rows], right[columns].T, out=place)
        if small:
            strip -= half[:, None]
            strip -= half
        xp.clip(strip, None, 0.0, out=strip)
        if merge:
            strip[strip > -merge * (half[rows, None] + half[columns])] = 0.0
        yield rows, strip


def gaussian_kernel(cloud: PointCloud, sigma: float, dtype: str = "float64") -> Tensor:
    """Return the Gaussian kernel exp(-|x_i - x_j|² / (2 sigma²)) (n, n), its diagonal exactly 1.

    Parameters
    ----------
    cloud : PointCloud
        The points.
    sigma : float
        Bandwidth in original units.
    dtype : {"float64", "float32"}
        Of the result. Distances are float32 only where that costs no accuracy.
    """
    xp = array_module(cloud.points)
    points = cloud.points * (cloud.unit / sigma)
    largest = float(_square_norms(points).max())
    if dtype == "float32" and largest < 200:  # beyond, float32 distances cost digits
        points = points.astype(np.float32) if xp is np else points.float()
    kind = getattr(xp, dtype)
    floor = -60.0 if dtype == "float32" else -600.0  # denormal numbers slow products down tenfold
    kernel = xp.empty((cloud.n, cloud.n), dtype=kind, **_place(points))
    out = kernel if points.dtype == kind else None
    merge = 4e-16 if largest > 1e4 else 0.0
    for rows, strip in _half_square_strips(points, merge=merge, out=out):
        if 2 * largest > -floor:
            strip[strip < floor] = -np.inf
        done = kernel[rows, : rows.stop]
        xp.exp(strip, out=done)
        kernel[: rows.start, rows] = done[:, : rows.start].T
    diagonal = xp.arange(cloud.n, **_place(points))
    kernel[diagonal, diagonal] = 1.0
    return kernel


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
    gaussian: Tensor, normalization: str, alpha: float
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
    xp = array_module(gaussian)
    degree = gaussian.sum(1, dtype=xp.float64)
    mean_degree = float(degree.mean())
    if not np.isfinite(mean_degree):
        raise EstimationError("expected a finite kernel, got overflow in the distances")
    if normalization == "rowstochastic" and alpha > 0:
        _scale(gaussian, degree**-alpha)
        degree = gaussian.sum(1, dtype=xp.float64)
    _scale(gaussian, degree**-0.5)
    return gaussian, degree**0.5, mean_degree


def _scale(matrix: Tensor, factor: Tensor) -> None:
    """Multiply rows and columns of ``matrix`` by ``factor``, in place and in cache."""
    on_cpu = isinstance(matrix, np.ndarray)
    factor = factor.astype(matrix.dtype) if on_cpu else factor.to(matrix.dtype)
    step = 64 if on_cpu and len(matrix) > _SMALL else len(matrix)
    for start in range(0, len(matrix), step):
        rows = slice(start, start + step)
        strip = matrix[rows]
        strip *= factor[rows, None]
        strip *= factor

"""Points, their bandwidth, and the diffusion kernel on them.

Arrays may be NumPy or torch (CUDA); the code uses only what both spell alike.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from infoplane.errors import EstimationError, InputError

Tensor: TypeAlias = Any  # numpy.ndarray or torch.Tensor
Sigma: TypeAlias = float | str
Normalization: TypeAlias = Literal["official", "rowstochastic"]

SIGMA_RULES = ("median", "rms", "sqrtd", "l2")
_BLOCK = 256  # a float64 block with its transpose stays in a second-level cache
_MEDIAN_ROWS = 10_000
_MEDIAN_DOUBLE = 4096
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

    @property
    def rms_distance(self) -> float:
        """Root mean square distance of two different points, in original units."""
        if self.n < 2:
            return 0.0
        square = float(_square_norms(self.points).sum())
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


def array_module(array: Tensor) -> Any:
    """Return the module that computes on ``array``: numpy or torch."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


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


def check_sigma(sigma: Sigma) -> None:
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
    elif not (np.isfinite(sigma) and sigma > 0):
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
        median = median_distance(cloud.rows(slice(None, None, -(-cloud.n // 256))))
        if isinstance(sigma, str):
            n_units = cloud.points.shape[1]
            value = {"rms": rms / 2**0.5, "sqrtd": n_units**0.5, "l2": 1.0}[sigma]
            rule = sigma
        else:
            rule, value = "fixed", float(sigma)
    if rms == 0.0:
        return Bandwidth(value or 1.0, rule, rms, median)
    norms = _square_norms(cloud.points)
    norms = norms if isinstance(norms, np.ndarray) else norms.cpu().numpy()
    typical = cloud.unit * float(np.sqrt(2 * np.median(norms)))  # not moved by a few outliers
    least = _SMALLEST_SIGMA * min(rms, typical or rms)
    if value < least:
        return Bandwidth(least, rule, rms, median, requested=value)
    return Bandwidth(value, rule, rms, median)


def median_distance(cloud: PointCloud) -> float:
    """Return the median distance of two different points, in original units.

    Exact: one pass collects the distances near the median of a sample, so that memory and time
    stay far below those of a sort of all pairs. Above 4096 points distances are float32.
    """
    if cloud.n < 2:
        return 0.0
    if cloud.n > _MEDIAN_DOUBLE:
        points, xp = cloud.points, array_module(cloud.points)
        squares = _square_norms(points)
        if float(squares.max()) < 1e3 * float(squares.mean()):
            cloud = replace(cloud, points=points.astype(np.float32) if xp is np else points.float())
    pairs = cloud.n * (cloud.n - 1) // 2
    ranks = np.array([(pairs - 1) // 2, pairs // 2])
    low, high = -np.inf, np.inf
    if cloud.n > 1024:
        every = -(-cloud.n // 512)
        sample = np.concatenate(list(_pair_values(cloud.rows(slice(None, None, every)))))
        low, high = np.quantile(sample, [0.44, 0.56])
    while True:
        below, near = 0, []
        for values in _pair_values(cloud):
            if np.isfinite(low):
                below += int(np.count_nonzero(values < low))
                values = values[(values >= low) & (values <= high)]
            near.append(values)
        kept = np.concatenate(near)
        if below <= ranks[0] and ranks[1] < below + len(kept):
            middle = np.partition(kept, ranks - below)[ranks - below].mean(dtype=np.float64)
            return cloud.unit * float(np.sqrt(-2.0 * middle)) + 0.0
        low, high = -np.inf, np.inf


def _pair_values(cloud: PointCloud) -> Iterator[Any]:
    """Yield -|x_i - x_j|²/2 of all pairs i < j, block by block, as NumPy vectors."""
    for rows, columns, block in _half_square_blocks(cloud.points):
        values = block if isinstance(block, np.ndarray) else block.cpu().numpy()
        if rows == columns:
            yield values[np.tri(len(values), k=-1, dtype=bool)]
        else:
            yield values.reshape(-1)


def _half_square_blocks(
    points: Tensor, *, merge: bool = False
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield blocks of the matrix -|x_i - x_j|²/2 on and below its diagonal, none above 0.

    One matrix product gives them, with rounding of about eps times the squared norms; with
    ``merge``, rows that are closer than that count as equal.
    """
    xp = array_module(points)
    half = 0.5 * _square_norms(points)
    ones = xp.ones_like(half)
    if xp is np and len(points) <= 2 * _BLOCK:  # one product that BLAS does by half
        block = points @ points.T
        block -= half[:, None]
        block -= half
        np.minimum(block, 0.0, out=block)
        if merge:
            block[block > -4e-16 * (half[:, None] + half)] = 0.0
        yield slice(0, len(points)), slice(0, len(points)), block
        return
    left = xp.concatenate([points, half[:, None], ones[:, None]], 1)
    right = xp.concatenate([points, -ones[:, None], -half[:, None]], 1)
    size = _BLOCK if xp is np else 32 * _BLOCK
    starts = range(0, len(points), size)
    for i in starts:
        rows = slice(i, min(i + size, len(points)))
        for j in starts[: i // size + 1]:
            columns = slice(j, min(j + size, len(points)))
            block = left[rows] @ right[columns].T
            xp.clip(block, None, 0.0, out=block)
            if merge:
                block[block > -4e-16 * (half[rows, None] + half[columns])] = 0.0
            yield rows, columns, block


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
    place = {} if xp is np else {"device": points.device}
    kernel = xp.empty((cloud.n, cloud.n), dtype=kind, **place)
    for rows, columns, block in _half_square_blocks(points, merge=largest > 1e4):
        if 2 * largest > -floor:
            block[block < floor] = -np.inf
        if xp is np:
            np.exp(block, out=kernel[rows, columns], casting="same_kind")
        else:
            kernel[rows, columns] = block.exp_()
        if rows != columns:
            kernel[columns, rows] = kernel[rows, columns].T
    diagonal = xp.arange(cloud.n, **place)
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
    step = 64 if on_cpu and len(matrix) > 2 * _BLOCK else len(matrix)
    for start in range(0, len(matrix), step):
        rows = slice(start, start + step)
        matrix[rows] *= factor[rows, None]
        matrix[rows] *= factor

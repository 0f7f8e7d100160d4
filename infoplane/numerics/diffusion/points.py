"""Points and the squared distances between them.

Arrays may be NumPy or torch (CUDA); the code uses only what both spell alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from infoplane.arrays import LARGE, count_nonfinite_rows
from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.tensors import Tensor, array_module, double, fetched, is_tensor

SMALL = 512  # points up to which all distances are one product
STRIP = 192  # rows of distances that are made at a time
_STRIP_CUDA = 2048
_MODERATE = 1e-200, 1e200  # squares far from overflow and from vanishing


@dataclass(eq=False)
class PointCloud:
    """Centred points in a unit of length in which squares neither overflow nor cancel.

    Attributes
    ----------
    points : array (n, n_units)
        original coordinates = unit * points + centre.
    square_norms : array (n,)
        Squared lengths of the points.
    n_zero_rows : int
        Rows without direction, if rows were brought to length 1.
    n_units : int
        Coordinates that the points had; of points in very many dimensions, those that are kept are
        fewer, and give the same distances.
    """

    points: Tensor
    square_norms: Tensor
    unit: float
    n_zero_rows: int
    n_units: int

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def rms_distance(self) -> float:
        """Root mean square distance of two different points, in original units."""
        if self.n < 2:
            return 0.0
        square = float(self.square_norms.sum())
        return self.unit * float(np.sqrt(2.0 * square / (self.n - 1)))

    def rows(self, index: Tensor) -> PointCloud:
        """Return the cloud of some of the points, in the same units."""
        return replace(self, points=self.points[index], square_norms=self.square_norms[index])

    def rescale(self, unit: float) -> None:
        """Change over to another unit of length."""
        factor = self.unit / unit
        self.points *= factor
        self.square_norms *= factor * factor
        self.unit = unit

    def in_single_precision(self) -> PointCloud:
        """Return the cloud of the points rounded to float32."""
        points = self.points
        points = points.astype(np.float32) if isinstance(points, np.ndarray) else points.float()
        return replace(self, points=points, square_norms=_square_norms(points))


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
    if is_tensor(x):
        x = x.detach() if x.device.type == "cuda" else fetched(x)
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
    bad = 0
    if isinstance(x, np.ndarray):
        bad = count_nonfinite_rows(x) if x.dtype.kind == "f" else 0
    elif not bool((finite := x.isfinite()).all()):
        bad = int((~finite.all(1)).sum())
    if bad:
        raise InputError(
            f"expected finite {name}, got NaN or inf in {bad} of {shape[0]} rows",
            hint="drop those rows before",
        )
    return x


def point_cloud(x: Tensor, *, unit_length: bool = False) -> PointCloud:
    """Return checked points, centred in float64; ``unit_length`` first brings rows to length 1."""
    n, n_units = x.shape
    if isinstance(x, np.ndarray) and x.size > LARGE // 8 and n_units > 2 * n:
        unit = _unit_of(x)
        points, zero_rows = _in_few_dimensions(x, unit, unit_length=unit_length)
        unit = 1.0 if unit_length else unit
        return PointCloud(points, _square_norms(points), unit, zero_rows, n_units)
    narrow = isinstance(x, np.ndarray) and x.dtype == np.float32 and not unit_length
    points = x if narrow or x.dtype == array_module(x).float64 else double(x)
    if unit_length:
        points = points / _unit_of(x)
        length = _square_norms(points) ** 0.5
        zero_rows = int((length == 0).sum())
        length[length == 0] = 1.0
        return PointCloud(*_centred(points / length[:, None]), 1.0, zero_rows, n_units)
    centred, squares = _centred(points)
    unit = 1.0
    if not _MODERATE[0] < float(squares.max()) < _MODERATE[1]:
        unit = _unit_of(x)
        centred, squares = _centred(double(points) / unit)
    return PointCloud(centred, squares, unit, 0, n_units)


def _unit_of(x: Tensor) -> float:
    """Return the power of 2 near the largest number, or 1 unless its square is out of range."""
    largest = max(float(x.max()), -float(x.min()))
    if largest == 0 or _MODERATE[0] < largest * largest < _MODERATE[1]:
        return 1.0
    return float(2.0 ** np.clip(np.floor(np.log2(largest)), -1000, 1000))


def _centred(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return centred points (n, n_units) and the squares of their lengths, which may overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Subtracting the first row gives equal rows exact zeros, which subtracting a mean does not.
        narrow = isinstance(points, np.ndarray) and points.dtype == np.float32
        centred = (
            np.subtract(points, points[:1], dtype=np.float64) if narrow else points - points[:1]
        )
        centred -= centred.mean(0)
        return centred, _square_norms(centred)


def _in_few_dimensions(x: Array, unit: float, *, unit_length: bool) -> tuple[FloatArray, int]:
    """Return points (n, n_dims) as far from one another as the rows of ``x``, and its zero rows.

    n points span no more than n - 1 dimensions. Products of the centred rows are summed over blocks
    of units, and factored by Cholesky with pivots: what it leaves out is rounding of the products.
    """
    from scipy.linalg.lapack import dpstrf

    n, n_units = x.shape
    step = max(1, LARGE // 8 // n)
    blocks = [slice(start, start + step) for start in range(0, n_units, step)]
    length, zero_rows = np.ones(n), 0
    if unit_length:
        length = sum(_square_norms(x[:, units] / np.float64(unit)) for units in blocks) ** 0.5
        zero_rows = int((length == 0).sum())
        length[length == 0] = 1.0
    products = np.zeros((n, n))
    for units in blocks:
        block = x[:, units] / (unit * length)[:, None]
        block -= block[:1].copy()
        block -= block.mean(0)
        products += block @ block.T
    factor, pivots, rank, _ = dpstrf(products, lower=1)
    points = np.empty((n, rank))
    points[pivots - 1] = np.tril(factor)[:, :rank]
    same = row_symbols(x)  # equal rows stay equal to the last bit
    return points[same.examples][same.ids], zero_rows


def half_square_strips(
    cloud: PointCloud, *, merge: float = 0.0, out: Tensor | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of the matrix -|x_i - x_j|²/2, and these rows up to the diagonal; none above 0.

    Matrix products give them, with rounding of about eps times the squared norms; points closer
    than ``merge`` times these count as equal. Strips are views of ``out`` (n, n), if given.
    """
    points, xp = cloud.points, array_module(cloud.points)
    half = 0.5 * cloud.square_norms
    n, ones = cloud.n, xp.ones_like(half)
    small = xp is np and n <= SMALL
    if small:  # one product, which BLAS does by half
        left, right, step = points, points, n
    else:
        left = xp.concatenate([points, half[:, None], ones[:, None]], 1)
        right = xp.concatenate([points, -ones[:, None], -half[:, None]], 1)
        step = STRIP if xp is np else _STRIP_CUDA
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


def mean_squared_cosine(x: Tensor) -> float | None:
    """Return the mean squared cosine between rows of ``x`` (n, n_units), itself included.

    A second moment that costs little; where an entropy on rows of unit length follows it, the
    entropy says nothing more. None if a row is zero.
    """
    xp = array_module(x)
    largest = max(float(x.max()), -float(x.min()))
    if largest == 0:
        return None
    rows = (x / largest).astype(np.float32) if xp is np else (x / largest).float()
    length = xp.einsum("ij,ij->i", rows, rows) ** 0.5
    if not bool((length > 0).all()):
        return None
    rows /= length[:, None]
    gram = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    return float((gram * gram).sum()) / len(rows) ** 2

"""Eigenvalues of a layer: of its covariance, its second moments, and its directions.

There are three operators, and each measure of a spectrum is about one of them: the covariance of
the units, their second moments X'X / n, and those of the rows scaled to length 1. Of samples and
units the fewer are decomposed, since the eigenvalues above 0 are the same. The array is read once,
in blocks, and added up in double precision. Memory is one square matrix of the smaller side (two
where units are fewer and directions are wanted): its lower triangle is where operators are
decomposed, one after the other.

Covariance and second moments differ in the mean alone, so one tridiagonal matrix serves both. Its
basis starts with the mean of the units, which the second moments add to the first entry; of
products of samples it starts with the constant, and the covariance is all but the first row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from infoplane.arrays import row_blocks, taken
from infoplane.data import Array, FloatArray, IntArray
from infoplane.errors import EstimationError

Operator: TypeAlias = Literal["covariance", "second", "cosine"]

OPERATORS: tuple[Operator, ...] = ("covariance", "second", "cosine")

_BLOCK = 1 << 22  # values held at once in double precision: 32 MiB
_COLUMNS = 256  # of a matrix that are written at a time
_NOISE = 16.0  # variance of rounding, in squared relative steps: several roundings, and a margin
_WORK = 16  # of LAPACK, for each column: blocks that suit matrices of some hundreds
_SAFE = 1e-100  # smaller numbers, and larger than its inverse, have squares beyond all numbers


_Diagonals: TypeAlias = tuple[FloatArray, FloatArray]
"""The diagonal of a symmetric tridiagonal matrix, and the one beside it."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of one operator.

    Parameters
    ----------
    values : array (min(n, d),)
        Descending; those that rounding hides are 0.
    n, d : int
        Samples and units.
    floor : float
        Eigenvalues up to here are what rounding makes, of stored numbers or of their products.
    zero_rows : int
        Rows of zeros, which have no direction.
    """

    values: FloatArray
    n: int
    d: int
    floor: float = 0.0
    zero_rows: int = 0

    @property
    def resolved(self) -> FloatArray:
        """Eigenvalues above the floor."""
        return self.values[self.values > 0.0]

    @cached_property
    def shares(self) -> FloatArray:
        """Eigenvalues divided by their sum."""
        total = self.values.sum()
        return np.asarray(self.values / total if total > 0 else self.values)


@dataclass(eq=False)
class _Product:
    """A sum of products of columns, in the upper triangle; the lower one is worked in."""

    matrix: FloatArray  # (size, size), Fortran order
    diagonal: FloatArray

    @classmethod
    def zero(cls, size: int) -> _Product:
        return cls(np.zeros((size, size), order="F"), np.zeros(size))

    def add(self, block: FloatArray) -> None:
        """Add the products of the rows of a block (size, n), in Fortran order."""
        from scipy.linalg.blas import dsyrk

        np.fill_diagonal(self.matrix, self.diagonal)
        self.matrix = dsyrk(1.0, block, beta=1.0, c=self.matrix, overwrite_c=1)
        self.diagonal = self.matrix.diagonal().copy()

    def of(self, members: IntArray) -> _Product:
        """Return the product of some rows alone, which ascend."""
        return _Product(
            np.asfortranarray(self.matrix[np.ix_(members, members)]), self.diagonal[members]
        )

    def row_sums(self) -> FloatArray:
        """Return the sums of the rows of the whole matrix."""
        sums = self.diagonal.copy()
        for start in range(0, len(sums), _COLUMNS):
            upper = np.triu(self.matrix[: start + _COLUMNS, start : start + _COLUMNS], 1 - start)
            sums[: len(upper)] += upper.sum(axis=1)
            sums[start : start + _COLUMNS] += upper.sum(axis=0)
        return sums

    def norm(self, one: FloatArray, other: FloatArray) -> float:
        """Return the Frobenius norm of the matrix + one other' + other one'."""
        total = -float(np.square(self.diagonal + 2.0 * one * other).sum())
        for start in range(0, len(self.diagonal), _COLUMNS):
            here = slice(start, start + _COLUMNS)
            upper = self.matrix[here, start:] + np.outer(one[here], other[start:])
            upper += np.outer(other[here], one[start:])
            width = len(upper)
            np.fill_diagonal(upper, self.diagonal[here] + 2.0 * one[here] * other[here])
            upper[:, :width] = np.triu(upper[:, :width])
            total += 2.0 * float(np.square(upper).sum())
        return float(np.sqrt(max(total, 0.0)))

    def tridiagonal(
        self,
        one: FloatArray,
        other: FloatArray,
        *,
        first: FloatArray | None = None,
        border: FloatArray | None = None,
        weights: FloatArray | None = None,
    ) -> _Diagonals:
        """Return a tridiagonal matrix with the eigenvalues of the matrix + one other' + other one'.

        With ``weights`` (size,), rows and columns are multiplied by them. With ``first``, that is
        the first direction of the basis. With ``border``, first border' + border first' is added:
        without the first row and column, the matrix is then that of what is orthogonal to ``first``
        alone, whatever the border.
        """
        from scipy.linalg.blas import dsymv
        from scipy.linalg.lapack import dsytrd

        size, matrix = len(self.diagonal), self.matrix
        ones, others = one[:, None], other[:, None]
        edge = np.zeros(size)
        if first is not None and (length := float(np.linalg.norm(first))) > 0.0:
            mirror = first / length  # Householder: first becomes -+ length times the first axis
            sign = 1.0 if mirror[0] >= 0.0 else -1.0
            mirror[0] += sign
            mirror /= np.linalg.norm(mirror)
            np.fill_diagonal(matrix, self.diagonal)
            image = dsymv(1.0, matrix, mirror) + one * (other @ mirror) + other * (one @ mirror)
            ones = np.column_stack([one, mirror])
            others = np.column_stack([other, 2.0 * (mirror @ image) * mirror - 2.0 * image])
            if border is not None:
                edge = -sign * length * (border - 2.0 * (mirror @ border) * mirror)
        for start in range(0, size, _COLUMNS):
            here, below = slice(start, start + _COLUMNS), slice(start, size)
            lower = matrix[here, below].T + ones[below] @ others[here].T
            lower += others[below] @ ones[here].T
            width = lower.shape[1]
            added = 2.0 * (ones[here] * others[here]).sum(axis=1)
            np.fill_diagonal(lower[:width], self.diagonal[here] + added)
            if weights is not None:
                lower *= np.outer(weights[below], weights[here])
            square = matrix[here, here]
            matrix[start + width :, here] = lower[width:]
            matrix[here, here] = np.where(np.tri(width, dtype=bool), lower[:width], square)
        matrix[0, 0] += edge[0]
        matrix[:, 0] += edge
        if size == 1:
            return matrix[0].copy(), np.empty(0)
        work = _WORK * size
        _, along, beside, _, _ = dsytrd(matrix, lower=1, lwork=work, overwrite_a=1)
        return along, beside


@dataclass(frozen=True, eq=False)
class Moments:
    """What the spectra of a layer are made of.

    Parameters
    ----------
    n, d : int
        Samples and units.
    resolution : float
        Relative step between neighbouring numbers as they were stored.
    squares : float
        Sum of all squares.
    zero_rows : int
        Rows of zeros.
    """

    n: int
    d: int
    resolution: float
    squares: float
    zero_rows: int

    def spectrum(self, operator: Operator) -> Spectrum:
        """Return the spectrum of an operator."""
        used = self.n if operator != "cosine" else max(self.n - self.zero_rows, 1)
        values = _eigenvalues(self._diagonals(operator))[: min(self.n, self.d)]
        values = values / (self.n - 1 if operator == "covariance" else used)
        mean_square = self.squares / (self.n * self.d) if operator != "cosine" else 1.0 / self.d
        spread = (1.0 + np.sqrt(self.d / self.n)) ** 2  # of noise: Marchenko and Pastur
        stored = _NOISE * self.resolution**2 * mean_square * spread
        computed = max(self.n, self.d) * float(np.finfo(np.float64).eps) * max(values[0], 0.0)
        floor = max(stored, float(computed))
        values = np.where(values > floor, values, 0.0)
        return Spectrum(values, self.n, self.d, floor, self.zero_rows)

    def covariance_norm(self) -> float:
        """Return the Frobenius norm of X'X, X centred; that of XX' is the same."""
        raise NotImplementedError

    def _diagonals(self, operator: Operator) -> _Diagonals:
        """Return a tridiagonal matrix with the eigenvalues of an operator, but for a factor."""
        raise NotImplementedError

    def part(self, rows: IntArray) -> Moments:
        """Return the moments of some samples alone, which ascend."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class _OfUnits(Moments):
    """Products of units: there are fewer of them than samples."""

    values: Array
    scale: float
    shift: FloatArray  # near the mean; subtracted from the samples
    sums: FloatArray  # of what is left
    product: _Product
    directions: _Product | None

    @classmethod
    def read(
        cls,
        values: Array,
        scale: float,
        resolution: float,
        shift: FloatArray,
        *,
        with_directions: bool,
    ) -> _OfUnits:
        n, d = values.shape
        product, directions = _Product.zero(d), _Product.zero(d) if with_directions else None
        sums, squares, zeros = np.zeros(d), 0.0, 0
        for rows in row_blocks(values, _BLOCK):
            block = np.array(values[rows], dtype=np.float64)
            if scale != 1.0:
                block /= scale
            lengths = np.einsum("ij,ij->i", block, block)
            squares += float(lengths.sum())
            zeros += int((lengths == 0.0).sum())
            if directions is not None:
                directions.add((block / np.sqrt(_nonzero(lengths))[:, None]).T)
            block -= shift
            sums += block.sum(axis=0)
            product.add(block.T)
        return cls(
            n, d, resolution, squares, zeros, values, scale, shift, sums, product, directions
        )

    def covariance_norm(self) -> float:
        """Return the Frobenius norm of X'X, X centred."""
        return self.product.norm(*self._centring)

    def _diagonals(self, operator: Operator) -> _Diagonals:
        if operator == "cosine":
            assert self.directions is not None
            return self.directions.tridiagonal(np.zeros(self.d), np.zeros(self.d))
        along, beside = self._about_mean
        if operator == "covariance":
            return along, beside
        mean = self._mean
        return np.append(along[0] + self.n * (mean @ mean), along[1:]), beside

    @cached_property
    def _about_mean(self) -> _Diagonals:
        """The tridiagonal matrix of X'X, X centred, whose first direction is the mean."""
        return self.product.tridiagonal(*self._centring, first=self._mean)

    @property
    def _mean(self) -> FloatArray:
        return np.asarray(self.shift + self.sums / self.n)

    @property
    def _centring(self) -> tuple[FloatArray, FloatArray]:
        """Vectors u and v: the product + u v' + v u' is that about the mean."""
        return self.sums, -0.5 * self.sums / self.n

    def part(self, rows: IntArray) -> Moments:
        some = taken(self.values, rows)
        if len(rows) < self.d:
            return _OfSamples.read(some, self.scale, self.resolution)
        directed = self.directions is not None
        return self.read(some, self.scale, self.resolution, self.shift, with_directions=directed)


@dataclass(frozen=True, eq=False)
class _OfSamples(Moments):
    """Products of samples about a mean: there are fewer of them than units."""

    product: _Product
    along: FloatArray  # (n,) of each sample, its product with that mean and half the mean's own

    @classmethod
    def read(cls, values: Array, scale: float, resolution: float) -> _OfSamples:
        n, d = values.shape
        product, along = _Product.zero(n), np.zeros(n)
        step = max(1, _BLOCK // n)
        for start in range(0, d, step):
            block = np.array(values[:, start : start + step], dtype=np.float64, order="F")
            if scale != 1.0:
                block /= scale
            mean = block.mean(axis=0)
            block -= mean
            along += block @ mean + 0.5 * float(mean @ mean)
            product.add(block)
        return cls._of(d, resolution, product, along)

    @classmethod
    def _of(cls, d: int, resolution: float, product: _Product, along: FloatArray) -> _OfSamples:
        lengths = product.diagonal + 2.0 * along
        zeros = int((lengths <= _lost(product, along)).sum())
        return cls(len(along), d, resolution, float(lengths.sum()), zeros, product, along)

    def covariance_norm(self) -> float:
        """Return the Frobenius norm of XX', X centred."""
        return self.product.norm(np.ones(self.n), self._centring)

    def _diagonals(self, operator: Operator) -> _Diagonals:
        if operator == "second":
            return self._uncentred
        if operator == "covariance":
            along, beside = self._uncentred
            return np.append(along[1:], 0.0), np.append(beside[1:], 0.0)
        lengths = self.product.diagonal + 2.0 * self.along
        weights = np.where(lengths > _lost(self.product, self.along), lengths, np.inf) ** -0.5
        return self.product.tridiagonal(np.ones(self.n), self.along, weights=weights)

    @cached_property
    def _uncentred(self) -> _Diagonals:
        """The tridiagonal matrix of XX', whose first direction is that of a constant."""
        centring, ones = self._centring, np.ones(self.n)
        return self.product.tridiagonal(ones, centring, first=ones, border=self.along - centring)

    @cached_property
    def _centring(self) -> FloatArray:
        """The vector v with which the product + 1 v' + v 1' is that about the mean."""
        means = self.product.row_sums() / self.n
        return np.asarray(0.5 * means.mean() - means)

    def part(self, rows: IntArray) -> Moments:
        return self._of(self.d, self.resolution, self.product.of(rows), self.along[rows])


def moments(
    values: Array,
    operators: Sequence[Operator] = OPERATORS,
    resolution: float | None = None,
    scale: float | None = None,
) -> Moments:
    """Return what the spectra of a layer are made of; the array is read once, in blocks.

    Eigenvalues and norms are those of the layer divided by ``scale``.

    Parameters
    ----------
    values : array (n_samples, n_units)
        Finite, two samples at least; of any size.
    operators : sequence of str
        The spectra that are wanted.
    resolution : float, optional
        Relative step between stored numbers; that of the dtype unless given.
    scale : float, optional
        1 unless given, or the largest absolute value where squares would be beyond all numbers.
    """
    if resolution is None:
        resolution = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
    if scale is None:
        largest = max(float(values.max()), -float(values.min()))
        scale = largest if largest > 0 and not _SAFE < largest < 1 / _SAFE else 1.0
    n, d = values.shape
    if n < d:
        return _OfSamples.read(values, scale, resolution)
    shift = (np.asarray(values[:100], np.float64) / scale).mean(axis=0)
    return _OfUnits.read(values, scale, resolution, shift, with_directions="cosine" in operators)


def null_spectrum(operator: Operator, n: int, d: int, rng: np.random.Generator) -> Spectrum:
    """Return a random spectrum of independent normal units of equal variance.

    It is drawn from the distribution of the eigenvalues (of Wishart) by a tridiagonal matrix, in
    O(min(n, d)^2). That of directions differs by O(1 / (n + d)), once the trace is 1.

    References
    ----------
    Dumitriu, Edelman: "Matrix models for beta ensembles", Journal of Mathematical Physics 43, 2002.
    """
    from scipy.linalg import eigvalsh_tridiagonal

    freedom = n - 1 if operator == "covariance" else n
    small, large = min(freedom, d), max(freedom, d)
    along = rng.chisquare(large - np.arange(small))
    below = rng.chisquare(np.arange(small - 1, 0, -1)) if small > 1 else np.empty(0)
    diagonal = along.copy()
    diagonal[1:] += below
    found = eigvalsh_tridiagonal(diagonal, np.sqrt(along[:-1] * below)) if small > 1 else diagonal
    values = np.zeros(min(n, d))
    values[:small] = np.maximum(found[::-1], 0.0) / freedom
    if operator == "cosine":
        values /= values.sum()
    return Spectrum(values, n, d)


def _eigenvalues(diagonals: _Diagonals) -> FloatArray:
    """Return the eigenvalues of a tridiagonal matrix, descending."""
    from scipy.linalg.lapack import dsterf

    along, beside = diagonals
    if not len(beside):
        return along
    found, failed = dsterf(along, beside)
    if failed:
        told = f"expected eigenvalues of a matrix {(len(along),) * 2}, got no convergence"
        raise EstimationError(told)
    return np.asarray(found[::-1])


def _nonzero(lengths: FloatArray) -> FloatArray:
    return np.where(lengths > 0.0, lengths, 1.0)


def _lost(product: _Product, along: FloatArray) -> FloatArray:
    """Return the squared lengths that are rounding of what they are the difference of."""
    return 1e-12 * (product.diagonal + 2.0 * np.abs(along))

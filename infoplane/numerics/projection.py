"""Principal components of activations that are read in chunks: NumPy arrays, or torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import InputError
from infoplane.numerics.tensors import Tensor, array_module, beside, double, fetched

COVARIANCE_UNITS = 1500
"""Up to this width the covariance is accumulated; above, a randomised range finder streams."""

_CHUNK_VALUES = 1_000_000  # activations held at once in double precision
_LEAST_ROWS = 64  # of a chunk, however wide: each reads the whole frame of directions
_PRODUCT_ROWS = 384  # centred at once: still in the processor's cache when they are multiplied
_LANCZOS_UNITS = 200  # a full decomposition is quicker below
_SHIFT_ROWS = 100  # of the first chunk; their mean is near enough to that of all
_OVERSAMPLING = 8
_POWER_ITERATIONS = 4

Chunks = Callable[[], Iterable[Tensor]]
"""Starts a new pass over the samples, chunk by chunk, each (n_rows, n_units)."""


@dataclass(frozen=True, eq=False)
class PrincipalBasis:
    """Directions of largest variance, to project activations on.

    Parameters
    ----------
    mean : array (n_units,)
        Subtracted before the projection.
    components : array (n_units, n_components)
        Orthonormal columns, in the order of falling variance.
    variances : array (n_components,)
        Variance along each direction.
    total_variance : float
        Variance of all units together, including what the directions leave out.
    """

    mean: FloatArray  # (n_units,)
    components: FloatArray  # (n_units, n_components)
    variances: FloatArray  # (n_components,)
    total_variance: float

    @property
    def n_units(self) -> int:
        """Width of the activations."""
        return len(self.mean)

    @property
    def n_components(self) -> int:
        """Number of directions."""
        return int(self.components.shape[1])

    def project(self, activations: Tensor) -> tuple[FloatArray, float]:
        """Return scores (n_samples, n_components) and the variance that they leave out.

        Activations are read in chunks, so that a memory-mapped array is never copied whole.

        Raises
        ------
        InputError
            If the width is another.
        """
        if activations.ndim != 2 or activations.shape[1] != self.n_units:
            raise InputError(
                f"expected activations of shape (n_samples, {self.n_units}), as the basis,"
                f" got {activations.shape}"
            )
        n = len(activations)
        scores = np.empty((n, self.n_components))
        sums = np.zeros(self.n_units)
        squares = 0.0
        start = 0
        mean, components = beside(self.mean, activations), beside(self.components, activations)
        for chunk in row_chunks(activations):
            centred = _centred(chunk, mean)
            scores[start : start + len(chunk)] = fetched(centred @ components)
            sums += fetched(centred.sum(0))
            squares += _sum_of_squares(centred)
            start += len(chunk)
        total = (squares - float(sums @ sums) / n) / n
        # Not below 0: both are sums of the same squares, added in different orders.
        return scores, max(total - float(scores.var(axis=0).sum()), 0.0)


def principal_basis(
    activations: Tensor, n_components: int, rng: np.random.Generator | None = None
) -> PrincipalBasis:
    """Return the principal directions of an array (n_samples, n_units), read in chunks."""
    return streaming_basis(lambda: row_chunks(activations), activations.shape[1], n_components, rng)


def streaming_basis(
    chunks: Chunks, n_units: int, n_components: int, rng: np.random.Generator | None = None
) -> PrincipalBasis:
    """Return the principal directions of samples that are read in passes of chunks.

    Parameters
    ----------
    chunks : callable
        Starts a new pass. Up to 1500 units one pass is made; above, six.
    n_units : int
        Width of every chunk.
    n_components : int
        Directions wanted; fewer are returned if there are fewer units or samples.
    rng : numpy.random.Generator, optional
        For the random start above 1500 units; ``default_rng(0)`` unless given.

    Raises
    ------
    InputError
        If there are no samples or no components are wanted.

    Notes
    -----
    Memory is one chunk and, up to 1500 units, a square matrix of that size; above,
    ``n_components + 8`` columns.

    References
    ----------
    Halko, Martinsson, Tropp, SIAM Review 53 (2011), algorithm 4.4, with 4 power iterations.
    """
    if n_components < 1:
        raise InputError(f"expected at least 1 component, got {n_components}")
    kept = min(n_components, n_units)
    if n_units <= COVARIANCE_UNITS or kept + _OVERSAMPLING >= n_units:
        return _from_covariance(chunks, n_units, kept)
    generator = np.random.default_rng(0) if rng is None else rng
    return _from_random_start(chunks, n_units, kept, generator)


def row_chunks(activations: Tensor) -> Iterator[Tensor]:
    """Yield blocks of rows of an array (n_samples, n_units), each small enough to be copied.

    A block has a million numbers, and 64 rows at least.
    """
    rows = max(_LEAST_ROWS, _CHUNK_VALUES // activations.shape[1])
    for start in range(0, len(activations), rows):
        yield activations[start : start + rows]


def _from_covariance(chunks: Chunks, n_units: int, kept: int) -> PrincipalBasis:
    mean, covariance = covariance_of(chunks, n_units)
    total = float(np.trace(covariance))
    values, vectors = _leading(covariance, kept)
    return PrincipalBasis(
        mean=mean,
        components=signed(vectors[:, ::-1])[0],
        variances=np.maximum(values[::-1], 0.0),
        total_variance=total,
    )


def covariance_of(chunks: Chunks, n_units: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean of samples, and the upper triangle of their covariance (Fortran order).

    Raises
    ------
    InputError
        If there are fewer than two samples.
    """
    from scipy.linalg.blas import dsyr, dsyrk

    shift: FloatArray | None = None
    products = np.zeros((n_units, n_units), order="F")
    sums = np.zeros(n_units)
    buffer = np.empty((_PRODUCT_ROWS, n_units))
    ones = np.ones(_PRODUCT_ROWS)
    n = 0
    for chunk in chunks():
        if shift is None:  # products of large offsets would cancel
            shift = fetched(chunk[:_SHIFT_ROWS]).mean(axis=0, dtype=np.float64)
        n += len(chunk)
        if not isinstance(chunk, np.ndarray):
            moved = double(chunk) - beside(shift, chunk)
            products += fetched(moved.T @ moved)
            sums += fetched(moved.sum(0))
            continue
        for start in range(0, len(chunk), _PRODUCT_ROWS):
            rows = chunk[start : start + _PRODUCT_ROWS]
            centred = buffer[: len(rows)]
            np.copyto(centred, rows)  # converting first is a third quicker than while subtracting
            centred -= shift
            # The transposed view is in Fortran order: no copy, and half the work of a product.
            products = dsyrk(1.0, centred.T, beta=1.0, c=products, overwrite_c=1)
            sums += ones[: len(rows)] @ centred
    if shift is None or n < 2:
        raise InputError(f"expected at least 2 samples, got {n}")
    offset = sums / n
    products /= n
    covariance = dsyr(-1.0, offset, a=products, overwrite_a=1)  # in place: it may be all there is
    return shift + offset, covariance


def _leading(covariance: FloatArray, kept: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest eigenvalues, ascending, and eigenvectors of an upper triangle."""
    from scipy.linalg import eigh
    from scipy.linalg.blas import dsymv
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    size = len(covariance)
    if size > _LANCZOS_UNITS and 10 * kept < size:
        operator = LinearOperator(
            covariance.shape, matvec=lambda x: dsymv(1.0, covariance, x), dtype=np.float64
        )
        try:  # a fixed start, so that the same data give the same basis
            values, vectors = eigsh(operator, kept, v0=np.diag(covariance).copy())
        except ArpackError:  # e.g. fewer directions with variance than wanted
            pass
        else:
            return values, vectors
    return tuple(eigh(covariance, lower=False, subset_by_index=(size - kept, size - 1)))


def _from_random_start(
    chunks: Chunks, n_units: int, kept: int, rng: np.random.Generator
) -> PrincipalBasis:
    mean = np.zeros(n_units)
    n = 0
    for chunk in chunks():
        mean += fetched(chunk.sum(0, dtype=array_module(chunk).float64))
        n += len(chunk)
    if n < 2:
        raise InputError(f"expected at least 2 samples, got {n}")
    mean /= n
    frame = np.linalg.qr(rng.standard_normal((n_units, kept + _OVERSAMPLING)))[0]
    total = 0.0
    for _ in range(_POWER_ITERATIONS):
        image = np.zeros_like(frame)
        for chunk in chunks():
            centred = _centred(chunk, beside(mean, chunk))
            image += fetched(centred.T @ (centred @ beside(frame, chunk)))
        frame = np.linalg.qr(image)[0]
    small = np.zeros((frame.shape[1], frame.shape[1]))
    for chunk in chunks():
        centred = _centred(chunk, beside(mean, chunk))
        total += _sum_of_squares(centred)
        scores = centred @ beside(frame, chunk)
        small += fetched(scores.T @ scores)
    values, vectors = np.linalg.eigh(small / n)
    return PrincipalBasis(
        mean=mean,
        components=signed((frame @ vectors)[:, ::-1][:, :kept])[0],
        variances=np.maximum(values[::-1][:kept], 0.0),
        total_variance=total / n,
    )


def signed(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return each direction in the sense that its first large entry is positive, and the signs.

    Rounding decides on the sense otherwise, and noise added to the scores would differ between
    units of measurement, offsets and widths of the numbers.
    """
    sizes = np.abs(vectors)
    first = np.argmax(sizes > 0.6 * sizes.max(axis=0), axis=0)
    signs = np.where(vectors[first, np.arange(vectors.shape[1])] < 0.0, -1.0, 1.0)
    return np.ascontiguousarray(vectors * signs), signs


def _centred(chunk: Tensor, mean: Tensor) -> Tensor:
    """Return one copy of a chunk in double precision, less the mean."""
    centred = double(chunk)
    if centred is chunk:
        return centred - mean
    centred -= mean
    return centred


def _sum_of_squares(array: Tensor) -> float:
    flat = array.reshape(-1)
    return float(flat @ flat)

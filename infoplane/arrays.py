"""Arrays that may be larger than memory: memory maps, looked at block by block.

What has to be made of such an array and is as large is kept in a temporary file (in ``TMPDIR``),
mapped as well: the system can then drop its pages, which it cannot do with memory.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 1 << 26
"""Values up to which an array may be held in memory: 256 MiB of float32."""

_BLOCK = 1 << 20  # values looked at at a time


def row_blocks(array: NDArray[Any], values: int = _BLOCK) -> Iterator[slice]:
    """Yield blocks of rows of an array (n_samples, n_units), of about so many values."""
    step = max(1, values // max(1, array.size // max(1, len(array))))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def count_nonfinite_rows(array: NDArray[Any]) -> int:
    """Return how many rows of an array (n_samples, n_units) hold NaN or inf."""
    bad = 0
    for rows in row_blocks(array):
        finite = np.isfinite(array[rows])
        if not finite.all():
            bad += int((~finite.all(axis=1)).sum())
    return bad


def magnitude(array: NDArray[Any]) -> float:
    """Return the power of two at or below the largest absolute value; 1 of zeros alone.

    Division by it loses no digit. Squares and their squares are then numbers, whatever the unit of
    measurement.
    """
    return float(_power_below(max(float(array.max()), -float(array.min()))))


def magnitudes(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return the `magnitude` of each row of an array (n_samples, n_units)."""
    most, least = (np.asarray(end(axis=1), np.float64) for end in (array.max, array.min))
    return np.asarray(_power_below(np.maximum(most, -least)))


def _power_below(largest: Any) -> Any:
    return np.where(largest > 0.0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)


def converted(array: NDArray[Any], dtype: np.dtype[Any] | type) -> NDArray[Any]:
    """Return the array in another dtype."""
    if array.size <= LARGE:
        return array.astype(dtype)
    return collected(array.shape, dtype, (array[rows] for rows in row_blocks(array)))


def sortable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that NumPy sorts rightly: one of float16 as float32, others as they are.

    On processors with AVX-512 but without its instructions for float16, ``np.sort`` (NumPy 2) now
    and then leaves float16 numbers in a wrong order, and ``np.unique`` lists some twice.
    """
    return array.astype(np.float32) if array.dtype == np.float16 else array


def rows_of(array: Any, rows: NDArray[np.int64] | None) -> Any:
    """Return some rows of an array or tensor, without a copy if these are all of them.

    Parameters
    ----------
    array : array or torch.Tensor (n_samples, n_units)
        Of any size.
    rows : array (n_rows,) or None
        Different and ascending; None for all.
    """
    if rows is None or len(rows) == len(array):
        return array
    return array[rows] if not isinstance(array, np.ndarray) else taken(array, rows)


def taken(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return a copy of rows of an array (n_samples, n_units), in any order."""
    shape = (len(rows), *array.shape[1:])
    if math.prod(shape) <= LARGE:
        return array[rows]
    step = max(1, _BLOCK // math.prod(shape[1:]))
    parts = (array[rows[start : start + step]] for start in range(0, len(rows), step))
    return collected(shape, array.dtype, parts)


def collected(
    shape: tuple[int, ...], dtype: np.dtype[Any] | type, parts: Iterable[NDArray[Any]]
) -> NDArray[Any]:
    """Return parts, one below the other, as one array of this shape and dtype."""
    result = empty(shape, dtype)
    start = 0
    for part in parts:
        result[start : start + len(part)] = part
        start += len(part)
    return result


def sorted_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return all values of an array, ascending (n,).

    A large one is sorted where it lies in its file: quicksort goes through that from both ends,
    and the halves come into memory as soon as they are small enough.
    """
    blocks = (sortable(array[rows]).ravel() for rows in row_blocks(array))
    ordered = collected((array.size,), sortable(array[:0]).dtype, blocks)
    ordered.sort()
    return ordered if ordered.dtype == array.dtype else converted(ordered, array.dtype)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> NDArray[Any]:
    """Return an empty array; a large one is a temporary file."""
    if math.prod(shape) <= LARGE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="infoplane-") as file:  # gone from the folder at once
        return np.memmap(file, dtype, "w+", shape=shape)

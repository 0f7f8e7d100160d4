"""Wide arrays as fewer columns: their principal components, with what these leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from infoplane.data import FloatArray
from infoplane.numerics.projection import row_chunks, streaming_basis
from infoplane.numerics.tensors import Tensor, beside, double, fetched


class Columns(NamedTuple):
    """The columns of an array, or fewer made of them, and the share of variance left out."""

    values: FloatArray  # (n_samples, n_columns)
    lost: float


def leading_columns(array: Tensor, most: int, rng: np.random.Generator) -> Columns:
    """Return an array (n_samples, n_columns) as it is, or as its ``most`` leading components.

    The columns are brought to one scale before, so that none counts for more because of its unit.
    A function of the array has no more information than the array: what is found is a lower bound.

    Parameters
    ----------
    array : array or tensor (n_samples, n_columns)
        Of any real dtype; it may be mapped from a file.
    most : int
        Columns that are returned at most.
    rng : numpy.random.Generator
        Draws directions to begin with, of very wide arrays.
    """
    width = int(array.shape[1])
    if width <= most:
        return Columns(np.asarray(fetched(array), dtype=np.float64), 0.0)
    mean, scale = _moments(array)
    inverse = np.divide(1.0, scale, out=np.zeros(width), where=scale > 0.0)

    def scaled() -> Iterator[Tensor]:
        for chunk in row_chunks(array):
            yield (double(chunk) - beside(mean, chunk)) * beside(inverse, chunk)

    basis = streaming_basis(scaled, width, most, rng)
    scores = [
        fetched((chunk - beside(basis.mean, chunk)) @ beside(basis.components, chunk))
        for chunk in scaled()
    ]
    values = np.concatenate(scores)
    total = float(np.count_nonzero(scale))
    kept = float(values.var(axis=0).sum())
    return Columns(values, max(0.0, 1.0 - kept / total) if total else 0.0)


def _moments(array: Tensor) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each column; 0 where that is rounding."""
    shift: FloatArray | None = None
    sums: FloatArray = np.zeros(array.shape[1])
    squares = sums
    for chunk in row_chunks(array):
        values = np.asarray(fetched(chunk), dtype=np.float64)
        shift = values.mean(axis=0) if shift is None else shift
        sums = sums + (values - shift).sum(axis=0)
        squares = squares + ((values - shift) ** 2).sum(axis=0)
    assert shift is not None
    offset = sums / len(array)
    spread = np.sqrt(np.maximum(squares / len(array) - offset**2, 0.0))
    return shift + offset, np.where(spread > 1e-12 * np.abs(shift), spread, 0.0)

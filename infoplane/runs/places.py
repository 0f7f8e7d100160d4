"""Where the datasets of a file lie, and how another file is known to have them at the same places.

The step files of a run have one structure around their numbers. HDF5 is asked once where it puts
them; a file that is equal to the one it was asked about, but for the values of the datasets, needs
no second look.
"""

from __future__ import annotations

import math
import mmap
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.data import Array
from infoplane.runs.atomic import check_regular

_MOST_KNOWN = 4
"""Structures that are kept: metadata of steps may take one block more or less."""

_MOST_AROUND = 1 << 20
"""Bytes outside of datasets that are kept of a structure."""


@dataclass(frozen=True)
class Place:
    """Where a dataset lies in its file: contiguous, and inside of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def mapped(self, descriptor: int) -> Array:
        """Return the values in an open file as a read-only memory map."""
        if not self.size:
            return np.empty(self.shape, self.dtype)
        before = self.offset % mmap.ALLOCATIONGRANULARITY
        start, length = self.offset - before, self.size + before
        pages = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=start)
        return np.ndarray(self.shape, self.dtype, pages, before)


class Structures:
    """What is known of the structures of step files, by the size of the file."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Mapping[str, Place], tuple[tuple[int, bytes], ...]]] = {}
        self._met: Counter[int] = Counter()

    def misses(self, descriptor: int) -> bool:
        """Tell whether it is time to keep a structure: at the second look at files of one size.

        Only then: a structure that cannot be kept is not to be asked for at every look.
        """
        size = os.fstat(descriptor).st_size
        self._met[size] += 1
        return self._met[size] == 2 and len(self._known) < _MOST_KNOWN

    def keep(self, descriptor: int, places: Mapping[str, Place]) -> None:
        """Keep the structure of an open file, in which these datasets lie."""
        size, end = os.fstat(descriptor).st_size, 1
        extents = sorted((place.offset, place.size) for place in places.values())
        for offset, length in extents:
            if offset < end:
                return  # what HDF5 reads as structure may be values
            end = offset + length
        if size - sum(length for _, length in extents) <= _MOST_AROUND:
            self._known[size] = places, bytes_around(descriptor, extents)

    def mapped(self, path: Path, name: str, hint: str) -> Array | None:
        """Return a dataset as a memory map; None if it is not known where it lies.

        Raises
        ------
        RunFileError
            If there is no such file.
        """
        if not self._known:
            return None
        check_regular(path, hint)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            places, around = self._known.get(os.fstat(descriptor).st_size, ({}, ()))
            if name in places and all(
                os.pread(descriptor, len(data), offset) == data for offset, data in around
            ):
                return places[name].mapped(descriptor)
        finally:
            os.close(descriptor)
        return None


def bytes_around(
    descriptor: int, extents: Iterable[tuple[int, int]]
) -> tuple[tuple[int, bytes], ...]:
    """Return the bytes of a file outside of (offset, length) extents, each with its offset."""
    around, end = [], 0
    for offset, length in [*sorted(extents), (os.fstat(descriptor).st_size, 0)]:
        if offset > end:
            around.append((end, os.pread(descriptor, offset - end, end)))
        end = offset + length
    return tuple(around)

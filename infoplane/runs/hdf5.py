"""Read and lay out the HDF5 files of a run.

Files may come from anywhere. What is read is named by the format, followed link by link and never
leaves the file; only plain numbers, contiguous and inside the file, are accepted. HDF5 itself only
tells where data lie: the bytes are mapped, and written, at their offset.
"""

from __future__ import annotations

import difflib
import errno
import json
import math
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from infoplane.data import Array
from infoplane.errors import InfoplaneError, RunFileError, is_of_system, unreadable
from infoplane.runs.atomic import check_regular
from infoplane.runs.checksum import crc32
from infoplane.runs.disk import complete, reserve
from infoplane.runs.layout import MOST_TEXT, Spec
from infoplane.system import read_at, write_at

_SMALL = 1 << 18
"""Bytes that are faster read than mapped."""

DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    EOFError,
)
"""What h5py and the metadata of damaged files raise."""


@contextmanager
def opened(path: Path, hint: str | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, whatever is wrong with it told in one line.

    Raises
    ------
    RunFileError
        If it is missing, unreadable, truncated or no HDF5 file.
    """
    status = check_regular(path)
    try:
        file = h5py.File(path, "r", locking=False)
    except DAMAGE as error:
        if is_of_system(error):
            raise unreadable(path, error) from error
        stored = _stored_size(error)
        what = f"has {status.st_size:,} bytes"
        if stored is not None:
            what = f"truncated: {status.st_size:,} of {stored:,} bytes"
        raise RunFileError(f"{path}: not a complete HDF5 file ({what})", hint=hint) from error
    try:
        yield file
    finally:
        with suppress(OSError, RuntimeError):  # nothing was written
            file.close()


def _stored_size(error: Exception) -> int | None:
    """Return the size that a truncated file should have by its own word."""
    told = re.search(r"stored_eof = (\d+)", str(error))
    return int(told[1]) if told else None


def missing_size(path: Path) -> int | None:
    """Return the size that a truncated file should have; None if it is not truncated.

    Raises
    ------
    RunFileError
        If there is no such file.
    """
    check_regular(path)
    try:
        h5py.File(path, "r", locking=False).close()
    except DAMAGE as error:
        return _stored_size(error)
    return None


@contextmanager
def reading(where: str, hint: str | None = None) -> Iterator[None]:
    """Turn what damaged content raises, and the system in reading it, into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except DAMAGE as error:
        if is_of_system(error):
            raise unreadable(where, error) from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RunFileError(f"{where}: damaged ({reason})", hint=hint) from error


@dataclass(frozen=True)
class Place:
    """A dataset of a file: plain numbers, contiguous and inside the file.

    They are not read through HDF5's own descriptor: on Windows it is none of Python's, and HDF5
    counts on its position.
    """

    path: Path
    where: str  # for messages
    hint: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def spec(self) -> Spec:
        """Shape and dtype."""
        return self.shape, self.dtype

    def mapped(self) -> Array:
        """Return the dataset as a read-only memory map; a small one is read.

        A map ends the process where the disk fails or the file is cut off; reading is an error.
        """
        size = n_bytes(self.spec)
        if size < _SMALL:
            return self.read()
        before = self.offset % mmap.ALLOCATIONGRANULARITY
        start, length = self.offset - before, size + before
        with self._opened() as descriptor:
            try:
                pages = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=start)
            except OSError as error:
                if error.errno != errno.ENODEV:  # a file system that maps nothing
                    raise
                return self.read()
            return np.ndarray(self.shape, self.dtype, pages, before)

    def read(self) -> Array:
        """Return the dataset, read-only and in memory."""
        return next(self.blocks(max(self.shape[0], 1)), np.empty(self.shape, self.dtype))

    def blocks(self, n_rows: int) -> Iterator[Array]:
        """Yield the dataset by blocks of rows, read-only and in memory."""
        row = n_bytes((self.shape[1:], self.dtype))
        with self._opened() as descriptor:
            for first in range(0, self.shape[0] if row else 0, n_rows):
                shape = min(n_rows, self.shape[0] - first), *self.shape[1:]
                block = np.empty(shape, self.dtype)
                view = block.reshape(-1).view(np.uint8).data
                read_at(descriptor, view, self.offset + first * row)
                block.flags.writeable = False
                yield block

    def checksum(self) -> int:
        """Return the CRC-32 of the bytes."""
        found, end = 0, self.offset + n_bytes(self.spec)
        buffer = memoryview(bytearray(min(_SMALL, end - self.offset)))
        with self._opened() as descriptor:
            for offset in range(self.offset, end, _SMALL):
                part = buffer[: end - offset]
                read_at(descriptor, part, offset)
                found = crc32(part, found)
        return found

    @contextmanager
    def _opened(self) -> Iterator[int]:
        with reading(self.where, self.hint), self.path.open("rb", buffering=0) as file:
            yield file.fileno()


def place_of(file: h5py.File, name: str, path: Path, hint: str | None = None) -> Place:
    """Find a dataset.

    Raises
    ------
    RunFileError
        If it is missing, reached by a link, stored outside the file, compressed, in chunks, of a
        type other than native numbers, or beyond the end of the file.
    """
    where = f"{path}: dataset {name!r}"
    with reading(where, hint):
        node: Any = file.id
        for part in name.encode().split(b"/"):
            if not isinstance(node, (h5py.h5f.FileID, h5py.h5g.GroupID)) or not (
                node.links.exists(part)
            ):
                raise RunFileError(f"{where} is missing", hint=hint)
            if node.links.get_info(part).type != h5py.h5l.TYPE_HARD:
                raise RunFileError(
                    f"{where} is a link, expected data in the file itself", hint=hint
                )
            node = h5py.h5o.open(node, part)
        layout = node.get_create_plist() if isinstance(node, h5py.h5d.DatasetID) else None
        virtual = layout is not None and layout.get_layout() == h5py.h5d.VIRTUAL
        if layout is None or virtual or layout.get_external_count():
            raise RunFileError(f"{where}: expected plain data in the file itself", hint=hint)
        dtype, shape, offset = node.dtype, node.shape, node.get_offset()
        if dtype.kind not in "fiub" or h5py.h5t.py_create(dtype, logical=True) != node.get_type():
            raise RunFileError(f"{where}: expected numbers, found dtype {dtype}", hint=hint)
        if layout.get_layout() != h5py.h5d.CONTIGUOUS or offset is None or not shape:
            raise RunFileError(f"{where}: expected contiguous data", hint=hint)
        if offset + n_bytes((shape, dtype)) > path.stat().st_size:
            raise RunFileError(f"{where}: extends beyond the end of the file", hint=hint)
        return Place(path, where, hint, shape, dtype, offset)


def has_link(group: h5py.Group, name: str) -> bool:
    """Tell whether a group has a link of this name; unlike ``in``, without following it."""
    return group.get(name, getlink=True) is not None


def json_object(data: bytes | Array, where: str, hint: str | None = None) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises
    ------
    RunFileError
        If it is no JSON object, or longer than 64 MiB.
    """
    if len(data) > MOST_TEXT:
        raise RunFileError(f"{where}: expected at most {MOST_TEXT:,} bytes, found {len(data):,}")
    try:
        found = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise RunFileError(f"{where}: not readable as JSON ({error})", hint=hint) from error
    if not isinstance(found, dict):
        raise RunFileError(
            f"{where}: expected a JSON object, got {type(found).__name__}", hint=hint
        )
    return found


class Told(dict[str, Any]):
    """An object of JSON whose members are needed: one that lacks some says which.

    Parameters
    ----------
    members : mapping
        Those that are there.
    where : str
        What lacks them, for messages.
    """

    def __init__(self, members: Mapping[str, Any], where: str) -> None:
        super().__init__(members)
        self._where = where

    def __missing__(self, key: str) -> Any:
        near = difflib.get_close_matches(key, self, 1)
        found = f"; it has {near[0]!r}" if near else ""
        raise RunFileError(
            f"{self._where}: member {key!r} is missing{found}",
            hint="docs/run-format.md says what a run holds; infoplane.RunWriter and 'infoplane "
            "import' write one of arrays",
        )


class Outline:
    """An HDF5 file in the making, whose datasets are allocated but not written.

    Datasets are contiguous, uncompressed and without times, and lie in the order in which they are
    added: the same ones give the same bytes, and further ones move none. Those of 64 KiB or more
    begin at a multiple of 4 KiB. The structure has ``structure_bytes`` of its own at the beginning:
    where all of it fits, a file that lost its end tells what it still has.

    Raises
    ------
    OSError
        If something of this name exists, be it a link.
    """

    def __init__(self, path: Path, structure_bytes: int = 2048) -> None:
        self._file = h5py.File(
            path,
            "x",
            alignment_threshold=65536,
            alignment_interval=4096,
            meta_block_size=structure_bytes,
            locking=False,  # the name is new
        )
        self._properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        self._properties.set_layout(h5py.h5d.CONTIGUOUS)
        self._properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        self._properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        self._properties.set_obj_track_times(False)

    def add(self, name: str, spec: Spec) -> int:
        """Add a dataset; return its offset in the file."""
        shape, dtype = spec
        group, _, last = name.rpartition("/")
        node = self._file.require_group(group) if group else self._file
        space = h5py.h5s.create_simple(shape)
        kind = h5py.h5t.py_create(dtype, logical=True)
        made = h5py.h5d.create(node.id, last.encode(), kind, space, dcpl=self._properties)
        return int(made.get_offset() or 0)  # a dataset of no size is nowhere

    def close(self) -> None:
        """Write what stands around the datasets."""
        self._file.close()


def lay_out(path: Path, datasets: Mapping[str, Spec], structure_bytes: int = 2048) -> list[int]:
    """Make an HDF5 file of these datasets, to be written at the offsets that are returned."""
    with closing(Outline(path, structure_bytes)) as outline:
        return [outline.add(name, spec) for name, spec in datasets.items()]


def n_bytes(spec: Spec) -> int:
    """Return the size of a dataset."""
    shape, dtype = spec
    return math.prod(map(int, shape)) * dtype.itemsize


def write_arrays(
    path: Path, specs: Mapping[str, Spec], arrays: Iterable[Array], structure_bytes: int = 2048
) -> None:
    """Write an HDF5 file of these datasets, their values given one after the other."""
    offsets = lay_out(path, specs, structure_bytes)
    with complete(path, os.O_WRONLY) as descriptor:
        reserve(descriptor, path.stat().st_size)
        for array, offset in zip(arrays, offsets, strict=True):
            write_at(descriptor, np.ascontiguousarray(array).data, offset)


def specs_of(arrays: Mapping[str, Array]) -> dict[str, Spec]:
    """Return shape and dtype of each array."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}

"""Read and lay out the HDF5 files of a run.

Files may come from anywhere. What is read is named by the format, followed link by link and never
leaves the file; only plain numbers, contiguous and inside the file, are accepted. HDF5 itself only
tells where data lie: the bytes are mapped, and written, at their offset.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from infoplane.data import Array
from infoplane.errors import InfoplaneError, RunFileError
from infoplane.runs.atomic import check_regular
from infoplane.runs.layout import MOST_TEXT

Spec: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and dtype of a dataset."""

DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What h5py and the metadata of damaged files raise."""


def opened(path: Path, hint: str | None = None) -> h5py.File:
    """Open an HDF5 file for reading, whatever is wrong with it told in one line.

    Raises
    ------
    RunFileError
        If it is missing, unreadable, truncated or no HDF5 file.
    """
    status = check_regular(path, hint)
    try:
        return h5py.File(path, "r", locking="best-effort")
    except DAMAGE as error:
        if isinstance(error, PermissionError):
            raise RunFileError(f"{path}: cannot be read ({error.strerror})") from error
        stored = _stored_size(error)
        what = f"has {status.st_size:,} bytes"
        if stored is not None:
            what = f"truncated: {status.st_size:,} of {stored:,} bytes"
        raise RunFileError(f"{path}: not a complete HDF5 file ({what})", hint=hint) from error


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
        h5py.File(path, "r", locking="best-effort").close()
    except DAMAGE as error:
        return _stored_size(error)
    return None


@contextmanager
def reading(where: str, hint: str | None = None) -> Iterator[None]:
    """Turn what damaged content raises into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RunFileError(f"{where}: damaged ({reason})", hint=hint) from error


def mapped(file: h5py.File, name: str, path: Path, hint: str | None = None) -> Array:
    """Return a dataset as a read-only memory map.

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
        size, descriptor = n_bytes((shape, dtype)), int(file.id.get_vfd_handle())
        if offset + size > os.fstat(descriptor).st_size:
            raise RunFileError(f"{where}: extends beyond the end of the file", hint=hint)
        if not size:
            return np.empty(shape, dtype)
        before = offset % mmap.ALLOCATIONGRANULARITY
        start, length = offset - before, size + before
        pages = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=start)
        return np.ndarray(shape, dtype, pages, before)


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
    descriptor = os.open(path, os.O_WRONLY)
    try:
        reserve(descriptor, path.stat().st_size)
        for array, offset in zip(arrays, offsets, strict=True):
            write_at(descriptor, np.ascontiguousarray(array).data, offset)
    finally:
        os.close(descriptor)


def specs_of(arrays: Mapping[str, Array]) -> dict[str, Spec]:
    """Return shape and dtype of each array."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def reserve(descriptor: int, size: int) -> None:
    """Give a file at least this size on the disk; a full disk shows here, and not half-way.

    It never shrinks: HDF5 may put a later dataset in a gap before an earlier one.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of the data at an offset; the system takes at most 2 GiB at once."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


_LUMP = 1 << 26
"""Bytes that are given back at once, at least: to shorten a file takes a millisecond."""


GO_ON = "finished steps are kept: make room or restore the folder, and go on with --resume"


@contextmanager
def writing(path: Path, hint: str | None = None) -> Iterator[None]:
    """Turn what goes wrong in writing into one line that names the file."""
    try:
        yield
    except RunFileError:
        raise
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else " ".join(str(error).split())[:200]
        raise RunFileError(
            f"{path}: cannot be written ({reason})", hint=hint, code="IP305"
        ) from error


class Room:
    """Space for parts of a size, in a file without a name: it ends with the process, however.

    Parameters
    ----------
    folder : Path
        On the disk.
    part : int
        Bytes of a part.
    n_parts : int
        How many.

    Raises
    ------
    OSError
        If the disk is too small.
    """

    def __init__(self, folder: Path, part: int, n_parts: int) -> None:
        self._part, self._left, self._size = part, n_parts, part * n_parts
        path = folder / "room.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        try:
            path.unlink()
            if self._size:
                reserve(self._file, self._size)
        except BaseException:
            self.close()
            raise

    def take(self) -> None:
        """Give the space of one part back, to be used for it; of small parts, that of several."""
        self._left = max(self._left - 1, 0)
        if self._size > self._part * self._left:
            self._size = max(min(self._part * self._left, self._size - _LUMP), 0)
            os.ftruncate(self._file, self._size)

    def close(self) -> None:
        """Give back what is left."""
        os.close(self._file)

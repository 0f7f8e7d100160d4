"""Write one step of a run: its layers, batch by batch, straight to their place in the file.

What is no layer, such as weights, follows the layers, kind by kind as in ``KINDS``.
Every step of a run has the same arrays, so every step file has the same structure around its
numbers. HDF5 lays it out once; after that a step is made by writing bytes at known offsets.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infoplane.data import Array, SlotKind
from infoplane.errors import RunFileError
from infoplane.runs.checksum import crc32
from infoplane.runs.disk import GO_ON, reserve, writing
from infoplane.runs.hdf5 import Outline, lay_out, n_bytes
from infoplane.runs.layout import (
    BFLOAT16,
    FORMAT,
    KINDS,
    VERSION,
    Datasets,
    Spec,
    bfloat16_values,
    dataset_name,
)
from infoplane.runs.step_info import META_BLOCK, padded_json
from infoplane.system import open_file, patiently, read_at, write_at

Key: TypeAlias = tuple[str, int]
"""Name and call of a layer; what is not called has call 0."""

_BLOCK = 1 << 19  # bytes; checksum, statistics and write find them in the processor's cache


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # NumPy makes it anew, which takes as long as a checksum


@dataclass(frozen=True)
class _Structure:
    """What HDF5 writes around the data of a file."""

    size: int
    offsets: tuple[int, ...]  # of the datasets, and of the metadata
    around: tuple[tuple[int, bytes], ...]  # the bytes at an offset that belong to no dataset


@dataclass
class StepLayout:
    """Where the datasets stand in the step files of a run.

    Parameters
    ----------
    n_samples : int
        Rows of every layer.
    scratch : Path
        Name of a file that exists only while HDF5 lays out the structure.
    datasets : tuple of (name, (shape, dtype)), optional
        Of every array of the run's steps, once known.
    """

    n_samples: int
    scratch: Path
    datasets: Datasets | None = None
    _found: dict[object, _Structure] = field(default_factory=dict)

    def structure(self, datasets: Datasets, n_text: int = META_BLOCK) -> _Structure:
        """Return the structure of a step file with ``n_text`` bytes of metadata."""
        if (datasets, n_text) not in self._found:
            self._found[datasets, n_text] = self._laid_out(datasets, n_text)
        return self._found[datasets, n_text]

    def _laid_out(self, datasets: Datasets, n_text: int) -> _Structure:
        specs = {**dict(datasets), "meta": ((n_text,), np.dtype(np.uint8))}
        sizes = map(n_bytes, specs.values())
        self.scratch.unlink(missing_ok=True)
        try:
            offsets = lay_out(self.scratch, specs)
            size = self.scratch.stat().st_size
            with self.scratch.open("rb") as file:
                around = _bytes_around(file.fileno(), zip(offsets, sizes, strict=True))
        finally:
            self.scratch.unlink(missing_ok=True)
        return _Structure(size, tuple(offsets), around)


def _bytes_around(
    descriptor: int, extents: Iterable[tuple[int, int]]
) -> tuple[tuple[int, bytes], ...]:
    """Return the bytes of a file outside of (offset, length) extents, each with its offset."""
    around, end = [], 0
    for offset, length in [*sorted(extents), (os.fstat(descriptor).st_size, 0)]:
        if offset > end:
            data = bytearray(offset - end)
            read_at(descriptor, memoryview(data), end)
            around.append((end, bytes(data)))
        end = offset + length
    return tuple(around)


@dataclass
class _Written:
    """One array of the step being written."""

    kind: SlotKind
    name: str
    module_type: str
    index: int  # among those of its kind
    place: int  # among all
    shape: tuple[int, ...]  # of the dataset
    dtype: np.dtype[Any]
    source_dtype: str
    encoding: str | None = None
    done: int = 0  # numbers that are written
    rows: int = 0  # samples that are written
    crc32: int = 0
    n_nonfinite: int = 0
    n_zero: int = 0
    low: float | None = None
    high: float | None = None
    noise: float | None = None
    reduction: str = "none"
    details: dict[str, Any] = field(default_factory=dict)  # further JSON values

    @property
    def dataset(self) -> tuple[str, Spec]:
        """Name, shape and dtype of the dataset."""
        return dataset_name(self.kind, self.index), (self.shape, self.dtype)

    @property
    def slot_shape(self) -> tuple[int, ...]:
        """Shape of one sample; all of it, where there are none."""
        return self.shape[1:] if KINDS[self.kind].by_sample else self.shape

    @property
    def dtype_name(self) -> str:
        """Name of the dtype."""
        return _name_of(self.dtype)

    def count(self, values: Array, scratch: NDArray[np.bool_]) -> None:
        """Keep checksum, range, zeros and non-finite values up to date with these (n,) values.

        ``scratch`` (at least n,) is written to: memory at hand is faster than new memory.
        """
        self.crc32 = crc32(values.data, self.crc32)
        if self.encoding == BFLOAT16:
            values = bfloat16_values(values)
        self.n_zero += int(np.count_nonzero(np.equal(values, 0, out=scratch[: len(values)])))
        low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
        if not (math.isfinite(low) and math.isfinite(high)):
            finite = values[np.isfinite(values)]
            self.n_nonfinite += len(values) - len(finite)
            if not len(finite):
                return
            low, high = float(finite.min()), float(finite.max())
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def metadata(self) -> dict[str, Any]:
        """Return what the step file says about the array."""
        return {
            "name": self.name,
            "module_type": self.module_type,
            "shape": list(self.slot_shape),
            "dtype": self.dtype_name,
            "source_dtype": self.source_dtype,
            **({"encoding": self.encoding} if self.encoding else {}),
            "reduction": self.reduction,
            "noise": self.noise,
            "crc32": self.crc32,
            "n_nonfinite": self.n_nonfinite,
            "n_zero": self.n_zero,
            "min": self.low,
            "max": self.high,
            **self.details,
        }


@dataclass
class StepWriter:
    """Writes one step; visible under its final name only after the ``with`` block succeeded.

    The first step of a run has its space reserved layer by layer, during the first batch; every
    later one before it begins.
    """

    path: Path
    step: int
    layout: StepLayout
    probe_sha256: str
    make_room: Callable[[], None] = lambda: None
    before_commit: Callable[[], None] = lambda: None
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, dict[str, float | int]] = field(default_factory=dict)
    curvature: dict[str, Any] = field(default_factory=dict)
    written: dict[SlotKind, dict[Key, _Written]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )

    def __enter__(self) -> StepWriter:
        self._temporary = self.path.with_suffix(".h5.tmp")
        self._outline: Outline | None = None  # of the first step
        self._offsets: list[int] = []
        self._reserved = 0  # bytes
        self._unlike: _Written | None = None  # the first array that is not as in the other steps
        with writing(self.path, GO_ON):
            self._file = _new_file(self._temporary)
            try:
                self.make_room()
                if self.layout.datasets is None:
                    self._outline = Outline(self.layout.scratch)
                else:
                    structure = self.layout.structure(self.layout.datasets)
                    self._offsets += structure.offsets
                    self._reserve(structure.size)
            except BaseException:
                self._discard()
                raise
        return self

    @property
    def layers(self) -> dict[Key, _Written]:
        """The layers that are written, by layer and call."""
        return self.written["layer"]

    def write(
        self,
        key: Key,
        name: str,
        module_type: str,
        row: int,
        batch: Array,
        source_dtype: str,
        encoding: str | None = None,
        kind: SlotKind = "layer",
    ) -> None:
        """Append a batch (n, ...) of an array by samples, whose rows start at ``row``.

        ``key`` tells it from the others of its ``kind``: of a layer, its name and the call. Kinds
        follow each other in the order of ``KINDS``. The bytes are in the file when this returns,
        so later changes of ``batch`` do no harm.
        """
        found = self.written[kind].get(key)
        if found is None:
            shape = (self.layout.n_samples, *batch.shape[1:])
            found = self._added(
                kind, key, name, module_type, (shape, batch.dtype), source_dtype, encoding
            )
        if row != found.rows or batch.shape[1:] != found.shape[1:]:
            raise RunFileError(
                f"{kind} {found.name!r}: expected rows from {found.rows} of shape "
                f"{found.shape[1:]}, got rows from {row} of shape {batch.shape[1:]}"
            )
        self._put(found, batch)
        found.rows += len(batch)

    def write_whole(
        self,
        kind: SlotKind,
        name: str,
        module_type: str,
        values: Array,
        source_dtype: str,
        encoding: str | None = None,
        **about: Any,
    ) -> None:
        """Write an array that has no samples, such as a weight, in its own shape.

        It follows all arrays of the kinds before its own. ``about`` are further JSON values of its
        metadata, or other ones.
        """
        spec = (values.shape, values.dtype)
        found = self._added(kind, (name, 0), name, module_type, spec, source_dtype, encoding)
        found.details = about
        self._put(found, values)

    def _added(
        self,
        kind: SlotKind,
        key: Key,
        name: str,
        module_type: str,
        spec: Spec,
        source_dtype: str,
        encoding: str | None,
    ) -> _Written:
        """Find the place of a new array, or notice that the other steps do not have it there."""
        behind = list(KINDS)[list(KINDS).index(kind) + 1 :]
        assert not any(self.written[other] for other in behind), f"{kind} after {behind}"
        alike, place = self.written[kind], sum(map(len, self.written.values()))
        found = _Written(
            kind, name, module_type, len(alike), place, *spec, source_dtype, encoding
        )  # fmt: skip
        alike[key] = found
        if self._outline is not None:
            with writing(self.path, GO_ON):
                self._offsets.append(self._outline.add(*found.dataset))
                self._reserve(self._offsets[-1] + n_bytes(spec))
        elif self._unlike is None:
            expected = self.layout.datasets or ()
            if place >= len(expected) or expected[place] != found.dataset:
                self._unlike = found
        return found

    def _reserve(self, size: int) -> None:
        if size > self._reserved:
            reserve(self._file, size)
            self._reserved = size

    def _put(self, found: _Written, batch: Array) -> None:
        """Write the next numbers of an array to their place, block by block."""
        values = np.ascontiguousarray(batch).reshape(-1)
        if len(values) and self._unlike is None:
            start = self._offsets[found.place] + found.done * values.itemsize
            size = _BLOCK // values.itemsize
            scratch = np.empty(min(size, len(values)), dtype=np.bool_)
            with writing(self.path, GO_ON):
                for first in range(0, len(values), size):
                    block = values[first : first + size]
                    found.count(block, scratch)
                    write_at(self._file, block.data, start + first * values.itemsize)
        found.done += len(values)

    def __exit__(self, kind: object, *raised: object) -> None:
        complete = False
        try:
            if kind is None:
                self._finish()
                with writing(self.path, GO_ON):
                    self._close()  # where NFS tells that the disk is full
                    self.before_commit()
                    patiently(self._temporary.replace, self.path)
                self.layout.datasets = self._datasets
                complete = True
        finally:
            self._discard(keep=complete)

    def _discard(self, *, keep: bool = False) -> None:
        with suppress(OSError):
            self._close()
        with suppress(OSError, RuntimeError):
            self._close_outline()
        with suppress(OSError):
            if not keep:
                self._temporary.unlink()

    def _close(self) -> None:
        if self._file >= 0:
            descriptor, self._file = self._file, -1
            os.close(descriptor)

    def _close_outline(self) -> None:
        if self._outline is not None:
            outline, self._outline = self._outline, None
            outline.close()
            self.layout.scratch.unlink(missing_ok=True)

    @property
    def _all(self) -> list[_Written]:
        return [one for alike in self.written.values() for one in alike.values()]

    @property
    def _datasets(self) -> Datasets:
        return tuple(one.dataset for one in self._all)

    def _finish(self) -> None:
        """Write what stands around the arrays, and the metadata."""
        for one in self._all:
            if one.done != math.prod(one.shape):
                raise RunFileError(
                    f"{one.kind} {one.name!r}: expected {self.layout.n_samples} rows, got "
                    f"{one.rows}"
                )
        least: SlotKind = "layer" if self.layout.n_samples else "weight"
        if not self.written[least]:
            raise RunFileError(f"{self.path}: expected at least one {least}")
        datasets = self._datasets
        if self.layout.datasets not in (None, datasets):
            counts = [f"{len(alike)} {KINDS[kind].member}" for kind, alike in self.written.items()]
            told = ", ".join(counts)
            found = self._unlike.name if self._unlike else told
            raise RunFileError(
                f"{self.path}: expected the layers of the run's other steps in the same order, "
                f"found {found!r}",
                hint="record all steps of a run with the same model and layers",
            )
        text = self._metadata()
        with writing(self.path, GO_ON):
            self._close_outline()
            structure = self.layout.structure(datasets, len(text))
            assert list(structure.offsets[:-1]) == self._offsets[: len(datasets)]
            self._reserve(structure.size)
            for offset, data in structure.around:
                write_at(self._file, data, offset)
            write_at(self._file, text, structure.offsets[-1])

    def _metadata(self) -> bytes:
        """Return the metadata as JSON, padded with spaces."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "step": self.step,
            "n_samples": self.layout.n_samples,
            "probe_sha256": self.probe_sha256,
            **{
                KINDS[kind].member: [one.metadata() for one in alike.values()]
                for kind, alike in self.written.items()
                if alike or kind == "layer"
            },
            "metrics": {key: _finite(value) for key, value in self.metrics.items()},
            "epoch": self.epoch,
            "provenance": self.provenance,
            "gradients": self.gradients,
            **({"curvature": self.curvature} if self.curvature else {}),
        }
        return padded_json(document)


def _new_file(path: Path) -> int:
    """Open a file that nobody else has, in place of one that was left behind."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return open_file(path, flags)
    except FileExistsError:
        path.unlink()
        return open_file(path, flags)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

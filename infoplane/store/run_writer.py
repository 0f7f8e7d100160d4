"""Write a run, step by step, batch by batch; layout in ``infoplane.store.run``."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import h5py
import numpy as np

from infoplane.errors import InputError, RunFileError
from infoplane.records import Array, ProbeSet
from infoplane.store.run import FORMAT, VERSION


class RunWriter:
    """The one writer of a run folder.

    Parameters
    ----------
    path : Path
        Folder of the run; made if missing.
    probe : ProbeSet
        Written once, to ``probe.h5``.
    manifest : mapping
        Run name, group, seed and provenance; JSON values.
    overwrite : bool
        Replace an earlier run in this folder.

    Raises
    ------
    RunFileError
        If the folder holds a run and ``overwrite`` is false, holds something else, is being
        written by another process, or cannot be written.
    """

    def __init__(
        self, path: Path, probe: ProbeSet, manifest: Mapping[str, Any], *, overwrite: bool = False
    ) -> None:
        self.path = path
        self.n_samples = probe.n_samples
        document = {
            "format": FORMAT,
            "version": VERSION,
            **manifest,
            "probe": {
                "file": "probe.h5",
                "n_samples": probe.n_samples,
                "n_classes": None if probe.labels is None else len(np.unique(probe.labels)),
                "sha256": _probe_hash(probe),
            },
        }
        try:
            self._manifest = (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
        except (TypeError, ValueError) as error:
            raise InputError(f"expected provenance of JSON values ({error})") from error
        self._begun = False
        with _written(path):
            self._check_folder(overwrite)
            self._made = not path.exists()
            (path / "steps").mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            self._check_folder(overwrite)  # another writer may have been faster
            self._write_probe(probe)

    def close(self) -> None:
        """Release the folder for other writers; a new folder without a step is removed."""
        with suppress(OSError):
            for residue in (self.path / "steps").glob("*.tmp"):
                residue.unlink()
            if not self._begun:
                self._new_probe.unlink(missing_ok=True)
        self._lock.close()
        if self._made and not self._begun:
            with suppress(OSError):  # not empty: somebody else has put something there
                (self.path / ".lock").unlink(missing_ok=True)
                (self.path / "steps").rmdir()
                self.path.rmdir()

    def step(self, step: int) -> StepWriter:
        """Return the writer of one step, to be used in a ``with`` block."""
        if step < 0:
            raise InputError(f"expected a step of at least 0, got {step}")
        path = self.path / "steps" / f"step_{step:012d}.h5"
        return StepWriter(path, step, self.n_samples, before_commit=self._begin)

    def _begin(self) -> None:
        """Make the run, now that its first step is complete; an earlier run ends only here."""
        if self._begun:
            return
        (self.path / "manifest.json").unlink(missing_ok=True)
        for file in (self.path / "steps").glob("step_*.h5"):
            file.unlink()
        self._new_probe.replace(self.path / "probe.h5")
        _write_atomically(self.path / "manifest.json", self._manifest)
        self._begun = True

    def _check_folder(self, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunFileError(f"{self.path}: expected a folder, found a file", code="IP302")
        is_run = (self.path / "manifest.json").exists()
        if is_run and any((self.path / "steps").glob("step_*.h5")) and not overwrite:
            raise RunFileError(
                f"{self.path}: already holds a run",
                hint="choose another folder, or replace the run with --overwrite",
                code="IP302",
            )
        if self.path.exists() and not is_run:
            own = re.compile(r"(manifest\.json|probe\.h5|steps|\.lock)(\..*tmp)?")
            names = sorted(entry.name for entry in self.path.iterdir())
            if others := [name for name in names if not own.fullmatch(name)]:
                raise RunFileError(
                    f"{self.path}: the folder holds files that are not of a run ({others[0]})",
                    hint="choose an empty or a new folder",
                    code="IP302",
                )

    def _locked(self) -> IO[str]:
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise RunFileError(
                f"{self.path}: another process is writing this run", code="IP306"
            ) from error
        return lock

    @property
    def _new_probe(self) -> Path:
        return self.path / "probe.h5.tmp"

    def _write_probe(self, probe: ProbeSet) -> None:
        with h5py.File(self._new_probe, "w") as file:
            _contiguous(file, "inputs", probe.inputs.shape, probe.inputs.dtype)[...] = probe.inputs
            if probe.labels is not None:
                _contiguous(file, "labels", probe.labels.shape, probe.labels.dtype)[...] = (
                    probe.labels
                )


@dataclass
class _Layer:
    """One layer of the step being written."""

    name: str
    module_type: str
    dataset: h5py.Dataset
    source_dtype: str
    rows: int = 0
    crc32: int = 0
    n_nonfinite: int = 0
    n_zero: int = 0
    low: float | None = None
    high: float | None = None
    noise: float | None = None
    reduction: str = "none"
    details: dict[str, Any] = field(default_factory=dict)  # further JSON values

    def metadata(self) -> dict[str, Any]:
        """Return what the step file says about the layer."""
        return {
            "name": self.name,
            "module_type": self.module_type,
            "shape": list(self.dataset.shape[1:]),
            "dtype": str(self.dataset.dtype),
            "source_dtype": self.source_dtype,
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
    """Writes one step; visible under its final name only after the ``with`` block succeeded."""

    path: Path
    step: int
    n_samples: int
    before_commit: Callable[[], None] = lambda: None
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, dict[str, float | int]] = field(default_factory=dict)
    layers: dict[object, _Layer] = field(default_factory=dict)

    def __enter__(self) -> StepWriter:
        self._temporary = self.path.with_suffix(".h5.tmp")
        with _written(self.path):
            self._file = h5py.File(self._temporary, "w")
        return self

    def write(
        self, key: object, name: str, module_type: str, row: int, batch: Array, source_dtype: str
    ) -> None:
        """Append a batch (n, ...) of the layer ``key``, whose rows start at ``row``.

        The bytes are in the file when this returns, so later changes of ``batch`` do no harm.
        """
        layer = self.layers.get(key)
        if layer is None:
            group = f"layers/L{len(self.layers):04d}/act"
            shape = (self.n_samples, *batch.shape[1:])
            with _written(self.path):
                dataset = _contiguous(self._file, group, shape, batch.dtype)
            layer = self.layers[key] = _Layer(name, module_type, dataset, source_dtype)
        if row != layer.rows or batch.shape[1:] != layer.dataset.shape[1:]:
            raise RunFileError(
                f"layer {name!r}: expected rows from {layer.rows} of shape "
                f"{layer.dataset.shape[1:]}, got rows from {row} of shape {batch.shape[1:]}"
            )
        batch = np.ascontiguousarray(batch)
        with _written(self.path):
            layer.dataset[row : row + len(batch)] = batch
        layer.rows += len(batch)
        layer.crc32 = zlib.crc32(batch.data, layer.crc32) if batch.size else layer.crc32
        _count(layer, batch)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        complete = False
        try:
            with _written(self.path):
                if kind is None:
                    self._finish()
                self._file.close()
                if kind is None:
                    self.before_commit()
                    self._temporary.replace(self.path)
                    complete = True
        except RunFileError:
            if kind is None:  # otherwise the error that came first is the one to tell
                raise
        finally:
            if not complete:
                with suppress(OSError):
                    self._temporary.unlink()

    def _finish(self) -> None:
        for layer in self.layers.values():
            if layer.rows != self.n_samples:
                raise RunFileError(
                    f"layer {layer.name!r}: expected {self.n_samples} rows, got {layer.rows}"
                )
        meta = {
            "n_samples": self.n_samples,
            "layers": [layer.metadata() for layer in self.layers.values()],
            "metrics": {key: _finite(value) for key, value in self.metrics.items()},
            "epoch": self.epoch,
            "provenance": self.provenance,
            "gradients": self.gradients,
        }
        text = np.frombuffer(json.dumps(meta, allow_nan=False).encode(), dtype=np.uint8)
        _contiguous(self._file, "meta", text.shape, text.dtype)[...] = text
        attributes = self._file.attrs
        attributes["format"] = FORMAT
        attributes["version"] = VERSION
        attributes["step"] = self.step
        attributes["complete"] = True


def _count(layer: _Layer, batch: Array) -> None:
    """Keep range, zeros and non-finite values of a layer up to date."""
    layer.n_zero += int(batch.size - np.count_nonzero(batch))
    if batch.dtype.kind == "f":
        finite = np.isfinite(batch)
        layer.n_nonfinite += int(batch.size - np.count_nonzero(finite))
        batch = batch if finite.all() else batch[finite]
    if batch.size:
        low, high = float(batch.min()), float(batch.max())
        layer.low = low if layer.low is None else min(layer.low, low)
        layer.high = high if layer.high is None else max(layer.high, high)


def _contiguous(
    parent: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Create a contiguous dataset whose space is allocated at once and not filled."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    group, _, last = name.rpartition("/")
    node = parent.require_group(group) if group else parent
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(dtype, logical=True)
    dataset = h5py.Dataset(h5py.h5d.create(node.id, last.encode(), kind, space, dcpl=properties))
    if dataset.nbytes:
        # A full disk must show now, and not when HDF5 flushes what it has promised to keep.
        descriptor = parent.file.id.get_vfd_handle()
        os.posix_fallocate(descriptor, dataset.id.get_offset(), dataset.nbytes)
    return dataset


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn what goes wrong in writing into one line that names the file."""
    try:
        yield
    except RunFileError:
        raise
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else " ".join(str(error).split())[:200]
        raise RunFileError(f"{path}: cannot be written ({reason})", code="IP305") from error


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _probe_hash(probe: ProbeSet) -> str:
    digest = hashlib.sha256()
    for array in (probe.inputs, probe.labels):
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)

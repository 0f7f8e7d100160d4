"""A run: the activations of a fixed probe set at every checkpoint, as a folder.

::

    RUN/
      manifest.json                 format, version, provenance
      probe.h5                      /inputs, /labels
      steps/step_000000001200.h5    one file per training step
        attributes                  format, version, step, complete
        /meta                       one JSON text in UTF-8: layers, metrics, provenance
        /layers/L0000/act           (n_samples, ...), contiguous, in the model's dtype

A step file is written under a temporary name and renamed when it is complete, so a step that can be
seen can be read. Layer names stand in the metadata, never in HDF5 paths. The layout is specified in
``docs/run-format.md``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from infoplane.errors import DataError, InfoplaneError, InputError, NotFoundError, RunFileError
from infoplane.records import Array, LayerInfo, ProbeSet

FORMAT = "infoplane.recording"
VERSION = 1

_STEP_FILE = re.compile(r"step_(\d{12,19})\.h5")


@dataclass(frozen=True)
class StepInfo:
    """What a step file says of itself."""

    step: int
    layers: tuple[LayerInfo, ...]
    metrics: Mapping[str, float]
    epoch: float | None
    checksums: tuple[int, ...]  # crc32 of each layer's bytes
    nonfinite: tuple[int, ...]  # number of NaN and inf in each layer
    gradients: Mapping[str, Mapping[str, float]]  # by layer: mean_norm, spread, weight_norm, ...


@dataclass(frozen=True)
class Run:
    """A recorded run, by path. Cheap to make and to pickle; files are opened per call, read-only.

    Parameters
    ----------
    path : Path
        Folder of the run.
    dropped : tuple of int, default ()
        Samples that are left out of everything, by their row.

    Raises
    ------
    RunFileError
        From every member, if the folder is no run, or a file of it is damaged, foreign or of
        another format version. The message names the file.
    """

    path: Path
    dropped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "dropped": self.dropped}

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.manifest.get("run") or self.path.resolve().name)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of ``manifest.json``."""
        path = self.path / "manifest.json"
        if not self.path.exists():
            raise RunFileError(
                f"{self.path}: no such run",
                hint="a run is the folder that 'infoplane record -o' wrote",
                code="IP303",
            )
        if not path.is_file():
            raise RunFileError(
                f"{self.path}: expected a run folder with manifest.json, found none",
                hint="a run is a folder that 'infoplane record' wrote",
                code="IP303",
            )
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise RunFileError(f"{path}: not readable as JSON ({error})") from error
        if not isinstance(manifest, dict):
            raise RunFileError(f"{path}: expected a JSON object, got {type(manifest).__name__}")
        _check_format(manifest.get("format"), manifest.get("version"), path)
        if not isinstance(manifest.get("probe"), dict):
            raise RunFileError(f"{path}: expected an object under 'probe'")
        return manifest

    @cached_property
    def probe(self) -> ProbeSet:
        """The probe set."""
        self.manifest  # noqa: B018  - its checks come first
        path = self.path / "probe.h5"
        with _opened(path) as file:
            names = set(file)
            inputs = np.array(_mapped(file, "inputs", path))
            labels = np.array(_mapped(file, "labels", path)) if "labels" in names else None
        if self.dropped:
            inputs = np.delete(inputs, self.dropped, axis=0)
            labels = None if labels is None else np.delete(labels, self.dropped)
        try:
            return ProbeSet(inputs, labels)
        except InputError as error:
            raise DataError(f"{path}: {error}") from error

    @cached_property
    def probe_hash(self) -> str:
        """A hash of the kept samples: inputs and labels."""
        digest = hashlib.sha256()
        for part in (self.probe.inputs, self.probe.labels):
            if part is not None:
                digest.update(repr((part.dtype.str, part.shape)).encode())
                digest.update(np.ascontiguousarray(part).data)
        return "sha256:" + digest.hexdigest()

    @cached_property
    def n_samples(self) -> int:
        """Number of samples in the files; the probe set is not read for it."""
        self.manifest  # noqa: B018
        path = self.path / "probe.h5"
        with _opened(path) as file:
            return len(_mapped(file, "inputs", path))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Recorded steps, ascending; only complete ones exist."""
        self.manifest  # noqa: B018
        names = (entry.name for entry in (self.path / "steps").glob("step_*.h5"))
        return tuple(sorted(int(m[1]) for m in map(_STEP_FILE.fullmatch, names) if m))

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """Recorded layers, in the order of the forward pass; the same at every step."""
        if not self.steps:
            raise NotFoundError(f"{self.path}: the run holds no complete step", code="IP402")
        return self.step_info(self.steps[0]).layers

    def step_file(self, step: int) -> Path:
        """Return the path of a step's file."""
        return self.path / "steps" / f"step_{step:012d}.h5"

    def step_info(self, step: int) -> StepInfo:
        """Return the metadata of a step.

        Raises
        ------
        NotFoundError
            If the step was not recorded.
        """
        if step not in self.steps:
            raise NotFoundError(
                f"{self.path}: no step {step}; it has {_listed(self.steps)}", code="IP402"
            )
        if step not in self._step_infos:
            path = self.step_file(step)
            with _opened(path) as file:
                self._step_infos[step] = _step_info(file, path, step, self.n_samples)
        return self._step_infos[step]

    @cached_property
    def _step_infos(self) -> dict[int, StepInfo]:
        return {}

    def spoiled(self, step: int) -> NDArray[np.bool_]:
        """Tell of each layer (n_layers,) whether its kept samples hold NaN or inf at a step."""
        counts = np.array(self.step_info(step).nonfinite) > 0
        if self.dropped:
            for index in np.flatnonzero(counts):
                found = self.activations(step, self.layers[index].name)
                counts[index] = not np.isfinite(found).all()
        return counts

    def layer(self, name: str) -> LayerInfo:
        """Return the layer of this name.

        Raises
        ------
        NotFoundError
            If there is none; the message lists what exists.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = _listed([layer.name for layer in self.layers])
        raise NotFoundError(f"{self.path}: no layer {name!r}; it has {names}")

    def activations(self, step: int, layer: str, *, verify: bool = False) -> Array:
        """Return the activations (n_samples, n_units) in the stored dtype.

        The array is a read-only memory map of the file. With ``verify`` its bytes are compared with
        the checksum that was recorded.
        """
        index = self.layer(layer).index
        path = self.step_file(step)
        with _opened(path) as file:
            found = _mapped(file, f"layers/L{index:04d}/act", path)
        if len(found) != self.n_samples:
            raise RunFileError(
                f"{path}: expected {self.n_samples} samples of layer {layer!r}, found {len(found)}"
            )
        if verify and zlib.crc32(found.data) != self.step_info(step).checksums[index]:
            raise RunFileError(
                f"{path}: layer {layer!r} does not match its checksum: the data was changed or "
                "damaged after recording",
                hint="delete the file to use the other steps, or record that step again",
                code="IP307",
            )
        found = found.reshape(len(found), -1)
        return np.delete(found, self.dropped, axis=0) if self.dropped else found

    def without_nonfinite(self, layers: Sequence[str], steps: Sequence[int]) -> Run:
        """Return the run without the samples that hold NaN or inf in these layers and steps."""
        bad = np.zeros(self.n_samples, dtype=bool)
        for step in steps:
            info = self.step_info(step)
            for layer in layers:
                if info.nonfinite[self.layer(layer).index]:
                    found = Run(self.path).activations(step, layer)
                    bad |= ~np.isfinite(found).all(axis=1)
        return Run(self.path, tuple(np.flatnonzero(bad).tolist()))

    def check(self) -> None:
        """Open every step and compare the layers.

        Raises
        ------
        RunFileError
            If a step file is damaged or its layers differ from those of the first step.
        """
        for step in self.steps:
            found = self.step_info(step).layers
            if found != self.layers:
                raise RunFileError(
                    f"{self.step_file(step)}: its layers differ from those of step "
                    f"{self.steps[0]}: expected {_first_difference(self.layers, found)}",
                    hint="record all checkpoints of a run with the same model and layers",
                )

    def content_hash(self) -> str:
        """Return a hash of what was recorded: probe set, steps, layers, checksums."""
        digest = hashlib.sha256()
        digest.update(str(self.manifest["probe"].get("sha256")).encode())
        for step in self.steps:
            info = self.step_info(step)
            digest.update(repr((step, info.layers, info.checksums)).encode())
        digest.update(repr(self.dropped).encode() if self.dropped else b"")
        return "sha256:" + digest.hexdigest()


def _first_difference(expected: tuple[LayerInfo, ...], found: tuple[LayerInfo, ...]) -> str:
    for one, other in itertools.zip_longest(expected, found):
        if one != other:
            texts = [
                f"{layer.name!r} {layer.shape} {layer.dtype}" if layer else "no layer"
                for layer in (one, other)
            ]
            return f"{texts[0]}, found {texts[1]}"
    return "the same"


def _check_format(name: object, version: object, path: Path) -> None:
    if name != FORMAT:
        raise RunFileError(f"{path}: expected format {FORMAT!r}, found {name!r}", code="IP303")
    if type(version) is bool or version != VERSION or not isinstance(version, (int, np.integer)):
        raise RunFileError(
            f"{path}: expected format version {VERSION}, found {version!r}",
            hint="it was written by another release of infoplane: record again, or use that one",
            code="IP304",
        )


def _opened(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, whatever is wrong with it told in one line."""
    try:
        status = path.stat()
    except OSError as error:
        raise RunFileError(f"{path}: cannot be read ({error.strerror})", code="IP303") from error
    if not stat.S_ISREG(status.st_mode):
        raise RunFileError(f"{path}: expected a regular file", code="IP303")
    try:
        return h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError) as error:
        truncated = re.search(r"eof = (\d+).*?stored_eof = (\d+)", str(error))
        what = f"has {status.st_size:,} bytes"
        if truncated:
            what = f"truncated: {int(truncated[1]):,} of {int(truncated[2]):,} bytes"
        raise RunFileError(
            f"{path}: not a complete HDF5 file ({what})",
            hint="record the run again"
            if path.name == "probe.h5"
            else "delete the file to use the other steps, or record that step again",
        ) from error


def _step_info(file: h5py.File, path: Path, step: int, n_samples: int) -> StepInfo:
    attributes = {}
    try:
        for key in ("format", "version", "step", "complete"):
            attributes[key] = file.attrs.get(key)
        _check_format(attributes["format"], attributes["version"], path)
        if not attributes["complete"]:
            raise RunFileError(f"{path}: the step is not complete")
        if int(attributes["step"]) != step:
            raise RunFileError(
                f"{path}: expected step {step} by its name, found step {attributes['step']}"
            )
        meta = json.loads(bytes(_mapped(file, "meta", path)))
        layers = tuple(
            LayerInfo(
                name=str(layer["name"]),
                index=index,
                type=str(layer["module_type"]),
                shape=tuple(map(int, layer["shape"])),
                dtype=str(layer["dtype"]),
                reduction=str(layer["reduction"]),
                noise=None if layer["noise"] is None else float(layer["noise"]),
            )
            for index, layer in enumerate(meta["layers"])
        )
        if meta["n_samples"] != n_samples:
            raise RunFileError(
                f"{path}: expected {n_samples} samples as in probe.h5, found {meta['n_samples']}"
            )
        return StepInfo(
            step=step,
            layers=layers,
            metrics={str(k): float(v) for k, v in meta["metrics"].items() if v is not None},
            epoch=None if meta["epoch"] is None else float(meta["epoch"]),
            checksums=tuple(int(layer["crc32"]) for layer in meta["layers"]),
            nonfinite=tuple(int(layer["n_nonfinite"]) for layer in meta["layers"]),
            gradients={
                str(name): {str(key): float(value) for key, value in found.items()}
                for name, found in meta.get("gradients", {}).items()
            },
        )
    except InfoplaneError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
        raise RunFileError(
            f"{path}: damaged metadata ({type(error).__name__}: {error})",
            hint="delete the file to use the other steps, or record that step again",
        ) from error


def _mapped(file: h5py.File, name: str, path: Path) -> Array:
    """Return a dataset as a read-only memory map.

    The path is followed link by link: nothing outside the file is ever read. Only what the format
    writes is accepted: plain numbers, contiguous, inside the file.
    """
    where = f"{path}: dataset {name!r}"
    try:
        node: Any = file
        for part in name.split("/"):
            if not isinstance(node, h5py.Group) or part not in node:
                raise RunFileError(f"{where} is missing")
            if not isinstance(node.get(part, getlink=True), h5py.HardLink):
                raise RunFileError(f"{where} is a link, expected data in the file itself")
            node = node[part]
        if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
            raise RunFileError(f"{where}: expected plain data in the file itself")
        if node.dtype.kind not in "fiub" or not node.dtype.isnative:
            raise RunFileError(f"{where}: expected numbers, found dtype {node.dtype}")
        offset = node.id.get_offset()
        if node.chunks is not None or offset is None or node.shape is None:
            raise RunFileError(f"{where}: expected contiguous data")
        if offset + node.nbytes > path.stat().st_size:
            raise RunFileError(f"{where}: extends beyond the end of the file")
        shape, dtype = node.shape, node.dtype
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, RunFileError):
            raise
        raise RunFileError(f"{where} cannot be read ({error})") from error
    return np.memmap(path, mode="r", dtype=dtype, shape=shape, offset=offset)


def _listed(items: Any, most: int = 12) -> str:
    items = list(items)
    text = ", ".join(map(str, items[:most]))
    return text + (f", … ({len(items)} in all)" if len(items) > most else "")

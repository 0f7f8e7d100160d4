"""A run: the activations of a fixed probe set at every checkpoint, as a folder or as one file.

::

    RUN/                                         RUN.h5, made of it by ``pack``
      manifest.json                              /manifest
      probe.h5                                   /probe
        /inputs, /labels                           /inputs, /labels
      steps/step_000000001200.h5                 /steps/step_000000001200
        /layers/L0000/act   (n_samples, ...)       /layers/L0000/act
        /meta               one JSON text          /meta

A step file is written under a temporary name and renamed when it is complete, so a step that can be
seen can be read, and a reader never waits for a writer. Layer names stand in the metadata, never in
HDF5 paths. The layout is specified in ``docs/run-format.md``.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from infoplane.errors import DataError, InputError, NotFoundError, RunFileError
from infoplane.records import Array, LayerInfo, ProbeSet, split_rows
from infoplane.store.bfloat16 import BFLOAT16, bfloat16_values
from infoplane.store.checksum import crc32
from infoplane.store.hdf5 import check_regular, has_link, json_object, mapped, opened, reading
from infoplane.store.layout import MOST_TEXT, activations_name, check_format, step_name, step_of
from infoplane.store.probe_parts import probe_sha256, read_probe, read_splits
from infoplane.store.step_info import StepInfo, read_step

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Run:
    """A recorded run, by path. Cheap to make and to pickle; files are opened per call, read-only.

    Parameters
    ----------
    path : Path
        Folder of the run, or the file that ``pack`` made of it.
    dropped : tuple of int, default ()
        Samples that are left out of everything, by their row.
    split : str, optional
        The only split of the probe set that is seen; all samples if None.

    Raises
    ------
    RunFileError
        From every member, if there is no run, or a file of it is damaged, foreign or of another
        format version. The message names the file.
    """

    path: Path
    dropped: tuple[int, ...] = ()
    split: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def __getstate__(self) -> dict[str, Any]:
        # Absolute: a worker may have been started in another folder.
        return {"path": self.path.absolute(), "dropped": self.dropped, "split": self.split}

    @property
    def name(self) -> str:
        """Name of the run, and of the split that is seen: ``s0[test]``."""
        return self._of_split(str(self.manifest.get("run") or self.path.resolve().name))

    @property
    def group(self) -> str | None:
        """Name of the group of runs, and of the split that is seen."""
        group = self.manifest.get("group")
        return None if group is None else self._of_split(str(group))

    def _of_split(self, name: str) -> str:
        return name if self.split is None else f"{name}[{self.split}]"

    @cached_property
    def splits(self) -> dict[str, int]:
        """Names and lengths of the splits of the probe set, in the order of their rows."""
        where = self.path if self.packed else self.path / "manifest.json"
        try:
            splits = read_splits(self.manifest["probe"])
        except InputError as error:
            raise RunFileError(f"{where}: {error}") from error
        if splits and sum(splits.values()) != self.n_samples:
            raise RunFileError(
                f"{where}: expected splits of {self.n_samples} samples in all, found "
                f"{sum(splits.values())}"
            )
        return splits

    def by_split(self, names: Sequence[str] = ()) -> list[Run]:
        """Return the run once for each of its splits, or these; itself if it has none.

        Raises
        ------
        NotFoundError
            If there is no split of a name.
        """
        if missing := [name for name in names if name not in self.splits]:
            raise NotFoundError(
                f"{self.path}: no split {missing[0]!r}; it has "
                f"{_listed(self.splits) or 'one probe set without splits'}"
            )
        chosen = [name for name in self.splits if not names or name in names]
        return [replace(self, split=name) for name in chosen] or [self]

    @cached_property
    def packed(self) -> bool:
        """Whether the run is one file.

        Raises
        ------
        RunFileError
            If there is nothing, or neither a run folder nor an HDF5 file.
        """
        if not self.path.exists():
            raise RunFileError(
                f"{self.path}: no such run",
                hint="a run is the folder that 'infoplane record -o' wrote",
                code="IP303",
            )
        if self.path.is_dir():
            return False
        check_regular(self.path)
        with reading(str(self.path)), self.path.open("rb") as file:
            if file.read(8) == _SIGNATURE:
                return True
        raise RunFileError(
            f"{self.path}: expected a run folder, or a run packed into one HDF5 file",
            hint="a run is a folder that 'infoplane record' wrote",
            code="IP303",
        )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run says of itself: its name, group, seed, settings, provenance."""
        text, path = self.manifest_text, self.path if self.packed else self.path / "manifest.json"
        manifest = json_object(text, str(path))
        check_format(manifest.get("format"), manifest.get("version"), path)
        if not isinstance(manifest.get("probe"), dict):
            raise RunFileError(f"{path}: expected an object under 'probe'")
        return manifest

    @property
    def manifest_text(self) -> bytes:
        """The bytes of the manifest."""
        if self.packed:
            with opened(self.path) as file:
                return bytes(mapped(file, "manifest", self.path)[:MOST_TEXT])
        path = self.path / "manifest.json"
        if not path.is_file():
            raise RunFileError(
                f"{self.path}: expected a run folder with manifest.json, found none",
                hint="a run is a folder that 'infoplane record' wrote",
                code="IP303",
            )
        with reading(str(path)), path.open("rb") as text:
            return text.read(MOST_TEXT + 1)

    @cached_property
    def probe(self) -> ProbeSet:
        """The probe set."""
        with self._probe_file() as (file, prefix, path):
            group = file[prefix or "/"]
            try:
                probe = read_probe(
                    lambda name: has_link(group, name),
                    lambda name: mapped(file, f"{prefix}{name}", path),
                    self.manifest["probe"],
                )
            except InputError as error:
                raise DataError(f"{path}: {error}") from error
        if self.dropped:
            return probe.take(self.kept)
        return probe if self.split is None else probe.take(self._rows)

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
    def kept(self) -> NDArray[np.int64]:
        """Rows of the split that is seen, without those that are left out."""
        return np.setdiff1d(np.arange(self.n_samples)[self._rows], self.dropped)

    @property
    def _rows(self) -> slice:
        """Rows of the split that is seen."""
        return slice(None) if self.split is None else split_rows(self.splits)[self.split]

    @cached_property
    def n_samples(self) -> int:
        """Number of samples in the files; the probe set is not read for it."""
        with self._probe_file() as (file, prefix, path):
            return len(mapped(file, f"{prefix}inputs", path))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Recorded steps, ascending; only complete ones exist."""
        self.manifest  # noqa: B018  - its checks come first
        if self.packed:
            with opened(self.path) as file:
                index = mapped(file, "steps/index", self.path)
                with reading(f"{self.path}: index of steps"):
                    if index.ndim != 1 or index.min(initial=0) < 0 or (np.diff(index) <= 0).any():
                        raise RunFileError(f"{self.path}: expected an index of ascending steps")
                    return tuple(index.tolist())
        with reading(str(self.path)):
            names = [entry.stem for entry in (self.path / "steps").glob("step_*.h5")]
        return tuple(sorted(step for name in names if (step := step_of(name)) is not None))

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """Recorded layers, in the order of the forward pass; the same at every step."""
        if not self.steps:
            raise NotFoundError(f"{self.path}: the run holds no complete step", code="IP402")
        return self.step_info(self.steps[0]).layers

    def step_file(self, step: int) -> Path:
        """Return the path of the file that holds a step."""
        return self.path if self.packed else self.path / "steps" / f"{step_name(step)}.h5"

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
            with self._step(step) as (file, prefix, path):
                recorded_on = self.manifest["probe"].get("sha256")
                self._step_infos[step] = read_step(
                    file, prefix, path, step, self.n_samples, recorded_on, self._remedy
                )
        return self._step_infos[step]

    @cached_property
    def _step_infos(self) -> dict[int, StepInfo]:
        return {}

    def spoiled(self, step: int) -> NDArray[np.bool_]:
        """Tell of each layer (n_layers,) whether its kept samples hold NaN or inf at a step."""
        counts = np.array(self.step_info(step).nonfinite) > 0
        if self.dropped or self.split is not None:
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
        """Return the activations (n_samples, n_units) in the stored dtype; bfloat16 as float32.

        The array is a read-only memory map of the file, except for bfloat16. With ``verify`` its
        bytes are compared with the checksum that was recorded.
        """
        info = self.layer(layer)
        found = self.stored(step, info, verify=verify)
        found = found.reshape(len(found), -1)
        found = found[self.kept] if self.dropped else found[self._rows]
        if info.encoding == BFLOAT16:
            found = bfloat16_values(found)
            found.flags.writeable = False
        elif info.encoding is not None:
            raise RunFileError(
                f"{self.path}: layer {layer!r}: unknown encoding {info.encoding!r}",
                hint="it was written by another release of infoplane: record again, or use that",
                code="IP304",
            )
        return found

    def stored(self, step: int, layer: LayerInfo, *, verify: bool = False) -> Array:
        """Return the activations (n_samples, ...) of a layer as they are in the file."""
        with self._step(step) as (file, prefix, path):
            found = mapped(file, prefix + activations_name(layer.index), path, self._remedy)
        shape = (self.n_samples, *layer.shape)
        if found.shape != shape or str(found.dtype) != layer.dtype:
            raise RunFileError(
                f"{path}: step {step}, layer {layer.name!r}: expected shape {shape} of "
                f"{layer.dtype}, found {found.shape} of {found.dtype}",
                hint=self._remedy,
            )
        if verify and crc32(found.data) != self.step_info(step).checksums[layer.index]:
            where = f"step {step}, " if self.packed else ""
            raise RunFileError(
                f"{path}: {where}layer {layer.name!r} does not match its checksum: the data was "
                "changed or damaged after recording",
                hint=self._remedy,
                code="IP307",
            )
        return found

    def datasets(self, step: int, *, verify: bool = False) -> dict[str, Array]:
        """Return everything that is stored of a step, by name of the dataset."""
        info = self.step_info(step)
        found = {
            activations_name(layer.index): self.stored(step, layer, verify=verify)
            for layer in info.layers
        }
        with self._step(step) as (file, prefix, path):
            return {**found, "meta": mapped(file, f"{prefix}meta", path, self._remedy)}

    def without_nonfinite(self, layers: Sequence[str], steps: Sequence[int]) -> Run:
        """Return the run without the samples that hold NaN or inf in these layers and steps."""
        whole = replace(self, dropped=())
        bad = np.zeros(len(whole.kept), dtype=bool)
        for step in steps:
            info = self.step_info(step)
            for layer in layers:
                if info.nonfinite[self.layer(layer).index]:
                    found = whole.activations(step, layer)
                    bad |= ~np.isfinite(found).all(axis=1)
        return replace(self, dropped=tuple(whole.kept[bad].tolist()))

    @property
    def _remedy(self) -> str:
        return (
            "pack the run again"
            if self.packed
            else "delete the file to use the other steps, or record that step again"
        )

    @contextmanager
    def _probe_file(self) -> Iterator[tuple[h5py.File, str, Path]]:
        self.manifest  # noqa: B018  - its checks come first
        path = self.path if self.packed else self.path / "probe.h5"
        hint = "pack the run again" if self.packed else "record the run again"
        with opened(path, hint) as file, reading(str(path), hint):
            yield file, "probe/" if self.packed else "", path

    @contextmanager
    def _step(self, step: int) -> Iterator[tuple[h5py.File, str, Path]]:
        """Open the file that holds a step; the names of its datasets begin with the text."""
        path = self.step_file(step)
        with opened(path, self._remedy) as file:
            yield file, f"steps/{step_name(step)}/" if self.packed else "", path

    def check(self) -> None:
        """Open every step and compare the layers; compare the probe set with its hash.

        Raises
        ------
        RunFileError
            If the probe set is not that of the recording, a step file is damaged or its layers
            differ from those of the first step.
        """
        whole = Run(self.path) if self.dropped or self.split is not None else self
        recorded_on = self.manifest["probe"].get("sha256")
        if recorded_on not in (None, probe_sha256(whole.probe)):
            raise RunFileError(
                f"{self.path}: the probe set is not the one that the activations were recorded on",
                hint="put the probe set of the recording back, or record the run again",
                code="IP307",
            )
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
        digest.update(repr((self.split, self._rows)).encode() if self.split is not None else b"")
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


def _listed(items: Any, most: int = 12) -> str:
    items = list(items)
    text = ", ".join(map(str, items[:most]))
    return text + (f", … ({len(items)} in all)" if len(items) > most else "")

"""The files of a run: a folder, one file, or the folders that several processes have written.

::

    RUN/                                         RUN.h5, made of it by ``pack``
      manifest.json                              /manifest
      probe.h5                                   /probe
        /inputs, /labels                           /inputs, /labels
      log.jsonl           if losses were logged  /log
  steps/step_000000001200.h5                 /steps/step_000000001200
        /layers/L0000/act   (n_samples, ...)       /layers/L0000/act
        /weights/W0000      if recorded             /weights/W0000
        /meta               one JSON text          /meta

A run that several processes recorded is a folder of such runs, each of some rows (``shards``).

A step file is written under a temporary name and renamed when it is complete, so a step that can be
seen can be read, and a reader never waits for a writer. Layer names stand in the metadata, never in
HDF5 paths. The layout is specified in ``docs/run-format.md``.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from infoplane.calls import path_of
from infoplane.data import Array, NoProbe, ProbeSet, Slot, SlotKind
from infoplane.errors import DataError, InputError, NotFoundError, RunFileError, unreadable
from infoplane.runs.atomic import check_regular
from infoplane.runs.hdf5 import Place, has_link, json_object, opened, place_of, reading
from infoplane.runs.layout import (
    KINDS,
    MOST_TEXT,
    check_format,
    dataset_name,
    dataset_shape,
    step_name,
    step_of,
)
from infoplane.runs.loss_log import NAME as LOG_NAME
from infoplane.runs.loss_log import intact_bytes, read_log
from infoplane.runs.probe_parts import read_probe
from infoplane.runs.shards import (
    joined_manifest,
    joined_meta,
    joined_probe,
    joined_rows,
    present_shards,
    shard_folders,
)
from infoplane.runs.step_info import StepInfo, padded_json, read_meta, step_info
from infoplane.step_record import LossLog, StepRecord

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class RunFiles:
    """What a run holds, by path; files are opened per call, read-only.

    Parameters
    ----------
    path : Path
        Folder of the run, or the file that ``pack`` made of it.

    Raises
    ------
    InputError
        If ``path`` is none.
    RunFileError
        From every member, if there is no run, or a file of it is damaged, foreign or of another
        format version. The message names the file.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", path_of(self.path, "path"))

    @cached_property
    def packed(self) -> bool:
        """Whether the run is one file.

        Raises
        ------
        RunFileError
            If there is nothing, or neither a run folder nor an HDF5 file.
        """
        try:
            if stat.S_ISDIR(self.path.stat().st_mode):
                return False
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunFileError(
                f"{self.path}: no such run",
                hint="a run is the folder that 'infoplane record -o' wrote",
                code="IP303",
            ) from error
        except OSError as error:
            raise unreadable(self.path, error) from error
        check_regular(self.path)
        with reading(str(self.path)), self.path.open("rb") as file:
            if file.read(8) == _SIGNATURE:
                return True
        raise RunFileError(
            f"{self.path}: expected a run folder, or a run packed into one HDF5 file",
            hint=_how_to_import(self.path) or "a run is a folder that 'infoplane record' wrote",
            code="IP303",
        )

    @cached_property
    def shards(self) -> tuple[RunFiles, ...]:
        """The runs that hold a block of the rows each, in their order; none if this holds all."""
        if self.packed or (self.path / "manifest.json").exists():
            return ()
        return tuple(map(RunFiles, shard_folders(self.path)))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run says of itself: its name, group, seed, settings, provenance."""
        if self.shards:
            with reading(str(self.path)):
                return joined_manifest([shard.manifest for shard in self.shards], self.path)
        text, path = self.manifest_text, self.path if self.packed else self.path / "manifest.json"
        manifest = json_object(text, str(path))
        check_format(manifest.get("format"), manifest.get("version"), path)
        if not isinstance(manifest.get("probe"), dict):
            raise RunFileError(f"{path}: expected an object under 'probe'")
        return manifest

    @property
    def manifest_text(self) -> bytes:
        """The bytes of the manifest."""
        if self.shards:
            return (json.dumps(self.manifest, indent=1) + "\n").encode()
        if self.packed:
            with opened(self.path, self._remedy) as file:
                with reading(str(self.path), self._remedy):
                    there = has_link(file, "manifest")
                if not there:
                    raise RunFileError(
                        f"{self.path}: an HDF5 file of other content, expected a packed run",
                        hint=_how_to_import(self.path),
                        code="IP303",
                    )
                return bytes(place_of(file, "manifest", self.path).mapped()[:MOST_TEXT])
        path = self.path / "manifest.json"
        if not path.is_file():
            raise RunFileError(
                f"{self.path}: expected a run folder with manifest.json, found none",
                hint=_how_to_import(self.path) or "a run is a folder that 'infoplane record' wrote",
                code="IP303",
            )
        with reading(str(path)), path.open("rb") as text:
            return text.read(MOST_TEXT + 1)

    @cached_property
    def whole_probe(self) -> ProbeSet:
        """The probe set, all its rows; it has none in a run without activations."""
        if not self.has_samples:
            return NoProbe.made()
        try:
            if self.shards:
                probes = [shard.whole_probe for shard in self.shards]
                return joined_probe(probes, self.manifest["probe"])
            with self._probe_file() as (file, prefix, path, hint):
                group = file[prefix or "/"]
                return read_probe(
                    lambda name: has_link(group, name),
                    lambda name: place_of(file, f"{prefix}{name}", path, hint).read(),
                    self.manifest["probe"],
                )
        except InputError as error:
            where = self.path if self.packed or self.shards else self.path / "probe.h5"
            raise DataError(f"{where}: {error}") from error

    @property
    def has_samples(self) -> bool:
        """Whether there is a probe set: weights are recorded without one, too."""
        return bool(self.manifest["probe"].get("n_samples") != 0)

    @cached_property
    def n_samples(self) -> int:
        """Number of samples in the files; the probe set is not read for it."""
        if not self.has_samples:
            return 0
        if self.shards:
            return sum(shard.n_samples for shard in self.shards)
        with self._probe_file() as (file, prefix, path, hint):
            alone = self.manifest["probe"].get("inputs") is False
            rows = "ids" if alone else "inputs"
            return place_of(file, f"{prefix}{rows}", path, hint).shape[0]

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Recorded steps, ascending; only complete ones exist."""
        self.manifest  # noqa: B018  - its checks come first
        if self.shards:
            return tuple(sorted(set.intersection(*(set(shard.steps) for shard in self.shards))))
        if self.packed:
            with opened(self.path, self._remedy) as file:
                index = place_of(file, "steps/index", self.path).read()
                with reading(f"{self.path}: index of steps"):
                    if index.ndim != 1 or index.min(initial=0) < 0 or (np.diff(index) <= 0).any():
                        raise RunFileError(f"{self.path}: expected an index of ascending steps")
                    return tuple(index.tolist())
        folder = self.path / "steps"
        with reading(str(folder)):
            try:
                files = [Path(name) for name in os.listdir(folder)]  # noqa: PTH208  - glob hides errors
            except FileNotFoundError:
                files = []
        names = [file.stem for file in files if file.suffix == ".h5"]
        return tuple(sorted(step for name in names if (step := step_of(name)) is not None))

    def holds(self, step: int) -> bool:
        """Tell whether a step is recorded and complete; the others are not listed for it."""
        if self.packed or self.shards:
            return step in self.steps
        return os.path.lexists(self.step_file(step))

    @property
    def incomplete(self) -> dict[int, str]:
        """Steps that some shards lack, with the reason; they are none of ``steps``."""
        held = [set(shard.steps) for shard in self.shards]
        found = {}
        for step in sorted(set().union(*held) - set(self.steps)):
            lacking = [str(number) for number, steps in enumerate(held, 1) if step not in steps]
            are = "shards {} of {} are" if lacking[1:] else "shard {} of {} is"
            found[step] = f"{are.format(', '.join(lacking), len(held))} missing"
        return found

    @cached_property
    def losses(self) -> LossLog:
        """The loss log, empty if there is none; of several shards, that of the first."""
        return read_log(self.log_bytes, str(self.log_file))

    @property
    def log_bytes(self) -> bytes:
        """The finished lines of the loss log, nothing if there is none."""
        if self.shards:
            return self.shards[0].log_bytes
        path = self.log_file
        if self.packed:
            with opened(path, self._remedy) as file:
                if not has_link(file, "log"):
                    return b""
                return intact_bytes(bytes(place_of(file, "log", path, self._remedy).read()))
        if not os.path.lexists(path):
            return b""
        check_regular(path)
        with reading(str(path)):
            return intact_bytes(path.read_bytes())

    @property
    def log_file(self) -> Path:
        """Path of the loss log, or of the file that it is in."""
        if self.shards:
            return self.shards[0].log_file
        return self.path if self.packed else self.path / LOG_NAME

    def record_of(self, step: int) -> StepRecord:
        """Return what is recorded with a step besides arrays."""
        info = self.step_info(step)
        return StepRecord(
            step, info.epoch, info.metrics, info.gradients, info.curvature,
            self.losses.up_to(step),
        )  # fmt: skip

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Recorded layers, then recorded weights; the same at every step."""
        if not self.steps:
            raise NotFoundError(f"{self.path}: the run holds no complete step", code="IP402")
        first = self.step_info(self.steps[0])
        return tuple(replace(slot, checksum=None, nonfinite=None) for slot in first.slots)

    @cached_property
    def layers(self) -> tuple[Slot, ...]:
        """Recorded layers, in the order of the forward pass."""
        return tuple(slot for slot in self.slots if slot.kind == "layer")

    @cached_property
    def weights(self) -> tuple[Slot, ...]:
        """Recorded weights."""
        return tuple(slot for slot in self.slots if slot.kind == "weight")

    def step_file(self, step: int) -> Path:
        """Return the path of the file that holds a step, or of the folder of the shards."""
        if self.packed or self.shards:
            return self.path
        return self.path / "steps" / f"{step_name(step)}.h5"

    def step_info(self, step: int) -> StepInfo:
        """Return the metadata of a step.

        Raises
        ------
        NotFoundError
            If the step was not recorded.
        """
        if not self.holds(step):
            if step in self.steps:  # it was there
                raise RunFileError(
                    f"{self.step_file(step)}: is gone: the run was moved, removed or recorded "
                    "anew while it was read",
                    hint="run the command again, on the run where it is now",
                    code="IP303",
                )
            raise NotFoundError(
                f"{self.path}: no step {step}; it has {listed(self.steps)}", code="IP402"
            )
        if step not in self._step_infos:
            self._step_infos[step] = self._info_of(self._meta(step), step)
        return self._step_infos[step]

    def _info_of(self, meta: dict[str, Any], step: int) -> StepInfo:
        recorded_on = self.manifest["probe"].get("sha256")
        where = self.step_file(step)
        return step_info(meta, where, step, self.n_samples, recorded_on, self._remedy)

    def _meta(self, step: int) -> dict[str, Any]:
        """Return the metadata of a step; of several shards, what they say together."""
        if self.shards:
            return self._joined_meta(self.shards, step)
        return read_meta(self._text(step), self.step_file(step), self._remedy)

    def _joined_meta(self, shards: Sequence[RunFiles], step: int) -> dict[str, Any]:
        metas = [shard._meta(step) for shard in shards]
        for shard, meta in zip(shards, metas, strict=True):
            shard._info_of(meta, step)  # its checks
        where = f"{self.path}: step {step}"
        with reading(where, self._remedy):
            about = joined_manifest([shard.manifest for shard in shards], self.path)["probe"]
            return joined_meta(metas, about, where)

    def compare_shards(self, step: int) -> None:
        """Compare those shards that hold a step by now, while others may still record it.

        Raises
        ------
        RunFileError
            If they do not have the same layers, computed with the same weights.
        """
        present = [RunFiles(folder) for folder in present_shards(self.path)]
        holding = [shard for shard in present if step in shard.steps]
        if holding:
            self._joined_meta(holding, step)

    @cached_property
    def _step_infos(self) -> dict[int, StepInfo]:
        return {}

    def slot(self, name: str, kind: SlotKind = "layer") -> Slot:
        """Return the layer or the weight of this name.

        Raises
        ------
        NotFoundError
            If there is none; the message lists what exists.
        """
        slots = [slot for slot in self.slots if slot.kind == kind]
        for slot in slots:
            if slot.name == name:
                return slot
        names = listed([slot.name for slot in slots]) or "none"
        raise NotFoundError(f"{self.path}: no {kind} {name!r}; it has {names}")

    def layer(self, name: str) -> Slot:
        """Return the layer of this name, as ``slot``."""
        return self.slot(name)

    def stored(self, step: int, slot: Slot, *, verify: bool = False) -> Array:
        """Return the array of a slot as it is in the file: of a layer (n_samples, ...)."""
        if self.shards:  # each has some rows; what is no row of samples, the first
            shards = self.shards if KINDS[slot.kind].by_sample else self.shards[:1]
            return joined_rows([shard.stored(step, slot, verify=verify) for shard in shards])
        recorded = self.step_info(step).slot(slot.name, slot.kind) if verify else slot
        with self._place(step, slot) as place:
            if verify and place.checksum() != recorded.checksum:
                where = f"step {step}, " if self.packed else ""
                raise RunFileError(
                    f"{self.step_file(step)}: {where}{slot.kind} {slot.name!r} does not match its "
                    "checksum: the data was changed or damaged after recording",
                    hint=self._remedy,
                    code="IP307",
                )
            return place.mapped()

    def blocks(self, step: int, layer: Slot, n_rows: int) -> Iterator[Array]:
        """Yield a layer as it is in the file, read by blocks of at most ``n_rows`` samples."""
        for shard in self.shards or (self,):
            with shard._place(step, layer) as place:
                yield from place.blocks(n_rows)

    @contextmanager
    def _place(self, step: int, slot: Slot) -> Iterator[Place]:
        """Find the dataset of a slot, of the shape and dtype that it should have."""
        shape = dataset_shape(slot, self.n_samples)
        with self._dataset(step, dataset_name(slot.kind, slot.index)) as place:
            if place.shape != shape or str(place.dtype) != slot.dtype:
                raise RunFileError(
                    f"{self.step_file(step)}: step {step}, {slot.kind} {slot.name!r}: expected "
                    f"shape {shape} of {slot.dtype}, found {place.shape} of {place.dtype}",
                    hint=self._remedy,
                )
            yield place

    def datasets(self, step: int, *, verify: bool = False) -> dict[str, Array]:
        """Return everything that is stored of a step, by name of the dataset."""
        info = self.step_info(step)
        found = {
            dataset_name(slot.kind, slot.index): self.stored(step, slot, verify=verify)
            for slot in info.slots
        }
        if self.shards:
            text = np.frombuffer(padded_json(self._meta(step)), dtype=np.uint8)
            return {**found, "meta": text}
        return {**found, "meta": self._text(step)}

    def _text(self, step: int) -> Array:
        """Return the bytes of a step's metadata."""
        with self._dataset(step, "meta") as place:
            return place.read()

    @contextmanager
    def _dataset(self, step: int, name: str) -> Iterator[Place]:
        """Open the file of a step, and find a dataset of it."""
        path = self.step_file(step)
        name = f"steps/{step_name(step)}/{name}" if self.packed else name
        with opened(path, self._remedy) as file:
            yield place_of(file, name, path, self._remedy)

    @property
    def _remedy(self) -> str:
        return (
            f"save what is intact with `infoplane inspect {self.path} --rescue OUT`, or pack again"
            if self.packed
            else "delete the file to use the other steps, or record that step again with --resume"
        )

    @contextmanager
    def _probe_file(self) -> Iterator[tuple[h5py.File, str, Path, str]]:
        self.manifest  # noqa: B018  - its checks come first
        path = self.path if self.packed else self.path / "probe.h5"
        hint = self._remedy if self.packed else "record the run again"
        with opened(path, hint) as file, reading(str(path), hint):
            yield file, "probe/" if self.packed else "", path, hint


_OF_ARRAYS = {".npz", ".npy", ".h5", ".hdf5", ".safetensors", ".zarr"}
_OF_TENSORS = {".pt", ".pth", ".ckpt", ".bin"}


def _how_to_import(path: Path) -> str | None:
    """Return which command makes a run of what is here instead; None if that is not clear."""
    if (path / "steps").is_dir():  # a run that lost its manifest
        return None
    files = itertools.islice(path.rglob("*"), 1000) if path.is_dir() else ()
    kinds = {path.suffix.lower(), *(file.suffix.lower() for file in files)}
    if kinds & _OF_ARRAYS:
        return f"arrays become a run with: infoplane import {path} -o RUN; then analyze RUN"
    if kinds & _OF_TENSORS:
        return (
            f"a dict of activations becomes a run with: infoplane import {path} -o RUN; weights "
            "are recorded with: infoplane record --model net.py:build --checkpoints ..."
        )
    return None


def listed(items: Iterable[object], most: int = 12) -> str:
    """Return items as text; of many, the first and how many there are."""
    items = list(items)
    text = ", ".join(map(str, items[:most]))
    return text + (f", … ({len(items)} in all)" if len(items) > most else "")

"""A run: the activations of a fixed probe set at every checkpoint, or the part of it that is seen.

What stands where in its files, ``infoplane.runs.files`` knows.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import count_nonfinite_rows, rows_of
from infoplane.data import Array, ProbeSet, Slot, split_rows
from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.runs.files import RunFiles, listed
from infoplane.runs.layout import BFLOAT16, bfloat16_values
from infoplane.runs.probe_parts import probe_sha256, read_splits
from infoplane.target_classes import target_classes
from infoplane.weights import RecordedWeight, Start, WeightForm, frobenius, resolution

log = logging.getLogger("infoplane")


@dataclass(frozen=True)
class Run(RunFiles):
    """A recorded run, by path. Cheap to make and to pickle; files are opened per call, read-only.

    Parameters
    ----------
    path : Path
        Folder of the run, or the file that ``pack`` made of it.
    dropped : tuple of int, default ()
        Samples that are left out of everything, by their row.
    split : str, optional
        The only split of the probe set that is seen; all samples if None.
    label_bins : int, optional
        Labels are this many classes of the targets, of all splits together: see `target_classes`.

    Raises
    ------
    RunFileError
        From every member, if there is no run, or a file of it is damaged, foreign or of another
        format version. The message names the file.

    Examples
    --------
    >>> run = infoplane.Run("runs/s0")
    >>> run.steps
    (0, 20)
    >>> [layer.name for layer in run.layers]
    ['1', '3']
    >>> run.activations(20, "1").shape
    (100, 8)
    >>> run.probe.labels.shape
    (100,)
    """

    dropped: tuple[int, ...] = ()
    split: str | None = None
    label_bins: int | None = None

    @property
    def device(self) -> None:
        """What is read from files is in NumPy's arrays."""

    def __getstate__(self) -> dict[str, Any]:
        # Absolute: a worker may have been started in another folder.
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**told, "path": self.path.absolute()}

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
                f"{listed(self.splits) or 'one probe set without splits'}"
            )
        chosen = [name for name in self.splits if not names or name in names]
        return [replace(self, split=name) for name in chosen] or [self]

    @cached_property
    def probe(self) -> ProbeSet:
        """The probe set."""
        probe = self.whole_probe
        if self.label_bins is not None:
            probe = replace(probe, labels=target_classes(probe.numbers, self.label_bins))
        if self.dropped:
            return probe.take(self.kept)
        return probe if self.split is None else probe.take(self._rows)

    @cached_property
    def probe_hash(self) -> str:
        """A hash of the kept samples: inputs, labels and targets."""
        digest = hashlib.sha256()
        for part in (self.probe.inputs, self.probe.labels, self.probe.targets):
            if part is not None:
                digest.update(repr((part.dtype.str, part.shape)).encode())
                digest.update(np.ascontiguousarray(part).data)
        return "sha256:" + digest.hexdigest()

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Rows of the split that is seen, without those that are left out."""
        return np.setdiff1d(np.arange(self.n_samples)[self._rows], self.dropped)

    @property
    def n_rows(self) -> int:
        """Rows that are recorded, of all splits."""
        return self.n_samples

    def only(self, rows: NDArray[np.int64]) -> Run:
        """Return the run with these rows alone."""
        left_out = np.setdiff1d(np.arange(self.n_rows), rows)
        return replace(self, dropped=tuple(left_out.tolist()))

    @property
    def _rows(self) -> slice:
        """Rows of the split that is seen."""
        return slice(None) if self.split is None else split_rows(self.splits)[self.split]

    def spoiled(self, step: int) -> frozenset[str]:
        """Return the names of the layers whose kept samples hold NaN or inf at a step."""
        names = [layer.name for layer in self.step_info(step).layers if layer.nonfinite]
        if self.dropped or self.split is not None:
            names = [name for name in names if count_nonfinite_rows(self.activations(step, name))]
        return frozenset(names)

    def activations(self, step: int, layer: str, *, verify: bool = False) -> Array:
        """Return the activations (n_samples, n_units) in the stored dtype; bfloat16 as float32.

        The array is a read-only memory map of the file, except for bfloat16 and for shards, which
        are joined. With ``verify`` its bytes are compared with the checksum that was recorded.
        """
        found = self.of_samples(step, self.layer(layer), verify=verify)
        return found.reshape(len(found), -1)

    def of_samples(self, step: int, slot: Slot, *, verify: bool = False) -> Array:
        """Return an array of samples (n_samples, ...) in its shape, otherwise as `activations`."""
        found = self.stored(step, slot, verify=verify)
        found = rows_of(found, self.kept) if self.dropped else found[self._rows]
        return self.values_of(found, slot)

    def passes(self, step: int, layer: str) -> Array:
        """Return the passes of a layer (n_samples, n_passes, n_units).

        Of a layer that declares noise, and of which more is recorded than values with it, these are
        the values before that noise. A run of one pass has one.
        """
        slot = self.layer(layer)
        found = [self.of_samples(step, one) for one in self.slots_of_passes(slot)]
        return np.stack([one.reshape(len(one), -1) for one in found], axis=1)

    def slots_of_passes(self, layer: Slot) -> tuple[Slot, ...]:
        """Return the arrays that are the passes of a layer, in their order."""
        own = [one for one in self.slots if one.kind == "pass" and one.of_layer == layer.name]
        return tuple(own) if layer.noise_in == "values" else (layer, *own)

    def weight(self, step: int, name: str, *, verify: bool = False) -> Array:
        """Return a weight in its shape; dtype, mapping and ``verify`` as of ``activations``.

        Raises
        ------
        NotFoundError
            If there is no weight of this name, or only what sums it up: see ``recorded_weight``.
        """
        info = self.slot(name, "weight")
        if info.summary is not None:
            raise NotFoundError(
                f"{self.path}: of weight {name!r} only the {info.reduction.replace('-', ' ')} is "
                "recorded, not the weight",
                hint=f"run.recorded_weight({step}, {name!r}).values has it; record --weights "
                f"'{name}' keeps the weight",
            )
        return self.values_of(self.stored(step, info, verify=verify), info)

    def recorded_weight(self, step: int, name: str, *, verify: bool = False) -> RecordedWeight:
        """Return what is recorded of a weight at a step, and how far it has moved since the first.

        Parameters are those of ``weight``.
        """
        slot = self.slot(name, "weight")
        values = self.values_of(self.stored(step, slot, verify=verify), slot)
        form: WeightForm = "whole"
        shape, dtype = slot.shape, slot.dtype
        if slot.summary is not None:
            form = cast("WeightForm", slot.reduction)
            shape, dtype = slot.summary.shape, slot.summary.dtype
        numbers = slot.encoding or dtype
        start = self._start_of(step, slot, values)
        return RecordedWeight(shape, resolution(numbers), form, values, start)

    def _start_of(self, step: int, slot: Slot, values: Array) -> Start:
        """Return where a weight began: at the first step that the run holds."""
        first = self.steps[0]
        if slot.summary is None:
            begun = self.values_of(self.stored(first, slot), slot)
            norm = frobenius(begun)
            if not np.isfinite(norm):
                return Start(reason=f"NaN or inf at step {first}, where it began")
            return Start(first, norm, frobenius(values, begun))
        summary = self.step_info(step).slot(slot.name, "weight").summary
        start = Start() if summary is None else summary.start
        if start.distance is None:
            return start if start.reason else Start(reason="not recorded")
        known = self.step_info(first).provenance.get("parameters_hash")
        if start.step != first or start.parameters_hash != known:
            return Start(reason=f"recorded against step {start.step} of other weights, not {first}")
        return start

    def values_of(self, found: Array, slot: Slot) -> Array:
        """Return the numbers that an array stands for."""
        if slot.encoding == BFLOAT16:
            found = bfloat16_values(found)
            found.flags.writeable = False
        elif slot.encoding is not None:
            raise RunFileError(
                f"{self.path}: {slot.kind} {slot.name!r}: unknown encoding {slot.encoding!r}",
                hint="it was written by another release of infoplane: record again, or use that",
                code="IP304",
            )
        return found

    def without_nonfinite(self, layers: Sequence[str], steps: Sequence[int]) -> Run:
        """Return the run without the samples that hold NaN or inf in these layers and steps."""
        whole = replace(self, dropped=())
        bad = np.zeros(len(whole.kept), dtype=bool)
        for step in steps:
            info = self.step_info(step)
            for layer in layers:
                if info.slot(layer).nonfinite:
                    found = whole.activations(step, layer)
                    bad |= ~np.isfinite(found).all(axis=1)
        return replace(self, dropped=tuple(whole.kept[bad].tolist()))

    def check(self) -> None:
        """Open every step and compare the layers; compare the probe set with its hash.

        Steps that some shards lack are told in a warning.

        Raises
        ------
        RunFileError
            If the probe set is not that of the recording, a step file is damaged or its layers
            differ from those of the first step.
        """
        recorded_on = self.manifest["probe"].get("sha256")
        if recorded_on not in (None, probe_sha256(self.whole_probe)):
            raise RunFileError(
                f"{self.path}: the probe set is not the one that the activations were recorded on",
                hint="put the probe set of the recording back, or record the run again",
                code="IP307",
            )
        if self.incomplete:
            told = [f"step {step}: {why}" for step, why in self.incomplete.items()]
            log.warning("%s: left out as incomplete: %s", self.path, listed(told, 4))
        for step in self.steps:
            found = self.step_info(step).slots
            if found != self.slots:
                raise RunFileError(
                    f"{self.step_file(step)}: its layers differ from those of step "
                    f"{self.steps[0]}: expected {_first_difference(self.slots, found)}",
                    hint="record all checkpoints of a run with the same model and layers",
                )

    def content_hash(self) -> str:
        """Return a hash of what was recorded: probe set, steps, layers, checksums."""
        digest = hashlib.sha256()
        digest.update(str(self.manifest["probe"].get("sha256")).encode())
        for step in self.steps:
            slots = self.step_info(step).slots
            layers = [slot for slot in slots if slot.kind == "layer"]
            digest.update(_written(step, layers).encode())
            if layers != list(slots):
                digest.update(_written(step, slots[len(layers) :]).encode())
            if summaries := [slot.summary for slot in slots if slot.summary is not None]:
                digest.update(repr(summaries).encode())
        digest.update(self.losses.digest.encode() if len(self.losses) else b"")
        digest.update(repr(self.dropped).encode() if self.dropped else b"")
        digest.update(repr((self.split, self._rows)).encode() if self.split is not None else b"")
        digest.update(repr(("label_bins", self.label_bins)).encode() if self.label_bins else b"")
        return "sha256:" + digest.hexdigest()


def _written(step: int, slots: Sequence[Slot]) -> str:
    """Return what a hash is made of, as release 0.1 wrote it: documents are told apart by it."""
    names = ("name", "index", "type", "shape", "dtype", "reduction", "noise", "encoding")
    told = [", ".join(f"{name}={getattr(slot, name)!r}" for name in names) for slot in slots]
    entries = ", ".join(f"LayerInfo({text})" for text in told) + "," * (len(told) == 1)
    return f"({step!r}, ({entries}), {tuple(slot.checksum for slot in slots)!r})"


def _first_difference(expected: tuple[Slot, ...], found: tuple[Slot, ...]) -> str:
    for one, other in itertools.zip_longest(expected, found):
        if one != other:
            texts = [
                f"{slot.name!r} {slot.shape} {slot.dtype}" if slot else "no layer"
                for slot in (one, other)
            ]
            return f"{texts[0]}, found {texts[1]}"
    return "the same"

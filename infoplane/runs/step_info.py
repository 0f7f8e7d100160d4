"""Metadata of a step: its layers and weights, metrics and provenance."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from infoplane.data import Array, NoiseIn, Slot, SlotKind
from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.runs.checksum import crc32
from infoplane.runs.hdf5 import Told, json_object, reading
from infoplane.runs.layout import KINDS, check_format
from infoplane.weights import Start, Summary

META_BLOCK = 4096
"""Bytes; the metadata of a step are padded to a multiple."""

_CHECKSUM = "meta_crc32"
_BEFORE_CHECKSUM = b', "meta_crc32": '


@dataclass(frozen=True)
class StepInfo:
    """What a step file says of itself."""

    step: int
    slots: tuple[Slot, ...]  # layers in the order of the forward pass, then weights
    metrics: Mapping[str, float]
    epoch: float | None
    gradients: Mapping[str, Mapping[str, float]]  # by layer: mean_norm, spread, weight_norm, ...
    provenance: Mapping[str, Any]
    curvature: Mapping[str, Any] = field(default_factory=dict)  # of the loss; {} if not asked for

    @cached_property
    def layers(self) -> tuple[Slot, ...]:
        """The layers alone."""
        return tuple(slot for slot in self.slots if slot.kind == "layer")

    @cached_property
    def weights(self) -> tuple[Slot, ...]:
        """The weights alone."""
        return tuple(slot for slot in self.slots if slot.kind == "weight")

    def slot(self, name: str, kind: SlotKind = "layer") -> Slot:
        """Return what is recorded under a name.

        Raises
        ------
        NotFoundError
            If nothing is.
        """
        try:
            return self._by_name[kind, name]
        except KeyError:
            raise NotFoundError(f"step {self.step}: no {kind} {name!r}") from None

    @cached_property
    def _by_name(self) -> dict[tuple[SlotKind, str], Slot]:
        return {(slot.kind, slot.name): slot for slot in self.slots}


def read_meta(text: Array, path: Path, hint: str) -> dict[str, Any]:
    """Return the metadata of a step, of the text that stands in a file.

    Raises
    ------
    RunFileError
        If it is no JSON object, or has a checksum that it does not match.
    """
    meta = json_object(text, f"{path}: metadata", hint)
    told = meta.pop(_CHECKSUM, None)
    if told is not None and told != crc32(bytes(text).rpartition(_BEFORE_CHECKSUM)[0]):
        raise RunFileError(
            f"{path}: the metadata does not match its checksum: it was changed or damaged after "
            "recording",
            hint=hint,
            code="IP307",
        )
    return meta


def step_info(
    meta: Mapping[str, Any], path: Path, step: int, n_samples: int, probe_sha256: object, hint: str
) -> StepInfo:
    """Return what the metadata in a file tell of a step.

    Raises
    ------
    RunFileError
        If they are damaged, of another version, step or number of samples, or recorded on another
        probe set.
    """
    check_format(meta.get("format"), meta.get("version"), path)
    with reading(f"{path}: metadata", hint):
        meta = Told(meta, f"{path}: metadata")
        if meta["step"] != step:
            raise RunFileError(
                f"{path}: expected step {step} by its name, found step {meta['step']!r}", hint=hint
            )
        if meta["n_samples"] != n_samples:
            raise RunFileError(
                f"{path}: expected {n_samples} samples as in the probe set, found "
                f"{meta['n_samples']!r}",
                hint=hint,
            )
        # Activations of another probe set, even of as many samples, belong to other labels.
        if meta.get("probe_sha256", probe_sha256) != probe_sha256:
            raise RunFileError(f"{path}: recorded on another probe set than this run", hint=hint)
        try:
            slots = {kind: _slots(kind, meta, about.member, path) for kind, about in KINDS.items()}
        except InputError as error:
            raise RunFileError(f"{path}: {error}", hint=hint) from error
        for kind, found in slots.items():
            missing = not found and kind == ("layer" if n_samples else "weight")
            if len({slot.name for slot in found}) < len(found) or missing:
                expected = f"{KINDS[kind].member} of different names"
                raise RunFileError(f"{path}: expected {expected}", hint=hint)
        return StepInfo(
            step=step,
            slots=tuple(itertools.chain.from_iterable(slots.values())),
            metrics={str(k): float(v) for k, v in meta["metrics"].items() if v is not None},
            epoch=None if meta["epoch"] is None else float(meta["epoch"]),
            gradients={
                str(name): {str(key): float(value) for key, value in found.items()}
                for name, found in meta["gradients"].items()
            },
            provenance=dict(meta["provenance"]),
            curvature=dict(meta.get("curvature") or {}),
        )


def padded_json(meta: Mapping[str, Any]) -> bytes:
    """Return metadata as they stand in a file: JSON, padded with spaces to whole blocks.

    The last member is the checksum of the text before it.
    """
    text = json.dumps(meta, allow_nan=False).encode()[:-1]
    text += _BEFORE_CHECKSUM + b"%d}" % crc32(text)
    return text.ljust(-(-len(text) // META_BLOCK) * META_BLOCK)


def _slots(kind: SlotKind, meta: Mapping[str, Any], member: str, path: Path) -> tuple[Slot, ...]:
    listed = meta[member] if kind == "layer" else meta.get(member, ())
    entries = (
        Told(entry, f"{path}: metadata: {kind} {entry.get('name', index)!r}")
        for index, entry in enumerate(listed)
    )
    return tuple(
        Slot(
            name=str(entry["name"]),
            index=index,
            type=str(entry["module_type"]),
            shape=tuple(map(int, entry["shape"])),
            dtype=str(entry["dtype"]),
            reduction=str(entry["reduction"]),
            noise=None if entry["noise"] is None else float(entry["noise"]),
            encoding=None if entry.get("encoding") is None else str(entry["encoding"]),
            kind=kind,
            noise_in=cast("NoiseIn | None", entry.get("noise_in")),
            random=bool(entry.get("random", False)),
            of_layer=None if entry.get("layer") is None else str(entry["layer"]),
            axes=tuple(map(str, entry.get("axes") or ())),
            roles=tuple(map(str, entry.get("roles") or ())),
            mask=None if entry.get("mask") is None else str(entry["mask"]),
            head=None if entry.get("head") is None else str(entry["head"]),
            checksum=int(entry["crc32"]),
            nonfinite=int(entry["n_nonfinite"]),
            summary=_summary(entry.get("summary")),
            tied=tuple(map(str, entry.get("tied") or ())),
        )
        for index, entry in enumerate(entries)
    )


def _summary(told: Mapping[str, Any] | None) -> Summary | None:
    """Return of which weight an array is what sums it up; None if it is no such array."""
    if told is None:
        return None
    shape = tuple(map(int, told["shape"]))
    return Summary(shape, str(told["dtype"]), Start.read(told.get("start") or {}))

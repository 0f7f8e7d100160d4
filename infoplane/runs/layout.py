"""The names and versions of the run format, which ``docs/run-format.md`` specifies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import collected, row_blocks
from infoplane.data import Array, Slot, SlotKind
from infoplane.errors import RunFileError

Spec: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and dtype of a dataset."""

Datasets: TypeAlias = tuple[tuple[str, Spec], ...]
"""Datasets by name, in the order of a file."""

FORMAT = "infoplane.recording"
VERSION = 1

BFLOAT16 = "bfloat16"
"""Encoding of bfloat16 as it is stored: its 16 bits, which are the upper half of a float32."""

MOST_TEXT = 64 << 20
"""Bytes of the longest JSON text that is read."""

_STEP_NAME = re.compile(r"step_([0-9]{12,19})")


def step_name(step: int) -> str:
    """Return the name of a step's file (without suffix) or group."""
    return f"step_{step:012d}"


def step_of(name: str) -> int | None:
    """Return the step that a name stands for; None if it is not the name of a step."""
    found = _STEP_NAME.fullmatch(name)
    step = int(found[1]) if found else 0
    return step if found and step < 2**63 and name == step_name(step) else None


class Kind(NamedTuple):
    """Where arrays of a kind stand in a step file."""

    member: str  # of the metadata: one object for each array
    name: str  # of the dataset; they are numbered from 0
    by_sample: bool  # whether the first axis is that of the samples


KINDS: dict[SlotKind, Kind] = {
    "layer": Kind("layers", "layers/L{:04d}/act", by_sample=True),
    "pass": Kind("passes", "passes/P{:04d}", by_sample=True),
    "attention": Kind("attention", "attention/A{:04d}", by_sample=True),
    "weight": Kind("weights", "weights/W{:04d}", by_sample=False),
}
"""In the order in which a step file holds them."""


def dataset_name(kind: SlotKind, index: int) -> str:
    """Return the name of a dataset."""
    return KINDS[kind].name.format(index)


def dataset_shape(slot: Slot, n_samples: int) -> tuple[int, ...]:
    """Return the shape of the dataset of a slot."""
    return (n_samples, *slot.shape) if KINDS[slot.kind].by_sample else slot.shape


def datasets(slots: Iterable[Slot], n_samples: int) -> Datasets:
    """Return name, shape and dtype of the datasets of slots."""
    return tuple(
        (dataset_name(one.kind, one.index), (dataset_shape(one, n_samples), np.dtype(one.dtype)))
        for one in slots
    )


def check_format(name: object, version: object, path: Path) -> None:
    """Refuse what is not this version of the format.

    Raises
    ------
    RunFileError
        If the format or its version is another one.
    """
    if name != FORMAT:
        raise RunFileError(f"{path}: expected format {FORMAT!r}, found {name!r}", code="IP303")
    if type(version) is bool or not isinstance(version, (int, np.integer)) or version != VERSION:
        raise RunFileError(
            f"{path}: expected format version {VERSION}, found {version!r}",
            hint="it was written by another release of infoplane: record again, or use that one",
            code="IP304",
        )


def bfloat16_values(bits: Array) -> NDArray[np.float32]:
    """Return the values of bfloat16 numbers given by their bits (uint16), exactly."""
    parts = ((bits[rows].astype(np.uint32) << 16).view(np.float32) for rows in row_blocks(bits))
    return collected(bits.shape, np.float32, parts)

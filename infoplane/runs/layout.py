"""The names and versions of the run format, which ``docs/run-format.md`` specifies."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import collected, row_blocks
from infoplane.data import Array, Slot
from infoplane.errors import RunFileError

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


def activations_name(index: int) -> str:
    """Return the name of a layer's dataset; layers are numbered from 0."""
    return f"layers/L{index:04d}/act"


def dataset_name(slot: Slot) -> str:
    """Return the name of the dataset of a layer or a weight."""
    return activations_name(slot.index) if slot.kind == "layer" else f"weights/W{slot.index:04d}"


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

"""Check the numbers and provenance that a training loop hands to a snapshot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from infoplane.errors import InputError


def whole_step(step: Any) -> int:
    """Return a step as int; 3.0 and tensors without axes are steps, 1.7 is none.

    Raises
    ------
    InputError
        If it is no whole number from 0 to 2**63 - 1.
    """
    try:
        whole = int(step)
        good = bool(whole == step) and 0 <= whole < 2**63
    except (TypeError, ValueError, OverflowError, RuntimeError):
        good = False
    if not good:
        raise InputError(f"expected a step that is a whole number of at least 0, got {step!r:.80}")
    return whole


def number(value: Any, name: str) -> float:
    """Return a number of Python, NumPy or in a tensor without axes as float.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError("text")
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{name}: expected a number, got {type(value).__name__}") from error


def finite_epoch(epoch: Any) -> float | None:
    """Return an epoch as float, None as it is.

    Raises
    ------
    InputError
        If it is no finite number.
    """
    if epoch is None:
        return None
    value = number(epoch, "epoch")
    if not math.isfinite(value):
        raise InputError(f"epoch: expected a finite number, got {value}")
    return value


def json_values(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of provenance as it will be read back.

    Raises
    ------
    InputError
        If it holds anything that JSON does not, NaN and infinity included.
    """
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"provenance: expected JSON values: {error}") from error
    return copied

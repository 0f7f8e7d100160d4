"""Arrays of other programs as a run stores them, or why it cannot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from infoplane.data import Array, refuse_mask
from infoplane.errors import InputError
from infoplane.recording.hooks.outputs import to_array, to_stored
from infoplane.recording.hooks.reductions import Reduction, check_units
from infoplane.runs.layout import BFLOAT16
from infoplane.text import one_line

_PLAIN = "fiub"


def stored_layer(found: Any, name: str, reduction: Reduction | None) -> tuple[Array, str | None]:
    """Return a layer (n_samples, ...) as it is stored, and the encoding of its numbers.

    Parameters
    ----------
    found : array or tensor
        As `array_or_tensor` returns it.
    name : str
        The layer.
    reduction : Reduction, optional
        What is kept of it; without one, layers of more than 16,384 units are refused.

    Raises
    ------
    InputError
        If it holds no numbers, or has no axis of samples and one of units.
    DataError
        If the layer is too large, or the reduction needs other axes.
    """
    if found.ndim < 2:
        shape, single = tuple(found.shape), "of one unit has shape (n_samples, 1)"
        raise InputError(
            f"layer {name!r}: expected an array (n_samples, units, ...), got shape {shape}",
            hint=f"a layer {single}" if found.ndim else "a number belongs to the metrics",
        )
    if not math.prod(found.shape[1:]):
        raise InputError(f"layer {name!r}: expected units, got shape {tuple(found.shape)}")
    if reduction is not None and reduction.kind != "flatten":
        tensor = _tensor(found)
        positions = reduction.positions(name, tensor.shape[1], None)
        tensor = reduction.applied(tensor.detach(), name, None, positions)
        return to_stored(tensor, name)
    if reduction is None:
        check_units(name, tuple(found.shape[1:]))
    if isinstance(found, torch.Tensor):
        return to_stored(found, name)
    if found.dtype.name == BFLOAT16:  # that of ml_dtypes, as JAX has it
        return found.view(np.uint16), BFLOAT16
    return _native(found), None


def array_or_tensor(values: Any, name: str) -> Any:
    """Return a tensor as it is, anything else as an array of numbers that a run can store.

    Raises
    ------
    InputError
        If it is no array of numbers.
    """
    if isinstance(values, torch.Tensor):
        return values
    array = _array(values, f"layer {name!r}")
    dtype = array.dtype
    if dtype.kind == "c" and dtype.itemsize <= 16:
        return np.stack([array.real, array.imag], axis=-1)
    if dtype.kind == "V" and dtype.name.startswith("float8"):
        return array.astype(np.float16 if dtype.name != "float8_e8m0fnu" else np.float32)
    if dtype.name == BFLOAT16 or (dtype.kind in _PLAIN and dtype.itemsize <= 8):
        return array
    raise InputError(
        f"layer {name!r}: expected real numbers of at most 64 bits, got dtype {dtype}",
        hint=_hint(dtype),
    )


def _hint(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "V" and dtype.names is None:
        return (
            "NumPy files forget the type of bfloat16: save it as float32, or with safetensors or "
            "torch.save"
        )
    if dtype.kind == "O":
        return "rows of several lengths, or objects: make one array of numbers of them"
    return "array.astype('float64')" if dtype.kind in "fc" else "make an array of numbers of them"


def _native(array: Array) -> Array:
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def _tensor(found: Any) -> torch.Tensor:
    if isinstance(found, torch.Tensor):
        return found
    if found.dtype.name == BFLOAT16:
        return torch.from_numpy(found.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(_native(found)))


def as_numbers(values: Any, name: str) -> Array:
    """Return inputs or labels as an array, floats that NumPy lacks as float32."""
    if isinstance(values, torch.Tensor):
        return to_array(values.detach(), name)
    array = _array(values, name)
    return array.astype(np.float32) if array.dtype.name == BFLOAT16 else array


def _array(values: Any, what: str) -> Array:
    refuse_mask(values, what)
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{what}: expected an array: {one_line(error)}") from error

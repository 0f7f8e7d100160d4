"""Find a tensor in what a layer takes or returns, and the values it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from infoplane.data import Array
from infoplane.errors import DataError
from infoplane.patterns import written
from infoplane.runs.layout import BFLOAT16

Address: TypeAlias = tuple[int | str, ...]
"""Where a tensor stands in nested mappings, sequences and dataclasses; () is the value itself."""

Key: TypeAlias = tuple[str, int]
"""Name of a layer, and index of the call in a forward pass."""

_OF_NUMPY = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
}

_AS_SINGLE = {torch.bfloat16, getattr(torch, "float8_e8m0fnu", torch.bfloat16)}  # from 2.7 on


class UnfitLayerError(DataError):
    """A layer that cannot be recorded; ``why`` says it in a few words.

    It is ``mendable`` if there is a hint that leads to its values; else the layer can be left out.
    """

    def __init__(self, layer: str, why: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or f"leave the layer out: --layers '!{layer}'")
        self.layer, self.why, self.mendable = layer, why, hint is not None


def tensor_at(value: Any, address: Address | None = None) -> tuple[Address, torch.Tensor]:
    """Return a tensor in a structured value, and its address.

    Parameters
    ----------
    value : object
        A tensor, or mappings, sequences, dataclasses (among them the outputs of Hugging Face
        models) that hold tensors. A ``PackedSequence`` is taken as the pair of its padded
        sequences (n_samples, length, ...) and their lengths.
    address : tuple of int and str, optional
        Where the tensor stands. Without it, the first floating tensor, or else the first tensor.

    Raises
    ------
    LookupError
        If there is no tensor; the message says which there are.
    """
    if isinstance(value, torch.Tensor) and not address:
        return (), value
    if address is not None:
        try:
            found = value
            for key in address:
                found = _part(found, key)
        except (LookupError, AttributeError, TypeError) as error:
            raise LookupError(_what_there_is(value)) from error
        if isinstance(found, torch.Tensor):
            return address, found
        raise LookupError(f"{type(found).__name__} there; {_what_there_is(value)}")
    tensors = list(tensors_in(value))
    floating = [item for item in tensors if item[1].is_floating_point() or item[1].is_complex()]
    for item in floating or tensors:
        return item
    raise LookupError(_what_there_is(value))


def tensors_in(value: Any, address: Address = ()) -> Iterator[tuple[Address, torch.Tensor]]:
    """Yield every tensor in a structured value with its address, in the order of the value."""
    if isinstance(value, torch.Tensor):
        yield address, value
    else:
        for key, part in _parts(value):
            yield from tensors_in(part, (*address, key))


def to_array(tensor: torch.Tensor, name: str) -> Array:
    """Return the values of a tensor as an array (n_samples, ...) in its dtype; may share memory.

    What NumPy lacks is turned into what holds the same values: bfloat16 into float32, 8-bit floats
    into float16 (bare exponents into float32), complex numbers into pairs of reals on a last axis,
    sparse tensors into dense ones, quantised ones into the floats that they stand for.

    Raises
    ------
    DataError
        If the tensor has no such form: nested, without data, or of a packed dtype.
    """
    try:
        if tensor.dtype in _OF_NUMPY and tensor.layout is torch.strided:
            plain: Array = tensor.numpy(force=True)
            return plain
        tensor = tensor.detach()
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if tensor.layout not in (torch.strided, torch.jagged):
            tensor = tensor.to_dense()
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor.resolve_conj())
        tensor = tensor.resolve_neg().cpu()
        if tensor.dtype in _AS_SINGLE:
            tensor = tensor.float()
        elif tensor.is_floating_point() and tensor.dtype.itemsize == 1:
            tensor = tensor.half()
        array: Array = tensor.numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise not_storable(tensor, name) from error
    return array


def to_stored(tensor: torch.Tensor, name: str) -> tuple[Array, str | None]:
    """Return a tensor as it is stored: bfloat16 as its bits (uint16), with the word that says so.

    Raises
    ------
    DataError
        As ``to_array``.
    """
    plain = tensor.layout is torch.strided and tensor.device.type != "meta"
    if tensor.dtype is torch.bfloat16 and plain:
        bits: Array = tensor.detach().resolve_neg().cpu().view(torch.uint16).numpy()
        return bits, BFLOAT16
    return to_array(tensor, name), None


def not_storable(tensor: torch.Tensor, name: str) -> UnfitLayerError:
    """Return the error that says what kind of tensor a layer has."""
    kind = "nested tensor" if tensor.is_nested else f"{tensor.layout} tensor"
    if type(tensor) not in (torch.Tensor, nn.Parameter) and not tensor.is_nested:
        kind = type(tensor).__name__
    kind = kind.removeprefix("torch.")
    return UnfitLayerError(
        name,
        f"a {kind} of {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}",
        f"layer {name!r}: expected a tensor whose values can be stored, got a {kind} of "
        f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}",
    )


def as_tensor(batch: Array, model: nn.Module) -> torch.Tensor:
    """Return a batch on the model's device; floating values in the dtype of its parameters.

    8-bit parameters are weights that are packed, not what the model computes with.
    """
    tensor = torch.from_numpy(np.array(batch))
    floating = filter(torch.is_floating_point, model.parameters())
    first = next(floating, None)
    if first is None:
        return tensor
    computing = first if first.itemsize > 1 else next((p for p in floating if p.itemsize > 1), None)
    if computing is not None and tensor.is_floating_point():
        tensor = tensor.to(computing.dtype)
    return tensor.to(first.device)


def _part(value: Any, key: int | str) -> Any:
    if isinstance(value, PackedSequence):
        value = pad_packed_sequence(value, batch_first=True)
    if isinstance(key, str) and not isinstance(value, Mapping):
        return getattr(value, key)
    return value[key]


def _parts(value: Any) -> Iterable[tuple[int | str, Any]]:
    if isinstance(value, PackedSequence):
        value = pad_packed_sequence(value, batch_first=True)
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (tuple, list)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return [(name, getattr(value, name)) for name in names]
    return ()


def _what_there_is(value: Any, most: int = 8) -> str:
    found = [f"{written(at)} {tuple(tensor.shape)}".strip() for at, tensor in tensors_in(value)]
    if not found:
        return f"{type(value).__name__} holds no tensor"
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return f"{type(value).__name__} holds {', '.join(found[:most])}{more}"

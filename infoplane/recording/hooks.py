"""Capture the outputs of layers during forward passes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.records import Array

Receive = Callable[[str, int, torch.Tensor], None]
"""Called inside the hook with layer name, index of the call in this forward pass, and output."""


@contextmanager
def captured(layers: Mapping[str, nn.Module], receive: Receive) -> Iterator[Callable[[], None]]:
    """Hand every output of the layers to ``receive`` while the block runs.

    ``receive`` must have copied what it needs when it returns: a later in-place operation (such as
    ``ReLU(inplace=True)``) changes the tensor. Yields a function to be called before each forward
    pass. The hooks are removed in every case.
    """
    calls: dict[str, int] = {}
    handles = []

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None:
                raise DataError(
                    f"layer {name!r} ({type(module).__name__}): expected a tensor in its output, "
                    f"got {type(output).__name__}",
                    hint=f"leave the layer out: --layers '!{name}'",
                )
            call = calls.get(name, 0)
            calls[name] = call + 1
            receive(name, call, tensor)

        return hook

    try:
        for name, module in layers.items():
            handles.append(module.register_forward_hook(hook_of(name)))
        yield calls.clear
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return the first floating tensor in an output: tensor, mapping, sequence or dataclass."""
    if isinstance(output, torch.Tensor):
        return output
    parts: Sequence[Any] = ()
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, (tuple, list)):
        parts = output
    elif dataclasses.is_dataclass(output):
        parts = [getattr(output, field.name) for field in dataclasses.fields(output)]
    found = [tensor for part in parts if (tensor := first_tensor(part)) is not None]
    floating = [tensor for tensor in found if tensor.is_floating_point()]
    return next(iter(floating or found), None)


def to_array(tensor: torch.Tensor, name: str) -> Array:
    """Return the values of a tensor as an array (n_samples, ...) in its dtype; may share memory.

    bfloat16 and 8-bit floats, which NumPy lacks, become float32 without loss.

    Raises
    ------
    DataError
        If the tensor is complex, quantised, sparse or nested.
    """
    if tensor.is_complex() or tensor.is_quantized or tensor.layout is not torch.strided:
        kind = "complex" if tensor.is_complex() else str(tensor.layout)
        raise DataError(
            f"layer {name!r}: expected a dense tensor of real numbers, got {kind} {tensor.dtype}",
            hint=f"leave the layer out: --layers '!{name}'",
        )
    tensor = tensor.detach().cpu().resolve_neg()
    if tensor.dtype is torch.bfloat16 or (
        tensor.dtype.itemsize == 1 and tensor.is_floating_point()
    ):
        tensor = tensor.float()
    array: Array = tensor.numpy()
    return array


def as_tensor(batch: Array, model: nn.Module) -> torch.Tensor:
    """Return a batch on the model's device; floating values in the dtype of its parameters."""
    tensor = torch.from_numpy(np.array(batch))
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return tensor
    dtype = parameter.dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.to(device=parameter.device, dtype=dtype)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Run the block in evaluation mode without gradients; leave no trace in the model.

    The training flag of every sub-module and the random state of torch, NumPy and ``random`` are
    as before afterwards.
    """
    modes = {module: module.training for module in model.modules()}
    numpy_state = np.random.get_state()  # noqa: NPY002  - saved, not used
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

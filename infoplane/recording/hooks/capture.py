"""Capture what layers take or return during forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from infoplane.patterns import written
from infoplane.recording.hooks.layers import Layer
from infoplane.recording.hooks.outputs import Address, UnfitLayerError, tensor_at

Receive: TypeAlias = Callable[[str, int, Address, torch.Tensor], None]
"""Called inside the hook with layer name, index of the call in this forward pass, the address of
the tensor in what the layer takes or returns, and the tensor."""

At: TypeAlias = Literal["output", "input"]


def raised(error: UnfitLayerError) -> None:
    """Raise the error."""
    raise error


@contextmanager
def captured(
    layers: Mapping[str, Layer],
    receive: Receive,
    at: At = "output",
    unfit: Callable[[UnfitLayerError], None] = raised,
) -> Iterator[Callable[[], None]]:
    """Hand every output (or input) of the layers to ``receive`` while the block runs.

    ``receive`` must have copied what it needs when it returns: a later in-place operation (such as
    ``ReLU(inplace=True)``) changes the tensor. Yields a function to be called before each forward
    pass. The hooks are removed in every case. ``unfit`` is given the error of a layer that cannot
    be recorded.

    An address into an input starts with a number for a positional argument, with a name for a
    keyword argument.
    """
    calls: dict[str, int] = {}
    handles = []

    def take(name: str, layer: Layer, value: Any) -> None:
        try:
            address, tensor = tensor_at(value, layer.address)
        except LookupError as error:
            kind = type(layer.module).__name__
            asked = written(layer.address) if layer.address else "a tensor"
            unfit(
                UnfitLayerError(
                    name,
                    f"no tensor in its {at}",
                    f"layer {name!r} ({kind}): expected {asked} in its {at}; {error}",
                )
            )
            return
        call = calls.get(name, 0)
        calls[name] = call + 1
        try:
            receive(name, call, address, tensor)
        except UnfitLayerError as error:
            unfit(error)

    def after(name: str, layer: Layer) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: take(name, layer, output)

    def before(name: str, layer: Layer) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, named: take(name, layer, {**dict(enumerate(inputs)), **named})

    try:
        for name, layer in layers.items():
            handles.append(
                layer.module.register_forward_hook(after(name, layer))
                if at == "output"
                else layer.module.register_forward_pre_hook(before(name, layer), with_kwargs=True)
            )
        yield calls.clear
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def direct_calls(modules: Mapping[str, nn.Module]) -> Iterator[set[str]]:
    """Yield a set that takes the names of the modules whose ``forward`` runs in the block."""
    ran: set[str] = set()
    instance = {name: dict(vars(module)).get("forward") for name, module in modules.items()}

    def noting(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*inputs: Any, **named: Any) -> Any:
            ran.add(name)
            return forward(*inputs, **named)

        return noted

    try:
        for name, module in modules.items():
            vars(module)["forward"] = noting(name, module.forward)
        yield ran
    finally:
        for name, module in modules.items():
            del vars(module)["forward"]
            if instance[name] is not None:
                vars(module)["forward"] = instance[name]

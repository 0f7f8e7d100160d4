"""Write what a step holds beside its layers: further passes, and values before a layer's noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from infoplane.data import Slot
from infoplane.nn import GaussianNoise
from infoplane.recording.hooks.layers import Layer
from infoplane.recording.hooks.noise import Noise
from infoplane.recording.hooks.outputs import Key, to_stored
from infoplane.runs.step_writer import StepWriter


@dataclass
class FurtherPasses:
    """The passes of one step after the first, and of noisy layers all of them, before the noise.

    Arrays of a step follow each other by kind, so those of the first pass wait for its end.
    """

    writer: StepWriter
    noise: Noise
    before: Mapping[str, torch.Tensor]  # the noise of layers: what they are given
    _waiting: list[tuple[Key, str, int, torch.Tensor]] = field(default_factory=list)

    def take(self, key: Key, kind: str, row: int, tensor: torch.Tensor) -> None:
        """Keep what a layer gives in a pass, (n_samples, ...) as it is to be stored."""
        number = self.noise.draws.number
        if number:
            self._write(key, kind, row, tensor)
        elif key[0] in self.before:
            self._waiting.append((key, kind, row, tensor.detach().clone()))

    def end_pass(self) -> None:
        """Write what waited for the end of the first pass."""
        for waiting in self._waiting:
            self._write(*waiting)
        self._waiting.clear()

    def _write(self, key: Key, kind: str, row: int, tensor: torch.Tensor) -> None:
        number = self.noise.draws.number
        array, encoding = to_stored(tensor, key[0])
        dtype = str(tensor.dtype).removeprefix("torch.")
        own = f"{number}|{key[0]}", key[1]
        self.writer.write(own, key[0], kind, row, array, dtype, encoding, kind="pass")

    def name(self) -> None:
        """Give the arrays the names of their layers, once those have their own."""
        for (text, call), written in self.writer.written["pass"].items():
            number, _, name = text.partition("|")
            layer = self.writer.layers[name, call]
            written.name = pass_name(layer.name, int(number))
            written.reduction = layer.reduction
            written.details = {"layer": layer.name, "pass": int(number)}


def pass_name(layer: str, number: int) -> str:
    """Return the name of a pass of a layer."""
    return f"{layer}@pass={number}"


def slots_of_passes(layers: tuple[Slot, ...], n_passes: int) -> tuple[Slot, ...]:
    """Return what is recorded of layers in further passes, in the order of a step file."""
    found: list[Slot] = []
    for number in range(n_passes):
        for layer in layers:
            if number or layer.noise_in == "values":
                found.append(
                    Slot(
                        pass_name(layer.name, number),
                        len(found),
                        layer.type,
                        layer.shape,
                        layer.dtype,
                        layer.reduction,
                        encoding=layer.encoding,
                        kind="pass",
                        of_layer=layer.name,
                    )
                )
    return tuple(found)


@contextmanager
def before_noise(layers: Mapping[str, Layer]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield a mapping that takes what layers that add noise are given, while they add it."""
    found: dict[str, torch.Tensor] = {}

    def take(name: str) -> Any:
        def taken(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found.pop(name, None)
            if adds_noise(module) and inputs:
                found[name] = inputs[0]

        return taken

    with ExitStack() as stack:
        for name, layer in layers.items():
            if isinstance(layer.module, GaussianNoise):
                stack.callback(layer.module.register_forward_pre_hook(take(name)).remove)
        yield found


def adds_noise(module: nn.Module) -> bool:
    """Tell whether a module adds noise as it is now."""
    return isinstance(module, GaussianNoise) and (module.training or module.always)

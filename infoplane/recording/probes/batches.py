"""Batches of a probe set, as a model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from infoplane.data import ProbeSet
from infoplane.recording.hooks.outputs import as_tensor


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of a model."""

    positional: tuple[torch.Tensor, ...]
    named: Mapping[str, torch.Tensor]
    rows: Sequence[int] = ()  # of the samples in the probe set

    def __len__(self) -> int:
        return len(next(iter((*self.positional, *self.named.values()))))

    def __str__(self) -> str:
        if len(self.positional) == 1 and not self.named:
            return f"shape {tuple(self.positional[0].shape)}, {self.positional[0].dtype}"
        parts = {**{str(i): one for i, one in enumerate(self.positional)}, **self.named}
        return ", ".join(f"{name} {tuple(one.shape)} {one.dtype}" for name, one in parts.items())

    def argument(self, name: str) -> torch.Tensor:
        """Return an argument by its name, or its place as a number."""
        return self.positional[int(name)] if name.isdecimal() else self.named[name]

    def cut(self, lengths: Mapping[str, int], length: int) -> Batch:
        """Return the batch with arguments cut along the axis, or those of a mask, of a length."""

        def shortened(name: str, tensor: torch.Tensor) -> torch.Tensor:
            axes = [a for a in range(1, tensor.ndim) if tensor.shape[a] == lengths.get(name)]
            for axis in axes if tensor.ndim == 4 else axes[:1]:
                tensor = tensor.narrow(axis, 0, length)
            return tensor

        return Batch(
            tuple(shortened(str(place), one) for place, one in enumerate(self.positional)),
            {name: shortened(name, one) for name, one in self.named.items()},
            self.rows,
        )

    def replaced(self, new: Mapping[str, torch.Tensor]) -> Batch:
        """Return the batch with other values of some arguments."""
        return Batch(
            tuple(new.get(str(place), one) for place, one in enumerate(self.positional)),
            {name: new.get(name, one) for name, one in self.named.items()},
            self.rows,
        )

    def turned(self) -> Batch:
        """Return the same rows, the first of them as the last."""
        return Batch(
            tuple(one.roll(-1, 0) for one in self.positional),
            {name: one.roll(-1, 0) for name, one in self.named.items()},
            [*self.rows[1:], *self.rows[:1]],
        )

    def through(self, model: nn.Module) -> Any:
        """Return what the model makes of the batch."""
        return model(*self.positional, **self.named)


def batch_of(probe: ProbeSet, rows: slice, model: nn.Module) -> Batch:
    """Return rows of a probe set on the model's device, floats in the dtype of its parameters.

    Arguments whose names are numbers are given by position, the others by name.
    """
    arrays = probe.arguments or {"0": probe.inputs}
    tensors = {name: as_tensor(array[rows], model) for name, array in arrays.items()}
    return Batch(
        tuple(tensor for name, tensor in tensors.items() if name.isdecimal()),
        {name: tensor for name, tensor in tensors.items() if not name.isdecimal()},
        range(*rows.indices(probe.n_samples)),
    )

"""Run a model for its values alone: evaluation mode, plain eager code, no trace left behind."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.recording.hooks.state import State

_MOST_BYTES = 2**26
"""Of buffers that are copied; sixteen times as many of parameters, where they are."""


@dataclass(slots=True)
class _Held:
    """A parameter or buffer: where a module keeps it, and what it is before a pass."""

    module: nn.Module
    name: str
    kept: Mapping[str, torch.Tensor | None]
    tensor: torch.Tensor
    version: int  # counts changes in place, but not those that go through .data
    place: int  # of its values
    copied: torch.Tensor | None

    def changed(self) -> bool:
        """Tell whether it has other values; a buffer of another shape is a cache that grew."""
        now = self.kept.get(self.name)
        if now is self.tensor:
            moved = self.place != 0 and now.data_ptr() != self.place
            return (
                moved
                or now._version != self.version
                or (self.copied is not None and not _alike(now, self.copied))
            )
        if now is None or now.shape != self.tensor.shape or now.is_inference():
            return False
        return not _alike(now, self.tensor)

    def put_back(self) -> None:
        """Give the tensor its values back, where they are known."""
        if self.copied is not None and self.copied.shape == self.tensor.shape:
            self.tensor.data.copy_(self.copied)


@contextmanager
def evaluation_mode(model: nn.Module, *, thorough: bool = False) -> Iterator[State]:
    """Run the block in evaluation mode without gradients; leave no trace in the model.

    The training flag of every sub-module, plain attributes (hidden states, queues, counters), what
    hooks of the user's own keep, and the random state of torch, NumPy and ``random`` are as before
    afterwards; see ``State``. The flags are set by themselves: what a model does in its own
    ``train()``, such as adding low-rank weights to others, could not be undone exactly. Compiled
    code and the fused path of ``nn.TransformerEncoder`` pass hooks by, so both are off in the
    block. So is an autocast around it: the model computes in the dtypes of its own, whatever place
    of a training the block stands in. Yields the state that is put back, so that every batch can
    begin with it.

    Buffers are copied, and with ``thorough`` parameters as well: what changes them is an error, and
    they are as before. Without copies a change of parameters shows by its version alone, which
    ``.data`` goes past.

    Raises
    ------
    DataError
        After the block, if it changed a parameter or buffer in place.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    weights = _weights(modules, thorough=thorough)
    numpy_state = np.random.get_state()  # noqa: NPY002  - saved, not used
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=devices))
            stack.enter_context(torch.no_grad())
            if "torch._dynamo" in sys.modules:  # importing it costs a second; then nothing uses it
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            for device in {"cpu", *(held.tensor.device.type for held in weights)}:
                if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            torch.backends.mha.set_fastpath_enabled(False)
            for module in modules:
                if module.training:
                    _set_training(module, False)
            state = State(modules)
            try:
                yield state
            finally:
                changed = [held for held in weights if held.changed()]
                for held in changed:
                    held.put_back()
                state.put_back()
                state.forget()
    finally:
        for module, mode in zip(modules, modes, strict=True):
            if module.training is not mode:
                _set_training(module, mode)
        torch.backends.mha.set_fastpath_enabled(fused)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
    if changed or state.lost:
        names = {module: f"{name}." if name else "" for name, module in model.named_modules()}
        told = [names[held.module] + held.name for held in changed] + state.lost
        raise DataError(
            f"the forward pass changed {', '.join(told[:3])} of the model in evaluation mode",
            hint="max_norm shortens rows of the weight as they are read: let the model of the "
            "recording have max_norm=None, and rows shortened by torch.renorm"
            if any(getattr(held.module, "max_norm", None) is not None for held in changed)
            else "a layer that ignores eval() learns from the probe set; let it heed self.training",
        )


def _set_training(module: nn.Module, mode: bool) -> None:
    # Past nn.Module.__setattr__, which first looks for a parameter of that name.
    object.__setattr__(module, "training", mode)


def _weights(modules: Iterable[nn.Module], *, thorough: bool) -> list[_Held]:
    """Return every parameter and buffer as it is now.

    Read from where modules keep them: ``named_parameters`` takes several times as long.
    """
    found, room = [], _MOST_BYTES * (16 if thorough else 1)
    for module in modules:
        for kept in (module._parameters, module._buffers):
            for name, value in kept.items() if kept else ():
                if value is None or value.is_inference():
                    continue
                strided = value.layout is torch.strided and not value.is_meta
                copied = None
                if strided and (thorough or kept is module._buffers) and value.nbytes <= room:
                    room -= value.nbytes
                    copied = value.detach().clone()
                place = value.data_ptr() if strided else 0
                found.append(_Held(module, name, kept, value, value._version, place, copied))
    return found


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two tensors have the same values; NaN is like NaN."""
    if torch.equal(one, other):
        return True
    same = one.shape == other.shape and one.dtype == other.dtype and one.is_floating_point()
    return same and bool(((one == other) | (one.isnan() & other.isnan())).all())

"""Run a model for its values alone: evaluation mode, plain eager code, no trace left behind."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.recording.hooks.state import State

_Held: TypeAlias = tuple[nn.Module, str, Mapping[str, torch.Tensor | None], torch.Tensor, int]
"""A module, a name of a parameter or buffer, where it is kept, the tensor, and its version."""


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[State]:
    """Run the block in evaluation mode without gradients; leave no trace in the model.

    The training flag of every sub-module, plain attributes (hidden states, queues, counters), what
    hooks of the user's own keep, and the random state of torch, NumPy and ``random`` are as before
    afterwards; see ``State``. The flags are set by themselves: what a model does in its own
    ``train()``, such as adding low-rank weights to others, could not be undone exactly. Compiled
    code and the fused path of ``nn.TransformerEncoder`` pass hooks by, so both are off in the
    block. So is an autocast around it: the model computes in the dtypes of its own, whatever place
    of a training the block stands in. Yields the state that is put back, so that every batch can
    begin with it.

    Raises
    ------
    DataError
        After the block, if it changed a parameter or buffer in place: training would go on from
        other values than without the recording.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    weights = _weights(modules)
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
            for device in {"cpu", *(value.device.type for *_, value, _ in weights)}:
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
                changed = _changed(weights)
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
        told = [names[module] + name for module, name in changed] + state.lost
        raise DataError(
            f"the forward pass changed {', '.join(told[:3])} of the model in evaluation mode",
            hint="a layer that ignores eval() learns from the probe set; let it heed self.training",
        )


def _set_training(module: nn.Module, mode: bool) -> None:
    # Past nn.Module.__setattr__, which first looks for a parameter of that name.
    object.__setattr__(module, "training", mode)


def _weights(modules: Iterable[nn.Module]) -> list[_Held]:
    """Return every parameter and buffer, and how often it was changed in place.

    Read from where modules keep them: ``named_parameters`` takes several times as long.
    """
    return [
        (module, name, kept, value, value._version)
        for module in modules
        for kept in (module._parameters, module._buffers)
        if kept
        for name, value in kept.items()
        if value is not None and not value.is_inference()
    ]


def _changed(weights: Iterable[_Held]) -> list[tuple[nn.Module, str]]:
    """Return what changed its values; a buffer of another shape is a cache that grew."""
    return [
        (module, name)
        for module, name, kept, value, version in weights
        if (
            value._version != version
            if (now := kept.get(name)) is value
            else now is not None
            and now.shape == value.shape
            and not (now.is_inference() or torch.equal(now, value))
        )
    ]

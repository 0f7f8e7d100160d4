"""What to do where a model cannot be recorded as it is."""

from __future__ import annotations

import torch

from infoplane.recording.probes.batches import Batch


def under_vmap(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is that of one sample, seen from inside of ``torch.vmap``."""
    return bool(torch._C._functorch.is_batchedtensor(tensor))


def of_vmap(name: str) -> str:
    """Return the hint for a layer that runs under ``torch.vmap``."""
    return (
        "modules under torch.vmap see one sample at a time: record the module that calls vmap "
        f"(of the model itself: build nn.Sequential(model), --layers 0), or leave the layer out: "
        f"--layers '!{name}'"
    )


def of_failure(error: BaseException, batch: Batch) -> str:
    """Return the hint for a model that failed on a batch."""
    if isinstance(error, TypeError) and "keyword argument" in str(error) and batch.named:
        return (
            "inputs of other names than 'inputs' are given by name: --data FILE:x,y takes the "
            "array x as the only input and y as labels"
        )
    if isinstance(error, RuntimeError) and "does not require grad" in str(error):
        return (
            "the pass runs without gradients: a forward that computes some must do so in a block "
            "of its own, with torch.enable_grad():"
        )
    return "check that the probe inputs have the shape and dtype that the model expects"

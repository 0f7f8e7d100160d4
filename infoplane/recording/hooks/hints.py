"""What to do where a model cannot be recorded as it is."""

from __future__ import annotations

import torch

from infoplane.recording.probes.batches import Batch


def transform_of(tensor: torch.Tensor) -> str | None:
    """Return the transform of functions that a tensor is seen from inside of, if it is."""
    if torch._C._functorch.is_batchedtensor(tensor):
        return "torch.vmap"
    inside = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return "torch.func (grad, jacrev, ...)" if inside else None


def of_transform(name: str, transform: str) -> str:
    """Return the hint for a layer that runs under a transform of functions."""
    see = "see one sample at a time" if "vmap" in transform else "see no plain values"
    return (
        f"modules under {transform} {see}: record the module that calls it (of the model itself: "
        f"build nn.Sequential(model), --layers 0), or leave the layer out: --layers '!{name}'"
    )


OF_NONE = (
    "record what the model returns: build nn.Sequential(model), --layers 0; or functions that are "
    "no modules: --layers 'op:NAME'"
)
"""For a model of which no layer can be recorded."""


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

"""Tokens in probe sets: which inputs are ids of them, and which are masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from infoplane.data import Array, ProbeSet, RunData


def masks_of_tokens(arguments: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
    """Return the inputs that are masks (n_samples, length), True where there is a token.

    Their names end as those of Hugging Face models (``attention_mask``) and of torch
    (``key_padding_mask``, where true is padding).
    """
    found = {}
    for name, array in arguments.items():
        if array.ndim == 2 and bool(((array == 0) | (array == 1)).all()):
            if name.endswith("attention_mask"):
                found[name] = array != 0
            elif name.endswith("key_padding_mask"):
                found[name] = array == 0
    return found


def reads_token_ids(run: RunData) -> bool:
    """Tell whether X of a run is, or holds, ids of tokens: numbers that have no distance.

    They are whole numbers (n, length), and the network embeds them, has a layer with as many
    positions, or one of which a token or their mean was kept; or their tokens have labels.
    """
    return any(_are_ids(array, run) for array in _parts_of_x(run.probe))


def _parts_of_x(probe: ProbeSet) -> Iterator[Array]:
    """Yield the arrays that stand side by side in X."""
    arguments = probe.arguments.values()
    if sum(one[0].size for one in arguments) == probe.inputs[0].size:
        yield from arguments
    else:
        yield probe.inputs


def _are_ids(inputs: Array, run: RunData) -> bool:
    if inputs.dtype.kind not in "iu" or inputs.dtype.itemsize < 4 or inputs.ndim != 2:
        return False
    if inputs.max() <= 1:  # a mask, or bits
        return False
    length = inputs.shape[1]
    return run.probe.token_labels is not None or any(
        slot.type == "Embedding"
        or slot.reduction.partition(":")[0] in ("last", "mean", "tokens")
        or (slot.axes == ("position", "unit") and slot.shape[0] == length)
        for slot in run.layers
    )

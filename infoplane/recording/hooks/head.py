"""Find the head of a model before its layers are chosen."""

from __future__ import annotations

import logging

import torch
from torch import nn

from infoplane.data import ProbeSet
from infoplane.errors import DataError, NotFoundError
from infoplane.recording.hooks.calls import call_names
from infoplane.recording.hooks.layers import Layer
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.outputs import Address, Key
from infoplane.recording.hooks.passes import ProbePasses
from infoplane.recording.hooks.roles import RoleFinder, is_linear
from infoplane.recording.hooks.wrappers import named_layers

log = logging.getLogger("infoplane")

_FEW = 4
"""Samples that are sent, where the model takes so few."""


def found_head(model: nn.Module, probe: ProbeSet, batch_size: int) -> str:
    """Return the name of the linear layer that makes what the model returns, or below a soft-max.

    Raises
    ------
    NotFoundError
        If there is none.
    DataError
        If the model fails.
    """
    linear = {name: Layer(one) for name, one in named_layers(model).items() if is_linear(one)}
    passes = ProbePasses(model, probe, linear, "output", batch_size, {})
    try:
        head = _of_rows(passes, slice(0, min(_FEW, probe.n_samples)))
    except DataError as error:
        log.debug("the head is looked for in the first batch: %s", error)
        head = _of_rows(passes, next(passes.batches()))
    if head is None:
        raise NotFoundError(
            "no layer is the head: no linear layer makes what the model returns",
            hint="name the layer itself, or say which it is: --head NAME",
        )
    return head


def _of_rows(passes: ProbePasses, rows: slice) -> str | None:
    finder = RoleFinder(passes.model)
    keys: dict[Key, None] = {}

    def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
        keys[name, call] = None
        finder.add((name, call), tensor)

    with evaluation_mode(passes.model), finder.watching(), passes.captured(receive):
        output = passes.forward(passes.batch(rows))
    roles = finder.found(output, call_names(keys))
    return None if roles.logits is None else roles.head

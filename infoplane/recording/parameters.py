"""The weights of a model, or of a state dict, each once: those that are tied have several names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

log = logging.getLogger("infoplane")

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""What normalisations count, beside their parameters."""


@dataclass(frozen=True)
class NamedWeight:
    """A weight by its first name."""

    name: str
    module_type: str  # "" in a state dict, which does not tell
    tensor: torch.Tensor
    tied: tuple[str, ...] = ()  # its other names

    @property
    def names(self) -> tuple[str, ...]:
        """All of its names."""
        return (self.name, *self.tied)


def weights_of(model: nn.Module) -> tuple[list[NamedWeight], dict[str, str]]:
    """Return the weights of a model in its order, and what cannot be recorded, with the reason.

    Where a module computes a weight from other parameters (``torch.nn.utils.parametrize``) it is
    the weight that counts; quantised ones are the numbers that they stand for.
    """
    named: list[tuple[str, str, torch.Tensor, object]] = []
    for path, module in model.named_modules(remove_duplicate=False):
        kind, prefix = type(module).__name__, f"{path}." if path else ""
        if isinstance(module, parametrize.ParametrizationList) or ".parametrizations." in prefix:
            continue
        computed = getattr(module, "parametrizations", None)
        names = list(computed) if parametrize.is_parametrized(module) and computed else []
        with torch.no_grad():
            named += [
                (prefix + name, kind, getattr(module, name), (id(module), name)) for name in names
            ]
        for name, value in module.named_parameters(recurse=False, remove_duplicate=False):
            named.append((prefix + name, kind, value, id(value)))
        if callable(packed := getattr(module, "weight", None)):
            try:
                value = packed()
            except Exception:  # noqa: BLE001, S112  - a method of the user's own
                continue
            if isinstance(value, torch.Tensor) and value.is_quantized:
                named.append((f"{prefix}weight", kind, value, (id(module), "weight")))
    return _each_once(named)


def weights_in(state: Mapping[str, Any]) -> tuple[list[NamedWeight], dict[str, str]]:
    """Return the weights in a state dict, and what is not recorded of it, with the reason.

    What normalisations count is no weight. Other buffers cannot be told from weights.
    """
    named: list[tuple[str, str, torch.Tensor, object]] = []
    left = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            left[name] = f"{type(value).__name__}, no tensor"
        elif name.rpartition(".")[2] not in _BUFFERS:
            named.append((name, "", value, _place(value, name)))
    found, unfit = _each_once(named)
    return found, {**left, **unfit}


def _place(value: torch.Tensor, name: str) -> object:
    """Return what two names of one tensor have in common."""
    if value.layout is not torch.strided or value.is_meta or not value.numel():
        return name
    return (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)


def _each_once(
    named: list[tuple[str, str, torch.Tensor, object]],
) -> tuple[list[NamedWeight], dict[str, str]]:
    by_tensor: dict[object, list[tuple[str, str, torch.Tensor]]] = {}
    left = {}
    for name, kind, value, place in named:
        if reason := _unfit(value):
            left[name] = reason
        else:
            by_tensor.setdefault(place, []).append((name, kind, value))
    return list(_with_names(by_tensor.values())), left


def _with_names(groups: Any) -> Iterator[NamedWeight]:
    for (name, kind, value), *others in groups:
        yield NamedWeight(name, kind, value, tuple(dict.fromkeys(other for other, *_ in others)))


def _unfit(value: torch.Tensor) -> str:
    """Say why a tensor is not recorded as a weight, "" if it is."""
    dtype = str(value.dtype).removeprefix("torch.")
    if value.is_meta:
        return "without values (meta)"
    if value.is_complex():
        return "complex"
    if not value.is_floating_point() and not value.is_quantized:
        return f"{dtype}: packed numbers, or none that are trained"
    if not value.numel():
        return "without numbers"
    return ""

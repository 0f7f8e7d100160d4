"""Choose layers of a model by name."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch.nn.modules.activation as activations
from torch import nn

from infoplane.errors import NotFoundError
from infoplane.nn import GaussianNoise
from infoplane.patterns import matches, split_address, written
from infoplane.recording.hooks.outputs import Address
from infoplane.recording.hooks.wrappers import named_layers

log = logging.getLogger("infoplane")

_ACTIVATIONS = tuple(
    cls
    for cls in vars(activations).values()
    if isinstance(cls, type) and issubclass(cls, nn.Module) and cls is not nn.Module
)
_WEIGHTS = frozenset({"parametrizations", "_packed_params"})
"""Members of a module that make its weights: of a parametrised or quantised one."""


@dataclass(frozen=True)
class Layer:
    """A chosen layer: a module, and where in its output the tensor stands (None: the first)."""

    module: nn.Module
    address: Address | None = None


def select_layers(model: nn.Module, patterns: Sequence[str] = ()) -> dict[str, Layer]:
    """Return the chosen layers by name, in the order of the model.

    Parameters
    ----------
    model : torch.nn.Module
        The model; wrapper components such as ``module.`` are not part of the names.
    patterns : sequence of str
        Globs over dotted names: ``*`` stays within one component, ``**`` crosses dots, ``!GLOB``
        excludes. An address at the end chooses a tensor in a structured output: ``lstm[0]``,
        ``encoder['last_hidden_state']``. Without patterns (or with exclusions alone) every leaf
        module that has parameters, is an activation function or adds noise (`GaussianNoise`).

    Raises
    ------
    NotFoundError
        If a pattern or the whole choice matches nothing; the hint lists what exists.
    """
    named = named_layers(model)
    include = [pattern for pattern in patterns if not pattern.startswith("!")]
    exclude = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for pattern in [*include, *exclude]:
        if not any(matches(name, split_address(pattern)[0]) for name in named):
            raise NotFoundError(
                f"no layer matches {pattern!r}",
                hint=f"{_what_exists(named, pattern)}; functions that are no modules: --layers "
                f"'op:{pattern.removeprefix('!')}'",
            )
    excluded = {
        module
        for name, module in named.items()
        if any(matches(name, pattern) for pattern in exclude)
    }
    chosen: dict[str, Layer] = {}
    taken: set[Layer] = set()
    for name, module in named.items():
        for address in _addresses(name, module, include):
            layer = Layer(module, address or None)
            full = name + written(address)
            twice = layer in taken  # registered under two names
            if not (twice or module in excluded or any(matches(full, p) for p in exclude)):
                chosen[full] = layer
                taken.add(layer)
    if not chosen:
        raise NotFoundError(
            "no layer is left to record: expected leaf modules with parameters or an activation"
            if not patterns
            else f"no layer is left to record after {' '.join(patterns)}",
            hint=_what_exists(named, " ".join(patterns)),
        )
    return chosen


def _addresses(name: str, module: nn.Module, include: Sequence[str]) -> list[Address]:
    """Return the addresses that are asked of a module; () stands for its first tensor."""
    if not include:
        return [()] if _is_default(name, module) else []
    split = [split_address(pattern) for pattern in include]
    return list(dict.fromkeys(address for base, address in split if matches(name, base)))


def _is_default(name: str, module: nn.Module) -> bool:
    if not _WEIGHTS.isdisjoint(name.split(".")):
        return False
    leaf = all(child in _WEIGHTS for child, _ in module.named_children())
    weights = any(hasattr(module, inner) for inner in _WEIGHTS)
    has_parameters = weights or next(module.parameters(recurse=False), None) is not None
    return leaf and (has_parameters or isinstance(module, (*_ACTIVATIONS, GaussianNoise)))


def _what_exists(named: Mapping[str, nn.Module], pattern: str, most: int = 12) -> str:
    """Name the modules of a model; of many, those that are named most like a pattern."""
    if not named:
        return "the model has no sub-modules; give its layers names"
    kinds = {name: f"{name} ({type(module).__name__})" for name, module in named.items()}
    nested = "; '**' matches across dots" if any("." in name for name in named) else ""
    if len(kinds) <= most:
        return f"the model has {', '.join(kinds.values())}{nested}"
    log.info("the model has %s", ", ".join(kinds.values()))
    near = difflib.get_close_matches(pattern.strip("!*"), kinds, n=5, cutoff=0.0)
    like = ", ".join(kinds[name] for name in kinds if name in near)
    return f"of the {len(kinds)} modules (-v lists all) the nearest are {like}{nested}"


def chosen_by(pattern: str, layers: Iterable[str], why: str) -> list[str]:
    """Return the chosen layers that a glob means, with or without their address.

    Raises
    ------
    NotFoundError
        If there is none; the message ends in ``why`` the glob was given.
    """
    layers = list(layers)
    found = [
        name
        for name in layers
        if matches(name, pattern) or matches(split_address(name)[0], pattern)
    ]
    if not found:
        raise NotFoundError(
            f"no chosen layer matches {pattern!r}, {why}", hint=f"chosen: {', '.join(layers)}"
        )
    return found

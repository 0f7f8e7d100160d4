"""Choose layers of a model by name."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch.nn.modules.activation as activations
from torch import nn

from infoplane.errors import NotFoundError
from infoplane.layer_patterns import (
    BLOCK,
    LOGITS,
    WORDS,
    About,
    by_type,
    hint_of_none,
    meant,
    numbered,
    wider,
)
from infoplane.nn import GaussianNoise
from infoplane.patterns import matches, split_address, written
from infoplane.recording.hooks.blocks import CONTAINERS, repeated_blocks
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
    is_block: bool = field(default=False, compare=False)

    @property
    def about(self) -> About:
        """What else than its name is known of it."""
        return About(type(self.module).__name__, (BLOCK,) if self.is_block else ())


def select_layers(
    model: nn.Module, patterns: Sequence[str] = (), head: str | None = None
) -> dict[str, Layer]:
    """Return the chosen layers by name, in the order of the model.

    Parameters
    ----------
    model : torch.nn.Module
        The model; wrapper components such as ``module.`` are not part of the names.
    patterns : sequence of str
        Globs over dotted names: ``*`` stays within one component, ``**`` crosses dots, ``!GLOB``
        excludes; ``type:GLOB`` over names of classes; ``blocks`` are the repeated blocks, ``head``
        is the head. An address at the end chooses a tensor in a structured output: ``lstm[0]``,
        ``encoder['last_hidden_state']``. Without patterns (or with exclusions alone) every leaf
        module that has parameters, is an activation function or adds noise (`GaussianNoise`).
    head : str, optional
        Name of the module that makes the logits, where it is known.

    Raises
    ------
    NotFoundError
        If a pattern or the whole choice matches nothing; the hint lists what exists.
    """
    named = named_layers(model)
    blocks = {*repeated_blocks(named)}
    about = _about(named, blocks, head)
    _warn_of_words(patterns, about, blocks)
    bases = {pattern: split_address(pattern.removeprefix("!"))[0] for pattern in patterns}
    means = {pattern: meant(base, about) for pattern, base in bases.items()}
    for pattern in patterns:
        if not means[pattern]:
            bare = pattern.removeprefix("!")
            hint = (
                f"{_what_exists(about, bare)}; functions that are no modules: --layers 'op:{bare}'"
            )
            raise NotFoundError(f"no layer matches {bare!r}", hint=hint)
    include = [pattern for pattern in patterns if not pattern.startswith("!")]
    exclude = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    whole = {
        named[name]
        for pattern in exclude
        if not split_address(pattern)[1]
        for name in means[f"!{pattern}"]
    }
    chosen: dict[str, Layer] = {}
    taken: set[Layer] = set()
    for name, module in named.items():
        addresses: list[Address] = [()] if not include and _is_default(name, module) else []
        addresses += [split_address(p)[1] for p in include if name in means[p]]
        for address in dict.fromkeys(addresses):
            layer = Layer(module, address or None, name in blocks)
            full = name + written(address)
            twice = layer in taken  # registered under two names
            if not (twice or module in whole or any(matches(full, p) for p in exclude)):
                chosen[full] = layer
                taken.add(layer)
    if not chosen:
        raise NotFoundError(
            "no layer is left to record: expected leaf modules with parameters or an activation"
            if not patterns
            else f"no layer is left to record after {' '.join(patterns)}",
            hint=_what_exists(about, " ".join(patterns)),
        )
    return chosen


def _about(named: Mapping[str, nn.Module], blocks: set[str], head: str | None) -> dict[str, About]:
    """Return what is known of modules; a list of them that is called like a word has no name."""
    return {
        name: About(
            type(module).__name__,
            [role for role, there in ((BLOCK, name in blocks), (LOGITS, name == head)) if there],
        )
        for name, module in named.items()
        if not (name in WORDS and isinstance(module, CONTAINERS))
    }


def _warn_of_words(patterns: Sequence[str], about: Mapping[str, About], blocks: set[str]) -> None:
    """Warn where a module is called ``blocks``, so that the word means it alone."""
    others = [name for name in blocks if name != "blocks"]
    if "blocks" in patterns and "blocks" in about and others:
        log.warning(
            "'blocks' is the name of a module, which is recorded alone; the repeated blocks are "
            "--layers '%s'",
            "' --layers '".join(dict.fromkeys(numbered(n).replace("#", "*") for n in others)),
        )


def _is_default(name: str, module: nn.Module) -> bool:
    if not _WEIGHTS.isdisjoint(name.split(".")):
        return False
    leaf = all(child in _WEIGHTS for child, _ in module.named_children())
    weights = any(hasattr(module, inner) for inner in _WEIGHTS)
    has_parameters = weights or next(module.parameters(recurse=False), None) is not None
    return leaf and (has_parameters or isinstance(module, (*_ACTIVATIONS, GaussianNoise)))


def _what_exists(about: Mapping[str, About], pattern: str, most: int = 12) -> str:
    """Name the modules of a model, and the pattern that was likely meant."""
    if not about:
        return "the model has no sub-modules; give its layers names"
    bare = split_address(pattern.removeprefix("!"))[0]
    if bare == "blocks":
        return "the model has no repeated blocks: no neighbours of one class and structure"
    if bare.startswith("type:"):
        return hint_of_none(bare, about)
    kinds = {name: f"{name} ({one.type})" for name, one in about.items()}
    hints = [*by_type(bare, about), *wider(bare, about)]
    if len(kinds) <= most:
        return "; ".join([*hints, f"the model has {', '.join(kinds.values())}"])
    log.info("the model has %s", ", ".join(kinds.values()))
    near = difflib.get_close_matches(bare.strip("*"), kinds, n=5, cutoff=0.0)
    like = ", ".join(kinds[name] for name in kinds if name in near)
    many = f"of the {len(kinds)} modules (-v lists all) the nearest are {like}"
    return "; ".join([*hints, many])


def chosen_by(pattern: str, layers: Mapping[str, Layer], why: str) -> list[str]:
    """Return the chosen layers that a pattern means, with or without their address.

    Raises
    ------
    NotFoundError
        If there is none; the message ends in ``why`` the pattern was given.
    """
    about = {name: layer.about for name, layer in layers.items()}
    found = meant(pattern, about)
    base = [name for name in layers if matches(split_address(name)[0], pattern)]
    if not found and not base:
        hint = "; ".join([*wider(pattern, about), f"chosen: {', '.join(layers)}"])
        raise NotFoundError(f"no chosen layer matches {pattern!r}, {why}", hint=hint)
    return list(dict.fromkeys([*found, *base]))

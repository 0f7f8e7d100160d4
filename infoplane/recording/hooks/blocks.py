"""Find the repeated blocks of a network by its structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from torch import nn
from torch.nn.parameter import is_lazy

from infoplane.layer_patterns import numbered

CONTAINERS = (nn.ModuleList, nn.ModuleDict)
"""Are never called."""

_Family: TypeAlias = tuple[str, str, type]
"""Name of the module around blocks, their own with its numbers left out, and their class."""

_Structure: TypeAlias = Mapping[str, "tuple[int, ...]"]
"""Shapes of the parameters of a module by name."""


def repeated_blocks(named: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of the repeated blocks, in the order of the model.

    Blocks are neighbours of one class, whose names differ in a number alone, and which have
    modules inside. Two of them at least have parameters of the same names and shapes: stages of a
    network, in which widths grow, do not, and so the blocks within them are found. All others of
    their class are blocks as well. Of blocks that stand in each other the outermost count. Where
    widths grow from block to block, names suffice.
    """
    families: dict[_Family, list[str]] = {}
    for name, module in named.items():
        parent, _, last = name.rpartition(".")
        inside = next(module.children(), None) is not None
        if inside and not isinstance(module, CONTAINERS) and any(map(str.isdigit, last)):
            families.setdefault((parent, numbered(last), type(module)), []).append(name)
    structures = {
        family: [_structure(named[name]) for name in names] for family, names in families.items()
    }
    for exact in (True, False):
        kinds = {_kind(family) for family, of in structures.items() if _repeated(of, exact=exact)}
        blocks = {n for family in families if _kind(family) in kinds for n in families[family]}
        if blocks:
            return [name for name in named if name in blocks and blocks.isdisjoint(_above(name))]
    return []


def _kind(family: _Family) -> type | _Family:
    """Return what blocks have in common: their class, or of a class of torch their place."""
    return family if family[2].__module__.startswith("torch.") else family[2]


def _structure(module: nn.Module) -> _Structure:
    return {
        name: () if is_lazy(one) else tuple(one.shape) for name, one in module.named_parameters()
    }


def _repeated(structures: Sequence[_Structure], *, exact: bool) -> bool:
    """Tell whether two of the structures are alike: one may have further parameters."""
    return any(
        one and other and _within(*sorted((one, other), key=len), exact=exact)
        for one, other in combinations(structures, 2)
    )


def _within(one: _Structure, other: _Structure, *, exact: bool) -> bool:
    return all(name in other and (not exact or other[name] == one[name]) for name in one)


def _above(name: str) -> list[str]:
    """Return the names of the modules around one."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]

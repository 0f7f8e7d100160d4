"""Several reductions of one layer: each is recorded as a layer, ``h.0@last`` and ``h.0@mean``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from infoplane.errors import InputError
from infoplane.patterns import is_literal, split_address
from infoplane.recording.hooks.operations import is_operation
from infoplane.recording.hooks.reductions import Reduction

_SUFFIX = re.compile(r"@(flatten|gap|last|mean|(grid|tokens|sketch):\d+)$")

_Value = TypeVar("_Value")

Names = Mapping[str, Sequence[str]]
"""The names under which a chosen layer is recorded, by its own."""


def names_of_variants(
    layers: Mapping[str, object], reductions: Mapping[str, tuple[Reduction, ...]]
) -> dict[str, list[str]]:
    """Return the names under which layers are recorded: several if reduced in several ways.

    Raises
    ------
    InputError
        If a module has such a name already.
    """
    names = {name: _names(name, reductions.get(name, ())) for name in layers}
    for name, own in names.items():
        if taken := [one for one in own if one != name and one in layers]:
            raise InputError(
                f"two layers would have the name {taken[0]!r}: a module of that name, and a "
                f"reduction of {name!r}"
            )
    return names


def by_variant(values: Mapping[str, _Value], names: Names) -> dict[str, _Value]:
    """Return values of layers for each of their names; others as they are."""
    return {one: value for name, value in values.items() for one in names.get(name, [name])}


def one_each(reductions: Mapping[str, tuple[Reduction, ...]], names: Names) -> dict[str, Reduction]:
    """Return the reduction of each name under which a layer is recorded."""
    return {
        name: reduction
        for layer, several in reductions.items()
        for name, reduction in zip(names[layer], several, strict=True)
    }


def single(reductions: Mapping[str, tuple[Reduction, ...]]) -> dict[str, Reduction]:
    """Return the reductions of operations, by glob.

    Raises
    ------
    InputError
        If one has several.
    """
    for glob, several in reductions.items():
        if len(several) > 1 and (is_operation(glob) or not is_literal(glob)):
            raise InputError(
                f"expected one reduction of {glob!r}, which may mean operations, got "
                f"{len(several)}",
                hint="name the modules that are to be reduced in several ways",
            )
    return {glob: several[0] for glob, several in reductions.items() if len(several) == 1}


def module_name(name: str) -> str:
    """Return the name of the module of a recorded layer, without address and reduction.

    >>> module_name("h.0[1]@last")
    'h.0'
    """
    return split_address(_SUFFIX.sub("", name))[0]


def _names(name: str, reductions: tuple[Reduction, ...]) -> list[str]:
    return [f"{name}@{one}" for one in reductions] if len(reductions) > 1 else [name]

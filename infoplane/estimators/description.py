"""Description of an estimator: parameters, quantities, cost, limits and source.

The words are those of its docstring (numpydoc: Parameters, Warnings, Notes, References), so that
help and reference cannot differ.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.quantities import Quantity

SIZES = ((1000, 10), (4096, 10), (4096, 1000))
"""Samples and units of the cells whose cost is told."""

_WORDS = {int: "whole number", float: "number", str: "text", bool: "true | false"}


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name, what values it takes, its default and what it means."""

    name: str
    type: str
    default: object
    meaning: str


@dataclass(frozen=True)
class Description:
    """What there is to know before an estimator is used; texts are empty where it says nothing."""

    summary: str
    parameters: tuple[Parameter, ...]
    quantities: tuple[Quantity, ...]
    costs: dict[tuple[int, int], Cost]
    limits: str
    notes: str
    source: str


def describe(cls: type[Estimator]) -> Description:
    """Return the description of an estimator; costs are those of its defaults on one core."""
    sections = _sections(inspect.getdoc(cls) or cls.title)
    meanings = _meanings(sections.get("Parameters", ""))
    hints = typing.get_type_hints(cls)
    defaults = {field.name: _default(field) for field in fields(cls)}
    complete = MISSING not in defaults.values()
    return Description(
        sections[""],
        tuple(
            Parameter(name, _type(hints[name]), default, meanings.get(name, ""))
            for name, default in defaults.items()
        ),
        cls.quantities,
        {size: cls().cost(*size) for size in SIZES} if complete else {},
        sections.get("Warnings", ""),
        sections.get("Notes", ""),
        sections.get("References", ""),
    )


def _default(field: Field[Any]) -> object:
    return field.default_factory() if callable(field.default_factory) else field.default


def _sections(text: str) -> dict[str, str]:
    """Return the parts of a docstring by title, the first under an empty one."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", text, flags=re.MULTILINE)
    titles = ["", *parts[1::2]]
    return {title: part.strip("\n") for title, part in zip(titles, parts[::2], strict=True)}


def _meanings(section: str) -> dict[str, str]:
    """Return the indented text below each name; several names may share one."""
    found: dict[str, str] = {}
    for head, body in re.findall(r"^(\S.*)\n((?:[ ]+\S.*(?:\n|$))*)", section, re.MULTILINE):
        for name in head.partition(" : ")[0].split(","):
            found[name.strip()] = inspect.cleandoc(body)
    return found


def _type(hint: Any) -> str:
    options = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join(map(_type, options))
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, options))
    if typing.get_origin(hint) is tuple:
        return f"{_type(options[0])}, several joined by +"
    return "none" if hint is type(None) else _WORDS.get(hint, str(hint))

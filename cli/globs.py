"""Options that give layers a value by glob, such as ``--batch-dim GLOB=AXIS``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import click

_Value = TypeVar("_Value")


def by_glob(
    texts: Iterable[str], form: str, example: str, read: Callable[[str], _Value]
) -> dict[str, _Value]:
    """Return the values of options such as ``GLOB=AXIS`` by glob.

    Raises
    ------
    click.BadParameter
        If a text is not of this form, or ``read`` raises a ValueError.
    """
    found = {}
    for text in texts:
        glob, _, value = text.rpartition("=")
        try:
            if not glob or not value:
                raise ValueError(text)
            found[glob] = read(value)
        except ValueError:
            raise click.BadParameter(f"expected {form} such as {example!r}, got {text!r}") from None
    return found


def kinds_by_glob(texts: Iterable[str]) -> dict[str, str]:
    """Return the reductions of ``GLOB=KIND`` by glob; several of one glob are all meant."""
    found: dict[str, str] = {}
    for text in texts:
        for glob, kind in by_glob([text], "GLOB=KIND", "conv*=sketch:1024", str).items():
            before = found.pop(glob, None)  # the last that matches holds
            found[glob] = kind if before is None else f"{before},{kind}"
    return found


def axis(text: str) -> int:
    """Return the number of an axis, from 0."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def sigma(text: str) -> float:
    """Return a standard deviation above 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise ValueError(text)
    return number

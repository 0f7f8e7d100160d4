"""Names and texts as figures write them: shortened, broken into lines, joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from infoplane.plots.canvas.style import drawable
from infoplane.text import middle_cut as middle_cut

_MAX_NAME = 32

_HEADS = (0.5, 0.25, 0.75, 0.0, 1.0)
"""Shares of what is kept of a name that stand before the ellipsis, tried in turn."""


def short_names(layers: Sequence[str], most: int = _MAX_NAME) -> dict[str, str]:
    """Return names that fit a label, still different from one another.

    A dotted beginning that all share is dropped; what is longer than ``most`` characters loses its
    middle, or another part if that is where names differ.
    """
    short = _parts_of_their_own(layers)
    return _different(short, lambda name, head: middle_cut(name, most, head)) or short


def panel_names(layers: Sequence[str], fits: Callable[[str], bool]) -> dict[str, str]:
    """Return names to stand above panels, in lines that fit, still different from one another.

    They are numbered if cuts leave the same of two.
    """
    short = _parts_of_their_own(layers)
    numbered = {name: f"{i}: {short[name]}" for i, name in enumerate(short, start=1)}
    return _different(short, lambda name, head: broken(name, fits, head)) or {
        name: broken(text, fits) for name, text in numbered.items()
    }


def _different(names: Mapping[str, str], cut: Callable[[str, float], str]) -> dict[str, str] | None:
    """Return the values cut in the first way that keeps them different; None if none does."""
    for head in _HEADS:
        written = {key: cut(name, head) for key, name in names.items()}
        if len(set(written.values())) == len(written):
            return written
    return None


def _parts_of_their_own(layers: Sequence[str]) -> dict[str, str]:
    """Return names without the dotted beginning that all share; of long ones, nor the end."""
    cut, full = 0, layers
    if subject(layers) != "layer":
        layers = [layer.partition(" ")[2] or layer for layer in full]
    if len(layers) > 1:
        parts = [layer.split(".") for layer in layers]
        while all(len(p) > cut + 1 for p in parts) and len({p[cut] for p in parts}) == 1:
            cut += 1
    short = {
        name: ".".join(layer.split(".")[cut:]) for name, layer in zip(full, layers, strict=True)
    }
    tail = 0
    if len(layers) > 1:
        parts = [name.split(".") for name in short.values()]
        while (
            max(map(len, short.values())) > _MAX_NAME
            and all(len(p) > tail + 1 for p in parts)
            and len({p[-1 - tail] for p in parts}) == 1
        ):
            tail += 1
            short = {k: ".".join(p[: len(p) - tail]) for k, p in zip(short, parts, strict=True)}
    return {k: drawable(v) for k, v in short.items()}


def subject(layers: Sequence[str]) -> str:
    """Return what values under these names are about: layer, pair, weight, module or run."""
    for beginning, word in (("pair ", "pair"), ("weights ", "weight"), ("attention ", "module")):
        if layers and all(layer.startswith(beginning) for layer in layers):
            return word
    return "run" if list(layers) == ["run"] else "layer"


def fitted(text: str, fits: Callable[[str], bool], head: float = 0.5) -> str:
    """Return text that fits, its middle replaced by an ellipsis where it is too long."""
    cuts = (middle_cut(text, length, head) for length in range(len(text), 0, -1))
    return next(filter(fits, cuts), "…")


def broken(text: str, fits: Callable[[str], bool], head: float = 0.5) -> str:
    """Return a name broken into lines that fit, after dots and in pairs."""
    parts = re.findall(r"[^.~]*(?:\.|~ ?)|[^.~]+", text)
    return "\n".join(fitted(line, fits, head) for line in _lines(parts, fits))


def in_words(text: str, fits: Callable[[str], bool]) -> str:
    """Return a text broken between words into lines that fit, as far as words allow."""
    if fits(text):
        return text
    return "\n".join(line.rstrip() for line in _lines(re.findall(r"\S+\s*", text), fits))


def _lines(parts: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """Return parts joined to lines that fit; a part that does not is a line of its own."""
    lines = [""]
    for part in parts:
        if lines[-1] and not fits((lines[-1] + part).rstrip()):
            lines.append("")
        lines[-1] += part
    return lines


def most_lines(texts: Iterable[str]) -> int:
    """Return the most lines that one of some texts has beyond the first."""
    return max(text.count("\n") for text in texts)


def evenly(items: Sequence[str], most: int) -> list[str]:
    """Return at most ``most`` items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    at = np.unique(np.round(np.linspace(0, len(items) - 1, most)).astype(int))
    return [items[i] for i in at]


def bound_label(name: str, value: str, unit: str = "bits") -> str:
    """Return the text beside a bound; one that has no name here is a bound."""
    written = {
        "log2_n": "log₂ N", "log2_bins": "d log₂ bins", "h_y": "H(Y)", "log2_k": "log₂ k",
        "capacity": "capacity",
    }  # fmt: skip
    return f"{written.get(name, 'bound')} = {value} {unit}".rstrip()


def joined(names: Iterable[str], most: int = 4, letters: int = 40) -> str:
    """Return names in one label: all of them, or the first, the last and how many."""
    names = list(names)
    if len(names) == 1 or (len(names) <= most and len(", ".join(names)) <= letters):
        return ", ".join(names)
    if len(names) == 2:
        return f"{names[0]} + 1"
    return f"{names[0]} … {names[-1]} ({len(names)} layers)"

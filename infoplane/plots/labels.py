"""Names and texts as figures write them: shortened, broken into lines, joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from infoplane.plots.canvas.style import drawable
from infoplane.text import middle_cut as middle_cut

_MAX_NAME = 32


def short_names(layers: Sequence[str], most: int = _MAX_NAME) -> dict[str, str]:
    """Return names that fit a label, still different from one another.

    A dotted beginning that all share is dropped; what is longer than ``most`` characters loses its
    middle.
    """
    cut, full = 0, layers
    if (kind := subject(layers)) != "layer":
        layers = [layer.removeprefix("weights " if kind == "weight" else "pair ") for layer in full]
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
    short = {k: drawable(v) for k, v in short.items()}
    clipped = {k: middle_cut(v, most) for k, v in short.items()}
    return clipped if len(set(clipped.values())) == len(clipped) else short


def subject(layers: Sequence[str]) -> str:
    """Return what values that stand under these names are about: a layer, a pair or a weight."""
    for beginning, word in (("pair ", "pair"), ("weights ", "weight")):
        if layers and all(layer.startswith(beginning) for layer in layers):
            return word
    return "run" if list(layers) == ["run"] else "layer"


def broken(text: str, width: int) -> str:
    """Return a name broken into lines of about ``width`` characters, after dots and in pairs."""
    lines = [""]
    for part in re.findall(r"[^.~]*(?:\.|~ ?)|[^.~]+", text):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(middle_cut(line, width + 2) for line in lines)


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

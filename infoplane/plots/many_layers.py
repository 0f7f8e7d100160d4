"""Networks of many layers: curves by depth instead of rows, blocks named instead of layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from infoplane.data import FloatArray
from infoplane.layer_patterns import numbered
from infoplane.plots.canvas import style as look
from infoplane.plots.labels import evenly

MANY = 24
"""Layers; of more, a figure has no row for each."""

TALLEST = 7.2
"""Inches that all layers together take at most, one below the other."""

_NUMBER = re.compile(r"\d+(?=[._/]|$)")


def by_block(layers: Sequence[str], most: int) -> list[str]:
    """Return at most ``most`` layers, evenly spread over blocks: the same one of each block.

    The first and the last are among them where they do not repeat, as an embedding or a head.
    Where no layer repeats, they are simply spread.

    >>> by_block(["in", "h.0.a", "h.0.b", "h.1.a", "h.1.b", "h.2.a", "h.2.b", "out"], 4)
    ['in', 'h.0.b', 'h.2.b', 'out']
    """
    if len(layers) <= most or most < 3:
        return evenly(layers, most)
    count = Counter(map(numbered, layers))
    kind = max(reversed(count), key=count.__getitem__)
    alike = [layer for layer in layers if numbered(layer) == kind]
    ends = [layer for layer in (layers[0], layers[-1]) if count[numbered(layer)] == 1]
    chosen = {*ends, *evenly(alike, most - len(ends))}
    return (
        [layer for layer in layers if layer in chosen] if len(alike) > 2 else evenly(layers, most)
    )


def landmarks(names: Mapping[str, str], most: int) -> dict[int, str]:
    """Return at most ``most`` places of layers to write at an axis, with what is written there.

    Parameters
    ----------
    names : mapping of str to str
        What is written of each layer, in their order.
    most : int
        A block of several layers is named once, at its first, where not every layer has room.
    """
    written = list(names.values())
    if len(written) <= most:
        return dict(enumerate(written))
    for level in (2, 1, 0):  # blocks within blocks, as layer1.0
        blocks = [_block(text, level) for text in written]
        starts = [i for i, block in enumerate(blocks) if i == 0 or blocks[i - 1] != block]
        if len(starts) <= most:
            break
    stride = -(-len(starts) // most)
    return {i: f"block {b}" if (b := blocks[i]).isdigit() else b for i in starts[::stride]}


def _block(name: str, level: int) -> str:
    """Return the beginning of a name to one of its numbers, from 0, or to the last of them."""
    ends = [found.end() for found in _NUMBER.finditer(name)]
    return name[: ends[min(level, len(ends) - 1)]] if ends else name


def by_depth(
    ax: Axes, lines: Mapping[str, FloatArray], low: FloatArray, high: FloatArray, colour: str
) -> None:
    """Draw values by layer downwards, the one of style ``-`` last, and a band (n,) around them."""
    at = np.arange(len(low))
    ax.fill_betweenx(at, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2.5)
    for style, values in lines.items():
        alone = np.isfinite(values) & ~_beside(values)
        ax.plot(values, at, style, color=colour, linewidth=1.6 if style == "-" else 1.0, zorder=3)
        ax.plot(values[alone], at[alone], ".", color=colour, markersize=4, zorder=3)


def _beside(values: FloatArray) -> NDArray[np.bool_]:
    """Tell which values have one beside them, so that a line is seen."""
    there = np.concatenate([[False], np.isfinite(values), [False]])
    beside: NDArray[np.bool_] = there[:-2] | there[2:]
    return beside


def verdict_bars(ax: Axes, verdicts: Sequence[str], row: float) -> list[Patch]:
    """Draw the verdicts of layers, downwards, as a bar at the right; each run of one is named once.

    Parameters
    ----------
    ax : Axes
        Layers are rows of it, from 0.
    verdicts : sequence of str
        The verdict of each layer.
    row : float
        Inches that a row is high.

    Returns
    -------
    list of Patch
        The legend of what has no room for its name.
    """
    size = look.font_size("xtick.labelsize")
    first, named = 0, set()
    for verdict, group in groupby(verdicts):
        n = len([*group])
        bar = Rectangle(
            (1.02, first - 0.5), 0.035, n, transform=ax.get_yaxis_transform(), clip_on=False,
            color=look.verdict_colour(verdict), linewidth=0,
        )  # fmt: skip
        ax.add_artist(bar)
        if n * row >= 1.6 * size / 72:
            named.add(verdict)
            layers = f"\n{n} layers" if n > 1 and n * row >= 3.2 * size / 72 else ""
            ax.annotate(
                verdict.replace("_", " ") + layers, (1.055, first + (n - 1) / 2),
                xycoords=ax.get_yaxis_transform(), xytext=(4, 0), textcoords="offset points",
                va="center", linespacing=1.25, fontsize=size, annotation_clip=False,
                color=look.verdict_colour(verdict),
                fontweight="bold" if verdict == "compresses" else "normal",
            )  # fmt: skip
        first += n
    return [
        Patch(color=look.verdict_colour(verdict), label=verdict.replace("_", " "))
        for verdict in dict.fromkeys(verdicts)
        if verdict not in named
    ]

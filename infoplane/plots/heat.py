"""A quantity by layer and step: the picture for networks of many layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from infoplane.data import FloatArray
from infoplane.estimators.quantities import QUANTITIES
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import Drawing, QuantityOptions, drawing, figure
from infoplane.plots.labels import short_names, subject
from infoplane.plots.many_layers import TALLEST, landmarks
from infoplane.plots.view import SIZES, View
from infoplane.results.curves import Curves

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MOST_ROWS = 66
"""Layers with a name and numbers."""

_MISSING, _DOTS = "#E6EAEE", "#59636E"


@figure(QuantityOptions)
def heat(results: Mapping[str, Any] | View, **options: Unpack[QuantityOptions]) -> Axes:
    """Draw the mean over runs of one quantity as colour, layers downwards, steps to the right.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Returns
    -------
    Axes
        Layers by steps; ``.figure.axes`` are this and the colour bar.

    Raises
    ------
    InputError
        If there is no such quantity.
    NotFoundError
        If no estimator has it, or a layer is not there.
    """
    with drawing(results, first=SIZES, **options) as on:
        names = on.layers(on.quantity)
        found = [on.view.curves[on.group, m, on.estimator, on.quantity] for m in names]
        every = np.unique(np.concatenate([c.steps for c in found]))
        row = 0.26 if len(names) <= 24 else min(0.17, TALLEST / len(names))
        area = on.area(1.35 + max(row * len(names), 1.0))
        engine = area.get_layout_engine() if on.ax is None else None
        if page.abreast(on.size, area, 2.3) == 1 and engine is not None:
            engine.set(rect=(0, 0, 0.98, 1))  # type: ignore[call-arg]  # columns of numbers are wide
        ax = area.add_subplot()
        norm = _norm(found)
        edges = _edges(np.log10(every + 1.0))
        _cells(ax, found, every, edges, norm)
        _rows(ax, names, on)
        ax.set_xlim(edges[0], edges[-1])
        clock.step_axis(ax.xaxis, every)
        ax.set_xlabel(f"{clock.time_name()} (log scale)")
        mappable = mpl.cm.ScalarMappable(norm=norm, cmap=look.time_colours())
        bar = area.colorbar(mappable, ax=ax, pad=0.02, fraction=0.04, aspect=28)
        bar.set_label(on.about.axis, labelpad=2)
        bar.outline.set_linewidth(0.5)
        if on.quantity not in QUANTITIES:  # long units: with ticks that move they leave the figure
            look.few_ticks(bar.ax.yaxis, 5)
        words = f"{on.about.symbol} by {subject(names)} and step"
        text = on.bounds(found)
        notes = [f"Ceiling: {text}."] if text else []
        if (named := len(ax.get_yticks())) < len(names):
            notes.append(f"Names and numbers: {named} of {len(names)} {subject(names)}s.")
        on.finish(area, words, notes, _legend(found, on))
        return ax


def _norm(found: Sequence[Curves]) -> Normalize:
    """Return the colour scale from 0 (or the lowest value below it) to the bound.

    What is beyond the register may be far below the bounds: then the highest value is the end.
    """
    values = np.concatenate([look.finite(c.mean()) for c in found])
    low, high = min(0.0, float(values.min())), float(values.max())
    highest = max([high, *(c.bound for c in found if c.bound is not None)])
    if found[0].quantity in QUANTITIES or highest < 1.5 * high:
        high = highest
    return Normalize(low, high if high > low else low + 1)


def _edges(times: FloatArray) -> FloatArray:
    """Return cell edges half way between the steps (n + 1,)."""
    if len(times) == 1:
        return np.array([times[0] - 0.5, times[0] + 0.5])
    middle = (times[:-1] + times[1:]) / 2
    first, last = times[0] - (middle[0] - times[0]), times[-1] + (times[-1] - middle[-1])
    return np.concatenate([[first], middle, [last]])


def _cells(
    ax: Axes, found: Sequence[Curves], every: Any, edges: FloatArray, norm: Normalize
) -> None:
    """Draw the cells; hatch what is saturated in most runs, dot what is missing."""
    values = np.full((len(found), len(every)), np.nan)
    for row, curve in enumerate(found):
        at = np.searchsorted(every, curve.steps)
        there = np.isfinite(curve.values).any(axis=0)
        values[row, at[there]] = curve.mean()[there]
        share = curve.saturated.sum(axis=0) / np.maximum(np.isfinite(curve.values).sum(axis=0), 1)
        full = np.zeros(len(every) + 2, dtype=int)
        full[1 + at[(share > 0.5) & there]] = 1
        for first, end in np.flatnonzero(np.diff(full)).reshape(-1, 2):  # cells side by side
            box = Rectangle(
                (edges[first], row - 0.5), edges[end] - edges[first], 1, fill=False, hatch="///",
                linewidth=0, edgecolor=look.SATURATED,
            )  # fmt: skip
            ax.add_patch(box)
    ax.set_facecolor(_MISSING)  # seen through the gaps; dots, since its grey is also that of
    ax.patch.set(hatch="....", edgecolor=_DOTS, linewidth=0)  # high values without colour
    ax.grid(visible=False)
    rows = np.arange(len(found) + 1) - 0.5
    ax.pcolormesh(edges, rows, np.ma.masked_invalid(values), norm=norm, cmap=look.time_colours(),
                  rasterized=True, zorder=0.5)  # fmt: skip
    ax.set_ylim(len(found) - 0.5, -0.5)


def _rows(ax: Axes, names: Sequence[str], on: Drawing) -> None:
    """Name the layers, mark the onsets, write last value and change at the right."""
    small = look.font_size("xtick.labelsize") if len(names) <= 24 else 6.2
    letters = min(32, look.letters(0.3 * page.width(ax.figure), small))
    short = short_names(names, letters)
    places = {i: short[names[i]] for i in landmarks(short, _MOST_ROWS)}
    ax.set_yticks([*places], [*places.values()], fontsize=small)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="y", length=0)
    points = {"last": 3.9 * small, "change": 8.6 * small}  # right edge, from the axes
    for word, x in points.items():
        ax.annotate(
            word, (1, 1), xycoords="axes fraction", xytext=(x, 3), textcoords="offset points",
            ha="right", va="bottom", fontsize=small, color=look.muted(), annotation_clip=False,
        )  # fmt: skip
    onsets = []
    for i, layer in enumerate(names):
        phase = on.phase(layer)
        if phase.key not in on.view.phases:
            continue
        if phase.onset_step is not None:
            at = np.log10(phase.onset_step + 1)
            onsets.append([(at, i - 0.5), (at, i + 0.5)])
        falls = phase.verdict == "compresses"
        change = on.view.number(on.quantity, phase.change, sign=True)
        change = "sat." if phase.saturated else change
        colour = on.about.colour if falls else look.muted()
        colour = look.SATURATED if phase.saturated else colour
        last = on.view.number(on.quantity, phase.last)
        if i not in places:
            continue
        for word, (text, ink) in {"last": (last, look.ink()), "change": (change, colour)}.items():
            ax.annotate(
                text, (1, i), xycoords=("axes fraction", "data"), xytext=(points[word], 0),
                textcoords="offset points", ha="right", va="center", fontsize=small, color=ink,
                fontweight="bold" if word == "change" and falls else "normal",
                annotation_clip=False,
            )  # fmt: skip
    for colour, width in (("white", 3.2), ("black", 1.6)):
        bars = LineCollection(
            onsets, colors=colour, linewidths=width, capstyle="butt", zorder=2, label="_onsets"
        )
        ax.add_collection(bars, autolim=False)


def _legend(found: Sequence[Curves], on: Drawing) -> list[Any]:
    """Return the marks that occur."""
    handles: list[Any] = []
    if any(on.phase(c.layer).onset_step is not None for c in found):
        falls = "compression" if on.about.falls == "compresses" else "fall"
        handles.append(Line2D([], [], color="black", linewidth=2, label=f"{falls} onset"))
    if any(c.saturated.any() for c in found):
        patch = Patch(fill=False, hatch="///", edgecolor=look.SATURATED, lw=0, label="saturated")
        handles.append(patch)
    every = set().union(*(c.steps.tolist() for c in found))
    gone = any(
        len(c.steps) < len(every) or not np.isfinite(c.values).any(axis=0).all() for c in found
    )
    if gone:
        handles.append(
            Patch(facecolor=_MISSING, edgecolor=_DOTS, hatch="....", lw=0, label="no value")
        )
    return handles

"""A quantity by depth: layers in order of the forward pass, one line per checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.data import FloatArray, IntArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import FAR, Drawing, QuantityOptions, drawing, figure
from infoplane.plots.labels import short_names, subject
from infoplane.plots.steps import BRACKET, bracket_notes
from infoplane.plots.view import SIZES, View
from infoplane.results.curves import Curves

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LINES = 5
"""Checkpoints of many, the first and the last among them."""

_MARKED = 24
"""Layers; of more, only lines are drawn."""


@figure(QuantityOptions)
def depth(results: Mapping[str, Any] | View, **options: Unpack[QuantityOptions]) -> Axes:
    """Draw a quantity over the layers of a network, at up to 8 steps, or 5 of more.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Returns
    -------
    Axes
        Layers by the unit of the quantity.

    Raises
    ------
    InputError
        If there is no such quantity.
    NotFoundError
        If no estimator has it for two layers, or a layer is not there.
    """
    with drawing(results, first=SIZES, **options) as on:
        deep = [m for m in on.layers(on.quantity) if m in on.units or subject([m]) != "pair"]
        found = [c for layer in deep if (c := on.curve(layer)) is not None]
        if len(found) < 2:
            raise NotFoundError(
                f"this figure needs {on.about.symbol} of two layers; {on.group!r} has {len(found)}"
            )
        every, steps = steps_with_values(found), steps_to_draw(found)
        names, stride, flat = layer_names([c.layer for c in found], on.width - 0.8)
        area = on.area(3.4 if flat else 3.2 + 0.6 * _small() / 72 * max(map(len, names)))
        ax = area.add_subplot()
        values = np.stack([values_at(found, step, "mean") for step in steps])
        handles = _lines(ax, steps, values)
        ends = np.concatenate([_bars(ax, found, steps), _brackets(ax, found, steps)])
        _frame(ax, on, found, np.concatenate([values.ravel(), ends]))
        handles += _saturated(ax, found, steps, values)
        at = range(0, len(names), stride)
        ax.set_xticks(at, names[::stride], rotation=0 if flat else 90)
        for label in ax.get_xticklabels():
            label.set_parse_math(False)
        ax.grid(visible=False, axis="x")
        ax.set_ylabel(on.about.axis)
        notes = [
            f"Across: {subject(deep)}s, in the order of the forward pass; "
            f"{lines_per_checkpoint(steps, every)}."
        ]
        notes += bracket_notes(found, "bars")[:1]
        if words := on.bounds(found):
            drawn = _bounds(ax, found)
            handles += [Line2D([], [], **drawn, label=words)] if drawn else []
            notes += [] if drawn else [f"Further up: {words}."]
        if any(np.isfinite(c.low).any() or len(c.runs) > 2 for c in found) and ends.size:
            n = max(len(c.runs) for c in found)
            over = f"the mean of {n} runs" if n > 2 else "each estimate (one run)"
            notes.append(f"Bars: 95 % interval of {over}, first and last checkpoint.")
        on.finish(area, f"{on.about.symbol} by depth", notes, handles)
        return ax


def steps_to_draw(found: Sequence[Curves]) -> IntArray:
    """Return the steps to draw: the first, the last, and some between, even in log time."""
    return evenly_in_time(steps_with_values(found))


def steps_with_values(found: Sequence[Curves]) -> IntArray:
    """Return the steps at which one of some curves has a value, or bounds alone."""
    there = [c.steps[np.isfinite(c.mean()) | c.bounds_alone] for c in found]
    return np.unique(np.concatenate(there))


def lines_per_checkpoint(shown: IntArray, every: IntArray) -> str:
    """Return in words of how many checkpoints lines are drawn."""
    if len(shown) == len(every):
        return "a line per checkpoint"
    return f"a line for each of {len(shown)} of {len(every)} checkpoints"


def evenly_in_time(every: IntArray) -> IntArray:
    """Return all steps if they are few; else the first, the last, and some between, in log time."""
    if len(every) <= clock.FEW_STEPS:
        return every
    time = np.log10(every + 1.0)
    wanted = np.linspace(time[0], time[-1], _LINES)
    return np.unique(every[np.abs(time[:, None] - wanted).argmin(axis=0)])


def values_at(found: Sequence[Curves], step: int, what: str) -> FloatArray:
    """Return the mean over runs, or the ends of its interval or bracket, of each layer."""
    rows = []
    for curve in found:
        there = curve.steps == step
        if what == "mean":
            rows.append(curve.mean()[there][0] if there.any() else np.nan)
        else:
            ends = curve.interval() if what == "interval" else curve.bracket()
            known = ends is not None and there.any()
            rows.append([end[there][0] for end in ends] if known and ends else [np.nan] * 2)
    return np.array(rows, dtype=float)


def step_colours(steps: IntArray) -> FloatArray:
    """Return the colour of each step (n_steps, 4); the first are dark, which dark grounds hide."""
    time = np.log10(steps + 1.0)
    share = (time - time[0]) / max(time[-1] - time[0], 1e-9)
    start = 0.0 if look.on_white() else 0.35
    colours: FloatArray = look.time_colours()(start + (1 - start) * share)
    return colours


def _lines(ax: Axes, steps: IntArray, values: FloatArray) -> list[Line2D]:
    """Draw a line per step, the first with hollow marks; return the legend."""
    handles = []
    for i, (step, line) in enumerate(zip(steps.tolist(), values, strict=True)):
        last = i == len(steps) - 1
        colour = step_colours(steps)[i]
        marks: dict[str, Any] = {"marker": "o" if last or i == 0 else ".", "color": colour}
        if i == 0 and not last:
            marks |= {"markerfacecolor": look.paper(), "markeredgewidth": 1.2}
        drawn = {**marks, "marker": "none"} if len(line) > _MARKED else marks
        width = 2.0 if last else 1.2
        ax.plot(line, **drawn, linewidth=width, zorder=3 + 0.1 * i, label=f"_step {step}")
        words = f"step {step:,}"
        handles.append(Line2D([], [], **drawn, linewidth=width, label=words))
    return handles


def _bars(ax: Axes, found: Sequence[Curves], steps: IntArray) -> FloatArray:
    """Draw the intervals of the first and the last step; return their ends."""
    every = []
    for i, step in enumerate(dict.fromkeys((int(steps[0]), int(steps[-1])))):
        ends = values_at(found, step, "interval")
        x = np.repeat(np.arange(len(found)), 3).astype(float)
        y = np.column_stack([ends, np.full(len(found), np.nan)]).ravel()
        ax.plot(
            x, y, color=step_colours(steps)[-i], linewidth=1.0, zorder=2.5, label=f"_bars {step}"
        )
        every.append(look.finite(ends))
    return np.concatenate(every)


def _brackets(ax: Axes, found: Sequence[Curves], steps: IntArray) -> FloatArray:
    """Draw a light bar between the bounds at the first and the last step; return their ends."""
    every = [np.empty(0)]
    for i, step in enumerate(dict.fromkeys((int(steps[0]), int(steps[-1])))):
        ends = values_at(found, step, "bracket")
        ax.vlines(
            np.arange(len(found)), *ends.T, color=step_colours(steps)[-i], alpha=2 * BRACKET,
            linewidth=5, zorder=1.8, label=f"_bracket {step}",
        )  # fmt: skip
        every.append(look.finite(ends))
    return np.concatenate(every)


def _frame(ax: Axes, on: Drawing, found: Sequence[Curves], values: FloatArray) -> None:
    """Set limits that hold the values, 0 where it is near, and the bounds that are near."""
    finite = look.finite(values)
    low, high = float(finite.min()), float(finite.max())
    top = max([high, *(c.bound for c in found if c.bound is not None and c.bound < FAR * high)])
    if 0 <= low < 0.6 * top:
        ax.set_ylim(0.0, top * 1.08 or 1.0)
    else:
        span = max(top - low, 0.1 * abs(top)) or 1.0
        ax.set_ylim(low - 0.08 * span, top + 0.08 * span)
    if ax.get_ylim()[0] < 0:
        ax.axhline(0, color=look.muted(), linewidth=0.6, zorder=1.4)
    ax.set_xlim(-0.4, len(found) - 0.6)
    look.few_ticks(ax.yaxis, 6)


def _saturated(
    ax: Axes, found: Sequence[Curves], steps: IntArray, values: FloatArray
) -> list[Line2D]:
    """Ring the values that are at their ceiling in most runs."""
    x, y = [], []
    for i, curve in enumerate(found):
        for step, value in zip(steps.tolist(), values[:, i].tolist(), strict=True):
            there = curve.steps == step
            of = np.isfinite(curve.values[:, there]).sum()
            if of and curve.saturated[:, there].sum() > 0.5 * of:
                x.append(i)
                y.append(value)
    ring: dict[str, Any] = {
        "linestyle": "none", "marker": "o", "markersize": 8, "markerfacecolor": "none",
        "markeredgecolor": look.SATURATED, "markeredgewidth": 1.0,
    }  # fmt: skip
    ax.plot(x, y, **ring, zorder=4, label="_saturated")
    return [Line2D([], [], **ring, label="saturated")] if x else []


def _bounds(ax: Axes, found: Sequence[Curves]) -> dict[str, Any]:
    """Draw the upper bound of each layer as steps; return their look, nothing if they are far."""
    bounds = np.array([c.bound for c in found], dtype=float)
    if np.nanmin(bounds) > ax.get_ylim()[1]:
        return {}
    edges = np.arange(len(found) + 1) - 0.5
    dashed: dict[str, Any] = {"color": look.ink(), "linewidth": 0.8, "linestyle": (0, (4, 2))}
    ax.stairs(bounds, edges, baseline=None, zorder=1.5, **dashed)
    return dashed


def layer_names(layers: Sequence[str], width: float) -> tuple[list[str], int, bool]:
    """Return names of layers, of how many one is written, and whether side by side.

    Names that do not fit side by side in a width in inches are written upright.
    """
    names = list(short_names(layers, 24).values())
    if len(layers) * (max(map(len, names)) + 2) * 0.6 * _small() <= width * 72:
        return names, 1, True
    room = max(2, int(width * 72 / (1.44 * _small())))
    return names, math.ceil(len(layers) / room), False


def _small() -> float:
    return look.font_size("xtick.labelsize")

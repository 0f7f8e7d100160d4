"""A quantity by depth: layers in order of the forward pass, one line per checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.data import FloatArray, IntArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure
from infoplane.plots.view import SIZES, View, bound_label, evenly, short_names
from infoplane.results.curves import Curves

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LINES = 5
"""Checkpoints, the first and the last among them."""

_MARKED = 24
"""Layers; of more, only lines are drawn."""


@figure(EstimatorOptions)
def depth(
    results: Mapping[str, Any] | View,
    *,
    quantity: str | None = None,
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw a quantity over the layers of a network, at the first, the last and three more steps.

    Parameters
    ----------
    results : mapping or View
        A results document.
    quantity : str, optional
        Name of a quantity; by default I(X;T), or DSE without it, or what there is.
    **options
        See `infoplane.plots.drawing.EstimatorOptions`.

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
    with drawing(results, quantity=quantity, first=SIZES, **options) as on:
        found = [c for layer in on.layers(on.quantity) if (c := on.curve(layer)) is not None]
        if len(found) < 2:
            raise NotFoundError(
                f"this figure needs {on.about.symbol} of two layers; {on.group!r} has {len(found)}"
            )
        steps = _moments(found)
        area = on.area(3.6)
        ax = area.add_subplot()
        values = np.stack([_at(found, step, "mean") for step in steps])
        handles = _lines(ax, steps, values)
        ends = _bars(ax, found, steps)
        _frame(ax, on, found, np.concatenate([values.ravel(), ends]))
        handles += [*_saturated(ax, found, steps, values), *_bounds(ax, on, found)]
        _name_layers(ax, [c.layer for c in found])
        ax.set_ylabel(on.about.axis)
        notes = ["Across: layers, in the order of the forward pass."]
        if ends.size:
            n = max(len(c.runs) for c in found)
            over = f"the mean of {n} runs" if n > 2 else "each estimate (one run)"
            notes.append(f"Bars: 95 % interval of {over}, first and last checkpoint.")
        on.finish(area, f"{on.about.symbol} by depth", notes, handles)
        return ax


def _moments(found: Sequence[Curves]) -> IntArray:
    """Return the steps to draw: the first, the last, and some between, even in log time."""
    every = np.unique(np.concatenate([c.steps[np.isfinite(c.mean())] for c in found]))
    time = np.log10(every + 1.0)
    wanted = np.linspace(time[0], time[-1], _LINES)
    return np.unique(every[np.abs(time[:, None] - wanted).argmin(axis=0)])


def _at(found: Sequence[Curves], step: int, what: str) -> FloatArray:
    """Return the mean over runs, or the ends of its interval, of each layer at a step."""
    rows = []
    for curve in found:
        there = curve.steps == step
        if what == "mean":
            rows.append(curve.mean()[there][0] if there.any() else np.nan)
        else:
            ends = curve.interval()
            known = ends is not None and there.any()
            rows.append([end[there][0] for end in ends] if known and ends else [np.nan] * 2)
    return np.array(rows, dtype=float)


def _lines(ax: Axes, steps: IntArray, values: FloatArray) -> list[Line2D]:
    """Draw a line per step, the first with hollow marks; return the legend."""
    time = np.log10(steps + 1.0)
    share = (time - time[0]) / max(time[-1] - time[0], 1e-9) if len(steps) > 1 else [0.0]
    handles = []
    for i, (step, line) in enumerate(zip(steps.tolist(), values, strict=True)):
        last = i == len(steps) - 1
        colour = look.time_colours()(share[i])
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
        ends = _at(found, step, "interval")
        x = np.repeat(np.arange(len(found)), 3).astype(float)
        y = np.column_stack([ends, np.full(len(found), np.nan)]).ravel()
        colour = look.time_colours()(float(i or len(steps) == 1))
        ax.plot(x, y, color=colour, linewidth=1.0, zorder=2.5, label=f"_bars {step}")
        every.append(look.finite(ends))
    return np.concatenate(every)


def _frame(ax: Axes, on: Drawing, found: Sequence[Curves], values: FloatArray) -> None:
    """Set limits that hold the values, 0 where it is near, and the bounds that are near."""
    finite = look.finite(values)
    low, high = float(finite.min()), float(finite.max())
    top = max([high, *(c.bound for c in found if c.bound is not None and c.bound < 1.6 * high)])
    if 0 <= low < 0.6 * top:
        ax.set_ylim(0.0, top * 1.08 or 1.0)
    else:
        span = max(top - low, 0.1 * abs(top)) or 1.0
        ax.set_ylim(low - 0.08 * span, top + 0.08 * span)
    if ax.get_ylim()[0] < 0:
        ax.axhline(0, color=look.muted(), linewidth=0.6, zorder=1.4)
    ax.set_xlim(-0.4, len(found) - 0.6)


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


def _bounds(ax: Axes, on: Drawing, found: Sequence[Curves]) -> list[Line2D]:
    """Draw the upper bound of each layer as steps; return its place in the legend."""
    bounds = [np.nan if c.bound is None else c.bound for c in found]
    finite, top = look.finite(bounds), ax.get_ylim()[1]
    if not finite.size:
        return []
    lowest, highest = (on.view.number(on.quantity, end) for end in (finite.min(), finite.max()))
    names = {c.bound_name for c in found if c.bound is not None}
    name = names.pop() if len(names) == 1 else "bound"
    value = lowest if lowest == highest else f"{lowest} … {highest}"
    words = bound_label(name, value, on.about.unit)
    if finite.min() > top:
        return [Line2D([], [], linestyle="none", label=f"↑ {words}")]
    edges = np.arange(len(found) + 1) - 0.5
    dashed: dict[str, Any] = {"color": look.ink(), "linewidth": 0.8, "linestyle": (0, (4, 2))}
    ax.stairs(np.array(bounds), edges, baseline=None, zorder=1.5, **dashed)
    return [Line2D([], [], **dashed, label=words)]


def _name_layers(ax: Axes, layers: Sequence[str]) -> None:
    """Name the layers below the axes, upright where they would not stand side by side."""
    width, small = page.width(ax) - 0.8, look.font_size("xtick.labelsize")
    names = short_names(layers, 24)
    each = max(len(name) for name in names.values()) + 1
    flat = len(layers) * each * 0.62 * small / 72 <= width
    most = len(layers) if flat else max(2, int(width * 72 / (1.5 * small)))
    shown = evenly(layers, most)
    at = [i for i, layer in enumerate(layers) if layer in shown]
    ax.set_xticks(at, [names[layers[i]] for i in at], rotation=0 if flat else 90)
    for label in ax.get_xticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="x", length=3 if len(at) == len(layers) else 2)
    ax.grid(visible=False, axis="x")

"""Measures side by side: by depth, a line per checkpoint; over training, a line per layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.depth import (
    layer_names,
    lines_per_checkpoint,
    step_colours,
    steps_to_draw,
    steps_with_values,
    values_at,
)
from infoplane.plots.drawing import Drawing, Options, drawing, figure
from infoplane.plots.labels import short_names, subject
from infoplane.plots.view import View
from infoplane.results.curves import Curves, mean_over_runs

if TYPE_CHECKING:
    from typing_extensions import Unpack

REPRESENTATION = (
    "effective_rank", "alpha_req", "intrinsic_dimension", "label_alignment", "probe",
)  # fmt: skip
"""How many directions, how fast they fall off, how many around a sample; and what of the labels."""

COLLAPSE = ("nc1", "cdnv", "nc2_equinorm", "nc2_equiangle", "nc3", "nc4")
"""What falls to 0 as classes collapse."""

WEIGHTS = ("condition_number", "weight_stable_rank", "weight_alpha", "weight_distance")
"""How a weight stretches, how many directions it uses, how heavy its tail is, how far it moved."""

_OF_DECADES = {"condition_number"}
"""Measures that are drawn on a logarithmic axis, beside ranks."""

_NAMED = 6
"""Layers; of more, the first, the last and some between are in the legend."""

_PANEL = 1.3  # inches that a panel is high

_NULL = (0, (1, 1.5))


@figure(Options)
def representation(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw the main measures of a representation, each by depth and over training.

    Dotted is the null of the last checkpoint: what independent units, or shuffled labels, read.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If there is none of `REPRESENTATION`.
    """
    return _overview(results, "Representation", REPRESENTATION, "-e representation", options)


@figure(Options)
def collapse(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw neural collapse, by depth and over training; 0 is a layer whose classes are points.

    Dotted is the null of the last checkpoint: what shuffled labels read. NC3 and NC4 need the
    weights of the classifier.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If there is none of `COLLAPSE`.
    """
    return _overview(results, "Neural collapse", COLLAPSE, "-e collapse", options, log=True)


@figure(Options)
def weights(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw the main measures of recorded weights, each by depth and over training.

    Dotted is the null: what independent normal numbers in the shape of the weight read.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If there is none of `WEIGHTS`.
    """
    return _overview(results, "Weights", WEIGHTS, "-e weights, of a run with --weights", options)


def _overview(
    results: Mapping[str, Any] | View,
    title: str,
    wanted: Sequence[str],
    how: str,
    options: Options,
    *,
    log: bool = False,
) -> Axes:
    """Draw a column per measure: above by depth, below over training."""
    with drawing(results, **options) as on:
        shown = {name: found for name in wanted if (found := _curves(on, name))}
        if not shown:
            symbols = ", ".join(on.view.quantity(name).symbol for name in wanted)
            raise NotFoundError(
                f"this figure needs one of {symbols}; {on.group!r} has none",
                hint=f"analyze with {how}",
            )
        most = max(1, on.abreast(1.3))
        names = list(shown)[:most]
        drawn = [c for name in names for c in shown[name]]
        at = {c.layer: c.layer_index for c in drawn}
        layers = sorted(at, key=at.__getitem__)
        steps = steps_to_draw(drawn)
        legends = [[*_steps(steps), *_null(shown, names)], _layers(layers)]
        room = 0.75 * on.width / len(names)
        written = layer_names(layers, room)
        area, grid = _panels(on, len(names), legends, written)
        small = look.font_size("xtick.labelsize")
        letters = look.letters(0.9 * room, small, bold=True)
        for (upper, lower), name in zip(grid.T, names, strict=True):
            head = on.view.quantity(name)
            scaled = log or head.unit == "dimensions" or name in _OF_DECADES
            _by_depth(upper, shown[name], layers, written, log=scaled)
            _over_training(lower, on, shown[name], layers, log=scaled)
            symbol = textwrap.fill(head.symbol, max(letters, 6))
            upper.set_title(symbol, loc="left", fontsize=small, linespacing=1.1)
            lower.set_xlabel(clock.time_name(), labelpad=1, fontsize=small)
            for ax in (upper, lower):
                ax.set_ylabel(head.unit, labelpad=1, fontsize=small)
        left = [on.view.quantity(name).symbol for name in list(shown)[most:]]
        named = len(legends[1])
        notes = [
            f"Above: {subject(layers)}s in the order of "
            f"{'the model' if subject(layers) == 'weight' else 'the forward pass'}, "
            f"{lines_per_checkpoint(steps, steps_with_values(drawn))}.",
            f"Below: training, a line per {subject(layers)}.",
            *(
                [f"The legend names {named} of {len(layers)} {subject(layers)}s."]
                if named < len(layers)
                else []
            ),
            *([f"Not shown for want of room: {', '.join(left)}."] if left else []),
        ]
        on.finish(area, title, notes)
        first: Axes = grid[0, 0]
        return first


def _panels(
    on: Drawing,
    n: int,
    legends: Sequence[Sequence[Artist]],
    written: tuple[list[str], int, bool],
) -> tuple[Figure | SubFigure, Any]:
    """Return a place with two rows of ``n`` panels (2, n), the legend of each row below it."""
    width = on.width - 0.6
    size = look.font_size("legend.fontsize") / 72
    columns = [look.legend_columns(handles, width, len(handles)) for handles in legends]
    lines = [math.ceil(len(one) / n) for one, n in zip(legends, columns, strict=True)]
    columns = [math.ceil(len(one) / n) for one, n in zip(legends, lines, strict=True)]
    strips = [0.08 + 1.5 * size * count for count in lines]
    names, _, flat = written
    upright = 0.0 if flat else 0.6 * size * max(map(len, names))
    area = on.area(1.6 + 2 * _PANEL + sum(strips) + upright)
    spec = area.add_gridspec(4, n, height_ratios=[_PANEL, strips[0], _PANEL, strips[1]])
    panels = [[area.add_subplot(spec[2 * row, i]) for i in range(n)] for row in range(2)]
    for row, (handles, many) in enumerate(zip(legends, columns, strict=True)):
        strip = area.add_subplot(spec[2 * row + 1, :])
        strip.axis("off")
        strip.legend(
            handles=list(handles), loc="upper left", bbox_to_anchor=(0, 1), ncols=many,
            borderaxespad=0, borderpad=0, columnspacing=1.6, labelspacing=0.35,
        ).set_in_layout(False)  # fmt: skip
    return area, np.array(panels)


def _curves(on: Drawing, quantity: str) -> list[Curves]:
    """Return the curves of a quantity by the estimator that says most of it."""
    if not on.view.estimators(quantity, group=on.group):
        return []
    by = replace(on, estimator=on.view.choice(on.group, quantity).estimator, quantity=quantity)
    return [curve for layer in by.layers(quantity) if (curve := by.curve(layer)) is not None]


def _by_depth(
    ax: Axes,
    found: Sequence[Curves],
    layers: Sequence[str],
    written: tuple[list[str], int, bool],
    *,
    log: bool,
) -> None:
    steps = steps_to_draw(found)
    x = [layers.index(curve.layer) for curve in found]
    mark = "." if len(x) <= 24 else ""
    for i, step in enumerate(steps.tolist()):
        last = i == len(steps) - 1
        ax.plot(
            x, _shown(values_at(found, step, "mean"), log=log), marker=mark, markersize=4,
            color=step_colours(steps)[i], linewidth=1.8 if last else 1.0, zorder=3 + 0.1 * i,
            label=f"_step {step}",
        )  # fmt: skip
    nulls = np.array([_last(mean_over_runs(curve.null)) for curve in found])
    ax.plot(x, _shown(nulls, log=log), color=look.muted(), linestyle=_NULL, zorder=2.5,
            label="_null")  # fmt: skip
    ax.set_xlim(-0.4, len(layers) - 0.6)
    names, stride, flat = written
    ax.set_xticks(range(0, len(layers), stride), names[::stride], rotation=0 if flat else 90)
    for label in ax.get_xticklabels():
        label.set_parse_math(False)
    ax.grid(visible=False, axis="x")
    _scale(ax, log=log)


def _over_training(
    ax: Axes, on: Drawing, found: Sequence[Curves], layers: Sequence[str], *, log: bool
) -> None:
    colours = layer_colours(len(layers))
    for curve in found:
        mean, at = _shown(curve.mean(), log=log), layers.index(curve.layer)
        mark = "." if np.isfinite(mean).sum() == 1 else ""
        ax.plot(
            curve.time, mean, marker=mark, color=colours[at], linewidth=1.2,
            zorder=3 + at / len(layers), label=f"_layer {curve.layer}",
        )  # fmt: skip
        if len(layers) <= _NAMED and (spread := curve.interval()) is not None:
            low, high = (_shown(side, log=log) for side in spread)
            ax.fill_between(curve.time, low, high, color=colours[at], alpha=0.15, linewidth=0)
    every = on.view.time(on.group)
    ax.set_xlim(*look.time_limits(every))
    clock.step_axis(ax.xaxis, every, n_ticks=4)
    _scale(ax, log=log)


def _shown(values: FloatArray, *, log: bool) -> FloatArray:
    """Return what can be drawn: on log axes only what is above 0."""
    return np.where(values > 0, values, np.nan) if log else values


def _last(values: FloatArray) -> float:
    there = look.finite(values)
    return float(there[-1]) if len(there) else np.nan


def _scale(ax: Axes, *, log: bool) -> None:
    if log:
        ax.set_yscale("log")
        log_numbers(ax.yaxis)
    else:
        look.few_ticks(ax.yaxis, 4)
        low, high = ax.get_ylim()
        if 0 < low < 0.5 * high:
            ax.set_ylim(0.0, high)


def layer_colours(n: int) -> FloatArray:
    """Return a colour per layer (n, 4), from the input to the output; unlike those of steps."""
    ends = (0.05, 0.8) if look.on_white() else (0.25, 0.95)
    colours: FloatArray = mpl.colormaps["plasma"](np.linspace(*ends, max(n, 1)))
    return colours


def _steps(steps: Any) -> list[Artist]:
    return [
        Line2D([], [], color=colour, linewidth=1.6, label=f"step {step:,}")
        for step, colour in zip(steps.tolist(), step_colours(steps), strict=True)
    ]


def _layers(layers: Sequence[str]) -> list[Artist]:
    """Return the legend of layers: all, or of many the first, the last and some between."""
    at = np.unique(
        np.linspace(0, len(layers) - 1, _NAMED if len(layers) > 2 * _NAMED else len(layers))
        .round()
        .astype(int)
    )
    names, colours = list(short_names(layers, 24).values()), layer_colours(len(layers))
    return [Line2D([], [], color=colours[i], linewidth=1.6, label=names[i]) for i in at]


def _null(shown: Mapping[str, Sequence[Curves]], names: Sequence[str]) -> list[Artist]:
    there = any(np.isfinite(c.null).any() for name in names for c in shown[name])
    line = Line2D([], [], color=look.muted(), linestyle=_NULL, label="null, last checkpoint")
    return [line] if there else []

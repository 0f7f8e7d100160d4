"""What a network predicts, over training: information, calibration, change from step to step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import Drawing, Options, drawing, figure
from infoplane.plots.view import View
from infoplane.results.curves import Curves, mean_over_runs

if TYPE_CHECKING:
    from typing_extensions import Unpack

_PANELS = (
    ("Information", ("ity_bound", "ixy", "ixy_given_y", "output_entropy")),
    ("Calibration", ("ece_debiased", "ece")),
    ("Change", ("output_divergence",)),
)
"""What stands in one panel, on one axis."""

_DASHES = ("-", "--", ":", "-.")
"""Of the splits of a run, in the order of their rows."""

_LEAST, _PANEL = 1.6, 1.7
"""Inches of a panel: across, below which one stands below the other, and then up."""

_NULL = (0, (1, 1.5))


@figure(Options)
def output(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw what the outputs say over training, of all splits of a group.

    Left the information of a drawn prediction and the lower bound of I(T;Y), then the calibration
    error and what chance makes of it (dotted), then the divergence from the step before.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If there are no quantities of outputs.
    """
    with drawing(results, **options) as on:
        splits = _splits(on.view, on.group)
        shown = {
            title: found
            for title, names in _PANELS
            if (found := [c for name in names for c in _curves(on, splits, name)])
        }
        if not shown:
            raise NotFoundError(
                f"this figure needs measures of outputs; {on.group!r} has none",
                hint="analyze with -e output",
            )
        beside = on.abreast(_LEAST) >= len(shown)
        rows, columns = (1, len(shown)) if beside else (len(shown), 1)
        widths = [1.5 if title == _PANELS[0][0] else 1.0 for title in shown]
        area = on.area(3.4 if beside else 1.0 + _PANEL * rows)
        grid = area.subplots(rows, columns, squeeze=False, width_ratios=widths[:columns])
        axes = grid.ravel()
        for ax, (title, found) in zip(axes, shown.items(), strict=True):
            _panel(ax, on, title, found, splits)
        tell = _split_handles(splits) + _null_handles(shown)
        layers = list(dict.fromkeys(c.layer for found in shown.values() for c in found))
        notes = [
            f"Layer {look.drawable(', '.join(layers))}. Across: {clock.time_name()}.",
            *(["All splits are drawn."] if splits.keys() - {on.group} else []),
        ]
        on.finish(area, "Outputs", notes, tell if len(tell) else ())
        first: Axes = axes[0]
        return first


def _splits(view: View, group: str) -> dict[str, str]:
    """Return the groups that are splits of the same runs, with the name of the split of each."""
    base = re.fullmatch(r"(.*)\[[^\]]*\]", group)
    if base is None:
        return {group: ""}
    start = f"{base[1]}["
    return {one: one[len(start) : -1] for one in view.groups if one.startswith(start)}


def _curves(on: Drawing, splits: Mapping[str, str], quantity: str) -> list[Curves]:
    """Return the curves of a quantity, of all splits."""
    found = []
    for group in splits:
        if not on.view.estimators(quantity, group=group):
            continue
        estimator = on.view.choice(group, quantity).estimator
        found += [
            curve
            for curve in on.view.of_group(group, estimator)
            if curve.quantity == quantity and curve.says_something
            if on.wants(curve.layer)
        ]
    return found


def _panel(
    ax: Axes, on: Drawing, title: str, found: Sequence[Curves], splits: Mapping[str, str]
) -> None:
    order = list(splits)
    for curve in found:
        about, mean = on.view.quantity(curve.quantity), curve.mean()
        colour = look.muted() if curve.quantity == "ece" else about.colour
        dashes = _DASHES[order.index(curve.group) % len(_DASHES)]
        mark = "." if np.isfinite(mean).sum() == 1 else ""
        ax.plot(
            curve.time, mean, color=colour, linestyle=dashes, marker=mark, linewidth=1.4,
            label=f"_{curve.group} {curve.quantity}",
        )  # fmt: skip
        if curve.quantity != "ece" and (spread := curve.interval()) is not None:
            ax.fill_between(curve.time, *spread, color=colour, alpha=0.15, linewidth=0)
        if curve.quantity == "ece":
            ax.plot(
                curve.time, mean_over_runs(curve.null), color=look.muted(), linestyle=_NULL,
                linewidth=1.0, label="_null",
            )  # fmt: skip
    small = look.font_size("xtick.labelsize")
    units = dict.fromkeys(on.view.quantity(curve.quantity).unit for curve in found)
    ax.set_title(title, loc="left", fontsize=small)
    ax.set_ylabel(", ".join(units), labelpad=1, fontsize=small)
    every = on.view.time(on.group)
    ax.set_xlim(*look.time_limits(every))
    clock.step_axis(ax.xaxis, every, n_ticks=4)
    look.few_ticks(ax.yaxis, 5)
    ax.legend(
        handles=_legend(on, found), loc="best", fontsize=small, frameon=False, handlelength=1.2,
    )  # fmt: skip


def _legend(on: Drawing, found: Sequence[Curves]) -> list[Artist]:
    names = dict.fromkeys(curve.quantity for curve in found)
    return [
        Line2D(
            [], [], linewidth=1.6, label=on.view.quantity(name).symbol,
            color=look.muted() if name == "ece" else on.view.quantity(name).colour,
        )
        for name in names
    ]  # fmt: skip


def _split_handles(splits: Mapping[str, str]) -> list[Artist]:
    if len(splits) < 2:
        return []
    return [
        Line2D([], [], color=look.ink(), linestyle=_DASHES[i % len(_DASHES)], label=name)
        for i, name in enumerate(splits.values())
    ]


def _null_handles(shown: Mapping[str, Sequence[Curves]]) -> list[Artist]:
    there = any(np.isfinite(c.null).any() for c in shown.get("Calibration", ()))
    told = "ECE of the same confidences, if they were right"
    return [Line2D([], [], color=look.muted(), linestyle=_NULL, label=told)] if there else []

"""Gradient phases: mean and spread of the gradient over training, a column per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.view import View, broken, evenly, middle_cut, short_names

MAX_COLUMNS = 8
_MEAN, _SPREAD = "#0072B2", "#D55E00"


def gradients(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    group: str | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw mean and spread of the gradient, over the norm of the weights, by training step.

    Each run is a thin line, the geometric mean of the runs a thick one. A tick marks where the
    signal-to-noise ratio drops, in each run.

    Parameters
    ----------
    results : mapping or View
        A results document of runs that were recorded with gradients.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default.
    group : str, optional
        Group of runs; the first by default.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        The first panel; all of them are ``.figure.axes``.

    Raises
    ------
    NotFoundError
        If no run of the group was recorded with gradients.
    """
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        found = [r["gradients"] for r in view.recordings(group) if r.get("gradients")]
        if not found:
            raise NotFoundError(
                f"this figure needs gradient statistics; {group!r} was recorded without",
                hint="record with --gradients",
            )
        every = list(dict.fromkeys(layer for one in found for layer in one))
        names = evenly(every, min(MAX_COLUMNS, max(2, page.abreast(size, ax, 0.85))))
        figure = page.area(ax, size, 3.1)
        grid = figure.subplots(1, len(names), squeeze=False)
        axes = grid[0]
        steps = np.unique(np.concatenate([one[name]["steps"] for one in found for name in one]))
        time = look.padded(np.log10(steps[0] + 1.0), np.log10(steps[-1] + 1.0))
        small = look.font_size("xtick.labelsize")
        letters = look.letters(page.width(figure) * 0.8 / len(names), small, bold=True)
        for panel, (layer, name) in zip(axes, short_names(names).items(), strict=True):
            _draw(panel, [one[layer] for one in found if layer in one])
            panel.set_title(broken(name, letters), loc="left", fontsize=small, linespacing=1.15)
            look.step_axis(
                panel.xaxis,
                steps,
                n_ticks=max(2, min(4, page.abreast(size, figure, 0.3) // len(names))),
            )
        for panel in axes:
            panel.set_yscale("log")
        limits = [panel.get_ylim() for panel in axes]
        limit(axes, time, (min(low for low, _ in limits), max(high for _, high in limits)))
        _ratios(axes[0])
        outer_ticks(grid)
        axes[0].set_ylabel("gradient / |W|  [ratio]")
        handles = [
            Line2D([], [], color=_MEAN, linewidth=2, label="norm of the mean"),
            Line2D([], [], color=_SPREAD, linewidth=2, linestyle="--", label="spread over batches"),
            Line2D([], [], color=look.ink(), linestyle="none", marker="|", markersize=9,
                   label="drop of their ratio, per run"),
        ]  # fmt: skip
        notes = ["Both axes: log scale; across: training step."]
        if len(names) < len(every):
            notes.append(f"{len(names)} of {len(every)} layers shown.")
        notes.append("Such a drop is seen in networks that do not compress as well: no cause.")
        figure_titled(
            figure, f"Gradient phases — {middle_cut(look.drawable(group), 48)}",
            view.subtitle(group), notes, handles,
        )  # fmt: skip
        first: Axes = axes[0]
        return first


def _ratios(ax: Axes) -> None:
    """Label a log axis with numbers: its own formatter writes mathtext, which is switched off."""
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 30 * low else (1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def _draw(ax: Axes, runs: Sequence[Mapping[str, Any]]) -> None:
    """Draw one layer: its runs, their geometric mean, and where the ratio drops."""
    for key, colour, dashes in (("relative_mean", _MEAN, "-"), ("relative_spread", _SPREAD, "--")):
        collected: dict[int, list[float]] = {}
        for run in runs:
            pairs = [
                (step, value)
                for step, value in zip(run["steps"], run[key], strict=True)
                if value is not None and value > 0
            ]
            for step, value in pairs:
                collected.setdefault(step, []).append(value)
            if len(runs) > 1 and pairs:
                time = np.log10(np.array([step for step, _ in pairs]) + 1.0)
                values = [value for _, value in pairs]
                ax.plot(time, values, color=colour, alpha=0.35, linewidth=0.6, linestyle=dashes)
        at = sorted(collected)
        means = [float(np.exp(np.mean(np.log(collected[step])))) for step in at]
        ax.plot(np.log10(np.array(at) + 1.0), means, color=colour, linewidth=1.8, linestyle=dashes)
    drops = [run["transition"]["epoch"] for run in runs if run["transition"]]
    ax.plot(
        np.log10(np.array(drops) + 1.0), [0.06] * len(drops), linestyle="none", marker="|",
        markersize=9, color=look.ink(), transform=ax.get_xaxis_transform(),
    )  # fmt: skip

"""Gradient phases: mean and spread of the gradient over training, a column per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.drawing import Options, drawing, figure, left_out
from infoplane.plots.labels import most_lines, panel_names
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_COLUMNS = 8
_MEAN, _SPREAD = "#0072B2", "#D55E00"


@figure(Options)
def gradients(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw mean and spread of the gradient, over the norm of the weights, by training step.

    Each run is a thin line, the geometric mean of the runs a thick one. A tick marks where the
    signal-to-noise ratio drops, in each run.

    Parameters
    ----------
    results : mapping or View
        A results document of runs that were recorded with gradients.

    Raises
    ------
    NotFoundError
        If no run of the group was recorded with gradients.
    """
    with drawing(results, **options) as on:
        found = [r["gradients"] for r in on.view.recordings(on.group) if r.get("gradients")]
        if not found:
            raise NotFoundError(
                f"this figure needs gradient statistics; {on.group!r} was recorded without",
                hint="record with --gradients",
            )
        every = list(dict.fromkeys(layer for one in found for layer in one))
        names = on.few(every, min(MAX_COLUMNS, max(2, on.abreast(0.85))))
        if not names:
            raise NotFoundError(
                f"no gradients of these layers; {on.group!r} has those of {', '.join(every)}"
            )
        small = look.font_size("xtick.labelsize")
        heads = panel_names(names, look.fits(panel_room(on.width, len(names)), small, bold=True))
        area = on.area(3.1 + 0.13 * most_lines(heads.values()))
        grid = area.subplots(1, len(names), squeeze=False)
        axes = grid[0]
        steps = np.unique(np.concatenate([one[name]["steps"] for one in found for name in one]))
        n_ticks = max(2, min(4, page.abreast(on.size, area, 0.3) // len(names)))
        for panel, (layer, name) in zip(axes, heads.items(), strict=True):
            _draw(panel, [one[layer] for one in found if layer in one])
            panel.set_title(name, loc="left", fontsize=small, linespacing=1.15)
            clock.step_axis(panel.xaxis, steps, n_ticks=n_ticks)
            panel.set_yscale("log")
        limits = [panel.get_ylim() for panel in axes]
        span = min(low for low, _ in limits), max(high for _, high in limits)
        limit(axes, look.time_limits(steps), span)
        log_numbers(axes[0].yaxis)
        outer_ticks(grid)
        axes[0].set_ylabel("gradient / |W|  [ratio]")
        notes = [
            f"Both axes: log scale; across: {clock.time_name()}.",
            *left_out(names, every),
            "Such a drop is seen in networks that do not compress as well: no cause.",
        ]
        on.finish(area, "Gradient phases", notes, _handles())
        first: Axes = axes[0]
        return first


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=_MEAN, linewidth=2, label="norm of the mean"),
        Line2D([], [], color=_SPREAD, linewidth=2, linestyle="--", label="spread over batches"),
        Line2D([], [], color=look.ink(), linestyle="none", marker="|", markersize=9,
               label="drop of their ratio, per run"),
    ]  # fmt: skip


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

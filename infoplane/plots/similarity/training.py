"""Layers over training: to their first and last state, and every step against every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.labels import most_lines, panel_names
from infoplane.plots.similarity.common import Chosen, chosen, colour_bar, colours, edges, scale
from infoplane.plots.view import View
from infoplane.results.similarities import Band, Row, matrix, mean_and_interval

_PANELS = 12
_TO_LAST, _TO_FIRST = "#0072B2", "#D55E00"


def similarity_training(
    results: Mapping[str, Any] | View, *, ax: Axes | None = None, measure: str | None = None,
    group: str | None = None, layers: Sequence[str] | None = None, style: str = "paper",
    size: str | float = "double",
) -> Axes:  # fmt: skip
    """Draw the similarity of each checkpoint to the first and to the last one, by layer.

    A band shows what the same layer reads in other seeds at the last step, a line what permuted
    samples read. The step at which a layer settles is marked, where it does before the last one.

    Parameters
    ----------
    results : mapping or View
        A results document with similarities.
    ax, measure, group, style, size
        As of `infoplane.plots.similarity.layers.similarity`.
    layers : sequence of str, optional
        Layers to draw; by default all, or twelve evenly taken.

    Returns
    -------
    Axes
        The first panel.

    Raises
    ------
    NotFoundError
        If the results hold no similarities of steps, or a name is not there.
    """
    with chosen(results, measure, group, style) as on:
        rows = on.of("steps")
        names = on.layers(layers, _PANELS)
        area, grid, panels = _grid(ax, size, names, 1.55, 0.6)
        steps = sorted({row[key] for row in rows for key in ("step_a", "step_b")})
        ceilings = on.all.ceilings(on.measure["id"], on.group)
        settled = {s["layer"]: s for s in on.all.settling
                   if (s["group"], s["measure"]) == (on.group, on.measure["id"])}  # fmt: skip
        at = {name: settled[name]["step"] for name in names if name in settled}
        highest = 1.02
        for panel, name in zip(panels, names, strict=True):
            of_layer = [row for row in rows if row["layer_a"] == name]
            band = Band.of(ceilings.get((name, steps[-1]), []))
            _curves(panel, of_layer, steps, on)
            _references(panel, of_layer, band, on)
            if (step := at.get(name)) is not None:
                panel.axvline(np.log10(step + 1), color=look.ink(), linewidth=0.9, zorder=1.5)
            if on.identical == 0:
                highest = max([highest, *(row["null"] + 0.05 for row in of_layer)])
        low = min(0.0, *(row["value"] for row in rows)) - 0.03
        limit(panels, look.time_limits(steps), (low, highest))
        for panel in panels:
            clock.step_axis(panel.xaxis, steps, n_ticks=4)
            look.few_ticks(panel.yaxis, 4)
        outer_ticks(grid)
        area.supylabel(on.label, fontsize=look.font_size("axes.labelsize"))
        marks: list[Any] = [
            Line2D([], [], color=_TO_LAST, marker="o", markersize=3, label="to the last step"),
            Line2D([], [], color=_TO_FIRST, marker="s", markersize=3, label="to the first step"),
        ]
        if ceilings:
            marks.append(Patch(color=look.SATURATED, alpha=0.25, lw=0, label="other seeds"))
        if any(step is not None for step in at.values()):
            marks.append(Line2D([], [], color=look.ink(), linewidth=0.9, label="settles"))
        marks.append(Line2D([], [], color=look.muted(), linestyle=":", label="chance"))
        hidden = len(on.all.layers(on.runs)) - len(names)
        notes = ["Training step, log scale."]
        notes += [f"{hidden} more layers are not drawn; --layers chooses."] if hidden else []
        if ceilings and None in at.values():
            notes.append("Without a line: not settled before the last step.")
        title = f"When layers settle: {on.measure['name']} to first and last step"
        figure_titled(area, title, on.subtitle(), notes, marks)
        return panels[0]


def similarity_steps(
    results: Mapping[str, Any] | View, *, ax: Axes | None = None, measure: str | None = None,
    group: str | None = None, layers: Sequence[str] | None = None, style: str = "paper",
    size: str | float = "double",
) -> Axes:  # fmt: skip
    """Draw how alike every two checkpoints are, a matrix for each layer, the mean over runs.

    Parameters
    ----------
    results : mapping or View
        A results document with similarities.
    ax, measure, group, style, size
        As of `infoplane.plots.similarity.layers.similarity`.
    layers : sequence of str, optional
        Layers to draw; by default all, or twelve evenly taken.

    Returns
    -------
    Axes
        The first panel.

    Raises
    ------
    NotFoundError
        If the results hold no similarities of steps, or a name is not there.
    """
    with chosen(results, measure, group, style) as on:
        rows = on.of("steps")
        names = on.layers(layers, _PANELS)
        steps = sorted({row[key] for row in rows for key in ("step_a", "step_b")})
        area, grid, panels = _grid(ax, size, names, 1.75, 1.5)
        by_layer = [
            matrix([r for r in rows if r["layer_a"] == name], steps, "step", on.identical)
            for name in names
        ]
        norm = scale(on, np.concatenate([values.ravel() for values in by_layer]), rows)
        at = edges(steps)
        for panel, values in zip(panels, by_layer, strict=True):
            panel.pcolormesh(at, at, np.ma.masked_invalid(values), norm=norm, cmap=colours(on),
                             rasterized=True)  # fmt: skip
            panel.grid(visible=False)
            panel.set_aspect("equal")
            clock.step_axis(panel.xaxis, steps, n_ticks=4)
            clock.step_axis(panel.yaxis, steps, n_ticks=4)
        limit(panels, (at[0], at[-1]), (at[-1], at[0]))
        for row in grid:
            for panel in row[1:]:
                panel.tick_params(labelleft=False)
        ceilings = [v for (layer, step), values in
                    on.all.ceilings(on.measure["id"], on.group).items()
                    if layer in names and step == steps[-1] for v in values]  # fmt: skip
        engine = area.get_layout_engine() if ax is None else None
        if engine is not None:  # matrices of equal sides push the scale to the edge
            engine.set(rect=(0, 0, 0.98, 1))
        colour_bar(area, list(grid.ravel()), on, norm, on.null(rows), Band.of(ceilings))
        hidden = len(on.all.layers(on.runs)) - len(names)
        notes = ["Training steps, log scale, from the top left."]
        notes += [f"{hidden} more layers are not drawn; --layers chooses."] if hidden else []
        title = f"How alike the steps of training are: {on.measure['name']}"
        figure_titled(area, title, on.subtitle(), notes)
        return panels[0]


def _grid(
    ax: Axes | None, size: str | float, names: Sequence[str], tall: float, beside: float
) -> tuple[Any, Any, list[Axes]]:
    """Return the place to draw in, all panels (n_rows, n_columns), and a titled one per layer.

    ``tall`` and ``beside`` are in inches: a row, and what stands at the sides of all panels.
    """
    columns = min(len(names), page.abreast(size, ax, 1.65), 4)
    lines = -(-len(names) // columns)
    width = page.inches(size) if ax is None else page.width(ax)
    small = look.font_size("xtick.labelsize")
    room = look.fits(panel_room(width, columns, beside), small, bold=True)
    heads = panel_names(names, room)
    area = page.area(ax, size, (tall + 0.13 * most_lines(heads.values())) * lines + 1.1)
    grid = np.array(area.subplots(lines, columns, squeeze=False))
    for spare in grid.ravel()[len(names) :]:
        spare.set_visible(False)
    for panel, name in zip(grid.ravel(), heads.values(), strict=False):
        panel.set_title(name, loc="left", fontsize=small, linespacing=1.15)
    return area, grid, list(grid.ravel()[: len(names)])


def _curves(ax: Axes, rows: Sequence[Row], steps: Sequence[int], on: Chosen) -> None:
    """Draw the mean over runs to the last and to the first step, with its interval."""
    for fixed, moving, end, colour, marker in (
        ("step_a", "step_b", steps[0], _TO_FIRST, "s"),
        ("step_b", "step_a", steps[-1], _TO_LAST, "o"),
    ):
        found = {
            step: mean_and_interval(of_step)
            for step in steps
            if (of_step := [r for r in rows if r[fixed] == end and r[moving] == step])
        }
        found[end] = (on.identical, None, None)
        at = sorted(found)
        times = np.log10(np.array(at, dtype=float) + 1)
        values = np.array([found[step][0] for step in at])
        low = [found[s][0] if found[s][1] is None else found[s][1] for s in at]
        high = [found[s][0] if found[s][2] is None else found[s][2] for s in at]
        ax.fill_between(times, np.array(low, float), np.array(high, float), color=colour,
                        alpha=0.18, linewidth=0)  # fmt: skip
        ax.plot(times, values, color=colour, marker=marker, markersize=2.6)


def _references(ax: Axes, rows: Sequence[Row], band: Band | None, on: Chosen) -> None:
    """Draw what chance and other seeds read."""
    null = on.null(rows)
    if null is not None:
        ax.axhspan(null.low, null.high, color=look.muted(), alpha=0.15, linewidth=0, zorder=0.8)
        ax.axhline(null.mean, color=look.muted(), linestyle=":", linewidth=0.9, zorder=0.9)
    if band is not None:
        low, high = band.low - 0.004, band.high + 0.004  # one pair of seeds has a line, too
        ax.axhspan(low, high, color=look.SATURATED, alpha=0.25, linewidth=0, zorder=0.7)

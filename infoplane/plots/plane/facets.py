"""The information plane in small multiples: by layer, by estimator or by group of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.data import FloatArray
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.drawing import OTHERS, Drawing, as_note, left_out
from infoplane.plots.labels import fitted, middle_cut, panel_names
from infoplane.plots.plane.panel import (
    axis_names,
    draw_bounds,
    draw_path,
    draw_plane,
    has_bar,
    name_axes,
    plane_legend,
    plane_title,
    time_bar,
)
from infoplane.plots.plane.paths import find_paths, time_norm

FACETS = ("none", "layer", "estimator", "group", "overlay")
"""What small multiples differ in; "overlay" are the groups in one panel."""

_TALLEST = 10.0  # inches of panels, one below the other
MAX_PANELS = 24
_LONG = 20  # letters beside a small panel
_MARGIN = 0.08
"""Share of the range beside it: half a mark in a small panel."""


def planes_beside(
    on: Drawing, facet: str, *, seeds: str, bounds: bool, zoom: bool, legend: bool
) -> Axes:
    """Draw the plane of each estimator, or of each group of runs; return the first.

    The parameters are those of `infoplane.plots.plane.figure.plane`.
    """
    view, needs = on.view, on.plane[:1] if on.upwards else on.plane
    if facet == "estimator":
        silent = view.silent(on.group)
        having = view.estimators(*needs, group=on.group)
        able = [e for e in having if e not in silent] or having
        told = [] if able == having else [silent[e] for e in having if e in silent]
        panels = [replace(on, estimator=e) for e in able]
        heads = [view.estimator_title(e) for e in able]
        title = f"{plane_title(on)} by estimator — {middle_cut(look.drawable(on.group), 48)}"
        subtitle = view.subtitle(on.group)
    else:
        panels, differ = groups_of_planes(on)
        told, heads = list[str](), [part.group for part in panels]
        title = f"{plane_title(on)} by group of runs"
        subtitle = " · ".join(filter(None, [view.estimator_title(panels[0].estimator), differ]))
    paths = [find_paths(part) for part in panels]
    every = [p for some in paths for p in some]
    norm = time_norm(every)
    abreast = min(len(panels), on.abreast(2.8))
    columns = abreast if facet == "group" or len(panels) > 3 else 1
    rows = -(-len(panels) // columns)
    area = on.area(1.1 + 3.1 * rows)
    grid = area.subplots(rows, columns, sharey=True, squeeze=False)
    write = []
    axes = used(grid, len(panels))
    bold_size = look.font_size("axes.titlesize")
    wide = look.fits(panel_room(on.width, columns, 1.5), bold_size, bold=True)
    for panel, part, some, head in zip(axes, panels, paths, heads, strict=True):
        write.append(draw_plane(panel, part, some, norm, seeds=seeds, bounds=bounds, zoom=zoom))
        panel.set_title(fitted(look.drawable(head), wide), loc="left")
    share_limits(axes)
    outer_labels(grid, on)
    if has_bar(every):
        time_bar(axes, norm, every)
    band = bounds and any(part.ceiling is not None for part in panels)
    handles = plane_legend(every, seeds, band=band) if legend else []
    notes = [f"{look.drawable(text)}." for text in told]
    for part, head in zip(panels, heads, strict=True):
        notes += as_note(f"{head}: {part.about_labels}" if part.about_labels else "")
    figure_titled(area, title, subtitle, notes, handles)
    for label in write:
        page.once_laid_out(axes[0], label)
    return axes[0]


def groups_of_planes(on: Drawing) -> tuple[list[Drawing], str]:
    """Return the drawing of each group of runs, by one estimator if all have it; what differs."""
    view, needs = on.view, on.plane[:1] if on.upwards else on.plane
    wanted = on.estimator or None
    if wanted is None:
        first = view.estimator(None, *needs, group=view.groups[0])
        shared = all(first in view.estimators(*needs, group=g) for g in view.groups)
        wanted = first if shared else None
    by = {g: view.estimator(wanted, *needs, group=g) for g in view.groups}
    panels = [replace(on, group=g, estimator=e) for g, e in by.items()]
    differ = view.groups_differ(by, on.plane[0])
    return panels, differ


def plane_by_layer(on: Drawing, *, seeds: str, bounds: bool, legend: bool) -> Axes:
    """Draw the plane once per layer, the others in grey; return the first.

    The parameters are those of `infoplane.plots.plane.figure.plane`.
    """
    paths = find_paths(on)
    norm, many = time_norm(paths), len(on.few([p.layer for p in paths], MAX_PANELS))
    columns = min(many, 3 if many <= 6 else 4 if many <= 12 else 6, on.abreast(1.15))
    height = {1: 3.2, 2: 2.6, 3: 2.0, 4: 1.7, 5: 1.5, 6: 1.35}[columns]
    kept = on.few([p.layer for p in paths], min(MAX_PANELS, columns * int(_TALLEST / height)))
    shown = [p for p in paths if p.layer in kept]
    rows = -(-len(shown) // columns)
    small, bold = look.font_size("xtick.labelsize"), columns < 6
    wide = look.fits(panel_room(on.width, columns, 1.15), small, bold=bold)
    names = panel_names([p.layer for p in shown], wide)
    area = on.area(1.1 + height * rows)
    grid = area.subplots(rows, columns, squeeze=False)
    behind = np.concatenate([part for p in paths for part in (p.mean, [[np.nan, np.nan]])])
    axes = used(grid, len(shown))
    limit(axes, *_limits(on, np.concatenate([p.mean for p in paths]), bounds=bounds))
    room = 0.8 * 72 * page.width(area) / columns / small, 0.7 * 72 * height / small
    for panel, path in zip(axes, shown, strict=True):
        panel.plot(*behind.T, color=look.hair(), linewidth=0.7, zorder=1)
        if bounds:
            draw_bounds(panel, on, text=False)
        draw_path(panel, path, norm, seeds)
        panel.set_title(
            names[path.layer], loc="left", fontsize=small, pad=3,
            color=look.SATURATED if path.saturated else look.ink(), linespacing=1.1,
            fontweight="bold" if bold else "normal",
        )  # fmt: skip
        look.few_ticks(panel.xaxis, max(2, int(room[0] / 3)))
        look.few_ticks(panel.yaxis, max(2, int(room[1] / 2)))
    long = max(map(len, axis_names(on))) > _LONG and on.plane != ("ixt", "ity")
    if not long:  # else the note names them
        outer_labels(grid, on)
    outer_ticks(grid)
    if has_bar(shown):
        time_bar(axes, norm, shown)
    others = Line2D([], [], color=look.hair(), linewidth=2, label="all layers")
    band = bounds and on.ceiling is not None
    handles = [*plane_legend(shown, seeds, band=band, chains=False), others] if legend else []
    notes = [f"Across: {axis_names(on)[0]}; upwards: {axis_names(on)[1]}."] if long else []
    notes += [*as_note(on.about_labels), *left_out(shown, paths, OTHERS)]
    on.finish(area, f"{plane_title(on)} by layer", notes, handles)
    return axes[0]


def used(grid: Any, n: int) -> list[Axes]:
    """Return the first ``n`` axes of a grid and hide the others."""
    axes = list(grid.ravel())
    for ax in axes[n:]:
        ax.set_visible(False)
    return axes[:n]


def _limits(
    on: Drawing, values: FloatArray, *, bounds: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return limits of both axes that hold all values, and the bounds if they are drawn."""
    x, y = look.finite(values[:, 0]), look.finite(values[:, 1])
    low, high = look.padded(float(x.min()), float(x.max()), _MARGIN)
    bottom, top = look.padded(
        min(0.0 if on.plane[1] == "ity" else np.inf, float(y.min())), float(y.max()), _MARGIN
    )
    h_y, ceiling = on.label_entropy, on.ceiling
    if bounds and ceiling is not None:
        low, high = min(low, ceiling - 1), max(high, ceiling + _MARGIN * (ceiling - low))
    if bounds and h_y is not None:
        top = max(top, h_y * (1 + _MARGIN))
    return (low, high), (bottom, top)


def share_limits(axes: Sequence[Axes]) -> None:
    """Give all axes the limits that hold those of each."""
    x = np.array([ax.get_xlim() for ax in axes])
    y = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_xlim(x[:, 0].min(), x[:, 1].max())
        ax.set_ylim(y[:, 0].min(), y[:, 1].max())


def outer_labels(grid: Any, on: Drawing) -> None:
    """Name the axes at the left and at the lowest visible panel of each column."""
    for line in grid:
        if line[0].get_visible():
            name_axes(line[0], on, x=False)
    for column in grid.T:
        lowest = [ax for ax in column if ax.get_visible()][-1:]
        for ax in lowest:
            name_axes(ax, on, y=False)
            ax.tick_params(labelbottom=True)

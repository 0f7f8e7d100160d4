"""The information plane in small multiples: by layer, by estimator or by group of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.errors import InputError
from infoplane.plots import style as look
from infoplane.plots.paths import Path, find_paths, time_norm
from infoplane.plots.plane import draw_bounds, draw_path, draw_plane, plane, plane_legend, time_bar
from infoplane.plots.titles import figure_titled
from infoplane.plots.view import View, broken, evenly, middle_cut, short_names

MAX_LAYERS = 8
"""With more layers the plane is drawn by layer unless told otherwise."""

MAX_PANELS = 24


def plane_figure(
    results: Mapping[str, Any] | View, *, facet: str | None = None, **options: Any
) -> Figure:
    """Draw one information plane, or small multiples of it.

    Parameters
    ----------
    results : mapping or View
        A results document.
    facet : {"none", "layer", "estimator", "group"}, optional
        What the panels differ in; by default ``layer`` above 8 layers, else ``none``.
    **options : object
        Further arguments of `infoplane.plots.plane.plane` or `planes`.

    Raises
    ------
    InputError
        If ``facet`` is none of these.
    NotFoundError
        If no estimator has I(X;T) and I(T;Y), or a layer is not there.
    """
    view = View.of(results)
    if facet is None:
        layers = options.get("layers") or view.layers(view.group(options.get("group")))
        facet = "layer" if len(layers) > MAX_LAYERS else "none"
    if facet == "none":
        figure: Figure = plane(view, **options).figure.figure
        return figure
    return planes(view, facet=facet, **options)


def planes(
    results: Mapping[str, Any] | View,
    *,
    figure: Figure | None = None,
    facet: str = "layer",
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    seeds: str = "both",
    bounds: bool = True,
    zoom: bool = False,
    style: str = "paper",
    size: str | float = "double",
) -> Figure:
    """Draw information planes side by side, on the same axes.

    Parameters
    ----------
    facet : {"layer", "estimator", "group"}
        What the panels differ in. By layer, the other layers stay visible in grey; of more than
        24 layers, 24 are taken evenly unless they are named.
    results, estimator, group, layers, seeds, bounds, zoom, style, size
        As for `infoplane.plots.plane.plane`.
    figure : Figure, optional
        An empty figure to draw in; a new one by default.

    Raises
    ------
    InputError
        If ``facet`` is none of the three.
    NotFoundError
        If no estimator has I(X;T) and I(T;Y), or a layer is not there.
    """
    if facet not in ("layer", "estimator", "group"):
        raise InputError(f"expected a facet of layer, estimator, group, got {facet!r}")
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        if facet == "layer":
            chosen = view.estimator(estimator, "ixt", "ity", group=group)
            return _by_layer(view, group, chosen, layers, figure, seeds, bounds=bounds, size=size)
        if facet == "estimator":
            panels = [(group, e) for e in view.estimators("ixt", "ity", group=group)]
            heads = [view.estimator_title(e) for _, e in panels]
            title = f"Information plane by estimator — {middle_cut(look.drawable(group), 48)}"
            subtitle = view.subtitle(group)
        else:
            panels = [(g, view.estimator(estimator, "ixt", "ity", group=g)) for g in view.groups]
            heads = [g for g, _ in panels]
            title = "Information plane by group of runs"
            subtitle = view.estimator_title(panels[0][1])
        paths = [find_paths(view, g, e, layers) for g, e in panels]
        norm = time_norm([p for some in paths for p in some])
        columns = 1 if len(panels) <= 3 else min(2, look.abreast(size, figure, 2.8))
        rows = -(-len(panels) // columns)
        if figure is None:
            figure = look.canvas(size, 1.1 + 3.1 * rows)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        write = []
        axes = _used(grid, len(panels))
        for ax, (of, by), some, head in zip(axes, panels, paths, heads, strict=True):
            write.append(
                draw_plane(ax, view, of, by, some, norm, seeds=seeds, bounds=bounds, zoom=zoom)
            )
            ax.set_title(middle_cut(look.drawable(head), 44 if columns > 1 else 90), loc="left")
        _share_limits(axes)
        _outer_labels(grid)
        every = [p for some in paths for p in some]
        _finish(
            figure, axes, norm, every, title, subtitle, [], plane_legend(every, seeds, band=bounds)
        )
        for label in write:
            label()
        return figure


def _by_layer(
    view: View,
    group: str,
    estimator: str,
    layers: Sequence[str] | None,
    figure: Figure | None,
    seeds: str,
    *,
    bounds: bool,
    size: str | float,
) -> Figure:
    paths = find_paths(view, group, estimator, layers)
    kept = evenly([p.layer for p in paths], MAX_PANELS) if layers is None else list(layers)
    shown = [p for p in paths if p.layer in kept]
    norm = time_norm(paths)
    columns = 3 if len(shown) <= 6 else 4 if len(shown) <= 12 else 6
    columns = min(len(shown), columns, look.abreast(size, figure, 1.15))
    rows = -(-len(shown) // columns)
    height = {1: 3.2, 2: 2.6, 3: 2.0, 4: 1.7, 5: 1.5, 6: 1.35}[columns]
    if figure is None:
        figure = look.canvas(size, 1.1 + height * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = short_names([p.layer for p in shown])
    gap = np.full((1, 2), np.nan)
    behind = np.concatenate([part for p in paths for part in (p.mean, gap)])
    axes = _used(grid, len(shown))
    for ax, path in zip(axes, shown, strict=True):
        ax.plot(*behind.T, color=look.hair(), linewidth=0.7, zorder=1)
        if bounds:
            draw_bounds(ax, view, group, estimator, text=False)
        draw_path(ax, path, norm, seeds)
        small = look.font_size("xtick.labelsize")
        text = broken(names[path.layer], int(80 / columns))
        colour = look.SATURATED if path.saturated else look.ink()
        weight = "bold" if columns < 6 else "normal"
        ax.set_title(
            text, loc="left", fontsize=small, pad=3, color=colour, linespacing=1.1,
            fontweight=weight,
        )  # fmt: skip
    values = np.concatenate([p.mean for p in paths])
    _limit_all(axes, view, group, estimator, values, bounds=bounds)
    _outer_labels(grid)
    notes = []
    if len(shown) < len(paths):
        notes = [f"{len(shown)} of {len(paths)} layers shown; --layers chooses others."]
    title = f"Information plane by layer — {middle_cut(look.drawable(group), 48)}"
    others = Line2D([], [], color=look.hair(), linewidth=2, label="all layers")
    handles = [*plane_legend(shown, seeds, band=bounds, chains=False), others]
    _finish(figure, axes, norm, shown, title, view.subtitle(group, estimator), notes, handles)
    return figure


def _used(grid: Any, n: int) -> list[Axes]:
    """Return the first ``n`` axes of a grid and hide the others."""
    axes = list(grid.ravel())
    for ax in axes[n:]:
        ax.set_visible(False)
    return axes[:n]


def _limit_all(
    axes: Sequence[Axes], view: View, group: str, estimator: str, values: Any, *, bounds: bool
) -> None:
    x, y = look.finite(values[:, 0]), look.finite(values[:, 1])
    low, high = look.padded(float(x.min()), float(x.max()))
    bottom, top = look.padded(min(0.0, float(y.min())), float(y.max()))
    h_y, ceiling = view.label_entropy(group), view.ceiling(group, estimator)
    if bounds and ceiling is not None:
        low, high = min(low, ceiling - 1), max(high, ceiling + 0.05 * (ceiling - low))
    if bounds and h_y is not None:
        top = max(top, h_y * 1.08)
    axes[0].set_xlim(low, high)
    axes[0].set_ylim(bottom, top)


def _share_limits(axes: Sequence[Axes]) -> None:
    """Give all axes the limits that hold those of each."""
    x = np.array([ax.get_xlim() for ax in axes])
    y = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_xlim(x[:, 0].min(), x[:, 1].max())
        ax.set_ylim(y[:, 0].min(), y[:, 1].max())


def _outer_labels(grid: Any) -> None:
    """Name the axes at the left and at the lowest visible panel of each column."""
    for line in grid:
        if line[0].get_visible():
            line[0].set_ylabel("I(T;Y)  [bits]")
    for column in grid.T:
        lowest = [ax for ax in column if ax.get_visible()][-1:]
        for ax in lowest:
            ax.set_xlabel("I(X;T)  [bits]")
            ax.tick_params(labelbottom=True)


def _finish(
    figure: Figure,
    axes: Sequence[Axes],
    norm: Normalize,
    paths: Sequence[Path],
    title: str,
    subtitle: str,
    notes: Sequence[str],
    handles: Sequence[Artist],
) -> None:
    if len({int(s) for p in paths for s in p.steps}) > 1:
        time_bar(axes, norm, paths)
    figure_titled(figure, title, subtitle, notes, handles)

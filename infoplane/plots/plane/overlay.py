"""The planes of several groups of runs in one panel, or in one per layer: colour is the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import outer_ticks, panel_room
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.drawing import OTHERS, Drawing, as_note, left_out
from infoplane.plots.labels import bound_label, middle_cut, panel_names, short_names
from infoplane.plots.plane.facets import (
    MAX_PANELS,
    groups_of_planes,
    outer_labels,
    share_limits,
    used,
)
from infoplane.plots.plane.panel import draw_bounds, limits_of_panel, plane_title
from infoplane.plots.plane.paths import Path, find_paths
from infoplane.results.settings import values_apart
from infoplane.text import counted

MOST = len(look.ESTIMATOR_COLOURS)
"""Groups in one panel; of more the first."""

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1)), (0, (8, 2)))
"""Groups differ in their lines as well, for those who see no colours."""


@dataclass(frozen=True, eq=False)
class _Group:
    """A group in the panel: its paths by layer, and how they are drawn."""

    on: Drawing
    paths: Mapping[str, Path]
    colour: str
    dashes: Any

    @property
    def name(self) -> str:
        """How the group is called in the legend, with its runs."""
        runs = counted(self.on.view.n_runs(self.on.group), "run")
        return f"{middle_cut(look.drawable(self.on.group), 32)} ({runs})"


def planes_over(
    on: Drawing, *, most_layers: int, seeds: str, bounds: bool, zoom: bool, legend: bool
) -> Axes:
    """Draw the planes of all groups of runs over one another; return the first panel.

    Parameters
    ----------
    on, seeds, bounds, zoom, legend
        See `infoplane.plots.plane.figure.plane`.
    most_layers : int
        Of more layers each has a panel.
    """
    parts, differ = groups_of_planes(on)
    groups = _groups(parts[:MOST], zoom=zoom)
    layers = list(dict.fromkeys(layer for group in groups for layer in group.paths))
    by_layer = len(layers) > most_layers
    shown = on.few(layers, MAX_PANELS) if by_layer else layers
    panels = [[layer] for layer in shown] if by_layer else [shown]
    columns = min(len(panels), 4, on.abreast(1.5)) if by_layer else 1
    rows = -(-len(panels) // columns)
    area = on.area(1.5 + (1.7 if by_layer else 3.8) * rows)
    grid = area.subplots(rows, columns, squeeze=False)
    axes = used(grid, len(panels))
    wide = look.fits(panel_room(on.width, columns), look.font_size("xtick.labelsize"), bold=True)
    names = panel_names(shown, wide) if by_layer else {}
    shared = _shared_bounds(groups) if bounds and not zoom else None
    for panel, of in zip(axes, panels, strict=True):
        _panel(panel, groups, of, seeds, shared)
        if by_layer:
            panel.set_title(names[of[0]], loc="left", fontsize=look.font_size("xtick.labelsize"))
    share_limits(axes)
    outer_labels(grid, on)
    if by_layer:
        outer_ticks(grid)
    unlike = bounds and not zoom and shared is None
    notes = [
        *as_note(_lasts_apart(groups)),
        *(["H(Y) or log₂ N differ and are not drawn."] if unlike else []),
        *left_out(groups, parts, ".", "groups"),
        *left_out(shown, layers, OTHERS),
    ]  # fmt: skip
    handles = _legend(groups, [] if by_layer else shown, seeds) if legend else []
    title = f"{plane_title(on)}, groups of runs over one another"
    told = [on.view.estimator_title(parts[0].estimator), *([differ] if differ else [])]
    figure_titled(area, title, " · ".join(map(look.drawable, told)), notes, handles)
    return axes[0]


def _groups(parts: Sequence[Drawing], *, zoom: bool) -> list[_Group]:
    """Return the groups with their paths; a layer has the same mark in all of them."""
    found = [find_paths(part) for part in parts]
    every = list(dict.fromkeys(path.layer for paths in found for path in paths))
    marks = {
        layer: look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)] for i, layer in enumerate(every)
    }
    made = []
    for i, (part, paths) in enumerate(zip(parts, found, strict=True)):
        kept = [p for p in paths if not (zoom and p.saturated)] or paths
        by_layer = {p.layer: replace(p, marker=marks[p.layer]) for p in kept}
        colour = look.readable(look.ESTIMATOR_COLOURS[i])
        made.append(_Group(part, by_layer, colour, _DASHES[i]))
    return made


def _shared_bounds(groups: Sequence[_Group]) -> Drawing | None:
    """Return a group whose H(Y) and log2 N are those of all, if there is one."""
    ends = {
        tuple(None if bound is None else round(bound, 2) for bound in
              (group.on.label_entropy, group.on.ceiling))
        for group in groups
    }  # fmt: skip
    return groups[0].on if len(ends) == 1 else None


def _panel(
    ax: Axes, groups: Sequence[_Group], layers: Sequence[str], seeds: str, bounds: Drawing | None
) -> None:
    limits = []
    for group in groups:
        paths = [path for layer, path in group.paths.items() if layer in layers]
        if paths:
            limits_of_panel(ax, group.on, paths, bounds is not None)
            limits.append((ax.get_xlim(), ax.get_ylim()))
        for path in paths:
            _draw(ax, path, group, seeds)
    ends = np.array(limits)  # (n_groups, 2, 2)
    ax.set_xlim(ends[:, 0, 0].min(), ends[:, 0, 1].max())
    ax.set_ylim(ends[:, 1, 0].min(), ends[:, 1, 1].max())
    if bounds is not None:
        draw_bounds(ax, bounds)
        if (h_y := bounds.label_entropy) is not None:
            ax.annotate(
                bound_label("h_y", look.bits(h_y)), (0, h_y), xytext=(4, 2), va="bottom",
                xycoords=("axes fraction", "data"), textcoords="offset points",
                fontsize=look.font_size("legend.fontsize"), path_effects=look.halo(), zorder=6,
            )  # fmt: skip


def _draw(ax: Axes, path: Path, group: _Group, seeds: str) -> None:
    """Draw one layer of a group: faint runs, mean, hollow first and filled last checkpoint."""
    colour, many = group.colour, len(path.runs) > 1
    if many and seeds in ("both", "all") and len(path.mean) > 1:
        runs = LineCollection(
            list(path.runs), colors=colour, linewidths=0.5, alpha=0.3, zorder=2,
            label=f"_runs {path.layer}",
        )  # fmt: skip
        ax.add_collection(runs, autolim=False)
    if seeds != "all" or not many:
        ax.plot(
            *path.mean.T, color=colour, linestyle=group.dashes, linewidth=1.4, zorder=3,
            label=f"_path {group.on.group} {path.layer}",
        )  # fmt: skip
    edge = look.SATURATED if path.saturated else look.ink()
    marks: dict[str, Any] = {"marker": path.marker, "linestyle": "none"}
    if len(path.mean) > 1:
        ax.plot(*path.mean[0], **marks, markersize=5.0, color=look.paper(), markeredgecolor=colour,
                markeredgewidth=1.1, zorder=5)  # fmt: skip
    if path.cross is not None and not path.saturated:
        (x, y), (across, upwards) = path.mean[-1], path.cross
        ax.plot(across, [y, y], color=colour, linewidth=0.9, zorder=4.8)
        ax.plot([x, x], upwards, color=colour, linewidth=0.9, zorder=4.8)
    ax.plot(*path.mean[-1], **marks, markersize=6.5, color=colour, markeredgecolor=edge,
            markeredgewidth=0.9, zorder=5.5)  # fmt: skip


def _legend(groups: Sequence[_Group], layers: Sequence[str], seeds: str) -> list[Artist]:
    """Return the legend: groups, layers, and what hollow and filled marks are."""
    ink = look.ink()
    names = {m: f"layer {n}" if n.isdecimal() else n for m, n in short_names(layers).items()}
    paths = [path for group in groups for path in group.paths.values()]
    marks = {path.layer: path.marker for path in paths}
    none: dict[str, Any] = {"linestyle": "none", "color": look.paper(), "markeredgecolor": ink}
    handles: list[Artist] = [
        Line2D([], [], color=group.colour, linestyle=group.dashes, marker="o", markersize=5,
               markeredgecolor=ink, label=group.name)
        for group in groups
    ]  # fmt: skip
    handles += [Line2D([], [], **none, marker=marks[layer], label=names[layer]) for layer in layers]
    if any(len(path.mean) > 1 for path in paths):
        handles.append(Line2D([], [], **none, marker="o", label="hollow: first checkpoint"))
    crosses = any(path.cross is not None for path in paths)
    last = "filled: last checkpoint" + (", 95 % interval" if crosses else "")
    handles.append(Line2D([], [], **{**none, "color": ink}, marker="o", label=last))
    if any(len(path.runs) > 1 for path in paths) and seeds != "mean":
        handles.append(Line2D([], [], color=look.muted(), lw=0.6, alpha=0.6, label="single runs"))
    if any(path.saturated for path in paths):
        handles.append(Line2D([], [], **{**none, "markeredgecolor": look.SATURATED}, marker="o",
                              label="edge in this colour: saturated"))  # fmt: skip
    return handles


def _lasts_apart(groups: Sequence[_Group]) -> str:
    """Return at which step the groups end, where that is not the same."""
    ends = {g.on.group: [f"{max(int(p.steps[-1]) for p in g.paths.values()):,}"] for g in groups}
    return values_apart(ends, "last checkpoint: step ")

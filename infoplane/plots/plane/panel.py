"""What a panel of the information plane holds: paths, bounds, labels, legend, colour bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from infoplane.data import FloatArray
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.drawing import Drawing
from infoplane.plots.labels import bound_label, joined, short_names
from infoplane.plots.plane.paths import Path

SATURATION_BAND = 0.15
"""Bits below log2 N that are shaded."""

ONLY = "#56B4E9"
"""Colour of a checkpoint that has no others to be compared with."""

_BRACKET = 0.16

_AT_LAST = 6.0  # so much of other lines may a name cover to stay at the last checkpoint

_TOGETHER = 9.0  # points: layers whose ends are nearer than this share one label


def draw_plane(
    ax: Axes,
    on: Drawing,
    paths: Sequence[Path],
    norm: Normalize,
    *,
    seeds: str = "both",
    bounds: bool = True,
    zoom: bool = False,
) -> Callable[[], None]:
    """Draw paths and bounds; return the function that writes the labels once the layout is done."""
    shown = [p for p in paths if not (zoom and p.saturated)] or list(paths)
    limits_of_panel(ax, on, shown, bounds and not zoom)
    taken = draw_bounds(ax, on) if bounds else []
    dashes = _chains(ax, [p for p in shown if not p.saturated])
    for path in shown:
        draw_path(ax, path, norm, seeds)

    def label() -> None:
        place(
            ax,
            [
                *(_bound_labels(ax, on) if bounds else []),
                *layer_labels(ax, shown, on),
            ],
            lines=[
                *(p.mean for p in shown),
                *dashes,
                *(_bound_segments(ax, on) if bounds else []),
            ],
            boxes=[*(t.get_window_extent() for t in taken), *_marker_boxes(ax, shown)],
            size=look.font_size("legend.fontsize"),
        )

    return label


def draw_path(ax: Axes, path: Path, norm: Normalize, seeds: str = "both") -> None:
    """Draw one layer: faint runs, cased mean, hollow first and filled last checkpoint, onset."""
    colours = look.time_colours()
    filled = colours(norm(path.time[-1])) if len(path.mean) > 1 else ONLY
    many = len(path.runs) > 1
    if many and seeds in ("both", "all"):
        if len(path.mean) == 1:
            ax.plot(*path.runs[:, 0].T, ".", color="#8C959F", markersize=2.5, zorder=2)
        else:
            runs = LineCollection(
                list(path.runs), colors="#8C959F", linewidths=0.5, alpha=0.45, zorder=2,
                label=f"_runs {path.layer}",
            )  # fmt: skip
            ax.add_collection(runs, autolim=False)
    if len(path.mean) > 1 and (seeds != "all" or not many):
        ax.plot(
            *path.mean.T, color=look.ink(), linewidth=2.8, zorder=3, label=f"_path {path.layer}"
        )
        segments = np.stack([path.mean[:-1], path.mean[1:]], axis=1)
        middle = (path.time[:-1] + path.time[1:]) / 2
        line = LineCollection(
            list(segments), cmap=colours, norm=norm, linewidths=1.9, capstyle="round", zorder=4
        )
        line.set_array(middle)
        ax.add_collection(line, autolim=False)
    ink = look.SATURATED if path.saturated else look.ink()
    marks: dict[str, Any] = {"marker": path.marker, "markersize": 6.0, "linestyle": "none"}
    if path.onset is not None and len(path.mean) > 1:
        x, y = path.mean[path.onset]
        ax.plot(x, y, "|", color=look.ink(), markersize=9, markeredgewidth=2, zorder=4.5)
    if len(path.mean) > 1:
        ax.plot(
            *path.mean[0], **marks, color=look.paper(), markeredgecolor=ink, markeredgewidth=1.1,
            zorder=5,
        )  # fmt: skip
    if path.bracket is not None:
        (left, right), (bottom, top) = path.bracket
        box = Rectangle(
            (left, bottom), right - left, top - bottom, color=look.ink(), alpha=_BRACKET, lw=0,
            zorder=2.5, label=f"_bracket {path.layer}",
        )  # fmt: skip
        ax.add_patch(box)
    x, y = path.mean[-1]
    if path.cross is not None and not path.saturated:
        (x_low, x_high), (y_low, y_high) = path.cross
        for xs, ys in (([x_low, x_high], [y, y]), ([x, x], [y_low, y_high])):
            ax.plot(xs, ys, color=look.ink(), linewidth=0.9, zorder=4.8)
    ax.plot(
        x, y, **{**marks, "markersize": 7.0}, color=filled,
        markeredgecolor=ink, markeredgewidth=1.1, zorder=5.5,
    )  # fmt: skip


def draw_bounds(ax: Axes, on: Drawing, *, text: bool = True) -> list[Text]:
    """Draw H(Y), log2 N and the saturation band; return the text beside log2 N."""
    h_y, ceiling = on.label_entropy, on.ceiling
    dashed: dict[str, Any] = {"color": look.ink(), "linewidth": 0.8, "linestyle": (0, (4, 2))}
    if h_y is not None:
        ax.axhline(h_y, **dashed, zorder=1.5)
    if ceiling is None:
        return []
    ax.axvline(ceiling, **dashed, zorder=1.5)
    ax.axvspan(ceiling - SATURATION_BAND, ceiling, color=look.SATURATED, alpha=0.16, lw=0)
    if not text:
        return []
    note = ax.annotate(
        bound_label("log2_n", look.bits(ceiling)), (ceiling, 0), xycoords=("data", "axes fraction"),
        xytext=(3, 5), textcoords="offset points", ha="left", va="bottom", rotation=90,
        fontsize=look.font_size("legend.fontsize"), zorder=6,
    )  # fmt: skip
    return [note]


def _bound_segments(ax: Axes, on: Drawing) -> list[FloatArray]:
    """Return the lines of the bounds, to be kept free of text."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    h_y, ceiling = on.label_entropy, on.ceiling
    lines = [np.array([[left, h_y], [right, h_y]])] if h_y is not None else []
    if ceiling is not None:
        lines.append(np.array([[ceiling, bottom], [ceiling, top]]))
    return lines


def _bound_labels(ax: Axes, on: Drawing) -> list[Label]:
    """Return the label of H(Y), for anywhere along its line."""
    h_y = on.label_entropy
    if h_y is None:
        return []
    left, right = ax.get_xlim()
    anchors = [(left + share * (right - left), h_y) for share in np.linspace(0.1, 0.9, 9)]
    return [Label(bound_label("h_y", look.bits(h_y)), anchors, look.ink(), lead=False)]


def limits_of_panel(ax: Axes, on: Drawing, paths: Sequence[Path], bounds: bool) -> None:
    """Set limits that hold data, intervals, and bounds if they are drawn; room for their text."""
    around = [box for p in paths for box in (p.cross, p.bracket) if box is not None]
    x, y = ([p.mean[:, i] for p in paths] + [box[i] for box in around] for i in (0, 1))
    low, high = look.padded(*_range(x))
    bottom, top = look.padded(*_range(y))
    h_y, ceiling = on.label_entropy, on.ceiling
    if bounds and ceiling is not None:
        low, high = min(low, ceiling - 1), max(high, ceiling + 0.055 * (ceiling - low))
    if bounds and h_y is not None:
        bottom = min(bottom, 0.0)
        top = max(top, h_y + 0.085 * (h_y - bottom))
    ax.set_xlim(low, high)
    ax.set_ylim(bottom, top)


def _range(parts: Sequence[FloatArray]) -> tuple[float, float]:
    values = look.finite(np.concatenate(parts))
    return float(values.min()), float(values.max())


def name_axes(ax: Axes, on: Drawing, *, x: bool = True, y: bool = True) -> None:
    """Name the quantities below and beside the axes, the second with an estimator of its own."""
    across, upwards = axis_names(on)
    if x:
        ax.set_xlabel(across)
    if y:
        ax.set_ylabel(upwards)


def axis_names(on: Drawing) -> tuple[str, str]:
    """Return what the axes of a plane are called."""
    across, upwards = (on.view.quantity(quantity).axis for quantity in on.plane)
    title = look.drawable(on.view.estimator_title(on.upwards)) if on.upwards else ""
    return across, upwards + (f",  {title}" if title else "")


def plane_title(on: Drawing) -> str:
    """Return what a plane is called: that of information, or by its quantities."""
    if on.plane == ("ixt", "ity"):
        return "Information plane"
    across, upwards = (on.view.quantity(quantity).symbol for quantity in on.plane)
    return f"{upwards[:1].upper()}{upwards[1:]} over {across}"


def _chains(ax: Axes, paths: Sequence[Path]) -> list[FloatArray]:
    """Join the layers at the first and the last step, and at the middle onset."""
    if len(paths) < 2:
        return []
    onsets = [int(p.steps[p.onset]) for p in paths if p.onset is not None]
    moments = [min(int(p.steps[0]) for p in paths), max(int(p.steps[-1]) for p in paths)]
    if onsets:
        moments.append(sorted(onsets)[len(onsets) // 2])
    chains = []
    for step in dict.fromkeys(moments):
        points = [p.mean[np.flatnonzero(p.steps == step)[0]] for p in paths if step in p.steps]
        if len(points) > 1:
            ax.plot(*np.array(points).T, ":", color="#8C959F", linewidth=0.9, zorder=1.8)
            chains.append(np.array(points))
    return chains


def layer_labels(ax: Axes, paths: Sequence[Path], on: Drawing) -> list[Label]:
    """Return one label per layer; layers on one point, and saturated ones, share a label."""
    units = on.units
    names = short_names([p.layer for p in paths])
    pixels = ax.figure.dpi / 72.0
    ends = {p.layer: ax.transData.transform(p.mean[[0, -1]]) / pixels for p in paths}
    clusters: list[list[Path]] = []
    saturated = [p for p in paths if p.saturated]
    for path in paths:
        if path.saturated:
            continue
        for cluster in clusters:
            apart = np.abs(ends[path.layer] - ends[cluster[0].layer]).max()
            if apart < _TOGETHER:
                cluster.append(path)
                break
        else:
            clusters.append([path])
    width = ax.get_window_extent().width / ax.figure.dpi
    room = look.letters(width, look.font_size("legend.fontsize")) - 4
    labels = []
    if saturated:
        text = f"{joined(names[p.layer] for p in saturated)}: saturated"
        if len(text) > room:
            text = "saturated" if len(saturated) == 1 else f"{len(saturated)} layers: saturated"
        labels.append(Label(text, [tuple(saturated[-1].mean[-1])], look.SATURATED))
    for cluster in clusters:
        first = cluster[0]
        text = joined((names[p.layer] for p in cluster), letters=min(40, round(0.6 * room)))
        if len(cluster) == 1 and first.layer in units and len(text) < 0.6 * room:
            text = f"{text} ({units[first.layer]})"
        middle = first.mean[len(first.mean) // 2]
        anchors = [tuple(point) for point in (first.mean[-1], first.mean[0], middle)]
        own = [p.mean for p in cluster]
        labels.append(Label(text, anchors, look.ink(), keep=_AT_LAST, own=own))
    return labels


def _marker_boxes(ax: Axes, paths: Sequence[Path]) -> list[Bbox]:
    """Return boxes (display) around first and last markers."""
    reach = 4.0 * ax.figure.dpi / 72.0
    points = ax.transData.transform(np.concatenate([p.mean[[0, -1]] for p in paths]))
    return [Bbox([point - reach, point + reach]) for point in points]


def plane_legend(
    paths: Sequence[Path], seeds: str, *, band: bool, chains: bool = True
) -> list[Artist]:
    """Return the legend of the marks that occur."""
    ink, many = look.ink(), any(len(p.runs) > 1 for p in paths)
    drawn = [p for p in paths if not p.saturated]
    moving = any(len(p.mean) > 1 for p in paths)
    round_mark: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgecolor": ink}
    handles: list[Artist] = []
    if moving:
        handles.append(Line2D([], [], **round_mark, color=look.paper(), label="first checkpoint"))
    last = "last checkpoint" if moving else "the only checkpoint"
    crosses = [p for p in drawn if p.cross is not None]
    if crosses:
        last += ", 95 % interval " + ("over runs" if many else "of the cell")
    bright = look.time_colours()(0.95) if moving else ONLY
    handles.append(Line2D([], [], **round_mark, color=bright, label=last))
    if moving and any(p.onset is not None for p in drawn):
        tick: dict[str, Any] = {
            "marker": "|",
            "markersize": 8,
            "markeredgewidth": 2,
            "linestyle": "none",
        }
        handles.append(Line2D([], [], **tick, color=ink, label="compression onset"))
    if len(drawn) > 1 and chains:
        handles.append(Line2D([], [], color="#8C959F", ls=":", lw=0.9, label="layers at one step"))
    if many and seeds != "mean":
        dot: dict[str, Any] = {"lw": 0.6} if moving else {"ls": "none", "marker": ".", "ms": 3}
        handles.append(Line2D([], [], color="#8C959F", **dot, label="single runs"))
    if any(p.bracket is not None for p in drawn):
        text = "lower to upper bound, last checkpoint"
        handles.append(Patch(color=ink, alpha=_BRACKET, lw=0, label=text))
    if band:
        text = f"saturation band ({SATURATION_BAND:g} bits)"
        handles.append(Patch(color=look.SATURATED, alpha=0.16, lw=0, label=text))
    return handles


def has_bar(paths: Sequence[Path]) -> bool:
    """Return whether the colours of the paths mean anything: there are several steps."""
    return len({int(s) for p in paths for s in p.steps}) > 1


def time_bar(axes: Sequence[Axes], norm: Normalize, paths: Sequence[Path]) -> None:
    """Add the colour bar of the training step to the right of the axes."""
    mappable = mpl.cm.ScalarMappable(norm=norm, cmap=look.time_colours())
    bar = axes[0].figure.colorbar(mappable, ax=list(axes), pad=0.015, fraction=0.05, aspect=32)
    clock.step_axis(bar.ax.yaxis, np.unique(np.concatenate([p.steps for p in paths])))
    bar.set_label(f"{clock.time_name()} (log scale)")
    bar.outline.set_linewidth(0.5)
    page.beside(axes[0], bar)

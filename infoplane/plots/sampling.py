"""Estimates against the number of samples: what follows log2 N says how large N is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.canvas.titles import titled
from infoplane.plots.view import View, evenly, joined, middle_cut, short_names

MAX_LAYERS = 8
_SAME = 9.0  # points: curves that end nearer than this share a label


def sampling(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    quantity: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    step: int | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw the estimate of each layer over the number of samples it was made from.

    The mean over parts and runs, with the range of all of them. A curve that follows log2 N is
    saturated: it measures the sample. One that is flat would not change with more samples.

    Parameters
    ----------
    results : mapping or View
        A results document with ``sampling`` (``infoplane analyze --sampling``).
    ax : Axes, optional
        Where to draw; a new figure by default.
    estimator : str, optional
        Id of an estimator; the first that was sampled by default.
    quantity : str, optional
        Name of a quantity; I(X;T) by default, or DSE, or what there is.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; of more than 8, 8 are taken evenly unless they are named here.
    step : int, optional
        Training step; the last that was sampled by default.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        The axes: samples (log scale) by bits.

    Raises
    ------
    NotFoundError
        If the group, estimator, quantity or step was not sampled.
    """
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        entries = _entries(view, group, estimator, quantity, step)
        key, of_step = entries[0]["quantity"], entries[0]["step"]
        estimator = str(entries[0]["estimator"])
        lines = _lines(view, group, entries)
        have = [name for name in view.layers(group) if name in lines]
        if layers is not None and (gone := [name for name in layers if name not in have]):
            raise NotFoundError(
                f"layer {gone[0]!r} of {group!r} was not sampled; sampled are {', '.join(have)}"
            )
        shown = evenly(have, MAX_LAYERS) if layers is None else [m for m in have if m in layers]
        if ax is None:
            ax = page.canvas(size, 4.0).add_subplot()
        saturated = {
            name
            for name in shown
            if view.phases.get((group, name, estimator, key), {}).get("verdict") == "saturated"
        }
        labels, drawn = _draw(ax, lines, shown, saturated, view.layers(group))
        ceiling = _frame(ax, [lines[name] for name in shown], key)
        ax.set_ylabel(view.quantity(key).axis)
        ax.set_xlabel("samples N (log scale)")
        titled(
            ax,
            f"{view.quantity(key).symbol} by number of samples — "
            f"{middle_cut(look.drawable(group), 44)}",
            f"{view.subtitle(group, estimator)} · step {of_step:,}",
        )  # fmt: skip
        handles: list[Artist] = [
            Patch(color=look.muted(), alpha=0.3, lw=0, label="range over parts and runs")
        ]
        if ceiling is not None:
            dashes: Any = (0, (4, 2))
            handles.append(
                Line2D([], [], color=look.ink(), lw=0.9, ls=dashes,
                       label="log₂ N: a curve along it measures N, not the network")
            )  # fmt: skip
        if len(shown) < len(have):
            text = f"{len(shown)} of {len(have)} layers shown"
            handles.append(Line2D([], [], linestyle="none", label=text))
        look.legend_below(ax, handles, page.width(ax) - 0.8)
        page.laid_out(ax)
        place(
            ax, _together(ax, labels), lines=[*drawn, *([ceiling] if ceiling is not None else [])],
            size=look.font_size("legend.fontsize"),
        )  # fmt: skip
        return ax


def _entries(
    view: View, group: str, estimator: str | None, quantity: str | None, step: int | None
) -> list[Mapping[str, Any]]:
    """Return the entries of one estimator, quantity and step; all given ones must be there."""
    runs = {recording["run"] for recording in view.recordings(group)}
    found = [e for e in view.results.get("sampling") or () if e["run"] in runs]
    if not found:
        raise NotFoundError(
            f"this figure needs estimates on parts of the samples; {group!r} has none",
            hint="analyze with --sampling",
        )
    order = {name: i for i, name in enumerate(view.estimators(group=group))}
    if estimator is None:
        estimator = min((e["estimator"] for e in found), key=lambda e: order.get(e, len(order)))
    found = [e for e in found if e["estimator"] == estimator]
    names = list(view.vocabulary.quantities)
    if quantity is None:
        ranks = ["ixt", "dse", *names]
        quantity = min((e["quantity"] for e in found), key=ranks.index, default=None)
    found = [e for e in found if e["quantity"] == quantity]
    if step is None:
        step = max((e["step"] for e in found), default=None)
    found = [e for e in found if e["step"] == step]
    if not found:
        raise NotFoundError(
            f"no estimates on parts of the samples by {estimator!r} of this quantity and step "
            f"in {group!r}",
            hint="analyze with --sampling",
        )
    return found


def _lines(view: View, group: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """Return per layer N, mean, lowest, highest value and bound (n_sizes, 5), all samples last."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    bounds: dict[tuple[str, int], float] = {}
    first = entries[0]
    for e in entries:
        values[e["layer"]][e["n"]] += [v for v in e["values"] if v is not None]
        bounds[e["layer"], e["n"]] = _or_nan(e["bound_high"])
    whole = {r["run"]: r["n"] for r in view.recordings(group)}
    for row in view.results["rows"]:
        if (
            row["run"] in whole and row["step"] == first["step"]
            and (row["estimator"], row["quantity"]) == (first["estimator"], first["quantity"])
            and row["value"] is not None
        ):  # fmt: skip
            n = whole[row["run"]]
            values[row["layer"]][n].append(row["value"])
            bounds[row["layer"], n] = _or_nan(row["bound_high"])
    return {
        layer: np.array(
            [
                [n, np.mean(found), min(found), max(found), bounds[layer, n]]
                for n, found in sorted(sizes.items())
                if found
            ]
        )
        for layer, sizes in values.items()
        if any(sizes.values())
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _draw(
    ax: Axes,
    lines: Mapping[str, FloatArray],
    shown: Sequence[str],
    saturated: set[str],
    order: Sequence[str],
) -> tuple[list[Label], list[FloatArray]]:
    """Draw mean and range of each layer, the deeper the darker; return labels and curves."""
    colours = mpl.colormaps["Blues"](np.linspace(0.45, 1.0, max(len(shown), 2)))
    names = short_names(shown)
    labels, drawn = [], []
    for i, layer in enumerate(shown):
        line = lines[layer]
        x = np.log2(line[:, 0])
        colour = look.SATURATED if layer in saturated else colours[i]
        ax.fill_between(x, line[:, 2], line[:, 3], color=colour, alpha=0.18, linewidth=0, zorder=1)
        marker = look.LAYER_MARKERS[order.index(layer) % len(look.LAYER_MARKERS)]
        ax.plot(
            x, line[:, 1], color=colour, marker=marker, markeredgecolor=look.ink(),
            markeredgewidth=0.6, zorder=3, label=f"_sampling {layer}",
        )  # fmt: skip
        points = np.column_stack([x, line[:, 1]])
        anchors = [tuple(points[k]) for k in (-1, len(points) // 2, 0)]
        text = f"{names[layer]}: saturated" if layer in saturated else names[layer]
        labels.append(Label(text, anchors, look.SATURATED if layer in saturated else look.ink()))
        drawn.append(points)
    return labels, drawn


def _frame(ax: Axes, lines: Sequence[FloatArray], quantity: str) -> FloatArray | None:
    """Set limits and ticks; draw log2 N for sizes of T, and return its ends."""
    every = np.vstack(lines)
    sizes = np.unique(every[:, 0])
    low, high = float(np.log2(sizes[0])), float(np.log2(sizes[-1]))
    ax.set_xlim(*look.padded(low, high, 0.06))
    values = look.finite(every[:, 2:4])
    bottom, top = min(0.0, float(values.min())), float(values.max())
    ceiling = None
    if quantity in ("ixt", "dse", "ht"):
        ceiling = np.array([[low, low], [high, high]])
        ax.plot(*ceiling.T, color=look.ink(), linewidth=1.1, linestyle=(0, (4, 2)), zorder=3.5)
        top = max(top, high)
    ax.set_ylim(*look.padded(bottom, top, 0.08))
    ticks = sizes if len(sizes) <= 7 else sizes[-7:]
    ax.set_xticks(np.log2(ticks), [f"{int(n):,}" for n in ticks])
    return ceiling


def _together(ax: Axes, labels: Sequence[Label]) -> list[Label]:
    """Give curves that end on one point one label."""
    pixels = ax.figure.dpi / 72.0
    clusters: list[list[Label]] = []
    for label in labels:
        at = ax.transData.transform(label.anchors[0])
        for cluster in clusters:
            other = ax.transData.transform(cluster[0].anchors[0])
            if cluster[0].colour == label.colour and np.abs(at - other).max() < _SAME * pixels:
                cluster.append(label)
                break
        else:
            clusters.append([label])
    merged = []
    for cluster in clusters:
        names = [label.text.removesuffix(": saturated") for label in cluster]
        tail = ": saturated" if cluster[0].text.endswith(": saturated") else ""
        merged.append(Label(joined(names) + tail, cluster[0].anchors, cluster[0].colour))
    return merged

"""Estimates against the number of samples: what follows log2 N says how large N is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane import layer_patterns
from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.labels import joined, short_names
from infoplane.plots.view import SIZES, View

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_LAYERS = 8
_SAME = 9.0  # points: curves that end nearer than this share a label


@figure(EstimatorOptions)
def sampling(
    results: Mapping[str, Any] | View,
    *,
    quantity: str | None = None,
    step: int | None = None,
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw the estimate of each layer over the number of samples it was made from.

    The mean over parts and runs, with the range of all of them. A curve that follows log2 N is
    saturated: it measures the sample. One that is flat would not change with more samples.

    Parameters
    ----------
    results : mapping or View
        A results document with ``sampling`` (``infoplane analyze --sampling``).
    quantity : str, optional
        Name of a quantity; I(X;T) by default, or DSE, or what there is.
    step : int, optional
        Training step; the last that was sampled by default.
    **options
        See `infoplane.plots.drawing.EstimatorOptions`; at most 8 layers unless they are named.

    Returns
    -------
    Axes
        The axes: samples (log scale) by the unit of the quantity.

    Raises
    ------
    NotFoundError
        If the group, estimator, quantity or step was not sampled.
    """
    with drawing(results, **options) as on:
        entries = _entries(on, quantity, step)
        first = entries[0]
        on = replace(on, quantity=first["quantity"], estimator=first["estimator"])
        lines = _lines(on, entries)
        have = [name for name in on.view.layers(on.group) if name in lines]
        about = on.view.layer_names.about(on.group, have)
        layer_patterns.check(on.wanted or (), about, f" that was sampled in {on.group!r}")
        shown = on.few(have, MAX_LAYERS)
        ax = on.axes(4.0)
        labels, drawn = _draw(ax, on, lines, shown)
        ceiling = _frame(ax, [lines[name] for name in shown], on.quantity)
        ax.set_ylabel(on.about.axis)
        ax.set_xlabel("samples N (log scale)")
        words = f"{on.about.symbol} by number of samples"
        on.title(ax, words, more=f" · step {first['step']:,}", most=44)
        handles: list[Artist] = [
            Patch(color=look.muted(), alpha=0.3, lw=0, label="range over parts and runs")
        ]
        if ceiling is not None:
            drawn.append(ceiling)
            text = "log₂ N: a curve along it measures N, not the network"
            handles.append(Line2D([], [], color=look.ink(), lw=0.9, ls=(0, (4, 2)), label=text))
        for text in left_out(shown, have, ""):
            handles.append(Line2D([], [], linestyle="none", label=text))
        look.legend_below(ax, handles, page.width(ax) - 0.8)
        size = look.font_size("legend.fontsize")
        page.laid_out(ax, lambda: place(ax, together(ax, labels), lines=drawn, size=size))
        return ax


def _entries(on: Drawing, quantity: str | None, step: int | None) -> list[Mapping[str, Any]]:
    """Return the entries of one estimator, quantity and step; all given ones must be there."""
    view, group, estimator = on.view, on.group, on.estimator
    runs = {recording["run"] for recording in view.recordings(group)}
    found = [e for e in view.results.get("sampling") or () if e["run"] in runs]
    if not found:
        raise NotFoundError(
            f"this figure needs estimates on parts of the samples; {group!r} has none",
            hint="analyze with --sampling",
        )
    if quantity is not None:
        found = [e for e in found if e["quantity"] == quantity] or found
    order = {name: i for i, name in enumerate(view.estimators(group=group))}
    if not estimator:
        estimator = min((e["estimator"] for e in found), key=lambda e: order.get(e, len(order)))
    found = [e for e in found if e["estimator"] == estimator]
    names = list(view.vocabulary.quantities)
    if quantity is None:
        ranks = {name: i for i, name in reversed(list(enumerate((*SIZES, *names))))}
        quantity = min(
            (e["quantity"] for e in found), key=lambda q: ranks.get(q, len(ranks)), default=None
        )
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


def _lines(on: Drawing, entries: Sequence[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """Return per layer N, mean, lowest, highest value and bound (n_sizes, 5), all samples last."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    bounds: dict[tuple[str, int], float] = {}
    first = entries[0]
    for e in entries:
        values[e["layer"]][e["n"]] += [v for v in e["values"] if v is not None]
        bounds[e["layer"], e["n"]] = _or_nan(e["bound_high"])
    whole = {r["run"]: r["n"] for r in on.view.recordings(on.group)}
    for row in on.view.results["rows"]:
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
    ax: Axes, on: Drawing, lines: Mapping[str, FloatArray], shown: Sequence[str]
) -> tuple[list[Label], list[FloatArray]]:
    """Draw mean and range of each layer, the deeper the darker; return labels and curves."""
    colours = mpl.colormaps["Blues"](np.linspace(0.45, 1.0, max(len(shown), 2)))
    names, order = short_names(shown), on.view.layers(on.group)
    labels: list[Label] = []
    drawn: list[FloatArray] = []
    for i, layer in enumerate(shown):
        line = lines[layer]
        x = np.log2(line[:, 0])
        saturated = on.phase(layer).saturated
        colour = look.SATURATED if saturated else colours[i]
        ax.fill_between(x, line[:, 2], line[:, 3], color=colour, alpha=0.18, linewidth=0, zorder=1)
        marker = look.LAYER_MARKERS[order.index(layer) % len(look.LAYER_MARKERS)]
        ax.plot(
            x, line[:, 1], color=colour, marker=marker, markeredgecolor=look.ink(),
            markeredgewidth=0.6, zorder=3, label=f"_sampling {layer}",
        )  # fmt: skip
        points = np.column_stack([x, line[:, 1]])
        anchors = [tuple(points[k]) for k in (-1, len(points) // 2, 0)]
        text = f"{names[layer]}: saturated" if saturated else names[layer]
        colour = look.SATURATED if saturated else look.ink()
        labels.append(Label(text, anchors, colour, own=[points]))
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


def together(ax: Axes, labels: Sequence[Label]) -> list[Label]:
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
        own = [line for label in cluster for line in label.own]
        first = cluster[0]
        merged.append(Label(joined(names) + tail, first.anchors, first.colour, own=own))
    return merged

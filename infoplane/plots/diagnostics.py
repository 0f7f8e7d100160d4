"""Why to trust or doubt the estimates: states of their own, values out of range, by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.view import View, evenly, middle_cut, short_names

_MAX_LAYERS = 8

_PANELS: dict[str, tuple[str, float, str]] = {
    "singleton_fraction": ("samples with a state of their own", 0.5, "sparse above"),
    "out_of_range": ("values out of the range of the bins", 0.001, "flagged above"),
}
"""Key of ``diag``, what it is a share of, and the share from which cells are flagged."""


def diagnostics(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw shares from the diagnostics of an estimator over the training step, a line per layer.

    The share of samples that have a state of their own: above a half, I(T;Y) near H(Y) is trivial.
    The share of activations outside the range of the bins, where there are any.

    Parameters
    ----------
    results : mapping or View
        A results document whose rows have ``diag``.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default.
    estimator : str, optional
        Id of an estimator; the first that has these diagnostics by default.
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
        If no row of the group, or of the estimator, has these diagnostics.
    """
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        shares = _shares(view, group, estimator)
        if not shares:
            of = "" if estimator is None else f" by {estimator!r}"
            raise NotFoundError(f"no diagnostics of states in {group!r}{of}", hint="use -e binning")
        chosen = next(iter(shares))[0]
        found = {key: line for (e, key, _), line in _by_key(shares).items() if e == chosen}
        keys = [key for key in _PANELS if key in found and _worth(key, found[key])]
        figure = page.area(ax, size, 3.6)
        axes = figure.subplots(1, len(keys), sharex=True, squeeze=False)[0]
        pending = [(panel, _panel(panel, key, found[key], view, group)) for panel, key in
                   zip(axes, keys, strict=True)]  # fmt: skip
        notes = [
            "Across: training step (log scale).",
            "Mean over runs; the deeper the layer, the darker.",
        ]
        n_layers = len(found[keys[0]])
        if n_layers > _MAX_LAYERS:
            notes.append(f"{_MAX_LAYERS} of {n_layers} layers shown.")
        figure_titled(
            figure, f"Diagnostics — {middle_cut(look.drawable(group), 48)}",
            view.subtitle(group, chosen), notes,
        )  # fmt: skip
        page.laid_out(figure)
        for panel, (labels, lines) in pending:
            place(panel, labels, lines=lines, size=look.font_size("xtick.labelsize"))
        first: Axes = axes[0]
        return first


def _shares(
    view: View, group: str, estimator: str | None
) -> dict[tuple[str, str, str], dict[int, list[float]]]:
    """Return shares by estimator, key and layer, then by step: one per run."""
    found: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    runs = {run for c in view.curves.values() if c.group == group for run in c.runs}
    seen = set()
    for row in view.results["rows"]:
        diag, by = row.get("diag"), row["estimator"]
        if not diag or row["run"] not in runs or by != (estimator or by):
            continue
        cell = row["run"], row["step"], row["layer"], row["estimator"]
        for key in _PANELS:
            share = diag.get(key)
            if isinstance(share, int | float) and (cell, key) not in seen:
                seen.add((cell, key))
                line = found.setdefault((row["estimator"], key, row["layer"]), defaultdict(list))
                line[row["step"]].append(float(share))
    return found


def _by_key(
    shares: Mapping[tuple[str, str, str], Mapping[int, list[float]]],
) -> dict[tuple[str, str, None], dict[str, Mapping[int, list[float]]]]:
    grouped: dict[tuple[str, str, None], dict[str, Mapping[int, list[float]]]] = {}
    for (estimator, key, layer), line in shares.items():
        grouped.setdefault((estimator, key, None), {})[layer] = line
    return grouped


def _worth(key: str, lines: Mapping[str, Mapping[int, list[float]]]) -> bool:
    """Return whether a panel says anything: values out of range only where there are some."""
    return key == "singleton_fraction" or any(
        max(values) > 0 for line in lines.values() for values in line.values()
    )


def _panel(
    ax: Axes, key: str, lines: Mapping[str, Mapping[int, list[float]]], view: View, group: str
) -> tuple[list[Label], list[Any]]:
    words, threshold, flagged = _PANELS[key]
    layers = evenly([m for m in view.layers(group) if m in lines], _MAX_LAYERS)
    names, every = short_names(layers), sorted({s for m in layers for s in lines[m]})
    colours = mpl.colormaps["Blues"](np.linspace(0.45, 1.0, max(len(layers), 2)))
    labels, drawn = [], []
    for i, layer in enumerate(layers):
        at = sorted(lines[layer])
        points = np.array([[np.log10(s + 1.0), np.mean(lines[layer][s])] for s in at])
        marker = look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)]
        ax.plot(
            *points.T, color=colours[i], marker=marker, markevery=[len(points) - 1],
            markeredgecolor=look.ink(), markeredgewidth=0.7, label=f"_share {layer}",
        )  # fmt: skip
        anchors = [tuple(points[k]) for k in (-1, len(points) // 2, 0)]
        labels.append(Label(names[layer], anchors, look.ink()))
        drawn.append(points)
    top = max(float(points[:, 1].max()) for points in drawn)
    ax.set_xlim(*look.padded(np.log10(every[0] + 1.0), np.log10(every[-1] + 1.0), 0.06))
    ax.set_ylim(*look.padded(0.0, max(top, threshold * 1.2), 0.08))
    ax.axhline(threshold, color=look.SATURATED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
    edge = np.array([[x, threshold] for x in ax.get_xlim()])
    share = edge[:, 0] @ np.array([[0.85, 0.5, 0.15], [0.15, 0.5, 0.85]])
    places = [(float(x), threshold) for x in share]
    text = f"{flagged} {threshold:g}"
    labels.insert(0, Label(text, places, look.SATURATED, lead=False))
    look.step_axis(ax.xaxis, every)
    ax.set_title(words, loc="left", fontsize=look.font_size("axes.labelsize"))
    ax.set_ylabel("share  [0 to 1]")
    return labels, [*drawn, edge]

"""The figure ``diagnostics``: samples alone in their state and values out of range, by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.labels import short_names
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_LAYERS = 8

_PANELS: dict[str, tuple[str, float, str]] = {
    "singleton_fraction": ("samples with a state of their own", 0.5, "sparse above"),
    "out_of_range": ("values out of the range of the bins", 0.001, "flagged above"),
}
"""Key of ``diag``, what it is a share of, and the share from which cells are flagged."""


@figure(EstimatorOptions)
def diagnostics(results: Mapping[str, Any] | View, **options: Unpack[EstimatorOptions]) -> Axes:
    """Draw shares from the diagnostics of an estimator over the training step, a line per layer.

    The share of samples that have a state of their own: above a half, I(T;Y) near H(Y) is trivial.
    The share of activations outside the range of the bins, where there are any.

    Parameters
    ----------
    results : mapping or View
        A results document whose rows have ``diag``.

    Raises
    ------
    NotFoundError
        If no row of the group, or of the estimator, has these diagnostics.
    """
    with drawing(results, **options) as on:
        shares = _shares(on)
        if not shares:
            of = f" by {on.estimator!r}" if on.estimator else ""
            raise NotFoundError(
                f"no diagnostics of states in {on.group!r}{of}", hint="use -e binning"
            )
        estimator, found = next(iter(shares.items()))
        on = replace(on, estimator=estimator)
        keys = [key for key in _PANELS if key in found and _worth(key, found[key])]
        area = on.area(3.6)
        axes = area.subplots(1, len(keys), sharex=True, squeeze=False)[0]
        pending = [
            (panel, _panel(panel, key, found[key], on))
            for panel, key in zip(axes, keys, strict=True)
        ]
        layers = list(found[keys[0]])
        notes = [
            f"Across: {clock.time_name()} (log scale).",
            "Mean over runs; the deeper the layer, the darker.",
            *left_out(on.few(layers, _MAX_LAYERS), layers),
        ]
        on.finish(area, "Diagnostics", notes)
        page.once_laid_out(area, lambda: _name(pending))
        first: Axes = axes[0]
        return first


def _name(panels: Sequence[tuple[Axes, tuple[list[Label], list[FloatArray]]]]) -> None:
    """Write the names of the layers beside their curves."""
    for panel, (labels, lines) in panels:
        place(panel, labels, lines=lines, size=look.font_size("xtick.labelsize"))


Shares: TypeAlias = dict[str, dict[int, list[float]]]
"""By layer and step: one share per run."""


def _shares(on: Drawing) -> dict[str, dict[str, Shares]]:
    """Return shares by estimator and key."""
    found: dict[str, dict[str, Shares]] = {}
    runs = {run for c in on.view.of_group(on.group) for run in c.runs}
    layers = on.view.layers(on.group, among=on.wanted)
    seen = set()
    for row in on.view.results["rows"]:
        diag, by = row.get("diag"), row["estimator"]
        if not diag or row["run"] not in runs or by != (on.estimator or by):
            continue
        if row["layer"] not in layers:
            continue
        cell = row["run"], row["step"], row["layer"], by
        for key in _PANELS:
            share = diag.get(key)
            if isinstance(share, int | float) and (cell, key) not in seen:
                seen.add((cell, key))
                lines = found.setdefault(by, {}).setdefault(key, {})
                steps = lines.setdefault(row["layer"], defaultdict(list))
                steps[row["step"]].append(float(share))
    return found


def _worth(key: str, lines: Shares) -> bool:
    """Return whether a panel says anything: values out of range only where there are some."""
    return key == "singleton_fraction" or any(
        max(values) > 0 for line in lines.values() for values in line.values()
    )


def _panel(ax: Axes, key: str, lines: Shares, on: Drawing) -> tuple[list[Label], list[FloatArray]]:
    words, threshold, flagged = _PANELS[key]
    layers = on.few([m for m in on.view.layers(on.group) if m in lines], _MAX_LAYERS)
    names, every = short_names(layers), sorted({s for m in layers for s in lines[m]})
    colours = mpl.colormaps["Blues"](np.linspace(0.45, 1.0, max(len(layers), 2)))
    labels: list[Label] = []
    drawn: list[FloatArray] = []
    for i, layer in enumerate(layers):
        at = sorted(lines[layer])
        points = np.array([[np.log10(s + 1.0), np.mean(lines[layer][s])] for s in at])
        marker = look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)]
        ax.plot(
            *points.T, color=colours[i], marker=marker, markevery=[len(points) - 1],
            markeredgecolor=look.ink(), markeredgewidth=0.7, label=f"_share {layer}",
        )  # fmt: skip
        anchors = [tuple(points[k]) for k in (-1, len(points) // 2, 0)]
        labels.append(Label(names[layer], anchors, look.ink(), own=[points]))
        drawn.append(points)
    top = max(float(points[:, 1].max()) for points in drawn)
    ax.set_xlim(*look.time_limits(every, 0.06))
    ax.set_ylim(*look.padded(0.0, max(top, threshold * 1.2), 0.08))
    ax.axhline(threshold, color=look.SATURATED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
    edge = np.array([[x, threshold] for x in ax.get_xlim()])
    share = edge[:, 0] @ np.array([[0.85, 0.5, 0.15], [0.15, 0.5, 0.85]])
    places = [(float(x), threshold) for x in share]
    text = f"{flagged} {threshold:g}"
    labels.insert(0, Label(text, places, look.SATURATED, lead=False))
    clock.step_axis(ax.xaxis, every)
    ax.set_title(words, loc="left", fontsize=look.font_size("axes.labelsize"))
    ax.set_ylabel("share  [0 to 1]")
    return labels, [*drawn, edge]

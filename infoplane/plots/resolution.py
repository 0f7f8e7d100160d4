"""I(X;T) at several resolutions: the structure of each layer, from coarse to fine."""

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

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.estimators.measure_id import MeasureId
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.canvas.titles import titled
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.labels import middle_cut, short_names
from infoplane.plots.sampling import together
from infoplane.plots.steps import BRACKET
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

FEWEST = 3
"""Resolutions of a layer that are drawn as a curve."""

MAX_LAYERS = 8


@figure(EstimatorOptions)
def resolution(
    results: Mapping[str, Any] | View,
    *,
    step: int | None = None,
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw I(X;T) of each layer over the noise, in median distances of the layer, at one step.

    The finer the noise (to the left), the more of a layer is told apart; a level piece is a
    structure of its own, such as classes. The band lies between the two bounds; where they are too
    far apart for a value, there are the bounds alone.

    Parameters
    ----------
    results : mapping or View
        A results document of ``compressed``, whose rows hold neighbouring values of c, or of a
        sweep such as ``-e compressed:c=0.1+0.15+0.2+0.3+0.5``.
    step : int, optional
        Training step; the last by default.
    **options
        See `infoplane.plots.drawing.EstimatorOptions`; at most 8 layers unless they are named.

    Returns
    -------
    Axes
        The axes: noise (log scale) by bits.

    Raises
    ------
    NotFoundError
        If no layer has I(X;T) at three resolutions at this step.
    """
    with drawing(results, **options) as on:
        lines, ids, step = _lines(on, step)
        have = [m for m in on.layers() if m in lines]
        if not have:
            raise NotFoundError(
                f"this figure needs I(X;T) at {FEWEST} resolutions; {on.group!r} has fewer",
                hint="analyze with -e compressed:c=0.1+0.15+0.2+0.3+0.5",
            )
        shown = on.few(have, MAX_LAYERS)
        on = replace(on, quantity="ixt", estimator=ids[0] if len(ids) == 1 else "")
        ax = on.axes(3.4)
        labels, drawn = _draw(ax, lines, shown)
        _frame(ax, [lines[m] for m in shown])
        ax.set_ylabel(on.about.axis)
        ax.set_xlabel("noise c, in median distances of the layer (log scale)")
        told = on.view.subtitle(on.group, on.estimator or None, setting=False)
        name = middle_cut(look.drawable(on.group), 48)
        titled(
            ax,
            f"I(X;T) by resolution — {name}",
            " · ".join([told, f"step {step:,}", *on.view.one_of_groups]),
        )
        handles: list[Artist] = [
            Patch(color=look.muted(), alpha=2 * BRACKET, lw=0, label="lower to upper bound")
        ]
        handles += [
            Line2D([], [], linestyle="none", label=text) for text in left_out(shown, have, "")
        ]
        look.legend_below(ax, handles, page.width(ax) - 0.8)
        size = look.font_size("legend.fontsize")
        page.laid_out(ax, lambda: place(ax, together(ax, labels), lines=drawn, size=size))
        return ax


def _lines(on: Drawing, step: int | None) -> tuple[dict[str, FloatArray], list[str], int]:
    """Return per layer c, mean, lower and upper bound (n, 4), c ascending; estimators and step.

    Means over runs; NaN where there is no value. What stands in a row of its own counts before
    what stands beside another.
    """
    runs = {recording["run"] for recording in on.view.recordings(on.group)}
    rows = [
        row
        for row in on.view.results["rows"]
        if row["run"] in runs and row["quantity"] == "ixt"
        and on.estimator in ("", row["estimator"], MeasureId.read(row["estimator"]).name)
    ]  # fmt: skip
    rows = [row for row in rows if _own(row) is not None]
    if step is None:
        step = max((int(row["step"]) for row in rows), default=0)
    found: dict[str, dict[float, dict[str, list[Any]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["step"] != step:
            continue
        own = _own(row)
        assert own is not None, row
        beside = row["diag"].get("by_c")
        for c, three in (beside if isinstance(beside, Mapping) else {}).items():
            if _is_number(c) and isinstance(three, Sequence) and len(three) == 3:
                found[row["layer"]][float(c)].setdefault(row["run"], list(three))
        found[row["layer"]][own][row["run"]] = [row["value"], row["bound_low"], row["bound_high"]]
    lines = {
        layer: np.array(
            [
                [c, *np.array(list(by_run.values()), dtype=float).mean(axis=0)]
                for c, by_run in sorted(sizes.items())
            ]
        )
        for layer, sizes in found.items()
    }
    ids = list(dict.fromkeys(row["estimator"] for row in rows))
    return {layer: line for layer, line in lines.items() if len(line) >= FEWEST}, ids, step


def _own(row: Mapping[str, Any]) -> float | None:
    """Return the noise of a row in median distances, None where it is not relative."""
    diag = row.get("diag") or {}
    relative = str(row.get("setting") or "").startswith("c=")
    return float(diag["c"]) if relative and isinstance(diag.get("c"), int | float) else None


def _is_number(text: str) -> bool:
    try:
        return bool(float(text) > 0)
    except ValueError:
        return False


def _draw(
    ax: Axes, lines: Mapping[str, FloatArray], shown: Sequence[str]
) -> tuple[list[Label], list[FloatArray]]:
    """Draw curve and bounds of each layer, the deeper the darker; return labels and curves."""
    colours = mpl.colormaps["Blues"](np.linspace(0.45, 1.0, max(len(shown), 2)))
    names = short_names(shown)
    labels, drawn = [], []
    for i, layer in enumerate(shown):
        line = lines[layer]
        x = np.log10(line[:, 0])
        ax.fill_between(
            x, line[:, 2], line[:, 3], color=colours[i], alpha=2 * BRACKET, linewidth=0, zorder=1,
            label=f"_bracket {layer}",
        )  # fmt: skip
        ax.plot(
            x, line[:, 1], color=colours[i], marker=look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)],
            markeredgecolor=look.ink(), markeredgewidth=0.6, zorder=3, label=f"_resolution {layer}",
        )  # fmt: skip
        there = np.isfinite(line[:, 1])
        points = np.column_stack([x, line[:, 1]])[there]
        if len(points):
            anchors = [tuple(points[k]) for k in (0, len(points) // 2, -1)]
            labels.append(Label(names[layer], anchors, look.ink(), own=[points]))
            drawn.append(points)
    return labels, drawn


def _frame(ax: Axes, lines: Sequence[FloatArray]) -> None:
    """Set limits and ticks: the values of c themselves."""
    every = np.vstack(lines)
    sizes = np.unique(np.round(every[:, 0], 6))
    ax.set_xlim(*look.padded(float(np.log10(sizes[0])), float(np.log10(sizes[-1])), 0.12))
    values = look.finite(every[:, 1:])
    ax.set_ylim(*look.padded(min(0.0, float(values.min())), float(values.max()), 0.06))
    ticks = sizes if len(sizes) <= 9 else sizes[:: -(-len(sizes) // 9)]
    ax.set_xticks(np.log10(ticks), [f"{c:.3g}" for c in ticks])

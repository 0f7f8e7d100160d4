"""Compression against the generalisation gap: one point per run, a panel per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import panel_room
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.labels import panel_names
from infoplane.plots.steps import MAX_COLUMNS
from infoplane.plots.view import SIZES, View
from infoplane.results.generalization import FEWEST_RUNS, gap_correlations, generalization_gaps

if TYPE_CHECKING:
    from typing_extensions import Unpack


@figure(EstimatorOptions)
def gap(
    results: Mapping[str, Any] | View, *, seed: int = 0, **options: Unpack[EstimatorOptions]
) -> Axes:
    """Draw the change of I(X;T) or DSE of each run over its generalisation gap, in 8 layers.

    Parameters
    ----------
    results : mapping or View
        A results document with metrics of at least 5 runs of the group.
    seed : int, default 0
        Seed of intervals and permutations.

    Raises
    ------
    NotFoundError
        If fewer than 5 runs of the group have metrics, or all layers are saturated.
    """
    with drawing(results, **options) as on:
        words, correlated = _correlated(on, seed)
        names = [entry["layer"] for entry in correlated]
        shown = on.few(names, MAX_COLUMNS)
        found = [entry for entry in correlated if entry["layer"] in shown]
        if not found:
            raise NotFoundError(f"no layer of {on.group!r} has a change that is not saturated")
        on = replace(on, estimator=found[0]["estimator"], quantity=found[0]["quantity"])
        columns = min(len(found), 4, on.abreast(1.7))
        rows = -(-len(found) // columns)
        size = look.font_size("axes.labelsize")
        room = look.fits(panel_room(on.width, columns), size, bold=True)
        heads = panel_names([e["layer"] for e in found], room)
        area = on.area(1.0 + 2.0 * rows)
        grid = area.subplots(rows, columns, sharex=True, squeeze=False)
        for panel in grid.ravel()[len(found) :]:
            panel.set_visible(False)
        for panel, entry in zip(grid.ravel(), found, strict=False):
            _panel(panel, on, entry, heads[entry["layer"]])
        for panel in grid[:, 0]:
            panel.set_ylabel(f"change  [{on.about.unit}]")
        for column in grid.T:
            lowest = [panel for panel in column if panel.get_visible()][-1]
            lowest.set_xlabel(words)
            lowest.tick_params(labelbottom=True)
        notes = [
            f"Change of {on.about.symbol}, peak to last.",
            f"One mark per run (n = {found[0]['n']}).",
            "ρ: Spearman, 95 % bootstrap interval.",
            "p: permutations, Holm over layers.",
            "Correlation over runs, not cause.",
            *left_out(found, names),
        ]
        on.finish(area, "Compression and generalisation", notes, most=44)
        first: Axes = grid[0, 0]
        return first


def _correlated(on: Drawing, seed: int) -> tuple[str, list[dict[str, Any]]]:
    """Return what the gap is made of, and the correlation of each layer by one estimator."""
    results, group = on.view.results, on.group
    words, gaps = generalization_gaps(results)
    runs = [r["run"] for r in on.view.recordings(group) if r["run"] in gaps]
    if len(runs) < FEWEST_RUNS:
        raise NotFoundError(
            f"the gap needs {FEWEST_RUNS} runs of a group with train and test loss or "
            f"accuracy; {group!r} has {len(runs)}",
            hint="record metrics with each checkpoint, and more seeds",
        )
    able = [e for q in SIZES for e in on.view.estimators(q, group=group)]
    chosen = on.estimator or next(iter(able), None)
    return words, gap_correlations(
        results, group=group, estimator=chosen, seed=seed, known=on.view.curves
    )


def _panel(ax: Axes, on: Drawing, entry: Mapping[str, Any], name: str) -> None:
    """Draw one layer: a mark per run, the correlation above them."""
    i = on.view.layers(on.group).index(entry["layer"])
    ax.plot(
        entry["gaps"], entry["changes"], look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)],
        color=on.view.quantity(entry["quantity"]).colour, markeredgecolor=look.ink(),
        markeredgewidth=0.7, markersize=5.5,
    )  # fmt: skip
    ax.set_xlim(*look.padded(min(entry["gaps"]), max(entry["gaps"]), 0.12))
    look.few_ticks(ax.xaxis, 3)
    look.few_ticks(ax.yaxis, 5)
    ax.set_ylim(*look.padded(min(entry["changes"]), max(entry["changes"]), 0.12))
    small = look.font_size("xtick.labelsize")
    ax.set_title(name, loc="left", pad=7 + 2.5 * small, fontsize=look.font_size("axes.labelsize"))
    ax.annotate(
        _numbers(entry), (0, 1), xycoords="axes fraction", xytext=(0, 5),
        textcoords="offset points", va="bottom", color=look.muted(),
        fontsize=small, linespacing=1.2,
    )  # fmt: skip


def _numbers(entry: Mapping[str, Any]) -> str:
    if entry["spearman"] is None or not np.isfinite(entry["spearman"]):
        return "no spread"
    interval = f"[{look.bits(entry['low'], 1)}, {look.bits(entry['high'], 1)}]"
    return f"ρ {look.bits(entry['spearman'])} {interval}\np {entry['p_holm']:.2g}"

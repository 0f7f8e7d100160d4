"""Compression against the generalisation gap: one point per run, a panel per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.steps import MAX_COLUMNS
from infoplane.plots.view import View, broken, evenly, middle_cut, short_names
from infoplane.results.generalization import FEWEST_RUNS, gap_correlations, generalization_gaps


def gap(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw the change of I(X;T) or DSE of each run, in bits, over its generalisation gap.

    Parameters
    ----------
    results : mapping or View
        A results document with metrics of at least 5 runs of the group.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default.
    estimator : str, optional
        Id of an estimator; the first with I(X;T) or DSE by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; of more than 8, 8 are taken evenly unless they are named here.
    seed : int, default 0
        Seed of intervals and permutations.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        The first panel; all of them are ``.figure.axes``.

    Raises
    ------
    NotFoundError
        If fewer than 5 runs of the group have metrics, or all layers are saturated.
    """
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        words, gaps = generalization_gaps(view.results)
        runs = [r["run"] for r in view.recordings(group) if r["run"] in gaps]
        if len(runs) < FEWEST_RUNS:
            raise NotFoundError(
                f"the gap needs {FEWEST_RUNS} runs of a group with train and test loss or "
                f"accuracy; {group!r} has {len(runs)}",
                hint="record metrics with each checkpoint, and more seeds",
            )
        able = [e for q in ("ixt", "dse") for e in view.estimators(q, group=group)]
        chosen = estimator if estimator is not None else next(iter(able), None)
        found = gap_correlations(
            view.results, group=group, estimator=chosen, seed=seed, known=view.curves
        )
        names = [e["layer"] for e in found]
        shown = evenly(names, MAX_COLUMNS) if layers is None else [m for m in names if m in layers]
        found = [e for e in found if e["layer"] in shown]
        if not found:
            raise NotFoundError(f"no layer of {group!r} has a change that is not saturated")
        columns = min(len(found), 4, page.abreast(size, ax, 1.7))
        rows = -(-len(found) // columns)
        figure = page.area(ax, size, 1.0 + 2.0 * rows)
        grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
        short = short_names([e["layer"] for e in found])
        for panel in grid.ravel()[len(found) :]:
            panel.set_visible(False)
        for panel, entry in zip(grid.ravel(), found, strict=False):
            i = view.layers(group).index(entry["layer"])
            panel.plot(
                entry["gaps"], entry["changes"], look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)],
                color=view.quantity(entry["quantity"]).colour, markeredgecolor=look.ink(),
                markeredgewidth=0.7, markersize=5.5,
            )  # fmt: skip
            panel.set_xlim(*look.padded(min(entry["gaps"]), max(entry["gaps"]), 0.12))
            look.few_ticks(panel.xaxis, 3)
            look.few_ticks(panel.yaxis, 5)
            panel.set_ylim(*look.padded(min(entry["changes"]), max(entry["changes"]), 0.12))
            small = look.font_size("xtick.labelsize")
            name = broken(short[entry["layer"]], look.letters(5.6 / columns, 8))
            size_of_name = look.font_size("axes.labelsize")
            panel.set_title(name, loc="left", pad=7 + 2.5 * small, fontsize=size_of_name)
            panel.annotate(
                _numbers(entry), (0, 1), xycoords="axes fraction", xytext=(0, 5),
                textcoords="offset points", va="bottom", color=look.muted(),
                fontsize=small, linespacing=1.2,
            )  # fmt: skip
        for panel in grid[:, 0]:
            panel.set_ylabel("change  [bits]")
        for column in grid.T:
            lowest = [panel for panel in column if panel.get_visible()][-1]
            lowest.set_xlabel(words)
            lowest.tick_params(labelbottom=True)
        notes = [
            f"Change of {view.quantity(found[0]['quantity']).symbol}, peak to last.",
            f"One mark per run (n = {found[0]['n']}).",
            "ρ: Spearman, 95 % bootstrap interval.",
            "p: permutations, Holm over layers.",
            "Correlation over runs, not cause.",
        ]
        if len(names) > len(found):
            notes.append(f"{len(found)} of {len(names)} layers shown.")
        figure_titled(
            figure, f"Compression and generalisation — {middle_cut(look.drawable(group), 44)}",
            view.subtitle(group, chosen), notes,
        )  # fmt: skip
        first: Axes = grid[0, 0]
        return first


def _numbers(entry: Mapping[str, Any]) -> str:
    if entry["spearman"] is None or not np.isfinite(entry["spearman"]):
        return "no spread"
    interval = f"[{look.bits(entry['low'], 1)}, {look.bits(entry['high'], 1)}]"
    return f"ρ {look.bits(entry['spearman'])} {interval}\np {entry['p_holm']:.2g}"

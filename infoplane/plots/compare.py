"""Two results documents side by side: the plane, and the differences of the last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.estimators.quantities import IXT
from infoplane.gate.comparison import Difference
from infoplane.gate.comparison import compare as compare_results
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import place
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.plane.panel import draw_bounds, layer_labels
from infoplane.plots.plane.paths import Path, find_paths
from infoplane.plots.view import View, evenly, middle_cut, short_names

MAX_LAYERS = 12
_MARKS = {"ixt": "o", "ity": "s"}


def compare(
    results: Mapping[str, Any] | View,
    *,
    baseline: Mapping[str, Any] | View | None = None,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw results beside a baseline: both planes, and the difference of each layer, in bits.

    Parameters
    ----------
    results : mapping or View
        A results document, the candidate.
    baseline : mapping or View
        The results document to compare with. Groups are paired by name, single ones in any case.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default.
    estimator : str, optional
        Id of an estimator with I(X;T) and I(T;Y) in both; the first by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; of more than 12, 12 are taken evenly unless they are named here.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        The planes; ``.figure.axes`` are this and the panel of the differences.

    Raises
    ------
    NotFoundError
        Without a baseline, or if the two have no group, estimator or layer in common.
    DataError
        If settings differ (samples, labels, last step, estimator): the numbers would differ for
        that reason alone.
    """
    with look.context(style):
        view = View.of(results)
        if baseline is None:
            raise NotFoundError(
                "this figure needs a second results document to compare with",
                hint="name it with --baseline FILE, or baseline= in Python",
            )
        other = View.of(baseline)
        group = view.group(group)
        of_base = group
        if len(view.groups) == len(other.groups) == 1:
            of_base = other.groups[0]
        other.group(of_base)
        estimator = view.estimator(estimator, "ixt", "ity", group=group)
        other.estimator(estimator, "ixt", "ity", group=of_base)
        after = find_paths(view, group, estimator, layers)
        before = find_paths(other, of_base, estimator)
        common = [p.layer for p in after if p.layer in {q.layer for q in before}]
        if not common:
            raise NotFoundError(f"{group!r} and the baseline {of_base!r} have no layer in common")
        shown = evenly(common, MAX_LAYERS) if layers is None else common
        found = differences(view, other, (group, of_base), estimator, shown)
        height = max(4.0, 1.6 + 0.3 * len(shown))
        beside = page.abreast(size, ax, 2.3) > 1
        figure = page.area(ax, size, height if beside else 2.0 * height)
        if beside:
            plane, forest = figure.subplots(1, 2, width_ratios=[1.35, 1])
        else:
            plane, forest = figure.subplots(2, 1)
        after = [p for p in after if p.layer in shown]
        before = [p for p in before if p.layer in shown]
        _plane(plane, view, group, estimator, before, after)
        _forest(forest, found, shown)
        tolerances = sorted({round(d.tolerance, 3) for d in found})
        written = " and ".join(f"±{tolerance:g}" for tolerance in tolerances)
        notes = [
            "Difference of the last checkpoint, candidate less baseline.",
            f"Grey: the smallest change that counts ({written} bits).",
            _origin(view, other, group, of_base),
        ]
        if len(shown) < len(common):
            notes.append(f"{len(shown)} of {len(common)} layers shown; --layers chooses others.")
        ink = look.ink()
        handles = [
            Line2D([], [], color=look.muted(), ls="--", marker="o", markerfacecolor=look.paper(),
                   markeredgecolor=ink, label="baseline"),
            Line2D([], [], color=IXT.colour, marker="o", markeredgecolor=ink,
                   label="candidate"),
            *(
                Line2D([], [], color=view.quantity(q).colour, marker=mark,
                       label=f"difference of {view.quantity(q).symbol}")
                for q, mark in _MARKS.items()
            ),
        ]  # fmt: skip
        figure_titled(
            figure, f"Comparison with a baseline — {middle_cut(look.drawable(group), 44)}",
            view.subtitle(group, estimator), notes, handles,
        )  # fmt: skip
        page.laid_out(figure)
        place(
            plane, layer_labels(plane, after, view, group),
            lines=[p.mean for p in (*before, *after)], size=look.font_size("legend.fontsize"),
        )  # fmt: skip
        planes: Axes = plane
        return planes


def differences(
    view: View, other: View, groups: tuple[str, str], estimator: str, layers: Sequence[str]
) -> list[Difference]:
    """Return what ``infoplane compare`` finds, layer by layer, I(X;T) before I(T;Y)."""
    sides = [
        _part(v.results, {r["run"] for r in v.recordings(group)}, estimator, layers)
        for v, group in zip((other, view), (groups[1], groups[0]), strict=True)
    ]
    found = {(d.layer, d.quantity): d for d in compare_results(*sides).differences}
    keys = [(layer, quantity) for layer in layers for quantity in _MARKS]
    return [found[key] for key in keys if key in found and found[key].difference is not None]


def _part(
    results: Mapping[str, Any], runs: set[str], estimator: str, layers: Sequence[str]
) -> dict[str, Any]:
    """Return what is drawn of a document, as a document."""
    return {
        **results,
        "recordings": [r for r in results["recordings"] if r["run"] in runs],
        "estimators": [e for e in results["estimators"] if e["id"] == estimator],
        "rows": [
            row
            for row in results["rows"]
            if row["estimator"] == estimator
            and row["quantity"] in _MARKS
            and row["run"] in runs
            and row["layer"] in layers
        ],
    }


def _plane(
    ax: Axes, view: View, group: str, estimator: str, before: Sequence[Path], after: Sequence[Path]
) -> None:
    points = np.vstack([p.mean for p in (*before, *after)])
    h_y, ceiling = view.label_entropy(group), view.ceiling(group, estimator)
    x = [*points[:, 0], *([ceiling] if ceiling is not None else [])]
    y = [*points[:, 1], 0.0, *([h_y] if h_y is not None else [])]
    ax.set_xlim(*look.padded(min(x), max(x)))
    ax.set_ylim(*look.padded(min(y), max(y), 0.06))
    draw_bounds(ax, view, group, estimator, text=False)
    ink = look.ink()
    for paths, colour, dashes in (
        (before, look.muted(), "--"), (after, IXT.colour, "-")
    ):  # fmt: skip
        for path in paths:
            face = look.paper() if paths is before else colour
            ax.plot(*path.mean.T, color=colour, linestyle=dashes, linewidth=1.1, zorder=3)
            ax.plot(
                *path.mean[-1], marker=path.marker, color=face, markeredgecolor=ink,
                markersize=6, markeredgewidth=1.0, linestyle="none", zorder=4,
            )  # fmt: skip
    ax.set_xlabel("I(X;T)  [bits]")
    ax.set_ylabel("I(T;Y)  [bits]")


def _forest(ax: Axes, found: Sequence[Difference], layers: Sequence[str]) -> None:
    small = look.font_size("xtick.labelsize")
    widest = max(d.tolerance for d in found)
    ends = [
        end
        for d in found
        if d.result != "saturated"
        for end in (d.low, d.high, d.difference)
        if end is not None
    ]
    low, high = min([-2 * widest, *ends]), max([2 * widest, *ends])
    ax.set_xlim(*look.padded(low, high, 0.06))
    for d in found:
        row = layers.index(d.layer)
        y = row + (-0.17 if d.quantity == "ixt" else 0.17)
        ax.fill_betweenx([y - 0.16, y + 0.16], -d.tolerance, d.tolerance, color=look.muted(),
                         alpha=0.16, linewidth=0, zorder=0.5)  # fmt: skip
        assert d.difference is not None, d  # see `differences`
        if d.result == "saturated":
            ax.plot(d.difference, y, _MARKS[d.quantity], color=look.paper(), zorder=4,
                    markeredgecolor=look.SATURATED)  # fmt: skip
        else:
            colour = d.declared.colour
            if d.low is not None and d.high is not None:
                ax.plot([d.low, d.high], [y, y], "|-", color=colour, lw=1.2, ms=4, zorder=3)
            ax.plot(d.difference, y, _MARKS[d.quantity], color=colour, zorder=4)
        ax.annotate(
            d.result, (1, y), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=small, annotation_clip=False,
            color=look.SATURATED if d.result == "saturated" and look.on_white() else look.ink(),
            fontweight="bold" if d.result == "different" else "normal",
        )  # fmt: skip
    ax.axvline(0, color=look.ink(), linewidth=0.9, zorder=1.5)
    names = short_names(layers)
    ax.set_yticks(range(len(layers)), [middle_cut(names[m], 18) for m in layers])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_ylim(len(layers) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    for y in np.arange(len(layers) - 1) + 0.5:
        ax.axhline(y, color=look.hair(), linewidth=0.6, zorder=0.4)
    ax.set_xlabel("difference  [bits]")


def _origin(view: View, other: View, group: str, of_base: str) -> str:
    counts = [len(v.recordings(g)) for v, g in ((view, group), (other, of_base))]
    if min(counts) > 2:
        return f"Interval: 95 %, over {counts[0]} and {counts[1]} runs."
    return "Interval: 95 %, of the estimates, not of other seeds."

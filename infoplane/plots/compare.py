"""Two results documents side by side: the plane, and the differences of the last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.estimators.quantities import IXT
from infoplane.gate.comparison import compare as compare_results
from infoplane.gate.difference import Difference
from infoplane.gate.pairing import paired
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import place
from infoplane.plots.drawing import (
    OTHERS,
    Drawing,
    EstimatorOptions,
    drawing,
    figure,
    left_out,
)
from infoplane.plots.labels import middle_cut, short_names
from infoplane.plots.plane.panel import draw_bounds, layer_labels, name_axes
from infoplane.plots.plane.paths import Path, find_paths
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_LAYERS = 12
_MARKS = {"ixt": "o", "ity": "s"}


@figure(EstimatorOptions)
def compare(
    results: Mapping[str, Any] | View,
    *,
    baseline: Mapping[str, Any] | View | None = None,
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw results beside a baseline: both planes, and the difference of each layer, in bits.

    Parameters
    ----------
    results : mapping or View
        A results document, the candidate.
    baseline : mapping or View
        The results document to compare with. Groups are paired by name, single ones in any case.
    **options
        See `infoplane.plots.drawing.EstimatorOptions`; the estimator has I(X;T) and I(T;Y) in
        both. At most 12 layers unless they are named.

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
    if baseline is None:
        raise NotFoundError(
            "this figure needs a second results document to compare with",
            hint="name it with --baseline FILE, or baseline= in Python",
        )
    with drawing(results, *_MARKS, **options) as on:
        base = _base(on, View.of(baseline))
        after, before = find_paths(on), find_paths(base)
        common = [p.layer for p in after if p.layer in {q.layer for q in before}]
        if not common:
            raise NotFoundError(
                f"{on.group!r} and the baseline {base.group!r} have no layer in common"
            )
        shown = on.few(common, MAX_LAYERS)
        found = differences(on, base, shown)
        height = max(4.0, 1.6 + 0.3 * len(shown))
        beside = on.abreast(2.3) > 1
        area = on.area(height if beside else 2.0 * height)
        grid: dict[str, Any] = {"width_ratios": [1.35, 1]} if beside else {}
        plane, forest = area.subplots(*((1, 2) if beside else (2, 1)), **grid)
        after = [p for p in after if p.layer in shown]
        before = [p for p in before if p.layer in shown]
        _plane(plane, on, before, after)
        _forest(forest, on, found, shown)
        notes = [*_notes(on, base, found), *left_out(shown, common, OTHERS)]
        on.finish(area, "Comparison with a baseline", notes, _handles(on), most=44)
        page.once_laid_out(area, lambda: _name(plane, on, before, after))
        planes: Axes = plane
        return planes


def _name(ax: Axes, on: Drawing, before: Sequence[Path], after: Sequence[Path]) -> None:
    """Write the names of the layers beside the paths of the candidate."""
    lines = [p.mean for p in (*before, *after)]
    place(ax, layer_labels(ax, after, on), lines=lines, size=look.font_size("legend.fontsize"))


def _base(on: Drawing, other: View) -> Drawing:
    """Return the same of the baseline: the group that is paired with it."""
    pairs = paired(other.results, on.view.results)
    group = other.group(next(p.baseline for p in pairs if p.candidate == on.group) or on.group)
    other.estimator(on.estimator, *_MARKS, group=group)
    return replace(on, view=other, group=group, wanted=None)


def _notes(on: Drawing, base: Drawing, found: Sequence[Difference]) -> list[str]:
    tolerances = sorted({round(d.tolerance, 3) for d in found})
    written = " and ".join(f"±{tolerance:g}" for tolerance in tolerances)
    runs = [len(side.view.recordings(side.group)) for side in (on, base)]
    return [
        "Difference of the last checkpoint, candidate less baseline.",
        f"Grey: the smallest change that counts ({written} {on.unit}).",
        f"Interval: 95 %, over {runs[0]} and {runs[1]} runs."
        if min(runs) > 2
        else "Interval: 95 %, of the estimates, not of other seeds.",
    ]


def _handles(on: Drawing) -> list[Line2D]:
    ink = look.ink()
    return [
        Line2D([], [], color=look.muted(), ls="--", marker="o", markerfacecolor=look.paper(),
               markeredgecolor=ink, label="baseline"),
        Line2D([], [], color=IXT.colour, marker="o", markeredgecolor=ink, label="candidate"),
        *(
            Line2D([], [], color=on.view.quantity(q).colour, marker=mark,
                   label=f"difference of {on.view.quantity(q).symbol}")
            for q, mark in _MARKS.items()
        ),
    ]  # fmt: skip


def differences(on: Drawing, base: Drawing, layers: Sequence[str]) -> list[Difference]:
    """Return what ``infoplane compare`` finds, layer by layer, I(X;T) before I(T;Y)."""
    sides = compare_results(_part(base, layers), _part(on, layers))
    found = {(d.layer, d.quantity): d for d in sides.differences}
    keys = [(layer, quantity) for layer in layers for quantity in _MARKS]
    return [found[key] for key in keys if key in found and found[key].difference is not None]


def _part(of: Drawing, layers: Sequence[str]) -> dict[str, Any]:
    """Return what is drawn of a document, as a document."""
    results, estimator = of.view.results, of.estimator
    runs = {recording["run"] for recording in of.view.recordings(of.group)}
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


def _plane(ax: Axes, on: Drawing, before: Sequence[Path], after: Sequence[Path]) -> None:
    points = np.vstack([p.mean for p in (*before, *after)])
    h_y, ceiling = on.label_entropy, on.ceiling
    x = [*points[:, 0], *([ceiling] if ceiling is not None else [])]
    y = [*points[:, 1], 0.0, *([h_y] if h_y is not None else [])]
    ax.set_xlim(*look.padded(min(x), max(x)))
    ax.set_ylim(*look.padded(min(y), max(y), 0.06))
    draw_bounds(ax, on, text=False)
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
    name_axes(ax, on)


def _forest(ax: Axes, on: Drawing, found: Sequence[Difference], layers: Sequence[str]) -> None:
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
    ax.set_xlabel(f"difference  [{on.unit}]")

"""Compression per layer: peak and last value, the change with its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.view import View, middle_cut, short_names
from infoplane.results.phases import LayerVerdict, layer_verdicts

_MAX_ESTIMATORS = 6


def compression(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw peak, last value and change of I(X;T) or DSE per layer, all estimators, in bits.

    Parameters
    ----------
    results : mapping or View
        A results document; its ``phases`` are drawn.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default, as high as the layers need.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; all by default.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        Peak and last value; ``.figure.axes`` are this and the panel of the change.

    Raises
    ------
    NotFoundError
        If the results hold no phases of I(X;T) or DSE for the group.
    """
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        phases = [
            p
            for p in view.phases.values()
            if p["group"] == group and p["quantity"] in ("ixt", "dse")
            and (layers is None or p["layer"] in layers) and p["last"] is not None
        ]  # fmt: skip
        if not phases:
            raise NotFoundError(f"no phases of I(X;T) or DSE for {group!r}: analyze again")
        present = {p["layer"] for p in phases}
        names = [layer for layer in view.layers(group) if layer in present]
        estimators = list(dict.fromkeys((p["estimator"], p["quantity"]) for p in phases))
        estimators = estimators[:_MAX_ESTIMATORS]
        roomy = len(names) <= 12
        row = max(0.42 if roomy else 0.24, 0.1 * len(estimators) + 0.04)
        figure = page.area(ax, size, 1.35 + row * max(len(names), 3))
        ranges, forest = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
        marks = {
            key: (look.ESTIMATOR_COLOURS[i], look.ESTIMATOR_MARKERS[i])
            for i, key in enumerate(estimators)
        }
        offsets = np.linspace(-0.26, 0.26, len(estimators)) if len(estimators) > 1 else [0.0]
        row_of = {layer: i for i, layer in enumerate(names)}
        for key, offset in zip(estimators, offsets, strict=True):
            of_key = [p for p in phases if (p["estimator"], p["quantity"]) == key]
            found = [(row_of[p["layer"]] + offset, p) for p in of_key]
            _estimator(ranges, forest, found, *marks[key])
        _frame_ranges(ranges, view, group, names)
        _frame_forest(forest, phases)
        verdicts = layer_verdicts(phases)
        for i, layer in enumerate(names):
            _verdict(forest, i, verdicts[group, layer], two_lines=row >= 0.34 and _wide(forest))
        called = view.estimator_names(dict.fromkeys(key[0] for key in marks))
        called = {estimator: look.drawable(name) for estimator, name in called.items()}
        handles = [
            Line2D([], [], color=colour, marker=marker,
                   label=f"{view.quantity(key[1]).symbol}, {called[key[0]]}")
            for key, (colour, marker) in marks.items()
        ]  # fmt: skip
        figure_titled(
            figure, f"Compression by layer — {middle_cut(look.drawable(group), 48)}",
            view.subtitle(group), _notes(phases), handles,
        )  # fmt: skip
        peaks: Axes = ranges
        return peaks


def _estimator(
    ranges: Axes,
    forest: Axes,
    found: Sequence[tuple[float, Mapping[str, Any]]],
    colour: str,
    marker: str,
) -> None:
    """Draw one estimator on both sides: its phases, each at its height."""
    sure = [(y, p) for y, p in found if p["verdict"] != "saturated"]
    for y, p in found:
        if p["verdict"] == "saturated":
            ranges.plot(p["last"], y, marker, color=look.SATURATED, zorder=4)
            forest.annotate(
                "saturated, excluded" if _wide(forest) else "sat.", (0, y),
                xytext=(-6, 0), textcoords="offset points",
                ha="right", va="center", color=look.SATURATED,
                fontsize=look.font_size("xtick.labelsize"),
            )  # fmt: skip
    mark: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
    hollow = {**mark, "markerfacecolor": look.paper()}
    at = [y for y, _ in sure]
    spans = [(p["peak"], p["last"]) for _, p in sure]
    ranges.plot(*_bars(spans, at), color=colour, linewidth=1.6, zorder=3)
    ranges.plot([peak for peak, _ in spans], at, **hollow, markeredgewidth=1.2, zorder=3.5)
    ranges.plot([last for _, last in spans], at, **mark, zorder=4)
    changed = [(y, p) for y, p in sure if p["change"] is not None]
    known = [(y, p) for y, p in changed if p["change_low"] is not None]
    bars = _bars([(p["change_low"], p["change_high"]) for _, p in known], [y for y, _ in known])
    forest.plot(*bars, "|-", color=colour, linewidth=1.2, markersize=4, zorder=3)
    for some, look_of in ((known, mark), ([e for e in changed if e not in known], hollow)):
        forest.plot([p["change"] for _, p in some], [y for y, _ in some], **look_of, zorder=4)


def _bars(ends: Sequence[tuple[float, float]], at: Sequence[float]) -> tuple[list[float], ...]:
    """Return x and y of one line that is broken between bars."""
    x = [value for low, high in ends for value in (low, high, np.nan)]
    return x, [value for y in at for value in (y, y, np.nan)]


def _frame_ranges(ax: Axes, view: View, group: str, names: Sequence[str]) -> None:
    """Name the layers, mark log2 N."""
    width = page.width(ax.figure)
    small = look.font_size("xtick.labelsize")
    units, short = view.units(group), short_names(names, min(32, look.letters(0.24 * width, small)))
    texts = [f"{short[m]} ({units[m]})" if m in units and _wide(ax) else short[m] for m in names]
    ax.set_yticks(range(len(names)), texts)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_title(
        "Peak ○ and last checkpoint ●" if _wide(ax) else "Peak ○, last ●",
        fontsize=look.font_size("axes.labelsize"),
        pad=5 + 1.4 * small,  # above the name of the bound
    )  # fmt: skip
    ax.set_xlabel("I(X;T) or DSE  [bits]" if _wide(ax) else "size  [bits]")
    ceiling = view.ceiling(group)
    if ceiling is not None:
        low = min(ax.dataLim.x0, ceiling)
        ax.set_xlim(*look.padded(min(low, ceiling - 1), max(ax.dataLim.x1, ceiling)))
        ax.axvline(ceiling, color=look.ink(), linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
        left, right = ax.get_xlim()
        ax.annotate(
            f"log₂ N = {look.bits(ceiling)}", (ceiling, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 2), textcoords="offset points", va="bottom", fontsize=small,
            ha="right" if ceiling > (left + right) / 2 else "left",
        )  # fmt: skip
    _between_rows(ax, len(names))


def _wide(ax: Axes) -> bool:
    return page.abreast("double", ax.figure, 2.9) > 1


def _frame_forest(ax: Axes, phases: Sequence[Mapping[str, Any]]) -> None:
    tolerance = max((p.get("tolerance", 0.25) for p in phases), default=0.25)
    low = min(min(ax.dataLim.x0, -tolerance) * 1.08, -3 * tolerance)
    high = max(max(ax.dataLim.x1, tolerance) * 1.15, 2 * tolerance)
    if not np.isfinite([low, high]).all():
        low, high = -1.0, 1.0
    ax.set_xlim(low, max(high, low + 0.02))
    ax.axvspan(-tolerance, tolerance, color=look.muted(), alpha=0.14, linewidth=0, zorder=0.5)
    ax.axvline(0, color=look.ink(), linewidth=0.9, zorder=1.5)
    if all(p["change"] is None for p in phases):
        ax.text(0.5, 0.5, "needs two checkpoints", transform=ax.transAxes, ha="center",
                color=look.muted(), path_effects=look.halo())  # fmt: skip
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.set_title(
        "Change, 95 % interval" if _wide(ax) else "Change",
        fontsize=look.font_size("axes.labelsize"),
        pad=5 + 1.4 * look.font_size("xtick.labelsize"),
    )  # fmt: skip
    ax.set_xlabel("peak to last  [bits]" if _wide(ax) else "change  [bits]")
    _between_rows(ax, round(abs(np.diff(ax.get_ylim())[0])))


def _between_rows(ax: Axes, n: int) -> None:
    between = [[(0.0, y), (1.0, y)] for y in np.arange(n - 1) + 0.5]
    lines = LineCollection(
        between, colors=look.hair(), linewidths=0.6, zorder=0.4, transform=ax.get_yaxis_transform()
    )
    ax.add_collection(lines, autolim=False)


def _verdict(ax: Axes, y: int, verdict: LayerVerdict, *, two_lines: bool) -> None:
    """Write the joint verdict of a layer to the right of its row."""
    words = verdict.verdict.replace("_", " ")
    if verdict.agree:
        count = f"{verdict.agree} of {verdict.of} agree" if two_lines else ""
        words += f"\n{count}" if two_lines else f" {verdict.agree}/{verdict.of}"
    ax.annotate(
        words, (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
        textcoords="offset points", va="center", linespacing=1.25,
        color=look.VERDICT_COLOURS[verdict.verdict] if look.on_white() else look.ink(),
        fontweight="bold" if verdict.verdict == "compresses" else "normal",
        fontsize=look.font_size("xtick.labelsize"), annotation_clip=False,
    )  # fmt: skip


def _notes(phases: Sequence[Mapping[str, Any]]) -> list[str]:
    runs = {p["n_runs"] for p in phases}
    origins = {p.get("interval") for p in phases if p["change_low"] is not None}
    tolerance = max((p.get("tolerance", 0.25) for p in phases), default=0.25)
    notes = [f"Grey: ±{tolerance:.2f} bits, the smallest change that counts."]
    if not origins:
        notes.append("No intervals: too few checkpoints.")
    elif "runs" in origins:
        notes.append(f"Interval over {max(runs)} runs; peak chosen on the other runs.")
    elif runs == {1}:
        notes.append("One run: the interval is that of its jitter, not of other seeds.")
    else:
        notes.append(f"{max(runs)} runs: the interval is that of their jitter.")
    return notes

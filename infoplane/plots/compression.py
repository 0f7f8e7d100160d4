"""Compression per layer: peak and last value, the change with its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import FAR, Drawing, Options, drawing, figure
from infoplane.plots.labels import short_names
from infoplane.plots.many_layers import MANY, TALLEST, by_depth, landmarks, verdict_bars
from infoplane.plots.steps import BRACKET, bracket_notes
from infoplane.plots.view import SIZES, View
from infoplane.results.curves import Curves
from infoplane.results.verdicts import LayerVerdict, Phase, layer_verdicts

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_ESTIMATORS = 6
_Pair: TypeAlias = tuple[str, str]  # an estimator and its quantity


@figure(Options)
def compression(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw peak, last value and change of I(X;T) or DSE per layer, all estimators, in bits.

    Parameters
    ----------
    results : mapping or View
        A results document; its ``phases`` are drawn.
    **options
        See `infoplane.plots.drawing.Options`; a new figure is as high as the layers need.

    Returns
    -------
    Axes
        Peak and last value; ``.figure.axes`` are this and the panel of the change.

    Raises
    ------
    NotFoundError
        If the results hold no phases of I(X;T) or DSE for the group.
    """
    with drawing(results, **options) as on:
        phases = [
            p
            for p in on.view.phases.values()
            if p.group == on.group and p.quantity in SIZES and p.last is not None
            and on.wants(p.layer)
        ]  # fmt: skip
        if not phases:
            raise NotFoundError(f"no phases of I(X;T) or DSE for {on.group!r}: analyze again")
        silent = on.view.silent(on.group)
        if told := [p for p in phases if p.estimator not in silent]:
            phases, on = told, replace(on, aside=tuple(silent.values()))
        present = {p.layer for p in phases}
        names = [layer for layer in on.view.layers(on.group) if layer in present]
        pairs = list(dict.fromkeys((p.estimator, p.quantity) for p in phases))[:_MAX_ESTIMATORS]
        many = len(names) > MANY
        row = max(0.42 if len(names) <= 12 else 0.24, 0.1 * len(pairs) + 0.04)
        row = TALLEST / len(names) if many else row
        area = on.area(1.35 + row * max(len(names), 3))
        ranges, forest = area.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
        offsets = (
            np.linspace(-0.26, 0.26, len(pairs))
            if len(pairs) > 1 and not many
            else np.zeros(len(pairs))
        )
        row_of = {layer: i for i, layer in enumerate(names)}
        marks = _marks(on, pairs)
        for pair, offset in zip(pairs, offsets, strict=True):
            of_pair = [p for p in phases if (p.estimator, p.quantity) == pair]
            placed = [(row_of[p.layer] + offset, p) for p in of_pair]
            draw = _by_depth if many else _estimator
            draw(ranges, forest, placed, *marks[pair])
        drawn = [on.view.curves[p.key] for p in phases if p.key in on.view.curves]
        _brackets(ranges, drawn, pairs, marks, dict(zip(pairs, offsets, strict=True)), row_of)
        _frame_ranges(ranges, on, names, drawn)
        _frame_forest(forest, on, phases)
        verdicts = layer_verdicts(phases)
        handles: list[Artist] = [*_handles(on, marks)]
        if many:
            words = [verdicts[on.group, layer].verdict for layer in names]
            handles += verdict_bars(forest, words, row)
        for i, layer in enumerate(names if not many else ()):
            two_lines = row >= 0.34 and _wide(forest)
            _verdict(forest, i, verdicts[on.group, layer], two_lines=two_lines)
        notes = [*_notes(on, phases), *bracket_notes(drawn, "bars")[:1]]
        on.finish(area, "Compression by layer", notes, handles)
        peaks: Axes = ranges
        return peaks


def _marks(on: Drawing, pairs: Sequence[_Pair]) -> dict[_Pair, tuple[str, str]]:
    """Return colour and marker of what is drawn: the same in the figures of all groups."""
    of_all = [Phase.of_entry(entry) for entry in on.view.results["phases"]]
    several = len({p.group for p in of_all}) > 1
    every = [(p.estimator, p.quantity) for p in of_all if several and p.quantity in SIZES]
    order = list(dict.fromkeys([*every, *pairs]))
    if len(order) > _MAX_ESTIMATORS:  # more in all than there are colours
        order = list(pairs)
    looks = zip(look.ESTIMATOR_COLOURS, look.ESTIMATOR_MARKERS, strict=True)
    found = dict(zip(order, looks, strict=False))
    return {pair: found[pair] for pair in pairs}


def _handles(on: Drawing, marks: Mapping[tuple[str, str], tuple[str, str]]) -> list[Line2D]:
    """Return the legend: colour and marker of each estimator and its quantity."""
    called = on.view.estimator_names(dict.fromkeys(estimator for estimator, _ in marks))
    return [
        Line2D([], [], color=colour, marker=marker,
               label=f"{on.view.quantity(quantity).symbol}, {look.drawable(called[estimator])}")
        for (estimator, quantity), (colour, marker) in marks.items()
    ]  # fmt: skip


def _estimator(
    ranges: Axes, forest: Axes, found: Sequence[tuple[float, Phase]], colour: str, marker: str
) -> None:
    """Draw one estimator on both sides: its phases, each at its height."""
    for full, run in groupby(found, key=lambda one: one[1].saturated):
        if full:
            heights, full_ones = zip(*run, strict=True)
            ranges.plot(_column(full_ones, "last"), heights, marker, color=look.SATURATED,
                        linestyle="none", zorder=4)  # fmt: skip
            several = f" ({len(heights)} layers)" if _wide(forest) else f" ({len(heights)})"
            count = several if len(heights) > 1 else ""
            words = "saturated, excluded" if _wide(forest) and not count else "saturated"
            forest.annotate(
                (words if _wide(forest) else "sat.") + count, (0, heights[0]),
                xytext=(-6, 0), textcoords="offset points",
                ha="right", va="center", color=look.SATURATED,
                fontsize=look.font_size("xtick.labelsize"),
            )  # fmt: skip
    mark: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
    hollow = {**mark, "markerfacecolor": look.paper()}
    at = np.array([y for y, p in found if not p.saturated])
    sure = [p for _, p in found if not p.saturated]
    peak, last, change = (_column(sure, name) for name in ("peak", "last", "change"))
    ways = [
        np.array([p.first, p.peak, p.last, *(v for _, v in p.turns)], dtype=float) for p in sure
    ]
    low, high = np.array([[way.min(), way.max()] for way in ways]).reshape(-1, 2).T
    ranges.plot(*_bars(low, high, at), color=colour, linewidth=1.6, zorder=3)
    turns = [(v, y) for y, p in found if not p.saturated for _, v in [(0, p.first), *p.turns]]
    marks = np.array(turns, dtype=float).reshape(-1, 2)
    ranges.plot(*marks.T, "|", color=colour, markersize=7, zorder=3.2, label="_turns")
    ranges.plot(peak, at, **hollow, markeredgewidth=1.2, zorder=3.5)
    ranges.plot(last, at, **mark, zorder=4)
    low, high = _column(sure, "change_low"), _column(sure, "change_high")
    known = np.isfinite(low)
    bars = _bars(low[known], high[known], at[known])
    forest.plot(*bars, "|-", color=colour, linewidth=1.2, markersize=4, zorder=3)
    forest.plot(change[known], at[known], **mark, zorder=4)
    forest.plot(change[~known], at[~known], **hollow, zorder=4)


def _by_depth(
    ranges: Axes, forest: Axes, found: Sequence[tuple[float, Phase]], colour: str, marker: str
) -> None:
    """Draw one estimator of many layers: what `_estimator` draws, as lines downwards."""
    n = 1 + max(int(y) for y, _ in found)
    names = ("first", "peak", "last", "change", "change_low", "change_high")
    of = {name: np.full(n, np.nan) for name in names}
    low, high, full = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for y, p in found:
        if p.saturated:
            full[int(y)] = p.last
            continue
        for name, values in of.items():
            values[int(y)] = _column([p], name)[0]
        way = np.array([p.first, p.peak, p.last, *(v for _, v in p.turns)], dtype=float)
        low[int(y)], high[int(y)] = way.min(), way.max()
    by_depth(ranges, {"--": of["peak"], "-": of["last"]}, low, high, colour)
    by_depth(forest, {"-": of["change"]}, of["change_low"], of["change_high"], colour)
    ranges.plot(full, np.arange(n), marker, color=look.SATURATED, markersize=2.5, zorder=2.8)


def _column(phases: Sequence[Phase], name: str) -> FloatArray:
    """Return a member of phases (n,), NaN where there is none."""
    return np.array([getattr(phase, name) for phase in phases], dtype=float)


def _bars(low: FloatArray, high: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x and y of one line that is broken between bars."""
    gap = np.full(len(at), np.nan)
    return np.column_stack([low, high, gap]).ravel(), np.column_stack([at, at, gap]).ravel()


def _brackets(
    ax: Axes,
    drawn: Sequence[Curves],
    pairs: Sequence[tuple[str, str]],
    marks: Mapping[tuple[str, str], tuple[str, str]],
    offsets: Mapping[tuple[str, str], float],
    row_of: Mapping[str, int],
) -> None:
    """Draw a light bar between the bounds of the last checkpoint, where there are some."""
    for curve in drawn:
        pair, bracket = (curve.estimator, curve.quantity), curve.bracket()
        if pair not in pairs or bracket is None or not np.isfinite(bracket[0][-1]):
            continue
        y = row_of[curve.layer] + offsets[pair]
        ax.plot(
            [bracket[0][-1], bracket[1][-1]], [y, y], color=marks[pair][0], alpha=2 * BRACKET,
            linewidth=min(7, 58 * TALLEST / len(row_of)), solid_capstyle="butt",
            zorder=2.5, label=f"_bracket {curve.layer}",
        )  # fmt: skip


def _frame_ranges(ax: Axes, on: Drawing, names: Sequence[str], drawn: Sequence[Curves]) -> None:
    """Name the layers, mark log2 N where it bounds all that is drawn, and is near."""
    width = page.width(ax.figure)
    small = look.font_size("xtick.labelsize")
    units, short = on.units, short_names(names, min(32, look.letters(0.24 * width, small)))
    told = _wide(ax) and len(names) <= MANY
    texts = [f"{short[m]} ({units[m]})" if m in units and told else short[m] for m in names]
    places = landmarks(
        dict(zip(names, texts, strict=True)), len(names) if len(names) <= MANY else 36
    )
    ax.set_yticks([*places], [*places.values()])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_title(
        _title(len(names) > MANY, wide=_wide(ax)),
        fontsize=look.font_size("axes.labelsize"),
        pad=5 + 1.4 * small,  # above the name of the bound
    )  # fmt: skip
    ax.set_xlabel(f"{'I(X;T) or DSE' if _wide(ax) else 'size'}  [{on.unit}]")
    bounds = {(c.bound_name, c.bound) for c in drawn}
    ceiling = max((bound for _, bound in bounds if bound is not None), default=None)
    near = ceiling is not None and ceiling <= FAR * ax.dataLim.x1
    if ceiling is not None and near and {name for name, _ in bounds} == {"log2_n"}:
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


def _title(many: bool, *, wide: bool) -> str:
    if many:
        return "Peak (dashed) and last checkpoint" if wide else "Peak (- -), last"
    return "Peak ○ and last checkpoint ●" if wide else "Peak ○, last ●"


def _wide(ax: Axes) -> bool:
    return page.abreast("double", ax.figure, 2.9) > 1


def _frame_forest(ax: Axes, on: Drawing, phases: Sequence[Phase]) -> None:
    tolerance = max((p.tolerance for p in phases), default=0.25)
    low = min(min(ax.dataLim.x0, -tolerance) * 1.08, -3 * tolerance)
    high = max(max(ax.dataLim.x1, tolerance) * 1.15, 2 * tolerance)
    if not np.isfinite([low, high]).all():
        low, high = -1.0, 1.0
    ax.set_xlim(low, max(high, low + 0.02))
    ax.axvspan(-tolerance, tolerance, color=look.muted(), alpha=0.14, linewidth=0, zorder=0.5)
    ax.axvline(0, color=look.ink(), linewidth=0.9, zorder=1.5)
    if all(p.change is None for p in phases):
        ax.text(0.5, 0.5, "needs two checkpoints", transform=ax.transAxes, ha="center",
                color=look.muted(), path_effects=look.halo())  # fmt: skip
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.set_title(
        "Change, 95 % interval" if _wide(ax) else "Change",
        fontsize=look.font_size("axes.labelsize"),
        pad=5 + 1.4 * look.font_size("xtick.labelsize"),
    )  # fmt: skip
    ax.set_xlabel(f"{'peak to last' if _wide(ax) else 'change'}  [{on.unit}]")
    _between_rows(ax, round(abs(np.diff(ax.get_ylim())[0])))


def _between_rows(ax: Axes, n: int) -> None:
    if n > MANY:
        return
    between = [[(0.0, y), (1.0, y)] for y in np.arange(n - 1) + 0.5]
    lines = LineCollection(
        between, colors=look.hair(), linewidths=0.6, zorder=0.4, transform=ax.get_yaxis_transform()
    )
    ax.add_collection(lines, autolim=False)


def _verdict(ax: Axes, y: int, verdict: LayerVerdict, *, two_lines: bool) -> None:
    """Write the joint verdict of a layer to the right of its row."""
    words = verdict.verdict.replace("_", " ")
    if verdict.agree and verdict.verdict != "inconclusive":
        count = f"{verdict.agree} of {verdict.of} agree" if two_lines else ""
        words += f"\n{count}" if two_lines else f" {verdict.agree}/{verdict.of}"
    ax.annotate(
        words, (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
        textcoords="offset points", va="center", linespacing=1.25,
        color=look.verdict_colour(verdict.verdict),
        fontweight="bold" if verdict.verdict == "compresses" else "normal",
        fontsize=look.font_size("xtick.labelsize"), annotation_clip=False,
    )  # fmt: skip


def _notes(on: Drawing, phases: Sequence[Phase]) -> list[str]:
    runs = {p.n_runs for p in phases}
    origins = {p.interval for p in phases if p.change_low is not None}
    tolerance = max((p.tolerance for p in phases), default=0.25)
    notes = [f"Grey: ±{tolerance:.2f} {on.unit}, the smallest change that counts."]
    many = len({p.layer for p in phases}) > MANY
    if many:
        notes.append("Downwards: layers, in the order of the forward pass. Band: all values.")
    if many and (full := len({p.layer for p in phases if p.saturated})):
        notes.append(f"{full} layers are saturated by an estimator, and excluded there.")
    if not many and any(p.segments for p in phases if not p.saturated):
        notes.append("Ticks: first checkpoint, and where the curve turns.")
    if not origins:
        notes.append("No intervals: too few checkpoints.")
    elif "runs" in origins:
        notes.append(f"Interval over {max(runs)} runs; peak chosen on the other runs.")
    elif runs == {1}:
        notes.append("One run: the interval is that of its jitter, not of other seeds.")
    else:
        notes.append(f"{max(runs)} runs: the interval is that of their jitter.")
    return notes

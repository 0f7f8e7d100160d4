"""Quantities over training: a row per quantity, a column per layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from infoplane.data import FloatArray
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.drawing import (
    FAR,
    OTHERS,
    Drawing,
    EstimatorOptions,
    QuantityOptions,
    as_note,
    drawing,
    figure,
    left_out,
)
from infoplane.plots.labels import bound_label, in_words, most_lines, panel_names, subject
from infoplane.plots.view import SPECTRAL, View
from infoplane.results.curves import Curves
from infoplane.results.verdicts import Phase

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_COLUMNS = 8
BRACKET = 0.16
"""How dark the band between two bounds is."""

NARROW = 1.05
"""Inches, for text of 8 points: in narrower columns texts inside the panels are left out."""

NARROWEST = 0.85


@figure(QuantityOptions)
def steps(results: Mapping[str, Any] | View, **options: Unpack[QuantityOptions]) -> Axes:
    """Draw a quantity of at most 8 layers over the training step, in its unit.

    By default I(X;T), and I(T;Y) where there are labels; without I(X;T) what no other figure shows.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    InputError
        If there is no such quantity.
    NotFoundError
        If no estimator has it, or a layer is not there.
    """
    with drawing(results, first=("ixt",), **options) as on:
        if options.get("quantity") is None and on.quantity == "ixt":
            return _panels(on, "Mutual information per layer", ("ixt", "ity"))
        words = f"{on.about.symbol} per {subject(on.layers(on.quantity))}"
        return _panels(on, words, (on.quantity,))


@figure(EstimatorOptions)
def spectral(results: Mapping[str, Any] | View, **options: Unpack[EstimatorOptions]) -> Axes:
    """Draw diffusion spectral entropy and information over the training step, in bits.

    The parameters are those of `steps`, and so is what is returned. DSMI below 0 is drawn below 0.

    Raises
    ------
    NotFoundError
        If no estimator has DSE, or a layer is not there.
    """
    with drawing(results, "dse", **options) as on:
        return _panels(on, "Diffusion spectral entropy and information", SPECTRAL)


def _panels(on: Drawing, title: str, wanted: Sequence[str]) -> Axes:
    """Draw a row per quantity that the layers have; the first leads, the others follow it."""
    have = on.layers(on.quantity)
    names = on.few(have, min(MAX_COLUMNS, max(2, on.abreast(NARROWEST))))
    view, key = on.view, (on.group, on.estimator)
    rows = [q for q in wanted if any((key[0], m, key[1], q) in view.curves for m in names)]
    heads = panel_names(names, _fits_above(on, len(names)))
    tall = 1.6 if len(rows) < 3 else 1.35
    area = on.area(0.95 + tall * len(rows) + 0.13 * most_lines(heads.values()))
    axes = area.subplots(len(rows), len(names), squeeze=False)
    every = view.time(on.group)
    for quantity, line in zip(rows, axes, strict=True):
        limit(line, look.time_limits(every), (0.0, 1.0))
        _row(list(line), on, quantity, names)
        label_upright(line[0], on.view.quantity(quantity).axis, tall - 0.5)
    for panel, (layer, name) in zip(axes[0], heads.items(), strict=True):
        _head(panel, on, layer, name, len(names))
    for panel in axes[-1]:
        n_ticks = min(5, page.abreast(on.size, area, 0.3) // len(names))
        clock.step_axis(panel.xaxis, every, n_ticks=max(2, n_ticks))
    outer_ticks(axes)
    below = as_note(on.about_labels) if "ity" in rows else []
    on.finish(area, title, [*_notes(on), *below, *left_out(names, have, OTHERS)])
    first: Axes = axes[0, 0]
    return first


def _head(ax: Axes, on: Drawing, layer: str, name: str, n_columns: int) -> None:
    """Write layer and change above a column."""
    phase, units = on.phase(layer), on.units.get(layer)
    small = look.font_size("legend.fontsize")
    if units is not None and not _narrow(on, n_columns):
        *_, last = name.split("\n")
        beside = _fits_above(on, n_columns)(f"{last} ({units})")
        name = f"{name}{' ' if beside else chr(10)}({units})"
    size = look.font_size(_letters_above(on, n_columns))
    ax.set_title(name, loc="left", fontsize=size, pad=7 + 1.2 * small, linespacing=1.15)
    if phase.change is None and not phase.saturated:
        return
    change = on.view.number(on.quantity, phase.change, sign=True)
    below = "saturated" if phase.saturated else f"{change} {on.about.unit}"
    room = look.fits(panel_room(on.width, n_columns), small, bold=True)
    if not room(below) and not phase.saturated:
        below = change  # the unit is at the axis as well
    falls = phase.verdict == "compresses"
    colour = on.about.colour if falls else look.muted()
    ax.annotate(
        below, (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points",
        color=look.SATURATED if phase.saturated else colour, va="bottom",
        fontweight="bold" if falls else "normal", fontsize=look.font_size("legend.fontsize"),
    )  # fmt: skip


def _narrow(on: Drawing, n_columns: int) -> bool:
    return on.abreast(NARROW) < n_columns


def _letters_above(on: Drawing, n_columns: int) -> str:
    return "xtick.labelsize" if _narrow(on, n_columns) else "axes.labelsize"


def _fits_above(on: Drawing, n_columns: int) -> Callable[[str], bool]:
    """Return the test whether a line fits above one of the columns."""
    size = look.font_size(_letters_above(on, n_columns))
    return look.fits(panel_room(on.width, n_columns), size, bold=True)


def label_upright(ax: Axes, text: str, room: float) -> None:
    """Name the vertical axis, in lines that fit ``room`` inches for text of 8 points."""
    scale, size = look.font_size("font.size") / 8, look.font_size("axes.labelsize")
    ax.set_ylabel(in_words(text, look.fits(room * scale, size)))


def _row(axes: Sequence[Axes], on: Drawing, quantity: str, names: Sequence[str]) -> None:
    """Draw one quantity of all layers, on the same limits."""
    found = [on.curve(layer, quantity) for layer in names]
    present = [curve for curve in found if curve is not None]
    if not present:
        return
    leads, bound = quantity == on.quantity, shared_bound(present)
    beyond = bound is not None and _far(present, bound[1])
    low, high = _limits(present, None if bound is None or beyond else bound[1], leads)
    if beyond and quantity == "ixt":
        high += 0.12 * (high - low)  # for the text at the top
    look.few_ticks(axes[0].yaxis, 5)
    for ax, curve, layer in zip(axes, found, names, strict=True):
        ax.set_ylim(low, high)
        if curve is None:
            ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=look.muted())
            continue
        saturated = leads and on.phase(layer).saturated
        colour = on.view.quantity(quantity).colour
        draw_curve(ax, curve, colour, saturated=saturated, dashed=quantity == "dsmi_x")
        if bound is not None and not beyond:
            ax.axhline(bound[1], color=look.ink(), linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
        if low < 0:
            ax.axhline(0, color=look.muted(), linewidth=0.6, zorder=1.4)
        narrow = _narrow(on, len(names))
        _onset(ax, on.phase(layer), mark=leads, word="" if narrow else "onset ")
        if leads and not saturated:
            _turns(ax, on.phase(layer), colour)
        if saturated and not narrow:
            ax.text(
                0.95, 0.06, "saturated: at its\nceiling, not\ninformative", ha="right",
                va="bottom", transform=ax.transAxes, color=look.SATURATED,
                fontsize=look.font_size("legend.fontsize"),
            )  # fmt: skip
    if bound is not None:
        text = bound_label(bound[0], on.view.bound(quantity, bound[1]), "")
        axes[0].annotate(
            f"↑ {text}" if beyond else text, (0, 1 if beyond else bound[1]),
            xycoords=("axes fraction", "axes fraction" if beyond else "data"),
            xytext=(3, -10 if beyond else 2), textcoords="offset points",
            va="bottom", fontsize=look.font_size("xtick.labelsize"), path_effects=look.halo(),
        ).set_in_layout(False)  # fmt: skip


def shared_bound(present: Sequence[Curves]) -> tuple[str, float] | None:
    """Return name and value of the upper bound, if the layers share it."""
    bounds = {(c.bound_name, round(c.bound, 4)) for c in present if c.bound is not None}
    return bounds.pop() if len(bounds) == 1 else None


def _far(present: Sequence[Curves], bound: float) -> bool:
    """Return whether a bound is so far up that the curves would lie flat under it.

    I(T;Y) and DSE are read against theirs in any case.
    """
    highest = max(float(look.finite(c.values).max(initial=0.0)) for c in present)
    quantity = present[0].quantity
    times = FAR if quantity == "ixt" else 3
    return quantity not in ("ity", "dse") and bound > max(times * highest, 1.0)


def _limits(present: Sequence[Curves], bound: float | None, leads: bool) -> tuple[float, float]:
    """Return limits that hold the data and the bound, with room for text above and below."""
    parts = [look.finite(c.values) for c in present]
    for curve in present:
        for sides in (curve.spread(), curve.bracket()):
            parts.extend(look.finite(side) for side in sides or ())
    values = np.concatenate(parts)
    low, high = float(values.min()), float(values.max())
    if bound is not None:
        high = max(high, bound)
    if present[0].quantity == "ity":
        low = min(low, 0.0)
    in_bits = present[0].declared.unit == "bits" and present[0].declared.smallest_change is not None
    if leads and in_bits:
        low = min(low, high - 1.0)
    span = max(high - low, 0.1 if in_bits else 0.1 * abs(high) or 0.1)
    bottom = low - (0.24 if leads else 0.05) * span
    return bottom if in_bits or low < 0 else max(bottom, 0.0), high + 0.14 * span


def draw_curve(
    ax: Axes, curve: Curves, colour: str, *, saturated: bool = False, dashed: bool = False
) -> None:
    """Draw the mean, the runs behind it, its interval and its bracket.

    Where there are bounds alone the line is broken, and a bar joins the two.
    """
    colour = look.SATURATED if saturated else colour
    time, mean = curve.time, curve.mean()
    spread = curve.interval()
    if (bracket := curve.bracket()) is not None:
        ax.fill_between(
            time, *bracket, color=colour, alpha=BRACKET, linewidth=0, zorder=1.8,
            label=f"_bracket {curve.layer}",
        )  # fmt: skip
        alone = curve.bounds_alone
        ax.vlines(
            time[alone], bracket[0][alone], bracket[1][alone], color=colour, linewidth=2.0,
            alpha=0.5, zorder=2.1, label=f"_bounds {curve.layer}",
        )  # fmt: skip
    if spread is not None:
        ax.fill_between(time, *spread, color=colour, alpha=0.22, linewidth=0, zorder=2)
    if 1 < len(curve.runs) < 3:
        for run in curve.filled():
            ax.plot(time, run, color=colour, linewidth=0.6, alpha=0.5, zorder=2.2)
    kept = np.isfinite(mean) | curve.bounds_alone
    time, mean = time[kept], mean[kept]
    ax.plot(
        time, mean, color=colour, zorder=3, linestyle="--" if dashed else "-",
        label=f"_mean {curve.layer}", marker="o", markersize=3.5, markevery=_single(mean),
    )  # fmt: skip


def _single(values: FloatArray) -> list[int]:
    """Return where values stand between gaps: no line shows them."""
    there = np.concatenate([[False], np.isfinite(values), [False]])
    return np.flatnonzero(there[1:-1] & ~there[:-2] & ~there[2:]).tolist()


def _turns(ax: Axes, phase: Phase, colour: str) -> None:
    """Mark where the curve changes its direction."""
    if turns := phase.turns:
        steps, values = np.array(turns).T
        ax.plot(np.log10(steps + 1), values, "o", markersize=3.4, color=colour, zorder=3.5,
                markerfacecolor=look.paper(), label=f"_turns {phase.layer}")  # fmt: skip


def _onset(ax: Axes, phase: Phase, *, mark: bool, word: str) -> None:
    """Shade what comes after the onset; mark it with its interval."""
    if phase.onset_step is None:
        return
    at = float(np.log10(phase.onset_step + 1))
    ax.axvspan(at, ax.get_xlim()[1], color="#0072B2", alpha=0.06, linewidth=0, zorder=0.2)
    if not mark:
        return
    ax.axvline(at, color=look.ink(), linewidth=0.9, zorder=2.5)
    frame = ax.get_xaxis_transform()
    if phase.onset_low is not None and phase.onset_high is not None:
        ends = np.log10(np.array([phase.onset_low, phase.onset_high]) + 1.0)
        ax.plot(ends, [0.05, 0.05], color=look.ink(), linewidth=2.6, transform=frame,
                solid_capstyle="butt", zorder=2.6)  # fmt: skip
    left, right = ax.get_xlim()
    far = (at - left) > 0.5 * (right - left)
    text = ax.annotate(
        f"{word}{_shown(phase.onset_step)}", (at, 0.05), xycoords=frame,
        xytext=(-4 if far else 4, 3.5), textcoords="offset points", va="bottom",
        ha="right" if far else "left", fontsize=look.font_size("xtick.labelsize"),
        path_effects=look.halo(), zorder=4,
    )  # fmt: skip
    text.set_in_layout(False)


def _shown(step: int) -> str:
    time = clock.time_of(step)
    return f"{time:,.0f}" if time == round(time) else f"{time:,.1f}"


def bracket_notes(shown: Sequence[Curves], marks: str = "band") -> list[str]:
    """Return what the band of a bracket is, and the bars without a line, where there are some."""
    notes = []
    if any(c.bracket() is not None for c in shown):
        notes.append(f"Light {marks}: between the lower and the upper bound.")
    if any(c.bounds_alone.any() for c in shown):
        notes.append("Bars: the bounds alone, too far apart for a value.")
    return notes


def band_notes(shown: Sequence[Curves]) -> list[str]:
    """Return what the bands of `draw_curve` are: brackets, and intervals of values."""
    brackets = bracket_notes(shown)
    most = max((len(c.runs) for c in shown if c.interval() is not None), default=0)
    band = "Dark band" if brackets else "Band"
    if most > 2:
        return [*brackets, f"{band}: 95 % interval of the mean of {most} runs."]
    if most == 1:
        return [*brackets, f"{band}: 95 % interval of each estimate (one run)."]
    return brackets


def _notes(on: Drawing) -> list[str]:
    shown = on.view.of_group(on.group, on.estimator)
    notes = [f"Across: {clock.time_name()} (log scale).", *band_notes(shown)]
    phases = [on.phase(curve.layer, curve.quantity) for curve in shown]
    if any(p.onset_step is not None for p in phases if p.quantity == on.quantity):
        falls = "compression" if on.about.falls == "compresses" else "the fall"
        notes.append(f"Shaded: after the onset of {falls}; bar: its interval.")
    if any(p.turns for p in phases if p.quantity == on.quantity and not p.saturated):
        notes.append("Circles: where a curve turns.")
    if any(p.change is not None for p in phases):
        notes.append(f"Number: change of {on.about.symbol}, peak to last.")
    return notes

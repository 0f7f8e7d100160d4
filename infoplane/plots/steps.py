"""Quantities over training: a row per quantity, a column per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infoplane.estimators.quantities import Quantity
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.view import View, bound_label, broken, evenly, middle_cut, short_names
from infoplane.results.curves import Curves

MAX_COLUMNS = 8
NARROW = 1.05
"""Inches, for text of 8 points: in narrower columns texts inside the panels are left out."""

_NARROWEST = 0.85


def steps(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw I(X;T), and I(T;Y) where there are labels, over the training step, in bits.

    Parameters
    ----------
    results : mapping or View
        A results document.
    ax : Axes, optional
        Where to draw: the panels take the place of these axes in their figure. A new figure by
        default.
    estimator : str, optional
        Id of an estimator with I(X;T); the first by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; of more than 8, 8 are taken evenly unless they are named here.
    style, size : str
        See `infoplane.plots.canvas.style`.

    Returns
    -------
    Axes
        The first panel; all of them are ``.figure.axes``.

    Raises
    ------
    NotFoundError
        If no estimator has I(X;T), or a layer is not there.
    """
    return _panels(
        results, "Mutual information per layer", ("ixt",), ("ixt", "ity"),
        ax=ax, estimator=estimator, group=group, layers=layers, style=style, size=size,
    )  # fmt: skip


def spectral(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw diffusion spectral entropy and information over the training step, in bits.

    The parameters are those of `steps`, and so is what is returned. DSMI below 0 is drawn below 0.

    Raises
    ------
    NotFoundError
        If no estimator has DSE, or a layer is not there.
    """
    return _panels(
        results, "Diffusion spectral entropy and information", ("dse",),
        ("dse", "dsmi_y", "dsmi_x"),
        ax=ax, estimator=estimator, group=group, layers=layers, style=style, size=size,
    )  # fmt: skip


def _panels(
    results: Mapping[str, Any] | View,
    title: str,
    needed: tuple[str, ...],
    wanted: tuple[str, ...],
    *,
    ax: Axes | None,
    estimator: str | None,
    group: str | None,
    layers: Sequence[str] | None,
    style: str,
    size: str | float,
) -> Axes:
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        estimator = view.estimator(estimator, *needed, group=group)
        most = min(MAX_COLUMNS, max(2, page.abreast(size, ax, _NARROWEST)))
        names, note = _columns(view, group, estimator, layers, most)
        rows = [q for q in wanted if any((group, m, estimator, q) in view.curves for m in names)]
        figure = page.area(ax, size, 0.95 + (1.6 if len(rows) < 3 else 1.35) * len(rows))
        axes = figure.subplots(len(rows), len(names), squeeze=False)
        every = np.unique(
            np.concatenate([c.steps for c in view.curves.values() if c.group == group])
        )
        time = look.padded(np.log10(every[0] + 1.0), np.log10(every[-1] + 1.0))
        for quantity, line in zip(rows, axes, strict=True):
            _row(list(line), time, view, group, estimator, quantity, names)
        units = view.units(group)
        for panel, (layer, name) in zip(axes[0], short_names(names).items(), strict=True):
            phase = view.phases.get((group, layer, estimator, rows[0]), {})
            _head(panel, name, units.get(layer), phase, view.quantity(rows[0]), len(names))
        for panel in axes[-1]:
            n_ticks = min(5, page.abreast(size, figure, 0.3) // len(names))
            look.step_axis(panel.xaxis, every, n_ticks=max(2, n_ticks))
        outer_ticks(axes)
        figure_titled(
            figure, f"{title} — {middle_cut(look.drawable(group), 48)}",
            view.subtitle(group, estimator), [*_notes(view, group, estimator, rows), note],
        )  # fmt: skip
        first: Axes = axes[0, 0]
        return first


def _columns(
    view: View, group: str, estimator: str, layers: Sequence[str] | None, most: int
) -> tuple[list[str], str]:
    """Return the layers to draw and a note on those left out."""
    have = view.layers(group, estimator, among=layers)
    if layers is not None:
        return have, ""
    shown = evenly(have, most)
    if len(shown) == len(have):
        return shown, ""
    return shown, f"{len(shown)} of {len(have)} layers shown; --layers chooses others."


def _head(
    ax: Axes,
    name: str,
    units: int | None,
    phase: Mapping[str, Any],
    quantity: Quantity,
    n_columns: int,
) -> None:
    """Write layer and change above a column."""
    change, saturated = phase.get("change"), phase.get("verdict") == "saturated"
    narrow, small = _narrow(ax, n_columns), look.font_size("legend.fontsize")
    text = f"{name} ({units})" if units is not None and not narrow else name
    size = look.font_size("xtick.labelsize" if narrow else "axes.labelsize")
    room = page.width(ax.figure) * 0.85 / n_columns
    text = broken(text, look.letters(room, size, bold=True))
    ax.set_title(text, loc="left", fontsize=size, pad=7 + 1.2 * small, linespacing=1.15)
    if change is None and not saturated:
        return
    below = "saturated" if saturated else f"{look.bits(change, sign=True)} {quantity.unit}"
    falls = phase.get("verdict") == "compresses"
    colour = quantity.colour if falls else look.muted()
    ax.annotate(
        below, (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points",
        color=look.SATURATED if saturated else colour, fontweight="bold" if falls else "normal",
        fontsize=look.font_size("legend.fontsize"), va="bottom",
    )  # fmt: skip


def _narrow(ax: Axes, n_columns: int) -> bool:
    return page.abreast("double", ax.figure, NARROW) < n_columns


def _row(
    axes: list[Axes],
    time: tuple[float, float],
    view: View,
    group: str,
    estimator: str,
    quantity: str,
    names: list[str],
) -> None:
    found = [view.curves.get((group, layer, estimator, quantity)) for layer in names]
    present = [c for c in found if c is not None and np.isfinite(c.values).any()]
    if not present:
        limit(axes, time, (0.0, 1.0))
        return
    bound = _shared_bound(present)
    beyond = bound is not None and _far(present, bound[1])
    limit(axes, time, _limits(present, None if bound is None or beyond else bound[1]))
    look.few_ticks(axes[0].yaxis, 5)
    first, narrow = quantity in ("ixt", "dse"), _narrow(axes[0], len(names))
    for ax, curve, layer in zip(axes, found, names, strict=True):
        phase = view.phases.get((group, layer, estimator, "ixt" if first else quantity), {})
        size_phase = next(
            (view.phases.get((group, layer, estimator, q), {}) for q in ("ixt", "dse")
             if (group, layer, estimator, q) in view.phases),
            phase,
        )  # fmt: skip
        if curve is None or not np.isfinite(curve.values).any():
            ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=look.muted())
            continue
        _draw(ax, curve, saturated=first and size_phase.get("verdict") == "saturated")
        if bound is not None and not beyond:
            ax.axhline(bound[1], color=look.ink(), linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
        if ax.get_ylim()[0] < 0:
            ax.axhline(0, color=look.muted(), linewidth=0.6, zorder=1.4)
        if size_phase.get("onset_step") is not None:
            _onset(ax, size_phase, mark=first, word="" if narrow else "onset ")
        if first and size_phase.get("verdict") == "saturated" and not narrow:
            ax.text(
                0.95, 0.06, "saturated: at its\nceiling, not\ninformative", ha="right",
                va="bottom", transform=ax.transAxes, color=look.SATURATED,
                fontsize=look.font_size("legend.fontsize"),
            )  # fmt: skip
    if bound is not None:
        text = ("↑ " if beyond else "") + bound_label(*bound).removesuffix(" bits")
        axes[0].annotate(
            text, (0, 1 if beyond else bound[1]),
            xycoords=("axes fraction", "axes fraction" if beyond else "data"),
            xytext=(3, -10 if beyond else 2), textcoords="offset points",
            va="bottom", fontsize=look.font_size("xtick.labelsize"), path_effects=look.halo(),
        ).set_in_layout(False)  # fmt: skip
    axes[0].set_ylabel(view.quantity(quantity).axis)


def _shared_bound(present: Sequence[Curves]) -> tuple[str, float] | None:
    """Return name and value of the upper bound, if the layers share it."""
    bounds = {(c.bound_name, round(c.bound, 4)) for c in present if c.bound is not None}
    return bounds.pop() if len(bounds) == 1 else None


def _far(present: Sequence[Curves], bound: float) -> bool:
    """Return whether a bound of DSMI is so far up that the curves would lie flat under it."""
    highest = max(float(look.finite(c.values).max()) for c in present)
    return present[0].quantity in ("dsmi_y", "dsmi_x") and bound > max(3 * highest, 1.0)


def _limits(present: Sequence[Curves], bound: float | None) -> tuple[float, float]:
    """Return limits that hold the data and the bound, with room for text above and below."""
    parts = [look.finite(c.values) for c in present]
    for curve in present:
        parts.extend(look.finite(side) for side in curve.spread() or ())
    values = np.concatenate(parts)
    low, high = float(values.min()), float(values.max())
    if bound is not None:
        high = max(high, bound)
    if present[0].quantity == "ity":
        low = min(low, 0.0)
    if present[0].quantity in ("ixt", "dse"):
        low = min(low, high - 1.0)
    span = max(high - low, 0.1)
    below = 0.24 if present[0].quantity in ("ixt", "dse") else 0.05
    return low - below * span, high + 0.14 * span


def _draw(ax: Axes, curve: Curves, *, saturated: bool) -> None:
    """Draw the mean, the runs behind it, and the interval."""
    colour = look.SATURATED if saturated else curve.declared.colour
    time, mean = curve.time, curve.mean()
    spread = curve.spread()
    if spread is None and len(curve.runs) == 1:
        spread = curve.low[0], curve.high[0]
    if spread is not None and np.isfinite(spread[0]).any():
        ax.fill_between(time, *spread, color=colour, alpha=0.22, linewidth=0, zorder=2)
    if 1 < len(curve.runs) < 3:
        for run in curve.filled():
            ax.plot(time, run, color=colour, linewidth=0.6, alpha=0.5, zorder=2.2)
    there = np.isfinite(mean)
    mark: dict[str, Any] = {"marker": "o", "markersize": 3.5} if there.sum() == 1 else {}
    ax.plot(
        time[there], mean[there], color=colour, zorder=3,
        linestyle="--" if curve.quantity == "dsmi_x" else "-", label=f"_mean {curve.layer}", **mark,
    )  # fmt: skip


def _onset(ax: Axes, phase: Mapping[str, Any], *, mark: bool, word: str) -> None:
    """Shade what comes after the onset; mark it with its interval."""
    at = float(np.log10(phase["onset_step"] + 1))
    ax.axvspan(at, ax.get_xlim()[1], color="#0072B2", alpha=0.06, linewidth=0, zorder=0.2)
    if not mark:
        return
    ax.axvline(at, color=look.ink(), linewidth=0.9, zorder=2.5)
    low, high = phase.get("onset_low"), phase.get("onset_high")
    frame = ax.get_xaxis_transform()
    if low is not None and high is not None:
        ends = np.log10(np.array([low, high]) + 1.0)
        ax.plot(ends, [0.05, 0.05], color=look.ink(), linewidth=2.6, transform=frame,
                solid_capstyle="butt", zorder=2.6)  # fmt: skip
    left, right = ax.get_xlim()
    far = (at - left) > 0.5 * (right - left)
    text = ax.annotate(
        f"{word}{phase['onset_step']:,}", (at, 0.05), xycoords=frame,
        xytext=(-4 if far else 4, 3.5), textcoords="offset points", va="bottom",
        ha="right" if far else "left", fontsize=look.font_size("xtick.labelsize"),
        path_effects=look.halo(), zorder=4,
    )  # fmt: skip
    text.set_in_layout(False)


def _notes(view: View, group: str, estimator: str, rows: Sequence[str]) -> list[str]:
    shown = [c for (g, _, e, q), c in view.curves.items() if (g, e) == (group, estimator)]
    most = max(len(c.runs) for c in shown)
    notes = ["Across: training step (log scale)."]
    if most > 2:
        notes.append(f"Band: 95 % interval of the mean of {most} runs.")
    elif most == 1 and any(np.isfinite(c.low).any() for c in shown):
        notes.append("Band: 95 % interval of each estimate (one run).")
    phases = [p for key, p in view.phases.items() if (key[0], key[2]) == (group, estimator)]
    if any(p["onset_step"] is not None for p in phases if p["quantity"] == rows[0]):
        notes.append("Shaded: after the onset of compression; bar: its interval.")
    if any(p["change"] is not None for p in phases):
        notes.append(f"Number: change of {view.quantity(rows[0]).symbol}, peak to last.")
    return notes

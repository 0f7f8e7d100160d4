"""The loss curve: on a logarithmic axis with its power law, and the area above the final loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure
from infoplane.plots.view import View
from infoplane.results.curves import group_of_runs

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LOSS, _AREA, _FIT = "#0072B2", "#E69F00", (0, (4, 2))
_BITS = 1.0 / math.log(2)


@figure(EstimatorOptions)
def losses(results: Mapping[str, Any] | View, **options: Unpack[EstimatorOptions]) -> Axes:
    """Draw the loss log of the runs, in bits, over the tokens that were trained on.

    Left on a logarithmic axis, with the power law that was fitted; right the area above the final
    loss, whose size are the excess bits. Both are of the first run and the last step.

    Parameters
    ----------
    results : mapping or View
        A results document of runs with a loss log.

    Raises
    ------
    NotFoundError
        If no run of the group has a loss log.
    """
    with drawing(results, **options) as on:
        found = [r for r in on.view.recordings(on.group) if r.get("losses")]
        if not found:
            raise NotFoundError(
                f"this figure needs a loss log; {on.group!r} was recorded without",
                hint="log the loss with Recorder.log, or name a file with record --log",
            )
        unit = found[0]["losses"]["unit"]
        alike = [r for r in found if r["losses"]["unit"] == unit]
        area = on.area(3.2)
        left, right = area.subplots(1, 2, sharey=True)
        for recording in reversed(alike):
            at, loss = _curve(recording)
            first = recording is alike[0]
            for ax in (left, right):
                ax.plot(
                    at, loss, color=_LOSS, linewidth=1.2 if first else 0.6, zorder=3,
                    alpha=1.0 if first else 0.35, label=f"_run {recording['run']}",
                )  # fmt: skip
        told = _told(on, alike[0]["run"])
        handles: list[Artist] = [Line2D([], [], color=_LOSS, label="loss")]
        handles += _draw_fit(left, *_curve(alike[0]), told)
        handles += _draw_area(right, *_curve(alike[0]), told)
        left.set_xscale("log")
        log_numbers(left.xaxis)
        left.set_ylabel("loss  [bits]")
        for ax in (left, right):
            ax.set_xlabel(f"{unit} trained on", labelpad=1)
            look.few_ticks(ax.yaxis, 5)
            ax.xaxis.set_major_formatter(lambda value, _: clock.step_text(value))
        look.few_ticks(right.xaxis, 4)
        right.tick_params(labelleft=False)
        on.finish(area, "Loss curve", _notes(found, alike, told), handles)
        panel: Axes = left
        return panel


def _curve(recording: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    kept = recording["losses"]
    return np.array(kept["at"], dtype=float), np.array(kept["loss"], dtype=float) * _BITS


def _told(on: Drawing, run: str) -> dict[str, Any]:
    """Return what the last row of a run by an estimator of the loss log says of its curve."""
    groups, told = group_of_runs(on.view.results), dict[str, Any]()
    chosen = on.estimator or None
    rows = [
        row
        for row in on.view.results["rows"]
        if row["run"] == run and groups.get(run) == on.group and row["value"] is not None
        if row["quantity"] in ("prequential_excess_bits", "loss_floor")
    ]
    chosen = chosen or next((row["estimator"] for row in rows), None)
    for row in sorted(rows, key=lambda row: row["step"]):
        if row["estimator"] == chosen:
            told |= row.get("diag") or {}
            if row["quantity"] == "prequential_excess_bits":
                told["excess"] = row["value"]
    return told


def _draw_fit(
    ax: Axes, at: FloatArray, loss: FloatArray, told: Mapping[str, Any]
) -> Sequence[Line2D]:
    if not told.keys() >= {"floor", "amplitude", "exponent", "last"}:
        return []
    x = np.geomspace(at[0], at[-1], 200)
    fit = told["floor"] + told["amplitude"] * (x / told["last"]) ** -told["exponent"]
    kept = fit <= loss.max() + 0.1 * np.ptp(loss)
    ax.plot(x[kept], fit[kept], color=look.ink(), linestyle=_FIT, zorder=4, label="_fit")
    return [Line2D([], [], color=look.ink(), linestyle=_FIT, label="power law with a floor")]


def _draw_area(
    ax: Axes, at: FloatArray, loss: FloatArray, told: Mapping[str, Any]
) -> Sequence[Patch]:
    if "final" not in told:
        return []
    ax.fill_between(at, told["final"], loss, color=_AREA, alpha=0.35, linewidth=0, zorder=2)
    ax.axhline(told["final"], color=_AREA, linewidth=1.0, zorder=2.5, label="_final")
    return [Patch(color=_AREA, alpha=0.35, label="area above the final loss")]


def _notes(
    found: Sequence[Mapping[str, Any]], alike: Sequence[Mapping[str, Any]], told: Mapping[str, Any]
) -> list[str]:
    notes = []
    if "excess" in told:
        notes.append(f"Area: {told['excess']:,.4g} bits.")
    if {"floor", "exponent"} <= told.keys():
        notes.append(f"Fit: floor {told['floor']:.3g} bits, exponent {told['exponent']:.3g}.")
    if found[0]["losses"]["n"] > len(found[0]["losses"]["at"]):
        notes.append("Means over parts of equal length in log t.")
    if len(alike) > 1:
        notes.append(f"Area and fit: of {alike[0]['run']}.")
    if len(alike) < len(found):
        notes.append(f"{len(found) - len(alike)} runs counted otherwise are not shown.")
    return notes

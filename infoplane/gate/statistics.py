"""The number a rule reads off a curve, with its interval, or the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infoplane.data import Array, FloatArray
from infoplane.estimators.trust import UPPER
from infoplane.numerics.quantiles import student_quantile
from infoplane.results.absent import reason_of
from infoplane.results.curves import Curves

Cell: TypeAlias = tuple[str, int, str, str]
"""Run, step, layer, estimator id."""

_OF_PHASE = {
    "peak": ("peak", None, None),
    "change": ("change", "change_low", "change_high"),
    "onset": ("onset_step", "onset_low", "onset_high"),
}
_REASONS = {
    "failed": "without a number",
    "saturated": "saturated: the estimate follows its ceiling",
    "null_dominates": "null_dominates: mostly what shuffled labels give too",
}


@dataclass(frozen=True)
class Statistic:
    """A number in ``unit`` (or a count, step or verdict), or the reason why there is none.

    ``exact`` numbers have no sampling interval to speak of: counts, shares and verdicts.
    """

    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    n_runs: int = 0
    exact: bool = False
    reason: str = ""
    note: str = ""  # what happened, of a verdict
    unit: str = ""  # "" for a verdict
    word: str = ""  # of the quantity, for a verdict


def with_unit(number: str, unit: str) -> str:
    """Return a number with its unit: ``2.19 bits``, ``1 bit``, ``0.91 (share)``.

    What counts something follows the number; the name of what counts nothing is in brackets.
    """
    if not unit.endswith("s"):
        return f"{number} ({unit})" if unit else number
    return f"{number} {unit[:-1] if number in ('1', '-1') else unit}"


def curve_statistic(
    name: str,
    step: int | None,
    curve: Curves,
    phase: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
    at_ceiling: Container[Cell] = (),
) -> Statistic:
    """Return a statistic of the mean over runs of a curve.

    Parameters
    ----------
    name : str
        ``first``, ``last``, ``at``, ``min``, ``max``, ``mean`` (over the checkpoints), or ``peak``,
        ``change``, ``onset`` as in the phases.
    step : int or None
        The step of ``at``.
    curve : Curves
        The curve, in bits.
    phase : mapping or None
        Its phase, where the quantity has one.
    rows : sequence
        The rows of the curve: their flags say which cells can be read.
    at_ceiling : container of (run, step, layer, estimator)
        Cells with a quantity at a ceiling that the number of samples sets. A quantity at H(Y) can
        be read unless its cell is one of them: where it is, the label is known for free.

    Notes
    -----
    The interval of the mean is Student's over three or more runs; for one run it is that of the
    cell, for two the mean of both, widened to hold both values. That of ``min`` and ``max`` is of
    the band around the curve, point by point.
    """
    if reason := not_averaged(curve):
        return Statistic(reason=reason)
    found = _statistic(name, step, curve, phase, _blocked(curve, rows, at_ceiling))
    if _REASONS["failed"] in found.reason and (why := reason_of(rows)):
        return replace(found, reason=f"{found.reason}: {why}")
    return found


def _statistic(
    name: str, step: int | None, curve: Curves, phase: Mapping[str, Any] | None, blocked: Array
) -> Statistic:
    if name in _OF_PHASE:
        return _of_phase(name, curve, phase, blocked)
    if name == "mean":
        if reason := _reason_of_curve(blocked):
            return Statistic(reason=reason)
        return _of_runs(*(part.mean(axis=1) for part in (curve.values, curve.low, curve.high)))
    if name in ("min", "max"):
        return _extreme(name, curve, blocked)
    if name == "at":
        at = np.flatnonzero(curve.steps == step)
        if not at.size:
            return Statistic(reason=f"there is no step {step}")
        return _at(curve, int(at[0]), blocked)
    return _at(curve, {"first": 0, "last": -1}[name], blocked)


def not_averaged(curve: Curves) -> str:
    """Return why the runs of a curve have no mean, "" if they have one."""
    unlike = curve.settings_differ
    return f"the runs differ: {unlike}: not averaged" if unlike else ""


def interval_of_mean(
    values: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[float, float] | None:
    """Return the interval of the mean of one value per run, or None where there is no telling.

    Parameters
    ----------
    values, low, high : array (n_runs,)
        Value of each run and the interval of its cell, NaN where it has none; bits.
    """
    mean, n = float(values.mean()), len(values)
    if n > 2:
        half = float(student_quantile(n - 1, UPPER) * values.std(ddof=1) / np.sqrt(n))
        return mean - half, mean + half
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    if n == 1:
        return float(low[0]), float(high[0])
    return min(float(low.mean()), values.min()), max(float(high.mean()), values.max())


def cell(row: Mapping[str, Any]) -> Cell:
    """Return the cell that a row belongs to."""
    return row["run"], row["step"], row["layer"], row["estimator"]


def _blocked(
    curve: Curves, rows: Sequence[Mapping[str, Any]], at_ceiling: Container[Cell]
) -> Array:
    """Return (n_runs, n_steps) of reasons why a cell says nothing, "" where it can be read."""
    blocked = np.full(curve.values.shape, "failed", dtype=object)
    run_at = {run: i for i, run in enumerate(curve.runs)}
    step_at = {int(step): i for i, step in enumerate(curve.steps)}
    for row in rows:
        flags = row["flags"]
        reason = ""
        if row["value"] is None:
            reason = "failed"
        elif "saturated" in flags and (row.get("bound_name") != "h_y" or cell(row) in at_ceiling):
            reason = "saturated"
        elif "null_dominates" in flags:
            reason = "null_dominates"
        blocked[run_at[row["run"]], step_at[row["step"]]] = reason
    return blocked


def _reason(blocked: Array, where: str) -> str:
    """Return why cells cannot be read, with their number; "" if all can."""
    counts = Counter(reason for reason in blocked.ravel() if reason)
    if not counts:
        return ""
    reason, count = counts.most_common(1)[0]
    return f"{count} of {blocked.size} cells {where} {_REASONS[reason]}"


def _reason_of_curve(blocked: Array) -> str:
    """Return why a whole curve cannot be read: a hole, its end, or more than half of it."""
    holes: NDArray[np.bool_] = blocked == "failed"
    if holes.any():
        return _reason(np.where(holes, blocked, ""), "of the curve")
    unread = blocked != ""
    if unread[:, -1].mean() > 0.5 or unread.mean() > 0.5:
        return _reason(blocked, "of the curve")
    return ""


def _at(curve: Curves, at: int, blocked: Array) -> Statistic:
    if reason := _reason(blocked[:, at], f"at step {curve.steps[at]}"):
        return Statistic(reason=reason)
    return _of_runs(curve.values[:, at], curve.low[:, at], curve.high[:, at])


def _of_runs(values: FloatArray, low: FloatArray, high: FloatArray) -> Statistic:
    low_end, high_end = interval_of_mean(values, low, high) or (None, None)
    return Statistic(float(values.mean()), low_end, high_end, len(values))


def _extreme(name: str, curve: Curves, blocked: Array) -> Statistic:
    """Return the lowest or highest value of the mean curve, and that of the band around it."""
    if (blocked == "failed").any():
        return Statistic(reason=_reason_of_curve(blocked))
    choose = np.argmin if name == "min" else np.argmax
    here = int(choose(curve.values.mean(axis=0)))
    if reason := _reason(blocked[:, here], f"at step {curve.steps[here]}"):
        return Statistic(reason=reason)
    parts = zip(curve.values.T, curve.low.T, curve.high.T, strict=True)
    points = [interval_of_mean(*part) for part in parts]
    low, high = None, None
    if all(points):
        band = np.array(points)
        low, high = map(float, getattr(band, name)(axis=0))
    return Statistic(float(curve.values[:, here].mean()), low, high, len(curve.runs))


def _of_phase(
    name: str, curve: Curves, phase: Mapping[str, Any] | None, blocked: Array
) -> Statistic:
    assert phase is not None, curve.quantity
    if reason := _reason_of_curve(blocked):
        return Statistic(reason=reason)
    if phase["verdict"] == "saturated":
        return Statistic(reason="saturated: the estimate follows its ceiling")
    value, low, high = (phase[key] if key else None for key in _OF_PHASE[name])
    if value is None:
        reason = "it does not fall from its peak" if name == "onset" else "too few checkpoints"
        return Statistic(reason=reason)
    return Statistic(float(value), low, high, phase["n_runs"])

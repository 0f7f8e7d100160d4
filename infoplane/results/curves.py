"""Curves over training: the rows of a results document by layer, estimator and quantity."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.quantities import Quantity
from infoplane.numerics.quantiles import student_quantile
from infoplane.results.settings import difference
from infoplane.results.vocabulary import Vocabulary

_SAMPLING = {"bootstrap", "subsample", "jackknife", "analytic"}

CurveKey: TypeAlias = tuple[str, str, str, str]
"""Group, layer, estimator id, quantity."""


@dataclass(frozen=True, eq=False)
class Curves:
    """One quantity of one layer over training, in every run of a group; values in its unit."""

    group: str
    layer: str
    layer_index: int
    estimator: str
    quantity: str
    runs: tuple[str, ...]
    steps: IntArray  # (n_steps,) ascending; all steps of any run
    values: FloatArray  # (n_runs, n_steps), NaN where there is no number
    low: FloatArray  # (n_runs, n_steps) sampling interval of the cell, NaN where there is none
    high: FloatArray  # (n_runs, n_steps)
    bracket_low: FloatArray  # (n_runs, n_steps) bounds on the value, NaN where there are none
    bracket_high: FloatArray  # (n_runs, n_steps)
    null: FloatArray  # (n_runs, n_steps) what is read without the structure, NaN where unknown
    saturated: NDArray[np.bool_]  # (n_runs, n_steps)
    bound: float | None  # highest upper bound of any cell, but for brackets
    bound_name: str
    n: int  # samples of the largest cell
    declared: Quantity  # what the quantity is
    flags: Mapping[str, NDArray[np.bool_]]  # (n_runs, n_steps) of each that was raised
    by_c: Mapping[str, FloatArray]  # (3, n_runs, n_steps) value and bracket at other noise levels
    settings_differ: str  # what keeps the runs from being averaged, "" if nothing does

    @property
    def time(self) -> FloatArray:
        """``log10(step + 1)`` (n_steps,)."""
        time: FloatArray = np.log10(self.steps.astype(float) + 1.0)
        return time

    def filled(self) -> FloatArray:
        """Return the runs that hold numbers (n, n_steps), gaps interpolated over log step."""
        rows = [row for row in self.values if np.isfinite(row).any()]
        filled = np.full((len(rows), len(self.steps)), np.nan)
        time = self.time
        for out, row in zip(filled, rows, strict=True):
            known = np.flatnonzero(np.isfinite(row))
            inside = slice(known[0], known[-1] + 1)
            out[inside] = np.interp(time[inside], time[known], row[known])
        return filled

    def mean(self) -> FloatArray:
        """Return the mean over runs (n_steps,), gaps filled; NaN where there are bounds alone.

        There is none of runs whose settings differ.
        """
        none = self.bounds_alone | bool(self.settings_differ)
        return np.where(none, np.nan, mean_over_runs(self.filled()))

    def spread(self, level: float = 0.95) -> tuple[FloatArray, FloatArray] | None:
        """Return the interval of the mean over runs, each (n_steps,); None below 3 runs.

        There is none either of runs whose settings differ.
        """
        if self.settings_differ:
            return None
        values = self.filled()
        n = np.isfinite(values).sum(axis=0)
        if n.max(initial=0) < 3:
            return None
        mean = mean_over_runs(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.where(n > 2, np.nansum((values - mean) ** 2, axis=0) / (n - 1), np.nan)
            factor = [student_quantile(max(int(k) - 1, 1), 0.5 + level / 2) for k in n]
            half = np.array(factor) * np.sqrt(variance / n)
        return mean - half, mean + half

    def interval(self) -> tuple[FloatArray, FloatArray] | None:
        """Return `spread`, or of a single run the intervals of its cells; None without numbers."""
        found = self.spread()
        if found is None and len(self.runs) == 1:
            found = self.low[0], self.high[0]
        return found if found is not None and np.isfinite(found[0]).any() else None

    def bracket(self) -> tuple[FloatArray, FloatArray] | None:
        """Return the mean over runs of both bounds, each (n_steps,); None where there are none.

        The mean of the values lies between them.
        """
        if not np.isfinite(self.bracket_low).any():
            return None
        return mean_over_runs(self.bracket_low), mean_over_runs(self.bracket_high)

    @property
    def bounds_alone(self) -> NDArray[np.bool_]:
        """Steps (n_steps,) at which there are bounds, but no run has a value."""
        bounds, values = np.isfinite(self.bracket_low), np.isfinite(self.values)
        return np.logical_and(bounds.any(axis=0), ~values.any(axis=0))

    @property
    def says_something(self) -> bool:
        """Whether any cell has a value or a bracket."""
        return bool(np.isfinite(self.values).any() or np.isfinite(self.bracket_low).any())

    @property
    def is_saturated(self) -> bool:
        """Whether the last value, or more than half of them, is at its ceiling."""
        present = np.isfinite(self.values)
        if not present.any():
            return False
        last = np.flatnonzero(present.any(axis=0))[-1]
        at_last = self.saturated[present[:, last], last]
        return bool(at_last.mean() > 0.5 or self.saturated[present].mean() > 0.5)


def group_of(recording: Mapping[str, Any]) -> str:
    """Return the group of a recording; one without a group is a group of its own."""
    return str(recording.get("group") or recording["run"])


def group_of_runs(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the group of each run."""
    return {recording["run"]: group_of(recording) for recording in results["recordings"]}


def groups_of(results: Mapping[str, Any]) -> list[str]:
    """Return the groups of runs, in the order of the document."""
    return list(dict.fromkeys(map(group_of, results["recordings"])))


def curves(results: Mapping[str, Any]) -> dict[CurveKey, Curves]:
    """Return all curves of a results document, by group, layer, estimator and quantity.

    They come in the order of groups, layers of the forward pass, estimators and quantities of the
    document; rows whose run is not among the recordings form groups of their own.
    """
    groups = group_of_runs(results)
    cells: dict[CurveKey, list[Mapping[str, Any]]] = defaultdict(list)
    for row in results["rows"]:
        group = groups.setdefault(row["run"], row["run"])
        cells[group, row["layer"], row["estimator"], row["quantity"]].append(row)
    group_order = {group: i for i, group in enumerate(dict.fromkeys(groups.values()))}
    estimators = {e["id"]: i for i, e in enumerate(results["estimators"])}
    vocabulary = Vocabulary.of(results)
    made = {
        key: _curves_of_cells(key, rows, vocabulary.quantity(key[3])) for key, rows in cells.items()
    }
    quantities = {name: i for i, name in enumerate(vocabulary.quantities)}
    return dict(
        sorted(
            made.items(),
            key=lambda item: (
                group_order[item[0][0]],
                item[1].layer_index,
                item[0][1],
                estimators.get(item[0][2], len(estimators)),
                quantities.get(item[0][3], len(quantities)),
            ),
        )
    )


def _curves_of_cells(key: CurveKey, rows: list[Mapping[str, Any]], declared: Quantity) -> Curves:
    runs = tuple(dict.fromkeys(row["run"] for row in rows))
    steps = np.unique(np.array([row["step"] for row in rows], dtype=np.int64))
    run_at = {run: i for i, run in enumerate(runs)}
    step_at = {int(step): i for i, step in enumerate(steps)}
    values, low, high, bracket_low, bracket_high, nulls = np.full(
        (6, len(runs), len(steps)), np.nan
    )
    saturated = np.zeros(values.shape, dtype=bool)
    bounds: list[tuple[float, str]] = []
    flags: dict[str, NDArray[np.bool_]] = {}
    by_c: dict[str, FloatArray] = {}
    for row in rows:
        at = run_at[row["run"]], step_at[row["step"]]
        for flag in row["flags"]:
            flags.setdefault(flag, np.zeros(values.shape, dtype=bool))[at] = True
        for level, three in _levels(row):
            by_c.setdefault(level, np.full((3, *values.shape), np.nan))[(slice(None), *at)] = three
        null = (row.get("diag") or {}).get("null")
        if isinstance(null, (int, float)):
            nulls[at] = null
        if row["value"] is not None:
            values[at] = row["value"]
            saturated[at] = "saturated" in row["flags"]
            if row.get("ci_method") in _SAMPLING and None not in (row["ci_low"], row["ci_high"]):
                low[at], high[at] = row["ci_low"], row["ci_high"]
        if row.get("bound_name") == "bracket":
            if None not in (row["bound_low"], row["bound_high"]):
                bracket_low[at], bracket_high[at] = row["bound_low"], row["bound_high"]
        elif row["bound_high"] is not None:
            bounds.append((row["bound_high"], row.get("bound_name", "none")))
    bound, bound_name = max(bounds, default=(None, "none"))
    group, layer, estimator, quantity = key
    return Curves(
        group=group,
        layer=layer,
        layer_index=rows[0]["layer_index"],
        estimator=estimator,
        quantity=quantity,
        runs=runs,
        steps=steps,
        values=values,
        low=low,
        high=high,
        bracket_low=bracket_low,
        bracket_high=bracket_high,
        null=nulls,
        saturated=saturated,
        bound=bound,
        bound_name=bound_name,
        n=max(row["n"] for row in rows),
        declared=declared,
        flags=flags,
        by_c=by_c,
        settings_differ=_differing(rows),
    )


def _differing(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what differs between the settings of the runs, or the steps, of a curve."""
    by_run: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    by_step: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_run[row["run"]].append(row)
        by_step[f"step {row['step']}"].append(row)
    several = len({setting for row in rows if (setting := row.get("setting"))}) > 1
    return difference(by_run) or (difference(by_step) if several else "")


def _levels(row: Mapping[str, Any]) -> Iterator[tuple[str, list[float]]]:
    """Yield the noise levels of a row with value, low and high there; NaN where there is none."""
    told = (row.get("diag") or {}).get("by_c")
    for level, three in told.items() if isinstance(told, Mapping) else ():
        if isinstance(three, Sequence) and len(three) == 3:
            yield str(level), [x if isinstance(x, (int, float)) else math.nan for x in three]


def mean_over_runs(values: FloatArray) -> FloatArray:
    """Mean over runs (n_steps,) of what is there."""
    n = np.isfinite(values).sum(axis=0)
    total = np.nansum(values, axis=0)
    mean: FloatArray = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return mean

"""The difference of one value in two documents: its interval, its p-value, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy

from infoplane.estimators.quantities import Quantity
from infoplane.estimators.trust import UPPER
from infoplane.gate.evidence import Evidence
from infoplane.gate.pairing import Pair
from infoplane.gate.statistics import Statistic
from infoplane.results.curves import Curves
from infoplane.results.phases import smallest_change
from infoplane.results.settings import Key

Result = Literal["different", "same", "saturated", "unknown"]
Test = Literal["ci", "holm", "tolerance"]

LEVEL = 2 * (1 - UPPER)
"""Chance of a false rejection in one test."""

ONE_SIDED = ("only in the baseline", "only in the candidate")


@dataclass(frozen=True)
class Difference:
    """The last value of one curve in both documents, in the unit of its quantity."""

    group: str  # of the candidate
    split: str  # "" where all rows of the runs are seen
    layer: str
    estimator: str
    label: str  # of the estimator: without parameters where that is clear
    quantity: str
    declared: Quantity  # what the quantity is
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None  # 95 % interval of the difference, None where there is none
    high: float | None
    p: float | None  # of the test that there is no difference, None where there is no interval
    p_holm: float | None  # the same, corrected for the number of tests
    tolerance: float
    result: Result
    reason: str  # why it is unknown, or what the decision rests on
    curve: tuple[float, ...]  # of the candidate, mean over runs
    bound: float | None


class Side:
    """A group of runs in one of the documents; nothing if the document has no such group.

    ``called`` are ids of estimators by those of the other document, where they differ.
    """

    def __init__(
        self, evidence: Evidence, group: str | None, called: Mapping[str, str] | None = None
    ) -> None:
        self.evidence = evidence
        self.group = group
        self._called = dict(called or {})
        back = {own: theirs for theirs, own in self._called.items()}
        keys = [key[1:] for key in evidence.curves if key[0] == group]
        self.keys = [(layer, back.get(e, e), quantity) for layer, e, quantity in keys]

    def _own(self, key: Key) -> tuple[str, str, str, str]:
        layer, estimator, quantity = key
        return self.group or "", layer, self._called.get(estimator, estimator), quantity

    def curve(self, key: Key) -> Curves | None:
        """Return a curve by layer, estimator and quantity."""
        return None if self.group is None else self.evidence.curves.get(self._own(key))

    def rows(self, key: Key) -> list[Mapping[str, Any]]:
        """Return the rows of a curve."""
        return self.evidence.rows.get(self._own(key), [])

    def label(self, estimator: str) -> str:
        """Return the name of an estimator."""
        own = self._called.get(estimator, estimator)
        return self.evidence.labels.get(own, own)

    def last(self, key: Key) -> Statistic:
        """Return the last value, or why it says nothing."""
        if self.curve(key) is None:
            return Statistic(reason="not there")
        return self.evidence.statistic("last", self._own(key))

    def repeats(self, key: Key) -> bool:
        """Return whether H(T) stands for I(X;T): of a network without noise the two are one."""
        of, layer = self.curve(key), key[:2]
        other = self.curve((*layer, "ixt"))
        return bool(
            key[2] == "ht"
            and of is not None
            and other is not None
            and of.runs == other.runs
            and np.array_equal(of.steps, other.steps)
            and all(
                np.array_equal(a, b, equal_nan=True)
                for a, b in zip((of.values, of.low, of.high),
                                (other.values, other.low, other.high), strict=True)
            )
        )  # fmt: skip


def difference(
    pair: Pair, split: str, key: Key, baseline: Side, candidate: Side, tolerance: float | None,
    test: Test,
) -> Difference:  # fmt: skip
    """Return the difference of one curve, decided by itself.

    Parameters
    ----------
    pair, split : Pair and str
        The groups of the two sides, and the split of the second.
    key : Key
        The curve.
    baseline, candidate : Side
        Both groups.
    tolerance : float or None
        The largest difference that does not count; None for the default of the quantity.
    test : str
        Whether the interval counts as well.
    """
    curves = [baseline.curve(key), candidate.curve(key)]
    shown = curves[1] or curves[0]
    assert shown is not None
    bounds = [curve.bound for curve in curves if curve is not None and curve.bound is not None]
    allowed = (
        smallest_change(shown.declared, min(bounds, default=None), shown.values)
        if tolerance is None
        else tolerance
    )
    numbers = [_last(curve) for curve in curves]
    change: float | None = None
    spread = _Spread()
    result: Result = "unknown"
    reason = ""
    if curves[0] is None or curves[1] is None:
        reason = ONE_SIDED[curves[0] is None]
    elif numbers[0] is None or numbers[1] is None:
        reason = f"no number in the {'baseline' if numbers[0] is None else 'candidate'}"
    else:
        sides = baseline.last(key), candidate.last(key)
        change = numbers[1] - numbers[0]
        spread = _spread(*sides, change)
        saturated = any("saturated" in side.reason for side in sides)
        result, reason = _decided(change, spread, allowed, test, saturated=saturated)
    mean = shown.mean()
    layer, estimator, quantity = key
    labels = {side.label(estimator) for side in (baseline, candidate)}
    return Difference(
        group=pair.group,
        split=split,
        layer=layer,
        estimator=estimator,
        label=labels.pop() if len(labels) == 1 else estimator,
        quantity=quantity,
        declared=shown.declared,
        baseline=numbers[0],
        candidate=numbers[1],
        difference=change,
        low=spread.low,
        high=spread.high,
        p=spread.p,
        p_holm=None,
        tolerance=allowed,
        result=result,
        reason=reason,
        curve=tuple(mean[np.isfinite(mean)].tolist()),
        bound=shown.bound,
    )


def _last(curve: Curves | None) -> float | None:
    """Return the last value even where a rule could not use it: it is shown."""
    if curve is None or not np.isfinite(curve.values[:, -1]).all():
        return None
    return float(curve.values[:, -1].mean())


class _Spread(NamedTuple):
    """The interval of a difference and its p-value; nothing where a side has no interval."""

    low: float | None = None
    high: float | None = None
    p: float | None = None


def _decided(
    change: float, spread: _Spread, allowed: float, test: Test, *, saturated: bool
) -> tuple[Result, str]:
    if abs(change) > allowed:
        if test == "tolerance" or spread.low is None or spread.high is None:
            return "different", "" if test == "tolerance" else "no interval: tolerance alone"
        if spread.low > 0 or spread.high < 0:
            return "different", ""
        return ("saturated", "") if saturated else ("same", "the interval holds 0")
    return ("saturated", "") if saturated else ("same", "")


def _spread(first: Statistic, second: Statistic, change: float) -> _Spread:
    """Return the 95 % interval of a difference of means: Welch's, from the interval of each side.

    A side of three or more runs has n - 1 degrees of freedom; the interval of fewer runs is about
    their samples, and taken as normal.
    """
    parts = []
    for side in (first, second):
        if side.low is None or side.high is None:
            return _Spread()
        freedom = float(side.n_runs - 1) if side.n_runs > 2 else np.inf
        parts.append((((side.high - side.low) / 2 / _quantile(freedom)) ** 2, freedom))
    total = parts[0][0] + parts[1][0]
    if not total > 0:
        return _Spread(change, change, float(change == 0))
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    freedom = total**2 / spread if spread > 0 else np.inf
    error = float(np.sqrt(total))
    half = _quantile(freedom) * error
    return _Spread(change - half, change + half, 2 * _below(freedom, -abs(change) / error))


def _quantile(freedom: float) -> float:
    """Return Student's quantile at half the level; the normal one for infinite freedom."""
    special, at = scipy.special, UPPER
    return float(special.stdtrit(freedom, at) if np.isfinite(freedom) else special.ndtri(at))


def _below(freedom: float, value: float) -> float:
    """Return Student's probability below a value; the normal one for infinite freedom."""
    special = scipy.special
    return float(special.stdtr(freedom, value) if np.isfinite(freedom) else special.ndtr(value))

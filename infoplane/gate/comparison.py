"""Compare results with a baseline: the last value of every layer and quantity, like with like.

Two numbers are *different* if they are further apart than the tolerance and the interval of their
difference leaves out 0. Numbers made under different settings (samples, labels, estimator, steps,
noise) are not compared at all. Where only a view beside the others differs, as I(X;T) at the noise
that the runs of each document fixed, it is left out by name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy

from infoplane.calls import document_of, one_of, unfit
from infoplane.errors import DataError, NotFoundError
from infoplane.estimators.quantities import Quantity
from infoplane.estimators.trust import UPPER
from infoplane.gate.evidence import Evidence
from infoplane.gate.statistics import Statistic
from infoplane.results.curves import Curves, group_of, groups_of
from infoplane.results.phases import smallest_change
from infoplane.results.settings import Key, Unlike, apart, difference, in_words
from infoplane.results.vocabulary import contradictory
from infoplane.text import printable, shortened

Result = Literal["different", "same", "saturated", "unknown"]
Test = Literal["ci", "tolerance"]

_SETTINGS = {
    "n": "samples",
    "split": "split",
    "n_classes": "classes",
    "h_y": "H(Y)",
    "last step": "last step",
}

_ONLY = ("only in the baseline", "only in the candidate")

_DRAWN = 0.05
"""Bits: the most that H(Y) of samples drawn class by class may be apart."""


@dataclass(frozen=True)
class Difference:
    """The last value of one curve in both documents, in the unit of its quantity."""

    group: str
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
    tolerance: float
    result: Result
    reason: str  # why it is unknown, or what the decision rests on
    curve: tuple[float, ...]  # of the candidate, mean over runs
    bound: float | None


@dataclass(frozen=True)
class Comparison:
    """All differences of two documents, their settings that differ, and what was left out."""

    differences: tuple[Difference, ...]
    mismatches: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # quantities that were not compared, and what differs of them

    def of(self, *results: Result) -> list[Difference]:
        """Return the differences with one of these results."""
        return [d for d in self.differences if d.result in results]

    @property
    def one_sided(self) -> dict[str, tuple[str, int]]:
        """Groups that one document alone has: which one, and how many values it has of them."""
        groups: dict[str, list[Difference]] = defaultdict(list)
        for d in self.differences:
            groups[d.group].append(d)
        return {
            group: (found[0].reason, len(found))
            for group, found in groups.items()
            if found[0].reason in _ONLY and len({d.reason for d in found}) == 1
        }

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is unknown."""
        return not self.of("different", "unknown")

    @property
    def verdict(self) -> str:
        """One line: how many values differ."""
        counts = Counter(d.result for d in self.differences)
        head = f"{counts['different']} of {len(self.differences)} differ"
        others = [f"{counts[r]} {r}" for r in ("unknown", "saturated", "same") if counts[r]]
        return ", ".join([head, *others])


def compare(
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    *,
    tolerance: float | None = None,
    test: Test = "ci",
    allow_mismatch: bool = False,
) -> Comparison:
    """Compare two results documents.

    Parameters
    ----------
    baseline, candidate : mapping
        Results documents. Groups of runs are paired by name; a single group with a single group.
    tolerance : float, optional
        Differences up to this, in the unit of each quantity, are none. Default: the smallest
        change of the quantity (0.25 bits), or 5 % of its bound where that is less.
    test : {"ci", "tolerance"}
        Whether the interval of the difference must leave out 0 as well. Where there is no interval
        the tolerance decides.
    allow_mismatch : bool
        Compare in spite of different settings; they are listed in the result.

    Raises
    ------
    InputError
        If an argument is of the wrong type.
    DataError
        IP318, if the settings differ; the message names the first difference. Where only the
        noise differs that the runs fixed (``ixt_fixed``), that is left out and named.
    NotFoundError
        If one of them holds similarities and no estimates.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> comparison = infoplane.compare(results, results)
    >>> comparison.of("different")
    []
    """
    for argument, given in (("baseline", baseline), ("candidate", candidate)):
        document_of(given, argument)
    if tolerance is not None and not (isinstance(tolerance, (int, float)) and tolerance >= 0):
        raise unfit("tolerance", "a number of at least 0, or None", tolerance)
    one_of(test, "test", "ci", "tolerance")
    if difference := contradictory({"baseline": baseline, "candidate": candidate}):
        raise DataError(f"not comparable: {difference}", code="IP318")
    for argument, document in (("baseline", baseline), ("candidate", candidate)):
        if not document["rows"] and document.get("similarities"):
            raise NotFoundError(
                f"{argument}: it holds similarities alone, and no estimates to compare",
                hint="infoplane compare BASELINE_RUN CANDIDATE_RUN --similarity compares layers",
                code="IP404",
            )
    pairs = _paired(baseline, candidate)
    old, new = Evidence(baseline), Evidence(candidate)
    sides = {group: (_Side(old, a), _Side(new, b)) for group, (a, b) in pairs.items()}
    refused, beside = _unlike(sides)
    mismatches = (*_mismatches(baseline, candidate, pairs), *_told(refused))
    if mismatches and not allow_mismatch:
        more = f" (and {len(mismatches) - 1} more)" if mismatches[1:] else ""
        raise DataError(
            f"not comparable: {mismatches[0]}{more}",
            hint="analyze both with the same settings (analyze --settings-from BASELINE), or "
            "compare anyway with --allow-mismatch",
            code="IP318",
        )
    found = []
    for group, (first, second) in sides.items():
        for key in dict.fromkeys([*second.keys, *first.keys]):
            if allow_mismatch or key not in beside[group]:
                found.append(_difference(group, key, first, second, tolerance, test))
    left_out = _told(beside)
    if allow_mismatch:
        return Comparison(tuple(found), (*mismatches, *left_out))
    return Comparison(tuple(found), mismatches, left_out)


class _Side:
    """A group of runs in one of the documents; nothing if the document has no such group."""

    def __init__(self, evidence: Evidence, group: str | None) -> None:
        self.evidence = evidence
        self.group = group
        self.keys = [key[1:] for key in evidence.curves if key[0] == group]

    def curve(self, key: Key) -> Curves | None:
        """Return a curve by layer, estimator and quantity."""
        return None if self.group is None else self.evidence.curves.get((self.group, *key))

    def rows(self, key: Key) -> list[Mapping[str, Any]]:
        """Return the rows of a curve."""
        return self.evidence.rows.get((self.group or "", *key), [])

    def last(self, key: Key) -> Statistic:
        """Return the last value, or why it says nothing."""
        if self.group is None or key not in self.keys:
            return Statistic(reason="not there")
        return self.evidence.statistic("last", (self.group, *key))


def _paired(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any]
) -> dict[str, tuple[str | None, str | None]]:
    """Return the groups to compare: in the baseline, in the candidate; None where it has none."""
    old, new = groups_of(baseline), groups_of(candidate)
    if len(old) == len(new) == 1:
        return {new[0]: (old[0], new[0])}
    names = dict.fromkeys([*new, *old])
    return {n: (n if n in old else None, n if n in new else None) for n in names}


def _mismatches(
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    pairs: Mapping[str, tuple[str | None, str | None]],
) -> Iterator[str]:
    """Yield every setting that differs: of the samples, of the training, of an estimator."""
    for before, after in pairs.values():
        old, new = _settings(baseline, before), _settings(candidate, after)
        for key, name in _SETTINGS.items():
            if before is None or after is None or old[key] == new[key]:
                continue
            if key != "h_y" or not _drawn_alike(old, new):
                yield (
                    f"{name} of {printable(after)} {_listed(old[key])} in the baseline, "
                    f"{_listed(new[key])} in the candidate"
                )
    known = {entry["id"]: entry for entry in baseline["estimators"]}
    for entry in candidate["estimators"]:
        other = known.get(entry["id"])
        if other is None:
            continue
        about = printable(entry["id"])
        if other["version"] != entry["version"]:
            versions = f"{other['version']} in the baseline, {entry['version']} in the candidate"
            yield f"version of estimator {about}: {printable(shortened(versions, 120))}"
        params = {"the baseline": other["params"], "the candidate": entry["params"]}
        if differ := difference({}, params):
            yield f"params of estimator {about}: {differ}"
    both = [e for e in candidate["estimators"] if e["id"] in known]
    if not both and candidate["estimators"] and known:
        yield (
            f"estimators {_listed(known)} in the baseline, "
            f"{_listed(e['id'] for e in candidate['estimators'])} in the candidate"
        )


def _unlike(
    sides: Mapping[str, tuple[_Side, _Side]],
) -> tuple[dict[str, Unlike], dict[str, Unlike]]:
    """Return what differs in the rows by group, layer, estimator and quantity.

    First of estimators that cannot be compared for it, then of quantities that can be left out.
    """
    refused, beside = {}, {}
    for group, (first, second) in sides.items():
        unlike: dict[Key, str] = {}
        measured: dict[Key, Quantity] = {}
        for key in first.keys:
            curves = first.curve(key), second.curve(key)
            if curves[0] is None or curves[1] is None:
                continue
            measured[key] = curves[1].declared
            both = {"the baseline": first.rows(key), "the candidate": second.rows(key)}
            own = curves[0].settings_differ or curves[1].settings_differ
            if differ := difference(both) or own:
                unlike[key] = differ
        refused[group], beside[group] = apart(unlike, measured)
    return refused, beside


def _told(unlike: Mapping[str, Unlike]) -> tuple[str, ...]:
    """Return what differs in words; the group is named where there are several."""
    several = len(unlike) > 1
    return tuple(
        f"{printable(group)}: {sentence}" if several else sentence
        for group, found in unlike.items()
        for sentence in in_words(found)
    )


def _settings(results: Mapping[str, Any], group: str | None) -> dict[str, list[Any]]:
    chosen = [r for r in results["recordings"] if group_of(r) == group]
    found: dict[str, list[Any]] = {}
    for key in (*_SETTINGS, "n_dropped"):
        values = [
            max(r["steps"], default=None) if key == "last step" else r.get(key) for r in chosen
        ]
        rounded = [round(v, 6) if isinstance(v, float) else v for v in values]
        found[key] = sorted(set(rounded), key=str)
    return found


def _drawn_alike(old: Mapping[str, Sequence[Any]], new: Mapping[str, Sequence[Any]]) -> bool:
    """Return whether H(Y) differs by no more than the rounding of counts of drawn classes.

    As many samples as a baseline has are drawn of each class its share: of ``k`` classes that
    moves H(Y) by up to ``k log2(k) / n`` bits. Where all samples were used it must be equal.
    """
    known = [x for side in (old, new) for key in ("h_y", "n_classes", "n") for x in side[key]]
    if None in known or not any([*old["n_dropped"], *new["n_dropped"]]):
        return False
    k, n = max(*old["n_classes"], *new["n_classes"]), min(*old["n"], *new["n"])
    most = min(k * np.log2(k) / n, _DRAWN)
    sides = ((old["h_y"], new["h_y"]), (new["h_y"], old["h_y"]))
    return all(min(abs(a - b) for b in others) <= most for own, others in sides for a in own)


def _listed(values: Any) -> str:
    return printable(shortened(", ".join(map(str, values)), 80)) or "none"


def _difference(
    group: str,
    key: Key,
    baseline: _Side,
    candidate: _Side,
    tolerance: float | None,
    test: Test,
) -> Difference:
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
    change = low = high = None
    result: Result = "unknown"
    reason = ""
    if curves[0] is None or curves[1] is None:
        reason = _ONLY[curves[0] is None]
    elif numbers[0] is None or numbers[1] is None:
        reason = f"no number in the {'baseline' if numbers[0] is None else 'candidate'}"
    else:
        sides = baseline.last(key), candidate.last(key)
        change = numbers[1] - numbers[0]
        low, high = _interval(*sides, change)
        saturated = any("saturated" in side.reason for side in sides)
        result, reason = _decided(change, low, high, allowed, test, saturated=saturated)
    mean = shown.mean()
    layer, estimator, quantity = key
    return Difference(
        group=group,
        layer=layer,
        estimator=estimator,
        label=_label(estimator, baseline, candidate),
        quantity=quantity,
        declared=shown.declared,
        baseline=numbers[0],
        candidate=numbers[1],
        difference=change,
        low=low,
        high=high,
        tolerance=allowed,
        result=result,
        reason=reason,
        curve=tuple(mean[np.isfinite(mean)].tolist()),
        bound=shown.bound,
    )


def _label(estimator: str, *sides: _Side) -> str:
    labels = {side.evidence.labels.get(estimator, estimator) for side in sides}
    return labels.pop() if len(labels) == 1 else estimator


def _last(curve: Curves | None) -> float | None:
    """Return the last value even where a rule could not use it: it is shown."""
    if curve is None or not np.isfinite(curve.values[:, -1]).all():
        return None
    return float(curve.values[:, -1].mean())


def _decided(
    change: float, low: float | None, high: float | None, allowed: float, test: Test, *,
    saturated: bool,
) -> tuple[Result, str]:  # fmt: skip
    if abs(change) > allowed:
        if test == "tolerance" or low is None or high is None:
            return "different", "" if test == "tolerance" else "no interval: tolerance alone"
        if low > 0 or high < 0:
            return "different", ""
        return ("saturated", "") if saturated else ("same", "the interval holds 0")
    return ("saturated", "") if saturated else ("same", "")


def _interval(
    first: Statistic, second: Statistic, change: float
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a difference of means: Welch's, from the interval of each side.

    A side of three or more runs has n - 1 degrees of freedom; the interval of fewer runs is about
    their samples, and taken as normal.
    """
    parts = []
    for side in (first, second):
        if side.low is None or side.high is None:
            return None, None
        freedom = float(side.n_runs - 1) if side.n_runs > 2 else np.inf
        parts.append((((side.high - side.low) / 2 / _quantile(freedom)) ** 2, freedom))
    total = parts[0][0] + parts[1][0]
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    freedom = total**2 / spread if spread > 0 else np.inf
    half = float(_quantile(freedom) * np.sqrt(total))
    return change - half, change + half


def _quantile(freedom: float) -> float:
    """Return Student's quantile at half the level; the normal one for infinite freedom."""
    special, at = scipy.special, UPPER
    return float(special.stdtrit(freedom, at) if np.isfinite(freedom) else special.ndtri(at))

"""Evaluate rules on results: pass, fail, or unknown, with the number that decided.

What cannot be evaluated does not pass. A rule is *unknown* where nothing matches, where a value it
reads is missing, at a ceiling set by the number of samples, or dominated by its null, where the
runs differ in their settings, and where it asks for an interval and there is none. A rule that
names no estimator is about all of them, but for those of which every layer is at a ceiling while
another says more. At the ceiling H(Y) a layer knows the label: that counts.

The decision compares raw numbers; `shown` writes as many digits as the relation needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from infoplane.calls import document_of, one_of, texts
from infoplane.errors import NotFoundError
from infoplane.estimators.measure_id import MeasureId
from infoplane.gate.evidence import Evidence
from infoplane.gate.pairs import pair_findings
from infoplane.gate.rules import OPERATORS, PAIRS, Check, Rule, forbid, parse_rule
from infoplane.gate.statistics import Cell, Statistic, cell, not_averaged, with_unit
from infoplane.layer_patterns import hint_of_none
from infoplane.results.absent import why_absent
from infoplane.results.curves import CurveKey
from infoplane.results.verdicts import family_of
from infoplane.text import counted, printable, some_of

Status = Literal["pass", "fail", "unknown"]
OnUnknown = Literal["fail", "warn", "pass"]

_FAILS = {
    "<": "is not less than",
    "<=": "is greater than",
    ">": "is not greater than",
    ">=": "is less than",
    "==": "is not",
}


@dataclass(frozen=True)
class Place:
    """Where a rule looked: a group of runs, and the place in words."""

    group: str | None = None  # None: nowhere in particular, since nothing matched
    words: str = ""


@dataclass(frozen=True)
class Observation:
    """What a rule found at one place, and what follows from it."""

    place: Place
    statistic: Statistic
    status: Status
    message: str

    @property
    def where(self) -> str:
        """The place in words."""
        return self.place.words

    @property
    def short(self) -> str:
        """The place and the number alone."""
        value = self.statistic.value
        words = self.statistic.word or str(value)
        text = with_unit(shown(value), self.statistic.unit) if isinstance(value, float) else words
        return f"{self.where} {text}".strip()


@dataclass(frozen=True)
class Outcome:
    """A check with what was observed; ``worst`` is the observation that decided."""

    check: Check
    status: Status
    observations: tuple[Observation, ...]
    worst: Observation

    @classmethod
    def of(cls, check: Check, found: Sequence[Observation]) -> Outcome:
        """Return the outcome of a check that made these observations, at least one."""
        for status in ("fail", "unknown", "pass"):
            alike = [o for o in found if o.status == status]
            if alike:
                return cls(check, alike[0].status, tuple(found), _extreme(check.rule, alike))
        raise AssertionError("an observation has a status")

    def within(self, group: str) -> Outcome | None:
        """Return the outcome in one group of runs, None if the rule is not about it."""
        found = [o for o in self.observations if o.place.group in (group, None)]
        return Outcome.of(self.check, found) if found else None

    @property
    def message(self) -> str:
        """The observation that decided, in words, with the number of others like it."""
        alike = sum(o.status == self.worst.status for o in self.observations) - 1
        more = f" (and {counted(alike, 'other')})" if alike and self.status != "pass" else ""
        return self.worst.message + more


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks, and what an unknown one means."""

    outcomes: tuple[Outcome, ...]
    on_unknown: OnUnknown = "fail"

    def result(self, outcome: Outcome) -> Literal["failed", "warning", "passed"]:
        """Return what an outcome means for the gate."""
        if outcome.status == "pass":
            return "passed"
        if outcome.status == "unknown" and self.on_unknown != "fail":
            return "warning" if self.on_unknown == "warn" else "passed"
        return "failed" if outcome.check.level == "error" else "warning"

    def count(self, result: str) -> int:
        """Return the number of checks with a result."""
        return sum(self.result(outcome) == result for outcome in self.outcomes)

    @property
    def passes(self) -> bool:
        """Whether no check failed."""
        return not self.count("failed")

    @property
    def verdict(self) -> str:
        """One line: how many checks failed, warned and passed."""
        failed, warned = self.count("failed"), self.count("warning")
        parts = [f"{failed:,} failed"] if failed else []
        parts += [counted(warned, "warning")] if warned else []
        parts += [f"{self.count('passed'):,} passed"]
        return f"{counted(len(self.outcomes), 'check')}: {', '.join(parts)}"


def check(
    results: Mapping[str, Any],
    rules: str | Sequence[str] = (),
    *,
    fail_on: str | Sequence[str] = (),
    on_unknown: OnUnknown = "fail",
) -> Report:
    """Test results against rules, as ``infoplane check``.

    Parameters
    ----------
    results : mapping
        A results document.
    rules : str or sequence of str
        What must hold, e.g. ``last(ity, fc5) >= 2.8``; see `infoplane.gate.rules`.
    fail_on : str or sequence of str
        Flags that no cell may have, e.g. ``failed``.
    on_unknown : {"fail", "warn", "pass"}
        What a rule that cannot be evaluated means.

    Raises
    ------
    InputError
        If an argument is of the wrong type, or a rule cannot be read.
    NotFoundError
        If there are no rules.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> report = infoplane.check(results, "last(ity, 3) > 0.1", on_unknown="warn")
    >>> report.passes
    True
    """
    document_of(results, "results")
    checks = [Check(text, parse_rule(text)) for text in texts(rules, "rules")]
    checks += [forbid(flag) for flag in texts(fail_on, "fail_on")]
    one_of(on_unknown, "on_unknown", "fail", "warn", "pass")
    return run_checks(results, checks, on_unknown=on_unknown)


def run_checks(
    results: Mapping[str, Any], checks: Sequence[Check], *, on_unknown: OnUnknown = "fail"
) -> Report:
    """Evaluate checks on a results document.

    Parameters
    ----------
    results : mapping
        A results document; phases are found anew from its rows.
    checks : sequence of Check
        At least one.
    on_unknown : {"fail", "warn", "pass"}
        What a check that cannot be evaluated means.

    Raises
    ------
    NotFoundError
        If there are no checks: a gate does not pass on nothing.
    InputError
        If a rule is about a quantity, flag or verdict that the results do not know.
    """
    if not checks:
        raise NotFoundError(
            "no rule to check",
            hint="write [[check]] in infoplane.toml, or give one: --require 'last(ity) >= 0.9'",
            code="IP405",
        )
    evidence = Evidence(results)
    known = [check.resolved(evidence.vocabulary) for check in checks]
    return Report(tuple(_outcome(check, evidence) for check in known), on_unknown)


def shown(value: float, expected: float | None = None) -> str:
    """Return a number with so many digits that it lies on the same side of ``expected``."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    if abs(value) >= 1e15:
        return repr(float(value))
    for digits in range(4, 18):
        text = f"{value:.{digits}f}"
        if expected is None or np.sign(float(text) - expected) == np.sign(value - expected):
            return text
    return repr(float(value))


def _place(evidence: Evidence, group: str, *parts: str) -> Place:
    """Return a place; the group is named where there are several."""
    several = len(evidence.groups) > 1
    return Place(group, printable(", ".join([*([group] if several else []), *parts])))


def _nothing(rule: Rule, evidence: Evidence) -> str:
    """Say why nothing matches a rule."""
    means = evidence.layer_names.means
    if not any(means(rule.layer, group, layer) for group, layer, *_ in evidence.curves):
        layers = {
            layer: about
            for group in evidence.groups
            for layer, about in evidence.layer_names.about(
                group, [key[1] for key in evidence.curves if key[0] == group]
            ).items()
        }
        return printable(f"no layer matches {rule.layer!r}; {hint_of_none(rule.layer, layers)}")
    ids = list(dict.fromkeys(key[2] for key in evidence.curves))
    if rule.estimator and not any(_is_estimator(i, rule.estimator) for i in ids):
        return printable(f"no estimator {rule.estimator!r}; there are {some_of(ids)}")
    why = why_absent(evidence.results, rule.subject)
    return f"no row has {rule.subject} of these layers and estimators{why and f'; {why}'}"


def _is_estimator(identifier: str, wanted: str) -> bool:
    return not wanted or wanted in (identifier, MeasureId.read(identifier).name)


def _outcome(check: Check, evidence: Evidence) -> Outcome:
    if check.rule.statistic in PAIRS:
        pairs = pair_findings(check.rule, evidence.results)
        of_pairs = [
            Observation(Place(one.group, one.words), one.statistic, one.status, one.message)
            for one in pairs
        ]
        return Outcome.of(check, of_pairs)
    found = [_observation(check, *at) for at in _found(check.rule, evidence)]
    if not found:
        nothing = Statistic(reason=_nothing(check.rule, evidence))
        found = [_observation(check, Place(), nothing)]
    return Outcome.of(check, found)


def _extreme(rule: Rule, alike: Sequence[Observation]) -> Observation:
    """Return the observation that is furthest from passing."""
    numbers = [o for o in alike if isinstance(o.statistic.value, float)]
    if len(numbers) < len(alike) or rule.operator == "==":
        return alike[0]
    sign = -1.0 if rule.operator.startswith(">") else 1.0
    return max(numbers, key=lambda o: sign * float(o.statistic.value or 0.0))


def _observation(check: Check, place: Place, found: Statistic) -> Observation:
    """Compare; the raw numbers decide."""
    rule = check.rule
    prefix = f"{place.words}: " if place.words else ""
    if found.reason or found.value is None:
        return Observation(place, found, "unknown", f"{prefix}unknown: {found.reason}")
    if isinstance(found.value, str):
        same = found.value == rule.expected
        relation = "is" if same else "is not"
        note = f" ({printable(found.note)})" if found.note else ""
        text = f"{prefix}{found.word or found.value} {relation} {rule.expected_text}{note}"
        return Observation(place, found, "pass" if same else "fail", text)
    assert isinstance(rule.expected, float)
    value, note = found.value, ""
    if check.use == "ci" and not found.exact:
        if found.low is None or found.high is None:
            text = f"{prefix}unknown: there is no interval of {rule.statistic}"
            return Observation(place, found, "unknown", text)
        value, end = _end(rule.operator, rule.expected, found.low, found.high)
        note = f" ({end} end of {shown(found.value)} {_interval(found)})"
    elif found.low is not None:
        note = f" ({_interval(found)})"
    holds = OPERATORS[rule.operator](value, rule.expected)
    relation = rule.operator if holds else _FAILS[rule.operator]
    number = with_unit(shown(value, rule.expected), found.unit)
    text = f"{prefix}{number}{note} {relation} {rule.expected_text}"
    return Observation(place, found, "pass" if holds else "fail", text)


def _end(operator: str, expected: float, low: float, high: float) -> tuple[float, str]:
    """Return the end of an interval that is least likely to pass, and its name."""
    if operator.startswith(">"):
        return low, "lower"
    if operator.startswith("<"):
        return high, "upper"
    return (low, "lower") if abs(low - expected) > abs(high - expected) else (high, "upper")


def _interval(found: Statistic) -> str:
    assert found.low is not None
    assert found.high is not None
    return f"[{shown(found.low)}, {shown(found.high)}], {counted(found.n_runs, 'run')}"


def _found(rule: Rule, evidence: Evidence) -> Iterable[tuple[Place, Statistic]]:
    """Yield every place a rule speaks of, with what is there."""
    if rule.statistic == "runs":
        for group in evidence.groups:
            n = sum(found == group for found in evidence.group_of_run.values())
            yield _place(evidence, group), Statistic(float(n), exact=True, unit="runs")
    elif rule.statistic in ("share", "count"):
        yield from _flagged(rule, evidence)
    elif rule.statistic == "agree":
        yield from _agreeing(rule, evidence)
    else:
        keys = [
            key
            for key in evidence.curves
            if key[3] == rule.subject
            and evidence.layer_names.means(rule.layer, key[0], key[1])
            and _is_estimator(key[2], rule.estimator)
        ]
        silent = set() if rule.estimator else evidence.silent
        telling = {group for group, _, estimator, _ in keys if (group, estimator) not in silent}
        for key in keys:
            group, layer, estimator, _ = key
            if group not in telling or (group, estimator) not in silent:
                place = _place(evidence, group, layer, evidence.labels[estimator])
                yield place, _of_curve(rule, key, evidence)


def _of_curve(rule: Rule, key: CurveKey, evidence: Evidence) -> Statistic:
    if rule.statistic != "verdict":
        found = evidence.statistic(rule.statistic, key, rule.step)
        unit = "step" if rule.statistic == "onset" else evidence.curves[key].declared.unit
        return replace(found, unit=printable(unit))
    if reason := not_averaged(evidence.curves[key]):
        return Statistic(reason=reason)
    phase = evidence.phases[key]
    if phase["verdict"] == "saturated" != rule.expected:
        return Statistic(reason="saturated: the estimate follows its ceiling")
    verdict = str(phase["verdict"])
    word = printable(evidence.curves[key].declared.word(verdict))
    return Statistic(verdict, n_runs=phase["n_runs"], exact=True, note=phase["sentence"], word=word)


def _flagged(rule: Rule, evidence: Evidence) -> Iterable[tuple[Place, Statistic]]:
    """Yield the share or number of cells with a flag, by group; a cell has it if a row has it."""
    cells: dict[str, dict[Cell, bool]] = defaultdict(dict)
    for (group, layer, estimator, _), rows in evidence.rows.items():
        means = evidence.layer_names.means(rule.layer, group, layer)
        if means and _is_estimator(estimator, rule.estimator):
            for row in rows:
                before = cells[group].get(cell(row), False)
                cells[group][cell(row)] = before or rule.subject in row["flags"]
    for group, flags in cells.items():
        n = sum(flags.values())
        value, unit = (
            (float(n), "cells") if rule.statistic == "count" else (n / len(flags), "share")
        )
        yield _place(evidence, group), Statistic(value, exact=True, unit=unit)


def _agreeing(rule: Rule, evidence: Evidence) -> Iterable[tuple[Place, Statistic]]:
    """Yield the number of estimators that share a verdict, by group and layer."""
    subject = next((k for k in evidence.phases if k[3] == rule.subject), None)
    family = subject and family_of(evidence.phases[subject])
    layers: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for (group, layer, *_), phase in evidence.phases.items():
        means = evidence.layer_names.means(rule.layer, group, layer)
        if family_of(phase) == family and means:
            layers[group, layer].append(phase)
    for (group, layer), phases in layers.items():
        place = _place(evidence, group, layer)
        if not any(phase["of"] for phase in phases):
            yield place, Statistic(reason="saturated in every estimator")
            continue
        votes = [p["agree"] for p in phases if p["verdict"] == rule.verdict]
        yield place, Statistic(float(max(votes, default=0)), exact=True, unit="estimators")

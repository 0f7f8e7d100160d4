"""Rules on similarities: ``similarity(cka, fc1, fc3) >= 0.8``, ``drift(cka, 'fc*', baseline)``.

The interval decides: it must lie on one side of the bar. And two families of measures must agree,
since one alone can be moved without a change of what the network does: another family has to be on
the same side of the bar, both taken as shares of the way from chance to identity (of an angle its
cosine). What does not agree is unknown, and does not pass.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from infoplane.errors import NotFoundError
from infoplane.gate.rules import OPERATORS, Rule
from infoplane.gate.statistics import Statistic, with_unit
from infoplane.layer_patterns import hint_of_none, meant
from infoplane.results.curves import group_of
from infoplane.results.layer_names import LayerNames
from infoplane.results.similarities import Row, Similarities, mean_and_interval
from infoplane.text import decimal, joined_words, printable, some_of


class Found(NamedTuple):
    """What a rule found for one pair of layers."""

    group: str | None
    words: str
    statistic: Statistic
    status: Literal["pass", "fail", "unknown"]
    message: str


class _Pair(NamedTuple):
    group: str
    words: str


def pair_findings(rule: Rule, results: Mapping[str, Any]) -> list[Found]:
    """Return what a rule on similarities finds, at least one finding."""
    try:
        known = Similarities(results)
        measure = known.measure(rule.subject)
    except NotFoundError as error:
        return [_unknown(f"{error}; {error.hint}")]
    by_pair = _pairs(rule, known)
    found = [
        _finding(rule, pair, by_measure, known, measure)
        for pair, by_measure in by_pair.items()
        if measure["id"] in by_measure
    ]
    return found or [_unknown(_nothing(rule, known))]


def _pairs(rule: Rule, known: Similarities) -> dict[_Pair, dict[str, list[Row]]]:
    """Return the rows that a rule is about, by pair of layers and measure, with a number or not."""
    of = {run: group_of(recording) for run, recording in known.recordings.items()}
    last = {run: recording["steps"][-1] for run, recording in known.recordings.items()}
    found: dict[_Pair, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in known.rows:
        if row["step_a"] != last[row["run_a"]] or row["step_b"] != last[row["run_b"]]:
            continue
        pair = _matched(rule, row, of, known.layer_names)
        if pair is not None:
            found[pair][row["measure"]].append(row)
    return found


def _matched(rule: Rule, row: Row, of: Mapping[str, str], layers: LayerNames) -> _Pair | None:
    a, b, group = row["layer_a"], row["layer_b"], of[row["run_a"]]
    if rule.statistic == "similarity":
        wanted = row["axis"] == "layers" and any(
            layers.means(rule.layer, group, one) and layers.means(rule.estimator, group, other)
            for one, other in ((a, b), (b, a))
        )
        return _Pair(group, f"{a} and {b}") if wanted else None
    about_two = row["axis"] in ("drift", "models") and a == b
    if not about_two or not layers.means(rule.layer, group, a):
        return None
    other = of[row["run_b"]]
    if rule.estimator in (other, row["run_b"]):
        return _Pair(group, f"{a} and {rule.estimator}")
    return _Pair(other, f"{a} and {rule.estimator}") if rule.estimator == group else None


def _finding(
    rule: Rule, pair: _Pair, by_measure: Mapping[str, Sequence[Row]], known: Similarities,
    measure: Mapping[str, Any],
) -> Found:  # fmt: skip
    rows = by_measure[measure["id"]]
    words = printable(pair.words)
    if reasons := [row.get("reason", "no value") for row in rows if row["value"] is None]:
        return _unknown(f"{words}: {printable(reasons[0])}", pair.group, words)
    value, low, high = mean_and_interval(rows)
    statistic = Statistic(value, low, high, n_runs=len(rows), unit=str(measure["unit"]))
    bar = rule.expected
    assert isinstance(bar, float)
    unit = printable(str(measure["unit"]))
    told = f"{words}: {measure['id']} {with_unit(decimal(value, 3), unit)}"
    if low is None or high is None:
        return Found(pair.group, words, statistic, "unknown",
                     f"{told}: unknown: there is no interval of so few samples")  # fmt: skip
    told += f" [{decimal(low, 3)}, {decimal(high, 3)}]{_context(rows)}"
    compare = OPERATORS[rule.operator]
    sides = {compare(end, bar) for end in (low, high)}
    if len(sides) == 2:
        text = f"{told}: unknown: the interval holds {rule.expected_text}"
        return Found(pair.group, words, statistic, "unknown", text)
    holds = sides.pop()
    status: Literal["pass", "fail"] = "pass" if holds else "fail"
    verb = "is" if holds else "is not"
    same, others = _others(by_measure, known, measure, rows, bar, value)
    if not same:
        why = f"no other family agrees: {others}" if others else "one family of measures alone"
        text = f"{told} {verb} {rule.relation}: unknown: {why}"
        return Found(pair.group, words, statistic, "unknown", text)
    text = f"{told} {verb} {rule.relation}; so {joined_words(same)}"
    return Found(pair.group, words, statistic, status, text)


def _others(
    by_measure: Mapping[str, Sequence[Row]], known: Similarities, measure: Mapping[str, Any],
    rows: Sequence[Row], bar: float, value: float,
) -> tuple[list[str], str]:  # fmt: skip
    """Return the measures of other families on the same side of the bar, and what those say."""
    null = sum(row["null"] for row in rows) / len(rows)
    share_of_bar = _share(bar, null, measure)
    above = _share(value, null, measure) >= share_of_bar
    same, told = [], []
    for name, other in known.measures.items():
        of_other = [row for row in by_measure.get(name, ()) if row["value"] is not None]
        if other["family"] == measure["family"] or not of_other:
            continue
        chance = sum(row["null"] for row in of_other) / len(of_other)
        share = _share(mean_and_interval(of_other)[0], chance, other)
        told.append(f"{name} {decimal(share)} of the way from chance to identity")
        if (share >= share_of_bar) == above:
            same.append(f"{name} ({decimal(share)} of the way from chance to identity)")
    return same, ", ".join(told)


def _share(value: float, null: float, measure: Mapping[str, Any]) -> float:
    """Return how far a value is from chance, 1 for identical layers."""
    if measure["unit"] == "radians":
        value, null, identical = math.cos(value), math.cos(null), 1.0
    else:
        identical = float(measure["identical"])
    return (value - null) / (identical - null) if identical != null else math.nan


def _context(rows: Sequence[Row]) -> str:
    """Return what chance and other seeds read, in words."""
    null = sum(row["null"] for row in rows) / len(rows)
    lows = [row["ceiling_low"] for row in rows if row["ceiling_low"] is not None]
    highs = [row["ceiling_high"] for row in rows if row["ceiling_high"] is not None]
    seeds = f"other seeds {decimal(min(lows))} .. {decimal(max(highs))}" if lows else "no ceiling"
    return f" (chance {decimal(null)}, {seeds})"


def _unknown(reason: str, group: str | None = None, words: str = "") -> Found:
    return Found(group, words, Statistic(reason=reason), "unknown", f"unknown: {reason}")


def _nothing(rule: Rule, known: Similarities) -> str:
    """Say why nothing matches a rule."""
    layers = {
        name: about
        for group, runs in known.groups.items()
        for name, about in known.layer_names.about(group, known.layers(runs)).items()
    }
    globs = [rule.layer, *([rule.estimator] if rule.statistic == "similarity" else [])]
    for glob in globs:
        if not meant(glob, layers):
            return printable(f"no layer matches {glob!r}; {hint_of_none(glob, layers)}")
    if rule.statistic == "drift" and rule.estimator not in (*known.groups, *known.recordings):
        names = some_of([*known.groups], between=", ")
        return printable(f"no group or run {rule.estimator!r}; there are {names}")
    if rule.statistic == "drift" and (reason := _named_apart(rule, known)):
        return printable(reason)
    axis = "layers" if rule.statistic == "similarity" else "runs"
    return f"the results compare no such layers; infoplane similarity --axes {axis} does"


def _named_apart(rule: Rule, known: Similarities) -> str:
    """Say that two groups were compared, but have no layer of one name; "" if that is not so."""
    layers = {run: known.layers([run]) for run in known.recordings}
    of = {run: group_of(recording) for run, recording in known.recordings.items()}
    there = [run for run in of if rule.estimator in (run, of[run])]
    compared = {
        row[f"run_{one}"]
        for row in known.rows
        for one, other in ("ab", "ba")
        if row["axis"] in ("drift", "models") and row[f"run_{other}"] in there
    } - {*there}
    if not compared:
        return ""
    here = list(dict.fromkeys(name for run in layers if run in compared for name in layers[run]))
    others = list(dict.fromkeys(name for run in there for name in layers[run]))
    about = {
        name: one
        for run in compared
        for name, one in known.layer_names.about(of[run], layers[run]).items()
    }
    if meant(rule.layer, about):
        lacking, has = rule.estimator, others
    else:
        lacking, has = joined_words(list(dict.fromkeys(of[run] for run in sorted(compared)))), here
    return (
        f"no layer that matches {rule.layer!r} has the same name in {lacking}, which has "
        f"{some_of(has)}; drift is about layers of one name: infoplane similarity --axes runs "
        "tells which are alike"
    )

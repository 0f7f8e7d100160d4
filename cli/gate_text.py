"""Checks and comparisons as text."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator

from infoplane.cli.output import painted, plain, width
from infoplane.cli.table_columns import Column, render
from infoplane.gate.checks import Outcome, Report
from infoplane.gate.comparison import Comparison
from infoplane.gate.difference import Difference
from infoplane.text import change_between, counted, decimal, printable, shortened

_WORDS = {"failed": ("FAIL", "red"), "warning": ("WARN", "yellow"), "passed": ("pass", "green")}
_MANY = 5  # places of a failed rule to list


def check_lines(report: Report) -> Iterator[str]:
    """Yield what a reader needs: every check, the number that decided, a line of totals."""
    names = [printable(outcome.check.name) for outcome in report.outcomes]
    wide = min(max(map(len, names)), 40)
    for outcome, name in zip(report.outcomes, names, strict=True):
        result = report.result(outcome)
        word = painted(*_WORDS[result])
        rule = printable(outcome.check.rule.text)
        told = "" if name == rule else rule
        if result == "passed":
            tail = "  ".join(part for part in (told, _passing(outcome)) if part)
            yield plain(f"{word}  {name.ljust(wide)}  {tail}".rstrip())
            continue
        yield plain(f"{word}  {name.ljust(wide)}  {told}".rstrip())
        unmet = [o for o in outcome.observations if o.status != "pass"]
        ordered = [outcome.worst, *(o for o in unmet if o is not outcome.worst)]
        for observation in ordered[:_MANY]:
            yield plain(f"      {observation.message}")
        if ordered[_MANY:]:
            yield f"      and {len(ordered) - _MANY} more"
        if outcome.check.source:
            yield f"      {printable(outcome.check.source)}"
    yield report.verdict


def _passing(outcome: Outcome) -> str:
    """Return the observations of a check that passed, shortened."""
    if outcome.status == "unknown":
        return outcome.worst.message
    return shortened(", ".join(o.short for o in outcome.observations), 100)


def comparison_lines(comparison: Comparison, *, wide: bool) -> Iterator[str]:
    """Yield a table of all differences, what it could not tell, and a line of totals."""
    telling = {(d.group, d.label) for d in comparison.of("different", "same", "unknown")}
    folded = Counter(d.label for d in comparison.of("saturated")
                     if telling and (d.group, d.label) not in telling)  # fmt: skip
    apart = comparison.one_sided
    found = [d for d in comparison.differences if d.group not in apart]
    rows = [d for d in found if not telling or (d.group, d.label) in telling]
    columns = [
        Column("layer", [printable(d.layer) for d in rows], names=True),
        Column("quantity", [_quantity(d) for d in rows]),
        Column("estimator", [printable(d.label) for d in rows]),
        Column("baseline", [decimal(d.baseline) for d in rows], right=True),
        Column("candidate", [decimal(d.candidate) for d in rows], right=True),
        Column("difference", [decimal(d.difference, sign=True) for d in rows], right=True),
        Column("95% CI", [change_between(d.low, d.high) for d in rows], drop=2),
        Column("tolerance", [f"{d.tolerance:.2f}" for d in rows], right=True, drop=3),
        Column("p (Holm)", [_chance(d.p_holm) for d in rows], right=True, drop=4),
        Column("result", [d.result for d in rows]),
    ]
    place, names = comparison.places
    if place:
        named = dict(zip(comparison.differences, names, strict=True))
        columns.insert(0, Column(place, [printable(named[d]) for d in rows], names=True))
    if len({d.estimator for d in rows}) == 1:
        columns = [column for column in columns if column.title != "estimator"]
    for line in render(columns, limit=None if wide else width()) if rows else ():
        yield plain(line)
    for group, (where, count) in apart.items():
        yield plain(f"group {printable(group)} is {where}: {counted(count, 'value')} not compared")
    if comparison.suggestion:
        pair = shlex.quote(printable(comparison.suggestion))
        yield plain(f"groups are paired by their names: to compare others, --pair {pair}")
    for label, count in folded.items():
        yield plain(f"{printable(label)}: all {count:,} values saturated, not shown")
    if comparison.renamed:
        yield from textwrap.wrap(plain(f"paired: {comparison.renamed}"), width() or 100)
    for text in comparison.mismatches:
        yield from textwrap.wrap(plain(f"not alike: {text}"), width() or 100)
    for text in comparison.left_out:
        yield from textwrap.wrap(plain(f"not compared: {text}"), width() or 100)
    for text in comparison.notes:
        yield from textwrap.wrap(plain(f"note: {text}"), width() or 100)
    noted: dict[str, int] = {}
    for d in found:
        if d.reason:
            noted[f"{d.result}: {d.reason}"] = noted.get(f"{d.result}: {d.reason}", 0) + 1
    for text, count in noted.items():
        yield plain(f"{text} ({counted(count, 'value')})")
    if comparison.tests:
        yield from textwrap.wrap(comparison.tests, width() or 100)
    yield comparison.verdict


def _chance(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}" if p >= 0.001 else "< 0.001"


def _quantity(d: Difference) -> str:
    unit = "" if d.declared.unit == "bits" else f", {d.declared.unit}"
    return printable(d.declared.symbol + unit)

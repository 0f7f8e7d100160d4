"""Checks and comparisons as text."""

from __future__ import annotations

from collections.abc import Iterator

from infoplane.cli.output import painted, plain
from infoplane.gate.checks import Outcome, Report
from infoplane.text import printable, shortened

_WORDS = {"failed": ("FAIL", "red"), "warning": ("WARN", "yellow"), "passed": ("pass", "green")}
_MANY = 5  # places of a failed rule to list


def check_lines(report: Report) -> Iterator[str]:
    """Yield what a reader needs: every check, the number that decided, a line of totals."""
    names = [_title(outcome) for outcome in report.outcomes]
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


def _title(outcome: Outcome) -> str:
    return printable(outcome.check.name)


def _passing(outcome: Outcome) -> str:
    """Return the observations of a check that passed, shortened."""
    if outcome.status == "unknown":
        return outcome.worst.message
    return shortened(", ".join(o.short for o in outcome.observations), 100)

"""Checks and comparisons as JSON documents; ``schemas/checks.schema.json`` describes the former."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from infoplane.gate.checks import Observation, Outcome, Report
from infoplane.gate.comparison import Comparison
from infoplane.gate.difference import Difference

CHECKS_SCHEMA = "infoplane.checks/1"
COMPARISON_SCHEMA = "infoplane.comparison/1"


def checks_document(report: Report, sources: Sequence[str]) -> dict[str, Any]:
    """Return the outcomes of checks as plain data."""
    return {
        "schema": CHECKS_SCHEMA,
        "tool": {"name": "infoplane", "version": metadata.version("infoplane")},
        "results": list(sources),
        "status": "pass" if report.passes else "fail",
        "counts": {result: report.count(result) for result in ("failed", "warning", "passed")},
        "checks": [_check(report, outcome) for outcome in report.outcomes],
    }


def _check(report: Report, outcome: Outcome) -> dict[str, Any]:
    check = outcome.check
    return {
        "name": check.name,
        "rule": check.rule.text,
        "level": check.level,
        "use": check.use,
        "status": outcome.status,
        "result": report.result(outcome),
        **_numbers(outcome.worst),
        "expected": check.rule.relation,
        "message": outcome.message,
        "source": check.source,
        "places": [
            {
                "where": observation.where,
                "status": observation.status,
                **_numbers(observation),
                "message": observation.message,
            }
            for observation in outcome.observations
        ],
    }


def _numbers(observation: Observation) -> dict[str, Any]:
    found = observation.statistic
    return {"observed": found.value, "ci_low": found.low, "ci_high": found.high}


def comparison_document(
    baseline: str, sections: Sequence[tuple[str, Comparison]]
) -> dict[str, Any]:
    """Return comparisons of candidates with a baseline as plain data."""
    return {
        "schema": COMPARISON_SCHEMA,
        "tool": {"name": "infoplane", "version": metadata.version("infoplane")},
        "baseline": baseline,
        "status": "same" if all(c.agrees for _, c in sections) else "different",
        "candidates": [
            {
                "candidate": name,
                "status": "same" if comparison.agrees else "different",
                "mismatches": list(comparison.mismatches),
                "left_out": list(comparison.left_out),
                "notes": list(comparison.notes),
                "pairs": [list(pair) for pair in comparison.pairs],
                "test": comparison.test,
                "n_tests": comparison.n_tests,
                "differences": [_difference(d) for d in comparison.differences],
            }
            for name, comparison in sections
        ],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    found = asdict(difference)
    del found["curve"], found["bound"], found["declared"]
    return {**found, "statistic": "last", "unit": difference.declared.unit}

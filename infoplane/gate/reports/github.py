"""Checks for GitHub Actions: annotations on the lines of the rules, and the summary of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.gate.checks import Outcome, Report
from infoplane.gate.evidence import Evidence
from infoplane.gate.reports import markdown
from infoplane.results.curves import Curves
from infoplane.system import relative
from infoplane.text import decimal, printable

SUMMARY_BYTES = 200_000
"""GitHub drops a summary of more than 1 MiB whole; this much is ours."""

_ANNOTATIONS = 9  # GitHub shows ten of a kind; the tenth says how many more there are
_ICONS = {"failed": "FAIL", "warning": "WARN", "passed": "pass"}


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield a workflow command per check that failed or warned, on the line of its rule."""
    for result, kind in (("failed", "error"), ("warning", "warning")):
        found = [outcome for outcome in report.outcomes if report.result(outcome) == result]
        for outcome in found[:_ANNOTATIONS]:
            yield _annotation(kind, outcome)
        if found[_ANNOTATIONS:]:
            yield f"::{kind} title=infoplane::and {len(found) - _ANNOTATIONS} more"


def summary(report: Report, results: Mapping[str, Any]) -> str:
    """Return the summary of a job as Markdown of at most `SUMMARY_BYTES` bytes."""
    evidence = Evidence(results)
    rows = [
        (
            _ICONS[report.result(outcome)],
            markdown.code(outcome.check.name),
            markdown.code(outcome.check.rule.text),
            markdown.code(outcome.message, 400),
        )
        for outcome in report.outcomes
    ]
    rows.sort(key=lambda row: list(_ICONS.values()).index(row[0]))
    checks = markdown.table(("", "check", "rule", "found"), rows)
    return markdown.within(
        [
            f"### infoplane: {report.verdict}",
            checks,
            _layers(evidence),
            markdown.warnings(results, evidence.curves),
        ],
        SUMMARY_BYTES,
        "bytes",
    )


def _layers(evidence: Evidence) -> str:
    """Return the phases as a table; the group is named where there are several."""
    named = len(evidence.groups) > 1
    rows = [
        (
            *([markdown.code(phase["group"])] if named else []),
            markdown.code(phase["layer"]),
            markdown.quantity(evidence.vocabulary.quantity(phase["quantity"])),
            markdown.code(evidence.labels[phase["estimator"]]),
            *(decimal(phase[name]) for name in ("first", "peak", "last", "change")),
            _curve(evidence.curves[key]),
            evidence.vocabulary.quantity(phase["quantity"]).word(phase["verdict"]),
            markdown.code(phase["sentence"]),
        )
        for key, phase in evidence.phases.items()
    ]
    titles = (
        *(["group"] if named else []),
        "layer", "quantity", "estimator", "first", "peak", "last", "change", "curve", "verdict",
        "what happened",
    )  # fmt: skip
    numbers = [titles.index(name) for name in ("first", "peak", "last", "change")]
    return markdown.table(titles, rows, right=numbers) if rows else ""


def _curve(curve: Curves) -> str:
    """Return the mean over runs as bars from 0 to the bound: rows of one bound compare."""
    mean = curve.mean()
    return markdown.curve(mean[np.isfinite(mean)].tolist(), curve.bound)


def _annotation(kind: str, outcome: Outcome) -> str:
    place = ""
    if outcome.check.source:
        file, _, line = outcome.check.source.rpartition(":")
        place = f",file={_property(_in_workspace(file))},line={line}"
    title = _property(f"infoplane: {printable(outcome.check.name)}")
    message = f"{printable(outcome.check.rule.text)}: {outcome.message}"
    return f"::{kind} title={title}{place}::{_data(message)}"


def _in_workspace(file: str) -> str:
    """Return a path as GitHub needs it: relative to the root of the checkout."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if not workspace:
        return file
    return relative(Path(file).absolute(), Path(workspace)).replace(os.sep, "/")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

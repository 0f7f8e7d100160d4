"""The tables of ``infoplane validate``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from infoplane.cli.output import plain, printable, width
from infoplane.cli.table_columns import Column, render
from infoplane.results.reliability import RELIABLE

if TYPE_CHECKING:
    from infoplane.validation.expectations import Expectation
    from infoplane.validation.findings import Finding


def findings_text(
    findings: Sequence[Finding], totals: Mapping[str, Mapping[str, Any]], *, wide: bool
) -> str:
    """Return one table per estimator and one of the totals."""
    limit = None if wide else width()
    lines: list[str] = []
    for name in totals:
        group = [finding for finding in findings if finding.estimator == name]
        lines += [printable(name), *render(_columns(group), limit=limit)]
        lines += [
            f"{f.status} {printable(f.case)}: {printable(f.message)}"
            for f in group
            if f.message and f.status in ("SILENT-FAIL", "ERROR")
        ]
        lines += _of_verdicts(group)
        lines.append("")

    def count(key: str) -> list[str]:
        return [str(total[key]) for total in totals.values()]

    lines += render(
        [
            Column("estimator", [printable(name) for name in totals]),
            Column("PASS", count("pass"), right=True),
            Column("KNOWN-LIMIT", count("known_limit"), right=True),
            Column("SILENT-FAIL", count("silent_fail"), right=True),
            Column("ERROR", count("error"), right=True),
            Column(
                "median error",
                [_bits(total["median_abs_error"]) for total in totals.values()],
                right=True,
                drop=3,
            ),
            Column(
                "covering",
                [f"{total['covering']}/{total['intervals']}" for total in totals.values()],
                right=True,
                drop=2,
            ),
            Column("flagged though right", count("flagged_though_right"), right=True, drop=1),
        ],
        limit=limit,
    )
    lines.append("bits; allowed: 10 % of the truth, at least 0.05, or inside the interval;")
    lines.append("a lower bound (probe) is judged from one side only: it may be below")
    return plain("\n".join(lines))


def _of_verdicts(group: Sequence[Finding]) -> list[str]:
    """Say how many values an estimator calls reliable, and how many of these are wrong."""
    sure = [finding for finding in group if finding.verdict == RELIABLE]
    wrong = sum(finding.status != "PASS" for finding in sure)
    told = sum(finding.verdict is not None for finding in group)
    return (
        [f"{len(sure)} of {told} values called {RELIABLE}, {wrong} of them wrong"] if told else []
    )


def _columns(group: Sequence[Finding]) -> list[Column]:
    interval = [
        "" if f.low is None or f.high is None else f"{f.low:.3f} .. {f.high:.3f}" for f in group
    ]
    verdicts = [f.verdict or "" for f in group]
    covers = ["" if f.covers is None else "yes" if f.covers else "no" for f in group]
    return [
        Column("case", [printable(f.case) for f in group]),
        Column("quantity", [printable(f.quantity) for f in group]),
        Column("truth", [_bits(f.truth) for f in group], right=True),
        Column("estimate", [_bits(f.estimate) for f in group], right=True),
        Column("interval", interval, right=True, drop=3),
        Column("covers", covers, drop=2),
        Column("status", [f.status for f in group]),
        *([Column("verdict", verdicts, drop=4)] if any(verdicts) else []),
        Column("flags", [printable(", ".join(f.flags)) for f in group], drop=1),
    ]


def expectations_text(
    rows: Sequence[Expectation], title: str, kind: Literal["layer", "case"], *, wide: bool
) -> str:
    """Return one table per estimator: what to expect of it at every layer or case."""
    limit = None if wide else width()
    lines = [printable(title)]
    for name in dict.fromkeys(row.estimator for row in rows):
        group = [row for row in rows if row.estimator == name]
        columns = [
            Column(kind, [printable(row.problem) for row in group]),
            Column("units", [str(row.units) for row in group], right=True, drop=2),
            Column("quantity", [printable(row.quantity) for row in group]),
            Column("truth", [_bits(row.truth) for row in group], right=True),
            Column("mean", [_bits(row.mean) for row in group], right=True, drop=1),
            Column("bias", [_bits(row.bias, sign=True) for row in group], right=True),
            Column("spread", [_bits(row.spread) for row in group], right=True),
            Column("covering", [_share(r.covering, r) for r in group], right=True, drop=4),
            Column("with bias", [_share(r.covering_mean, r) for r in group], right=True, drop=3),
            Column("flagged", [f"{r.flagged}/{r.draws}" for r in group], right=True, drop=5),
            Column("status", [row.status for row in group]),
            Column("flags", [printable(", ".join(row.flags)) for row in group], drop=6),
        ]
        lines += ["", printable(name), *render(columns, limit=limit)]
    if rows:
        lines += [
            "",
            *textwrap.wrap(
                f"bits, {rows[0].n:,} samples, mean of {rows[0].draws} draws; covering: intervals "
                "that hold the truth, and the truth plus the bias, which is all that an interval "
                "of sampling error promises; no row: no truth",
                limit or 100,
            ),
        ]
    else:
        lines += ["nothing is known of what these estimators measure here"]
    return plain("\n".join(lines))


def _share(covering: int, row: Expectation) -> str:
    return f"{covering}/{row.intervals}" if row.intervals else ""


def _bits(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return ""
    value = round(value, 3) + 0.0  # no -0.000
    return f"{value:+.3f}" if sign else f"{value:.3f}"

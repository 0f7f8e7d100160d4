"""``infoplane compare --similarity``: layers of runs against those of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.output import new_file, plain, width
from infoplane.cli.progress import Stages
from infoplane.cli.table_columns import Column, render
from infoplane.errors import ExitCode
from infoplane.text import decimal, printable

if TYPE_CHECKING:
    from infoplane.cli.shared_options import SharedOptions


def compare_runs(
    shared: SharedOptions, baseline: str, candidates: Sequence[str], measures: Sequence[str],
    rules: Sequence[str], output: str | None, *, wide: bool,
) -> int:  # fmt: skip
    """Compare runs with a baseline; fail if a rule does not hold."""
    from infoplane.cli.gate_text import check_lines
    from infoplane.gate.checks import run_checks
    from infoplane.gate.rules import Check, parse_rule
    from infoplane.similarity.registry import DEFAULT
    from infoplane.similarity.session import similarities

    checks = [Check(text, parse_rule(text)) for text in rules]
    target = None if output is None else new_file(output, overwrite=True)
    with Stages("pairs", shared) as stages:
        results = similarities(
            list(candidates), measures or DEFAULT, baseline=baseline, progress=stages
        )
    if target is not None:
        results.save(target)
    for line in drift_lines(results, wide=wide):
        click.echo(line)
    if not checks:
        return ExitCode.OK
    click.echo()
    report = run_checks(results, checks)
    for line in check_lines(report):
        click.echo(line)
    return ExitCode.OK if report.passes else ExitCode.CHECK_FAILED


def drift_lines(results: Mapping[str, Any], *, wide: bool) -> Iterator[str]:
    """Yield a table of all layers by all measures, with chance and other seeds beside them."""
    from infoplane.results.similarities import Similarities

    found = Similarities(results)
    rows = [row for row in found.rows if row["axis"] == "drift"]
    rows.sort(key=lambda row: (row["run_a"], row["index_a"]))  # measures stay in their order
    spans = [
        "" if r["ci_low"] is None else f"{decimal(r['ci_low'], 3)} .. {decimal(r['ci_high'], 3)}"
        for r in rows
    ]
    seeds = [
        "" if r["ceiling_low"] is None
        else f"{decimal(r['ceiling_low'])} .. {decimal(r['ceiling_high'])}"
        for r in rows
    ]  # fmt: skip
    columns = [
        Column("run", [printable(row["run_a"]) for row in rows], names=True),
        Column("layer", [printable(row["layer_a"]) for row in rows], names=True),
        Column("measure", [printable(row["measure"]) for row in rows]),
        Column("to baseline", [decimal(row["value"], 3) for row in rows], right=True),
        Column("95% CI", spans, drop=1),
        Column("chance", [decimal(row["null"]) for row in rows], right=True),
        Column("other seeds", seeds, drop=2),
        Column("flags", [" ".join(row["flags"]) for row in rows], drop=3),
    ]
    columns = [column for column in columns if any(column.cells)]
    if len({row["run_a"] for row in rows}) == 1:
        columns = columns[1:]
    yield from map(plain, render(columns, limit=None if wide else width()))

"""``infoplane validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import Verbosity, verbosity
from infoplane.errors import ExitCode, InputError

if TYPE_CHECKING:
    from infoplane.cli.table import Column
    from infoplane.validation.findings import Finding


@click.command()
@click.option(
    "-e",
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME[:K=V,...]",
    help="Estimator and its parameters; repeatable. Default: all, plug-ins too.",
)
@click.option("--full", is_flag=True, help="All tasks, 5,000 samples; takes many minutes.")
@click.option("-n", "--samples", type=int, metavar="N", help="Samples. Default: 1,000.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random draws.")
@click.option(
    "-j", "--jobs", type=int, default=1, show_default=True, metavar="N", help="Worker processes."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of what goes to stdout.",
)
@click.option("--wide", is_flag=True, help="Show all columns of the tables.")
@verbosity
@click.pass_obj
def validate(
    said: Verbosity,
    estimators: tuple[str, ...],
    full: bool,
    samples: int | None,
    seed: int,
    jobs: int,
    form: str,
    wide: bool,
) -> int:
    """Run estimators on data whose answer is known.

    Each estimate stands beside the truth: PASS; KNOWN-LIMIT, wrong with a flag that says so;
    SILENT-FAIL, wrong without one; ERROR. Exit code 1 if there is any of the last two. Takes about
    a minute.

    \b
    infoplane validate
    infoplane validate -e binning:bins=15 -e compressed --format json
    """
    if seed < 0:
        raise InputError(f"--seed: expected a number of at least 0, got {seed}")
    if jobs < 1:
        raise InputError(f"--jobs: expected a number of at least 1, got {jobs}")
    if samples is not None and samples < 100:
        raise InputError(f"--samples: expected a number of at least 100, got {samples}")
    from infoplane.cli.executors import Processes
    from infoplane.cli.output import print_json
    from infoplane.cli.progress import Progress
    from infoplane.estimators import estimator_id
    from infoplane.validation.findings import summary
    from infoplane.validation.trials import (
        SAMPLES,
        all_trials,
        chosen_estimators,
        names_of_trials,
    )

    n = samples or SAMPLES["full" if full else "quick"]
    chosen = chosen_estimators(estimators, full=full)
    work = [(e, name) for e in chosen for name in names_of_trials(e, full=full)]
    found: dict[tuple[str, str], list[Finding]] = {}
    with Progress("validate", len(work), "trials", quiet=said.quiet) as progress:
        progress.begin(f"{n:,} samples, {jobs} processes")
        with Processes(jobs) as workers:
            for key, new in all_trials(work, workers.executor, n, seed):
                found[key] = new
                progress.advance()
    findings = [f for e, name in work for f in found[estimator_id(e), name]]
    totals = summary(findings)
    if form == "json":
        print_json(
            {
                "schema": "infoplane.validation/1",
                "n": n,
                "seed": seed,
                "findings": [finding.as_row() for finding in findings],
                "summary": totals,
            }
        )
    else:
        click.echo(_text(findings, totals, wide=wide))
    bad = any(finding.status in ("SILENT-FAIL", "ERROR") for finding in findings)
    return ExitCode.CHECK_FAILED if bad else ExitCode.OK


def _text(findings: list[Finding], totals: dict[str, dict[str, Any]], *, wide: bool) -> str:
    """Return one table per estimator and one of the totals."""
    from infoplane.cli.output import plain, printable, width
    from infoplane.cli.table import Column, render

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
    lines.append("bits; allowed: 10 % of the truth, at least 0.05, or inside the interval")
    return plain("\n".join(lines))


def _columns(group: list[Finding]) -> list[Column]:
    from infoplane.cli.output import printable
    from infoplane.cli.table import Column

    interval = [
        "" if f.low is None or f.high is None else f"{f.low:.3f} .. {f.high:.3f}" for f in group
    ]
    covers = ["" if f.covers is None else "yes" if f.covers else "no" for f in group]
    return [
        Column("case", [printable(f.case) for f in group]),
        Column("quantity", [printable(f.quantity) for f in group]),
        Column("truth", [_bits(f.truth) for f in group], right=True),
        Column("estimate", [_bits(f.estimate) for f in group], right=True),
        Column("interval", interval, right=True, drop=3),
        Column("covers", covers, drop=2),
        Column("status", [f.status for f in group]),
        Column("flags", [printable(", ".join(f.flags)) for f in group], drop=1),
    ]


def _bits(value: float | None) -> str:
    return "" if value is None else f"{value + 0.0:.3f}"

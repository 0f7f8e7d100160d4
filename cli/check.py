"""``infoplane check``: test results against rules."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from infoplane.cli.options import Location, SharedOptions, globbed, shared_options
from infoplane.errors import ExitCode

if TYPE_CHECKING:
    from infoplane.gate.checks import OnUnknown


@click.command()
@click.argument("results", nargs=-1, required=True, callback=globbed, metavar="RESULTS...")
@click.option(
    "--require",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Rule that must hold, e.g. 'last(ity, fc5) >= 2.8'; repeatable.",
)
@click.option(
    "--fail-on",
    "flags",
    multiple=True,
    metavar="FLAG",
    help="Flag that no cell may have, e.g. failed; repeatable.",
)
@click.option(
    "--on-unknown",
    type=click.Choice(["fail", "warn", "pass"]),
    default="fail",
    show_default=True,
    help="How to treat a rule that cannot be evaluated.",
)
@click.option("--junit", type=Location(), metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--github/--no-github",
    default=None,
    help="Annotate the lines of the rules. Default: if GITHUB_ACTIONS is true.",
)
@click.option(
    "--summary",
    type=Location(),
    metavar="FILE",
    help="Append a Markdown summary. Default: GITHUB_STEP_SUMMARY, with --github.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of stdout.",
)
@shared_options
@click.pass_obj
def check(
    shared: SharedOptions,
    results: tuple[str, ...],
    rules: tuple[str, ...],
    flags: tuple[str, ...],
    on_unknown: OnUnknown,
    junit: str | None,
    github: bool | None,
    summary: str | None,
    format_: str,
) -> int:
    """Test RESULTS against rules; exit with 1 if one fails.

    Rules are read from [[check]] in infoplane.toml and from --require. A rule that names several
    layers must hold for each of them. A rule that cannot be evaluated is unknown, and fails.
    Several RESULTS are joined first.

    \b
    infoplane check results.json
    infoplane check results.json --require 'last(ity, fc5) >= 2.8' --fail-on failed
    infoplane check seed-*.json --require 'change(ixt, fc5) <= -1' --junit checks.xml
    """
    start = time.monotonic()
    from infoplane.cli.configured_checks import configured_checks
    from infoplane.cli.gate_text import check_lines
    from infoplane.cli.output import print_json, some_results, write_text
    from infoplane.gate.checks import run_checks
    from infoplane.gate.reports import github as actions
    from infoplane.gate.reports.documents import checks_document
    from infoplane.gate.rules import Check, forbid, parse_rule

    checks = configured_checks(shared.configuration)
    checks += [Check(text, parse_rule(text)) for text in rules]
    checks += [forbid(flag) for flag in flags]
    document = some_results(*results)
    report = run_checks(document, checks, on_unknown=on_unknown)
    if format_ == "json":
        print_json(checks_document(report, results))
    else:
        for line in check_lines(report):
            click.echo(line)
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    if github:
        for line in actions.workflow_commands(report):
            click.echo(line, err=format_ == "json")
        summary = summary or os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        write_text(summary, actions.summary(report, document), inputs=results, append=True)
    if junit:
        from infoplane.gate.reports.junit import junit as as_junit

        seconds = time.monotonic() - start
        text = as_junit(report, document, " ".join(results), seconds)
        write_text(junit, text, inputs=results)
    return ExitCode.OK if report.passes else ExitCode.CHECK_FAILED

"""``infoplane compare``: compare results with a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoplane.cli.options import Location, SharedOptions, globbed, shared_options
from infoplane.errors import ExitCode, InputError

if TYPE_CHECKING:
    from infoplane.gate.difference import Test


@click.command()
@click.argument("baseline", metavar="BASELINE")
@click.argument("candidates", nargs=-1, required=True, callback=globbed, metavar="CANDIDATE...")
@click.option(
    "--tolerance",
    type=float,
    metavar="VALUE",
    help="Largest difference that does not count, in the unit of each quantity. Default: the "
    "smallest change that counts (0.25 bits), or 5 % of the bound if that is less.",
)
@click.option(
    "--test",
    type=click.Choice(["ci", "holm", "tolerance"]),
    default="ci",
    show_default=True,
    help="ci: the interval of the difference must also exclude 0; holm: so must that of all tests "
    "together.",
)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="BASELINE=CANDIDATE",
    help="Compare groups of other names: main=pr for all splits, 'main[test]=pr[test]' for one; "
    "repeatable.",
)
@click.option(
    "--missing-baseline",
    type=click.Choice(["error", "ok"]),
    default="error",
    show_default=True,
    help="What to do if BASELINE does not exist, as in a first pull request.",
)
@click.option("--allow-mismatch", is_flag=True, help="Compare despite different settings.")
@click.option(
    "--markdown", type=Location(), metavar="FILE", help="Write the comment for a pull request."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="Format of stdout.",
)
@click.option("--wide", is_flag=True, help="Show all columns of the table.")
@click.option(
    "--similarity",
    "as_runs",
    is_flag=True,
    help="BASELINE and CANDIDATE are runs: compare their layers of the same names.",
)
@click.option(
    "-m",
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="With --similarity: measure; repeatable. Default: as infoplane similarity.",
)
@click.option(
    "--require",
    "rules",
    multiple=True,
    metavar="RULE",
    help="With --similarity: rule, as \"drift(cka, 'fc*', baseline) >= 0.95\"; repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=Location(),
    metavar="FILE",
    help="With --similarity: write the results, for infoplane check --junit and plot.",
)
@shared_options
@click.pass_obj
def compare(
    shared: SharedOptions,
    baseline: str,
    candidates: tuple[str, ...],
    tolerance: float | None,
    test: Test,
    pairs: tuple[str, ...],
    missing_baseline: str,
    allow_mismatch: bool,
    markdown: str | None,
    format_: str,
    wide: bool,
    as_runs: bool,
    measures: tuple[str, ...],
    rules: tuple[str, ...],
    output: str | None,
) -> int:
    """Compare each CANDIDATE with BASELINE, per layer and quantity; exit with 1 if one differs.

    The values at the last step are compared. A value that only one of the files has is unknown, and
    counts as different. Files made with different settings are refused. Groups of runs are paired
    by name; where each file has one name, whatever it is, and by split.

    \b
    infoplane compare main.json results.json
    infoplane compare main.json results.json --pair main-tanh=pr-tanh --pair main-relu=pr-relu
    infoplane compare main.json results.json --missing-baseline ok --markdown comment.md
    infoplane compare runs/main runs/pr --similarity --require "drift(cka, 'fc*', baseline) >= 0.95"
    """
    if as_runs:
        if pairs:
            raise InputError("--pair: expected without --similarity")
        from infoplane.cli.drift import compare_runs

        return compare_runs(shared, baseline, candidates, measures, rules, output, wide=wide)
    for name, given in (("-m", measures), ("--require", rules), ("-o", output)):
        if given:
            raise InputError(f"{name}: expected with --similarity only")
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise InputError(f"--tolerance: expected a number of at least 0, got {tolerance}")
    from infoplane.cli.gate_text import comparison_lines
    from infoplane.cli.output import print_json, printable, some_results, write_text
    from infoplane.gate.comparison import compare as compare_results
    from infoplane.gate.pairing import read_pairs
    from infoplane.gate.reports.comment import comment, no_baseline
    from infoplane.gate.reports.documents import comparison_document

    missing = not Path(baseline).exists() and missing_baseline == "ok"
    after = [(name, some_results(name)) for name in candidates]
    before = None if missing else some_results(baseline)
    sections = []
    if before is not None:
        by_hand = read_pairs(pairs, before, [document for _, document in after])
        for (name, document), named in zip(after, by_hand, strict=True):
            found = compare_results(
                before, document, tolerance=tolerance, test=test, allow_mismatch=allow_mismatch,
                pairs=named,
            )  # fmt: skip
            sections.append((name, found))
    text = (
        no_baseline(", ".join(candidates), baseline)
        if missing
        else comment(sections, baseline, dict(after))
    )
    if markdown:
        write_text(markdown, text, inputs=(baseline, *candidates))
    if format_ == "json":
        print_json(comparison_document(baseline, sections))
    elif format_ == "markdown":
        click.echo(text, nl=False)
    elif missing:
        click.echo(f"no baseline: {printable(baseline)} does not exist, nothing was compared")
    else:
        for index, (name, comparison) in enumerate(sections):
            click.echo(f"{chr(10) * (index > 0)}baseline {printable(baseline)}, "
                       f"candidate {printable(name)}")  # fmt: skip
            for line in comparison_lines(comparison, wide=wide):
                click.echo(line)
    agrees = all(comparison.agrees for _, comparison in sections)
    return ExitCode.OK if agrees else ExitCode.CHECK_FAILED

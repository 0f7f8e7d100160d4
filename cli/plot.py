"""``infoplane plot``: draw the figures and the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from infoplane.cli.options import Location, SharedOptions, globbed, shared_options
from infoplane.errors import InputError, NotFoundError


@click.command()
@click.argument("results", nargs=-1, required=True, callback=globbed, metavar="RESULTS...")
@click.option(
    "-f",
    "--figure",
    "figures",
    multiple=True,
    metavar="NAME",
    help="Figure to draw, or 'all'; repeatable. Default: those that the results have data for.",
)
@click.option(
    "-e",
    "--estimator",
    metavar="ID",
    help="Estimator to draw, by its id in the results or its name.",
)
@click.option(
    "--ity", metavar="ID", help="In the plane, take I(T;Y) of this estimator instead, e.g. probe."
)
@click.option(
    "--x", metavar="NAME", help="Quantity across in the plane: effective_rank, say, instead of ixt."
)
@click.option(
    "--y", metavar="NAME", help="Quantity upwards in the plane: probe, say, instead of ity."
)
@click.option(
    "--group",
    "group",
    multiple=True,
    metavar="NAME",
    help="Group of runs to draw; repeatable. Default: the first, with --groups all.",
)
@click.option(
    "--groups",
    type=click.Choice(["beside", "overlay"]),
    help="Draw several groups: side by side on the same axes; overlay: their planes in one panel, "
    "the other figures side by side. Default with several --group: beside.",
)
@click.option(
    "-l",
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Layers to draw; repeatable, !GLOB excludes, type:Tanh, blocks and head as in record.",
)
@click.option(
    "--facet",
    type=click.Choice(["none", "layer", "estimator", "group", "overlay"]),
    help="Split the plane into panels. Default: by layer if there are more than 8 layers.",
)
@click.option(
    "--baseline", metavar="FILE", help="Results to compare with, for the figure 'compare'."
)
@click.option(
    "--quantity",
    metavar="NAME",
    help="Quantity that steps, heat, depth and sampling draw: ixt, dse, ...",
)
@click.option(
    "-m", "--measure", metavar="NAME", help="Measure that the figures of similarity draw."
)
@click.option(
    "--seeds",
    type=click.Choice(["both", "mean", "all"]),
    help="In the plane, draw all runs, their mean, or both.",
)
@click.option("--zoom", is_flag=True, help="Fit the plane to the layers that are not saturated.")
@click.option("--style", type=click.Choice(["paper", "talk", "dark"]), help="Look of the figures.")
@click.option("--size", metavar="SIZE", help="single, double, slide, or a width in inches.")
@click.option(
    "-o",
    "--output",
    type=Location(),
    default="figures",
    show_default=True,
    metavar="DIR",
    help="Folder for the figures.",
)
@click.option(
    "--report", type=Location(), metavar="FILE", help="Also write a self-contained HTML report."
)
@click.option(
    "--format",
    "formats",
    default="png",
    show_default=True,
    metavar="LIST",
    help="Of the figures: png, svg, pdf, joined by commas.",
)
@click.option("--dpi", type=click.IntRange(50, 1200), default=200, show_default=True)
@click.option("--wide", is_flag=True, help="Show all columns of the table, and all warnings.")
@click.option("--table/--no-table", default=True, help="Print the table of layers.")
@shared_options
@click.pass_obj
def plot(
    shared: SharedOptions,
    /,
    results: tuple[str, ...],
    figures: tuple[str, ...],
    output: str,
    report: str | None,
    formats: str,
    dpi: int,
    wide: bool,
    table: bool,
    baseline: str | None,
    **chosen: Any,
) -> None:
    """Draw the information plane, the curves and the compression report of RESULTS.

    Several RESULTS are drawn as one. Runs of one group are averaged. Of several groups the first is
    drawn, unless --groups or --group say more; the report has all of them.

    \b
    infoplane plot results.json
    infoplane plot results.json -f plane -e compressed --format png,svg -o figures
    infoplane plot results.json -f plane -e compressed --ity probe
    infoplane plot results.json -f plane --x effective_rank --y probe
    infoplane plot seeds-*.json --report report.html
    infoplane plot main.json pr.json --groups overlay -f plane
    infoplane plot pr.json --baseline main.json -f compare
    """
    kinds = [kind.strip() for kind in formats.split(",")]
    if unknown := [kind for kind in kinds if kind not in ("png", "svg", "pdf")]:
        raise InputError(f"--format: expected png, svg or pdf, got {unknown[0]!r}")
    if report is not None and Path(report).resolve() in {Path(one).resolve() for one in results}:
        raise InputError(f"--report: {report} is the results file itself")

    from infoplane.cli.configured_checks import configured_checks
    from infoplane.cli.output import printable, some_results
    from infoplane.cli.table import summary
    from infoplane.gate.checks import run_checks
    from infoplane.gate.reports.documents import checks_document
    from infoplane.plots.canvas.picture import save
    from infoplane.plots.figures import FIGURES, default_figures, draw_once, options_of
    from infoplane.plots.view import View
    from infoplane.results.notebook import Results, load

    every = not figures or "all" in figures
    for name in figures:
        if name not in (*FIGURES, "all"):
            raise InputError(
                f"-f: expected a figure, got {name!r}", hint="figures: " + ", ".join(FIGURES)
            )
    wanted = {key: value for key, value in chosen.items() if value}
    several = _several(wanted)
    if "size" in wanted:
        wanted["size"] = _size(wanted["size"])
    document = some_results(*results)
    if report is not None and (checks := configured_checks(shared.configuration)):
        outcomes = checks_document(run_checks(document, checks), results)["checks"]
        document = Results({**document, "checks": outcomes})
    view = View.of(document)
    for key in ("estimator", "ity"):
        if key in wanted:
            wanted[key] = _estimator(wanted[key], document["estimators"])
    named = ("group", "layers", "estimator", "ity")
    if view.curves:
        view.check_names(group=several.get("group", ()))
        view.check_names(**{key: value for key, value in wanted.items() if key in named})
    if baseline is not None:
        wanted["baseline"] = View.of(load(baseline))
    written = []
    asked: list[tuple[str, str, dict[str, str]]]
    asked = [(name, name, {}) for name in dict.fromkeys(figures)]
    if every:
        asked = default_figures(view, wanted, every="all" in figures)
    for file, name, more in asked:
        taken = options_of(name)
        unfit = [key for key in wanted if key not in taken and key not in ("baseline", "groups")]
        if unfit and not every:
            raise InputError(f"--{unfit[0]}: the figure {name!r} has no such option")
        try:
            own = {key: value for key, value in {**more, **wanted}.items() if key in taken}
            figure = draw_once(view, name, **own, **several)
        except NotFoundError:
            if not every:
                raise
            continue
        for kind in kinds:
            path = Path(output) / f"{file}.{kind}"
            save(figure, path, dpi=dpi)
            written.append(str(path))
    if report is not None:
        from infoplane.plots.report.page import write_report

        write_report(view, report, baseline=wanted.get("baseline"))
        written.append(report)
    if not written:
        where = ", ".join(results)
        raise NotFoundError(f"{where}: the results hold nothing to draw", code="IP404")
    if table and not view.curves:
        from infoplane.cli.similarity_text import similarity_lines

        for line in similarity_lines(document, wide=wide):
            click.echo(line)
    elif table:
        click.echo(
            summary(document, wide=wide, known=view.curves, estimator=wanted.get("estimator"))
        )
    if not shared.quiet:
        if not several and len(view.groups) > 1 and wanted.get("facet") not in ("group", "overlay"):
            group = printable(view.group(wanted.get("group")))
            click.echo(
                f"1 of {len(view.groups)} groups drawn, {group}: --groups beside or overlay draws "
                "all",
                err=True,
            )
        for path_text in written:
            click.echo(f"wrote {path_text}", err=True)


def _several(wanted: dict[str, Any]) -> dict[str, Any]:
    """Take the options of several groups out of what is wanted: groups and their names, if any."""
    names, groups = list(wanted.get("group", ())), wanted.pop("groups", None)
    if groups is None and len(names) < 2:
        wanted.update({"group": names[0]} if names else {})
        return {}
    if "facet" in wanted:
        raise InputError("--facet: expected without --groups and with one --group at most")
    wanted.pop("group", None)
    return {"groups": groups or "beside", **({"group": names} if names else {})}


def _estimator(wanted: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the id of an estimator by its id, or by its name where only one has it."""
    from infoplane.estimators.measure_id import MeasureId

    ids = [entry["id"] for entry in entries]
    alike = [known for known in ids if MeasureId.read(known).name == wanted]
    return alike[0] if wanted not in ids and len(alike) == 1 else wanted


def _size(text: str) -> str | float:
    if text in ("single", "double", "slide"):
        return text
    try:
        inches = float(text)
    except ValueError:
        inches = 0.0
    if not 1 <= inches <= 60:
        raise InputError(
            f"--size: expected single, double, slide or a width of 1 to 60 inches, got {text!r}"
        )
    return inches

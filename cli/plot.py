"""``infoplane plot``."""

from __future__ import annotations

from pathlib import Path

import click

from infoplane.cli.options import Verbosity, verbosity
from infoplane.errors import InputError, NotFoundError, RunFileError


@click.command()
@click.argument("results", metavar="RESULTS")
@click.option(
    "-f",
    "--figure",
    "figures",
    multiple=True,
    metavar="NAME",
    help="Figure to draw; repeatable. Default: all that the results hold.",
)
@click.option(
    "-o", "--output", default="figures", show_default=True, metavar="DIR", help="Folder of figures."
)
@click.option("--report", metavar="FILE", help="Write a self-contained HTML report as well.")
@click.option(
    "--format",
    "formats",
    default="png",
    show_default=True,
    metavar="LIST",
    help="Of the figures: png, svg, pdf, joined by commas.",
)
@click.option("--dpi", type=click.IntRange(50, 1200), default=200, show_default=True)
@verbosity
@click.pass_obj
def plot(
    said: Verbosity,
    results: str,
    figures: tuple[str, ...],
    output: str,
    report: str | None,
    formats: str,
    dpi: int,
) -> None:
    """Draw the information plane, the curves and the compression report of RESULTS.

    \b
    infoplane plot results.json
    infoplane plot results.json -f plane -f steps --format png,svg -o figures/ --report report.html
    """
    kinds = [kind.strip() for kind in formats.split(",")]
    if unknown := [kind for kind in kinds if kind not in ("png", "svg", "pdf")]:
        raise InputError(f"--format: expected png, svg or pdf, got {unknown[0]!r}")

    from infoplane.plots import FIGURES, draw, save
    from infoplane.store.results import read_results

    for name in figures:
        if name not in FIGURES:
            raise InputError(
                f"-f: expected a figure, got {name!r}", hint="figures: " + ", ".join(FIGURES)
            )
    document = read_results(Path(results))
    if not document["rows"]:
        raise NotFoundError(f"{results}: the results hold no rows: nothing to draw", code="IP404")
    written = []
    for name in figures or FIGURES:
        try:
            figure = draw(document, name)
        except NotFoundError:
            if figures:
                raise
            continue
        for kind in kinds:
            path = Path(output) / f"{name}.{kind}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                save(figure, path, dpi=dpi)
            except OSError as error:
                raise RunFileError(
                    f"{path}: cannot be written ({error.strerror or error})", code="IP305"
                ) from error
            written.append(str(path))
    if report:
        from infoplane.plots.report import write_report

        try:
            Path(report).parent.mkdir(parents=True, exist_ok=True)
            write_report(document, Path(report))
        except OSError as error:
            raise RunFileError(
                f"{report}: cannot be written ({error.strerror or error})", code="IP305"
            ) from error
        written.append(report)
    if not written:
        raise NotFoundError(f"{results}: the results hold nothing to draw", code="IP404")
    for path_text in written:
        click.echo(path_text)

"""``infoplane plot``."""

from __future__ import annotations

from pathlib import Path

import click

from infoplane.cli.options import Location, Verbosity, verbosity
from infoplane.errors import InputError, NotFoundError, RunFileError


@click.command()
@click.argument("results", metavar="RESULTS")
@click.option(
    "-f",
    "--figure",
    "figures",
    multiple=True,
    metavar="NAME",
    help="Figure to draw; repeatable, 'all' for every one. Default: all that the results hold.",
)
@click.option(
    "-e", "--estimator", metavar="ID", help="Estimator to draw: its id in the results, or its name."
)
@click.option("--group", metavar="NAME", help="Group of runs to draw. Default: the first.")
@click.option("-l", "--layers", multiple=True, metavar="NAME", help="Layers to draw; repeatable.")
@click.option(
    "--facet",
    type=click.Choice(["none", "layer", "estimator", "group"]),
    help="Small multiples of the plane. Default: by layer above 8 layers.",
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
    help="Folder of figures.",
)
@click.option(
    "--report", type=Location(), metavar="FILE", help="Write a self-contained HTML report as well."
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
@verbosity
@click.pass_obj
def plot(
    said: Verbosity,
    results: str,
    figures: tuple[str, ...],
    estimator: str | None,
    group: str | None,
    layers: tuple[str, ...],
    facet: str | None,
    zoom: bool,
    style: str | None,
    size: str | None,
    output: str,
    report: str | None,
    formats: str,
    dpi: int,
) -> None:
    """Draw the information plane, the curves and the compression report of RESULTS.

    \b
    infoplane plot results.json
    infoplane plot results.json -f plane -e compressed --format png,svg -o figures
    infoplane plot results.json --report report.html
    """
    kinds = [kind.strip() for kind in formats.split(",")]
    if unknown := [kind for kind in kinds if kind not in ("png", "svg", "pdf")]:
        raise InputError(f"--format: expected png, svg or pdf, got {unknown[0]!r}")

    from infoplane.plots import FIGURES, draw, options_of, save
    from infoplane.plots.view import View
    from infoplane.store.results import read_results

    every = not figures or "all" in figures
    names = list(FIGURES) if every else list(dict.fromkeys(figures))
    for name in names:
        if name not in FIGURES:
            raise InputError(
                f"-f: expected a figure, got {name!r}", hint="figures: " + ", ".join(FIGURES)
            )
    given = {
        "estimator": estimator,
        "group": group,
        "layers": layers or None,
        "facet": facet,
        "zoom": zoom or None,
        "style": style,
        "size": _size(size),
    }
    wanted = {key: value for key, value in given.items() if value is not None}
    if report is not None and Path(report).resolve() == Path(results).resolve():
        raise InputError(f"--report: {report} is the results file itself")
    document = read_results(Path(results))
    if not document["rows"]:
        raise NotFoundError(f"{results}: the results hold no rows: nothing to draw", code="IP404")
    view = View.of(document)
    ids = [entry["id"] for entry in document["estimators"]]
    alike = [known for known in ids if known.partition(":")[0] == estimator]
    if estimator not in ids and len(alike) == 1:
        wanted["estimator"] = alike[0]
    written = []
    for name in names:
        taken = options_of(name)
        if not every and (unfit := [key for key in wanted if key not in taken]):
            raise InputError(f"--{unfit[0]}: the figure {name!r} has no such option")
        try:
            figure = draw(view, name, **{key: wanted[key] for key in wanted if key in taken})
        except NotFoundError:
            if not every:
                raise
            continue
        for kind in kinds:
            path = Path(output) / f"{name}.{kind}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunFileError(
                    f"{path}: cannot be written ({error.strerror or error})", code="IP305"
                ) from error
            save(figure, path, dpi=dpi)
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


def _size(text: str | None) -> str | float | None:
    if text is None or text in ("single", "double", "slide"):
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

"""``infoplane export``: write results as CSV, Parquet or for TensorBoard."""

from __future__ import annotations

import sys

import click

from infoplane.cli.options import Location, SharedOptions, globbed, shared_options
from infoplane.errors import InputError
from infoplane.text import printable


@click.command()
@click.argument("results", nargs=-1, required=True, callback=globbed, metavar="RESULTS...")
@click.option(
    "--to",
    "kind",
    required=True,
    type=click.Choice(["csv", "parquet", "tensorboard"]),
    help="A table, or curves for TensorBoard.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    type=Location(),
    help="File to write; a folder for TensorBoard. For CSV, - is stdout.",
)
@click.option(
    "--no-formulas",
    is_flag=True,
    help="CSV: put ' before text that a spreadsheet would compute, such as =1+1.",
)
@click.option(
    "--table",
    type=click.Choice(["rows", "similarities"]),
    help="CSV and Parquet: what to write. Default: the rows, or similarities if there are no rows.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@shared_options
@click.pass_obj
def export(
    shared: SharedOptions,
    results: tuple[str, ...],
    kind: str,
    output: str,
    no_formulas: bool,
    table: str | None,
    overwrite: bool,
) -> None:
    """Write results for other tools: a long table, or curves for TensorBoard.

    CSV needs no further package. The others need the extras infoplane[parquet] and
    infoplane[tensorboard]. Values are written in full precision, each with its unit.

    \b
    infoplane export results.json --to csv -o results.csv
    infoplane export results.json --to parquet -o results.parquet
    infoplane export results.json --to tensorboard -o board
    """  # fmt: skip
    from pathlib import Path

    from infoplane.cli.output import new_file
    from infoplane.results.export import csv_text, write_csv, write_parquet, write_tensorboard
    from infoplane.results.notebook import load

    if output == "-" and kind != "csv":
        raise InputError(f"--to {kind}: expected a path with -o, got - (stdout takes CSV alone)")
    if no_formulas and kind != "csv":
        raise InputError(f"--no-formulas: expected --to csv, got {kind}")
    if table is not None and kind == "tensorboard":
        raise InputError("--table: expected --to csv or parquet, got tensorboard")
    loaded = load(*results)
    if output == "-":
        text = csv_text(loaded, formulas=not no_formulas, table=table)
        if sys.stdout.isatty():  # a name must not command the terminal
            text = "".join(f"{printable(line)}\n" for line in text.split("\n")[:-1])
        click.echo(text.encode(), nl=False)
        return
    if kind == "tensorboard":
        count = write_tensorboard(loaded, Path(output), overwrite=overwrite)
    elif kind == "csv":
        path = new_file(output, overwrite=overwrite)
        count = write_csv(loaded, path, formulas=not no_formulas, table=table)
    else:
        count = write_parquet(loaded, new_file(output, overwrite=overwrite), table=table)
    if not shared.quiet:
        rows = "points" if kind == "tensorboard" else "rows"
        click.echo(f"wrote {output} ({count:,} {rows})", err=True)

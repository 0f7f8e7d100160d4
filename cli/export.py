"""``infoplane export``."""

from __future__ import annotations

import click

from infoplane.cli.options import Location, SharedOptions, shared_options
from infoplane.errors import InputError


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULTS...")
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
    help="The file; for TensorBoard the folder. For CSV, - is stdout.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@shared_options
@click.pass_obj
def export(
    shared: SharedOptions, results: tuple[str, ...], kind: str, output: str, overwrite: bool
) -> None:
    """Write results for other tools: a long table, or curves for TensorBoard.

    CSV needs nothing more; the others the extras infoplane[parquet] and infoplane[tensorboard].
    Values are in full precision, each row with its unit.

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
    loaded = load(*results)
    if output == "-":
        click.echo(csv_text(loaded).encode(), nl=False)
        return
    if kind == "tensorboard":
        count = write_tensorboard(loaded, Path(output), overwrite=overwrite)
    else:
        write = write_csv if kind == "csv" else write_parquet
        count = write(loaded, new_file(output, overwrite=overwrite))
    if not shared.quiet:
        rows = "points" if kind == "tensorboard" else "rows"
        click.echo(f"wrote {output} ({count:,} {rows})", err=True)

"""``infoplane pack``: copy a run into one HDF5 file."""

from __future__ import annotations

from pathlib import Path

import click

from infoplane.cli.options import Location, SharedOptions, shared_options
from infoplane.text import printable


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("output", type=Location(), metavar="OUT.h5")
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5 if it exists.")
@shared_options
@click.pass_obj
def pack(shared: SharedOptions, run: str, output: str, overwrite: bool) -> None:
    """Copy RUN into one HDF5 file, easy to move or archive.

    Every command accepts the file in place of the folder and gives the same numbers. Checksums are
    verified during packing. RUN itself does not change.

    \b
    infoplane pack runs/s0 s0.h5
    infoplane analyze s0.h5
    """
    from infoplane.runs.pack import pack
    from infoplane.runs.run import Run

    opened = Run(Path(run))
    size = pack(opened, Path(output), overwrite=overwrite)
    click.echo(
        f"packed {len(opened.steps)} steps x {len(opened.layers)} layers of {printable(run)} in "
        f"{printable(str(output))} ({size / 1e6:,.1f} MB)"
    )

"""``infoplane schema``."""

from __future__ import annotations

import click

from infoplane.cli.options import verbosity


@click.command()
@click.argument("name", type=click.Choice(["results", "checks"]))
@verbosity
def schema(name: str) -> None:
    """Print the JSON Schema of a document that infoplane writes.

    \b
    infoplane schema results > results.schema.json
    """
    from importlib import resources

    path = resources.files("infoplane.schemas").joinpath(f"{name}.schema.json")
    click.echo(path.read_text(encoding="utf-8"), nl=False)

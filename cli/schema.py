"""``infoplane schema``: print the JSON Schema of a document."""

from __future__ import annotations

import click

from infoplane.cli.options import shared_options


@click.command()
@click.argument("name", type=click.Choice(["results", "checks", "config", "run"]))
@shared_options
@click.pass_context
def schema(ctx: click.Context, name: str) -> None:
    """Print the JSON Schema of a document that infoplane reads or writes.

    The schema of a run describes its manifest.json and, under $defs/step, the metadata of its
    steps. The schema of config describes infoplane.toml.

    \b
    infoplane schema results > results.schema.json
    """
    from importlib import resources

    if name == "config":
        from infoplane.cli.config_schema import config_schema
        from infoplane.cli.output import print_json

        group = ctx.find_root().command
        assert isinstance(group, click.Group)
        names = group.list_commands(ctx)
        found = {key: group.get_command(ctx, key) for key in names}
        print_json(config_schema({key: c for key, c in found.items() if c is not None}))
        return

    path = resources.files("infoplane.schemas").joinpath(f"{name}.schema.json")
    click.echo(path.read_text(encoding="utf-8"), nl=False)

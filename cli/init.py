"""``infoplane init``."""

from __future__ import annotations

import click

from infoplane.cli.options import SharedOptions, shared_options


@click.command()
@click.option("--github", is_flag=True, help="Also the workflows for GitHub Actions.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@shared_options
@click.pass_obj
def init(shared: SharedOptions, github: bool, overwrite: bool) -> None:
    """Write a commented infoplane.toml in this folder, to change.

    With --github also .github/workflows/infoplane.yml, which analyses, draws, checks and compares
    what a training job has uploaded, and infoplane-comment.yml, which comments on pull requests.

    \b
    infoplane init --github
    infoplane config check
    """
    from pathlib import Path

    from infoplane.starting import write_start

    for path in write_start(Path(), github=github, overwrite=overwrite):
        if not shared.quiet:
            click.echo(f"wrote {path}", err=True)

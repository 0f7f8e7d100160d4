"""``infoplane init``: a commented configuration, and two workflows for GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import click

from infoplane.cli.options import SharedOptions, shared_options
from infoplane.errors import RunFileError

_WORKFLOWS = ("infoplane.yml", "infoplane-comment.yml")


@click.command()
@click.option("--github", is_flag=True, help="Also write workflows for GitHub Actions.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@shared_options
@click.pass_obj
def init(shared: SharedOptions, github: bool, overwrite: bool) -> None:
    """Write a commented infoplane.toml in this folder, for you to edit.

    --github also writes two workflows to .github/workflows. infoplane.yml analyses, draws, checks
    and compares what a training job has uploaded; infoplane-comment.yml comments on pull requests.

    \b
    infoplane init --github
    infoplane config check
    """
    for path in write_start(Path(), github=github, overwrite=overwrite):
        if not shared.quiet:
            click.echo(f"wrote {path}", err=True)


def write_start(folder: Path, *, github: bool = False, overwrite: bool = False) -> list[Path]:
    """Write ``infoplane.toml``, and with ``github`` the workflows; return the paths.

    Raises
    ------
    RunFileError
        IP302 if one of the files exists and ``overwrite`` is not given, before any is written;
        IP305 if one cannot be written.
    """
    names = {folder / "infoplane.toml": "infoplane.toml"}
    if github:
        names |= {folder / ".github" / "workflows" / name: name for name in _WORKFLOWS}
    for path in names:
        if path.is_dir():
            raise RunFileError(f"{path}: expected a file, found a folder", code="IP302")
        if path.exists() and not overwrite:
            raise RunFileError(
                f"{path}: the file exists",
                hint="replace it with --overwrite; no file was written",
                code="IP302",
            )
    from importlib import resources

    from infoplane.runs.atomic import replace_file

    templates = resources.files("infoplane.templates")
    for path, name in names.items():
        replace_file(path, templates.joinpath(name).read_bytes())
    return list(names)

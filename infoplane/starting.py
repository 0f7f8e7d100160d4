"""The files to start with: a commented configuration, and two workflows for GitHub Actions."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from infoplane.errors import RunFileError
from infoplane.runs.atomic import replace_file

WORKFLOWS = ("infoplane.yml", "infoplane-comment.yml")


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
        names |= {folder / ".github" / "workflows" / name: name for name in WORKFLOWS}
    for path in names:
        if path.is_dir():
            raise RunFileError(f"{path}: expected a file, found a folder", code="IP302")
        if path.exists() and not overwrite:
            raise RunFileError(
                f"{path}: the file exists",
                hint="replace it with --overwrite; no file was written",
                code="IP302",
            )
    templates = resources.files("infoplane.templates")
    for path, name in names.items():
        replace_file(path, templates.joinpath(name).read_bytes())
    return list(names)

"""Exported programs, ``.pt2``: models as code, loaded only where the user trusts the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from infoplane.errors import DataError, RunFileError
from infoplane.text import one_line


def is_exported(members: Iterable[str]) -> bool:
    """Tell by the members of an archive whether it is an exported program."""
    names = {name.partition("/")[2] for name in members}
    return "archive_format" in names or "serialized_exported_program.json" in names


def load_exported(path: Path, *, trust_model: bool) -> Any:
    """Return the exported program in a ``.pt2`` file.

    Raises
    ------
    DataError
        If it is not trusted: torch unpickles its examples and evaluates expressions in it.
    RunFileError
        If it is missing or damaged.
    """
    if not path.is_file():
        raise RunFileError(f"{path}: no such file", code="IP303")
    if not trust_model:
        raise DataError(
            f"{path}: refused: an exported program is code: loading it unpickles objects and "
            "evaluates expressions that it holds",
            hint="if you trust the file, add --trust-model; or save model.state_dict() and name "
            "what builds the model with --model MODULE:CALLABLE",
            code="IP311",
        )
    from torch.export import load

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations within torch
            return load(path)
    except Exception as error:  # code of the file
        raise RunFileError(f"{path}: not a readable .pt2 file ({one_line(error)})") from error


def unflattened(program: Any, reference: str) -> nn.Module:
    """Return the modules of a program, which hooks can be put on."""
    from torch.export import unflatten

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations within torch
            return unflatten(program)
    except Exception as error:  # what unflatten cannot undo
        raise DataError(
            f"{reference}: its modules cannot be restored ({one_line(error)})"
        ) from error

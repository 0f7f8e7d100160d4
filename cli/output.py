"""What goes to stdout: text that every stream can carry, and machine documents."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.errors import NotFoundError, RunFileError
from infoplane.text import BARS
from infoplane.text import printable as printable

if TYPE_CHECKING:
    from infoplane.results.notebook import Results

_ASCII = {
    "─": "-",
    "│": "|",
    "…": "...",
    "−": "-",
    "×": "x",
    "₂": "2",
}
_ASCII_BARS = "_.-:=+*#"


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    click.echo(json.dumps(document, allow_nan=False, indent=1))


def some_results(*paths: str) -> Results:
    """Read results files as one document.

    Raises
    ------
    NotFoundError
        If they hold no row.
    """
    from infoplane.results.notebook import load

    document = load(*paths)
    if not document["rows"] and not document.get("similarities"):
        raise NotFoundError(f"{', '.join(paths)}: the results hold no rows", code="IP404")
    return document


def new_file(path: str, *, overwrite: bool) -> Path:
    """Return where a results document goes, once it is sure that it can be written there.

    Raises
    ------
    RunFileError
        If the file exists and may not be overwritten, or cannot be written.
    """
    from infoplane.runs.atomic import check_writable

    target = Path(path)
    if target.is_file() and not overwrite:
        raise RunFileError(
            f"{path}: the file exists",
            hint="choose another name with -o, or replace it with --overwrite",
            code="IP302",
        )
    check_writable(target)
    return target


def write_text(path: str, text: str, *, inputs: Iterable[str], append: bool = False) -> None:
    """Write a text file, or add to it.

    Raises
    ------
    RunFileError
        If it cannot be written, or is one of the ``inputs`` of the command.
    """
    from infoplane.runs.atomic import append_file, replace_file

    target = Path(path)
    if target.exists() and any(Path(name).exists() and target.samefile(name) for name in inputs):
        raise RunFileError(
            f"{path}: is a file that this command reads",
            hint="choose another name to write to",
            code="IP302",
        )
    (append_file if append else replace_file)(target, text.encode())


def painted(text: str, color: str) -> str:
    """Return text in a colour; click leaves it out where the stream has none."""
    return click.style(text, fg=color, bold=True)


def carries_unicode() -> bool:
    """Tell whether stdout can print the bars of a sparkline."""
    try:
        BARS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def plain(text: str) -> str:
    """Return text in ASCII where stdout can carry no more."""
    if carries_unicode():
        return text
    for char, replacement in _ASCII.items():
        text = text.replace(char, replacement)
    return text.encode("ascii", "backslashreplace").decode()


def bars() -> str:
    """Return the eight characters of a sparkline, low to high."""
    return BARS if carries_unicode() else _ASCII_BARS


def width() -> int | None:
    """Return the columns to stay within; None where lines may be of any length."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

"""Open files that can be read to their end; write files that appear when they are complete."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from infoplane.errors import RunFileError, unreadable, unwritable
from infoplane.runs.disk import complete, replace_synced, write_at


def check_regular(path: Path) -> os.stat_result:
    """Refuse what is no regular file: opening a FIFO would never return.

    Raises
    ------
    RunFileError
        If it is none, or cannot be seen.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise RunFileError(f"{path}: expected a regular file", code="IP303")
    return status


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that appears, or replaces another, only when it is complete.

    Raises
    ------
    RunFileError
        If the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            write_at(descriptor, data, 0)
        replace_synced(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def check_writable(path: Path) -> None:
    """Make sure that a results document can be written, before the work begins.

    Raises
    ------
    RunFileError
        If the path is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise RunFileError(f"{path}: expected a file, found a folder", code="IP302")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from error

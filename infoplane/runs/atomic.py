"""Open files that can be read to their end; write files that appear when they are complete."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infoplane import system
from infoplane.errors import RunFileError, unreadable, unwritable
from infoplane.runs.disk import complete, replace_synced

_KEPT = 50  # characters of a name in that of its temporary: a name has at most 255 bytes
_IN_USE = -1  # in place of a descriptor
_DAY = 24 * 3600


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


@contextmanager
def private_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` to write in, for the time of the block.

    Its name is random and it is this user's alone: whoever else may write beside it can plant no
    link there. What killed processes have left for the same path is removed.
    """
    _clean(path)
    folder, lock = _locked_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file to be written, which is renamed to ``path`` when it is complete.

    A link at ``path`` is replaced, not followed.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with private_folder(path) as folder:
        temporary = folder / "new"
        yield temporary
        replace_synced(temporary, path)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that appears, or replaces another, only when it is complete.

    A pipe or a device is written to as it is.

    Raises
    ------
    RunFileError
        If the file cannot be written.
    """
    try:
        if _is_stream(path):
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with replacing(path) as temporary, complete(temporary, flags) as descriptor:
            system.write_at(descriptor, data, 0)
    except OSError as error:
        raise unwritable(path, error) from error


def append_file(path: Path, data: bytes) -> None:
    """Add to a file, or make it; one that cannot take all of the data stays as it was.

    Raises
    ------
    RunFileError
        If it cannot be written, or is a link.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = os.open(path, flags) if _is_stream(path) else system.open_file(path, flags)
        with os.fdopen(opened, "ab", buffering=0) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            except OSError:
                with suppress(OSError):  # of a pipe
                    file.truncate(before)
                raise
    except OSError as error:
        raise unwritable(path, error) from error


def _is_stream(path: Path) -> bool:
    """Tell whether a path is a pipe or a device, or a name that the system has for one."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    named = path.absolute().parts[:2] in ((os.sep, "dev"), (os.sep, "proc"))
    return named or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """Make a folder; return it with the descriptor whose lock says that it is in use."""
    while True:
        made = tempfile.mkdtemp(prefix=f".{path.name[:_KEPT]}.", suffix=".tmp", dir=path.parent)
        folder = Path(made)
        lock = _lock(folder)
        if lock == _IN_USE:  # another process takes it for a dead one's, before it was locked
            continue
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _clean(path: Path) -> None:
    """Remove what processes that are no more have left for a path.

    A process holds a lock on what is its own. Where there are no locks, a day without a change
    tells the same, by the clock of the file system.
    """
    head = f".{path.name[:_KEPT]}."
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            token = entry.name[len(head) : -len(".tmp")]
            if not (entry.name.startswith(head) and entry.name.endswith(".tmp")):
                continue
            folder = entry.is_dir(follow_symlinks=False)
            # A file is one of an earlier release, named by the number of its process.
            ours = re.fullmatch("[a-z0-9_]{8}", token) if folder else token.isdecimal()
            if ours and (folder or entry.is_file(follow_symlinks=False)):
                _remove_dead(Path(entry.path))


def _remove_dead(path: Path) -> None:
    lock = _lock(path)
    if lock == _IN_USE or (lock is None and not _is_old(path)):
        return
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if lock is not None:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a file or folder; return the descriptor that holds it, None where there are no locks."""
    try:
        descriptor = system.open_file(path, os.O_RDONLY)
    except OSError:  # of a folder on Windows, where nobody can remove what is open in it
        return None
    try:
        failed = None if system.lock(descriptor) else _IN_USE
    except OSError:
        failed = None
    else:
        if failed is None:
            return descriptor
    os.close(descriptor)
    return failed


def _is_old(path: Path) -> bool:
    with tempfile.TemporaryFile(dir=path.parent) as now:
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime > _DAY


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

"""What Linux, macOS and Windows do differently, each under one name.

Windows has neither positioned reads nor ``flock``, opens no folders, changes the ends of lines
unless told not to, and lets nobody rename or remove what is open. macOS takes less than 2 GiB at
once, and keeps what was synced in the drive's own memory unless told not to.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

_unix: Any = None
_windows: Any = None
try:
    import fcntl

    _unix = fcntl
except ImportError:
    with suppress(ImportError):
        import msvcrt

        _windows = msvcrt

BINARY: int = getattr(os, "O_BINARY", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)

MOST_PROCESSES = 61 if os.name == "nt" else None
"""How many processes one can wait for; https://docs.python.org/3/library/concurrent.futures.html"""

SHELL_RESOLVES_GLOBS = os.name != "nt"

_PAUSES = (0.01, 0.03, 0.1, 0.3, 1.0) if os.name == "nt" else ()  # seconds
_AT_ONCE = 1 << 20  # bytes


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_file(path: Path, flags: int) -> int:
    """Open a file as ``os.open`` does, for bytes; follow no link there, wait for no pipe.

    Raises
    ------
    OSError
        If it is a link, or cannot be opened.
    """
    if not _NO_LINK and path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return os.open(path, flags | BINARY | _NO_LINK | _NO_WAIT, 0o666)


def read_at(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill the bytes of a view with those at an offset of a file that nobody else reads here.

    Raises
    ------
    EOFError
        If the file ends before.
    """
    while view:
        size = min(len(view), _AT_ONCE)
        if hasattr(os, "pread"):
            data = os.pread(descriptor, size, offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, size)
        if not data:
            raise EOFError("it was cut off while it was read")
        view[: len(data)] = data
        view, offset = view[len(data) :], offset + len(data)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of the data at an offset."""
    view = memoryview(data).cast("B")
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view[:_AT_ONCE], offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            written = os.write(descriptor, view[:_AT_ONCE])
        view, offset = view[written:], offset + written


def sync(descriptor: int) -> None:
    """Wait until the bytes of a file are on the disk, and not in its memory alone.

    Raises
    ------
    OSError
        If that fails, or cannot be.
    """
    if hasattr(_unix, "F_FULLFSYNC"):  # macOS; network drives lack it
        with suppress(OSError):
            _unix.fcntl(descriptor, _unix.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened for it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows; and folders that may not be listed
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; tell whether nobody else has it.

    Raises
    ------
    OSError
        If there are no locks there.
    """
    try:
        if _unix is not None:
            _unix.flock(descriptor, _unix.LOCK_EX | _unix.LOCK_NB)
        elif _windows is not None:
            _windows.locking(descriptor, _windows.LK_NBLCK, 1)
        else:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    except BlockingIOError:
        return False
    except PermissionError:  # how Windows says it
        if _unix is not None:
            raise
        return False
    return True


def patiently(change: Callable[..., Any], *arguments: Any) -> None:
    """Rename or remove files; on Windows, wait a moment for who looks into one of them."""
    for pause in _PAUSES:
        try:
            change(*arguments)
            return
        except PermissionError:
            time.sleep(pause)
    change(*arguments)


def split_reference(reference: str) -> tuple[str, str]:
    r"""Return what stands before and after the last colon, but for that of a drive.

    >>> split_reference(r"C:\work\net.py:build")
    ('C:\\work\\net.py', 'build')
    >>> split_reference("C:/work/probe.npz")
    ('C:/work/probe.npz', '')
    """
    head, colon, tail = reference.rpartition(":")
    is_drive = len(head) == 1 and head.isalpha() and tail[:1] in ("\\", "/")
    return (head, tail) if colon and not is_drive else (reference, "")


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder; on another drive, as it is."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return str(path.absolute())


_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{name}{number}" for name in ("com", "lpt") for number in range(10)
}


def file_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return a name as that of a file on every system; ``urllib.parse.unquote`` gives it back.

    It leads nowhere else, is not hidden, no device of Windows, and differs from those that are
    taken by more than the case of its letters.
    """
    folded = {one.casefold() for one in taken}
    found = quote(name, safe=" ")
    if found.startswith(".") or found.partition(".")[0].strip().casefold() in _DEVICES:
        found = f"%{ord(found[0]):02X}{found[1:]}"
    if found.endswith((".", " ")):
        found = f"{found[:-1]}%{ord(found[-1]):02X}"
    if found.casefold() in folded:
        return "".join(f"%{byte:02X}" for byte in name.encode())
    return found

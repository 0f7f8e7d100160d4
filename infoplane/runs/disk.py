"""What a disk is asked for: space, bytes at their place, locks, and that a closed file is there.

File systems differ. Without ``fallocate`` (NFS 3, ext3, FUSE) a full disk shows later; without
locks nothing keeps a second process away; some tell only when a file is closed that it could not be
written.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infoplane import system
from infoplane.errors import RunFileError, errno_of

log = logging.getLogger("infoplane")

_LUMP = 1 << 26
"""Bytes that are given back at once, at least: to shorten a file takes a millisecond."""

GO_ON = "finished steps are kept: make room or restore the folder, and go on with --resume"

_UNABLE = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a file system answers to what it does not have."""


@contextmanager
def writing(path: Path, hint: str | None = None) -> Iterator[None]:
    """Turn what goes wrong in writing into one line that names the file."""
    try:
        yield
    except RunFileError:
        raise
    except (OSError, RuntimeError) as error:
        number = errno_of(error)
        reason = os.strerror(number) if number else " ".join(str(error).split())[:200]
        if number == errno.EFAULT:  # of a memory map
            reason = "what is to be written was cut off meanwhile"
        raise RunFileError(
            f"{path}: cannot be written ({reason})", hint=hint, code="IP305"
        ) from error


def reserve(descriptor: int, size: int) -> None:
    """Give a file at least this size, on the disk where that can be: a full disk shows here.

    It never shrinks: HDF5 may put a later dataset in a gap before an earlier one.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        # EBADF: glibc writes every block of its own accord, for which it has to read the file.
        if isinstance(error, OSError) and error.errno not in {*_UNABLE, errno.EBADF}:
            raise
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)


@contextmanager
def complete(path: Path, flags: int, *, synced: bool = True) -> Iterator[int]:
    """Open a file to write; at the end its bytes have arrived, or it is an error.

    Parameters
    ----------
    path : Path
        Of the file.
    flags : int
        Of ``os.open``; no link is followed.
    synced : bool, default True
        Whether the bytes outlast a power cut. Otherwise they outlast this process.

    Raises
    ------
    OSError
        If it cannot be opened, or does not hold what was written.
    """
    descriptor = system.open_file(path, flags)
    try:
        yield descriptor
        if synced:
            with _unless_unable():
                system.sync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)


def replace_synced(temporary: Path, path: Path) -> None:
    """Give a file its final name, so that it keeps it after a power cut."""
    system.patiently(temporary.replace, path)
    with _unless_unable():
        system.sync_folder(path.parent)


@contextmanager
def _unless_unable() -> Iterator[None]:
    """Go on where a file system cannot sync; what it could not write is an error."""
    try:
        yield
    except OSError as error:
        if error.errno not in {*_UNABLE, errno.EBADF, errno.EACCES, errno.EROFS}:
            raise


def lock(descriptor: int, path: Path) -> bool:
    """Lock a file until it is closed; tell whether nobody else has it.

    Where the file system has no locks, that is assumed, with a warning.
    """
    try:
        return system.lock(descriptor)
    except OSError as error:
        if error.errno not in {*_UNABLE, errno.ENOLCK, errno.EBADF}:
            raise
        log.warning(
            "%s: the file system has no locks (%s): let only one process at a time write there",
            path, os.strerror(error.errno),
        )  # fmt: skip
    return True


class Room:
    """Space for parts of a size, in a file without a name: it ends with the process, however.

    Parameters
    ----------
    folder : Path
        On the disk.
    part : int
        Bytes of a part.
    n_parts : int
        How many.

    Raises
    ------
    OSError
        If the disk is too small.
    """

    def __init__(self, folder: Path, part: int, n_parts: int) -> None:
        self._part, self._left, self._size = part, n_parts, part * n_parts
        self._file = tempfile.TemporaryFile(dir=folder, suffix=".tmp")  # noqa: SIM115
        try:
            if self._size:
                reserve(self._file.fileno(), self._size)
        except BaseException:
            self.close()
            raise

    def take(self) -> None:
        """Give the space of one part back, to be used for it; of small parts, that of several."""
        self._left = max(self._left - 1, 0)
        if self._size > self._part * self._left:
            self._size = max(min(self._part * self._left, self._size - _LUMP), 0)
            os.ftruncate(self._file.fileno(), self._size)

    def close(self) -> None:
        """Give back what is left."""
        self._file.close()

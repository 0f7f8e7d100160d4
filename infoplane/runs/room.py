"""Set space on a disk aside for what will be written."""

from __future__ import annotations

import os
from pathlib import Path

from infoplane.runs.hdf5 import reserve

_LUMP = 1 << 26
"""Bytes that are given back at once, at least: to shorten a file takes a millisecond."""


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
        path = folder / "room.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        try:
            path.unlink()
            if self._size:
                reserve(self._file, self._size)
        except BaseException:
            self.close()
            raise

    def take(self) -> None:
        """Give the space of one part back, to be used for it; of small parts, that of several."""
        self._left = max(self._left - 1, 0)
        if self._size > self._part * self._left:
            self._size = max(min(self._part * self._left, self._size - _LUMP), 0)
            os.ftruncate(self._file, self._size)

    def close(self) -> None:
        """Give back what is left."""
        os.close(self._file)

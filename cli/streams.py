"""stdout and stderr as a command may find them: closed, full, or with nobody to read them.

What is written to neither changes what a command does: without a reader the text is dropped. Only a
stdout that cannot take its text, such as a file on a full disk, is an error.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from infoplane.errors import unwritable


def install() -> None:
    """Put streams in place that outlive their readers, be they closed already."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: else the next file to be opened would be taken for it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  - for as long as we run
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def _lasting(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream like another one; what its encoding lacks, it writes as escapes."""
    like: Any = stream or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    like.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(_console(stream) or io.FileIO(descriptor, "w", closefd=False))),
        encoding=like.encoding,
        errors="backslashreplace" if like.errors == "strict" else like.errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


def _console(stream: TextIO | None) -> io.RawIOBase | None:
    """Return what writes to a console of Windows: its file takes bytes of the console's code."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, io.RawIOBase) and not isinstance(raw, io.FileIO) else None


class _Raw(io.RawIOBase):
    """The file behind a stream; after its first failure it takes everything and keeps nothing."""

    def __init__(self, file: io.RawIOBase) -> None:
        super().__init__()
        self._file = file
        self._failed = False

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Tell whether somebody looks at it."""
        return self._file.isatty()

    def write(self, data: Any, /) -> int | None:
        """Write bytes.

        Raises
        ------
        RunFileError
            Once, if stdout cannot take them though it is read.
        """
        try:
            if not self._failed:
                return self._file.write(data)
        except OSError as error:
            self._failed = True
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                raise unwritable("stdout", error) from error
        return len(data)

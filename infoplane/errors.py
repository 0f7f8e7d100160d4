"""Errors and warnings of infoplane.

::

    InfoplaneError
    ├── InputError (ValueError)             an argument: shape, type, range, unknown parameter
    ├── DataError (ValueError)              content of a file that cannot be used: NaN, wrong keys
    ├── RunFileError (OSError)              a file is missing, damaged, locked or of another version
    ├── NotFoundError (LookupError)         no checkpoint, layer or row of that name
    ├── EstimationError (ArithmeticError)   the quantity is undefined for this data
    └── WorkerError (RuntimeError)          a worker process died
    InfoplaneWarning (UserWarning)

Every error carries a one-line message (what was expected, what was found, where), a ``code``
``IPnnn`` (1xx configuration, 2xx estimation, 3xx data, 4xx selection) and, where there is one, a
``hint`` that says what to do next. Each has a second, built-in parent, so that
``except ValueError`` works for callers who never heard of us.
"""

from __future__ import annotations

import errno
import os
import re
from enum import IntEnum
from typing import Any


class InfoplaneError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : str
        One line: what was expected, what was found, and where.
    hint : str, optional
        What to do next, if possible with a command to copy.
    code : str, optional
        Catalogue number; each class has a default.
    argument : str, optional
        The argument of a call that is wrong. The message begins with its name, in place of which
        the command line names the option.

    Attributes
    ----------
    results : Results or None
        What an analysis had finished before the error.

    Examples
    --------
    >>> try:
    ...     infoplane.load("nothing.json")
    ... except infoplane.InfoplaneError as error:
    ...     print(error.code, error)
    IP303 nothing.json: no such file
    """

    code = "IP100"
    results: Any = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        argument: str | None = None,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.argument = argument
        if code is not None:
            self.code = code


class InputError(InfoplaneError, ValueError):
    """An argument or option has the wrong shape, type, range or name."""

    code = "IP101"


class EstimationError(InfoplaneError, ArithmeticError):
    """The quantity is undefined for this data, e.g. one sample or zero bandwidth."""

    code = "IP210"


class DataError(InfoplaneError, ValueError):
    """A file was read but its content cannot be used: NaN, no labels, keys that do not fit."""

    code = "IP310"


class RunFileError(InfoplaneError, OSError):
    """A file is missing, damaged, locked, already there, or of another format version."""

    code = "IP301"


_OF_CONTENT = {0, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG, errno.ERANGE, errno.EDOM}
"""What the system answers to a place or a size that no file has: a damaged one asked for it."""


def errno_of(error: BaseException) -> int | None:
    """Return the number of the system's error behind an exception, be it that of HDF5."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if type(error).__name__ == "BadZipFile" and isinstance(error.__context__, OSError):
        return error.__context__.errno  # zipfile takes what it cannot read for no archive
    told = re.search(r"errno = (\d+)", str(error))
    return int(told[1]) if told else None


def is_of_system(error: BaseException) -> bool:
    """Tell whether an error in reading is the system's; otherwise the content is to blame."""
    return errno_of(error) not in {None, *_OF_CONTENT}


def unreadable(path: object, error: BaseException) -> RunFileError:
    """Return the error of a file that the system does not let us read."""
    number = errno_of(error) or 0
    hint = "nothing says that the file is damaged: see to its permissions, the disk and the memory"
    if number == errno.ENOENT:
        hint = "put it back; what is missing of a run is recorded again with --resume"
    message = f"{path}: cannot be read ({os.strerror(number)})"
    return RunFileError(message, hint=hint, code="IP303")


_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_OF_CALLS = {errno.EBADF, errno.EPIPE, errno.ECHILD, errno.ESRCH, errno.ECONNRESET, *_OF_CONTENT}


def refused(error: Exception) -> RunFileError | None:
    """Return the error of what the system refused, wherever; None if it was not the system."""
    number = errno_of(error)
    if not isinstance(error, (OSError, MemoryError)) or number in {None, *_OF_CALLS}:
        return None
    reason, path = os.strerror(number or 0), getattr(error, "filename", None)
    if path is not None:
        code = "IP305" if number in _OF_WRITING else "IP303"
        return RunFileError(f"{os.fsdecode(path)}: cannot be used ({reason})", code=code)
    if number == errno.ENOENT:
        return RunFileError(
            "the working folder was removed", hint="go to a folder that is there", code="IP303"
        )
    if number in _OF_WRITING:
        return RunFileError(f"a file cannot be written ({reason})", code="IP305")
    return RunFileError(
        f"the system gives no more ({reason})",
        hint="free memory or raise its limits (ulimit -a); fewer processes with -j 1 need less",
        code="IP309",
    )


def unwritable(path: object, error: OSError) -> RunFileError:
    """Return the error of a file or folder that cannot be written."""
    return RunFileError(f"{path}: cannot be written ({error.strerror or error})", code="IP305")


class NotFoundError(InfoplaneError, LookupError):
    """No checkpoint, layer or row matches."""

    code = "IP401"


class WorkerError(InfoplaneError, RuntimeError):
    """A worker process died; what it had not returned is missing."""

    code = "IP220"


class InfoplaneWarning(UserWarning):
    """Base of all warnings of this package."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived; what an interrupt keeps, this keeps."""


class ExitCode(IntEnum):
    """Exit status of the command line."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    DATA = 3
    NOTHING = 4
    PARTIAL = 5
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143

"""Worker processes that import nothing from the working folder.

multiprocessing starts every process as ``python -c ...``, also the one that tracks its resources.
Python then looks for modules in the working folder before the standard library: ``signal.py``
beside a run would be executed. ``-P`` prevents this from Python 3.11 on only, and ``-I`` drops the
environment too. Therefore the first statement of such a process takes the folder out.

Nothing else changes: a process of multiprocessing gets ``sys.path`` of its parent before it imports
what it works with.
"""

from __future__ import annotations

from multiprocessing import util
from typing import Any

# No quotes in it: multiprocessing puts it between double ones on Windows.
_FIRST = (
    "import sys; sys.path[:1] = filter(None, sys.path[:1]); "
    "code = sys.argv[2]; del sys.argv[1:3]; exec(code)"
)
_util: Any = util  # the function is private, and the same in Python 3.10 to 3.14
_plain_flags = _util._args_from_interpreter_flags


def keep_the_working_folder_out() -> None:
    """Make processes of multiprocessing safe that this one starts from now on, dask's as well."""
    _util._args_from_interpreter_flags = _flags


def _flags() -> list[str]:
    """Return the flags of the interpreter; what follows, ``-c CODE``, become arguments of ours."""
    return [*_plain_flags(), "-c", _FIRST]

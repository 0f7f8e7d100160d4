"""Time limit of a cell: give it up when it takes longer than its estimator allows."""

from __future__ import annotations

import ctypes
import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infoplane.estimators.base import Cost

_SHORTEST = 0.02  # seconds between two looks at the clock


class OutOfTime(BaseException):
    """Stops the work of a thread whose time is over; no ``except Exception`` keeps it."""


@contextmanager
def at_most(cost: Cost) -> Iterator[None]:
    """Stop what runs in the context when it has used the CPU seconds of ``cost.limit``.

    It is stopped between two steps of Python, in whatever thread it runs: a call of a compiled
    library is waited for.

    Raises
    ------
    OutOfTime
        If the time is over.
    """
    if cost.limit is None:
        yield
        return
    if cost.torch:
        importlib.import_module("torch")  # half an import could not be made good
    thread = ctypes.c_ulong(threading.get_ident())
    stop, done = ctypes.pythonapi.PyThreadState_SetAsyncExc, threading.Event()
    end = time.process_time() + cost.limit

    def watch() -> None:
        while (rest := end - time.process_time()) > 0:
            if done.wait(max(rest, _SHORTEST)):
                return
        stop(thread, ctypes.py_object(OutOfTime))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        stop(thread, None)  # takes back what has not arrived

"""Executors for the analysis: worker processes here, a dask cluster, or MPI."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from types import TracebackType

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Processes:
    """Worker processes with one numerical thread each, while the context lasts.

    One job is a worker process too: sums then run over the same threads, and the numbers are the
    same for any number of jobs. On an error or an interrupt, work that has not begun is dropped.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> Processes:
        self._before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        self.executor = self._started()
        return self

    def renew(self) -> Executor:
        """Return a new executor in place of one that a dead worker broke."""
        self._stop(at_once=True)
        self.executor = self._started()
        return self.executor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop(at_once=kind is not None)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_follow_the_parent,
        )

    def _stop(self, *, at_once: bool) -> None:
        workers = list((getattr(self.executor, "_processes", None) or {}).values())
        self.executor.shutdown(wait=not at_once, cancel_futures=True)
        if at_once:
            for worker in workers:
                worker.terminate()
            self.executor.shutdown(wait=True)


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent process, which ends the workers; end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

"""Executors for the analysis: worker processes here, a dask cluster, or MPI.

Each is a context that holds a ``concurrent.futures`` executor; ``renew`` replaces one that a dead
worker broke, where that can happen.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from infoplane.analysis.safe_start import keep_the_working_folder_out
from infoplane.calls import unfit
from infoplane.errors import InputError, WorkerError
from infoplane.system import MOST_PROCESSES

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_CONNECT_SECONDS = 15


def check_executor(executor: str | Executor) -> str | Executor:
    """Return an executor, or the text ``processes``, ``dask``, ``dask=ADDRESS`` or ``mpi``.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if isinstance(executor, Executor) or executor in ("processes", "dask", "mpi"):
        return executor
    if isinstance(executor, str) and re.fullmatch("dask=.+", executor):
        return executor
    raise unfit("executor", "processes, dask, dask=ADDRESS or mpi", executor, code="IP104")


def workers(
    text: str, jobs: int, exchange: Path, *, program: bool = False
) -> Processes | Dask | Mpi:
    """Return the workers that a text names, see ``check_executor``.

    Those that may be on other machines see the folder ``exchange``; processes import the
    ``program`` where it defines what they work with.
    """
    kind, _, address = text.partition("=")
    if kind == "dask":
        return Dask(jobs, address or None, exchange)
    return Mpi(exchange) if kind == "mpi" else Processes(jobs, program=program)


class Given:
    """An executor of the caller's, which is left open."""

    renew: Callable[[], Executor] | None = None
    exchange: Path | None = None

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the executor to the caller."""


class Processes(Executor):
    """Worker processes with one numerical thread each, while the context lasts.

    They are started for the first piece of work. One job is a worker process too: sums then run
    over the same threads, and the numbers are the same for any number of jobs. On an error or an
    interrupt, work that has not begun is dropped.

    Parameters
    ----------
    jobs : int
        Number of processes.
    program : bool, default False
        Whether they import the program that started them, for classes that it defines. It must
        then keep its own work under ``if __name__ == "__main__":``.
    """

    exchange: Path | None = None

    def __init__(self, jobs: int, *, program: bool = False) -> None:
        self.jobs, self._program = min(jobs, MOST_PROCESSES or jobs), program
        self._pool: ProcessPoolExecutor | None = None

    @property
    def executor(self) -> Executor:
        """Itself."""
        return self

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Hand a call to a worker."""
        with nullcontext() if self._program else _without_program():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.jobs,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_follow_the_parent,
                )
                for _ in range(self.jobs):  # else the second one starts after the first's work
                    self._pool.submit(_nothing)
            return self._pool.submit(work, *args, **options)

    def renew(self) -> Executor:
        """End the workers; others are started for the next piece of work."""
        self._stop(at_once=True)
        return self

    def __enter__(self) -> Processes:
        keep_the_working_folder_out()
        self._before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        self._stop(at_once=kind is not None)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _stop(self, *, at_once: bool) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        running = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=not at_once, cancel_futures=True)
        if at_once:
            for worker in running:
                worker.terminate()
            pool.shutdown(wait=True)


class Dask:
    """The workers of a dask cluster: of a running one, or of one started here.

    They read the runs by path, from a file system that all of them see. A task of a lost worker is
    done again by another one.
    """

    executor: Executor
    renew: Callable[[], Executor] | None = None

    def __init__(self, jobs: int, address: str | None, exchange: Path) -> None:
        self.jobs, self.address = jobs, address
        self.exchange = exchange if address else None
        self._cluster: Any = None

    def __enter__(self) -> Dask:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise InputError(
                "executor dask: expected dask.distributed to be installed, found none",
                argument="executor",
                hint="python3 -m pip install 'dask[distributed]', or the extra 'dask'",
                code="IP109",
            ) from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self.address is None:
            keep_the_working_folder_out()
            self._cluster = LocalCluster(
                n_workers=self.jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        try:
            self._client = Client(self._cluster or self.address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise WorkerError(
                f"executor dask={self.address}: no scheduler answers there ({error})",
                argument="executor",
                hint="start one with 'dask scheduler' and 'dask worker ADDRESS'",
            ) from error
        if self._cluster is not None:  # workers of the same terminal
            self._client.register_worker_callbacks(_leave_interrupts)
        self.executor = self._client.get_executor(pure=False)
        # What cells share travels with them; it may be large, and dask would say so each time.
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is not None:
            with suppress(Exception):  # the cluster may be what failed
                self.executor.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):
            self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=5)


class Mpi:
    """The ranks of an MPI job; the first one directs, the others work.

    ``mpiexec -n 5 python3 -I -m mpi4py.futures -m infoplane analyze ... --executor mpi``
    """

    executor: Executor
    renew: Callable[[], Executor] | None = None

    def __init__(self, exchange: Path) -> None:
        self.exchange = exchange

    def __enter__(self) -> Mpi:
        try:
            from mpi4py import MPI
            from mpi4py.futures import MPIPoolExecutor
        except ImportError as error:
            raise InputError(
                "executor mpi: expected mpi4py and an MPI library to be installed, found none",
                argument="executor",
                hint="python3 -m pip install mpi4py, or the extra 'mpi', on a machine with MPI",
                code="IP109",
            ) from error
        if MPI.COMM_WORLD.Get_size() < 2:
            raise InputError(
                "executor mpi: expected an MPI job of at least 2 ranks, found 1",
                argument="executor",
                hint="mpiexec -n 5 python3 -I -m mpi4py.futures -m infoplane analyze ...",
                code="IP109",
            )
        self.executor = MPIPoolExecutor(initializer=_begin_rank)
        return self

    def __exit__(self, *raised: object) -> None:
        self.executor.shutdown(wait=raised[0] is None, cancel_futures=True)


@contextmanager
def _without_program() -> Iterator[None]:
    """Let processes start that do not import the program, which may begin an analysis itself."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _begin_rank() -> None:
    """Let a rank compute with one thread, before it loads any numerical library.

    An interrupt of the job reaches every rank. It is left to the first one: one that waits for work
    would end in a traceback.
    """
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    _leave_interrupts()


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the parent process, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _nothing() -> None:
    """Keep a worker from starting with the work of another one."""


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent process; end when it is killed."""
    _leave_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

"""Workers of an analysis in the process of the tests, where the libraries are loaded already."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from infoplane.analysis import executors, session
from infoplane.similarity import session as of_similarities


class Serial(Executor):
    """Runs work at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future


class Here:
    """A worker in this process: as with ``Processes``, but without starting any."""

    renew = exchange = None

    def __init__(self, jobs: int, *rest: object, **options: object) -> None:
        self.jobs, self.executor = jobs, Serial()

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


def one_worker_is_here(patch: pytest.MonkeyPatch) -> None:
    """Let one job be done in this process; two or more are processes, and one is the default."""
    processes = executors.Processes

    def chosen(jobs: int, **options: Any) -> Any:
        return Here(jobs) if jobs == 1 else processes(jobs, **options)

    patch.setattr(executors, "Processes", chosen)
    for module in (session, of_similarities):
        patch.setattr(module, "processors", lambda: 1)

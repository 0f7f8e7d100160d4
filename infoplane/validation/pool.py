"""Work on an executor whose workers may die."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, as_completed
from typing import Any, TypeVar

from infoplane.errors import WorkerError

Key = TypeVar("Key")


def in_any_order(
    executor: Executor, work: Mapping[Key, tuple[Any, ...]]
) -> Iterator[tuple[Key, Any]]:
    """Yield the key and the result of each piece of work (function, *arguments), as they finish.

    Raises
    ------
    WorkerError
        If a worker process died.
    """
    try:
        pending = {executor.submit(*call): key for key, call in work.items()}
        for future in as_completed(pending):
            yield pending[future], future.result()
    except BrokenExecutor as error:
        raise WorkerError(
            "a worker process died, perhaps for want of memory", hint="use fewer processes (-j 1)"
        ) from error

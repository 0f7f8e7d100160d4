"""Processes that tests start; none outlives its test."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONG = 300
"""Seconds after which a test gives up on a process: far more than any needs on a busy machine."""

_STARTED: list["subprocess.Popen[Any]"] = []


def start_process(command: list[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a process in a session of its own; ``end_processes`` kills it after the test."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    _STARTED.append(process)
    return process


def end_processes() -> None:
    """Kill what the test has started and what these processes have, and wait for them."""
    while _STARTED:
        process = _STARTED.pop()
        below = children_of(process.pid) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):  # also those whose parent has ended
            os.killpg(process.pid, signal.SIGKILL)
        for pid in below:  # some have left the group
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=LONG)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[Any]", what: str) -> None:
    """Wait until a condition holds, while a process runs that is to bring it about."""
    deadline = time.monotonic() + LONG
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended before {what}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, f"not {what} in {LONG} s"
        time.sleep(0.02)
    assert process.poll() is None, f"ended before it could be disturbed, {what}"


def children_of(pid: int) -> list[int]:
    """Return the processes below a process, deepest last."""
    found, level = [], [pid]
    while level:
        level = [child for one in level for child in _children(one)]
        found += level
    return found


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += [int(word) for word in task.read_text().split()]
    return found

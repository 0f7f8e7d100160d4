"""Ctrl-C and SIGTERM as exceptions that cannot get lost.

Python ignores an exception that is raised while a finalizer runs, the interrupt's too. A signal is
therefore remembered as well, and `check` raises what was lost.
"""

from __future__ import annotations

import signal
from types import FrameType

from infoplane.errors import TerminatedError

_KINDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: TerminatedError,
}
_received: list[int] = []


def install() -> None:
    """Raise an exception when SIGINT or SIGTERM arrives."""
    for number in _KINDS:
        signal.signal(number, _remember_and_raise)


def check() -> None:
    """Raise the exception of a signal that has arrived."""
    if _received:
        raise _KINDS[_received[0]]


def _remember_and_raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise _KINDS[number]

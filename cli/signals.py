"""Ctrl-C and SIGTERM as exceptions that cannot get lost.

Python ignores an exception that is raised while a finalizer runs, the interrupt's too. A signal is
therefore remembered as well, and `check` raises what was lost.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from infoplane.errors import TerminatedError

_KINDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: TerminatedError,
}
if hasattr(signal, "SIGBREAK"):  # Windows, where nobody can send SIGTERM
    _KINDS[signal.SIGBREAK] = TerminatedError
_received: list[int] = []


def install() -> None:
    """Raise an exception when SIGINT or SIGTERM arrives."""
    sys.unraisablehook = _all_but_ours
    for number in _KINDS:
        signal.signal(number, _remember_and_raise)


def check() -> None:
    """Raise the exception of a signal that has arrived."""
    if _received:
        raise _KINDS[_received[0]]


def _all_but_ours(lost: sys.UnraisableHookArgs) -> None:
    """Tell of exceptions that Python ignores, but for those that are remembered here."""
    if not (_received and isinstance(lost.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)


def _remember_and_raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise _KINDS[number]

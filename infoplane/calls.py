"""Argument checks and progress that ``analyze`` and ``record`` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from infoplane.errors import InputError

PathLike: TypeAlias = "str | os.PathLike[str]"


class Progress(NamedTuple):
    """How far a call is: told before the first piece of work of a stage, and after each."""

    stage: str  # "record", "analyze" or "sampling"
    done: int
    total: int
    failed: int = 0


Listener: TypeAlias = Callable[[Progress], object]


def unfit(argument: str, expected: str, found: object, **more: Any) -> InputError:
    """Return the error of an argument that is not what was expected."""
    text = str(found) if isinstance(found, type) else " ".join(f"{found!r:.200}".split())
    return InputError(f"{argument}: expected {expected}, got {text:.60}", argument=argument, **more)


def whole(value: object, argument: str, least: int) -> int:
    """Return a whole number of at least ``least``; a truth value is none.

    Raises
    ------
    InputError
        As of all checks here: if the value is another.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise unfit(argument, "a whole number", value)
    if int(value) < least:
        raise unfit(argument, f"a number of at least {least}", int(value))
    return int(value)


def truth(value: object, argument: str) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise unfit(argument, "True or False", value)
    return value


def text_or_none(value: object, argument: str) -> str | None:
    """Return a text, or None."""
    if value is not None and not isinstance(value, str):
        raise unfit(argument, "a text or None", value)
    return value


def texts(value: object, argument: str, what: str = "a text or a list of them") -> tuple[str, ...]:
    """Return several texts; one text is taken for a list of one."""
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Iterable) or isinstance(found, bytes):
        raise unfit(argument, what, value)
    listed = tuple(found)
    for one in listed:
        if not isinstance(one, str):
            raise unfit(argument, what, one)
    return listed


def one_of(value: object, argument: str, *options: str) -> str:
    """Return one of several words."""
    if not isinstance(value, str) or value not in options:
        raise unfit(argument, " or ".join(map(repr, options)), value)
    return value


def is_path(value: object) -> bool:
    """Tell whether a value names a file or folder."""
    return isinstance(value, (str, os.PathLike)) and value != ""


def path_of(value: object, argument: str) -> Path:
    """Return a path."""
    if not is_path(value):
        raise unfit(argument, "a path", value)
    return Path(value)  # type: ignore[arg-type]  # is_path has told


def document_of(value: object, argument: str) -> Mapping[str, Any]:
    """Return a results document."""
    if not isinstance(value, Mapping):
        raise unfit(argument, "a Results or a results document", value)
    return value


def listener(progress: object) -> Listener:
    """Return what is told of progress: a callable, or for True lines on stderr.

    Raises
    ------
    InputError
        If ``progress`` is neither True, False, None nor callable.
    """
    if progress is True:
        return _on_stderr
    if progress is None or progress is False:
        return lambda _: None
    if not callable(progress):
        raise unfit("progress", "True, False or a function of a Progress", progress)
    return progress


def _on_stderr(now: Progress) -> None:
    """Write over the line before, each time another percent is done."""
    percent = 100 * now.done // max(now.total, 1)
    if now.done and percent == 100 * (now.done - 1) // max(now.total, 1):
        return
    failed = f", {now.failed:,} failed" if now.failed else ""
    end = "\n" if now.done == now.total else ""
    sys.stderr.write(f"\r{now.stage} {now.done:,}/{now.total:,}{failed}{end}")
    sys.stderr.flush()


def checkpoint_patterns(given: object) -> list[str]:
    """Return a path, a glob or several of these as texts.

    Raises
    ------
    InputError
        If it is anything else, or none.
    """
    expected = "a path, a glob or a list of these"
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    listed = list(cast("Iterable[Any]", given)) if several else [given]
    if not listed:
        raise unfit("checkpoints", expected, listed)
    for one in listed:
        if not is_path(one):
            raise unfit("checkpoints", expected, one)
    return [str(one) for one in listed]

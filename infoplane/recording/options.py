"""Options of a recording that can be checked before there is a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infoplane.errors import InputError
from infoplane.recording.hooks.reductions import Reduction
from infoplane.recording.schedule import as_schedule


def check_options(
    *,
    schedule: str | Iterable[int] = "log:10",
    reduce: Mapping[str, str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    **others: Any,
) -> None:
    """Check those options of a ``Recorder`` that are wrong whatever the model is.

    Raises
    ------
    InputError
        If one is.
    """
    if overwrite and resume:
        raise InputError("expected overwrite or resume, got both")
    as_schedule(schedule)
    for kind in (reduce or {}).values():
        Reduction.parse(kind)

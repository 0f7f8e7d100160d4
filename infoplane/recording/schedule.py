"""Say at which training steps to record, and check what else can be before there is a model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infoplane.errors import InputError
from infoplane.recording.hooks.reductions import several_by_glob


@dataclass(frozen=True)
class Schedule:
    """Training steps to record: every so many, evenly in their logarithm, by epoch, or listed."""

    every: int | None = None
    per_decade: int | None = None
    listed: frozenset[int] = frozenset()
    epochs: int | None = None

    def due(self, step: int, epoch: float | None = None, before: int | None = None) -> bool:
        """Tell whether a step is one of the schedule; step 0 is one unless steps are listed.

        Evenly spaced in the logarithm with k steps in a decade are the whole numbers nearest to
        10**(i / k). By epoch, a step is due when more epochs are complete than ``before``, or, if
        it is the first, when a whole number of them is.
        """
        if self.epochs:
            now = complete(epoch)
            if now is None:
                return False
            if before is None:
                return now % self.epochs == 0 and complete(epoch, -1) != now
            return now // self.epochs > before // self.epochs
        if self.every:
            return step % self.every == 0
        if self.per_decade:
            if step == 0:
                return True
            near = round(self.per_decade * math.log10(step))
            return step in self._spaced(range(near - 1, near + 2))
        return step in self.listed

    def count(self, first: int, last: int | None = None) -> int:
        """Return how many steps are due from ``first`` to ``last``; 0 if there is no end."""
        if self.listed:
            return sum(first <= step and (last is None or step <= last) for step in self.listed)
        if last is None or last < first or self.epochs:  # how many steps an epoch has is not told
            return 0
        if self.every:
            return last // self.every - (first - 1) // self.every
        assert self.per_decade is not None
        most = math.ceil(self.per_decade * math.log10(max(last, 1))) + 1
        if most > last - first:  # closer together than whole numbers
            return sum(map(self.due, range(first, last + 1)))
        return sum(first <= step <= last for step in {0, *self._spaced(range(most))})

    def _spaced(self, numbers: range) -> Iterator[int]:
        """Yield the logarithmic steps of these numbers."""
        assert self.per_decade is not None
        return (round(10 ** (i / self.per_decade)) for i in numbers)


def as_schedule(given: str | Iterable[int]) -> Schedule:
    """Return the schedule that is written as ``every:100``, ``log:10``, ``epoch`` or ``0,1,10``.

    Parameters
    ----------
    given : str or iterable of int
        ``every:N`` is every N-th step, ``log:K`` are K steps in each decade (0, 1, 2, ... 10, 13,
        ...), ``epoch`` the end of every epoch, ``epoch:N`` of every N-th, and the begin of the
        first; numbers are the steps themselves.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if isinstance(given, Iterable) and not isinstance(given, str):
        return Schedule(listed=frozenset(whole_step(step) for step in given))
    text = given if isinstance(given, str) else ""
    text = re.sub(r"^\s*epoch\s*$", "epoch:1", text)
    if found := re.fullmatch(r"(every|log|epoch):0*([1-9]\d{0,17})", text.strip()):
        number = int(found[2])
        return {
            "every": Schedule(every=number),
            "log": Schedule(per_decade=number),
            "epoch": Schedule(epochs=number),
        }[found[1]]
    if re.fullmatch(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*)*", text):
        return Schedule(listed=frozenset(map(int, text.split(","))))
    raise InputError(
        f"expected a schedule such as 'every:100', 'log:10', 'epoch' or '0,1,10,100', got {given!r}"
    )


def complete(epoch: float | None, nudge: int = 1) -> int | None:
    """Return how many epochs are complete; sums of fractions of an epoch are not exact.

    >>> complete(2.9999999999), complete(2.5), complete(3.0, nudge=-1)
    (3, 2, 2)
    """
    return None if epoch is None else math.floor(epoch + nudge * 1e-9)


def whole_step(step: Any) -> int:
    """Return a step as int; 3.0 and tensors without axes are steps, 1.7 is none.

    Raises
    ------
    InputError
        If it is no whole number from 0 to 2**63 - 1.
    """
    try:
        whole = int(step)
        good = bool(whole == step) and 0 <= whole < 2**63
    except (TypeError, ValueError, OverflowError, RuntimeError):
        good = False
    if not good:
        raise InputError(f"expected a step that is a whole number of at least 0, got {step!r:.80}")
    return whole


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
    several_by_glob(reduce or {})

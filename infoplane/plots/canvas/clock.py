"""What the time of a figure counts: training steps, or epochs if every checkpoint ends one.

Curves are drawn over the steps in either case; the numbers and the name at the axis are those of
the clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis

from infoplane.data import IntArray

FEW_STEPS = 8

_epochs: ContextVar[Mapping[int, int] | None] = ContextVar("epochs", default=None)


def whole_epochs(recordings: Sequence[Mapping[str, Any]]) -> dict[int, int] | None:
    """Return the epoch of each step, if all steps of all recordings are ends of epochs."""
    found: dict[int, int] = {}
    for recording in recordings:
        epochs = recording.get("epochs") or [None] * len(recording["steps"])
        for step, epoch in zip(recording["steps"], epochs, strict=True):
            if epoch is None or epoch != round(epoch) or found.get(step, epoch) != epoch:
                return None
            found[step] = int(epoch)
    ascending = [found[step] for step in sorted(found)]
    return (
        found if len(set(ascending)) == len(ascending) and ascending == sorted(ascending) else None
    )


@contextmanager
def counting(epochs: Mapping[int, int] | None) -> Iterator[None]:
    """Let the figures of the block count epochs, where they are known."""
    token = _epochs.set(epochs)
    try:
        yield
    finally:
        _epochs.reset(token)


def time_name() -> str:
    """Return what the time counts: ``training step`` or ``epoch``."""
    return "epoch" if _epochs.get() else "training step"


def step_text(step: float) -> str:
    """Return a step in a few characters: 0, 300, 2k, 1563, 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if step >= size:
            return min(f"{step / size:.4g}{unit}", f"{step:.0f}", key=len)
    return f"{step:.4g}"


def time_of(step: float) -> float:
    """Return what the clock shows at a step; between two epochs a share of one."""
    epochs = _epochs.get()
    if not epochs:
        return step
    steps = sorted(epochs)
    return float(np.interp(step, steps, [epochs[one] for one in steps]))


def step_axis(axis: Axis, steps: Sequence[int] | IntArray, *, n_ticks: int = 6) -> None:
    """Label an axis in ``log10(step + 1)`` by the clock, the first and the last step too.

    Between them are the recorded steps if there are few, else powers of ten, and 2 and 5 where
    fewer than two of those fit; those that keep about ``n_ticks`` apart.
    """
    every = sorted({int(step) for step in steps})
    low, high = every[0], every[-1]
    between = every[1:-1]
    if len(every) > FEW_STEPS:
        between = _round_numbers(every)
    least = 0.75 / (n_ticks - 1) * math.log10((high + 1) / (low + 1))
    ticks = [low]
    for step in between:
        if min(_apart(ticks[-1], step), _apart(step, high)) >= least:
            ticks.append(step)
    ticks = list(dict.fromkeys([*ticks, high]))
    texts = [step_text(time_of(step)) for step in ticks]
    axis.set_ticks([math.log10(step + 1) for step in ticks], texts, minor=False)
    axis.set_minor_locator(mpl.ticker.NullLocator())


def _round_numbers(every: Sequence[int]) -> list[int]:
    """Return steps between the first and the last at which the clock shows a round number."""
    epochs = _epochs.get()
    at = {epochs[step]: step for step in every if step in epochs} if epochs else None
    times = sorted(at) if at else every
    low, high = times[0], times[-1]
    decades = range(int(math.log10(max(high, 1))) + 1)

    def there(numbers: Sequence[int]) -> list[int]:
        shown = [n for n in numbers if low < n < high and (at is None or n in at)]
        return shown if at is None else [at[n] for n in shown]

    found = there([10**d for d in decades])
    return found if len(found) >= 2 else there([m * 10**d for d in decades for m in (1, 2, 5)])


def _apart(first: int, second: int) -> float:
    return math.log10((second + 1) / (first + 1))

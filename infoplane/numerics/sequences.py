"""Rows that come in sequences: an interval draws sequences anew, not their rows.

Tokens of one text are alike. Folds and halves that split a sequence tell how much the estimate
moves with its tokens, which is less than it moves with other texts. What draws rows for an interval
asks here for the sequence of each; who estimates says it here, for as long as that takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from infoplane.data import IntArray


@dataclass
class Sequences:
    """The sequences of the rows that an estimate is made of.

    Parameters
    ----------
    of_rows : array of int (n_rows,)
        The sequence of each row.
    used : bool
        Whether some were drawn whole.
    missed : bool
        Whether some rows were drawn singly: they were others than these, or of too few sequences.
    """

    of_rows: IntArray
    used: bool = False
    missed: bool = False


_CURRENT: ContextVar[Sequences | None] = ContextVar("sequences", default=None)


@contextmanager
def in_sequences(of_rows: IntArray | None) -> Iterator[Sequences | None]:
    """Let intervals draw these sequences; None where rows are samples of their own."""
    given = None if of_rows is None else Sequences(of_rows)
    before = _CURRENT.set(given)
    try:
        yield given
    finally:
        _CURRENT.reset(before)


def sequences_of(n: int, fewest: int) -> list[IntArray] | None:
    """Return the rows of each sequence of ``n`` rows; None where rows are drawn singly."""
    current = _CURRENT.get()
    if current is None:
        return None
    found = rows_by_sequence(current.of_rows) if len(current.of_rows) == n else []
    if len(found) < fewest:
        current.missed = True
        return None
    current.used = True
    return found


def rows_by_sequence(of_rows: IntArray) -> list[IntArray]:
    """Return the rows of each sequence."""
    order = np.argsort(of_rows, kind="stable")
    starts = np.flatnonzero(np.diff(of_rows[order])) + 1
    return np.split(order, starts)

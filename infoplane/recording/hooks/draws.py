"""Random numbers that belong to a sample: the same in every batch, in every order, at every step.

They are drawn from a stream for each place in the model and each pass, at the counter of the
sample. So they depend on the row of a sample in the probe set, on the number of the pass and on the
place, and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import torch

from infoplane.data import Array

Law: TypeAlias = Literal["uniform", "normal"]

_Candidates: TypeAlias = frozenset[tuple[int, int]]
"""Axes of the samples that a shape allows, each with the entries that a sample has on it."""

SHARED = 0
"""The row from which is drawn what all samples of a pass have in common."""


def sample_numbers(law: Law, rows: Sequence[int], size: int, dtype: str, *place: object) -> Array:
    """Return numbers (n_samples, size): uniform in [0, 1), or standard normal.

    Parameters
    ----------
    law : {"uniform", "normal"}
        The distribution.
    rows : sequence of int
        Rows of the samples in the probe set.
    size : int
        Numbers for each.
    dtype : {"float32", "float64"}
        Theirs.
    *place : object
        Pass and place in the model; ``str`` of each counts.
    """
    text = "\x1f".join(map(str, place)).encode("utf-8", "surrogatepass")
    key = np.frombuffer(hashlib.sha256(text).digest()[:16], dtype="<u8").astype(np.uint64)
    bits = np.random.Philox(key=key)
    generator, state = np.random.Generator(bits), bits.state
    kind = np.float64 if dtype == "float64" else np.float32
    made = np.empty((len(rows), size), dtype=kind)
    for at, row in enumerate(rows):
        state["state"]["counter"][:] = (0, 0, 0, row)
        bits.state = state
        if law == "normal":
            generator.standard_normal(out=made[at], dtype=kind)
        else:
            generator.random(out=made[at], dtype=kind)
    return made


@dataclass
class SampleAxes:
    """Finds the axis of the samples at each place from batches of several sizes.

    An axis that has one entry for each sample, or the first with the same number of entries for
    each, is one in batches of all sizes; another may have that length by chance in one of them.
    """

    _found: dict[str, _Candidates] = field(default_factory=dict)

    def of(self, place: str, shape: Sequence[int], n_rows: int) -> tuple[int, int] | None:
        """Return the axis and the entries of a sample on it; None if there is no such axis."""
        now = frozenset(
            (axis, length // n_rows)
            for axis, length in enumerate(shape)
            if length == n_rows or (axis == 0 and length and length % n_rows == 0)
        )
        left = self._found.get(place, now) & now
        self._found[place] = left
        return min(left, default=None)


@dataclass
class Draws:
    """Draws for the samples of a batch at the places of a model.

    Attributes
    ----------
    rows : sequence of int
        Rows of the batch in the probe set.
    number : int
        The pass.
    shared : dict of str to None
        Places at which there is no axis of the samples: all have the same numbers there.
    """

    rows: Sequence[int] = ()
    number: int = 0
    shared: dict[str, None] = field(default_factory=dict)
    _axes: SampleAxes = field(default_factory=SampleAxes)
    _calls: dict[str, int] = field(default_factory=dict)

    def begin(self, rows: Sequence[int]) -> None:
        """Begin a pass of these rows."""
        self.rows = rows
        self._calls.clear()

    def like(self, law: Law, like: torch.Tensor, place: str) -> torch.Tensor:
        """Return numbers in the shape, dtype and on the device of a tensor."""
        call = self._calls.get(place, 0)
        self._calls[place] = call + 1
        named = f"{place}#{call}"
        shape = tuple(like.shape)
        found = self._axes.of(named, shape, len(self.rows))
        axis, each = found or (0, 1)
        rows: Sequence[int] = self.rows if found else [SHARED]
        rest = shape[:axis] + shape[axis + 1 :]
        if found is None:
            self.shared[place] = None
            rest = shape
        dtype = "float64" if like.dtype == torch.float64 else "float32"
        size = int(np.prod(rest, dtype=np.int64)) * each
        numbers = sample_numbers(law, rows, size, dtype, self.number, named)
        made = torch.from_numpy(numbers).to(like.device)
        if found is None:
            made = made.reshape(shape)
        else:
            made = made.reshape(len(rows) * each, *rest).movedim(0, axis)
        return made.to(like.dtype) if like.is_floating_point() else made

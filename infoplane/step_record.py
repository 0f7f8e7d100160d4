"""What is recorded with a step besides arrays: its numbers, and the loss log up to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infoplane.data import FloatArray, IntArray, plain


@dataclass(frozen=True, eq=False)
class LossLog:
    """The loss of a training at its steps, before the update of each.

    Attributes
    ----------
    steps : array of int (n,)
        Ascending.
    losses : array (n,)
        In nats per token, or per sample; NaN and inf as they were logged.
    tokens : array (n,)
        Tokens that were trained on by then; NaN where none were logged.
    """

    steps: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    losses: FloatArray = field(default_factory=lambda: np.zeros(0))
    tokens: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def has_tokens(self) -> bool:
        """Whether tokens are known of every entry."""
        return len(self) > 0 and not np.isnan(self.tokens).any()

    def counted(self) -> tuple[FloatArray, str]:
        """Return what a curve runs over: tokens, or steps where not all tokens are known.

        Steps that begin at 0 are counted from 1: what was trained on, the batch included.
        """
        if self.has_tokens or not len(self):
            return self.tokens, "tokens"
        return (self.steps + (self.steps[0] == 0)).astype(np.float64), "steps"

    def up_to(self, step: int) -> LossLog:
        """Return the entries of steps up to this one."""
        return self[: int(np.searchsorted(self.steps, step, side="right"))]

    @classmethod
    def joined(cls, blocks: Iterable[LossLog]) -> LossLog:
        """Return blocks as one log: a block of a training that went on replaces what follows."""
        kept: list[LossLog] = []
        for block in blocks:
            if not len(block):
                continue
            while kept and kept[-1].steps[0] >= block.steps[0]:
                kept.pop()
            if kept:
                kept[-1] = kept[-1].up_to(int(block.steps[0]) - 1)
            kept.append(block)
        columns = zip(*(block._columns for block in kept), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def __getitem__(self, rows: slice) -> LossLog:
        return LossLog(*(column[rows] for column in self._columns))

    @property
    def digest(self) -> str:
        """A hash of all entries."""
        found = hashlib.sha256()
        for column in self._columns:
            found.update(np.ascontiguousarray(column).data)
        return found.hexdigest()

    @property
    def _columns(self) -> tuple[Any, Any, Any]:
        return self.steps, self.losses, self.tokens


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What an estimator that reads no arrays is given of a step.

    Attributes
    ----------
    step : int
        The training step.
    epoch : float or None
        Its epoch, if that was recorded.
    metrics : mapping of str to float
        Numbers that were recorded with it.
    gradients : mapping
        Gradient statistics by layer.
    curvature : mapping
        What was recorded of the curvature of the loss; empty if nothing was.
    log : LossLog
        The loss log up to this step.
    """

    step: int
    epoch: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    gradients: Mapping[str, Any] = field(default_factory=dict)
    curvature: Mapping[str, Any] = field(default_factory=dict)
    log: LossLog = field(default_factory=LossLog)

    def content(self) -> dict[str, Any]:
        """Return all of it as plain values, of the log its hash: what a number depends on."""
        told: dict[str, Any] = plain({**vars(self), "log": self.log.digest})
        return told

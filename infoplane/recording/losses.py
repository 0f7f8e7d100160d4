"""Losses of a training, taken at every step without waiting for the GPU that computed them."""

from __future__ import annotations

import logging
import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoplane.errors import InputError
from infoplane.recording.manifest import number
from infoplane.recording.schedule import whole_step
from infoplane.step_record import LossLog

log = logging.getLogger("infoplane")

_MOST_WAITING = 1024  # losses that are left on a GPU; then they are read together


class Losses:
    """Losses that are not written yet: 24 bytes a step."""

    def __init__(self) -> None:
        self._steps, self._tokens, self._losses = array("q"), array("d"), array("d")
        self._waiting: list[torch.Tensor] = []  # the last losses, on a GPU
        self._last, self._counted = -1, 0.0

    def add(self, step: Any, train_loss: Any, tokens: Any = None) -> None:
        """Take the loss of a step.

        Raises
        ------
        InputError
            If the step is not above the one before it, the loss is no number, or tokens go
            backwards.
        """
        step = whole_step(step)
        if step <= self._last:
            raise InputError(
                f"log: expected a step above {self._last}, which was the last, got {step}",
                hint="count steps over the whole training, not in each epoch anew",
            )
        count = math.nan if tokens is None else number(tokens, "tokens")
        if tokens is not None and not self._counted <= count < math.inf:
            raise InputError(
                f"log: expected the tokens of all steps so far, at least {self._counted:.15g}, got "
                f"{count:.15g} at step {step}",
                hint="tokens= is the number trained on since the start, not that of the batch",
            )
        if _elsewhere(train_loss):
            self._waiting.append(train_loss.detach().reshape(()).clone())
        else:
            loss = number(train_loss, "train_loss")
            self._read()
            self._losses.append(loss)
        self._steps.append(step)
        self._tokens.append(count)
        self._last = step
        self._counted = self._counted if tokens is None else count
        if len(self._waiting) >= _MOST_WAITING:
            self._read()

    def taken(self) -> LossLog:
        """Return what waits, and forget it."""
        self._read()
        steps, losses, tokens = self._steps, self._losses, self._tokens
        self._steps, self._losses, self._tokens = array("q"), array("d"), array("d")
        return LossLog(np.array(steps, dtype=np.int64), np.array(losses), np.array(tokens))

    def _read(self) -> None:
        """Read the losses that are still on a GPU, all at once where they are alike."""
        if self._waiting:
            kinds = {(loss.device, loss.dtype) for loss in self._waiting}
            groups = [self._waiting] if len(kinds) == 1 else [[loss] for loss in self._waiting]
            for group in groups:
                self._losses.extend(torch.stack(group).cpu().double().tolist())
            self._waiting = []


def warn_of_replaced(before: LossLog, new: LossLog) -> None:
    """Warn where a training that goes on counts its steps anew: all that was logged is replaced."""
    if len(before) and len(new) and new.steps[0] <= max(1, before.steps[0]):
        log.warning(
            "the loss log begins anew at step %d: it replaces the %d losses of steps %d..%d; a "
            "training that goes on counts its steps on",
            new.steps[0],
            len(before),
            before.steps[0],
            before.steps[-1],
        )


def warn_of_lost(lost: LossLog, path: Path) -> None:
    """Warn of losses that no snapshot was made beside: there is no run that could keep them."""
    if len(lost):
        log.warning(
            "%s: %d losses of steps %d..%d are not kept: no snapshot was made, and a run begins "
            "with its first",
            path,
            len(lost),
            lost.steps[0],
            lost.steps[-1],
        )


def _elsewhere(loss: Any) -> bool:
    """Tell whether reading a loss would wait for another device."""
    return (
        isinstance(loss, torch.Tensor)
        and loss.device.type not in ("cpu", "meta")
        and loss.numel() == 1
        and not loss.is_complex()
    )

"""How a loss takes the samples of a batch: their mean, their sum, or neither."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import torch

from infoplane.data import IntArray
from infoplane.errors import DataError, InputError

Average: TypeAlias = Literal["mean", "sum", "neither"]
Value: TypeAlias = Callable[[slice], torch.Tensor]

SAMPLES = 8
"""Samples on which a loss is tried."""

_PART = 2
_FEWEST = 4
_TOLERANCE = 1e-3
_ROUNDING = 8  # units of the last place, of losses of about 1


def rows_of(n: int, most: int = SAMPLES) -> IntArray:
    """Return at most so many rows, the same each time; all classes have their chance."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def scalar(loss: object) -> torch.Tensor:
    """Return a loss as a tensor without axes.

    Raises
    ------
    InputError
        If it is no tensor of one number.
    """
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise InputError("expected a loss that is a scalar tensor")
    return loss.reshape(())


def averaged(value: Value, n: int) -> Average:
    """Return what the loss of a batch is of those of its parts of two samples.

    A loss that compares the output of one sample with the target of another is neither: its batch
    has pairs that no part has. Too few samples, and losses that are not finite, pass as a mean.
    """
    n -= n % _PART
    if n < _FEWEST:
        return "mean"
    whole = value(slice(0, n))
    parts = torch.stack(
        [value(slice(row, row + _PART)).detach() for row in range(0, n, _PART)]
    ).double()
    off = _ROUNDING * float(torch.finfo(whole.dtype).eps) if whole.is_floating_point() else 0.0
    found = float(whole.detach())

    def near(expected: torch.Tensor) -> bool:
        room = max(_TOLERANCE, off) * max(abs(found), float(parts.abs().max())) + off
        return not abs(found - float(expected)) > room  # NaN is near all

    return "mean" if near(parts.mean()) else "sum" if near(parts.sum()) else "neither"


def chosen(value_of: Callable[[bool], Value], n: int) -> tuple[bool, Average]:
    """Return whether targets are to be given as a column (n, 1), and what the loss is of its parts.

    They are where a loss of targets (n,) fails or compares every output with every target, and that
    of a column does not.

    Parameters
    ----------
    value_of : callable
        Given whether targets are a column where the outputs are one, returns the loss of rows.
    n : int
        Number of samples.

    Raises
    ------
    DataError
        If the loss fails either way.
    """
    failed: DataError | None = None
    found: Average = "neither"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torch, on shapes that are broadcast
            found = averaged(value_of(False), n)
    except DataError as error:
        failed = error
    if failed is None and found != "neither":
        return False, found
    try:
        if (other := averaged(value_of(True), n)) != "neither":
            return True, other
    except DataError:
        pass
    if failed is not None:
        raise failed
    return False, found


def as_column(targets: torch.Tensor, outputs: object) -> torch.Tensor:
    """Return targets (n,) as (n, 1) where that is the shape of the outputs."""
    shape = outputs.shape if isinstance(outputs, torch.Tensor) else ()
    return targets[:, None] if targets.ndim == 1 and shape == (len(targets), 1) else targets

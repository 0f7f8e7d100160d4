"""What a run holds of a weight: all of it, or what sums it up, and how far it has moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

WeightForm: TypeAlias = Literal["whole", "singular-values", "norm"]
"""What is stored: the numbers, their singular values, or their norm alone."""

_BLOCK = 1 << 20  # numbers that are converted at a time


@dataclass(frozen=True)
class Start:
    """Where a weight began: at the first recorded step.

    ``reason`` says why nothing is known of it; the other members are None then.
    """

    step: int | None = None
    norm: float | None = None
    distance: float | None = None  # from it, Frobenius
    parameters_hash: str | None = None  # of all weights at that step
    reason: str = ""

    def told(self) -> dict[str, Any]:
        """Return what metadata keep."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Start:
        """Return it from what metadata keep; unknown members are passed over."""
        numbers = {
            name: float(told[name]) for name in ("norm", "distance") if told.get(name) is not None
        }
        step, known = told.get("step"), told.get("parameters_hash")
        return cls(
            step=None if step is None else int(step),
            parameters_hash=None if known is None else str(known),
            reason=str(told.get("reason", "")),
            **numbers,
        )


@dataclass(frozen=True)
class Summary:
    """Of which weight the stored numbers are the singular values, or the norm."""

    shape: tuple[int, ...]
    dtype: str
    start: Start = field(default=Start(), compare=False)


@dataclass(frozen=True)
class RecordedWeight:
    """A weight at one step, as an estimator with ``reads = "weight"`` is given it.

    Attributes
    ----------
    shape : tuple of int
        Of the weight itself.
    step : float
        Relative step of its numbers; 0 of whole ones.
    form : {"whole", "singular-values", "norm"}
        What ``values`` are.
    values : array
        What was recorded; finite.
    start : Start
        Where it began.
    """

    shape: tuple[int, ...]
    step: float
    form: WeightForm
    values: NDArray[Any]
    start: Start

    @cached_property
    def norm(self) -> float:
        """The Frobenius norm."""
        if self.form == "norm":
            return float(self.values[0])
        return frobenius(self.values)


def frobenius(values: NDArray[Any], start: NDArray[Any] | None = None) -> float:
    """Return the Frobenius norm of an array, or of its difference from another, in float64."""
    flat = values.reshape(-1)
    begun = None if start is None else start.reshape(-1)
    largest, total = 0.0, 0.0
    for first in range(0, len(flat), _BLOCK):
        block = flat[first : first + _BLOCK].astype(np.float64)
        if begun is not None:
            block -= begun[first : first + _BLOCK]
        top = float(np.abs(block).max())
        if not np.isfinite(top):
            return float("nan")
        if top > largest:  # scaled: squares of tiny and of huge numbers leave the range
            total *= (largest / top) ** 2
            largest = top
        if largest > 0.0:
            total += float(np.square(block / largest).sum())
    return largest * float(np.sqrt(total))


def resolution(numbers: str) -> float:
    """Return the relative step of numbers, by the name of their dtype or encoding; 0 of others.

    Quantised numbers are taken as they stand.
    """
    if numbers == "bfloat16":
        return 2.0**-7
    if numbers.startswith("float8"):
        return 2.0**-2 if "e5m2" in numbers else 2.0**-3
    return float(np.finfo(numbers).eps) if numbers in ("float16", "float32", "float64") else 0.0

"""What every comparison begins with: two arrays of the same samples, and parts of these samples.

Intervals come from half-samples without replacement: drawing with replacement makes duplicates,
which are structure. The samples are dealt once into groups of equal size, and a half is any half of
the groups. Sums over pairs of samples then have to be made once per pair of groups, not per half.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from infoplane.calls import unfit
from infoplane.data import Array, FloatArray, IntArray, checked_activations
from infoplane.errors import EstimationError, InputError

FEWEST = 4
"""Samples of which a similarity can be told; debiased CKA divides by n (n - 3)."""

GROUPS = 10
"""Groups of samples, of which halves are made: their number less one is that of the freedoms."""

CHANCE = 3.0
"""Standard deviations from the null within which a value is one of the null."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What two representations of the same samples have in common.

    Parameters
    ----------
    value : float
        Similarity or distance, as it is: never clipped.
    standard_error : float or None
        Of the value over samples, by half-samples; None where there are too few.
    null, null_sd : float
        Mean and standard deviation of the value when the rows of one side are permuted.
    """

    value: float
    standard_error: float | None
    null: float
    null_sd: float


def centred_pair(x: Array, y: Array) -> tuple[FloatArray, FloatArray]:
    """Return two arrays (n_samples, n_units) as float64, every unit centred.

    Raises
    ------
    InputError
        If they are no arrays of finite numbers, or not of the same number of samples.
    EstimationError
        If there are fewer than `FEWEST` samples, or a side does not vary.
    """
    left, right = checked_activations(x, name="x"), checked_activations(y, name="y")
    if len(left) != len(right):
        raise InputError(
            f"expected x and y of the same samples, got {len(left):,} and {len(right):,} rows"
        )
    return centred(left, "x"), centred(right, "y")


def centred(array: Array, name: str = "the layer") -> FloatArray:
    """Return finite activations (n_samples, n_units) as float64, centred, the largest about 1.

    No measure depends on the scale of all units together; squares of squares must be numbers.

    Raises
    ------
    EstimationError
        If there are fewer than `FEWEST` samples, or it does not vary.
    """
    if len(array) < FEWEST:
        raise EstimationError(
            f"expected at least {FEWEST} samples to compare, got {len(array)}",
            hint="record more samples",
        )
    values = np.asarray(array, dtype=np.float64)
    largest = np.abs(values).max(axis=0)
    if (most := float(largest.max())) > 0:
        values, largest = values / most, largest / most
    found = values - values.mean(axis=0)
    # A constant unit leaves the rounding of its mean.
    found[:, np.abs(found).max(axis=0) <= 8 * np.finfo(np.float64).eps * largest] = 0.0
    most = float(np.abs(found).max())
    if most == 0.0:
        raise EstimationError(
            f"{name} is constant: it is the same for all {len(array)} samples",
            hint="leave the layer out",
        )
    return np.asarray(found / most)


def dealt(n_samples: int) -> IntArray:
    """Return where each group of samples begins, and the end.

    The samples must stand in random order. Too few for halves of `FEWEST` are one group.
    """
    groups = GROUPS if n_samples >= 2 * GROUPS else 1
    return np.linspace(0, n_samples, groups + 1).round().astype(np.int64)


def whole(n_samples: int) -> IntArray:
    """Return the bounds of one group of all samples."""
    return np.array([0, n_samples])


def groups_of(bounds: IntArray) -> list[slice]:
    """Return the rows of each group."""
    return [slice(a, b) for a, b in itertools.pairwise(bounds.tolist())]


@lru_cache
def parts(n_groups: int) -> NDArray[np.bool_]:
    """Return which groups are in all samples (the first row), and in each half (the others)."""
    found = [np.ones(n_groups, dtype=bool)]
    if n_groups > 1:
        for chosen in itertools.combinations(range(n_groups), n_groups // 2):
            found.append(np.isin(np.arange(n_groups), chosen))
    return np.array(found)


def few_parts(n_groups: int, most: int = 12) -> NDArray[np.bool_]:
    """Return all samples and some halves, for measures that cost as much for each."""
    every = parts(n_groups)
    at = np.linspace(1, len(every) - 1, min(most, len(every) - 1)).round().astype(int)
    return np.asarray(every[[0, *at.tolist()]])


def spread(values: FloatArray) -> float | None:
    """Return the standard error of the first value, given those of halves after it.

    The mean of a half without replacement varies around that of all samples as much as that does
    around its expectation.
    """
    halves = values[1:]
    if len(halves) < 2 or not np.isfinite(halves).all():
        return None
    return float(halves.std(ddof=1))


def positive(value: object, argument: str) -> float:
    """Return a positive finite number.

    Raises
    ------
    InputError
        If it is none.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < np.inf:  # type: ignore[arg-type]  # is_number told
        raise unfit(argument, "a positive number", value)
    return float(value)  # type: ignore[arg-type]  # likewise


def share(value: object, argument: str) -> float:
    """Return a share above 0, of at most 1.

    Raises
    ------
    InputError
        If it is none.
    """
    number = positive(value, argument)
    if number > 1:
        raise unfit(argument, "a share of at most 1", value)
    return number

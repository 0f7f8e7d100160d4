"""Fits of seeds and of parts of a sample, and what they lead to with ever more samples.

Reference: Abdelaleem, Martini, Nemenman: "Accurate estimation of mutual information in high
dimensional data", arXiv 2506.00330, 2025. Here the values on held-out rows are extrapolated as
well as those at training: where the critic is right, both lead to one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.data import IntArray

SEEDS = 2
"""Fits of the whole sample, each with other held-out rows."""

PARTS = (2, 4)
"""Numbers of parts that the sample is cut into."""

FEWEST = 400
"""Samples that a part has at least."""

HELD_OUT = 5
"""One of so many rows is held out."""

Split = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Line:
    """A value with ever more samples: the intercept of a line in the number of parts.

    Parameters
    ----------
    value, error : float
        The intercept and its standard error.
    slope : float
        Change from one part to two.
    """

    value: float
    error: float
    slope: float


def seed_splits(n: int, seeds: int, rng: np.random.Generator) -> list[Split]:
    """Return training and held-out rows of each seed; none is held out twice."""
    order = rng.permutation(n)
    size = n // HELD_OUT
    splits = []
    for k in range(seeds):
        held = order[k * size : (k + 1) * size]
        splits.append((rng.permutation(np.setdiff1d(order, held)), held))
    return splits


def part_splits(n: int, parts: int, rng: np.random.Generator) -> list[Split]:
    """Return training and held-out rows of each of so many disjoint parts."""
    order, size = rng.permutation(n), n // parts
    held = size // HELD_OUT
    return [
        (order[k * size + held : (k + 1) * size], order[k * size : k * size + held])
        for k in range(parts)
    ]


def numbers_of_parts(n: int) -> tuple[int, ...]:
    """Return the numbers of parts whose parts are large enough."""
    return tuple(parts for parts in PARTS if n // parts >= FEWEST)


def extrapolated(means: Mapping[int, float], error: float) -> Line:
    """Return the line through means over all parts, by their number, 1 for the whole sample.

    Parts of any number hold the same samples, so that their errors move together: that of the
    whole sample, ``error``, is that of the intercept as well, beside what the line leaves.
    """
    parts = np.array(sorted(means), dtype=float)
    values = np.array([means[int(k)] for k in parts])
    if len(parts) == 1:
        return Line(float(values[0]), error, 0.0)
    centred = parts - parts.mean()
    slope = float(centred @ values / (centred @ centred))
    value = float(values.mean() - slope * parts.mean())
    own = 0.0
    if len(parts) > 2:
        rest = values - value - slope * parts
        variance = float(rest @ rest) / (len(parts) - 2)
        own = variance * (1 / len(parts) + float(parts.mean()) ** 2 / float(centred @ centred))
    return Line(value, math.hypot(error, math.sqrt(own)), slope)


def agree(train: Line, test: Line, share: float, least: float) -> bool:
    """Return whether both lines lead to one number: within two errors, or next to nothing."""
    apart = abs(train.value - test.value)
    near = max(share * abs(train.value), least)
    return apart <= max(2 * math.hypot(train.error, test.error), near)


Fitting = Callable[[Sequence[Split]], Sequence[object]]

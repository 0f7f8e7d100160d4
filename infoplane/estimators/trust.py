"""Thresholds of trust: from where on a value, an interval or a difference is not to be relied on.

Each stands here once. Estimators raise flags by them, results and rules compare by them.
"""

from __future__ import annotations

import math

from infoplane.numerics.intervals import ROUNDING

LEVEL = 0.95
"""Nominal coverage of every interval."""

UPPER = 0.975
"""Where the upper end of such an interval lies: half of the rest is above it."""

NORMAL_QUANTILE = 1.96
"""Standard errors to either side that cover 95 % of a normal distribution."""

SATURATED = 0.98
"""Share of its bound above which a value follows the bound, not the layer."""

NULL_SHARE = 0.5
"""Share of a value that is too much for a null: shuffled labels reach half of it as well."""

SMALLEST_BITS = 0.05
"""Bits that are next to nothing: a difference of values below, or all that a layer holds."""

SMALLEST_SHARE = 0.05
"""Share of a value, or of its bound, that is next to nothing."""

SMALLEST_ERROR = 0.02
"""Bits below which neither a standard error nor a jitter is taken at its word."""

LARGE_LOSS = 0.1
"""Share of a value that a compression may lose."""

WIDE_BRACKET = 0.5
"""Bits between two bounds from which their midpoint is to be read with caution."""

WIDEST_BRACKET = 1.0
"""Bits between two bounds from which the bounds are given alone."""


def is_saturated(bits: float, bound: float) -> bool:
    """Return whether a value is within 2 % of its upper bound; never where that is 0."""
    return bool(bound > 0 and bits > SATURATED * bound)


def null_dominates(bits: float, null: float | None) -> bool:
    """Return whether more than half of a value is there for labels that mean nothing as well."""
    return null is not None and bool(null > NULL_SHARE * bits)


def is_negative(bits: float) -> bool:
    """Return whether a value is below 0 by more than rounding."""
    return bits < -ROUNDING


def noticeable(bits: float, error: float = math.inf) -> float:
    """Return the bias above which an estimate is flagged ``biased``.

    It is 5 %, at least 0.05 bits; or the standard error, at least 0.02 bits, since from there on an
    interval of sampling error alone misleads.
    """
    return min(max(SMALLEST_BITS, SMALLEST_SHARE * abs(bits)), max(SMALLEST_ERROR, error))

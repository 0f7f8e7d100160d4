"""Quantiles of the normal and of Student's distribution, without SciPy.

Loading ``scipy.special`` takes longer than all else that a command does which only reads results.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist


def normal_quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution at a probability in (0, 1)."""
    return NormalDist().inv_cdf(probability)


@lru_cache(maxsize=1024)
def student_quantile(freedom: int, probability: float) -> float:
    """Return the quantile of Student's distribution.

    Parameters
    ----------
    freedom : int
        Degrees of freedom, at least 1.
    probability : float
        At least 0.5, below 1.

    Notes
    -----
    With ``t = sqrt(freedom) tan(angle)`` the probability of ``|T| <= t`` is a finite sum
    (Abramowitz, Stegun: "Handbook of mathematical functions", 1964, 26.7.3 and 26.7.4), and its
    slope a power of the cosine: it is concave, and Newton's method comes to the root from below.
    """
    inside = 2.0 * probability - 1.0
    slope = 2.0 / math.pi if freedom % 2 else 1.0  # at an angle of 0
    for j in range(2 - freedom % 2, freedom, 2):
        slope *= (j + 1) / j
    angle = 0.0
    while True:
        missing = inside - _within(freedom, angle)
        further = angle + missing / (slope * math.cos(angle) ** (freedom - 1))
        if further <= angle:
            return math.sqrt(freedom) * math.tan(angle)
        angle = further


def _within(freedom: int, angle: float) -> float:
    """Return the probability of ``|T| <= sqrt(freedom) tan(angle)``."""
    odd, cosine = freedom % 2, math.cos(angle)
    total, term = 0.0, cosine if odd else 1.0
    for j in range(odd, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (j + 1) / (j + 2)
    total *= math.sin(angle)
    return (angle + total) * 2.0 / math.pi if odd else total

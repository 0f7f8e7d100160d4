"""What a measure reads where rows do not belong together: the null of permutations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

_CHANCE = 0.975  # quantile of Student's distribution beyond which a value is none of permutations


@dataclass(frozen=True)
class Null:
    """Values of a measure with permuted rows.

    Parameters
    ----------
    values : tuple of float
        One of each permutation.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Their mean; None of none."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def sd(self) -> float | None:
        """Their standard deviation; None of fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def excess(self, value: float) -> float | None:
        """Return what a value has beyond their mean."""
        return None if self.mean is None else value - self.mean

    def holds(self, value: float) -> bool:
        """Return whether a value may be one of another permutation, by a t-test of one more."""
        if self.mean is None or self.sd is None:
            return False
        n = len(self.values)
        reach = float(scipy.special.stdtrit(n - 1, _CHANCE)) * math.sqrt(1.0 + 1.0 / n)
        return value - self.mean <= reach * self.sd

"""The power law that the largest of some values follow, and how well."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray

FEWEST_VALUES = 20
"""Values that a fit takes at least; with fewer, small samples pull the exponent up."""

_CRITICAL = 1.308  # 1 % of the modified distance (Stephens 1974, unknown scale of an exponential)


@dataclass(frozen=True)
class Tail:
    """A power law, density ~ x^(-alpha), above a smallest value.

    Attributes
    ----------
    alpha : float
        The exponent; NaN where there are fewer than 20 values, or they do not differ.
    deviation : float
        Standard error of the exponent, (alpha - 1) / sqrt(n), for independent values.
    distance : float
        Largest distance between the distribution of the tail and the law (Kolmogorov, Smirnov).
    smallest : float
        Where the tail begins.
    n : int
        Values in the tail.
    """

    alpha: float = math.nan
    deviation: float = math.nan
    distance: float = math.nan
    smallest: float = math.nan
    n: int = 0

    @property
    def fits(self) -> bool:
        """Whether the distance is one that a power law of this exponent has in 99 of 100 samples.

        Logarithms of the tail are exponential then, and their scale was fitted (Stephens 1974,
        "EDF statistics for goodness of fit", JASA 69). Eigenvalues repel each other, and the
        beginning was chosen for the distance: a law that is refused here is far off.
        """
        root = math.sqrt(max(self.n, 1))
        return (self.distance - 0.2 / root**2) * (root + 0.26 + 0.5 / root) <= _CRITICAL


def fit_tail(values: FloatArray) -> Tail:
    """Return the power law of the largest values.

    The exponent is that of the greatest likelihood, 1 + n / sum ln(x / smallest); of all values
    but the largest as beginning of the tail, the one counts for which the distance is smallest
    (Clauset, Shalizi, Newman: "Power-law distributions in empirical data", SIAM Review 51, 2009).

    Parameters
    ----------
    values : array (n,)
        Above 0, in any order.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if len(x) < FEWEST_VALUES:
        return Tail()
    logs = np.log(x)
    sums = np.cumsum(logs[::-1])[::-1]
    best = Tail(distance=math.inf)
    for first in range(len(x) - 1):
        n = len(x) - first
        spread = float(sums[first] - n * logs[first])
        if spread <= n * 1e-12:  # equal values, but for rounding
            break
        below = -np.expm1(-(n / spread) * (logs[first:] - logs[first]))
        distance = float(np.abs(below - np.arange(n) / n).max())
        if distance < best.distance:
            alpha = 1.0 + n / spread
            best = Tail(alpha, (alpha - 1.0) / math.sqrt(n), distance, float(x[first]), n)
    return best if best.n else Tail()

"""Cauchy-Schwarz information of two samples, its null, and what to know before trusting it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, IntArray, whole_number
from infoplane.errors import InputError
from infoplane.estimators.kernel_flags import kernel_flags
from infoplane.numerics.kernels.cauchy_schwarz import KernelWidth, Side, bits_of
from infoplane.numerics.nulls import Null
from infoplane.seeding import generator


@dataclass(frozen=True)
class CauchySchwarzInformation:
    """Cauchy-Schwarz quadratic mutual information of two samples, in bits, beside its null.

    Parameters
    ----------
    bits : float
        The value; at least 0, also of samples that share nothing.
    null : Null
        The values with permuted rows.
    flags : tuple of str
        What to know before it is trusted: ``constant``; ``degenerate``, a kernel so wide that all
        samples are alike; ``sparse``, one so narrow that most are alone; ``small_n``, below 20
        samples; ``null_dominates``, permuted rows give more than half of ``bits``;
        ``within_null``, the excess is one of permutations.
    self_x, self_y : float
        The values of each sample with itself.
    width_x, width_y : float
        Widths of the kernels; 0 of class ids.
    n_samples : int
        Number of samples.
    """

    bits: float
    null: Null
    flags: tuple[str, ...]
    self_x: float
    self_y: float
    width_x: float
    width_y: float
    n_samples: int

    @property
    def null_mean(self) -> float | None:
        """Mean of the null; None without permutations."""
        return self.null.mean

    @property
    def null_sd(self) -> float | None:
        """Standard deviation of the null; None with fewer than two permutations."""
        return self.null.sd

    @property
    def excess(self) -> float | None:
        """``bits - null_mean``: what is there because rows belong together."""
        return self.null.excess(self.bits)

    @property
    def normalised(self) -> float | None:
        """``bits / sqrt(self_x self_y)``; None if a sample does not vary.

        Of a kernel that is too narrow it is 1, of permuted rows as well.
        """
        own = self.self_x * self.self_y
        return self.bits / math.sqrt(own) if own > 0.0 else None


def cauchy_schwarz_information(
    x: Array, y: Array, *, width: KernelWidth = "median", permutations: int = 5, seed: int = 0
) -> CauchySchwarzInformation:
    """Return the Cauchy-Schwarz quadratic mutual information of two samples, in bits.

    I = log2(mean K o L) + log2(mean K mean L) - 2 log2(mean_i k_i l_i), where K and L are the Gram
    matrices, all means are over pairs, and k_i, l_i are the means of row i. It is no Shannon
    information: it depends on the kernels, and of samples that share nothing it is above 0, by an
    amount that moves with the representation. Read the ``excess``.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Two representations of the same samples. One-dimensional real numbers are one column.
        One-dimensional integers, truth values and texts are class ids, whose kernel is 1 within a
        class and 0 between classes.
    width : float or "median"
        Width w of the Gaussian kernel exp(-d^2 / 2 w^2); ``median``, for each side on its own, is
        the median distance of two rows that differ, so that units of measurement do not count.
    permutations : int, default 5
        Permutations of the rows behind the null; 0 leaves it out.
    seed : int, default 0
        Of the permutations.

    Raises
    ------
    InputError
        If the arrays are not finite or differ in length, there are fewer than 2 or more than
        10,000 samples, or a parameter is out of range.

    References
    ----------
    Principe: "Information theoretic learning", 2010. Yu et al.: "Cauchy-Schwarz divergence
    information bottleneck for regression", ICLR 2024.

    Examples
    --------
    Four equal classes and themselves: two bits.

    >>> import numpy as np
    >>> labels = np.arange(100) % 4
    >>> round(cauchy_schwarz_information(labels, labels).bits, 9)
    2.0
    """
    first, second = Side.of(x, width, "x"), Side.of(y, width, "y")
    rng = generator(whole_number(seed, "seed", 0), "cauchy_schwarz_information")
    number = whole_number(permutations, "permutations", 0)
    return information_of(first, second, [rng.permutation(len(first.gram)) for _ in range(number)])


def information_of(x: Side, y: Side, orders: Sequence[IntArray]) -> CauchySchwarzInformation:
    """Return the information of two sides, and with the rows of ``y`` in other orders.

    Raises
    ------
    InputError
        If the sides differ in length.
    """
    n = len(x.gram)
    if n != len(y.gram):
        raise InputError(f"expected as many rows of y as of x, {n}, got {len(y.gram)}")
    own = np.arange(n)
    bits, null = bits_of(x, y, own), Null(tuple(bits_of(x, y, order) for order in orders))
    flags = kernel_flags(((side.gram, side.width) for side in (x, y)), bits, null)
    selves = bits_of(x, x, own), bits_of(y, y, own)
    return CauchySchwarzInformation(bits, null, flags, *selves, x.width, y.width, n)

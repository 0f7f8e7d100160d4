"""What to know of an information by kernels before it is trusted."""

from __future__ import annotations

from collections.abc import Iterable

from infoplane.data import FloatArray
from infoplane.estimators.trust import null_dominates
from infoplane.numerics.nulls import Null

FEWEST_SAMPLES = 20
"""Samples below which permutations are too much alike for a null."""

_ALIKE = 1e-3  # mean of 1 - kernel below which all samples are one to it


def kernel_flags(
    kernels: Iterable[tuple[FloatArray, float]], bits: float, null: Null
) -> tuple[str, ...]:
    """Return the flags of an information by kernels.

    Parameters
    ----------
    kernels : iterable of (array (n_samples, n_samples), float)
        Gram matrices with their widths, 0 of class ids and of equal rows.
    bits : float
        The information.
    null : Null
        Its values with permuted rows.
    """
    found: dict[str, None] = {}
    for gram, width in kernels:
        n, level = len(gram), float(gram.mean())
        if level == 1.0 and width == 0.0:
            return ("constant",)
        if 1.0 - level < _ALIKE and width > 0.0:
            found["degenerate"] = None
        if level < 2.0 / n:
            found["sparse"] = None
        if n < FEWEST_SAMPLES:
            found["small_n"] = None
    if null_dominates(bits, null.mean):
        found["null_dominates"] = None
    if null.holds(bits):
        found["within_null"] = None
    return tuple(found)

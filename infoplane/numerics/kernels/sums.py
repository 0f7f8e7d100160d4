"""Sums of Gaussian kernels over all pairs of samples, block by block.

Arrays may be NumPy or torch (CUDA); the code uses only what both spell alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.arrays import converted, empty
from infoplane.data import Array, IntArray
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.tensors import Tensor, array_module, beside, fetched, place_of

Precision: TypeAlias = Literal["auto", "float32", "mixed", "float64"]

BLOCK = 384  # samples whose pairwise terms are held at a time
DEVICE_BLOCK = 4096  # on a device, where every operation costs a launch
DOUBLE_UP_TO = 1024  # samples up to which double precision costs next to nothing
SMALL_CLASS = 64  # mean class size below which blocks do not follow the classes
ROUNDING = 2e-3  # greatest rounding error of an exponent that float32 may cause
UNDERFLOW = {"float32": -31.4, "float64": -255.0}  # log2 below which the 4th power underflows


def kernel_sums(
    values: Array, starts: IntArray, variance: float, precision: str, *, like: Tensor
) -> tuple[Array, str]:
    """Return sums over all samples of both kernels, over the own class of both; and the precision.

    Parameters
    ----------
    values : array (n_samples, n_units)
        Sorted by class.
    starts : array (n_classes + 1,)
        First sample of each class, and the number of samples.
    variance : float
        Variance of the noise per unit.
    precision : str
        As of ``kde_information``.
    like : array or tensor
        Where to compute: a tensor's device, or with NumPy.

    Raises
    ------
    InputError
        If the precision is unknown.
    EstimationError
        If squared distances are beyond all numbers.
    """
    if precision not in get_args(Precision):
        raise InputError(
            f"expected precision to be one of {', '.join(get_args(Precision))}, got {precision!r}"
        )
    n, d = values.shape
    if precision == "auto" and n <= DOUBLE_UP_TO:
        precision = "float64"
    exact = precision in ("float64", "mixed")
    left = _scaled(values, variance, np.float64 if exact else values.dtype.type)
    if precision == "auto":
        fine = np.finfo(np.float32).eps * left[:, d].max() * np.log(2) < ROUNDING
        precision = "float32" if fine else "mixed"
        if not fine:
            left = _scaled(values, variance, np.float64)
    if precision == "float32" and left.dtype != np.float32:
        with np.errstate(over="ignore"):
            left = converted(left, np.float32)
    if not left[:, d].max() < np.finfo(left.dtype).max / 4:
        raise EstimationError("expected activations whose distances are numbers, got overflow")
    right = empty((d + 2, n), left.dtype)
    np.multiply(left[:, :d].T, 2, out=right[:d])
    right[d], right[d + 1] = -1, -left[:, d]
    kernel = "float64" if precision == "float64" else "float32"
    left, right, sums, between = (
        beside(array, like) for array in (left, right, np.zeros((4, n)), np.zeros((2, n)))
    )
    if len(starts) - 1 > max(1, n // SMALL_CLASS):
        _add_pairs(left, right, np.array([0, n]), sums[:2], sums[:2], kernel)
        for start, stop in pairwise(starts):
            part = slice(start, stop)
            inside = np.array([0, stop - start])
            _add_pairs(left[part], right[:, part], inside, sums[2:, part], sums[2:, part], kernel)
    else:
        _add_pairs(left, right, starts, sums[2:], between, kernel)
        sums[:2] = sums[2:] + between
    return fetched(sums), precision


def _scaled(values: Array, variance: float, dtype: type[np.floating]) -> Array:
    """Return points whose square distances are exponents of 2, negated, their squares, and 1.

    These are the columns of an array (n_samples, n_units + 2). Any shift is as good as that to the
    mean, so that rounding the mean does no harm.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the caller sees squares too great
        n, d = values.shape
        result = empty((n, d + 2), dtype)
        points = result[:, :d]
        points[:] = values
        points -= points.mean(axis=0)
        points *= dtype(np.sqrt(np.log2(np.e) / (8 * variance)))
        result[:, d], result[:, d + 1] = np.einsum("ij,ij->i", points, points), 1
        return result


def _add_pairs(
    left: Tensor,
    right: Tensor,
    starts: IntArray,
    inside: Tensor,
    between: Tensor,
    kernel: str,
) -> None:
    """Add the kernels of all pairs to ``inside`` and ``between`` (2, n_samples), in place.

    ``inside`` gets the pairs within one class, ``between`` those of two. The first row is of
    exp(-x / 2s), the second of exp(-x / 8s). ``left @ right`` holds the exponents of 2 of the
    second, and each pair is computed once.
    """
    xp, place = array_module(left), place_of(left)
    length = min(BLOCK if xp is np else DEVICE_BLOCK, len(left))
    blocks = [
        (a, min(a + length, stop), number)
        for number, (start, stop) in enumerate(pairwise(starts.tolist()))
        for a in range(start, stop, length)
    ]
    dtype = getattr(xp, kernel)
    exponents = xp.empty(length * length, dtype=left.dtype, **place)
    terms = exponents
    if left.dtype != dtype:
        terms = xp.empty(length * length, dtype=dtype, **place)
    ones = xp.ones(length, dtype=dtype, **place)
    lowest = UNDERFLOW[kernel]
    floor = 2.0**lowest  # added to the terms that are clipped, and taken off their sum again
    for i, (a, b, first) in enumerate(blocks):
        for c, d, second in blocks[i:]:
            size = (b - a) * (d - c)
            e = exponents[:size].reshape(b - a, d - c)
            k = terms[:size].reshape(b - a, d - c)
            xp.matmul(left[a:b], right[:, c:d], out=e)
            xp.clip(e, lowest, 0, out=e)
            if terms is not exponents:
                k[...] = e
            xp.exp2(k, out=k)
            if a == c:
                terms[: size : d - c + 1] = 1
            sums = inside if first == second else between
            for row, added in ((1, floor), (0, 0.0)):
                sums[row, a:b] += k @ ones[: d - c] - added * (d - c)
                if a != c:
                    sums[row, c:d] += ones[: b - a] @ k - added * (b - a)
                if row:
                    xp.square(k, out=k)
                    xp.square(k, out=k)

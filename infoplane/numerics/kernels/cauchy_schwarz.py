"""Cauchy-Schwarz information and divergences: logarithms of mean kernels over pairs of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy

from infoplane.arrays import magnitude
from infoplane.data import Array, FloatArray, IntArray, checked_activations, class_ids
from infoplane.errors import InputError
from infoplane.numerics.kernels.gram import class_gram, exponents, resolved_distances

KernelWidth: TypeAlias = float | Literal["median"]

MOST_SAMPLES = 10_000  # matrices of n^2 numbers
_BLOCK = 256  # rows that are permuted at a time


def cauchy_schwarz_divergence(p: Array, q: Array, *, width: KernelWidth = "median") -> float:
    """Return the Cauchy-Schwarz divergence of the distributions of two samples, in bits.

    D = log2(mean K_pp) + log2(mean K_qq) - 2 log2(mean K_pq). It is 0 of equal samples; of two
    samples of one distribution it is above 0, by an amount that falls like 1/n.

    Parameters
    ----------
    p, q : array (n_samples, n_units)
        Samples, as many of each as there are; one-dimensional ones as of
        `cauchy_schwarz_information`.
    width : float or "median"
        Width of the kernel, for both samples; ``median`` is the median distance of two different
        rows of both together.

    Returns
    -------
    float
        ``inf`` of class ids if no class is in both.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in kind or units, hold more than 10,000 samples
        together, or the width is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> cauchy_schwarz_divergence(x, x), round(cauchy_schwarz_divergence(x, x + 1), 2)
    (0.0, 0.56)
    """
    first, second = _alike(p, q, ("p", "q"))
    n = len(first)
    logs = _log_kernel(np.concatenate([first, second]), width)
    own, other = _log_mean(logs[:n, :n]), _log_mean(logs[n:, n:])
    return (own + other - 2.0 * _log_mean(logs[:n, n:])) / math.log(2.0)


def conditional_cauchy_schwarz_divergence(
    x: Array, y: Array, predicted: Array, *, width: KernelWidth = "median"
) -> float:
    """Return the Cauchy-Schwarz divergence of p(y|x) and p(predicted|x), in bits.

    D = log2 sum_j A_j + log2 sum_j B_j - 2 log2 sum_j C_j, with A_j = sum_i K_ji L_ji / (sum_i
    K_ji)^2 for the Gram matrices K of ``x`` and L of ``y``; B has that of ``predicted`` in place of
    L, and C that between ``predicted`` and ``y``. It is 0 where predictions are right. Of samples
    it can be below 0, as where predictions vary too little.

    Parameters
    ----------
    x : array (n_samples, n_units)
        What both depend on.
    y, predicted : array (n_samples, n_targets)
        Targets and predictions, or class ids; one-dimensional arrays as of
        `cauchy_schwarz_information`.
    width : float or "median"
        Width of the kernels; ``median`` is that of ``x``, and of ``y`` and ``predicted`` together.

    Raises
    ------
    InputError
        As of `cauchy_schwarz_divergence`.

    References
    ----------
    Yu et al.: "Cauchy-Schwarz divergence information bottleneck for regression", ICLR 2024,
    proposition 1. Code that goes with it squares the terms of the denominator in place of the sum,
    which differs by a third.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = x[:, 0]
    >>> conditional_cauchy_schwarz_divergence(x, y, y)
    0.0
    """
    first, second = _alike(y, predicted, ("y", "predicted"))
    n = len(first)
    given = _values(x, "x")
    if not n == len(second) == len(given):
        raise InputError(
            "expected rows that belong together, got"
            f" {len(given)} of x, {n} of y and {len(second)} of predicted"
        )
    logs_x = _log_kernel(given, width)
    weights = logs_x - 2.0 * scipy.special.logsumexp(logs_x, axis=1, keepdims=True)
    logs = _log_kernel(np.concatenate([first, second]), width)
    parts = (logs[:n, :n], logs[n:, n:], logs[n:, :n])
    own, other, cross = (float(scipy.special.logsumexp(weights + part)) for part in parts)
    return (own + other - 2.0 * cross) / math.log(2.0)


@dataclass(frozen=True, eq=False)
class Side:
    """One side of an information.

    Parameters
    ----------
    gram : float array (n_samples, n_samples)
        Its Gram matrix.
    means : float array (n_samples,)
        Means of the rows.
    width : float
        Width of its kernel; 0 of class ids and of equal rows.
    """

    gram: FloatArray
    means: FloatArray
    width: float

    @classmethod
    def of(cls, x: Array, width: KernelWidth, name: str) -> Side:
        """Return the side of an array, as `cauchy_schwarz_information` takes it.

        Raises
        ------
        InputError
            As there.
        """
        values, used = _values(x, name), 0.0
        _check_number(len(values), name)
        if values.ndim == 1:
            gram = class_gram(values)
        else:
            squares, used, unit = _distances(values, width)
            gram, used = np.exp(exponents(squares, used)), used * unit
        return cls(gram, gram.mean(axis=1), used)

    @property
    def constant(self) -> bool:
        """Whether all samples are equal."""
        return self.width == 0.0 and bool((self.means == 1.0).all())


def bits_of(x: Side, y: Side, order: IntArray) -> float:
    """Return the information of x and the rows of y in an order."""
    if x.constant or y.constant:
        return 0.0
    n = len(order)
    blocks = (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))
    joint = sum(
        float(np.einsum("ij,ij->", x.gram[rows], y.gram[order[rows]][:, order])) for rows in blocks
    )
    both = float(x.means @ y.means[order]) / n
    apart = float(x.means.mean()) * float(y.means.mean())
    return math.log2(joint / n**2 / both) + math.log2(apart / both)


def _values(x: Array, name: str) -> Array:
    """Return rows (n_samples, n_units) of float64, or class ids (n_samples,) of int64."""
    array = np.asanyarray(x)  # with its mask, if any
    if array.ndim == 1 and array.dtype.kind in "iubUS":
        return class_ids(array)
    if array.ndim == 1:
        array = array[:, None]
    return checked_activations(array, name=name).astype(np.float64)


def _alike(one: Array, other: Array, names: tuple[str, str]) -> tuple[Array, Array]:
    """Return two samples of one kind, to be compared by one kernel."""
    arrays = np.asanyarray(one), np.asanyarray(other)
    texts = [array.ndim == 1 and array.dtype.kind in "US" for array in arrays]
    if all(texts):  # numbered together
        ids = class_ids(np.concatenate(arrays))
        first, second = ids[: len(arrays[0])], ids[len(arrays[0]) :]
    else:
        first, second = (_values(array, name) for array, name in zip(arrays, names, strict=True))
    if any(texts) != all(texts) or first.shape[1:] != second.shape[1:]:
        told = " and ".join(
            f"{name} of shape {array.shape}, {array.dtype}"
            for name, array in zip(names, arrays, strict=True)
        )
        raise InputError(f"expected samples of the same units, or class ids, got {told}")
    _check_number(len(first) + len(second), " and ".join(names))
    return first, second


def _check_number(n: int, name: str) -> None:
    if not 2 <= n <= MOST_SAMPLES:
        raise InputError(
            f"expected 2 to {MOST_SAMPLES:,} samples in {name}, got {n:,}",
            hint="use a subsample" if n > MOST_SAMPLES else None,
        )


def _distances(values: FloatArray, width: KernelWidth) -> tuple[FloatArray, float, float]:
    """Return squared distances (n, n) and the width in a unit of length, and that unit."""
    if width != "median" and not (_is_number(width) and 0.0 < float(width) < math.inf):
        raise InputError(f"expected a width above 0 or 'median', got {width!r:.80}")
    unit = magnitude(values)
    wanted = None if width == "median" else float(width) / unit
    return *resolved_distances(values / unit, wanted), unit


def _is_number(width: object) -> bool:
    return isinstance(width, (int, float, np.number)) and not isinstance(width, bool)


def _log_kernel(values: Array, width: KernelWidth) -> FloatArray:
    """Return the logarithm of the kernel of all pairs (n, n)."""
    if values.ndim > 1:
        return exponents(*_distances(values, width)[:2])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(class_gram(values)))


def _log_mean(logs: FloatArray) -> float:
    return float(scipy.special.logsumexp(logs)) - math.log(logs.size)

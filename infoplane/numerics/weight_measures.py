"""How a weight stretches and what its spectrum is like, from its singular values.

A weight of several axes is the matrix (out, all others): a convolution (64, 32, 3, 3) is one of 64
rows and 288 columns. Nothing is added to a singular value. What the rounding of the stored numbers
may have made, at most ``eps / 2`` times the Frobenius norm, counts as 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.special import digamma

from infoplane.data import Array, FloatArray, refuse_mask
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.tails import Tail, fit_tail
from infoplane.weights import resolution

LARGEST_SIDE = 4096
"""Rows or columns, whichever are fewer, above which no singular values are computed."""

_RESOLVED = 1e-8  # of an eigenvalue of the Gram matrix to the largest: it is right to 1e-7 then
_BLOCK = 1 << 21  # numbers that are converted at a time
_SMALL = 64  # rows or columns from which on products are faster


@dataclass(frozen=True)
class WeightMeasures:
    """What the singular values s of a weight tell.

    Attributes
    ----------
    condition_number : float
        Largest s / smallest; infinite where the smallest is below the rounding of the numbers.
    log_volume : float
        Mean of ln s less half of ln of the mean of s^2: 0 where all are equal, below elsewhere;
        -inf where the condition number is infinite. A number of natural logarithm, no information.
    stable_rank : float
        Sum of s^2 / largest s^2, from 1 to the rank.
    spectral_norm, frobenius_norm : float
        Largest s; root of the sum of s^2.
    alpha : float
        Exponent of the power law that the largest s^2 follow; NaN for fewer than 20 of them.
    tail : Tail
        That law: its distance (Kolmogorov, Smirnov), where it begins, and on how many values.
    rank : int
        Singular values above rounding.
    """

    condition_number: float
    log_volume: float
    stable_rank: float
    spectral_norm: float
    frobenius_norm: float
    alpha: float
    tail: Tail
    rank: int


def weight_measures(w: Array) -> WeightMeasures:
    """Return what the singular values of a weight tell.

    Parameters
    ----------
    w : array (out, ...)
        Finite, with two axes or more, all but the first taken together; not all 0.

    Raises
    ------
    InputError
        If it has fewer axes, no numbers, or values that are not finite.
    EstimationError
        If all values are 0.

    References
    ----------
    Martin, Mahoney: "Implicit self-regularization in deep neural networks", JMLR 22, 2021 (stable
    rank, alpha, as in WeightWatcher). Ludwig: "KappaTune", 2025 (condition number).

    Examples
    --------
    >>> import numpy as np
    >>> found = weight_measures(np.diag([4.0, 2.0, 1.0]))
    >>> round(found.condition_number, 6), round(found.stable_rank, 6)
    (4.0, 1.3125)
    """
    refuse_mask(w, "w")
    matrix = np.asarray(w)
    if matrix.ndim < 2 or matrix.size == 0 or matrix.dtype.kind not in "fiub":
        raise InputError(
            f"w: expected a weight of real numbers with two axes or more, got shape {matrix.shape} "
            f"of {matrix.dtype}",
            hint="a bias has a norm alone: numpy.linalg.norm",
        )
    if not np.isfinite(matrix).all():
        raise InputError("w: expected finite values, got NaN or infinity")
    step = resolution(str(matrix.dtype))
    return measures_of(singular_values(matrix, step), matrix.shape, step)


def measures_of(values: FloatArray, shape: tuple[int, ...], step: float) -> WeightMeasures:
    """Return what singular values tell.

    Parameters
    ----------
    values : array (min(out, rest),)
        Singular values, the largest first.
    shape : tuple of int
        Of the weight.
    step : float
        Relative step of its numbers.

    Raises
    ------
    EstimationError
        If all are 0.
    """
    top = float(values[0])
    if not top > 0.0:
        raise EstimationError("expected a weight with a direction, got zeros")
    shares = values / top  # squares of small weights would underflow
    squares = shares**2
    rank = int(np.count_nonzero(shares > noise_floor(shape, step, float(squares.sum()))))
    full = rank == len(values)
    tail = fit_tail(squares[:rank])
    return WeightMeasures(
        condition_number=1.0 / float(shares[-1]) if full else math.inf,
        log_volume=float(np.log(shares).mean() - 0.5 * np.log(squares.mean()))
        if full
        else -math.inf,
        stable_rank=float(squares.sum()),
        spectral_norm=top,
        frobenius_norm=top * math.sqrt(float(squares.sum())),
        alpha=tail.alpha,
        tail=tail,
        rank=rank,
    )


def noise_floor(shape: tuple[int, ...], step: float, stable_rank: float) -> float:
    """Return the share of the largest singular value that rounding may make.

    Rounding to the nearest number moves each by at most ``step / 2`` of itself, and so a singular
    value by at most that share of the Frobenius norm (Weyl); computing one in float64 by the other.
    """
    computed = max(sides(shape)) * float(np.finfo(np.float64).eps)
    return max(computed, step / 2 * math.sqrt(stable_rank))


def sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of the matrix that a weight is."""
    return shape[0], math.prod(shape[1:])


def singular_values(w: Array, step: float) -> FloatArray:
    """Return the singular values of a weight (out, ...), the largest first, in float64.

    They are roots of eigenvalues of the product of the shorter side where these resolve the
    smallest, to 1e-7; where they do not, they come from a decomposition of the weight itself.
    """
    matrix = w.reshape(len(w), -1)
    long = matrix if len(matrix) >= matrix.shape[1] else matrix.T
    largest = float(np.abs(long).max()) if long.dtype.kind == "f" else float(long.any())
    if long.shape[1] >= _SMALL and largest > 0.0:
        found = scipy.linalg.eigvalsh(
            _products(long, largest), overwrite_a=True, check_finite=False
        )
        relative = found / found[-1]
        unresolved = relative[relative < _RESOLVED]
        lost = noise_floor(w.shape, step, float(relative.sum())) ** 2
        if not len(unresolved) or (lost > _RESOLVED and unresolved[-1] < lost):
            roots: FloatArray = largest * np.sqrt(np.maximum(found[::-1], 0.0))
            return roots
    exact: FloatArray = scipy.linalg.svdvals(long.astype(np.float64), check_finite=False)
    return exact


def _products(long: Array, scale: float) -> FloatArray:
    """Return the products of the columns of a long matrix, divided by a scale, in float64."""
    rows = max(1, _BLOCK // long.shape[1])
    total = np.zeros((long.shape[1], long.shape[1]))
    for first in range(0, len(long), rows):
        block = long[first : first + rows].astype(np.float64, order="C")
        block /= scale
        total += block.T @ block
    return total


def gaussian_null(shape: tuple[int, ...]) -> dict[str, float]:
    """Return what a weight of this shape of independent normal numbers reads, by measure.

    Condition number and stable rank are those of large matrices: of the edges of the law of
    Marchenko and Pastur, and of square ones the median of the limit of Edelman ("Eigenvalues and
    condition numbers of random matrices", 1988). The log-volume is the mean over all matrices
    (determinants are products of chi-squares), less half of ln of the mean square.
    """
    few, many = sorted(sides(shape))
    degrees = many - np.arange(few)
    low, high = math.sqrt(many) - math.sqrt(few), math.sqrt(many) + math.sqrt(few)
    return {
        "condition_number": high / low if few < many else square_condition(few, 0.5),
        "log_volume": 0.5 * float((digamma(degrees / 2) + math.log(2) - math.log(many)).mean()),
        "stable_rank": few * many / high**2,
    }


def square_condition(n: int, share: float) -> float:
    """Return the condition number that a share of square normal matrices stay below (Edelman)."""
    return n / (0.5 * (math.sqrt(1.0 - 2.0 * math.log(share)) - 1.0))

"""Bandwidth of a Gaussian kernel: a number, or a rule that follows the scale of the points."""

from __future__ import annotations

import random
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from infoplane.errors import InputError
from infoplane.numerics.diffusion.points import PointCloud, half_square_strips
from infoplane.numerics.tensors import Tensor, array_module, fetched, place_of

Sigma: TypeAlias = float | str

SIGMA_RULES = ("median", "rms", "sqrtd", "l2")
_MEDIAN_ROWS = 10_000
_MEDIAN_DOUBLE = 4096
_MEDIAN_SAMPLE = 128  # rows of the median that is only reported
_SHORT = 1e-3  # in mean squared norms: a median below takes more digits than float32 has
_SMALLEST_SIGMA = 1e-6  # in typical distances: below, those of a matrix product are rounding


@dataclass(frozen=True)
class Bandwidth:
    """Bandwidth of the Gaussian kernel and how it was found."""

    sigma: float
    rule: str
    rms_distance: float
    median_distance: float
    requested: float | None = None  # if it was too small to resolve and has been raised


def check_sigma(sigma: Any) -> None:
    """Refuse a bandwidth that is no positive number and no known rule.

    Raises
    ------
    InputError
        In that case.
    """
    if isinstance(sigma, str):
        if sigma not in SIGMA_RULES:
            raise InputError(
                f"expected sigma as a number or one of {', '.join(SIGMA_RULES)}, got {sigma!r}"
            )
    elif not (isinstance(sigma, Real) and 0 < float(sigma) < np.inf):
        raise InputError(f"expected sigma above 0, got {sigma}")


def bandwidth(
    cloud: PointCloud, sigma: Sigma, *, seed: int = 0, median: float | None = None
) -> Bandwidth:
    """Return the bandwidth of a cloud.

    Parameters
    ----------
    cloud : PointCloud
        The whole set: its class subsets use the same bandwidth.
    sigma : float or str
        A number, or a rule: ``median`` is the median distance / sqrt 2, ``rms`` the root mean
        square distance / sqrt 2, ``sqrtd`` the root of the number of units, ``l2`` is 1 on rows of
        unit length.
    seed : int
        Draws the rows of the median above 10 000 rows.
    median : float, optional
        The median distance, if it is known.

    Raises
    ------
    InputError
        If ``sigma`` is no positive number and no known rule.
    """
    check_sigma(sigma)
    rms = cloud.rms_distance
    if sigma == "median":
        sample = cloud
        if cloud.n > _MEDIAN_ROWS:
            drawn = random.Random(seed).sample(range(cloud.n), _MEDIAN_ROWS)  # noqa: S311
            sample = cloud.rows(sorted(drawn))
        median = median_distance(sample) if median is None else median
        rule, value = "median", median / 2**0.5
        if median == 0.0:
            rule, value = "rms (median distance is 0)", rms / 2**0.5
    else:
        median = median_distance(cloud.rows(slice(None, None, -(-cloud.n // _MEDIAN_SAMPLE))))
        if isinstance(sigma, str):
            value = {"rms": rms / 2**0.5, "sqrtd": cloud.n_units**0.5, "l2": 1.0}[sigma]
            rule = sigma
        else:
            rule, value = "fixed", float(sigma)
    if rms == 0.0:
        return Bandwidth(value or 1.0, rule, rms, median)
    middle = np.median(fetched(cloud.square_norms))  # not moved by a few outliers
    typical = cloud.unit * float(np.sqrt(2 * middle))
    least = _SMALLEST_SIGMA * min(rms, typical or rms)
    if value < least:
        return Bandwidth(least, rule, rms, median, requested=value)
    return Bandwidth(value, rule, rms, median)


def median_distance(cloud: PointCloud) -> float:
    """Return the median distance of two different points, in original units.

    Exact, by partial sorting of all of them. Above 4096 points distances are float32, unless the
    median is too short for that. What rounding cannot tell from 0 is 0.
    """
    if cloud.n < 2:
        return 0.0
    typical = float(cloud.square_norms.mean())
    if cloud.n > _MEDIAN_DOUBLE and _is_compact(cloud):
        middle = _middle_of_pairs(cloud.in_single_precision())
        if -middle > _SHORT * typical:
            return cloud.unit * float(np.sqrt(-2.0 * middle))
    return cloud.unit * float(np.sqrt(-2.0 * _middle_of_pairs(cloud))) + 0.0


def median_of_squares(squares: Tensor, cloud: PointCloud) -> float | None:
    """Return the median distance by the matrix -|x_i - x_j|²/2 (n, n) of a cloud.

    None where it takes more digits than the float32 of the matrix has, and of tensors.
    """
    if not isinstance(squares, np.ndarray) or not 1 < cloud.n <= _MEDIAN_ROWS:
        return None
    middle = _median(np.concatenate([row[:i] for i, row in enumerate(squares)]))
    if not (_is_compact(cloud) and -middle > _SHORT * float(cloud.square_norms.mean())):
        return None
    return cloud.unit * float(np.sqrt(-2.0 * middle))


def _is_compact(cloud: PointCloud) -> bool:
    """Return whether no point is so far out that float32 blurs the distances of the others."""
    return float(cloud.square_norms.max()) < 1e3 * float(cloud.square_norms.mean())


def _middle_of_pairs(cloud: PointCloud) -> float:
    """Return the median of -|x_i - x_j|²/2 over pairs i < j."""
    points, n, xp = cloud.points, cloud.n, array_module(cloud.points)
    values = xp.empty(n * (n - 1) // 2, dtype=points.dtype, **place_of(points))
    number, filled = xp.arange(n, **place_of(points)), 0
    rounding = (4 + cloud.n_units**0.5) * float(xp.finfo(points.dtype).eps)
    for rows, strip in half_square_strips(cloud, merge=rounding):
        below = strip[number[rows, None] > number[: rows.stop]]
        values[filled : filled + len(below)] = below
        filled += len(below)
    return _median(values)


def _median(values: Tensor) -> float:
    """Return the median of ``values`` (n,), which are reordered."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    if isinstance(values, np.ndarray):
        values.partition(high)  # one rank at a time is several times quicker than two
        pair = [values[high] if low == high else values[:high].max(), values[high]]
    else:
        pair = [values.kthvalue(rank + 1).values for rank in (low, high)]
    return (float(pair[0]) + float(pair[1])) / 2

"""Planted dependences: how much of a known information an estimate finds in samples like these.

The rows of one side are put into another order, so that both samples stay as they are, and share
just what the order ties together: known information. What an estimate finds of it tells what it
would miss of a dependence that is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.data import FloatArray, IntArray

Hold: TypeAlias = Literal["side", "product", "radius"]
HOLDS: tuple[Hold, ...] = get_args(Hold)
"""What a planted dependence hangs on: a column, a product of two columns, the distance from 0."""

_GRID = 400  # scores, of equal probability, that an expectation is taken of
_HALVINGS = 20  # of the interval that holds a strength


def normal_scores(x: FloatArray) -> FloatArray:
    """Return the sample with each column made standard normal by the ranks of its values.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        Equal values stay equal, at their mean rank.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(x, axis=0) - 0.5) / len(x)))


def score_of(x: FloatArray, hold: Hold, rng: np.random.Generator) -> FloatArray:
    """Return a function (n_samples,) of a sample of normal scores, of columns drawn at random."""
    columns = rng.permutation(x.shape[1])[:2]
    first = x[:, columns[0]]
    if hold == "side":
        return first
    if hold == "radius":
        return np.asarray((x**2).sum(axis=1))
    # Of one column a wave of two periods, which no monotone map unfolds either.
    return np.asarray(first * x[:, columns[1]] if len(columns) == 2 else _wave(first))


def _wave(x: FloatArray) -> FloatArray:
    from scipy.special import ndtr

    return np.asarray(np.abs((2.0 * ndtr(x)) % 1.0 - 0.5))


def planted_order(
    x: FloatArray, y: FloatArray, holds: tuple[Hold, Hold], bits: float, rng: np.random.Generator
) -> IntArray:
    """Return an order of the rows of ``y`` in which they share ``bits`` with those of ``x``.

    The score of a row of ``y`` is tied to that of a row of ``x`` by a normal copula; of the rest of
    the row nothing depends on ``x``. Both samples stay as they are, so that the information is the
    copula's, -1/2 log2(1 - r^2), if the scores have no ties.

    Parameters
    ----------
    x, y : array (n_samples, n_dims)
        Normal scores.
    holds : pair of str
        On what of ``x`` and of ``y`` the dependence hangs; see `HOLDS`.
    bits : float
        I(X;Y) of the result.
    rng : numpy.random.Generator
        Draws columns and noise.
    """
    correlation = math.sqrt(-math.expm1(-2.0 * bits * math.log(2.0)))
    score = normal_scores(score_of(x, holds[0], rng)[:, None])[:, 0]
    noise = math.sqrt(1.0 - correlation**2) * rng.standard_normal(len(x))
    order = np.empty(len(x), dtype=np.int64)
    order[np.argsort(correlation * score + noise)] = _ascending(score_of(y, holds[1], rng), rng)
    return order


def _ascending(values: FloatArray, rng: np.random.Generator) -> IntArray:
    """Return the order of the values, equal ones by chance."""
    return np.lexsort((rng.uniform(size=len(values)), values))


def planted_labels(
    x: FloatArray,
    labels: IntArray,
    hold: Hold,
    bits: float,
    rng: np.random.Generator,
    *,
    sharp: bool = False,
) -> IntArray:
    """Return labels of the same counts that share ``bits`` with the score of ``x``.

    The score plus normal noise is cut into classes, which leaves so much information. Classes with
    sharp borders are cut without noise, and some of the labels shuffled instead.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        Normal scores.
    labels : array (n_samples,)
        Class ids, of which the counts are taken.
    hold : str
        See `HOLDS`.
    bits : float
        I(X;labels) of the result; below their entropy.
    rng : numpy.random.Generator
        Draws columns, order of the classes and noise.
    sharp : bool, default False
        Whether the borders of the classes are sharp.
    """
    classes, counts = np.unique(labels, return_counts=True)
    order = rng.permutation(len(classes))
    shares = counts[order] / counts.sum()
    score = normal_scores(score_of(x, hold, rng)[:, None])[:, 0]
    strength = _strength(_sharp_information if sharp else _soft_information, shares, bits)
    if not sharp:
        noise = math.sqrt(1.0 - strength**2) * rng.standard_normal(len(x))
        score = strength * score + noise
    planted = np.empty_like(labels)
    planted[_ascending(score, rng)] = np.repeat(classes[order], counts[order])
    if sharp:
        some = np.flatnonzero(rng.uniform(size=len(x)) >= strength)
        planted[some] = planted[rng.permutation(some)]
    return planted


def _strength(
    information: Callable[[FloatArray, float], float], shares: FloatArray, bits: float
) -> float:
    """Return where in [0, 1] an information of classes of these shares is so large."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if information(shares, middle) < bits else (low, middle)
    return low


def _sharp_information(shares: FloatArray, kept: float) -> float:
    """Return the information of classes with labels of which so many are not shuffled."""
    same = kept + (1.0 - kept) * shares
    others = (1.0 - shares) * (1.0 - kept) * math.log2(1.0 - kept)
    return float((shares * (same * np.log2(same / shares) + others)).sum())


def _soft_information(shares: FloatArray, correlation: float) -> float:
    """Return the information of a standard normal score with classes, in bits.

    They are consecutive ranges, of these shares, of another standard normal number.
    """
    from scipy.special import entr, ndtr, ndtri

    scores = ndtri((np.arange(_GRID) + 0.5) / _GRID)[:, None]
    edges = ndtri(np.clip(np.cumsum(shares), 0.0, 1.0))
    edges[-1] = math.inf
    below = ndtr((edges - correlation * scores) / math.sqrt(1.0 - correlation**2))
    given = np.maximum(np.diff(below, axis=1, prepend=0.0), 0.0)
    nats = float(entr(shares).sum() - entr(given).sum(axis=1).mean())
    return nats / math.log(2.0)

"""The critics that are exact for normal samples, in closed form.

Scores are products of codes plus a number of either side; what is fitted to noise is left out, by
what one half of the samples tells of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from infoplane.data import FloatArray, IntArray

_LEAST_VARIANCE = 1e-5  # of the largest: directions below are dependent columns
_LARGEST_CORRELATION = 1 - 1e-4
_COUNTS = (0, 1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 128)
_SHRINKAGES = (0.95, 0.8, 1.0)
_SHOWN = 400  # held-out samples to choose by
_ROWS_PER_AXIS = 5  # samples for each direction that a covariance is taken in


@dataclass(frozen=True, eq=False)
class Codes:
    """The parts of scores u v' + a + b of one side with the other.

    Parameters
    ----------
    left, right : array (n_samples, n_codes) and (n_samples or n_classes, n_codes)
        Codes of the sides.
    left_bias, right_bias : array (n,)
        Of each row.
    """

    left: FloatArray
    right: FloatArray
    left_bias: FloatArray
    right_bias: FloatArray

    def scores(self, rows: IntArray, others: IntArray | slice) -> FloatArray:
        """Return the scores of rows of the left with rows of the right."""
        products = self.left[rows] @ self.right[others].T
        return np.asarray(products + self.left_bias[rows, None] + self.right_bias[others])


def normal_codes(x: FloatArray, y: FloatArray, rows: IntArray) -> Codes:
    """Return the log ratio of a joint normal law, with moments of some rows, to its sides.

    The sum over canonical pairs u, v of correlation r of
    r/(1 - r^2) u v - r^2/(2 (1 - r^2)) (u^2 + v^2) - 1/2 log(1 - r^2).
    """

    def fitted(some: IntArray) -> Callable[[int, float], Codes]:
        centred = x - x[some].mean(axis=0), y - y[some].mean(axis=0)
        maps = [_whitening(side[some]) for side in centred]
        u, v = (side @ map_ for side, map_ in zip(centred, maps, strict=True))
        left, correlations, right = np.linalg.svd(u[some].T @ v[some] / len(some))
        m = len(correlations)
        u, v = u @ left[:, :m], v @ right.T[:, :m]

        def cut(count: int, shrinkage: float) -> Codes:
            r = np.minimum(correlations[:count], _LARGEST_CORRELATION) * shrinkage
            gain = r / (1 - r**2)
            pull = -0.5 * r * gain
            a, b = u[:, :count], v[:, :count]
            shift = -0.5 * np.log1p(-(r**2)).sum()
            return Codes(a * gain, b, a**2 @ pull + shift, b**2 @ pull)

        return cut

    def value(codes: Codes, seen: IntArray) -> float:
        return _infonce(codes.scores(seen, seen))

    return _chosen(fitted, value, rows, min(x.shape[1], y.shape[1]))


def class_codes(x: FloatArray, classes: IntArray, n_classes: int, rows: IntArray) -> Codes:
    """Return the log ratio of normal laws of equal covariance, one of each class.

    (m - mean)' W^-1 x - 1/2 m' W^-1 m of the class mean m and the covariance W within classes.
    """

    def fitted(some: IntArray) -> Callable[[int, float], Codes]:
        ids, sample = classes[some], x[some] - x[some].mean(axis=0)
        counts = np.bincount(ids, minlength=n_classes)
        means = np.zeros((n_classes, x.shape[1]))
        np.add.at(means, ids, sample)
        means /= np.maximum(counts, 1)[:, None]
        within = _whitening(sample - means[ids])
        weights = np.sqrt(counts / len(some))[:, None]
        axes = np.linalg.svd(weights * (means @ within), full_matrices=False)[2].T
        u, v = (x - x[some].mean(axis=0)) @ within @ axes, means @ within @ axes

        def cut(count: int, shrinkage: float) -> Codes:
            a, b = u[:, :count], v[:, :count] * shrinkage
            return Codes(a, b, np.zeros(len(a)), -0.5 * (b**2).sum(axis=1))

        return cut

    shares = np.bincount(classes[rows], minlength=n_classes) + 0.5
    log_shares = np.log(shares / shares.sum())

    def value(codes: Codes, seen: IntArray) -> float:
        scores = codes.scores(seen, slice(None))
        own = scores[np.arange(len(seen)), classes[seen]]
        return float((own - logsumexp(scores + log_shares, axis=1)).mean())

    return _chosen(fitted, value, rows, min(x.shape[1], n_classes - 1))


def _chosen(
    fitted: Callable[[IntArray], Callable[[int, float], Codes]],
    value: Callable[[Codes, IntArray], float],
    rows: IntArray,
    most: int,
) -> Codes:
    """Return the codes of all rows whose number and shrinkage halves of them hold to be best."""
    halves = rows[::2], rows[1::2]
    cuts = [(fitted(some), others[:_SHOWN]) for some, others in (halves, halves[::-1])]

    def told(count: int, shrinkage: float) -> float:
        return sum(value(cut(count, shrinkage), seen) for cut, seen in cuts)

    counts = {min(count, most): 0.0 for count in _COUNTS}
    values = {count: told(count, _SHRINKAGES[0]) for count in counts if count}
    best = max(values, key=lambda count: values[count])
    shrinkages = {one: told(best, one) for one in _SHRINKAGES}
    shrinkage = max(shrinkages, key=lambda one: shrinkages[one])
    return fitted(rows)(best if shrinkages[shrinkage] > 0 else 0, shrinkage)


def _infonce(scores: FloatArray) -> float:
    highest = scores.max()
    ratios = np.exp((scores - highest).astype(np.float32))
    tiny = np.finfo(np.float32).tiny
    across = sum(float(np.log(ratios.sum(axis=axis) + tiny).mean()) for axis in (0, 1))
    return float(np.diagonal(scores).mean() - highest - across / 2 + np.log(len(scores)))


def _whitening(centred: FloatArray) -> FloatArray:
    """Return the map (n_dims, rank) of a centred sample to uncorrelated unit variances."""
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = variances > _LEAST_VARIANCE * max(float(variances[-1]), np.finfo(float).tiny)
    kept[: -max(1, len(centred) // _ROWS_PER_AXIS)] = False
    return np.asarray(axes[:, kept] / np.sqrt(variances[kept]))

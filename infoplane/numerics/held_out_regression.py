"""Held-out ridge regression: how much of real targets can be read from a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray

PENALTIES = np.geomspace(1e-4, 1e4, 17)
"""Weights of the squared coefficients, per sample and in variances of the features."""

LOG2_E = float(np.log2(np.e))


@dataclass(frozen=True, eq=False)
class Regression:
    """What a ridge regression reads of one target.

    Parameters
    ----------
    r2 : float
        1 - squared error on held-out samples / variance of the target.
    r2_error : float
        Its standard error.
    bits : float
        -1/2 log2(1 - R2) of the target made normal by its ranks: in expectation at most I(T;Y).
    bits_error : float
        Its standard error.
    """

    r2: float
    r2_error: float
    bits: float
    bits_error: float


def regressed(
    scores: Sequence[FloatArray], targets: FloatArray, fold: IntArray
) -> list[Regression]:
    """Return what is read of each target.

    Parameters
    ----------
    scores : sequence of arrays (n_samples, n_components), one for each fold
        Principal components of the samples of the other folds.
    targets : array (n_samples, n_targets)
        That vary.
    fold : array (n_samples,)
        Fold of each sample.
    """
    normal = np.column_stack([normal_scores(column) for column in targets.T])
    standard = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    rest = held_out_residuals(scores, np.hstack([standard, normal]), fold)
    m = targets.shape[1]
    found = []
    for which in range(m):
        r2, r2_error = _explained(standard[:, which], rest[:, which])
        _, error = _explained(normal[:, which], rest[:, m + which])
        squares = np.square(rest[:, m + which])
        left = float(squares.mean() / np.square(normal[:, which]).mean())
        found.append(
            Regression(r2, r2_error, -0.5 * float(np.log2(left)), 0.5 * LOG2_E * error / left)
        )
    return found


def held_out_residuals(
    scores: Sequence[FloatArray], targets: FloatArray, fold: IntArray
) -> FloatArray:
    """Return what regressions on the other folds leave of targets (n_samples, n_targets).

    The penalty of each target is chosen on the other folds alone, by leaving out one sample at a
    time.
    """
    rest = np.empty_like(targets)
    for held, components in enumerate(scores):
        seen, unseen = fold != held, fold == held
        features = components / components[seen].std(axis=0)
        x, y = features[seen], targets[seen]
        x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
        u, s, v = np.linalg.svd(x - x_mean, full_matrices=False)
        projected = u.T @ (y - y_mean)
        losses = []
        for penalty in PENALTIES:
            kept = s**2 / (s**2 + penalty * len(x))
            left = y - y_mean - u @ (kept[:, None] * projected)
            influence = np.square(u) @ kept + 1.0 / len(x)
            losses.append(np.square(left / (1.0 - influence)[:, None]).mean(axis=0))
        chosen = PENALTIES[np.argmin(losses, axis=0)]
        shrunk = s[:, None] / (s[:, None] ** 2 + chosen * len(x))
        predicted = (features[unseen] - x_mean) @ (v.T @ (shrunk * projected)) + y_mean
        rest[unseen] = targets[unseen] - predicted
    return rest


def normal_scores(values: FloatArray) -> FloatArray:
    """Return numbers made normal: the quantile of the rank of each; equal ones stay equal."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


def _explained(target: FloatArray, rest: FloatArray) -> tuple[float, float]:
    """Return R2 and its standard error."""
    variance = float(np.square(target - target.mean()).mean())
    left = np.square(rest) / variance
    mean = float(left.mean())
    spread = left - mean * np.square(target - target.mean()) / variance
    return 1.0 - mean, float(spread.std() / np.sqrt(len(rest)))

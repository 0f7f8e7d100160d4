"""InfoNCE of a matrix of scores, and its error, in nats."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from infoplane.data import FloatArray


def infonce(scores: FloatArray) -> float:
    """Return the InfoNCE bound of a matrix of scores (n, n), row i against column i.

    mean_i s_ii - log mean_j exp s_ij, and the same along columns; the mean of both, which is at
    most log n, and in expectation at most the information for any critic.

    References
    ----------
    van den Oord, Li, Vinyals: "Representation learning with contrastive predictive coding", 2018.
    """
    own = float(np.diagonal(scores).mean())
    across = [float(logsumexp(scores, axis=axis).mean()) for axis in (0, 1)]
    return own - sum(across) / 2 + math.log(len(scores))


def jackknife_error(scores: FloatArray) -> float:
    """Return the standard error of `infonce`, by leaving out each row and its column in turn.

    Exact in O(n^2): without sample k, the sum of each row lacks exp s_ik.
    """
    n = len(scores)
    own = np.diagonal(scores)
    values = np.full(n, (own.sum() - own) / (n - 1))
    for lines in (scores, scores.T):
        sums = logsumexp(lines, axis=1)
        share = np.exp(np.minimum(lines - sums[:, None], 0.0))
        np.fill_diagonal(share, 0.0)  # the sample's own row goes as a whole
        # One column may be nearly all of a sum: then what is left is what the others hold.
        left = np.log1p(-np.minimum(share, 1.0 - 1e-12)).sum(axis=0)
        values -= (sums.sum() - sums + left) / (2 * (n - 1))
    return float(math.sqrt((n - 1) / n * np.square(values - values.mean()).sum()))

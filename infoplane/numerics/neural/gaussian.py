"""The critic that is exact for jointly normal samples, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray

_LEAST_VARIANCE = 1e-6  # of the largest: directions below are dependent columns
_LARGEST_CORRELATION = 1 - 1e-6


@dataclass(frozen=True, eq=False)
class NormalCritic:
    """The log ratio of a joint normal density to the product of its sides.

    Parameters
    ----------
    left, right : array (n_dims, n_pairs)
        Maps of centred samples to their canonical variates.
    centre_x, centre_y : array (n_dims,)
        Means.
    correlations : array (n_pairs,)
        Canonical correlations, descending.
    """

    left: FloatArray
    right: FloatArray
    centre_x: FloatArray
    centre_y: FloatArray
    correlations: FloatArray

    def variates(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the canonical variates of two samples."""
        return (x - self.centre_x) @ self.left, (y - self.centre_y) @ self.right

    def scores(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the log ratio of each row of ``x`` with each of ``y``, in nats."""
        u, v = self.variates(x, y)
        r = self.correlations
        gain = r / (1 - r**2)
        pull = -0.5 * r * gain
        scores = (u * gain) @ v.T + (u**2 @ pull)[:, None] + v**2 @ pull
        return np.asarray(scores - 0.5 * np.log1p(-(r**2)).sum())


def fit_normal(x: FloatArray, y: FloatArray) -> NormalCritic:
    """Return the critic of a joint normal law with the moments of two samples."""
    centre_x, centre_y = x.mean(axis=0), y.mean(axis=0)
    whiten_x, whiten_y = _whitening(x - centre_x), _whitening(y - centre_y)
    cross = ((x - centre_x) @ whiten_x).T @ ((y - centre_y) @ whiten_y) / len(x)
    left, correlations, right = np.linalg.svd(cross, full_matrices=False)
    return NormalCritic(
        whiten_x @ left,
        whiten_y @ right.T,
        centre_x,
        centre_y,
        np.minimum(correlations, _LARGEST_CORRELATION),
    )


def _whitening(centred: FloatArray) -> FloatArray:
    """Return the map (n_dims, rank) of a centred sample to uncorrelated unit variances."""
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = variances > _LEAST_VARIANCE * max(float(variances[-1]), np.finfo(float).tiny)
    return np.asarray(axes[:, kept] / np.sqrt(variances[kept]))

"""An invertible map that makes the columns of a sample nearly normal.

Mutual information does not change under it, but neighbour estimates do: they err least where what
two variables do not share has one scale everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from infoplane.data import FloatArray

_KNOTS = 17  # quantiles that a monotone curve is drawn through
_BEYOND = 3  # samples outside of the knots, on either side
_ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class Gaussianization:
    """Turn a sample onto independent directions, then bend each towards the normal distribution.

    Parameters
    ----------
    mean : array (n_dims,)
        Subtracted first.
    directions : array (n_dims, n_dims)
        Columns are the directions, of unit variance.
    knots : array (n_knots, n_dims)
        Rising values along each direction.
    normal : array (n_knots,)
        Where the knots go, with a monotone cubic between them and straight lines outside.
    """

    mean: FloatArray
    directions: FloatArray
    knots: FloatArray
    normal: FloatArray

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return the image (n_samples, n_dims) of points."""
        turned = (points - self.mean) @ self.directions
        for values, knots in zip(turned.T, self.knots.T, strict=True):
            curve = scipy.interpolate.PchipInterpolator(knots, self.normal)
            slope = curve.derivative()
            inside = np.clip(values, knots[0], knots[-1])
            # Outside of the knots 0 but for one end, and never flat: the map stays invertible.
            beyond = (values - inside) * np.maximum(slope(inside), 1e-3)
            values[:] = curve(inside) + beyond
        return turned


def fit_gaussianization(points: FloatArray, rng: np.random.Generator) -> Gaussianization:
    """Fit the map to a sample (n_samples, n_dims) of full rank.

    Directions are those of independent components, by fixed-point iteration with tanh.

    References
    ----------
    Hyvärinen, IEEE Transactions on Neural Networks 10 (1999), for the directions; Laparra,
    Camps-Valls, Malo, IEEE Transactions on Neural Networks 22 (2011), for turning and bending.
    """
    mean = points.mean(axis=0)
    centred = points - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(points))
    scale = np.sqrt(np.maximum(values, 1e-12 * values[-1]))
    white = centred @ (vectors / scale)
    turn = _independent_directions(white, rng)
    # Even steps of the normal variable reach its tails, where bounded codes pile up most.
    furthest = -float(scipy.special.ndtri(min(0.1, _BEYOND / len(points))))
    normal = np.linspace(-furthest, furthest, _KNOTS)
    knots = np.quantile(white @ turn, scipy.special.ndtr(normal), axis=0)
    # Repeated values make quantiles equal: a slight slope keeps them apart.
    knots += 1e-6 * np.arange(_KNOTS)[:, None]
    return Gaussianization(mean, (vectors / scale) @ turn, knots, normal)


def _independent_directions(white: FloatArray, rng: np.random.Generator) -> FloatArray:
    n, d = white.shape
    turn: FloatArray = np.linalg.qr(rng.standard_normal((d, d)))[0]
    for _ in range(_ITERATIONS):
        bent = np.tanh(white @ turn)
        step = white.T @ bent / n - turn * (1.0 - bent**2).mean(axis=0)
        left, _, right = np.linalg.svd(step)
        new = left @ right
        moved = 1.0 - np.abs((new * turn).sum(axis=0)).min()
        turn = new
        if moved < 1e-8:
            break
    return turn

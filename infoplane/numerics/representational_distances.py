"""Matrices of the distances between samples: how stable they are, and whether they follow labels.

References
----------
Kriegeskorte, Mur, Bandettini: "Representational similarity analysis", Frontiers in Systems
Neuroscience 2, 2008. Split halves of the units follow the package shesha-geometry.
"""

from __future__ import annotations

import numpy as np

from infoplane.arrays import magnitude, magnitudes
from infoplane.data import Array, FloatArray, IntArray

MOST = 1600
"""Samples between which distances are taken; of more, so many are drawn."""

FEWEST_UNITS = 4
"""Units below which there are no halves to compare."""


def split_half_stability(
    values: Array, splits: int, rng: np.random.Generator, most: int = MOST
) -> tuple[float, float, float]:
    """Return how alike the cosine distances are in two halves of the units.

    Parameters
    ----------
    values : array (n_samples, n_units)
        At least 3 samples and 4 units. Samples that are 0 in a half have no direction there, and
        are left out of that split.
    splits : int
        Random halvings of the units.
    rng : numpy.random.Generator
        Draws samples, then halvings.
    most : int, default 1600
        Samples that are used.

    Returns
    -------
    value : float
        Mean over the splits of Spearman's correlation; NaN if in none there are distances that
        vary.
    null : float
        The same with the samples of one half permuted.
    spread : float
        Its standard deviation over the splits.
    """
    n, d = values.shape
    if n > most:
        values = values[np.sort(rng.choice(n, most, replace=False))]
    points = _directions(np.asarray(values, dtype=np.float64))
    found, nulls = [], []
    for _ in range(splits):
        order = rng.permutation(d)
        parts = points[:, order[: d // 2]], points[:, order[d // 2 : 2 * (d // 2)]]
        kept = np.flatnonzero((parts[0] != 0).any(axis=1) & (parts[1] != 0).any(axis=1))
        if len(kept) < 3:
            continue
        one, other = (_ranks(_cosine_distances(part[kept])) for part in parts)
        found.append(_correlation(one, other))
        shuffled = np.random.default_rng(len(found)).permutation(len(kept))
        nulls.append(_correlation(one, _permuted(other, shuffled)))
    with np.errstate(invalid="ignore"):
        null = np.array(nulls)
        usable = bool(found) and bool(np.isfinite(found).all())
        if not usable:
            return float("nan"), float("nan"), float("nan")
        spread = float(null.std(ddof=1)) if len(null) > 1 else 0.0
        return float(np.mean(found)), float(null.mean()), spread


def label_distance_alignment(
    values: Array, labels: IntArray, rng: np.random.Generator, most: int = 300
) -> float:
    """Return Spearman's correlation of correlation distances with whether labels differ.

    Units are centred first; the distance of two samples is 1 less their correlation over units.
    """
    if len(values) > most:
        rows = rng.choice(len(values), most, replace=False)
        values, labels = values[rows], labels[rows]
    points = np.asarray(values, dtype=np.float64) / magnitude(values)
    points = points - points.mean(axis=0)
    points -= points.mean(axis=1, keepdims=True)
    first, second = np.triu_indices(len(points), 1)
    differ = (labels[first] != labels[second]).astype(np.float64)
    return _correlation(_ranks(_cosine_distances(points)), _ranks(differ))


def _cosine_distances(points: FloatArray) -> FloatArray:
    """Return the distances of pairs of rows, in the order of the upper triangle."""
    points = _directions(points)
    first, second = np.triu_indices(len(points), 1)
    return np.asarray(1.0 - (points @ points.T)[first, second])


def _ranks(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _permuted(pairs: FloatArray, order: IntArray) -> FloatArray:
    """Return the numbers of pairs of samples, the samples in another order."""
    n = len(order)
    square = np.zeros((n, n))
    upper = np.triu_indices(n, 1)
    square[upper] = pairs
    square += square.T
    return np.asarray(square[np.ix_(order, order)][upper])


def _correlation(one: FloatArray, other: FloatArray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else float("nan")


def _directions(points: FloatArray) -> FloatArray:
    """Return rows divided by their lengths; rows of zeros stay."""
    points = points / magnitudes(points)[:, None]
    lengths = np.linalg.norm(points, axis=1)[:, None]
    return np.asarray(points / np.where(lengths > 0.0, lengths, 1.0))

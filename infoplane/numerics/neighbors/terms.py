"""What distances to neighbours say of entropy and dimension: parts of the estimates, in nats."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy

from infoplane.data import Array, FloatArray, IntArray
from infoplane.errors import EstimationError

LOG2_E = 1.0 / math.log(2.0)
ATOM_FRACTION = 0.01
"""Share of points with an exact duplicate from which a sample counts as partly discrete."""

_LARGEST_NORM = 4.0
RANK_TOLERANCE = 1e-10  # eigenvalues below this share of the largest are no dimension


@lru_cache(maxsize=256)
def minimum_norm_weights(
    k: int, n_dims: int, largest_norm: float = _LARGEST_NORM
) -> tuple[float, ...]:
    """Return weights of the first ``k`` neighbours that cancel the leading bias terms.

    The shortest vector w with sum(w) = 1 and, for l = 1 .. L,
    sum_j w_j Gamma(j + 2l/d) / Gamma(j) = 0, where L = min(d // 4, 2); L is lowered as long as
    |w| is above ``largest_norm``, since the variance grows with it. With L = 0 all are 1/k.

    Parameters
    ----------
    k : int
        Neighbours.
    n_dims : int
        Dimension d of the sample.
    largest_norm : float
        Euclidean norm that the weights may have.

    References
    ----------
    Berrett, Samworth, Yuan: "Efficient multivariate entropy estimation via k-nearest neighbour
    distances", Annals of Statistics 47 (2019), section 2; the minimum norm replaces their sparse
    support, whose weights reach norms in the hundreds at small k.
    """
    for terms in range(_orders(k, n_dims), 0, -1):
        weights = _cancelling_weights(k, n_dims, terms)
        if np.linalg.norm(weights) <= largest_norm:
            return tuple(weights.tolist())
    return (1.0 / k,) * k


@lru_cache(maxsize=256)
def flat_and_sharp_weights(k: int, n_dims: int) -> tuple[tuple[float, float], ...]:
    """Return two weights of each of the first ``k`` neighbours: of least variance, of least bias.

    The second cancel as many bias terms as a norm of 4 allows, two at most, or one in fewer than 4
    dimensions; the first at most one, and none in those. Those have all neighbours, these the
    fewest whose norm is at most twice theirs, or what it is with all neighbours if that is more.
    """
    terms = min(n_dims // 2, 2, k - 1)
    while terms and np.linalg.norm(_cancelling_weights(k, n_dims, terms)) > _LARGEST_NORM:
        terms -= 1
    flat = _cancelling_weights(k, n_dims, min(terms, _orders(k, n_dims), 1))
    sharp = _cancelling_weights(k, n_dims, terms)
    norm = max(2.0 * float(np.linalg.norm(flat)), float(np.linalg.norm(sharp)))
    for fewest in range(terms + 1, k):
        weights = _cancelling_weights(fewest, n_dims, terms)
        if np.linalg.norm(weights) <= norm:
            sharp = np.append(weights, np.zeros(k - fewest))
            break
    return tuple(zip(flat.tolist(), sharp.tolist(), strict=True))


def _orders(k: int, n_dims: int) -> int:
    return min(n_dims // 4, 2, k - 1)


def _cancelling_weights(k: int, n_dims: int, terms: int) -> FloatArray:
    """Return the shortest weights (k,) that cancel so many bias terms."""
    ranks = np.arange(1, k + 1, dtype=np.float64)
    powers = 2.0 * np.arange(1, terms + 1)[:, None] / n_dims
    logs = scipy.special.gammaln(ranks + powers) - scipy.special.gammaln(ranks)
    rows = np.exp(logs - logs.max(axis=1, keepdims=True))  # scaled: else they overflow
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    system = np.vstack([np.full(k, 1.0 / math.sqrt(k)), rows])
    target = np.zeros(terms + 1)
    target[0] = 1.0 / math.sqrt(k)
    return np.asarray(np.linalg.lstsq(system, target, rcond=None)[0])


def entropy_terms(distances: FloatArray, n_dims: int, weights: FloatArray) -> FloatArray:
    """Return the contributions (n_samples,) to the entropy, in nats, from neighbour distances.

    Parameters
    ----------
    distances : array (n_samples, k)
        To the nearest neighbours, ascending.
    n_dims : int
        Dimension of the sample.
    weights : array (k,) or (k, n_sets)
        Weights of the neighbours; with several sets there is one column for each.
    """
    ranks = np.arange(1, distances.shape[1] + 1)
    if not distances[:, 0].all():
        distances, ranks = _past_duplicates(distances, ranks)
    constant = log_unit_ball(n_dims) + math.log(len(distances) - 1)
    rest = weights.sum(axis=0) * constant - scipy.special.digamma(ranks) @ weights
    return np.asarray(n_dims * (np.log(distances) @ weights) + rest)


def removal_effects(
    distances: FloatArray, indices: IntArray, n_dims: int, weights: FloatArray
) -> FloatArray:
    """Return by how much the other `entropy_terms` grow in sum where one sample is left out.

    In every sample that counts it among its neighbours, the further ones move up by one rank; the
    neighbour after the last known one is expected 1/k further in n_dims * log(distance). With these
    effects the jackknife that leaves out one sample at a time takes one search in all.

    Parameters
    ----------
    distances, indices : array (n_samples, k)
        Of the nearest neighbours, ascending.
    n_dims : int
        Dimension of the sample.
    weights : array (k,)
        Weights of the neighbours.

    Returns
    -------
    array (n_samples,)
        In nats.
    """
    n, k = distances.shape
    with np.errstate(divide="ignore", invalid="ignore"):  # duplicates
        steps = n_dims * np.diff(np.log(distances), axis=1)
    steps[~np.isfinite(steps)] = 0.0
    moved = np.hstack([steps, np.full((n, 1), 1.0 / k)]) * weights
    beyond = np.cumsum(moved[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.bincount(indices.reshape(-1), beyond.reshape(-1), minlength=n), float)


def log_unit_ball(n_dims: int) -> float:
    """Return the natural logarithm of the volume of the unit ball."""
    return float(0.5 * n_dims * math.log(math.pi) - scipy.special.gammaln(0.5 * n_dims + 1.0))


def whitened(points: FloatArray) -> tuple[FloatArray, float]:
    """Return the sample with unit covariance and half the log-determinant taken out, in nats.

    Raises
    ------
    EstimationError
        If the covariance is singular.
    """
    centred = points - points.mean(axis=0)
    scale = centred.std(axis=0)
    if not scale.all():
        raise EstimationError(
            f"expected columns that vary, got {int((scale == 0).sum())} constant of {len(scale)}"
        )
    centred /= scale
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    if values[0] < RANK_TOLERANCE * values[-1]:
        rank = int((values >= RANK_TOLERANCE * values[-1]).sum())
        raise EstimationError(
            f"expected linearly independent columns, got rank {rank} of {len(values)}",
            hint="project to fewer dimensions first",
        )
    log_det = float(np.log(scale).sum() + 0.5 * np.log(values).sum())
    return centred @ (vectors / np.sqrt(values)), log_det


def dimension_from(distances: FloatArray) -> float:
    """Return the intrinsic dimension from neighbour distances (n_samples, k) above 0."""
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    total = float(logs.sum())
    if total == 0.0:
        raise EstimationError("expected distances that differ, got samples on a regular lattice")
    return float((distances.shape[1] - 2) * len(distances) / total)


def duplicate_fraction(points: FloatArray) -> float:
    """Return the share of samples that have an exact duplicate."""
    return float((duplicate_counts(points) > 1).mean())


def duplicate_counts(points: FloatArray) -> Array:
    """Return how many samples equal each one, itself included."""
    rows = np.ascontiguousarray(points + 0.0)  # -0.0 is equal to 0.0 but has other bytes
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)]


def _past_duplicates(distances: FloatArray, ranks: Array) -> tuple[FloatArray, Array]:
    """Replace distances of 0 by the first one above 0, with its true rank."""
    zero = distances == 0.0
    share = float(zero[:, 0].mean())
    if share >= ATOM_FRACTION or zero.all(axis=1).any():
        raise EstimationError(
            f"expected a continuous sample, got {share:.1%} of samples with a duplicate",
            hint="declare or add noise, or use a mixed or binned estimate",
        )
    first = zero.sum(axis=1)
    fill = distances[np.arange(len(distances)), first][:, None]
    return np.where(zero, fill, distances), np.where(zero, first[:, None] + 1, ranks)

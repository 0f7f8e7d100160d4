"""Entropy, mutual information and dimension from nearest-neighbour distances, in bits."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import digamma, gammaln

from infoplane.errors import EstimationError, InputError
from infoplane.numerics.neighbor_search import count_closer, joint_radius, neighbor_distances
from infoplane.records import Array, FloatArray, checked_activations, class_ids

LOG2_E = 1.0 / math.log(2.0)
ATOM_FRACTION = 0.01
"""Share of points with an exact duplicate from which a sample counts as partly discrete."""

RANK_TOLERANCE = 1e-10  # eigenvalues below this share of the largest are no dimension

Weights: TypeAlias = Literal["minimum-norm", "uniform"] | Array


@lru_cache(maxsize=256)
def minimum_norm_weights(k: int, n_dims: int, largest_norm: float = 4.0) -> tuple[float, ...]:
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
    ranks = np.arange(1, k + 1, dtype=np.float64)
    for terms in range(min(n_dims // 4, 2, k - 1), 0, -1):
        powers = 2.0 * np.arange(1, terms + 1)[:, None] / n_dims
        logs = gammaln(ranks + powers) - gammaln(ranks)
        rows = np.exp(logs - logs.max(axis=1, keepdims=True))  # scaled: else they overflow
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        system = np.vstack([np.full(k, 1.0 / math.sqrt(k)), rows])
        target = np.zeros(terms + 1)
        target[0] = 1.0 / math.sqrt(k)
        weights = np.linalg.lstsq(system, target, rcond=None)[0]
        if np.linalg.norm(weights) <= largest_norm:
            return tuple(weights.tolist())
    return (1.0 / k,) * k


def kozachenko_leonenko_entropy(
    x: Array, k: int = 20, weights: Weights = "minimum-norm", *, whiten: bool = False
) -> float:
    """Return the differential entropy of a sample, in bits.

    h = sum_j w_j (mean_i d log rho_ij + log V_d + log(n - 1) - psi(j)), where rho_ij is the
    distance of sample i to its j-th neighbour and V_d the volume of the d-dimensional unit ball.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        One-dimensional samples may be given as (n_samples,).
    k : int, default 20
        Neighbours used; below ``n_samples``.
    weights : "minimum-norm", "uniform" or array (k,)
        Weights of the neighbours; see `minimum_norm_weights`.
    whiten : bool, default False
        Measure distances after whitening and add half the log-determinant of the covariance. The
        result then follows linear maps of ``x`` exactly as the entropy does, and correlated or
        unequally scaled columns cost no accuracy.

    Returns
    -------
    float
        Bits; may be negative.

    Raises
    ------
    InputError
        If ``x`` is not a finite array, or ``k`` does not fit it.
    EstimationError
        If the entropy is minus infinity for this sample: a constant or dependent column, or
        duplicates of 1 % or more of the samples.

    References
    ----------
    Kozachenko, Leonenko, 1987; Berrett, Samworth, Yuan, Annals of Statistics 47 (2019).
    """
    points = _sample(x, "x")
    n, d = points.shape
    _check_neighbors(k, n)
    w = _resolved_weights(weights, k, d)
    round_points, log_det = whitened(points)  # refuses samples whose entropy is minus infinity
    if whiten:
        points = round_points
    else:
        points, log_det = points - points.mean(axis=0), 0.0
    terms = entropy_terms(neighbor_distances(points, k), d, w)
    return float((terms.mean() + log_det) * LOG2_E)


def entropy_terms(distances: FloatArray, n_dims: int, weights: FloatArray) -> FloatArray:
    """Return the contributions (n_samples,) to the entropy, in nats, from neighbour distances.

    Parameters
    ----------
    distances : array (n_samples, k)
        To the nearest neighbours, ascending.
    n_dims : int
        Dimension of the sample.
    weights : array (k,)
        Weights of the neighbours.
    """
    ranks = np.arange(1, distances.shape[1] + 1)
    if not distances[:, 0].all():
        distances, ranks = _past_duplicates(distances, ranks)
    constant = log_unit_ball(n_dims) + math.log(len(distances) - 1)
    rest = weights.sum() * constant - digamma(ranks) @ weights
    return np.asarray(n_dims * (np.log(distances) @ weights) + rest)


def log_unit_ball(n_dims: int) -> float:
    """Return the natural logarithm of the volume of the unit ball."""
    return float(0.5 * n_dims * math.log(math.pi) - gammaln(0.5 * n_dims + 1.0))


def duplicate_fraction(points: FloatArray) -> float:
    """Return the share of samples that have an exact duplicate."""
    return float((_duplicates(points) > 1).mean())


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


def shuffle_difference(
    a: Array, b: Array, k: int = 20, permutations: int = 2, seed: int = 0
) -> float:
    """Return the mutual information of two continuous samples as a difference of joint entropies.

    I = mean over permutations of h(a, b permuted) - h(a, b). The marginal entropies and most of
    the bias cancel; at independence the bias is exactly 0.

    Parameters
    ----------
    a : array (n_samples, n_dims_a)
        One sample per row.
    b : array (n_samples, n_dims_b)
        Rows belong to those of ``a``.
    k : int, default 20
        Neighbours.
    permutations : int, default 2
        Random permutations to average over.
    seed : int, default 0
        Permutation i is drawn from ``numpy.random.default_rng(seed + i)``.

    Returns
    -------
    float
        Bits; not clipped at 0.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, or a parameter is out of range.
    EstimationError
        If the joint sample is degenerate: see `kozachenko_leonenko_entropy`.
    """
    first, second = _sample(a, "a"), _sample(b, "b")
    _check_paired(first, second)
    if permutations < 1:
        raise InputError(f"expected at least 1 permutation, got {permutations}")
    n, d = len(first), first.shape[1] + second.shape[1]
    _check_neighbors(k, n)
    # The bias of the two terms is alike, so longer weights than for one entropy pay.
    w = np.array(minimum_norm_weights(k, d, largest_norm=8.0))

    def joint_entropy(right: FloatArray) -> float:
        points, log_det = whitened(np.hstack([first, right]))
        terms = entropy_terms(neighbor_distances(points, k), d, w)
        return float(terms.mean() + log_det)

    paired = joint_entropy(second)
    shuffled = [
        joint_entropy(second[np.random.default_rng(seed + i).permutation(n)])
        for i in range(permutations)
    ]
    return (sum(shuffled) / permutations - paired) * LOG2_E


def ksg_mutual_information(x: Array, y: Array, k: int = 3) -> float:
    """Return the mutual information of two continuous samples by nearest-neighbour counts.

    I = psi(k) + psi(n) - mean(psi(n_x) + psi(n_y)); n_x counts the samples, itself included, that
    lie strictly closer in x than the k-th joint neighbour in the maximum norm. Where k or more
    duplicates make that distance 0, k, n_x and n_y become the numbers of duplicates.

    The views are brought to one scale, to the nearest power of ten, before distances are compared:
    the joint norm would otherwise see one of them only. The estimate cannot exceed
    psi(n) - psi(k).

    Parameters
    ----------
    x : array (n_samples, n_dims_x)
        One sample per row.
    y : array (n_samples, n_dims_y)
        Rows belong to those of ``x``.
    k : int, default 3
        Neighbours.

    Returns
    -------
    float
        Bits; not clipped at 0.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, or ``k`` does not fit them.
    EstimationError
        If a view is constant.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, Physical Review E 69 (2004), equation 8; duplicates after
    Gao, Kannan, Oh, Viswanath, NeurIPS 2017.
    """
    first, second = _sample(x, "x"), _sample(y, "y")
    _check_paired(first, second)
    _check_neighbors(k, len(first))
    return float(ksg_terms(first, second, k).mean() * LOG2_E)


def ksg_terms(x: FloatArray, y: FloatArray, k: int) -> FloatArray:
    """Return the contributions (n_samples,) to the KSG estimate, in nats."""
    n = len(x)
    x = x - np.median(x, axis=0)
    y = y - np.median(y, axis=0)
    ratio = _spread(x, "x") / _spread(y, "y")
    y = y * 10.0 ** round(math.log10(ratio))
    radius = joint_radius(x, y, k)
    n_x = count_closer(x, radius, norm="maximum")
    n_y = count_closer(y, radius, norm="maximum")
    k_i = np.full(n, k)
    tied = radius == 0.0
    if tied.any():
        k_i[tied] = _duplicates(np.hstack([x, y]))[tied]
        n_x[tied] = _duplicates(x)[tied]
        n_y[tied] = _duplicates(y)[tied]
    return np.asarray(digamma(k_i) + digamma(n) - digamma(n_x) - digamma(n_y))


def mixed_mutual_information(x: Array, labels: Array, k: int = 3) -> float:
    """Return the mutual information of a continuous sample and class labels.

    I = psi(n) + mean(psi(k_i) - psi(N_i) - psi(m_i)): N_i is the size of the class of sample i,
    k_i = min(k, N_i - 1), and m_i counts the samples, itself included, strictly closer than the
    k_i-th neighbour of its own class. A class of one sample contributes 0.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        One sample per row.
    labels : array (n_samples,)
        Class ids.
    k : int, default 3
        Neighbours within the class.

    Returns
    -------
    float
        Bits; may be negative and may exceed the entropy of the labels.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, or ``k`` does not fit them.

    References
    ----------
    Ross: "Mutual information between discrete and continuous data sets", PLoS ONE 9 (2014).
    """
    points, classes = _sample(x, "x"), class_ids(labels)
    _check_paired(points, classes)
    _check_neighbors(k, len(points))
    return float(mixed_terms(points, classes, k).mean() * LOG2_E)


def mixed_terms(x: FloatArray, labels: Array, k: int) -> FloatArray:
    """Return the contributions (n_samples,) to the mixed estimate, in nats."""
    n = len(x)
    x = x - x.mean(axis=0)
    radius = np.zeros(n)
    k_i = np.ones(n, dtype=np.int64)
    size = np.ones(n, dtype=np.int64)
    alone = np.zeros(n, dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        size[members] = len(members)
        if len(members) == 1:
            alone[members] = True
            continue
        neighbors = min(k, len(members) - 1)
        k_i[members] = neighbors
        radius[members] = neighbor_distances(x[members], neighbors)[:, -1]
    m = count_closer(x, radius, norm="euclidean")
    tied = (radius == 0.0) & ~alone
    if tied.any():  # a discrete sample: counts of equal samples take the place of distances
        m[tied] = _duplicates(x)[tied]
        k_i[tied] = _duplicates(np.hstack([x, labels[:, None].astype(np.float64)]))[tied]
    m[alone] = n
    return np.asarray(digamma(n) + digamma(k_i) - digamma(size) - digamma(m))


def intrinsic_dimension(x: Array, k: int = 20) -> float:
    """Return the intrinsic dimension of a sample by maximum likelihood.

    The inverse of the mean of log(rho_ik / rho_ij) over samples i and neighbours j < k, with the
    bias correction k - 2. Duplicates are left out.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        One sample per row.
    k : int, default 20
        Neighbours, at least 3.

    Returns
    -------
    float
        Dimension; in finite samples somewhat below the true one, the more so the larger it is.

    Raises
    ------
    InputError
        If ``x`` is not finite or ``k`` does not fit it.
    EstimationError
        If fewer than ``k + 1`` samples are distinct.

    References
    ----------
    Levina, Bickel, NeurIPS 2004, with the average over samples of MacKay and Ghahramani, 2005.
    """
    if k < 3:
        raise InputError(f"expected k of at least 3, got {k}")
    points = np.unique(_sample(x, "x"), axis=0)
    if len(points) <= k:
        raise EstimationError(f"expected more than k = {k} distinct samples, got {len(points)}")
    return dimension_from(neighbor_distances(points, k))


def dimension_from(distances: FloatArray) -> float:
    """Return the intrinsic dimension from neighbour distances (n_samples, k) above 0."""
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    total = float(logs.sum())
    if total == 0.0:
        raise EstimationError("expected distances that differ, got samples on a regular lattice")
    return float((distances.shape[1] - 2) * len(distances) / total)


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


def _duplicates(points: FloatArray) -> Array:
    """Return how many samples equal each one, itself included."""
    rows = np.ascontiguousarray(points + 0.0)  # -0.0 is equal to 0.0 but has other bytes
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)]


def _spread(centred: FloatArray, name: str) -> float:
    size = np.abs(centred).max(axis=1)
    spread = float(np.median(size)) or float(size.mean())
    if spread == 0.0:
        raise EstimationError(f"expected samples that vary, got a constant {name}")
    return spread


def _resolved_weights(weights: Weights, k: int, n_dims: int) -> FloatArray:
    if isinstance(weights, str):
        if weights == "minimum-norm":
            return np.array(minimum_norm_weights(k, n_dims))
        if weights == "uniform":
            return np.full(k, 1.0 / k)
        raise InputError(f"expected weights 'minimum-norm', 'uniform' or values, got {weights!r}")
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (k,) or not math.isclose(float(values.sum()), 1.0, rel_tol=1e-6):
        raise InputError(
            f"expected {k} weights with sum 1, got shape {values.shape}, sum {values.sum():g}"
        )
    return values


def _sample(x: Array, name: str) -> FloatArray:
    array = np.asarray(x)
    if array.ndim == 1:
        array = array[:, None]
    return np.asarray(checked_activations(array, name=name), dtype=np.float64)


def _check_paired(a: Array, b: Array) -> None:
    if len(a) != len(b):
        raise InputError(f"expected rows that belong together, got {len(a)} and {len(b)} samples")


def _check_neighbors(k: int, n: int) -> None:
    if not 1 <= k < n:
        raise InputError(f"expected 1 <= k < {n} (the number of samples), got k = {k}")

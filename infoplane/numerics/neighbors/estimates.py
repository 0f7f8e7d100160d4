"""Entropy, mutual information and dimension from nearest-neighbour distances, in bits."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
import scipy

from infoplane.data import Array, FloatArray, IntArray, checked_activations, class_ids, whole_number
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.neighbors import two_neighbors
from infoplane.numerics.neighbors.search import count_closer, joint_radius, neighbor_distances
from infoplane.numerics.neighbors.terms import (
    LOG2_E,
    dimension_from,
    duplicate_counts,
    entropy_terms,
    minimum_norm_weights,
    whitened,
)
from infoplane.numerics.tensors import checked_squares

_FEW_DIMS = 6
_IMBALANCE = 2.0  # ratio of spreads up to which counts in so few dimensions hardly move
_IMBALANCE_BEYOND = 1.05  # in more, where distances are all alike
_DIGITS = 2**20  # of a scale

Weights: TypeAlias = Literal["minimum-norm", "uniform"] | Array
DimensionMethod: TypeAlias = Literal["mle", "twonn", "twonn-linear"]


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

    Examples
    --------
    A standard normal number has 1/2 log2(2 pi e) = 2.05 bits:

    >>> import math
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=20_000)
    >>> abs(kozachenko_leonenko_entropy(x) - 0.5 * math.log2(2 * math.pi * math.e)) < 0.02
    True
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


def shuffle_difference(
    a: Array,
    b: Array,
    k: int = 20,
    permutations: int = 2,
    seed: int = 0,
    *,
    largest_norm: float = 8.0,
) -> float:
    """Return the mutual information of two continuous samples as a difference of joint entropies.

    I = mean over permutations of h(a, b permuted) - h(a, b). The marginal entropies and most of
    the bias cancel; at independence the bias is exactly 0.

    The number does not tell how far off it is, which it is on thin or curved samples, with heavy
    tails and, by chance, in many dimensions: `infoplane.shuffle_information` does.

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
    largest_norm : float, default 8
        Euclidean norm that the weights of the neighbours may have. The bias of the two terms is
        alike, so longer weights than for one entropy pay where the samples share much. Where they
        share little, from 8 joint dimensions on, a limit of 1 with 80 neighbours divides the
        standard deviation by 5; the mode "joint" of `compressed_information` finds such a balance
        itself.

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

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> pair = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 5000)
    >>> abs(shuffle_difference(pair[:, :1], pair[:, 1:]) + 0.5 * math.log2(1 - 0.8**2)) < 0.05
    True
    """
    first, second = paired_samples(a, b, None)
    whole_number(permutations, "permutations", 1)
    whole_number(seed, "seed", 0)
    d = first.shape[1] + second.shape[1]
    _check_neighbors(k, len(first))
    w = np.array(minimum_norm_weights(k, d, largest_norm=largest_norm))
    return float(shuffle_differences(first, second, w[:, None], permutations, seed)[0] * LOG2_E)


def shuffle_differences(
    a: FloatArray, b: FloatArray, weights: FloatArray, permutations: int, seed: int
) -> FloatArray:
    """Return the shuffle difference of each set of neighbour weights (k, n_sets), in nats."""
    k, d = len(weights), a.shape[1] + b.shape[1]

    def joint_entropies(right: FloatArray) -> FloatArray:
        points, log_det = whitened(np.hstack([a, right]))
        terms = entropy_terms(neighbor_distances(points, k), d, weights)
        return np.asarray(terms.mean(axis=0) + log_det)

    paired = joint_entropies(b)
    shuffled = [
        joint_entropies(b[np.random.default_rng(seed + i).permutation(len(b))])
        for i in range(permutations)
    ]
    return np.asarray(sum(shuffled) / permutations - paired)


def ksg_mutual_information(x: Array, y: Array, k: int = 3) -> float:
    """Return the mutual information of two continuous samples by nearest-neighbour counts.

    I = psi(k) + psi(n) - mean(psi(n_x) + psi(n_y)); n_x counts the samples, itself included, that
    lie strictly closer in x than the k-th joint neighbour in the maximum norm. Where k or more
    duplicates make that distance 0, k, n_x and n_y become the numbers of duplicates.

    The views are brought to one scale before distances are compared, since the joint norm would
    otherwise see the larger of them only: by the ratio of their median distances from the middle,
    or by a power of ten where that leaves a ratio which hardly matters, of 2 in up to six joint
    dimensions and of 1.05 in more. The estimate cannot exceed psi(n) - psi(k).

    The number does not tell what it misses: nearly all of a dependence in many dimensions, part of
    it with heavy tails or few samples, and ties add to it. `infoplane.ksg_information` tells.

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
        If the arrays are not finite, differ in length, are class ids (whole numbers in one
        dimension), or ``k`` does not fit them.
    EstimationError
        If a view is constant.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, Physical Review E 69 (2004), equation 8; duplicates after
    Gao, Kannan, Oh, Viswanath, NeurIPS 2017.

    Examples
    --------
    Two normal numbers of correlation 0.8 share -1/2 log2(1 - 0.8^2) = 0.74 bits:

    >>> import math
    >>> import numpy as np
    >>> pair = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 5000)
    >>> abs(ksg_mutual_information(pair[:, :1], pair[:, 1:]) + 0.5 * math.log2(1 - 0.8**2)) < 0.05
    True
    """
    first, second = paired_samples(x, y, k)
    return float(ksg_terms(first, second, k).mean() * LOG2_E)


def ksg_terms(x: FloatArray, y: FloatArray, k: int) -> FloatArray:
    """Return the contributions (n_samples,) to the KSG estimate, in nats."""
    n = len(x)
    x = x - np.median(x, axis=0)
    y = y - np.median(y, axis=0)
    y = y * _one_scale(_spread(x, "x") / _spread(y, "y"), x.shape[1] + y.shape[1])
    radius = joint_radius(x, y, k)
    n_x = count_closer(x, radius, norm="maximum")
    n_y = count_closer(y, radius, norm="maximum")
    k_i = np.full(n, k)
    tied = radius == 0.0
    if tied.any():
        k_i[tied] = duplicate_counts(np.hstack([x, y]))[tied]
        n_x[tied] = duplicate_counts(x)[tied]
        n_y[tied] = duplicate_counts(y)[tied]
    digamma = scipy.special.digamma
    return np.asarray(digamma(k_i) + digamma(n) - digamma(n_x) - digamma(n_y))


def mixed_mutual_information(x: Array, labels: Array, k: int = 3) -> float:
    """Return the mutual information of a continuous sample and class labels.

    I = psi(n) + mean(psi(k_i) - psi(N_i) - psi(m_i)): N_i is the size of the class of sample i,
    k_i = min(k, N_i - 1), and m_i counts the samples, itself included, strictly closer than the
    k_i-th neighbour of its own class. A class of one sample contributes 0.

    The number does not tell what it misses: labels that hang on a few of many columns, on small
    ones, or on finer structure than the samples show. `infoplane.mixed_information` tells.

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

    Examples
    --------
    Two classes far apart, equally frequent, are told by one bit:

    >>> import numpy as np
    >>> labels = np.arange(1000) % 2
    >>> x = 9.0 * labels + np.random.default_rng(0).normal(size=1000)
    >>> abs(mixed_mutual_information(x, labels) - 1.0) < 0.01
    True
    """
    points, classes = labelled_samples(x, labels, k)
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
        m[tied] = duplicate_counts(x)[tied]
        k_i[tied] = duplicate_counts(np.hstack([x, labels[:, None].astype(np.float64)]))[tied]
    m[alone] = n
    digamma = scipy.special.digamma
    return np.asarray(digamma(n) + digamma(k_i) - digamma(size) - digamma(m))


def intrinsic_dimension(
    x: Array, k: int = 20, *, method: DimensionMethod = "mle", scale: int = 1, seed: int = 0
) -> float:
    """Return the intrinsic dimension of a sample. Duplicates are left out.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        One sample per row.
    k : int, default 20
        Neighbours of ``mle``, at least 3.
    method : {"mle", "twonn", "twonn-linear"}
        ``mle``: the inverse of the mean of log(rho_ik / rho_ij) over samples i and neighbours j <
        k, with the bias correction k - 2. ``twonn``: from the ratio of the distances to the first
        two neighbours, by maximum likelihood, the largest tenth censored; ``twonn-linear``: by the
        slope of their distribution, as first published.
    scale : int, default 1
        The mean over so many disjoint random parts of the samples, whose neighbours are as much
        farther away: a dimension that falls with scale is that of noise.
    seed : int, default 0
        Draws the parts.

    Returns
    -------
    float
        Dimension; in finite samples somewhat below the true one, the more so the larger it is.

    Raises
    ------
    InputError
        If ``x`` is not finite, or an argument does not fit it.
    EstimationError
        If too few samples are distinct: up to ``k``, or fewer than 10.

    References
    ----------
    Levina, Bickel, NeurIPS 2004, with the average over samples of MacKay and Ghahramani, 2005.
    Facco et al., Scientific Reports 7, 2017 (two neighbours).

    Examples
    --------
    A plane that is turned into ten dimensions:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> plane = rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 10))
    >>> round(intrinsic_dimension(plane)), round(intrinsic_dimension(plane, method="twonn"))
    (2, 2)
    """
    whole_number(k, "k", 3)
    whole_number(scale, "scale", 1)
    if method not in get_args(DimensionMethod):
        known = ", ".join(get_args(DimensionMethod))
        raise InputError(f"expected a method of {known}, got {method!r}")
    points = np.unique(_sample(x, "x"), axis=0)
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    by = {"twonn": two_neighbors.censored_dimension, "twonn-linear": two_neighbors.fitted_dimension}

    def dimension(part: FloatArray) -> float:
        if method != "mle":
            return by[method](two_neighbors.neighbor_ratios(part))
        if len(part) <= k:
            raise EstimationError(f"expected more than k = {k} distinct samples, got {len(part)}")
        return dimension_from(neighbor_distances(part, k))

    return two_neighbors.mean_over_parts(dimension, points, scale, rng)


def _spread(centred: FloatArray, name: str) -> float:
    size = np.abs(centred).max(axis=1)
    spread = float(np.median(size)) or float(size.mean())
    if spread == 0.0:
        raise EstimationError(f"expected samples that vary, got a constant {name}")
    return spread


def _one_scale(ratio: float, n_dims: int) -> float:
    """Return the factor that brings views of this ratio of spreads to one scale.

    It has few digits, so that distances that were equal stay equal.
    """
    decade = 10.0 ** round(math.log10(ratio))
    most = _IMBALANCE if n_dims <= _FEW_DIMS else _IMBALANCE_BEYOND
    if 1.0 / most <= ratio / decade <= most:
        return decade
    mantissa, exponent = math.frexp(ratio)
    return math.ldexp(round(mantissa * _DIGITS) / _DIGITS, exponent)


def _resolved_weights(weights: Weights, k: int, n_dims: int) -> FloatArray:
    if isinstance(weights, str):
        if weights == "minimum-norm":
            return np.array(minimum_norm_weights(k, n_dims))
        if weights == "uniform":
            return np.full(k, 1.0 / k)
        raise InputError(f"expected weights 'minimum-norm', 'uniform' or values, got {weights!r}")
    values = np.asarray(weights)
    if values.shape != (k,) or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise InputError(f"expected {k} weights, got shape {values.shape}, dtype {values.dtype}")
    values = values.astype(np.float64)
    if not math.isclose(float(values.sum()), 1.0, rel_tol=1e-6):
        raise InputError(f"expected {k} weights with sum 1, got sum {values.sum():g}")
    return values


def _sample(x: Array, name: str) -> FloatArray:
    array = np.asanyarray(x)  # with its mask, if any
    if array.ndim == 1:
        array = array[:, None]
    return np.asarray(checked_squares(checked_activations(array, name=name), name), np.float64)


def paired_samples(x: Array, y: Array, k: int | None) -> tuple[FloatArray, FloatArray]:
    """Return two samples as (n_samples, n_dims) of float64, or refuse them, or ``k`` if given."""
    _refuse_class_ids(x, "x")
    _refuse_class_ids(y, "y")
    first, second = _sample(x, "x"), _sample(y, "y")
    _check_paired(first, second)
    _check_neighbors(k, len(first))
    return first, second


def _refuse_class_ids(x: Array, name: str) -> None:
    """Refuse whole numbers in one dimension, and texts: between classes there are no distances."""
    array = np.asanyarray(x)
    if array.dtype.kind in "iubUS" and array.size == len(array):
        raise InputError(
            f"expected {name} of real numbers, got whole numbers or texts ({array.dtype}) in one"
            " dimension, as of classes, which have no distances",
            hint=f"use mixed_information(sample, labels), or {name}.astype(float) for measurements",
        )


def labelled_samples(x: Array, labels: Array, k: int | None) -> tuple[FloatArray, IntArray]:
    """Return a sample as (n_samples, n_dims) of float64 and its class ids, or refuse them."""
    points, classes = _sample(x, "x"), class_ids(labels)
    _check_paired(points, classes)
    _check_neighbors(k, len(points))
    return points, classes


def _check_paired(a: Array, b: Array) -> None:
    if len(a) != len(b):
        raise InputError(f"expected rows that belong together, got {len(a)} and {len(b)} samples")


def _check_neighbors(k: int | None, n: int) -> None:
    if k is not None and not 1 <= whole_number(k, "k", 1) < n:
        raise InputError(f"expected 1 <= k < {n} (the number of samples), got k = {k}")

"""How much information a compression can have lost: bounds that hold for every distribution.

A small reconstruction error bounds nothing, since what matters may sit in the direction of least
variance. With noise of known size in the layer, the entropy of what is left out is bounded by that
of a normal variable, and its conditional entropy from below by the noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoplane.data import FloatArray, IntArray
from infoplane.errors import InputError
from infoplane.numerics.neighbors.terms import LOG2_E


def label_loss(scores: FloatArray, dim: int, labels: IntArray, noise: float) -> float:
    """Return roughly what the directions left out tell about the labels, in bits.

    It is 1/2 log2(1 + sum of the ratios of the variance between classes to that within), chance
    taken off: what normal classes in those directions would tell, each direction on its own. No
    bound, but it is seen when a class is told apart by what was left out.

    Parameters
    ----------
    scores : array (n_samples, n_components)
        Projections on orthonormal directions, of which the first ``dim`` are kept.
    dim : int
        Dimension of the code.
    labels : array of int (n_samples,)
        Class ids.
    noise : float
        Standard deviation of noise still to be added to every direction.
    """
    out = scores[:, dim:]
    classes, ids, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if out.shape[1] == 0 or len(classes) < 2:
        return 0.0
    means = np.zeros((len(classes), out.shape[1]))
    np.add.at(means, ids.reshape(-1), out)
    means /= counts[:, None]
    between = (counts / len(out)) @ (means - out.mean(axis=0)) ** 2
    within = out.var(axis=0) - between + noise**2
    varied = out.var(axis=0) > 1e-20 * max(float(np.square(scores).mean()), 1e-300)
    tiny = np.finfo(np.float64).tiny
    ratios = between[varied] / np.maximum(within[varied], np.maximum(1e-9 * between[varied], tiny))
    excess = np.maximum(ratios - 2 * (len(classes) - 1) / len(out), 0.0)
    return float(0.5 * np.log2(1 + excess.sum()))


def activation_loss_bound(
    scores: FloatArray,
    dim: int,
    noise: float,
    *,
    n_units: int,
    residual_variance: float,
    contained: bool = True,
) -> float:
    """Return an upper bound on I(X;T) - I(X;T_c), in bits.

    1/2 log2 det(C_rest / sigma^2), where C_rest is the covariance of what is left out, given the
    code. The units - n_components directions that are not in ``scores`` have the determinant that
    is largest for their total variance; so have those that could be noise alone, whose variances
    scatter while their mean hardly does. If the scores are the layer's own principal components and
    the sample is large, this is 1/2 sum_{j > q} log2(lambda_j / sigma^2).

    Parameters
    ----------
    scores : array (n_samples, n_components)
        Projections of the layer on orthonormal directions; the first ``dim`` are the code.
    dim : int
        Dimension of the code.
    noise : float
        Standard deviation of the noise of each unit.
    n_units : int
        Width of the layer.
    residual_variance : float
        Variance of the layer outside of the directions.
    contained : bool, default True
        Whether the scores contain the noise; otherwise its variance is added.
    """
    variance = noise**2
    added = 0.0 if contained else variance
    covariance = _covariance(scores) + added * np.eye(scores.shape[1])
    cross = covariance[:dim, dim:]
    rest = (
        covariance[dim:, dim:]
        - cross.T @ np.linalg.lstsq(covariance[:dim, :dim], cross, rcond=None)[0]
    )
    values = np.linalg.eigvalsh(rest) if rest.size else np.empty(0)
    outside = n_units - scores.shape[1]
    n = len(scores)
    # Of many variances of noise alone the largest is this one; below, only the mean tells.
    edge = 0.0 if added else variance * (1.0 + math.sqrt((n_units - dim) / n)) ** 2
    seen = values[values > edge]
    shared = len(values) - len(seen) + outside
    nats = _log_ratio(seen, variance)
    if shared > 0:
        below = float(values[values <= edge].sum()) + (residual_variance if outside > 0 else 0.0)
        mean = below / shared * n / max(1, n - 1 - dim - len(seen)) + added
        nats += shared * _log_ratio(np.array([mean]), variance)
    return 0.5 * nats * LOG2_E


def selection_bias(code: FloatArray, noise: float, n_units: int) -> float:
    """Return by how much I(X;T_c) is too large for directions chosen by noise, in bits.

    Principal directions are those in which the recorded noise happens to be large too. A variance
    of v sigma^2 along one reads v (1 + g / (v - 1)), g = (n_units - q) / n_samples, and that of
    noise alone up to (1 + sqrt(g))^2. The directions are taken for those of these very samples;
    if they were found from more, it is less.

    Parameters
    ----------
    code : array (n_samples, q)
        Projection of the layer, noise included, on its principal directions.
    noise : float
        Standard deviation of the noise of each unit.
    n_units : int
        Width of the layer.

    References
    ----------
    Baik, Silverstein, Journal of Multivariate Analysis 97 (2006); Paul, Statistica Sinica 17
    (2007) for the angle between a direction and the one found.
    """
    n, q = code.shape
    g = (n_units - q) / n
    read = np.maximum(np.linalg.eigvalsh(_covariance(code)) / noise**2, 1.0)
    edge = (1.0 + math.sqrt(g)) ** 2 * (1.0 + 1e-9)  # at the edge itself rounding leads to NaN
    total = float(np.log(read[read <= edge]).sum())
    seen = read[read > edge]
    middle = 0.5 * (seen + 1.0 - g)
    above = middle + np.sqrt(middle**2 - seen) - 1.0  # variance less that of the noise
    along = 1.0 + above * (1.0 - g / above**2) / (1.0 + g / above)
    return 0.5 * (total + float(np.log(seen / along).sum())) * LOG2_E


def capacity(scores: FloatArray, noise: float, *, contained: bool = True) -> float:
    """Return the largest I(X;T_c), in bits, of a code with this covariance and noise.

    1/2 log2 det(C / sigma^2): the entropy of a normal variable less that of the noise.
    """
    added = 0.0 if contained else noise**2
    values = np.linalg.eigvalsh(_covariance(scores)) + added
    return 0.5 * _log_ratio(values, noise**2) * LOG2_E


def input_loss_bound(code: FloatArray, inputs: FloatArray, noise: float) -> float:
    """Return an upper bound on I(X;T_c) - I(E(X);T_c), in bits, where E(X) compresses the input.

    1/2 log2 det(R / sigma^2) with R the covariance of the residuals of a regression of the noisy
    code on E(X), each half of the samples predicted by a fit to the other. The regression may be
    any; linear and quadratic terms are tried and the smaller bound counts.

    Parameters
    ----------
    code : array (n_samples, q)
        Noisy code of the layer.
    inputs : array (n_samples, n_dims)
        Compressed inputs, rows in the same order.
    noise : float
        Standard deviation of the noise of the code.

    Raises
    ------
    InputError
        If the arrays differ in length.
    """
    if len(code) != len(inputs):
        raise InputError(
            f"expected rows that belong together, got {len(code)} and {len(inputs)} samples"
        )
    centred = inputs - inputs.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred[:, spread > 0] / spread[spread > 0]
    first, second = np.triu_indices(scaled.shape[1])
    linear = np.hstack([np.ones((len(code), 1)), scaled])
    quadratic = np.hstack([linear, scaled[:, first] * scaled[:, second]])
    bounds = []
    for features in (linear, quadratic):
        if 10 * features.shape[1] <= len(code):
            residuals = _crossed_residuals(features, code)
            second_moment = residuals.T @ residuals / len(code)
            bounds.append(0.5 * _log_ratio(np.linalg.eigvalsh(second_moment), noise**2) * LOG2_E)
    return min(bounds, default=math.inf)


def _crossed_residuals(features: FloatArray, target: FloatArray) -> FloatArray:
    residuals = np.empty_like(target)
    half = np.arange(len(target)) % 2 == 0
    for fitted, held_out in ((half, ~half), (~half, half)):
        slopes = np.linalg.lstsq(features[fitted], target[fitted], rcond=None)[0]
        residuals[held_out] = target[held_out] - features[held_out] @ slopes
    return residuals


def _covariance(scores: FloatArray) -> FloatArray:
    centred = scores - scores.mean(axis=0)
    return np.asarray(centred.T @ centred / len(centred))


def _log_ratio(values: NDArray[np.floating[Any]], variance: float) -> float:
    """Return the sum of log(values / variance), none below 0: no variance is below the noise."""
    return float(np.log(np.maximum(values, variance) / variance).sum())

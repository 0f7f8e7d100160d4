"""Similarity of two arrays of the same samples, each as one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from infoplane.calls import one_of, truth
from infoplane.calls import whole as whole_number
from infoplane.data import Array, FloatArray, IntArray, checked_activations
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.similarity import alignment, correlations, distances, neighborhoods, shape
from infoplane.numerics.similarity.samples import centred_pair, share, whole

View = TypeVar("View")


def cka(
    x: Array, y: Array, *, kernel: str = "linear", debiased: bool = True, width: float | None = None
) -> float:
    """Return the centred kernel alignment of two representations.

    1 if one is a rotation and scaling of the other, 0 on average if they are independent.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.
    kernel : {"linear", "rbf"}, default "linear"
        ``rbf`` is Gaussian.
    debiased : bool, default True
        Unbiased in numerator and denominator. If not, independent data of more units than samples
        are near 1.
    width : float, optional
        Of the Gaussian kernel, in roots of the median squared distance, from 1e-6 to 1e6; 1 unless
        given. The wider it is, the nearer to the linear one.

    Raises
    ------
    InputError
        If the arrays or an option do not fit.
    EstimationError
        If there are fewer than 4 samples, or a side does not vary.

    Notes
    -----
    A few directions of large variance decide linear CKA. `cka_without_top` leaves the largest out.

    References
    ----------
    Kornblith et al.: "Similarity of neural network representations revisited", 2019. Song et al.:
    "Feature selection via dependence maximization", 2012.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> round(infoplane.cka(x, 3 * x[:, ::-1]), 6)
    1.0
    """
    one_of(kernel, "kernel", "linear", "rbf")
    truth(debiased, "debiased")
    if kernel == "linear" and width is not None:
        raise InputError("width: expected none, a linear kernel has no width", argument="width")
    if kernel == "linear":
        views = _views(x, y, partial(alignment.linear_view, debiased=debiased))
    else:
        of = alignment.checked_width(1.0 if width is None else width)
        views = _views(x, y, partial(alignment.gaussian_view, width=of, debiased=debiased))
    return alignment.compared(*views).value


def cka_without_top(x: Array, y: Array) -> float:
    """Return the debiased linear CKA of two representations without their top components.

    The first principal component of each side is removed: one direction of large variance can make
    CKA near 1 where the rest has nothing in common.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.

    Raises
    ------
    InputError
        If the arrays do not fit.
    EstimationError
        If there are fewer than 4 samples, nothing is left of a side, or its two largest components
        have the same variance, to a ten-thousandth: as of few classes that have collapsed, equally
        large and far. Which one is the first would be arbitrary.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> round(infoplane.cka_without_top(x, x), 6)
    1.0
    """

    def view(side: FloatArray, bounds: IntArray) -> alignment.KernelView:
        rest = alignment.without_top_component(side)
        return alignment.linear_view(rest, bounds, debiased=True)

    return alignment.compared(*_views(x, y, view)).value


def procrustes_distance(x: Array, y: Array) -> float:
    """Return the angle between two representations after the best rotation, in radians.

    0 if one is a rotation and scaling of the other; at most pi / 2. A metric.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.

    Raises
    ------
    InputError
        If the arrays do not fit.
    EstimationError
        If there are fewer than 4 samples, or a side does not vary.

    References
    ----------
    Williams et al.: "Generalized shape metrics on neural representations", 2021.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> infoplane.procrustes_distance(x, -2 * x) < 1e-6
    True
    """
    return shape.angle(*_views(x, y, shape.shape_view))


def mutual_neighbors(x: Array, y: Array, k: int = 10) -> float:
    """Return the share of the nearest neighbours that two representations have in common.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.
    k : int, default 10
        Neighbours of each sample; independent data share ``k / (n_samples - 1)`` of them.

    Notes
    -----
    Samples that are equally far share the last places, and the overlap is divided by the geometric
    mean of those of each side with itself. Of few states, independent data share more.

    Raises
    ------
    InputError
        If the arrays do not fit, or there are no more than ``k`` samples.
    EstimationError
        If there are fewer than 4 samples, or a side does not vary.

    References
    ----------
    Doimo et al.: "Hierarchical nucleation in deep neural networks", 2020. Huh et al.: "The platonic
    representation hypothesis", 2024.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> infoplane.mutual_neighbors(x, x)
    1.0
    """
    k = whole_number(k, "k", 1)
    left, right = centred_pair(x, y)
    if len(left) <= k:
        raise EstimationError(
            f"expected more than {k} samples for {k} neighbours, got {len(left)}",
            hint="record more samples, or take a smaller k",
        )
    bounds = whole(len(left))
    views = [neighborhoods.neighbor_view(side, bounds, k) for side in (left, right)]
    return neighborhoods.compared(*views).value


def rsa(x: Array, y: Array, *, metric: str = "sqeuclidean", correlation: str = "spearman") -> float:
    """Return the correlation of the distances between samples in two representations.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.
    metric : str, default "sqeuclidean"
        ``sqeuclidean``, ``euclidean``, ``cosine``, ``correlation`` or ``cityblock``.
    correlation : {"spearman", "pearson"}, default "spearman"
        Of ranks, or linear.

    Raises
    ------
    InputError
        If the arrays or an option do not fit.
    EstimationError
        If there are fewer than 4 samples, or all distances of a side are equal.

    References
    ----------
    Kriegeskorte et al.: "Representational similarity analysis", 2008.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> round(infoplane.rsa(x, x), 6)
    1.0
    """
    one_of(metric, "metric", *distances.METRICS)
    one_of(correlation, "correlation", "spearman", "pearson")
    pair = centred_pair(x, y)
    if metric in ("cosine", "correlation"):  # angles are those at the origin, not at the mean
        pair = checked_activations(x).astype(np.float64), checked_activations(y).astype(np.float64)
    bounds, ranks = whole(len(pair[0])), correlation == "spearman"
    views = [distances.distance_view(one, bounds, metric=metric, ranks=ranks) for one in pair]
    return distances.compared(*views).value


def svcca(x: Array, y: Array, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of the leading components of two representations.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.
    variance : float, default 0.99
        Share of the variance that the components kept hold together; 1 keeps all.

    Raises
    ------
    InputError
        If the arrays or an option do not fit.
    EstimationError
        If there are no more samples than components of both sides, or a side does not vary.

    Notes
    -----
    Independent data are far above 0 unless there are many more samples than components.

    References
    ----------
    Raghu et al.: "SVCCA", 2017. Singular values are squared for the variance; units are centred.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> round(infoplane.svcca(x, x @ np.diag(np.arange(1, 31)), variance=1), 6)
    1.0
    """
    kept = share(variance, "variance")
    view = partial(correlations.correlation_view, variance=kept, kind="svcca")
    return correlations.correlation(*_views(x, y, view))


def pwcca(x: Array, y: Array) -> float:
    """Return the mean canonical correlation of two representations, weighted by what it explains.

    Each side weighs the correlations by how much of its units they carry; the mean of both counts.

    Parameters
    ----------
    x, y : array (n_samples, n_units)
        Activations of the same samples, in the same order; units may differ.

    Raises
    ------
    InputError
        If the arrays do not fit.
    EstimationError
        If there are no more samples than dimensions of both sides, or a side does not vary.

    References
    ----------
    Morcos et al.: "Insights on representational similarity with canonical correlation", 2018.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 30))
    >>> round(infoplane.pwcca(x, 2 * x), 6)
    1.0
    """
    view = partial(correlations.correlation_view, variance=1.0, kind="pwcca")
    return correlations.correlation(*_views(x, y, view))


def _views(x: Array, y: Array, view: Callable[[FloatArray, IntArray], View]) -> tuple[View, View]:
    """Return the views of both sides, centred, all samples in one group."""
    left, right = centred_pair(x, y)
    bounds = whole(len(left))
    return view(left, bounds), view(right, bounds)

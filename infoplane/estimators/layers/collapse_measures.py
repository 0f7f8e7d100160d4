"""Measures of the classes in a layer, of arrays: neural collapse, alignment, stability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infoplane.arrays import magnitude
from infoplane.data import Array, FloatArray, IntArray, checked_activations, class_ids, whole_number
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.collapse import (
    ClassScatter,
    disagreement,
    duality,
    gram_norm,
    scatters,
)
from infoplane.numerics.representational_distances import FEWEST_UNITS, split_half_stability


class Undefined(NamedTuple):
    """Why a measure has no value."""

    flag: str
    reason: str


UNDEFINED = {
    "cdnv": Undefined("equal_means", "expected class means that differ, got two equal ones"),
    "nc2_equiangle": Undefined(
        "central_mean", "expected class means off their middle, got one in it, without a direction"
    ),
    "nc3": Undefined("zero_weight", "expected a weight with a direction, got zeros"),
    "nc4": Undefined("equal_logits", "expected logits that differ, got equal ones"),
}
"""Measures that some layers do not have: they are NaN there."""


@dataclass(frozen=True)
class NeuralCollapse:
    """How far the classes of a layer have collapsed; all are 0 at the end of the collapse.

    A measure that the layer does not have is NaN, and a flag says why.

    Attributes
    ----------
    nc1 : float
        Tr(within-class scatter, pseudo-inverse of the scatter of the class means) / K. The scatter
        of the class means is about their own mean, whatever the sizes of the classes.
    nc1_quotient : float
        Tr(within-class scatter) / Tr(scatter of the class means).
    cdnv : float
        Class-distance-normalised variance: mean over pairs of classes of (v_i + v_j) / (2 |m_i -
        m_j|^2).
    nc2_equinorm : float
        Standard deviation of the lengths of the class means about their mean / mean length.
    nc2_equiangle : float
        Mean over pairs of |cosine + 1 / (K - 1)|.
    nc2_etf : float
        Frobenius distance of the means' products from those of a simplex, both of norm 1.
    nc3 : float or None
        Squared Frobenius distance of weight and class means, both of norm 1; None without weight.
    nc4 : float or None
        Share of the samples whose largest logit is not that of the nearest class mean; likewise.
    flags : tuple of str
        ``no_simplex``: more classes than units + 1, whose means cannot form a simplex;
        ``small_n``: a class of one sample. Without a value, up to rounding: ``equal_means``: CDNV,
        as two class means are equal; ``central_mean``: NC2 of angles, as a class mean lies in the
        middle of them all; ``zero_weight``: NC3, as the weight is 0; ``equal_logits``: NC4, as no
        logit is the largest.
    """

    nc1: float
    nc1_quotient: float
    cdnv: float
    nc2_equinorm: float
    nc2_equiangle: float
    nc2_etf: float
    nc3: float | None = None
    nc4: float | None = None
    flags: tuple[str, ...] = ()


def neural_collapse(
    x: Array, labels: Array, weight: Array | None = None, bias: Array | None = None
) -> NeuralCollapse:
    """Return how far classes have collapsed onto their means, and these onto a simplex.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples.
    labels : array (n_samples,)
        Class ids; two classes at least, one of them of several samples.
    weight : array (n_classes, n_units), optional
        Of the linear layer that follows, its rows in the order of the class ids.
    bias : array (n_classes,), optional
        Of the same; 0 unless given.

    Raises
    ------
    InputError
        If arrays do not fit.
    EstimationError
        If there is one class, every class has one sample, or the class means are equal.

    Notes
    -----
    NC1 depends on the number of samples for each class: compare it at equal numbers alone. NC2 of
    random means in many dimensions is near 0 as well: alone it proves nothing.

    References
    ----------
    Papyan, Han, Donoho, PNAS 117, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(12) % 3
    >>> found = neural_collapse(np.eye(3)[labels], labels)
    >>> abs(found.nc1) < 1e-12, abs(found.nc2_etf) < 1e-12
    (True, True)
    """
    values, classes = labelled_layer(x, labels)
    (scatter,) = scatters(values, [classes])
    equinorm, equiangle, etf = scatter.simplex_deviation()
    found = {
        "nc1": scatter.nc1(),
        "nc1_quotient": scatter.nc1_quotient(),
        "cdnv": scatter.cdnv(),
        "nc2_equinorm": equinorm,
        "nc2_equiangle": equiangle,
        "nc2_etf": etf,
    }
    if weight is not None:
        rows, offset = _head(weight, bias, scatter, values.shape[1])
        scale = magnitude(values)
        layer = np.asarray(values, dtype=np.float64) / scale
        means = np.array([layer[classes == k].mean(axis=0) for k in range(len(scatter.counts))])
        found["nc3"] = duality(rows, means - means.mean(axis=0))
        with np.errstate(over="ignore"):
            found["nc4"] = disagreement(layer, means, rows, offset / scale)
    elif bias is not None:
        raise InputError("expected a weight beside the bias, got none")
    undefined = (UNDEFINED[name].flag for name, value in found.items() if math.isnan(value))
    return NeuralCollapse(**found, flags=(*collapse_flags(scatter, values.shape[1]), *undefined))


def label_alignment(x: Array, labels: Array) -> float:
    """Return the centred kernel alignment (linear CKA) of a layer with its one-hot labels.

    Parameters and errors are those of `neural_collapse`. It is 1 where the products of the samples
    are those of their labels. Shuffled labels do not read 0 in few samples.

    References
    ----------
    Cristianini et al.: "On kernel-target alignment", NeurIPS 2001; Cortes, Mohri, Rostamizadeh,
    JMLR 13, 2012 (centred).

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(12) % 3
    >>> round(label_alignment(np.eye(3)[labels], labels), 6)
    1.0
    """
    values, classes = labelled_layer(x, labels)
    return scatters(values, [classes])[0].alignment(gram_norm(values)[0])


def centroid_nuclear_norm(x: Array, labels: Array) -> float:
    """Return the nuclear norm of the class means of rows that are scaled to length 1.

    Parameters and errors are those of `neural_collapse`, but classes may have one sample each. It
    is at most K for K classes of no more than d units, and sqrt(K d) above: small where classes
    spread over all directions, or share one.

    References
    ----------
    Yerxa et al., NeurIPS 2023 (maximum manifold capacity representations).

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(12) % 3
    >>> round(centroid_nuclear_norm(np.eye(3)[labels], labels), 6)
    3.0
    """
    values, classes = labelled_layer(x, labels, several=False)
    return scatters(values, [classes])[0].nuclear_norm()


def rdm_stability(x: Array, splits: int = 30, seed: int = 0) -> float:
    """Return how alike the distances between samples are in two halves of the units.

    Spearman's correlation of cosine distances, mean over random halvings of the units. It says how
    redundant the units are, in the axes that they are given in: a rotation changes it.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples and 4 units; of more than 1600 samples as many are drawn.
    splits : int, default 30
        Halvings.
    seed : int, default 0
        Draws them.

    Raises
    ------
    InputError
        If an argument is unfit.
    EstimationError
        If distances do not vary.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> round(rdm_stability(np.repeat(x, 40, axis=1)), 1)
    1.0
    """
    values = checked_activations(x, name="x")
    if len(values) < 3 or values.shape[1] < FEWEST_UNITS:
        raise InputError(
            f"expected at least 3 samples and {FEWEST_UNITS} units, got shape {values.shape}"
        )
    whole_number(splits, "splits", 1)
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    value = split_half_stability(values, splits, rng)[0]
    if np.isnan(value):
        raise EstimationError("expected samples at distances that vary, got equal directions")
    return value


def labelled_layer(x: Array, labels: Array, *, several: bool = True) -> tuple[Array, IntArray]:
    """Return a layer and its classes 0, 1, ..., or refuse them.

    Raises
    ------
    InputError
        If shapes or values do not fit.
    EstimationError
        If there is one class, or with ``several`` if no class has more than one sample.
    """
    values, ids = checked_activations(x, name="x"), class_ids(labels)
    if len(ids) != len(values):
        raise InputError(f"expected {len(values)} labels, one per sample, got {len(ids)}")
    if len(values) < 3:
        raise InputError(f"expected at least 3 samples, got {len(values)}")
    classes = np.unique(ids, return_inverse=True)[1].reshape(-1)
    if reason := unfit_classes(classes, several=several):
        raise EstimationError(reason)
    return values, classes


def unfit_classes(classes: IntArray, *, several: bool = True) -> str:
    """Return why nothing can be said of classes, "" if something can."""
    counts = np.bincount(classes)
    if len(counts) < 2:
        return "expected two classes at least, got one"
    if several and counts.max() == 1:
        return "expected a class of several samples, got one sample in every class"
    return ""


def collapse_flags(scatter: ClassScatter, n_units: int) -> tuple[str, ...]:
    """Return what is to be said of the collapse of so many classes."""
    raised = {
        "no_simplex": len(scatter.counts) > n_units + 1,
        "small_n": bool(scatter.counts.min() < 2),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def _head(
    weight: Array, bias: Array | None, scatter: ClassScatter, n_units: int
) -> tuple[FloatArray, FloatArray]:
    shape = (len(scatter.counts), n_units)
    rows = np.asarray(checked_activations(weight, name="weight"), dtype=np.float64)
    if rows.shape != shape:
        raise InputError(f"expected a weight of shape {shape}, got {rows.shape}")
    if bias is None:
        return rows, np.zeros(shape[0])
    if np.shape(bias) != shape[:1]:
        raise InputError(f"expected a bias of shape {shape[:1]}, got {np.shape(bias)}")
    column = checked_activations(np.ma.asarray(bias)[:, None], name="bias")
    return rows, np.asarray(column[:, 0], dtype=np.float64)

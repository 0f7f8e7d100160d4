"""Information under Gaussian noise between its bounds, with what to know before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.arrays import taken
from infoplane.data import Array, class_ids
from infoplane.errors import EstimationError, InputError
from infoplane.estimators.trust import is_saturated
from infoplane.numerics.discrete.symbols import Symbols, row_symbols, working_precision
from infoplane.numerics.kernels.mixtures import (
    MixtureInformation,
    Noise,
    mixture_information,
    noise_variance,
    stratified,
)
from infoplane.numerics.kernels.sums import Precision
from infoplane.numerics.tensors import Tensor, fetched, is_tensor

WIDE = 2.0
"""Bits between the bounds above which the estimate says little."""
_MANY = 50  # samples that differ, of which the others may be copies
_COPIES = 10


@dataclass(frozen=True)
class KdeInformation(MixtureInformation):
    """Information of one layer under Gaussian noise, in bits.

    Attributes
    ----------
    ixt : Bracket
        I(X;T), with ``lower``, ``estimate`` and ``upper``.
    ity : Bracket or None
        I(T;Y); None without labels.
    ity_kl, ity_bd, variance, n_samples, precision, null_ity, ixt_drift, ity_drift, constant
        As in :class:`~infoplane.numerics.kernels.mixtures.MixtureInformation`.
    flags : tuple of str
        ``saturated``: I(X;T) is within 2 % of log2 n_samples, or of that of the samples that
        differ if others are copies of them; ``constant``: all rows are equal;
        ``subsampled``; ``wide_bracket``: the bounds are more than 2 bits apart;
        ``below_resolution``: the noise is smaller than the spacing of the activations' numbers.
    """

    flags: tuple[str, ...] = ()


def kde_information(
    activations: Tensor,
    labels: Array | None = None,
    *,
    noise: Noise = "fixed",
    variance: float = 1e-3,
    std: float = 0.05,
    precision: Precision = "float64",
    max_samples: int | None = None,
    rng: np.random.Generator | None = None,
) -> KdeInformation:
    """Return bounds and an estimate of I(X;T+Z) and I(T+Z;Y) for Gaussian noise Z, in bits.

    With noise N(0, s) of variance s per unit, T + Z is a mixture of Gaussians around the samples.
    The upper bound of I(X;T+Z) is -mean_i log2 mean_j exp(-|t_i - t_j|^2 / 2s), the lower bound the
    same with 8s (Kullback-Leibler and Bhattacharyya distances). Where samples are dense both are
    off by a constant per dimension, where they are sparse both are exact; in either case the
    information is lower + 0.2787 (upper - lower), which is the estimate.

    I(T+Z;Y) lies between the lower bound less the mean upper bound within classes, and the upper
    bound less the mean lower bound within classes. The estimate takes the same share between the
    differences of equal bounds.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        Finite. Of a torch tensor, the pairs are computed on its device.
    labels : array (n_samples,), optional
        Class ids.
    noise : {"fixed", "akde-var", "akde-std"}, default "fixed"
        Variance of the noise: ``variance``; ``variance`` times max|T|; or the square of ``std``
        times max|T|. Only the last leaves the information unchanged when T is scaled.
    variance : float, default 1e-3
        Variance of the noise per unit, or of ``akde-var`` its share of max|T|.
    std : float, default 0.05
        Standard deviation as a share of max|T|, of ``akde-std``.
    precision : {"float64", "mixed", "float32", "auto"}, default "float64"
        ``mixed`` takes distances in float64 and exponentials in float32 (errors below 1e-6 bits).
        ``auto`` is float64 for up to 1024 samples, else float32 where rounding cannot change an
        exponent by more than 0.002 (errors below 1e-4 bits, below 1e-3 where most samples
        coincide; 5 times faster), else mixed.
    max_samples : int, optional
        Greatest number of samples; of more, a subsample with the same shares of the classes is
        used, and its number bounds I(X;T).
    rng : numpy.random.Generator, optional
        Source of the subsample; by default a generator with seed 0.

    Returns
    -------
    KdeInformation

    Raises
    ------
    InputError
        If shapes, values, noise or precision do not fit.
    EstimationError
        If activations are so great or so small that noise or distances are beyond all numbers.

    Notes
    -----
    Between those limits, where the noise of neighbours begins to overlap, the estimate of I(X;T+Z)
    falls short by up to about 0.06 bits per effective dimension, against quadrature and sampling.

    Time grows with n_samples^2 / 2, memory with n_samples. Blocks of samples are sorted by class,
    so that a block of pairs is within one class or between two; each pair costs one exponential,
    as exp(-x / 2s) is the fourth power of exp(-x / 8s).

    References
    ----------
    Kolchinsky, Tracey: "Estimating mixture entropy with pairwise distances", Entropy 19, 2017,
    equations 8 to 10. Noise 1e-3: Saxe et al.: "On the information bottleneck theory of deep
    learning", ICLR 2018. Adaptive noise: Chelombiev, Houghton, O'Donnell: "Adaptive estimators
    show information compression in deep neural networks", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> layer = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> info = kde_information(layer, labels=[0, 0, 1, 1])
    >>> round(info.ixt.lower, 9), round(info.ity.estimate, 9)
    (1.0, 1.0)
    """
    values = working_precision(fetched(activations) if is_tensor(activations) else activations)
    place = activations if is_tensor(activations) else values
    classes = None if labels is None else _classes(labels, len(values))
    n_given = len(values)
    if max_samples is not None and n_given > max_samples:
        rng = np.random.default_rng(0) if rng is None else rng
        chosen = stratified(classes, n_given, max_samples, rng)
        values = taken(values, chosen)
        classes = None if classes is None else row_symbols(classes.ids[chosen, None])
    largest = max(float(values.max()), -float(values.min()))
    s = noise_variance(largest, noise, variance, std)
    if s == 0 < largest:
        raise EstimationError(f"expected noise above 0, got {s} for activations up to {largest:g}")
    info = mixture_information(values, classes, s, precision, like=place)
    distinct = row_symbols(values).n_states
    spacing = float(np.finfo(values.dtype).eps) * largest
    flags = _flags(info, n_given, distinct, spacing)
    return KdeInformation(**vars(info), flags=flags)


def _flags(
    info: MixtureInformation, n_given: int, distinct: int, spacing: float
) -> tuple[str, ...]:
    """Return what to know before trusting an information of ``n_given`` samples.

    ``distinct`` of those used differ; ``spacing`` is the distance of the numbers that the largest
    activations can be.
    """
    # Samples that were recorded several times, not values that a layer takes again and again.
    repeated = distinct >= _MANY and distinct * _COPIES > info.n_samples
    ceiling = float(np.log2(distinct if repeated else info.n_samples))
    raised = {
        "subsampled": info.n_samples < n_given,
        "constant": info.constant,
        "saturated": is_saturated(info.ixt.lower, ceiling),
        "wide_bracket": info.ixt.upper - info.ixt.lower > WIDE,
        "below_resolution": not info.constant and np.sqrt(info.variance) < spacing,
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def _classes(labels: Array, n: int) -> Symbols:
    ids = class_ids(labels)
    if len(ids) != n:
        raise InputError(f"expected {n} labels, one per sample, got {len(ids)}")
    return row_symbols(ids[:, None])

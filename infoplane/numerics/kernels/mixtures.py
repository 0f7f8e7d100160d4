"""Information of a layer under Gaussian noise: pairwise-distance bounds of a mixture's entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.arrays import taken
from infoplane.data import Array, IntArray, class_ids
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.discrete.symbols import Symbols, row_symbols, working_precision
from infoplane.numerics.kernels.sums import Precision, kernel_sums
from infoplane.numerics.tensors import Tensor, fetched, is_tensor

Noise: TypeAlias = Literal["fixed", "akde-var", "akde-std"]

BETWEEN = 0.5 * math.log2(4 / math.e)  # 0.2787: where the information lies between its bounds
WIDE = 2.0  # bits between the bounds above which the estimate says little


@dataclass(frozen=True)
class Bracket:
    """Bounds of an information and an estimate between them, in bits."""

    lower: float
    estimate: float
    upper: float


@dataclass(frozen=True)
class KdeInformation:
    """Information of one layer under Gaussian noise, in bits.

    Parameters
    ----------
    ixt : Bracket
        I(X;T).
    ity : Bracket or None
        I(T;Y); None without labels.
    ity_kl, ity_bd : float or None
        The differences of two upper, and of two lower bounds that are commonly reported as bounds
        of I(T;Y). They are not bounds.
    variance : float
        Variance of the noise per unit.
    n_samples : int
        Samples that were used.
    precision : str
        ``float32``, ``mixed`` or ``float64``.
    null_ity : float or None
        What I(T;Y) is expected to be, at most, for labels that have nothing to do with the layer.
    ixt_drift, ity_drift : float
        How far the estimates are from those of half the samples, in expectation.
    flags : tuple of str
        ``saturated``: I(X;T) is within 2 % of log2 n_samples; ``constant``: all rows are equal;
        ``subsampled``; ``wide_bracket``: the bounds are more than 2 bits apart;
        ``below_resolution``: the noise is smaller than the spacing of the activations' numbers.
    """

    ixt: Bracket
    ity: Bracket | None
    ity_kl: float | None
    ity_bd: float | None
    variance: float
    n_samples: int
    precision: str
    flags: tuple[str, ...]
    null_ity: float | None = None
    ixt_drift: float = 0.0
    ity_drift: float = 0.0


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
    subsampled = max_samples is not None and len(values) > max_samples
    if subsampled and max_samples is not None:
        rng = np.random.default_rng(0) if rng is None else rng
        chosen = stratified(classes, len(values), max_samples, rng)
        values = taken(values, chosen)
        classes = None if classes is None else row_symbols(classes.ids[chosen, None])
    largest = max(float(values.max()), -float(values.min()))
    s = noise_variance(largest, noise, variance, std)
    n = len(values)
    flags = ["subsampled"] if subsampled else []
    if s == 0 < largest:
        raise EstimationError(f"expected noise above 0, got {s} for activations up to {largest:g}")
    if (values.max(axis=0) == values.min(axis=0)).all():
        zero = Bracket(0.0, 0.0, 0.0)
        none = classes is None
        return KdeInformation(
            zero,
            None if none else zero,
            None if none else 0.0,
            None if none else 0.0,
            s,
            n,
            "float64",
            (*flags, "constant"),
            null_ity=None if none else 0.0,
        )
    order, starts = _by_class(classes, n)
    sums, used = kernel_sums(taken(values, order), starts, s, precision, like=place)
    upper, lower = (float(np.log2(n) - np.log2(total).mean()) for total in sums[:2])
    ixt = Bracket(lower, _between(lower, upper), upper)
    if ixt.lower > 0.98 * np.log2(n):
        flags.append("saturated")
    if upper - lower > WIDE:
        flags.append("wide_bracket")
    if np.sqrt(s) < np.finfo(values.dtype).eps * largest:
        flags.append("below_resolution")
    drift = _between(np.log2(1 + 1 / sums[1]).mean(), np.log2(1 + 1 / sums[0]).mean())
    if classes is None:
        return KdeInformation(ixt, None, None, None, s, n, used, tuple(flags), ixt_drift=drift)
    sizes = np.repeat(np.diff(starts), np.diff(starts))  # size of the class of each sample
    within = [float(np.mean(np.log2(sizes) - np.log2(total))) for total in sums[2:]]
    kl, bd = upper - within[0], lower - within[1]
    ity = Bracket(max(0.0, lower - within[0]), _between(bd, kl), upper - within[1])
    # Of shuffled labels, a sample's own class has its share of the kernels of the others.
    share = (sizes - 1) / (n - 1)
    chance = [
        float(np.mean(np.log2(n / sizes) + np.log2(1 + (total - 1) * share) - np.log2(total)))
        for total in sums[:2]
    ]
    moves = [float(np.log2(1 + 1 / inner).mean()) for inner in sums[2:]]
    totals = [float(np.log2(1 + 1 / total).mean()) for total in sums[:2]]
    return KdeInformation(
        ixt, ity, kl, bd, s, n, used, tuple(flags),
        null_ity=_between(chance[1], chance[0]),
        ixt_drift=drift,
        ity_drift=_between(totals[1] - moves[1], totals[0] - moves[0]),
    )  # fmt: skip


def _between(lower: float, upper: float) -> float:
    """Return what stands between two bounds as the estimates do."""
    return float(lower + BETWEEN * (upper - lower))


def noise_variance(largest: float, noise: str, variance: float, std: float) -> float:
    """Return the variance of the noise per unit for activations up to ``largest``.

    Raises
    ------
    InputError
        If the rule is unknown, or variance or std is not positive.
    """
    if noise not in get_args(Noise):
        raise InputError(f"expected noise to be one of {', '.join(get_args(Noise))}, got {noise!r}")
    if not (0 < variance < math.inf and 0 < std < math.inf):
        raise InputError(f"expected finite variance and std above 0, got {variance} and {std}")
    if noise == "akde-var":
        return variance * largest
    return (std * largest) ** 2 if noise == "akde-std" else variance


def stratified(classes: Symbols | None, n: int, size: int, rng: np.random.Generator) -> IntArray:
    """Return ``size`` of ``n`` sample indices, ascending, with the shares of the classes kept.

    Systematic sampling of the samples sorted by class, in random order within each: every class
    gets its share to within one sample.
    """
    if size < 1:
        raise InputError(f"expected max_samples of at least 1, got {size}")
    order = rng.permutation(n)
    if classes is not None:
        order = order[np.argsort(classes.ids[order], kind="stable")]
    return np.sort(order[(np.arange(size) * n + rng.integers(n)) // size % n])


def _classes(labels: Array, n: int) -> Symbols:
    ids = class_ids(labels)
    if len(ids) != n:
        raise InputError(f"expected {n} labels, one per sample, got {len(ids)}")
    return row_symbols(ids[:, None])


def _by_class(classes: Symbols | None, n: int) -> tuple[IntArray, IntArray]:
    """Return the order of the samples by class, and where each class starts (n_classes + 1,)."""
    if classes is None:
        return np.arange(n), np.array([0, n])
    order = np.argsort(classes.ids, kind="stable")
    return order, np.concatenate([[0], np.cumsum(classes.counts)])

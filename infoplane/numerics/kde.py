"""Information of a layer under Gaussian noise: pairwise-distance bounds of a mixture's entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.blocks import converted, empty, taken
from infoplane.errors import InputError
from infoplane.numerics.discrete import Symbols, row_symbols, working_precision
from infoplane.records import Array, FloatArray, IntArray, class_ids

Noise: TypeAlias = Literal["fixed", "akde-var", "akde-std"]
Precision: TypeAlias = Literal["auto", "float32", "mixed", "float64"]

BLOCK = 384  # samples whose pairwise terms are held at a time
BETWEEN = 0.5 * math.log2(4 / math.e)  # 0.2787: where the information lies between its bounds
DOUBLE_UP_TO = 1024  # samples up to which double precision costs next to nothing
SMALL_CLASS = 64  # mean class size below which blocks do not follow the classes
ROUNDING = 2e-3  # greatest rounding error of an exponent that float32 may cause
WIDE = 2.0  # bits between the bounds above which the estimate says little
UNDERFLOW = {"float32": -31.4, "float64": -255.0}  # log2 below which the 4th power underflows


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
    activations: Array,
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
        Finite.
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
    values = working_precision(activations)
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
    if s == 0 or (values.max(axis=0) == values.min(axis=0)).all():
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
        )
    order, starts = _by_class(classes, n)
    sums, used = _kernel_sums(taken(values, order), starts, s, precision)
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
    if not (variance > 0 and std > 0):
        raise InputError(f"expected variance and std above 0, got {variance} and {std}")
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


def _kernel_sums(
    values: Array, starts: IntArray, variance: float, precision: str
) -> tuple[FloatArray, str]:
    """Return sums over all samples of both kernels, over the own class of both; and the precision.

    Parameters
    ----------
    values : array (n_samples, n_units)
        Sorted by class.
    starts : array (n_classes + 1,)
        First sample of each class, and the number of samples.
    """
    if precision not in get_args(Precision):
        raise InputError(
            f"expected precision to be one of {', '.join(get_args(Precision))}, got {precision!r}"
        )
    n, d = values.shape
    if precision == "auto" and n <= DOUBLE_UP_TO:
        precision = "float64"
    exact = precision in ("float64", "mixed")
    left = _scaled(values, variance, np.float64 if exact else values.dtype.type)
    if precision == "auto":
        fine = np.finfo(np.float32).eps * left[:, d].max() * np.log(2) < ROUNDING
        precision = "float32" if fine else "mixed"
        if not fine:
            left = _scaled(values, variance, np.float64)
    if precision == "float32" and left.dtype != np.float32:
        left = converted(left, np.float32)
    right = empty((d + 2, n), left.dtype)
    np.multiply(left[:, :d].T, 2, out=right[:d])
    right[d], right[d + 1] = -1, -left[:, d]
    kernel = np.float64 if precision == "float64" else np.float32
    sums = np.zeros((4, n))
    if len(starts) - 1 > max(1, n // SMALL_CLASS):
        _add_pairs(left, right, np.array([0, n]), sums[:2], sums[:2], kernel)
        for start, stop in pairwise(starts):
            part = slice(start, stop)
            inside = np.array([0, stop - start])
            _add_pairs(left[part], right[:, part], inside, sums[2:, part], sums[2:, part], kernel)
    else:
        between = np.zeros((2, n))
        _add_pairs(left, right, starts, sums[2:], between, kernel)
        sums[:2] = sums[2:] + between
    return sums, precision


def _scaled(values: Array, variance: float, dtype: type[np.floating]) -> Array:
    """Return points whose square distances are exponents of 2, negated, their squares, and 1.

    These are the columns of an array (n_samples, n_units + 2). Any shift is as good as that to the
    mean, so that rounding the mean does no harm.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the caller sees squares too great
        n, d = values.shape
        result = empty((n, d + 2), dtype)
        points = result[:, :d]
        points[:] = values
        points -= points.mean(axis=0)
        points *= dtype(np.sqrt(np.log2(np.e) / (8 * variance)))
        result[:, d], result[:, d + 1] = np.einsum("ij,ij->i", points, points), 1
        return result


def _add_pairs(
    left: Array,
    right: Array,
    starts: IntArray,
    inside: FloatArray,
    between: FloatArray,
    kernel: type[np.floating],
) -> None:
    """Add the kernels of all pairs to ``inside`` and ``between`` (2, n_samples), in place.

    ``inside`` gets the pairs within one class, ``between`` those of two. The first row is of
    exp(-x / 2s), the second of exp(-x / 8s). ``left @ right`` holds the exponents of 2 of the
    second, and each pair is computed once.
    """
    blocks = [
        (a, min(a + BLOCK, stop), number)
        for number, (start, stop) in enumerate(pairwise(starts))
        for a in range(start, stop, BLOCK)
    ]
    exponents = np.empty(BLOCK * BLOCK, dtype=left.dtype)
    terms = exponents if left.dtype == kernel else np.empty(BLOCK * BLOCK, dtype=kernel)
    ones = np.ones(BLOCK, dtype=kernel)
    lowest = UNDERFLOW[np.dtype(kernel).name]
    floor = 2.0**lowest  # added to the terms that are clipped, and taken off their sum again
    for i, (a, b, first) in enumerate(blocks):
        for c, d, second in blocks[i:]:
            size = (b - a) * (d - c)
            e = exponents[:size].reshape(b - a, d - c)
            k = terms[:size].reshape(b - a, d - c)
            np.matmul(left[a:b], right[:, c:d], out=e)
            np.clip(e, lowest, 0, out=k, casting="same_kind")
            np.exp2(k, out=k)
            if a == c:
                np.fill_diagonal(k, 1)
            sums = inside if first == second else between
            for row, added in ((1, floor), (0, 0.0)):
                sums[row, a:b] += k @ ones[: d - c] - added * (d - c)
                if a != c:
                    sums[row, c:d] += ones[: b - a] @ k - added * (b - a)
                if row:
                    np.square(k, out=k)
                    np.square(k, out=k)

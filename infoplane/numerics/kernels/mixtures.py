"""Information of a layer under Gaussian noise: pairwise-distance bounds of a mixture's entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.arrays import taken
from infoplane.data import Array, IntArray
from infoplane.errors import InputError
from infoplane.numerics.discrete.symbols import Symbols
from infoplane.numerics.kernels.sums import Precision, kernel_sums
from infoplane.numerics.tensors import Tensor

Noise: TypeAlias = Literal["fixed", "akde-var", "akde-std"]

BETWEEN = 0.5 * math.log2(4 / math.e)  # 0.2787: where the information lies between its bounds


@dataclass(frozen=True)
class Bracket:
    """Bounds of an information and an estimate between them, in bits."""

    lower: float
    estimate: float
    upper: float


@dataclass(frozen=True)
class MixtureInformation:
    """Information of one layer under Gaussian noise, in bits.

    Parameters
    ----------
    ixt : Bracket
        I(X;T).
    variance : float
        Variance of the noise per unit.
    n_samples : int
        Samples that were used.
    precision : str
        ``float32``, ``mixed`` or ``float64``.
    ity : Bracket or None
        I(T;Y); None without labels.
    ity_kl, ity_bd : float or None
        The differences of two upper, and of two lower bounds that are commonly reported as bounds
        of I(T;Y). They are not bounds.
    null_ity : float or None
        What I(T;Y) is expected to be, at most, for labels that have nothing to do with the layer.
    ixt_drift, ity_drift : float
        How far the estimates are from those of half the samples, in expectation.
    constant : bool
        Whether all rows are equal.
    """

    ixt: Bracket
    variance: float
    n_samples: int
    precision: str
    ity: Bracket | None = None
    ity_kl: float | None = None
    ity_bd: float | None = None
    null_ity: float | None = None
    ixt_drift: float = 0.0
    ity_drift: float = 0.0
    constant: bool = False


def mixture_information(
    values: Array, classes: Symbols | None, s: float, precision: Precision, like: Tensor
) -> MixtureInformation:
    """Return bounds and estimates of I(X;T+Z) and I(T+Z;Y) for noise Z of variance ``s``.

    Parameters
    ----------
    values : array (n_samples, n_units)
        float32 or float64, finite.
    classes : Symbols or None
        Class of each sample.
    s : float
        Variance of the noise per unit, above 0 unless all values are 0.
    precision : {"float64", "mixed", "float32", "auto"}
        Of distances and exponentials.
    like : array or torch.Tensor
        Names the device that computes the pairs.
    """
    n = len(values)
    if (values.max(axis=0) == values.min(axis=0)).all():
        zero = Bracket(0.0, 0.0, 0.0)
        found = MixtureInformation(zero, s, n, "float64", constant=True)
        return (
            found
            if classes is None
            else replace(found, ity=zero, ity_kl=0.0, ity_bd=0.0, null_ity=0.0)
        )
    order, starts = _by_class(classes, n)
    sums, used = kernel_sums(taken(values, order), starts, s, precision, like=like)
    # Equation 10 of Kolchinsky and Tracey, by the Kullback-Leibler and Bhattacharyya distances.
    upper, lower = (float(np.log2(n) - np.log2(total).mean()) for total in sums[:2])
    ixt = Bracket(lower, _between(lower, upper), upper)
    drift = _between(np.log2(1 + 1 / sums[1]).mean(), np.log2(1 + 1 / sums[0]).mean())
    found = MixtureInformation(ixt, s, n, used, ixt_drift=drift)
    return found if classes is None else _with_labels(found, sums, np.diff(starts))


def _with_labels(found: MixtureInformation, sums: Array, counts: IntArray) -> MixtureInformation:
    """Return ``found`` with what the layer tells about classes of these sizes (n_classes,)."""
    n, lower, upper = found.n_samples, found.ixt.lower, found.ixt.upper
    sizes = np.repeat(counts, counts)  # size of the class of each sample
    within = [float(np.mean(np.log2(sizes) - np.log2(total))) for total in sums[2:]]
    kl, bd = upper - within[0], lower - within[1]
    # Of shuffled labels, a sample's own class has its share of the kernels of the others.
    share = (sizes - 1) / (n - 1)
    chance = [
        float(np.mean(np.log2(n / sizes) + np.log2(1 + (total - 1) * share) - np.log2(total)))
        for total in sums[:2]
    ]
    moves = [float(np.log2(1 + 1 / inner).mean()) for inner in sums[2:]]
    totals = [float(np.log2(1 + 1 / total).mean()) for total in sums[:2]]
    return replace(
        found,
        ity=Bracket(max(0.0, lower - within[0]), _between(bd, kl), upper - within[1]),
        ity_kl=kl,
        ity_bd=bd,
        null_ity=_between(chance[1], chance[0]),
        ity_drift=_between(totals[1] - moves[1], totals[0] - moves[0]),
    )


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


def _by_class(classes: Symbols | None, n: int) -> tuple[IntArray, IntArray]:
    """Return the order of the samples by class, and where each class starts (n_classes + 1,)."""
    if classes is None:
        return np.arange(n), np.array([0, n])
    order = np.argsort(classes.ids, kind="stable")
    return order, np.concatenate([[0], np.cumsum(classes.counts)])

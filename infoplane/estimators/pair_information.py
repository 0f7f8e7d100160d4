"""The information of a pair of samples with its interval, and what to know before trusting it.

The values are those of the functions of `infoplane.numerics.neighbors.estimates`. Beside them
stands what the samples themselves can tell: an interval, a null, and flags of checks whose answer
is known whatever the distribution (`infoplane.numerics.neighbors.pair_checks`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from infoplane.data import Array, FloatArray, whole_number
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimates import dimension_flags
from infoplane.estimators.trust import LEVEL, SMALLEST_BITS, is_negative, noticeable, null_dominates
from infoplane.numerics.intervals import CHANCE, ROUNDING
from infoplane.numerics.neighbors.estimates import (
    ksg_mutual_information,
    labelled_samples,
    mixed_mutual_information,
    paired_samples,
    shuffle_difference,
)
from infoplane.numerics.neighbors.label_information import RATE, label_entropy
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.neighbors.pair_checks import Measure, PairChecks, pair_checks
from infoplane.numerics.neighbors.terms import ATOM_FRACTION, LOG2_E, duplicate_fraction
from infoplane.numerics.neighbors.view_information import dimension_ratio, on_one_scale
from infoplane.seeding import generator

_FEW_NEIGHBORS = 3  # by default, where they are counted
_MANY_NEIGHBORS = 20  # by default, where their distances are compared
_ERROR_BITS = 0.1  # an error below this one, or below that share, goes without a flag
_ERROR_SHARE = 0.15
_FEW_SAMPLES = 300  # below, an interval of one bit is some 0.15 bits to either side, or wider
_WIDE = 1.5  # times such an error: the half-width of an interval that says little
_SUSPECT = 0.5  # share of such an error by which ranks of the same samples may show more
_LEAST_FOUND = 0.02  # share of a planted dependence below which none was found
_CEILING = 0.85  # share of the largest value that neighbour counts can give
_COUNTED_DIMS = 6  # up to which neighbour counts are near enough to tell that a value is wrong


def ksg_information(
    x: Array, y: Array, k: int = _FEW_NEIGHBORS, *, null_permutations: int = 19, seed: int = 0
) -> Estimate:
    """Estimate the mutual information of two continuous samples by neighbour counts.

    Parameters
    ----------
    x : array (n_samples, n_dims_x)
        One sample per row; one-dimensional samples may be given as (n_samples,).
    y : array (n_samples, n_dims_y)
        Rows belong to those of ``x``.
    k : int, default 3
        Neighbours.
    null_permutations : int, default 19
        Permutations of the rows, of 1000 samples at most, that the null is taken of.
    seed : int, default 0
        Of permutations, halves and planted dependences.

    Returns
    -------
    Estimate
        ``bits`` is `ksg_mutual_information`. ``low`` and ``high`` are a 95 % interval of sampling
        error from halves of the sample; a bias is not in it. Flags:

        - ``insensitive``: both samples were paired anew so that they share known information, and
          what the estimate finds of it (``diagnostics["planted"]``) says that the truth may lie 15
          % and 0.1 bits away: in many dimensions, or with heavy tails, neighbours lose dependences;
        - ``biased``: halves of the sample say that the value still moves so much with their number,
          or it falls by 15 % up to 20 neighbours, or is below 0 by more than chance;
        - ``estimators_disagree``: the ranks of each column, which hold the same information, show
          noticeably more;
        - ``saturated``: near the largest value that counts can give;
        - ``atoms``: at least 1 % of the rows of a side occur again;
        - ``small_n``: below 300 samples, or the interval reaches 22 % and 0.15 bits to either side;
        - ``null_dominates``: shuffled rows show half as much; ``negative``, ``constant``;
        - ``failed``: no value, for the reason in ``diagnostics["reason"]``: too few samples.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, are class ids (whole numbers in one
        dimension), or a parameter is out of range.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, Physical Review E 69 (2004).

    Examples
    --------
    Two normal numbers of correlation 0.8 share -1/2 log2(1 - 0.8^2) = 0.74 bits:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pair = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 2000)
    >>> found = ksg_information(pair[:, 0], pair[:, 1])
    >>> found.low < 0.74 < found.high, found.flags
    (True, ())

    Beside 20 columns of noise counts show less than half of it, which is told:

    >>> wide = np.hstack([pair[:, :1], rng.normal(size=(2000, 20))])
    >>> lost = ksg_information(wide, pair[:, 1])
    >>> lost.bits < 0.4, "insensitive" in lost.flags
    (True, True)
    """
    first, second = paired_samples(x, y, _checked_against(k, len(x), _FEW_NEIGHBORS))
    if k >= len(first):
        return _too_few(len(first), k)
    ceiling = float(scipy.special.digamma(len(first)) - scipy.special.digamma(k)) * LOG2_E

    def own_flags(checks: PairChecks) -> dict[str, bool]:
        near = min(_CEILING * ceiling, ceiling - noticeable(checks.bits))
        return {
            "biased": _falls_with_k(checks, 0.75),
            "saturated": checks.bits > near,
            "estimators_disagree": _rises_by_ranks(checks),
            "insensitive": _insensitive(checks),
        }

    rng = generator(whole_number(seed, "seed", 0), "ksg_information")
    return _estimated(
        ksg_mutual_information,
        (first, second, k),
        (5, 10, 20),
        null_permutations,
        2.0 / min(max(2, first.shape[1] + second.shape[1]), 4),
        rng,
        own_flags,
        {"ceiling": ceiling},
    )


def shuffle_information(
    x: Array,
    y: Array,
    k: int = _MANY_NEIGHBORS,
    permutations: int = 2,
    seed: int = 0,
    *,
    largest_norm: float = 8.0,
    null_permutations: int = 19,
) -> Estimate:
    """Estimate the mutual information of two continuous samples as a difference of entropies.

    Parameters
    ----------
    x : array (n_samples, n_dims_x)
        One sample per row; one-dimensional samples may be given as (n_samples,).
    y : array (n_samples, n_dims_y)
        Rows belong to those of ``x``.
    k, permutations, largest_norm
        As in `shuffle_difference`, whose permutations are part of the value.
    seed : int, default 0
        Of permutations, halves and planted dependences.
    null_permutations : int, default 19
        Permutations of the rows, of 1000 samples at most, that the null is taken of.

    Returns
    -------
    Estimate
        ``bits`` is `shuffle_difference`; None with the flag ``atoms`` or ``degenerate_manifold``
        where that refuses the sample. Interval and flags are those of `ksg_information`, but

        - ``degenerate_manifold``, ``thin_manifold``: the intrinsic dimension is below 0.65, 0.75
          of the number of columns, and a density in these is none;
        - ``estimators_disagree``: ranks, or up to six joint dimensions neighbour counts, show 15 %
          and 0.1 bits less or more;
        - ``insensitive``: of planted information it finds too little or too much;
        - ``saturated`` is none.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, are class ids (whole numbers in one
        dimension), or a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pair = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 2000)
    >>> found = shuffle_information(pair[:, 0], pair[:, 1])
    >>> found.low < 0.74 < found.high, found.flags
    (True, ())

    A curve in the plane has no density there:

    >>> curve = np.column_stack([np.cos(pair[:, 0]), np.sin(pair[:, 0])])
    >>> shuffle_information(curve, pair[:, 1]).flags[0]
    'degenerate_manifold'
    """
    first, second = paired_samples(x, y, _checked_against(k, len(x), _MANY_NEIGHBORS))
    if k >= len(first):
        return _too_few(len(first), k)

    def measure(a: FloatArray, b: Array, neighbors: int) -> float:
        return shuffle_difference(a, b, neighbors, permutations, seed, largest_norm=largest_norm)

    rng = generator(whole_number(seed, "seed", 0), "shuffle_information")
    ratio = _dimension_ratio(first, second, rng)
    counts = None
    if _vary(first, second) and first.shape[1] + second.shape[1] <= _COUNTED_DIMS:
        counts = ksg_mutual_information(first, second, min(3, len(first) - 1))

    def own_flags(checks: PairChecks) -> dict[str, bool]:
        bits = checks.bits
        others = [other for other in (checks.ranks, counts) if other is not None]
        apart = max((abs(other - bits) for other in others), default=math.inf)
        return {
            "biased": _falls_with_k(checks, 1.5),
            "estimators_disagree": apart > _error(bits) + checks.interval.standard_error,
            "insensitive": _insensitive(checks),
        }

    found = _estimated(
        measure,
        (first, second, k),
        (5, 10, 40),
        null_permutations,
        0.5,
        rng,
        own_flags,
        {"ksg": counts, "id_ratio": ratio},
    )
    return replace(found, flags=tuple(dict.fromkeys((*found.flags, *dimension_flags(ratio)))))


def mixed_information(
    x: Array, labels: Array, k: int = _FEW_NEIGHBORS, *, null_permutations: int = 19, seed: int = 0
) -> Estimate:
    """Estimate the mutual information of a continuous sample and class labels.

    Parameters
    ----------
    x : array (n_samples, n_dims)
        One sample per row; one-dimensional samples may be given as (n_samples,).
    labels : array (n_samples,)
        Class ids.
    k : int, default 3
        Neighbours within the class.
    null_permutations : int, default 19
        Permutations of the labels, of 1000 samples at most, that the null is taken of.
    seed : int, default 0
        Of permutations, halves and planted dependences.

    Returns
    -------
    Estimate
        ``bits`` is `mixed_mutual_information`, ``bound_high`` is H(Y); None with the flag
        ``failed`` if every class has one sample only. Interval and flags are those of
        `ksg_information`, but

        - ``insensitive``: labels of the same counts that hang on a column, a product of two, or
          the distance from the middle are found in part only;
        - ``saturated``: above H(Y), which no information is;
        - ``small_n``: also where classes of one sample count for nothing.

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
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(1000) % 2
    >>> unit = 9.0 * labels + rng.normal(size=1000)
    >>> found = mixed_information(unit, labels)
    >>> round(found.bits, 2), found.flags
    (1.0, ())

    A label that hangs on the signs of two of ten columns is not found, which is told:

    >>> x = rng.normal(size=(1000, 10))
    >>> lost = mixed_information(x, x[:, 0] * x[:, 1] > 0)
    >>> lost.bits < 0.5, "insensitive" in lost.flags
    (True, True)
    """
    points, classes = labelled_samples(x, labels, _checked_against(k, len(x), _FEW_NEIGHBORS))
    h_y = label_entropy(classes)
    alone = float((np.unique(classes, return_counts=True)[1] == 1).sum()) / len(classes)
    if k >= len(points):
        return _too_few(len(points), k)
    if alone == 1.0:
        return _without_value("every class has one sample only", bound_high=h_y, bound_name="h_y")

    def own_flags(checks: PairChecks) -> dict[str, bool]:
        return {
            "biased": _falls_with_k(checks, 0.75),
            "saturated": checks.bits > h_y + noticeable(checks.bits),
            "estimators_disagree": _rises_by_ranks(checks),
            "insensitive": _insensitive(checks, h_y),
            "small_n": alone * math.log2(len(classes)) > noticeable(checks.bits),
        }

    found = _estimated(
        mixed_mutual_information,
        (points, classes, k),
        (5, 10, 20),
        null_permutations,
        RATE,
        generator(whole_number(seed, "seed", 0), "mixed_information"),
        own_flags,
        {"h_y": h_y},
    )
    return replace(found, bound_high=h_y, bound_name="h_y")


def _checked_against(k: int, n: int, usual: int) -> int | None:
    """Return the k to check arrays with: too few samples for the usual one are no misuse."""
    return None if isinstance(k, int) and n <= k <= usual else k


def _too_few(n: int, k: int) -> Estimate:
    return _without_value(f"expected more than {k} samples for k = {k}, got {n}")


def _without_value(reason: str, **bounds: Any) -> Estimate:
    told = {"bound_low": 0.0, **bounds}
    return Estimate(None, flags=("failed", "small_n"), diagnostics={"reason": reason}, **told)


def _estimated(
    measure: Measure,
    sample: tuple[FloatArray, Array, int],
    other_k: tuple[int, ...],
    null_permutations: int,
    rate: float,
    rng: np.random.Generator,
    own_flags: Callable[[PairChecks], Mapping[str, bool]],
    told: dict[str, Any],
) -> Estimate:
    """Return the estimate of x, y and k with the flags that all have and those of its own.

    Its bias falls like n^(-rate).
    """
    x, y, k = sample
    whole_number(null_permutations, "null_permutations", 1)
    told = {"n": len(x), "k": k, **told}
    if not _vary(x, y):
        reason = "one of the two does not vary over the samples"
        return Estimate(0.0, flags=("constant",), diagnostics={**told, "reason": reason})
    sides = [x] if y.ndim == 1 else [x, y]
    told["duplicates"] = max(duplicate_fraction(side) for side in sides)
    raised = {"atoms": told["duplicates"] >= ATOM_FRACTION}
    try:
        bits = measure(x, y, k)
    except EstimationError as error:
        flag = "atoms" if raised["atoms"] else "degenerate_manifold"
        return Estimate(None, flags=(flag,), diagnostics={**told, "reason": str(error)})
    raised["negative"] = is_negative(bits)
    checks = None
    if len(x) >= SMALLEST_SAMPLE:
        try:
            checks = pair_checks(measure, x, y, bits, k, other_k, null_permutations, rng)
        except EstimationError as error:  # a half can be degenerate where the whole is not
            told["reason"] = f"no checks: {error}"
    if checks is None:
        raised["small_n"] = True
        return Estimate(bits, flags=_named(raised), bound_low=0.0, diagnostics=told)
    interval, null = checks.interval, float(checks.null.mean())
    se = interval.standard_error
    half = 0.5 * (interval.high - interval.low)
    moves = abs(interval.drift) > se and abs(interval.bias(rate)) > _error(bits)
    own = dict(own_flags(checks))
    below = bits < -max(CHANCE * se, noticeable(bits))
    own["biased"] = own["biased"] or moves or below
    raised["null_dominates"] = null > noticeable(bits) and null_dominates(abs(bits), null)
    few = len(x) < _FEW_SAMPLES or half > _WIDE * _error(bits)
    own["small_n"] = few or own.get("small_n", False)
    told |= {
        "se": se,
        "drift": interval.drift,
        "by_k": {str(j): value for j, value in checks.by_k.items()},
        "ranks": checks.ranks,
        "linear": checks.linear,
        "planted": checks.planted,
        "found": checks.found,
        "null": null,
        "p_value": checks.p_value,
    }
    return Estimate(
        bits,
        low=min(interval.low, bits - ROUNDING),
        high=max(interval.high, bits + ROUNDING),
        method=interval.method,
        level=LEVEL,
        bound_low=0.0,
        flags=_named({**raised, **own}),
        diagnostics=told,
    )


def _named(raised: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def _vary(x: FloatArray, y: Array) -> bool:
    return bool(np.ptp(x, axis=0).any() and np.ptp(y, axis=0).any())


def _error(bits: float) -> float:
    """Return the error of a value that goes without a flag."""
    return max(_ERROR_BITS, _ERROR_SHARE * abs(bits))


def _rises_by_ranks(checks: PairChecks) -> bool:
    """Whether ranks show more; less does not matter, they can hide what neighbours see."""
    if checks.ranks is None:
        return False
    rise = checks.ranks - checks.bits
    return rise > _SUSPECT * _error(checks.bits) + checks.interval.standard_error


def _falls_with_k(checks: PairChecks, errors: float) -> bool:
    """Whether the value is gone where neighbours are further away, by more than so many errors.

    What depends so much on the distance would be larger at smaller ones.
    """
    values = {**checks.by_k, checks.k: checks.bits}
    fall = values[min(values)] - values[max(values)]
    least = max(SMALLEST_BITS, _ERROR_SHARE * checks.bits)
    return fall > max(least, errors * checks.interval.standard_error)


def _insensitive(checks: PairChecks, largest: float = math.inf) -> bool:
    """Whether the upper end of the interval may be just the share found of a dependence."""
    value = max(checks.interval.high, 0.0)
    behind = min(value / max(checks.found, _LEAST_FOUND), max(largest, value))
    return abs(behind - value) > _error(behind)


def _dimension_ratio(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> float | None:
    if not _vary(x, y):
        return None
    try:
        return dimension_ratio(on_one_scale(x), on_one_scale(y), rng)
    except (EstimationError, ZeroDivisionError):
        return None

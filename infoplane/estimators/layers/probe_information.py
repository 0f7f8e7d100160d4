"""What held-out probes read of the labels in a layer, with what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infoplane.data import Array, IntArray, checked_activations, class_ids, whole_number
from infoplane.errors import InputError
from infoplane.estimators.trust import (
    NORMAL_QUANTILE,
    SMALLEST_BITS,
    SMALLEST_SHARE,
    is_negative,
    null_dominates,
)
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.held_out import (
    NONLINEAR,
    SCREENED,
    Reading,
    Readings,
    readings,
    sample_groups,
    sequence_groups,
    standard_error,
    stratified_folds,
)
from infoplane.numerics.held_out_components import components_without
from infoplane.numerics.held_out_features import COMPONENTS, Features
from infoplane.numerics.held_out_regression import regressed

PERMUTATIONS = 1
"""Permutations of the labels behind the null."""

FEWEST_FOLDS = 3
"""Two folds are held out at a time, where C is chosen."""

SMALL = 300
"""Samples below which the value says little."""

SMALL_CLASSES = 30
"""Samples of a class, on average, below which the value says little."""

MANY_TWINS = 0.5
"""Share of samples with twins, which no probe may know of, from which on it sees too few others."""

MANY_RARE = 0.5
"""Share of samples in classes that cannot be in every fold, from which on there is no value."""

MISSING = 0.15
"""Share of I(T;Y) that a value without the flag ``undersampled`` may miss, going by its rise."""

_FAST, _SLOW = 1.25, 4.0  # times the last rise: what is to come for a regression, for neighbours


@dataclass(frozen=True)
class ProbeReading:
    """What one of the probes reads.

    Attributes
    ----------
    bits, standard_error : float
        Lower bound of I(T;Y), and its standard error.
    accuracy : float
        Share of the held-out samples that it names right.
    penalties : tuple of float
        The weight C of the likelihood in each fold; 0 is the prior alone.
    """

    bits: float
    standard_error: float
    accuracy: float
    penalties: tuple[float, ...]


@dataclass(frozen=True)
class ProbeInformation:
    """A lower bound of I(T;Y) by held-out probes, in bits.

    Attributes
    ----------
    bits : float or None
        H(Y) less the cross-entropy of the best probe on samples that it has not seen: in
        expectation at most I(T;Y). Never clipped. None, as all that is read, where there are too
        few samples.
    low, high : float or None
        95 % interval of ``bits``. I(T;Y) is above ``low``, it may be far above ``high``.
    standard_error : float or None
        Of ``bits``.
    accuracy : float or None
        Share of the held-out samples whose class is named right.
    null : float or None
        Mean of ``bits`` over permuted labels; None without permutations, or where layer or labels
        do not vary.
    r2 : float or None
        For real targets, 1 - squared error on held-out samples / variance, mean over targets; for
        labels None.
    neighbours : float or None
        Share of the samples in the class of most of their nearest neighbours in other folds.
    null_accuracy, null_neighbours : float or None
        The same, and the accuracy of the linear probe, with permuted labels.
    linear, nonlinear, screened : ProbeReading or None
        What each probe reads; None there as well. ``screened`` is also None where the others leave
        less than a tenth of H(Y).
    nonlinear_folds, screened_folds : int
        Folds in which that one was the best, by samples that were not held out.
    rise : float or None
        Bits that the probe reads more than from half as many samples.
    to_come : float or None
        What more samples would add, going by ``rise``: 1.25 times as much for a regression, 4 times
        where the nonlinear probe is the best, up to H(Y).
    h_y : float or None
        Entropy of the labels, which no value exceeds; None for real targets.
    n_samples, n_classes, n_folds : int
        Samples, classes and folds.
    flags : tuple of str
        ``constant``: all rows are equal, but for rounding; ``small_n``: below 300 samples, below 30
        in a class on average, one class, or classes of fewer samples than folds; ``atoms``: more
        than half of the samples have twins, which are kept in one fold; ``negative``;
        ``null_dominates``; ``undersampled``: ``to_come`` and a standard error are above 0.05 bits
        and 15 % of what they lead to; ``failed``: no value.
    reason : str or None
        Why there is none.
    """

    bits: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    accuracy: float | None
    null: float | None
    r2: float | None
    linear: ProbeReading | None
    nonlinear: ProbeReading | None
    screened: ProbeReading | None
    nonlinear_folds: int
    screened_folds: int
    rise: float | None
    to_come: float | None
    h_y: float | None
    n_samples: int
    n_classes: int
    n_folds: int
    flags: tuple[str, ...] = ()
    reason: str | None = None
    neighbours: float | None = None
    null_accuracy: float | None = None
    null_neighbours: float | None = None
    r2_error: float | None = None
    null_r2: float | None = None


def probe_information(
    x: Array, y: Array, *, folds: int = 5, seed: int = 0, permutations: int = PERMUTATIONS
) -> ProbeInformation:
    """Return a lower bound of I(X;Y) that probes read from samples they have not seen, in bits.

    Three probes are fitted on all folds but one and read on that one. The value is H(Y) less the
    cross-entropy of the probe that is the best one within the other folds. It holds at no
    resolution and for any X; how far below I(X;Y) it lies, nobody knows. It is flagged
    ``undersampled`` where it still rises with the number of samples.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite. Below two samples for each fold there is no value.
    y : array (n_samples,) or (n_samples, n_targets)
        Class ids. Classes of fewer samples than folds are one class; if most samples are in such
        classes, there is no value. Floats that are not whole numbers, and columns, are real
        targets: the value is then -1/2 log2(1 - R2) of a held-out ridge regression of the target
        made normal by its ranks, of several targets the one that is read best.
    folds : int, default 5
        At least 3. Equal rows are in one fold, unless 25 samples and more are equal.
    seed : int, default 0
        Draws folds and permutations.
    permutations : int, default 1
        Permutations of the labels behind ``null``; 0 leaves it out.

    Returns
    -------
    ProbeInformation

    Raises
    ------
    InputError
        If shapes or values do not fit, or an argument is unfit.

    Notes
    -----
    All are multinomial logistic regressions; C is chosen on an inner fold; the posterior is 0.99 p
    + 0.01 prior. The linear one sees at most 64 principal components, whitened, which are found
    without labels. The nonlinear one also sees the products of the first ten components and the
    classes of the 15 nearest training samples. The screened one sees the few units, and products
    of two units, in which the classes of the training samples differ beyond chance. None sees what
    takes more than two of many units together.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((1000, 2))
    >>> found = probe_information(x, (x > 0).all(axis=1))
    >>> found.low > 0.6 and found.null < 0.02
    True
    >>> xor = (x[:, 0] > 0) ^ (x[:, 1] > 0)
    >>> found = probe_information(x, xor)
    >>> found.linear.bits < 0.01, found.bits > 0.8
    (True, True)
    """
    values = checked_activations(x, name="x")
    whole_number(folds, "folds", FEWEST_FOLDS)
    whole_number(permutations, "permutations", 0)
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    if len(np.asarray(y)) != len(values):
        raise InputError(f"expected {len(values)} labels, one per sample, got {len(y)}")
    if is_real(y):
        targets = checked_activations(np.reshape(y, (len(values), -1)), name="y")
        return read_targets(values, targets, None, folds, permutations, rng)
    ids = class_ids(y)
    return read_labels(values, row_symbols(ids[:, None]), None, folds, permutations, rng)


def is_real(y: Array) -> bool:
    """Return whether these are real targets: columns, or floats that are not whole numbers."""
    array = np.asarray(y)
    if array.dtype.kind not in "fiub":
        return False
    return array.ndim == 2 or (array.dtype.kind == "f" and bool((array != np.floor(array)).any()))


def read_targets(
    values: Array,
    targets: Array,
    inputs: Symbols | None,
    folds: int,
    permutations: int,
    rng: np.random.Generator,
    sequences: IntArray | None = None,
) -> ProbeInformation:
    """Return `probe_information` of real targets (n_samples, n_targets)."""
    n = len(values)
    empty = _without_value(None, n, folds, None)
    if n < 2 * folds:
        reason = f"expected at least {2 * folds} samples for {folds} folds, got {n}"
        return replace(empty, reason=reason)
    y = np.asarray(targets, dtype=np.float64)
    y = y[:, np.ptp(y, axis=0) > 0]
    if not y.shape[1]:
        return replace(empty, reason="expected targets that vary, got constant ones")
    groups = _groups(values, inputs, folds, sequences)
    fold = stratified_folds(np.zeros(n, np.int64), groups, folds, rng)
    scores = components_without(values, fold, [(part,) for part in range(folds)], COMPONENTS, rng)
    if not any(one.shape[1] for one in scores):
        return replace(empty, flags=("failed", "constant"), reason="the layer does not vary")
    found, *nulls = (
        regressed(scores, some, fold)
        for some in (y, *(rng.permutation(y) for _ in range(permutations)))
    )
    best = max(found, key=lambda one: one.bits)
    null = null_r2 = None
    if nulls:
        null = float(np.mean([max(one.bits for one in some) for some in nulls]))
        null_r2 = float(np.mean([one.r2 for some in nulls for one in some]))
    ties = max(float(np.bincount(row_symbols(column[:, None]).ids).max()) for column in y.T) / n
    raised = {
        "small_n": n < SMALL,
        "atoms": ties > SMALLEST_SHARE,
        "negative": is_negative(best.bits),
        "null_dominates": null_dominates(best.bits, null),
    }
    reach = NORMAL_QUANTILE * best.bits_error
    return replace(
        empty,
        bits=best.bits,
        low=best.bits - reach,
        high=best.bits + reach,
        standard_error=best.bits_error,
        null=null,
        r2=float(np.mean([one.r2 for one in found])),
        r2_error=float(np.mean([one.r2_error for one in found])),
        null_r2=null_r2,
        flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
    )


def read_labels(
    values: Array,
    labels: Symbols,
    inputs: Symbols | None,
    folds: int,
    permutations: int,
    rng: np.random.Generator,
    sequences: IntArray | None = None,
) -> ProbeInformation:
    """Return `probe_information` of checked arrays; equal ``inputs`` are in one fold as well.

    Where samples are tokens, each of ``sequences`` is in one fold, and drawn whole.
    """
    n, n_classes = len(values), labels.n_states
    if n < 2 * folds:
        reason = f"expected at least {2 * folds} samples for {folds} folds, got {n}"
        return _without_value(labels, n, folds, reason)
    groups = _groups(values, inputs, folds, sequences)
    classes, rare = common_classes(labels.ids, groups, folds)
    if rare > MANY_RARE * n:
        reason = f"classes of fewer than {folds} samples: {rare} of {n} samples are in such classes"
        return _without_value(labels, n, folds, reason)
    fold = stratified_folds(classes, groups, folds, rng)
    features = Features.of(values, groups, fold, rng)
    raised = {
        "constant": features is None,
        "small_n": n < max(SMALL, SMALL_CLASSES * n_classes) or n_classes == 1 or rare > 0,
        "atoms": sequences is None and bool(np.mean(np.bincount(groups)[groups] > 1) > MANY_TWINS),
    }
    if features is None or not classes.any():
        certain = ProbeReading(0.0, 0.0, float(np.bincount(classes).max()) / n, ())
        return _information(certain, labels, n, folds, raised)
    found, *nulls = (
        readings(features, ids, curve=curve)
        for ids, curve in (
            (classes, True),
            *((_permuted(classes, fold, rng), False) for _ in range(permutations)),
        )
    )
    best, null = _told(found.best, groups), None
    if nulls:
        null = float(np.mean([one.best.bits for one in nulls]))
    left = max(labels.entropy - best.bits, 0.0)
    to_come = min(_to_come(found), left)
    above = min(to_come + best.standard_error, left)
    raised |= {
        "negative": is_negative(best.bits),
        "null_dominates": null_dominates(best.bits, null),
        "undersampled": above > max(SMALLEST_BITS, MISSING * (best.bits + above)),
    }
    return _information(
        best,
        labels,
        n,
        folds,
        raised,
        null=null,
        linear=_told(found.linear, groups),
        nonlinear=_told(found.nonlinear, groups),
        screened=None if found.screened is None else _told(found.screened, groups),
        nonlinear_folds=int((found.chosen == NONLINEAR).sum()),
        screened_folds=int((found.chosen == SCREENED).sum()),
        rise=found.rise,
        to_come=to_come,
        neighbours=found.neighbours,
        null_accuracy=float(np.mean([one.linear.accuracy for one in nulls])) if nulls else None,
        null_neighbours=float(np.mean([one.neighbours for one in nulls])) if nulls else None,
    )


def _groups(
    values: Array, inputs: Symbols | None, folds: int, sequences: IntArray | None
) -> IntArray:
    """Return what must not be split between folds: sequences of tokens, or samples alike."""
    if sequences is not None:
        return sequence_groups(sequences, folds)
    return sample_groups(row_symbols(values), inputs, folds)


def _permuted(classes: IntArray, fold: IntArray, rng: np.random.Generator) -> IntArray:
    """Return classes permuted within each fold, so that each fold keeps its counts."""
    found = classes.copy()
    for part in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == part)
        found[rows] = classes[rng.permutation(rows)]
    return found


def common_classes(classes: IntArray, groups: IntArray, folds: int) -> tuple[IntArray, int]:
    """Return classes of which each can be in every fold, and the number of samples in others.

    A probe that knows which classes there are, but has not met one, knows that it is held out.
    Classes of fewer groups than folds are made one, with the next larger one if they are still too
    few together. What is known of the classes so made is known of the labels.

    Parameters
    ----------
    classes : array (n_samples,)
        Class ids 0, 1, ...; each occurs.
    groups : array (n_samples,)
        Samples that are in one fold.
    folds : int
        Number of folds.
    """
    pairs = np.unique(np.column_stack([classes, groups]), axis=0)
    occurs = np.bincount(pairs[:, 0])
    is_rare = occurs < folds
    rare = int(is_rare[classes].sum())
    if not rare:
        return classes, 0
    order = np.argsort(occurs, kind="stable")
    enough = int(np.searchsorted(np.cumsum(occurs[order]), folds)) + 1
    merged = order[: max(enough, int(is_rare.sum()))]
    ids = np.arange(len(occurs))
    ids[merged] = merged[0]
    return np.unique(ids[classes], return_inverse=True)[1].reshape(-1), rare


def _to_come(found: Readings) -> float:
    """Return the bits that more samples would add.

    What a regression misses falls about like 1 / n: as much is to come as the second half of the
    samples has brought, a little more under a penalty. Neighbours come nearer more slowly.
    """
    rise = max(found.rise or 0.0, 0.0)
    slow = 2 * int((found.chosen == NONLINEAR).sum()) > len(found.chosen)
    return (_SLOW if slow else _FAST) * rise


def _information(
    best: ProbeReading,
    labels: Symbols,
    n: int,
    folds: int,
    raised: Mapping[str, bool],
    **others: Any,
) -> ProbeInformation:
    reach = NORMAL_QUANTILE * best.standard_error
    return replace(
        _without_value(labels, n, folds, None),
        bits=best.bits,
        low=best.bits - reach,
        high=best.bits + reach,
        standard_error=best.standard_error,
        accuracy=best.accuracy,
        flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
        **others,
    )


def _without_value(
    labels: Symbols | None, n: int, folds: int, reason: str | None
) -> ProbeInformation:
    return ProbeInformation(
        bits=None,
        low=None,
        high=None,
        standard_error=None,
        accuracy=None,
        null=None,
        r2=None,
        linear=None,
        nonlinear=None,
        screened=None,
        nonlinear_folds=0,
        screened_folds=0,
        rise=None,
        to_come=None,
        h_y=None if labels is None else labels.entropy,
        n_samples=n,
        n_classes=0 if labels is None else labels.n_states,
        n_folds=folds,
        flags=("failed", "small_n"),
        reason=reason,
    )


def _told(reading: Reading, groups: IntArray) -> ProbeReading:
    error = standard_error(reading.gains, groups)
    return ProbeReading(reading.bits, error, reading.accuracy, reading.penalties)

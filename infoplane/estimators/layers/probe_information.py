"""What held-out probes read of the labels in a layer, with what to know before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, IntArray, checked_activations, class_ids, whole_number
from infoplane.errors import EstimationError, InputError
from infoplane.estimators.trust import NORMAL_QUANTILE, is_negative, null_dominates
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.held_out import (
    Features,
    Reading,
    readings,
    sample_groups,
    standard_error,
    stratified_folds,
)

PERMUTATIONS = 2
"""Permutations of the labels behind the null."""

FEWEST_FOLDS = 3
"""Two folds are held out at a time, where C is chosen."""

SMALL = 50
"""Samples below which the value says little."""

SMALL_CLASSES = 30
"""Samples of a class, on average, below which the value says little."""

MANY_TWINS = 0.5
"""Share of samples with twins, which no probe may know of, from which on it sees too few others."""


@dataclass(frozen=True)
class ProbeReading:
    """What one of the two probes reads.

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
    bits : float
        H(Y) less the cross-entropy of the better probe on samples that it has not seen: in
        expectation at most I(T;Y). Never clipped.
    low, high : float
        95 % interval of ``bits``. I(T;Y) is above ``low``, it may be far above ``high``.
    standard_error : float
        Of ``bits``.
    accuracy : float
        Share of the held-out samples whose class is named right.
    null : float or None
        Mean of ``bits`` over permuted labels; None without permutations, or where layer or labels
        do not vary.
    r2 : None
        For real targets; labels have none.
    linear, nonlinear : ProbeReading or None
        What each probe reads; None there as well.
    nonlinear_folds : int
        Folds in which the nonlinear one was the better, by samples that were not held out.
    h_y : float
        Entropy of the labels, which no value exceeds.
    n_samples, n_classes, n_folds : int
        Samples, classes and folds.
    flags : tuple of str
        ``constant``: all rows are equal, but for rounding; ``small_n``: below 50 samples, below 30
        in a class on average, or one class; ``atoms``: more than half of the samples have twins,
        which are kept in one fold; ``negative``; ``null_dominates``.
    """

    bits: float
    low: float
    high: float
    standard_error: float
    accuracy: float
    null: float | None
    r2: float | None
    linear: ProbeReading | None
    nonlinear: ProbeReading | None
    nonlinear_folds: int
    h_y: float
    n_samples: int
    n_classes: int
    n_folds: int
    flags: tuple[str, ...] = ()


def probe_information(
    x: Array, y: Array, *, folds: int = 5, seed: int = 0, permutations: int = PERMUTATIONS
) -> ProbeInformation:
    """Return a lower bound of I(X;Y) that probes read from samples they have not seen, in bits.

    A linear and a nonlinear probe are fitted on all folds but one and read on that one. The value
    is H(Y) less the cross-entropy of the probe that is the better one within the other folds. It
    holds at no resolution and for any X; how far below I(X;Y) it lies, nobody knows.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite; at least two samples for each fold.
    y : array (n_samples,)
        Class ids.
    folds : int, default 5
        At least 3. Equal rows are in one fold, unless 25 samples and more are equal.
    seed : int, default 0
        Draws folds and permutations.
    permutations : int, default 2
        Permutations of the labels behind ``null``; 0 leaves it out.

    Returns
    -------
    ProbeInformation

    Raises
    ------
    InputError
        If shapes or values do not fit, or an argument is unfit.
    EstimationError
        If there are fewer than two samples for each fold.

    Notes
    -----
    Both probes are multinomial logistic regressions on at most 64 principal components, whitened,
    which are found without labels; C is chosen from 0.003 to 3 on an inner fold; the posterior is
    0.99 p + 0.01 prior. The nonlinear one also sees the products of the first ten components and
    the classes of the 15 nearest training samples. Neither sees what takes more than two of many
    units together.

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
    ids = class_ids(y)
    if len(ids) != len(values):
        raise InputError(f"expected {len(values)} labels, one per sample, got {len(ids)}")
    whole_number(folds, "folds", FEWEST_FOLDS)
    whole_number(permutations, "permutations", 0)
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    return read_labels(values, row_symbols(ids[:, None]), None, folds, permutations, rng)


def read_labels(
    values: Array,
    labels: Symbols,
    inputs: Symbols | None,
    folds: int,
    permutations: int,
    rng: np.random.Generator,
) -> ProbeInformation:
    """Return `probe_information` of checked arrays; equal ``inputs`` are in one fold as well."""
    n, n_classes = len(values), labels.n_states
    if n < 2 * folds:
        raise EstimationError(f"expected at least {2 * folds} samples for {folds} folds, got {n}")
    groups = sample_groups(row_symbols(values), inputs, folds)
    features = Features.of(values, groups, rng)
    raised = {
        "constant": features is None,
        "small_n": n < max(SMALL, SMALL_CLASSES * n_classes) or n_classes == 1,
        "atoms": bool(np.mean(np.bincount(groups)[groups] > 1) > MANY_TWINS),
    }
    best = ProbeReading(0.0, 0.0, float(labels.counts.max()) / n, ())
    linear = nonlinear = null = None
    nonlinear_folds = 0
    if features is not None and n_classes > 1:
        found, *nulls = (
            readings(features, classes, stratified_folds(classes, groups, folds, rng))
            for classes in (labels.ids, *(rng.permutation(labels.ids) for _ in range(permutations)))
        )
        best, linear, nonlinear = (
            _told(one, groups) for one in (found.best, found.linear, found.nonlinear)
        )
        nonlinear_folds = found.n_nonlinear
        null = float(np.mean([one.best.bits for one in nulls])) if nulls else None
        raised["negative"] = is_negative(best.bits)
        raised["null_dominates"] = null_dominates(best.bits, null)
    reach = NORMAL_QUANTILE * best.standard_error
    return ProbeInformation(
        bits=best.bits,
        low=best.bits - reach,
        high=best.bits + reach,
        standard_error=best.standard_error,
        accuracy=best.accuracy,
        null=null,
        r2=None,
        linear=linear,
        nonlinear=nonlinear,
        nonlinear_folds=nonlinear_folds,
        h_y=labels.entropy,
        n_samples=n,
        n_classes=n_classes,
        n_folds=folds,
        flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
    )


def _told(reading: Reading, groups: IntArray) -> ProbeReading:
    error = standard_error(reading.gains, groups)
    return ProbeReading(reading.bits, error, reading.accuracy, reading.penalties)

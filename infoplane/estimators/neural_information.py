"""The information of a pair of samples by critics, with a protocol that knows when they fail."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from infoplane.calls import one_of, truth, unfit
from infoplane.data import (
    Array,
    FloatArray,
    IntArray,
    checked_activations,
    class_ids,
    refuse_mask,
    whole_number,
)
from infoplane.errors import InputError
from infoplane.estimators.layers.probe_information import is_real
from infoplane.estimators.trust import NORMAL_QUANTILE, SMALLEST_BITS, is_negative
from infoplane.numerics.devices import check_device
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.neighbors.estimates import ksg_mutual_information
from infoplane.numerics.neighbors.planted import normal_scores
from infoplane.numerics.neighbors.terms import LOG2_E
from infoplane.numerics.neural import protocol as steps
from infoplane.numerics.neural.features import features
from infoplane.numerics.neural.gaussian import class_codes, normal_codes
from infoplane.numerics.neural.training import (
    CHANCE,
    MOST_READ,
    DivergedError,
    Fit,
    Job,
    OutOfTimeError,
    Sides,
    trained,
)
from infoplane.seeding import generator

Critic: TypeAlias = Literal["infonce", "gauss", "smile", "mine"]
Verdict: TypeAlias = Literal["reliable", "lower bound only", "not converged"]

_NO_BOUND = ("smile", "mine")
_ONLY_A_BOUND = {"saturated", "train_test_gap", "limits_disagree", "estimators_disagree"}
_FEWEST = 200  # samples
_SMALL = 1000  # samples below which nothing can be extrapolated from parts
_ONE_SIDED = 1.645  # standard errors below which 5 % of a normal distribution lie
_CEILING = 0.85  # share of log2 N above which InfoNCE cannot show more
_HELD_OUT_CEILING = 0.7  # the same of held-out rows, which are fewer
_GAP = 0.25  # share of the value that training may be above held-out rows
_APART = 0.1  # share of the value by which seeds, or the two intercepts, may differ
_MOST_CLASSES = 128  # states of a side that are taken for classes
_ROWS_OF_A_CLASS = 50  # on average, at least
_COUNTED_DIMS = 5  # up to which neighbour counts tell that a critic is not sharp enough
_UNDER = 0.05  # share of the value by which they may be above it
_ATOMS = 0.01  # share of repeated rows from which they cannot tell


@dataclass(frozen=True)
class NeuralInformation:
    """I(X;Y) by a critic, in bits, and whether to trust it.

    Attributes
    ----------
    bits : float or None
        The value on the samples that the critic was fitted to, at its best held-out epoch; of
        classes, the mean of that and the held-out value. None with the flag ``failed``, whose
        reason is in ``diagnostics["reason"]``.
    lower : float or None
        One-sided 95 % lower bound of I(X;Y): the held-out value less 1.64 standard errors; None
        of ``smile`` and ``mine``, and of repeated samples.
    low, high : float or None
        95 % interval: from the held-out value to that at training, wider by 1.96 standard errors
        and by the spread of the seeds; up to 5 columns it reaches to what neighbour counts read.
    verdict : str or None
        ``reliable``: ``bits`` may be read, within its interval; ``lower bound only``: nothing but
        ``lower``; ``not converged``: fits read different values. None without a value, and
        where there is no ``lower``: nothing can vouch for these.
    flags : tuple of str
        What to know before trusting it.
    diagnostics : mapping
        What the verdict is made from.
    n_samples : int
        Samples.
    critic : str
        As asked for.
    ceiling : float or None
        The most bits that the value can be: log2 of the rows it is read on, or H(Y) of classes.
    """

    bits: float | None
    lower: float | None
    low: float | None
    high: float | None
    verdict: Verdict | None
    flags: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    n_samples: int = 0
    critic: Critic = "infonce"
    ceiling: float | None = None


def neural_information(
    x: Array,
    y: Array,
    *,
    critic: Critic = "infonce",
    seed: int = 0,
    seconds: float | None = None,
    protocol: bool = True,
    device: str = "cpu",
) -> NeuralInformation:
    """Estimate I(X;Y) by a critic that is fitted to a part of the samples and read on both.

    Parameters
    ----------
    x, y : array (n_samples, n_dims) or (n_samples,)
        Columns, real targets, or class labels: one dimension of whole numbers, truth values or
        texts. Columns whose rows have few states, of 50 samples and more, are classes as well.
    critic : "infonce", "gauss", "smile" or "mine"
        Networks that start from the closed form of a normal law, and are read by InfoNCE, or by
        the cross-entropy of classes; the closed form alone; or what papers use and is no bound.
    seed : int, default 0
        Of the split, the weights and the batches.
    seconds : float, optional
        CPU time allowed. Parts of the sample are left out first.
    protocol : bool, default True
        Fit halves and quarters of the sample as well, and compare what both sides lead to with
        more samples. Without it no verdict is ``reliable``.
    device : str, default "cpu"
        torch device, "cpu", "cuda" or "cuda:K".

    Returns
    -------
    NeuralInformation
        Flags: ``saturated``, ``train_test_gap``, ``limits_disagree``, ``estimators_disagree``
        (neighbour counts of up to five columns read more), ``seed_spread``, ``not_converged``,
        ``small_n``, ``no_bound``, ``repeated_samples``, ``negative``, ``constant``, ``timeout``,
        ``failed``.

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, or a parameter is unfit.

    References
    ----------
    van den Oord, Li, Vinyals: "Representation learning with contrastive predictive coding", 2018;
    Abdelaleem, Martini, Nemenman: "Accurate estimation of mutual information in high dimensional
    data", arXiv 2506.00330, 2025.

    Examples
    --------
    Two normal numbers of correlation 0.8 share -1/2 log2(1 - 0.8^2) = 0.74 bits:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pair = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 1000)
    >>> found = neural_information(pair[:, 0], pair[:, 1], protocol=False)
    >>> found.lower < 0.74, found.low < 0.74 < found.high
    (True, True)
    """
    one_of(critic, "critic", "infonce", "gauss", "smile", "mine")
    truth(protocol, "protocol")
    check_device(device)
    deadline = _deadline(seconds)
    rng = generator(whole_number(seed, "seed", 0), "neural_information")
    sample = _sample_of(x, y, critic in _NO_BOUND)
    if sample.n < _FEWEST:
        reason = f"expected at least {_FEWEST} samples, got {sample.n}"
        return _without_value(sample.n, critic, reason, "small_n")
    if sample.is_constant:
        return NeuralInformation(
            0.0, 0.0, 0.0, 0.0, "reliable", ("constant",), {"bound": "none"}, sample.n, critic, 0.0
        )
    flags: list[str] = []
    try:
        whole = sample.fitted(
            steps.seed_splits(sample.n, steps.SEEDS, rng), rng, critic, device, deadline
        )
    except OutOfTimeError:
        return _without_value(sample.n, critic, f"no fit within {seconds:g} s", "timeout")
    except DivergedError:
        return _without_value(sample.n, critic, "the loss is no number: the critic diverged")
    parts: dict[int, list[Fit]] = {}
    if protocol:
        for number in steps.numbers_of_parts(sample.n):
            try:
                splits = steps.part_splits(sample.n, number, rng)
                parts[number] = sample.fitted(splits, rng, critic, device, deadline)
            except OutOfTimeError:
                flags.append("timeout")
                break
            except DivergedError:
                continue
    return _judged(sample, whole, parts, critic, flags)


@dataclass(frozen=True, eq=False)
class _Sample:
    """A checked pair of samples: columns that vary, or the classes of the right side."""

    n: int
    x: FloatArray
    y: FloatArray
    normal_x: FloatArray
    normal_y: FloatArray
    classes: IntArray | None
    n_classes: int

    @property
    def is_constant(self) -> bool:
        if self.classes is not None and self.n_classes < 2:
            return True
        return not self.x.shape[1] or (self.classes is None and not self.y.shape[1])

    def fitted(
        self,
        splits: Sequence[steps.Split],
        rng: np.random.Generator,
        critic: Critic,
        device: str,
        deadline: float,
    ) -> list[Fit]:
        sides = self._sides(critic)
        if critic == "mine":
            from infoplane.numerics.neural.mine import trained_joint

            return trained_joint(sides, splits, rng, device, deadline)
        jobs = [Job(self._codes(train), train, test) for train, test in splits]
        return trained(sides, jobs, rng, device, deadline, epochs=0 if critic == "gauss" else None)

    def _codes(self, rows: IntArray) -> Any:
        if self.classes is not None:
            return class_codes(self.normal_x, self.classes, self.n_classes, rows)
        return normal_codes(self.normal_x, self.normal_y, rows)

    def _sides(self, critic: Critic) -> Sides:
        if critic == "mine":  # as published, but for the normal scores
            return Sides(self.normal_x, self.normal_y)
        inputs = features(self.x, self.normal_x)
        if self.classes is not None:
            return Sides(inputs, np.eye(self.n_classes), self.classes)
        return Sides(inputs, features(self.y, self.normal_y), clipped=critic == "smile")


def _sample_of(x: Array, y: Array, of_columns: bool) -> _Sample:
    """Return the pair, a side of few states as classes on the right, or as indicator columns."""
    (first, left), (second, right) = _side(x, "x"), _side(y, "y")
    if len(first) != len(second):
        raise InputError(f"expected {len(first)} rows of y, got {len(second)}")
    if left and not right:
        first, second = second, first
    elif left:
        first = _indicators(row_symbols(first))
    n, first, none = len(first), _varying(first), np.empty((len(first), 0))
    if not (left or right):
        second = _varying(second)
        return _Sample(n, first, second, _scores(first), _scores(second), None, 0)
    states = row_symbols(second)
    if of_columns:
        shown = _indicators(states)
        return _Sample(n, first, shown, _scores(first), shown, None, 0)
    return _Sample(n, first, none, _scores(first), none, states.ids, states.n_states)


def _side(values: Array, name: str) -> tuple[Array, bool]:
    """Return a side as columns, and whether its rows are classes: labels, or of few states."""
    refuse_mask(values, name)
    array = np.asarray(values)
    if not array.shape or not len(array):
        raise InputError(f"expected {name} with samples, got {type(values).__name__} without any")
    if array.dtype == object and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)  # as of a table of pandas
    if array.ndim == 1 and not is_real(array):
        return class_ids(array)[:, None], True
    columns = checked_activations(array[:, None] if array.ndim == 1 else array, name=name)
    columns = columns.astype(np.float64)
    return columns, _few_states(columns)


def _indicators(states: Symbols) -> FloatArray:
    """Return a column for each state."""
    return np.asarray(states.ids[:, None] == np.arange(states.n_states), dtype=np.float64)


def _few_states(side: Array) -> bool:
    """Return whether the rows have so few states that these are classes."""
    most = min(_MOST_CLASSES, len(side) // _ROWS_OF_A_CLASS)
    return len(np.unique(side[:, 0])) <= most and row_symbols(side).n_states <= most


def _scores(columns: FloatArray) -> FloatArray:
    return normal_scores(columns) if columns.shape[1] else columns


def _varying(columns: FloatArray) -> FloatArray:
    return columns[:, np.ptp(columns, axis=0) > 0]


def _deadline(seconds: float | None) -> float:
    if seconds is None:
        return math.inf
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise unfit("seconds", "a number above 0, or None", seconds)
    return time.thread_time() + float(seconds)


def _without_value(n: int, critic: Critic, reason: str, *flags: str) -> NeuralInformation:
    return NeuralInformation(
        None, None, None, None, None, (*flags, "failed"), {"reason": reason}, n, critic
    )


def _judged(
    sample: _Sample,
    fits: Sequence[Fit],
    parts: Mapping[int, Sequence[Fit]],
    critic: Critic,
    flags: list[str],
) -> NeuralInformation:
    """Return the value of fits, its interval, and what speaks against it."""
    spread = float(np.ptp([fit.train.value for fit in fits])) * LOG2_E
    fits = _best(fits)
    train = float(np.mean([fit.train.value for fit in fits])) * LOG2_E
    test = float(np.mean([fit.test.value for fit in fits])) * LOG2_E
    # Rows at training are the same for most seeds; held-out ones differ.
    error_train = float(np.mean([fit.train.error for fit in fits])) * LOG2_E
    error_test = float(np.linalg.norm([fit.test.error for fit in fits])) / len(fits) * LOG2_E
    held_out = sample.n // steps.HELD_OUT
    # Held-out rows choose the epoch as well, and may flatter it by as much.
    error_test = math.hypot(error_test, CHANCE / held_out * LOG2_E)
    error_train = math.hypot(error_train, CHANCE / (sample.n - held_out) * LOG2_E)
    means = {
        k: np.mean([(f.train.value, f.test.value) for f in some], axis=0) * LOG2_E
        for k, some in parts.items()
    }
    above = steps.extrapolated({1: train} | {k: float(m[0]) for k, m in means.items()}, error_train)
    below = steps.extrapolated({1: test} | {k: float(m[1]) for k, m in means.items()}, error_test)
    ceiling = math.log2(min(MOST_READ, sample.n - held_out))
    if sample.classes is not None:
        shares = np.bincount(sample.classes) / sample.n
        ceiling = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    counts, no_bound = _counted(sample), critic in _NO_BOUND or _is_repeated(sample)
    unit = max(SMALLEST_BITS, _APART * abs(train))
    noise = NORMAL_QUANTILE * math.hypot(error_train, error_test)
    raised = {
        "saturated": sample.classes is None
        and (train > _CEILING * ceiling or test > _HELD_OUT_CEILING * math.log2(held_out)),
        "small_n": sample.n < _SMALL,
        "not_converged": any(fit.unfinished for fit in fits) and spread > unit,
        "seed_spread": spread > unit + noise,
        "train_test_gap": train - test > max(_GAP * train, SMALLEST_BITS) + noise,
        "limits_disagree": bool(parts) and not steps.agree(above, below, _APART, SMALLEST_BITS),
        "estimators_disagree": counts is not None
        and counts - train > max(_UNDER * counts, SMALLEST_BITS / 2) + error_train,
        "negative": is_negative(train + error_train),
        "no_bound": no_bound,
        "repeated_samples": no_bound and critic not in _NO_BOUND,
    }
    found = [name for name, is_raised in raised.items() if is_raised]
    sides = (test, error_test), (train, error_train)  # either may be the larger one by chance
    reach, one_sided = NORMAL_QUANTILE, min(value - _ONE_SIDED * error for value, error in sides)
    return NeuralInformation(
        train if sample.classes is None else (train + test) / 2,
        None if no_bound else one_sided,
        min(value - reach * error for value, error in sides) - spread / 2,
        max(value + reach * error for value, error in (*sides, (counts or train, error_train)))
        + spread / 2,
        None if no_bound else _verdict(critic, found, len(parts) > 0),
        (*flags, *found),
        {
            "test": test,
            "train": train,
            "se_test": error_test,
            "se_train": error_train,
            "spread": spread,
            "start": float(np.mean([fit.start for fit in fits])) * LOG2_E,
            "train_limit": above.value,
            "test_limit": below.value,
            "limit_errors": [above.error, below.error],
            "ksg": counts,
            "best": [fit.best for fit in fits],
            "epochs": [fit.epochs for fit in fits],
            "parts": {
                k: [(f.train.value * LOG2_E, f.test.value * LOG2_E) for f in some]
                for k, some in parts.items()
            },
        },
        sample.n,
        critic,
        ceiling,
    )


def _best(fits: Sequence[Fit]) -> list[Fit]:
    """Return the fit that gained most on its held-out rows, and those that read as much."""
    best = max(fits, key=lambda fit: fit.test.value - fit.start)
    return [fit for fit in fits if best.train.value - fit.train.value <= 2 * best.train.error]


def _verdict(critic: Critic, flags: Sequence[str], has_parts: bool) -> Verdict:
    """Return what may be read; a normal law, or a fit without parts, vouches for no more."""
    if "not_converged" in flags or "seed_spread" in flags:
        return "not converged"
    if critic == "gauss" or not has_parts or not _ONLY_A_BOUND.isdisjoint(flags):
        return "lower bound only"
    return "reliable"


def _is_repeated(sample: _Sample) -> bool:
    """Return whether the same samples come again, so that held-out rows are not new.

    These repeat both sides together, and numbers of many values: rows of few states may repeat.
    """
    sides = [side for side in (sample.x, sample.y) if side.shape[1]]
    values = max(len(np.unique(column)) for side in sides for column in side.T)
    most = (1 - _ATOMS) * sample.n
    if values >= most:
        return False
    if sample.classes is not None:
        both = np.column_stack([sample.x, sample.classes])
    else:
        both = np.hstack([sample.x, sample.y])
    pairs = row_symbols(both).n_states
    return pairs < min(most, 2 * values) and any(
        row_symbols(side).n_states == pairs for side in sides
    )


def _counted(sample: _Sample) -> float | None:
    """Return what neighbour counts of normal scores tell, where these are trustworthy."""
    if sample.classes is not None or sample.x.shape[1] + sample.y.shape[1] > _COUNTED_DIMS:
        return None
    for side in (sample.x, sample.y):
        if len(np.unique(side, axis=0)) < (1 - _ATOMS) * sample.n:
            return None
    return ksg_mutual_information(sample.normal_x, sample.normal_y, 5)

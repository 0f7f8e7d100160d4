"""The information of a pair of samples by critics, with a protocol that knows when they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from infoplane.calls import one_of
from infoplane.data import Array, FloatArray, checked_activations, class_ids, whole_number
from infoplane.errors import InputError
from infoplane.estimators.layers.probe_information import is_real
from infoplane.estimators.trust import NORMAL_QUANTILE
from infoplane.numerics.neighbors.planted import normal_scores
from infoplane.numerics.neighbors.terms import LOG2_E
from infoplane.numerics.neural.bounds import infonce, jackknife_error
from infoplane.numerics.neural.gaussian import fit_normal
from infoplane.seeding import generator

Critic: TypeAlias = Literal["infonce", "gauss", "smile", "mine"]
Verdict: TypeAlias = Literal["reliable", "lower bound only", "not converged"]

_FEWEST = 200
_ONE_SIDED = 1.645


@dataclass(frozen=True)
class NeuralInformation:
    """I(X;Y) by a critic, in bits, and whether to trust it.

    Attributes
    ----------
    bits : float or None
        The value on the samples that the critic was fitted to, at its best held-out epoch; None
        with the flag ``failed``, whose reason is in ``diagnostics["reason"]``.
    lower : float or None
        One-sided 95 % lower bound of I(X;Y): the held-out value less 1.64 standard errors.
    low, high : float or None
        95 % interval: from the held-out value to that at training, wider by 1.96 standard errors.
    verdict : str or None
        ``reliable``, ``lower bound only`` or ``not converged``; None without a value.
    flags : tuple of str
        What to know before trusting it.
    diagnostics : mapping
        What the verdict is made from.
    n_samples : int
        Samples.
    critic : str
        As asked for.
    ceiling : float or None
        The most bits that the bound can show with so many samples.
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
    x : array (n_samples, n_dims) or (n_samples,)
        Finite.
    y : array (n_samples, n_dims) or (n_samples,)
        Columns, real targets, or class labels: whole numbers, truth values or texts.
    critic : "infonce", "gauss", "smile" or "mine"
        The last two are no bounds.
    seed : int, default 0
        Of the split, the weights and the batches.
    seconds : float, optional
        CPU time allowed.
    protocol : bool, default True
        Fit parts of the sample as well, for the extrapolation to more samples.
    device : str, default "cpu"
        torch device.

    Returns
    -------
    NeuralInformation

    Raises
    ------
    InputError
        If the arrays are not finite, differ in length, or a parameter is unfit.
    """
    one_of(critic, "critic", "infonce", "gauss", "smile", "mine")
    rng = generator(whole_number(seed, "seed", 0), "neural_information")
    first = checked_activations(_columns(x), name="x").astype(np.float64)
    if len(np.asarray(y)) != len(first):
        raise InputError(f"expected {len(first)} rows of y, as of x, got {len(np.asarray(y))}")
    if np.asarray(y).ndim > 1 or is_real(y):
        second = checked_activations(_columns(y), name="y").astype(np.float64)
    else:
        ids = class_ids(y)
        second = (ids[:, None] == np.unique(ids)).astype(np.float64)
    n = len(first)
    if n < _FEWEST:
        reason = f"expected at least {_FEWEST} samples, got {n}"
        return NeuralInformation(
            None, None, None, None, None, ("failed", "small_n"), {"reason": reason}, n, critic
        )
    left, right = (_varying(normal_scores(side)) for side in (first, second))
    if not left.shape[1] or not right.shape[1]:
        return NeuralInformation(0.0, 0.0, 0.0, 0.0, "reliable", ("constant",), {}, n, critic)
    order = rng.permutation(n)
    test, train = order[: n // 5], order[n // 5 :]
    if critic == "gauss":
        normal = fit_normal(left[train], right[train])
        seen, unseen = (normal.scores(left[rows], right[rows]) for rows in (train, test))
    else:
        from infoplane.numerics.neural.training import trained

        fit = trained(left, right, train, test, rng)
        seen, unseen = fit.train, fit.test
    high, low = infonce(seen) * LOG2_E, infonce(unseen) * LOG2_E
    error_high, error_low = (jackknife_error(scores) * LOG2_E for scores in (seen, unseen))
    return NeuralInformation(
        high,
        low - _ONE_SIDED * error_low,
        low - NORMAL_QUANTILE * error_low,
        high + NORMAL_QUANTILE * error_high,
        "reliable",
        (),
        {"test": low, "train": high, "se_test": error_low, "se_train": error_high},
        n,
        critic,
        float(np.log2(len(train))),
    )


def _columns(values: Array) -> Array:
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array


def _varying(columns: FloatArray) -> FloatArray:
    return columns[:, np.ptp(columns, axis=0) > 0]

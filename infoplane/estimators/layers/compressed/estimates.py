"""Estimates of a cell made of values, intervals, flags and diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.trust import LEVEL, is_negative, noticeable
from infoplane.numerics.codes import Code
from infoplane.numerics.intervals import Interval, fold_interval
from infoplane.numerics.neighbors.terms import duplicate_fraction

_DEGENERATE = 0.65  # intrinsic dimension, as a share of the code's, below which a code is thin
_THIN = 0.75  # share from which none is suspected


@dataclass(frozen=True)
class CellOptions:
    """What the estimates of a cell depend on besides the data.

    Parameters
    ----------
    k : int, optional
        Neighbours.
    folds : int, default 10
        Disjoint folds of the interval.
    draws : int, default 1
        Draws of the noise that the estimates are averaged over, where it is added.
    cross_check : bool, default False
        Whether to give second values: I(X;T) by neighbour counts, I(X;T|Y) class by class.
    upstream_noise : bool, default False
        Whether earlier layers are noisy too; the estimate is then an upper bound.
    population : {"sampled", "recorded"}
        Whether the recorded inputs are a sample, or all there are. In the latter case I(X;T) of
        added noise is at most log2(n_samples) and needs no extrapolation.
    device : str, optional
        torch device that searches for neighbours.
    """

    k: int | None = None
    folds: int = 10
    draws: int = 1
    cross_check: bool = False
    upstream_noise: bool = False
    population: str = "sampled"
    device: str | None = None


def interval_of(whole: float, parts: FloatArray) -> Interval | None:
    """Return the interval of an estimate, or None without folds."""
    return fold_interval(whole, parts, LEVEL) if len(parts) else None


def interval_diagnostics(interval: Interval | None) -> dict[str, Any]:
    """Return standard error and drift, as far as they are known."""
    if interval is None:
        return {"se": None, "drift": None}
    drift = interval.drift if math.isfinite(interval.fewer) else None
    return {"se": interval.standard_error, "drift": drift}


def code_diagnostics(code: Code) -> dict[str, Any]:
    """Return size of the sample and share of the layer that is in its code."""
    n = len(code.scores)
    return {
        "dim": code.dim,
        "n": n,
        "n_units": code.n_units,
        "log2_n": math.log2(n),
        "explained_variance": 1.0 - code.lost_variance,
        "duplicates": duplicate_fraction(code.clean),
    }


def finite(value: float) -> float | None:
    """Return the value, or None for infinity, which results cannot hold."""
    return value if math.isfinite(value) else None


def dimension_flags(ratio: float | None) -> list[str]:
    """Return the flag of a code by its intrinsic dimension, as a share of its own."""
    if ratio is None or ratio >= _THIN:
        return []
    return ["degenerate_manifold" if ratio < _DEGENERATE else "thin_manifold"]


def size_flags(n: int, dim: int) -> list[str]:
    """Return the flag of a sample below 200 or 20 per dimension."""
    return ["small_n"] if n < max(200, 20 * dim) else []


def estimate_of(
    bits: float,
    interval: Interval | None,
    flags: list[str],
    diagnostics: dict[str, Any],
    rate: float,
) -> Estimate:
    """Return an estimate with its interval, of a bias that falls like n^(-rate).

    A negative one is flagged, never clipped; so is one that is far from its limit.
    """
    if is_negative(bits):
        flags = [*flags, "negative"]
    if interval is not None and interval.bias_dominates(rate, 2.0 * noticeable(bits)):
        flags = [*flags, "biased"]
    estimate = Estimate(bits, flags=tuple(dict.fromkeys(flags)), diagnostics=diagnostics)
    if interval is None:
        return estimate
    low, high = interval.low, interval.high
    return replace(estimate, low=low, high=high, method=interval.method, level=LEVEL)


def refused(labels: IntArray | None, reason: str, flag: str) -> dict[str, Estimate]:
    """Return estimates without a value, with the reason."""
    names = ("ixt",) if labels is None else ("ixt", "ity", "ixt_given_y")
    return {name: Estimate(None, flags=(flag,), diagnostics={"reason": reason}) for name in names}


def constant(
    labels: IntArray | None, reason: str = "the layer does not vary over the samples"
) -> dict[str, Estimate]:
    """Return zeros: a layer that does not vary, next to its noise at least, tells nothing."""
    names = ("ixt",) if labels is None else ("ixt", "ity", "ixt_given_y")
    return {
        name: Estimate(0.0, flags=("constant",), diagnostics={"reason": reason}) for name in names
    }

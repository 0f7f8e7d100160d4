"""The estimates of one cell from its code: values, intervals, bounds, flags and diagnostics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infoplane.errors import EstimationError
from infoplane.numerics.intervals import (
    Interval,
    disjoint_folds,
    fold_interval,
    normal_interval,
)
from infoplane.numerics.loss_bounds import activation_loss_bound, capacity, label_loss
from infoplane.numerics.neighbor_terms import LOG2_E, duplicate_fraction
from infoplane.numerics.neighbors import (
    kozachenko_leonenko_entropy,
    ksg_mutual_information,
    mixed_mutual_information,
)
from infoplane.numerics.noise_channel import (
    SMALLEST_SAMPLE,
    default_neighbors,
    may_contain_noise,
    noise_entropy,
    noise_information,
    recorded_information,
    reference_bias,
)
from infoplane.records import BoundName, Estimate, FloatArray, IntArray, noticeable

LEVEL = 0.95
_CLASS_NEIGHBORS = 3
_DEGENERATE = 0.65  # intrinsic dimension, as a share of the code's, below which a code is thin
_EXTRAPOLATED = 0.8  # share of log2(n) above which an estimate extrapolates the density
_CONSTANT = 1e-12  # variance, as a share of the noise, that tells nothing
_LARGE_LOSS = 0.1  # loss bound, as a share of the estimate
_CROSS_CHECK_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Code:
    """A layer at one checkpoint, projected.

    Parameters
    ----------
    scores : array (n_samples, n_components)
        Projections on orthonormal directions, of which the first ``dim`` are the code.
    dim : int
        Dimension of the code.
    n_units : int
        Width of the layer.
    residual_variance : float
        Variance of the layer outside of the directions.
    """

    scores: FloatArray
    dim: int
    n_units: int
    residual_variance: float

    @property
    def clean(self) -> FloatArray:
        """The code as recorded (n_samples, dim)."""
        return self.scores[:, : self.dim]

    @property
    def variance(self) -> float:
        """Variance of all units together."""
        return float(self.scores.var(axis=0).sum()) + self.residual_variance


@dataclass(frozen=True)
class CellOptions:
    """What the estimates of a cell depend on besides the data.

    Parameters
    ----------
    k : int, optional
        Neighbours.
    folds : int, default 10
        Disjoint folds of the interval.
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
    cross_check: bool = False
    upstream_noise: bool = False
    population: str = "sampled"
    device: str | None = None


def noise_estimates(
    code: Code,
    noise: float,
    labels: IntArray | None,
    options: CellOptions,
    rng: np.random.Generator,
    *,
    noisy: bool | None = None,
) -> dict[str, Estimate]:
    """Return the estimates of a cell with Gaussian noise, by quantity.

    Parameters
    ----------
    code : Code
        The projected layer.
    noise : float
        Standard deviation of the noise of each unit, above 0.
    labels : array (n_samples,), optional
        Class ids; without them there is I(X;T) alone.
    options : CellOptions
        Neighbours, folds and what else to compute.
    rng : numpy.random.Generator
        Draws the noise and the folds.
    noisy : bool, optional
        Whether the code contains the noise already. Unless given, it does if its variance and
        density allow it.
    """
    n, q = code.clean.shape
    if n < SMALLEST_SAMPLE:
        return refused(labels, f"expected at least {SMALLEST_SAMPLE} samples, got {n}", "small_n")
    if code.variance <= _CONSTANT * noise**2:
        return _constant(labels)
    contained = may_contain_noise(code.clean, noise) if noisy is None else noisy
    draw = rng.standard_normal(code.clean.shape)
    noisy_code = code.clean if contained else code.clean + noise * draw
    folds = folds_of(n, options.folds, rng)
    try:
        ixt = noise_information(
            noisy_code,
            noise,
            options.k,
            folds,
            None if contained else code.clean,
            rng,
            options.device,
        )
    except EstimationError as error:
        return refused(labels, str(error), "degenerate_manifold")
    bits, interval = ixt.bits, interval_of(ixt.bits, ixt.parts)
    whole = options.population == "recorded" and not contained
    if whole:
        bits, error_of_mean = recorded_information(code.clean, noisy_code, noise, rng)
        interval = normal_interval(bits, error_of_mean, LEVEL)
    ceiling = capacity(code.clean, noise, contained=contained)
    loss = activation_loss_bound(
        code.scores,
        q,
        noise,
        n_units=code.n_units,
        residual_variance=code.residual_variance,
        contained=contained,
    )
    flags = size_flags(n, q)
    diagnostics = _code_diagnostics(code) | {
        "mode": "noise",
        "noise": noise,
        "noise_relative": noise / math.sqrt(code.variance / code.n_units),
        "noise_source": "recorded" if contained else "added",
        "loss_bound_t": loss,
        "loss_bound_x": 0.0,
        "capacity": ceiling,
        "k": ixt.k,
        "weights_norm": ixt.weights_norm,
        "bias_correction": ixt.correction,
        "neighbor": ixt.neighbor,
        "mixture_low": ixt.bounds[0] if ixt.bounds else None,
        "mixture_high": finite(ixt.bounds[1]) if ixt.bounds else None,
        "intrinsic_dimension": ixt.dimension,
        "id_ratio": ixt.dimension / q,
        **_interval_diagnostics(interval),
    }
    if ixt.dimension < _DEGENERATE * q:
        flags.append("degenerate_manifold")
    if options.upstream_noise:
        flags.append("upper_bound")
    if loss > _LARGE_LOSS * max(bits, 0.0):
        flags.append("large_compression_loss")
    if not whole and bits > _EXTRAPOLATED * math.log2(n):
        flags.append("finite_population")
    spread = interval.standard_error if interval else 0.0
    if bits > ceiling + 3.0 * spread:
        flags.append("out_of_range")
    if contained and q * math.log2(1 + math.sqrt(code.n_units / n)) > 0.5 * bits:
        # The largest of many variances of pure noise exceeds its mean by this factor, squared.
        flags.append("null_dominates")
    if options.cross_check and not contained:
        some = rng.permutation(n)[:_CROSS_CHECK_SAMPLES]
        diagnostics["ksg"] = _or_none(
            lambda: ksg_mutual_information(code.clean[some], noisy_code[some])
        )
    estimate = estimate_of(bits, interval, flags, diagnostics, q)
    limit: float
    name: BoundName
    if whole:
        limit, name = math.log2(n), "log2_n"
        estimate = replace(estimate, method="analytic")
    else:
        limit, name = ceiling, "capacity"
    found = {"ixt": replace(estimate, bound_low=0.0, bound_high=limit, bound_name=name)}
    if labels is None:
        return found
    ity, ity_parts = label_estimate(noisy_code, labels, folds, rng, size_flags(n, q))
    ity = with_label_loss(ity, code, labels, 0.0 if contained else noise)
    found["ity"] = ity
    found["ixt_given_y"] = _conditional(
        found["ixt"],
        ity,
        None if whole else ixt.parts - ity_parts,
        _or_none(lambda: _direct_conditional(noisy_code, noise, labels))
        if options.cross_check
        else None,
    )
    return found


def label_estimate(
    code: FloatArray,
    labels: IntArray,
    folds: list[IntArray],
    rng: np.random.Generator,
    flags: list[str],
) -> tuple[Estimate, FloatArray]:
    """Return I(T_c;Y) and its values on the folds."""
    bits = mixed_mutual_information(code, labels, _CLASS_NEIGHBORS)
    parts = np.array(
        [mixed_mutual_information(code[f], labels[f], _CLASS_NEIGHBORS) for f in folds]
    )
    interval = interval_of(bits, parts)
    h_y = label_entropy(labels)
    some = rng.permutation(len(code))[:_CROSS_CHECK_SAMPLES]
    null = mixed_mutual_information(code[some], rng.permutation(labels[some]), _CLASS_NEIGHBORS)
    if h_y == 0.0:
        flags.append("constant")
    elif bits > h_y:
        flags.append("saturated")
    elif abs(null) > 0.5 * abs(bits):
        flags.append("null_dominates")
    diagnostics = {
        "estimator": "mixed",
        "k": _CLASS_NEIGHBORS,
        "h_y": h_y,
        "null": null,
        "smallest_class": int(np.unique(labels, return_counts=True)[1].min()),
        **_interval_diagnostics(interval),
    }
    estimate = estimate_of(bits, interval, flags, diagnostics, code.shape[1])
    return replace(estimate, bound_low=0.0, bound_high=h_y, bound_name="h_y"), parts


def with_label_loss(ity: Estimate, code: Code, labels: IntArray, noise: float) -> Estimate:
    """Return I(T_c;Y), flagged if what the code leaves out tells noticeably about the labels."""
    if ity.bits is None:
        return ity
    loss = label_loss(code.scores, code.dim, labels, noise)
    flags = ity.flags
    if loss > max(_LARGE_LOSS * ity.bits, noticeable(ity.bits)):
        flags = (*flags, "large_compression_loss")
    return replace(ity, flags=flags, diagnostics={**ity.diagnostics, "label_loss": loss})


def label_entropy(labels: IntArray) -> float:
    """Return the entropy of the labels in bits, by plug-in."""
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _conditional(
    ixt: Estimate,
    ity: Estimate,
    parts: FloatArray | None,
    direct: float | None,
) -> Estimate:
    """Return I(X;T|Y) = I(X;T) - I(T;Y), for Y a function of X, and the direct value beside it.

    Without values on common folds, the errors of both terms are taken as independent.
    """
    assert ixt.bits is not None
    assert ity.bits is not None
    bits = ixt.bits - ity.bits
    if parts is None:
        errors = [e.diagnostics["se"] or 0.0 for e in (ixt, ity)]
        interval: Interval | None = normal_interval(bits, math.hypot(*errors), LEVEL)
    else:
        interval = interval_of(bits, parts)
    flags = list(ixt.flags)
    error = interval.standard_error if interval else 0.0
    if direct is not None and abs(direct - bits) > 0.2 * LOG2_E + 3.0 * error:
        flags.append("chain_rule_gap")
    diagnostics = {"direct": direct, **_interval_diagnostics(interval)}
    return replace(
        estimate_of(bits, interval, flags, diagnostics, ixt.diagnostics["dim"]), bound_low=0.0
    )


def _or_none(check: Callable[[], float | None]) -> float | None:
    """Return a second value beside an estimate, or None where it is undefined."""
    try:
        return check()
    except EstimationError:
        return None


def _direct_conditional(code: FloatArray, noise: float, labels: IntArray) -> float | None:
    """Return sum_y p(y) h(T_c|y) - h(noise) in bits, or None if a class is too small."""
    n, q = code.shape
    total = 0.0
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        k = default_neighbors(int(size), q)
        if size < max(5 * k, 20 * q, SMALLEST_SAMPLE):
            return None
        bias = reference_bias(int(size), k, q) * LOG2_E
        members = code[labels == label]
        total += size / n * (kozachenko_leonenko_entropy(members, k, whiten=True) - bias)
    return float(total) - noise_entropy(q, noise) * LOG2_E


def folds_of(n: int, folds: int, rng: np.random.Generator) -> list[IntArray]:
    """Return folds of at least 50 samples, or none if not even 3 fit."""
    wanted = min(folds, n // SMALLEST_SAMPLE)
    return disjoint_folds(n, wanted, rng) if wanted >= 3 else []


def interval_of(whole: float, parts: FloatArray) -> Interval | None:
    """Return the interval of an estimate, or None without folds."""
    return fold_interval(whole, parts, LEVEL) if len(parts) else None


def _interval_diagnostics(interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {"se": None, "drift": None}
    return {"se": interval.standard_error, "drift": interval.drift}


def _code_diagnostics(code: Code) -> dict[str, Any]:
    n = len(code.scores)
    kept = float(code.clean.var(axis=0).sum())
    return {
        "dim": code.dim,
        "n": n,
        "n_units": code.n_units,
        "log2_n": math.log2(n),
        "explained_variance": kept / code.variance,
        "duplicates": duplicate_fraction(code.clean),
    }


def finite(value: float) -> float | None:
    """Return the value, or None for infinity, which results cannot hold."""
    return value if math.isfinite(value) else None


def size_flags(n: int, dim: int) -> list[str]:
    """Return the flag of a sample below 200 or 20 per dimension."""
    return ["small_n"] if n < max(200, 20 * dim) else []


def estimate_of(
    bits: float,
    interval: Interval | None,
    flags: list[str],
    diagnostics: dict[str, Any],
    n_dims: int,
) -> Estimate:
    """Return an estimate in ``n_dims`` dimensions with its interval.

    A negative one is flagged, never clipped; so is one that is far from its limit.
    """
    if bits < 0.0:
        flags = [*flags, "negative"]
    if interval is not None and interval.bias_dominates(n_dims, 2.0 * noticeable(bits)):
        flags = [*flags, "biased"]
    estimate = Estimate(bits, flags=tuple(dict.fromkeys(flags)), diagnostics=diagnostics)
    if interval is None:
        return estimate
    return replace(estimate, low=interval.low, high=interval.high, method="subsample", level=LEVEL)


def refused(labels: IntArray | None, reason: str, flag: str) -> dict[str, Estimate]:
    """Return estimates without a value, with the reason."""
    names = ("ixt",) if labels is None else ("ixt", "ity", "ixt_given_y")
    return {name: Estimate(None, flags=(flag,), diagnostics={"reason": reason}) for name in names}


def _constant(labels: IntArray | None) -> dict[str, Estimate]:
    """Return zeros: a layer that does not vary tells nothing, whatever the noise."""
    names = ("ixt",) if labels is None else ("ixt", "ity", "ixt_given_y")
    reason = "the layer does not vary over the samples"
    return {
        name: Estimate(0.0, flags=("constant",), diagnostics={"reason": reason}) for name in names
    }

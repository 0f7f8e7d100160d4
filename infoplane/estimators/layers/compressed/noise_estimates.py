"""The estimates of one cell from its code: values, intervals, bounds, flags and diagnostics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from infoplane.data import IntArray
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.compressed.estimates import (
    CellOptions,
    code_diagnostics,
    constant,
    dimension_flags,
    estimate_of,
    finite,
    interval_diagnostics,
    interval_of,
    refused,
    size_flags,
)
from infoplane.estimators.layers.compressed.label_estimates import label_estimate, with_label_loss
from infoplane.estimators.trust import (
    LARGE_LOSS,
    LEVEL,
    SMALLEST_BITS,
    noticeable,
    null_dominates,
)
from infoplane.numerics.codes import Code, loss_bound
from infoplane.numerics.intervals import (
    CHANCE,
    Interval,
    difference_interval,
    neighbor_rate,
    normal_interval,
)
from infoplane.numerics.loss_bounds import capacity, selection_bias
from infoplane.numerics.neighbors.estimates import ksg_mutual_information
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE, may_contain_noise
from infoplane.numerics.neighbors.noisy_code import (
    NoisyCode,
    conditional_information,
    mean_recorded_information,
    noisy_code,
)
from infoplane.numerics.neighbors.terms import LOG2_E
from infoplane.numerics.tensors import checked_squares

_EXTRAPOLATED = 0.8  # share of log2(n) above which an estimate extrapolates the density
_UNSEEN = 1e-6  # standard deviation, as a share of the noise, that tells nothing
_ROUNDING = 1e-15  # and that a layer which does not vary may have
_CHAIN_RULE_GAP = 0.2 * LOG2_E  # by which I(X;T|Y) class by class may differ from the difference
_CROSS_CHECK_SAMPLES = 1000


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
        Whether the code contains the noise already. Unless given, it does if variance and density
        of all ``scores`` allow it.

    Raises
    ------
    InputError
        If the square of the noise is no number, e.g. after a sweep scaled it.
    """
    checked_squares(np.array([noise]), "noise")
    nothing = _nothing_to_estimate(code, noise, labels, options.k)
    if nothing is not None:
        return nothing
    contained = may_contain_noise(code.scores, noise) if noisy is None else noisy
    try:
        cell = noisy_code(
            code,
            noise,
            rng,
            contained=contained,
            draws=options.draws,
            folds=options.folds,
            k=options.k,
            device=options.device,
        )
    except EstimationError as error:
        return refused(labels, str(error), "degenerate_manifold")
    ixt, interval = _of_inputs(code, noise, cell, contained, options, rng)
    found = {"ixt": ixt}
    if labels is None:
        return found
    n, q = code.clean.shape
    ity, parts, terms = label_estimate(cell.draws, labels, cell.folds, rng, size_flags(n, q))
    found["ity"] = with_label_loss(ity, code, labels, 0.0 if contained else noise)
    if ixt.bits is None or ity.bits is None:
        found["ixt_given_y"] = replace(ity, diagnostics={"reason": "I(T;Y) is undefined"})
        return found
    label_interval = interval_of(ity.bits, parts)
    between, rest = None, ixt.bits - ity.bits
    if label_interval is not None:
        # Of recorded inputs I(X;T) has no error of sampling that could go with that of the labels.
        sampled = ixt.bound_name != "log2_n"
        covariance = float(np.cov(cell.information.terms, terms)[0, 1]) / n if sampled else 0.0
        between = difference_interval(interval, label_interval, rest, covariance, LEVEL)
    direct = None
    if options.cross_check:
        direct = _or_none(lambda: conditional_information(cell.draws[0], noise, labels))
    found["ixt_given_y"] = _conditional(rest, between, list(ixt.flags), direct, q)
    return found


def _nothing_to_estimate(
    code: Code, noise: float, labels: IntArray | None, k: int | None
) -> dict[str, Estimate] | None:
    """Return the estimates of a cell without a value, or of value 0, or None if there is one."""
    n = len(code.scores)
    if n < SMALLEST_SAMPLE:
        return refused(labels, f"expected at least {SMALLEST_SAMPLE} samples, got {n}", "small_n")
    share = math.sqrt(code.variance) / noise
    if share <= _ROUNDING:
        return constant(labels)
    if share <= _UNSEEN:
        return constant(labels, f"the layer varies by {share:.0e} of the noise, {noise:.3g}")
    if k is not None and k >= n:
        return refused(labels, f"expected more samples than k = {k}, got {n}", "small_n")
    return None


def _of_inputs(
    code: Code,
    noise: float,
    cell: NoisyCode,
    contained: bool,
    options: CellOptions,
    rng: np.random.Generator,
) -> tuple[Estimate, Interval]:
    """Return I(X;T) and its interval, also where the estimate shows none."""
    n, q = code.clean.shape
    whole = options.population == "recorded" and not contained
    if whole:
        bits, error = mean_recorded_information(code, cell.draws, noise, rng)
        interval = normal_interval(bits, error, LEVEL)
    else:
        found = cell.information
        bits, fewer = found.bits, math.inf if found.drift is None else len(cell.folds)
        interval = normal_interval(
            bits, found.error, LEVEL, method="jackknife", drift=found.drift or 0.0, fewer=fewer
        )
    diagnostics = _diagnostics(code, noise, cell, contained, interval)
    if options.cross_check and not contained:
        some = rng.permutation(n)[:_CROSS_CHECK_SAMPLES]
        diagnostics["ksg"] = _or_none(
            lambda: ksg_mutual_information(code.clean[some], cell.draws[0][some])
        )
    if contained:
        diagnostics["selection_bias"] = selection_bias(code.clean, noise, code.n_units)
    flags = size_flags(n, q) + dimension_flags(diagnostics["id_ratio"])
    flags += _flags(bits, interval, q, diagnostics, whole=whole, upper=options.upstream_noise)
    estimate = estimate_of(bits, interval, flags, diagnostics, neighbor_rate(q))
    name: BoundName = "log2_n" if whole else "capacity"
    limit = math.log2(n) if whole else diagnostics["capacity"]
    return replace(estimate, bound_low=0.0, bound_high=limit, bound_name=name), interval


def _diagnostics(
    code: Code, noise: float, cell: NoisyCode, contained: bool, interval: Interval
) -> dict[str, Any]:
    ixt, q = cell.information, code.clean.shape[1]
    return code_diagnostics(code) | {
        "mode": "neighbors",
        "noise": noise,
        "noise_relative": noise / math.sqrt(code.variance / code.n_units),
        "noise_source": "recorded" if contained else "added",
        "draws": len(cell.draws),
        "loss_bound_t": loss_bound(code, q, noise, contained),
        "loss_bound_x": 0.0,
        "capacity": capacity(code.clean, noise, contained=contained),
        "k": ixt.k,
        "weights_norm": ixt.weights_norm,
        "bias_correction": ixt.correction,
        "neighbor": ixt.neighbor,
        "mixture_low": ixt.bounds[0] if ixt.bounds else None,
        "mixture_high": finite(ixt.bounds[1]) if ixt.bounds else None,
        "intrinsic_dimension": ixt.dimension,
        "id_ratio": ixt.dimension / q,
        **interval_diagnostics(interval),
    }


def _flags(
    bits: float, interval: Interval, q: int, told: dict[str, Any], *, whole: bool, upper: bool
) -> list[str]:
    """Return what to know before trusting I(X;T), from the diagnostics of the cell."""
    n, spread = told["n"], interval.standard_error
    contained = told["noise_source"] == "recorded"
    ceiling, loss = told["capacity"], told["loss_bound_t"]
    raised = {
        # What added noise leaves of the layer as a whole is not noticeable.
        "degenerate": not contained and ceiling + loss < SMALLEST_BITS,
        "upper_bound": upper,
        "large_compression_loss": loss > LARGE_LOSS * max(bits, 0.0),
        "finite_population": not whole and bits > _EXTRAPOLATED * math.log2(n),
        "out_of_range": bits > ceiling + CHANCE * spread,
    }
    if contained:
        # The largest of many variances of pure noise exceeds its mean by this factor, squared.
        largest = 1 + math.sqrt(told["n_units"] / n)
        chosen = told["selection_bias"]
        raised["null_dominates"] = null_dominates(bits, q * math.log2(largest))
        raised["biased"] = chosen > max(2.0 * spread, noticeable(bits, spread))
    return [flag for flag, is_raised in raised.items() if is_raised]


def _conditional(
    bits: float, interval: Interval | None, flags: list[str], direct: float | None, n_dims: int
) -> Estimate:
    """Return I(X;T|Y) = I(X;T) - I(T;Y), for Y a function of X, and the direct value beside it."""
    error = interval.standard_error if interval else 0.0
    if direct is not None and abs(direct - bits) > _CHAIN_RULE_GAP + CHANCE * error:
        flags.append("chain_rule_gap")
    diagnostics = {"direct": direct, **interval_diagnostics(interval)}
    return replace(
        estimate_of(bits, interval, flags, diagnostics, neighbor_rate(n_dims)), bound_low=0.0
    )


def _or_none(check: Callable[[], float | None]) -> float | None:
    """Return a second value beside an estimate, or None where it is undefined."""
    try:
        return check()
    except EstimationError:
        return None

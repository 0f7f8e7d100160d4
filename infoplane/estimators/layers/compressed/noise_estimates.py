"""The estimates of one cell from its code: values, intervals, bounds, flags and diagnostics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.compressed.codes import (
    LARGE_LOSS,
    LEVEL,
    CellOptions,
    Code,
    code_diagnostics,
    constant,
    dimension_flags,
    estimate_of,
    finite,
    folds_of,
    interval_diagnostics,
    interval_of,
    refused,
    size_flags,
)
from infoplane.estimators.layers.compressed.label_estimates import label_estimate, with_label_loss
from infoplane.estimators.trust import noticeable
from infoplane.numerics.intervals import (
    Interval,
    difference_interval,
    neighbor_rate,
    normal_interval,
)
from infoplane.numerics.loss_bounds import activation_loss_bound, capacity, selection_bias
from infoplane.numerics.neighbors.estimates import (
    kozachenko_leonenko_entropy,
    ksg_mutual_information,
)
from infoplane.numerics.neighbors.noise_channel import (
    SMALLEST_SAMPLE,
    averaged,
    default_neighbors,
    may_contain_noise,
    noise_entropy,
    noise_information,
    recorded_information,
    reference_bias,
)
from infoplane.numerics.neighbors.terms import LOG2_E
from infoplane.numerics.tensors import checked_squares

_EXTRAPOLATED = 0.8  # share of log2(n) above which an estimate extrapolates the density
_UNSEEN = 1e-6  # standard deviation, as a share of the noise, that tells nothing
_NO_ROOM = 0.05  # bits: what added noise leaves of the layer as a whole is not noticeable
_ROUNDING = 1e-15  # and that a layer which does not vary may have
_CROSS_CHECK_SAMPLES = 1000
_DRIFT_SAMPLES = 2000  # in the folds that tell how far the estimate moves with n


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
    n, q = code.clean.shape
    checked_squares(np.array([noise]), "noise")
    if n < SMALLEST_SAMPLE:
        return refused(labels, f"expected at least {SMALLEST_SAMPLE} samples, got {n}", "small_n")
    share = math.sqrt(code.variance) / noise
    if share <= _ROUNDING:
        return constant(labels)
    if share <= _UNSEEN:
        return constant(labels, f"the layer varies by {share:.0e} of the noise, {noise:.3g}")
    if options.k is not None and options.k >= n:
        return refused(labels, f"expected more samples than k = {options.k}, got {n}", "small_n")
    contained = may_contain_noise(code.scores, noise) if noisy is None else noisy
    clean, added, more = (None, 0.0, 0) if contained else (code.clean, noise, options.draws - 1)
    draws = [_with_noise(code.clean, added, rng)]
    folds = folds_of(n, options.folds, rng)
    draws += [_with_noise(code.clean, added, rng) for _ in range(more)]
    few = folds[: max(2, _DRIFT_SAMPLES * len(folds) // n)]
    try:
        ixt = averaged(
            [noise_information(t, noise, options.k, few, clean, rng, options.device) for t in draws]
        )
    except EstimationError as error:
        return refused(labels, str(error), "degenerate_manifold")
    whole = options.population == "recorded" and not contained
    if whole:
        each = [recorded_information(code.clean, t, noise, rng) for t in draws]
        bits, error_of_mean = np.mean(each, axis=0).tolist()
        interval = normal_interval(bits, error_of_mean, LEVEL)
    else:
        bits = ixt.bits
        interval = normal_interval(
            bits,
            ixt.error,
            LEVEL,
            method="jackknife",
            drift=ixt.drift or 0.0,
            fewer=math.inf if ixt.drift is None else len(folds),
        )
    ceiling = capacity(code.clean, noise, contained=contained)
    loss = activation_loss_bound(
        code.scores,
        q,
        noise,
        n_units=code.n_units,
        residual_variance=code.residual_variance,
        contained=contained,
    )
    flags = size_flags(n, q) + dimension_flags(ixt.dimension / q)
    diagnostics = code_diagnostics(code) | {
        "mode": "noise",
        "noise": noise,
        "noise_relative": noise / math.sqrt(code.variance / code.n_units),
        "noise_source": "recorded" if contained else "added",
        "draws": len(draws),
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
        **interval_diagnostics(interval),
    }
    if not contained and ceiling + loss < _NO_ROOM:
        flags.append("degenerate")
    if options.upstream_noise:
        flags.append("upper_bound")
    if loss > LARGE_LOSS * max(bits, 0.0):
        flags.append("large_compression_loss")
    if not whole and bits > _EXTRAPOLATED * math.log2(n):
        flags.append("finite_population")
    if bits > ceiling + 3.0 * interval.standard_error:
        flags.append("out_of_range")
    if options.cross_check and not contained:
        some = rng.permutation(n)[:_CROSS_CHECK_SAMPLES]
        diagnostics["ksg"] = _or_none(
            lambda: ksg_mutual_information(code.clean[some], draws[0][some])
        )
    if contained:
        if q * math.log2(1 + math.sqrt(code.n_units / n)) > 0.5 * bits:
            # The largest of many variances of pure noise exceeds its mean by this factor, squared.
            flags.append("null_dominates")
        chosen = selection_bias(code.clean, noise, code.n_units)
        diagnostics["selection_bias"] = chosen
        spread = interval.standard_error
        if chosen > max(2.0 * spread, noticeable(bits, spread)):
            flags.append("biased")
    estimate = estimate_of(bits, interval, flags, diagnostics, neighbor_rate(q))
    limit: float
    name: BoundName
    if whole:
        limit, name = math.log2(n), "log2_n"
    else:
        limit, name = ceiling, "capacity"
    found = {"ixt": replace(estimate, bound_low=0.0, bound_high=limit, bound_name=name)}
    if labels is None:
        return found
    ity, ity_parts, ity_terms = label_estimate(draws, labels, folds, rng, size_flags(n, q))
    found["ity"] = with_label_loss(ity, code, labels, added)
    if ity.bits is None:
        found["ixt_given_y"] = replace(ity, diagnostics={"reason": "I(T;Y) is undefined"})
        return found
    rest = bits - ity.bits
    label_interval = interval_of(ity.bits, ity_parts)
    if label_interval is None:
        between = None
    else:
        covariance = 0.0 if whole else float(np.cov(ixt.terms, ity_terms)[0, 1]) / n
        between = difference_interval(interval, label_interval, rest, covariance, LEVEL)
    direct = None
    if options.cross_check:
        direct = _or_none(lambda: _direct_conditional(draws[0], noise, labels))
    found["ixt_given_y"] = _conditional(rest, between, list(found["ixt"].flags), direct, q)
    return found


def _with_noise(clean: FloatArray, noise: float, rng: np.random.Generator) -> FloatArray:
    return clean + noise * rng.standard_normal(clean.shape)


def _conditional(
    bits: float, interval: Interval | None, flags: list[str], direct: float | None, n_dims: int
) -> Estimate:
    """Return I(X;T|Y) = I(X;T) - I(T;Y), for Y a function of X, and the direct value beside it."""
    error = interval.standard_error if interval else 0.0
    if direct is not None and abs(direct - bits) > 0.2 * LOG2_E + 3.0 * error:
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

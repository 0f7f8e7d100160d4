"""Estimates of a cell from two codes when there is no noise model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimates import (
    CellOptions,
    constant,
    dimension_flags,
    estimate_of,
    interval_diagnostics,
    interval_of,
    refused,
    size_flags,
)
from infoplane.estimators.layers.compressed.label_estimates import label_estimate, with_label_loss
from infoplane.estimators.trust import noticeable
from infoplane.numerics.codes import Code, folds_of
from infoplane.numerics.intervals import Interval, difference_rate
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.neighbors.terms import ATOM_FRACTION, duplicate_fraction
from infoplane.numerics.neighbors.view_information import (
    ViewInformation,
    dimension_ratio,
    on_one_scale,
    view_information,
)
from infoplane.numerics.networks.view_codes import LOST_VARIANCE, InputCode, full_rank, spanned

_CEILING = 0.85  # share of the largest value that neighbour counts can give
_COUNTED_DIMS = 6  # up to which neighbour counts are near enough to tell that a value is wrong
_DISAGREEMENT = 0.1  # share of the value by which the two may differ


def view_estimate(
    a: FloatArray,
    b: FloatArray,
    mode: str,
    k: int | None,
    folds: int,
    rng: np.random.Generator,
) -> tuple[Estimate, list[IntArray], FloatArray]:
    """Return I(A;B) of two codes, the folds, and the values on them.

    The shuffle difference is used in the mode "joint" as long as both codes are continuous and
    fill their dimensions; otherwise, and in the mode "ksg", neighbours are counted.

    Parameters
    ----------
    a, b : array (n_samples, n_dims)
        Codes, rows in the same order; columns that do not vary or repeat others are left out.
    mode : {"joint", "ksg"}
        The estimate asked for.
    k : int, optional
        Neighbours; see `view_information`.
    folds : int
        Disjoint folds of the interval.
    rng : numpy.random.Generator
        Draws folds and permutations.
    """
    n = len(a)
    if n < SMALLEST_SAMPLE:
        reason = f"expected at least {SMALLEST_SAMPLE} samples, got {n}"
        return _without(None, "small_n", reason)
    if k is not None and k >= n:
        return _without(None, "small_n", f"expected more samples than k = {k}, got {n}")
    a, b = full_rank(a), full_rank(b)
    if 0 in (a.shape[1], b.shape[1]):
        return _without(0.0, "constant", "one of the codes does not vary over the samples")
    a, b = on_one_scale(a), on_one_scale(b)
    d = a.shape[1] + b.shape[1]
    seed = int(rng.integers(2**31))
    atoms = max(duplicate_fraction(a), duplicate_fraction(b))
    ratio = dimension_ratio(a, b, rng)
    flags = dimension_flags(ratio)
    if atoms >= ATOM_FRACTION:
        flags.append("atoms")
    counted = mode == "ksg" or bool({"atoms", "degenerate_manifold"} & set(flags))
    try:
        found = view_information(a, b, counted=counted, k=k, folds=folds, rng=rng, seed=seed)
    except EstimationError as error:
        # Each code has full rank: a dependence is between the two, and the information infinite.
        reason = f"the codes of layer and inputs depend on each other linearly: {error}"
        return _without(None, "degenerate_manifold", reason)
    interval = interval_of(found.bits, found.parts)
    diagnostics: dict[str, Any] = {
        "mode": mode,
        "estimator": "ksg" if counted else "shuffle_difference",
        "k": found.k,
        "sharpness": found.sharpness,
        "n": n,
        "dim": a.shape[1],
        "dim_x": b.shape[1],
        "log2_n": math.log2(n),
        "duplicates": atoms,
        "id_ratio": ratio,
        "ksg": found.counts,
        "ksg_ceiling": found.ceiling,
        **interval_diagnostics(interval),
    }
    flags += _flags(found, interval, n, d)
    estimate = estimate_of(found.bits, interval, flags, diagnostics, difference_rate(d))
    return replace(estimate, bound_low=0.0), found.folds, found.parts


def _flags(found: ViewInformation, interval: Interval | None, n: int, d: int) -> list[str]:
    """Return what to know before trusting I(A;B) of ``n`` samples in ``d`` joint dimensions."""
    bits, ksg = found.bits, found.counts
    counted = found.sharpness is None
    saturated = ksg > min(_CEILING * found.ceiling, found.ceiling - noticeable(ksg))
    flags = ["saturated"] if counted and saturated else []
    flags += size_flags(n, d)
    apart = 2.0 * (interval.standard_error if interval else 0.0) + max(
        noticeable(bits), _DISAGREEMENT * abs(bits)
    )
    if d <= _COUNTED_DIMS and not saturated and abs(bits - ksg) > apart:
        flags.append("estimators_disagree")
    return flags


def view_estimates(
    layer: Code,
    inputs: InputCode,
    mode: str,
    labels: IntArray | None,
    options: CellOptions,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return the estimates of a cell from the codes of layer and inputs, by quantity."""
    code = spanned(layer.clean)
    if len(code) >= SMALLEST_SAMPLE and full_rank(code).shape[1] == 0:
        return constant(labels)
    ixt, parts_of, parts = view_estimate(code, inputs.values, mode, options.k, options.folds, rng)
    lost = max(inputs.lost, layer.lost_variance)
    if ixt.bits is not None and lost > LOST_VARIANCE:
        ixt = replace(ixt, flags=(*ixt.flags, "large_compression_loss"))
    ixt = replace(ixt, diagnostics={**ixt.diagnostics, "lost_variance": lost})
    found = {"ixt": ixt}
    if labels is None:
        return found
    if len(code) < SMALLEST_SAMPLE:
        return refused(labels, str(ixt.diagnostics["reason"]), "small_n")
    label_folds = parts_of or folds_of(len(code), options.folds, rng)
    ity, ity_parts, _ = label_estimate([code], labels, label_folds, rng, size_flags(*code.shape))
    ity = with_label_loss(ity, layer, labels, 0.0)
    found["ity"] = ity
    if ixt.bits is None or ity.bits is None:
        missing, name = (ixt, "I(X;T)") if ixt.bits is None else (ity, "I(T;Y)")
        reason = f"{name} is undefined for this sample"
        found["ixt_given_y"] = Estimate(None, flags=missing.flags, diagnostics={"reason": reason})
        return found
    same = len(parts) == len(ity_parts)
    interval = interval_of(ixt.bits - ity.bits, parts - ity_parts) if same else None
    dims = ixt.diagnostics.get("dim", 0) + ixt.diagnostics.get("dim_x", 0)
    found["ixt_given_y"] = replace(
        estimate_of(ixt.bits - ity.bits, interval, list(ixt.flags), {}, difference_rate(dims)),
        bound_low=0.0,
    )
    return found


def _without(
    bits: float | None, flag: str, reason: str
) -> tuple[Estimate, list[IntArray], FloatArray]:
    return Estimate(bits, flags=(flag,), diagnostics={"reason": reason}), [], np.empty(0)

"""Mutual information of two continuous codes when there is no noise model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.codes import (
    CellOptions,
    Code,
    constant,
    dimension_flags,
    estimate_of,
    folds_of,
    interval_diagnostics,
    interval_of,
    refused,
    size_flags,
)
from infoplane.estimators.layers.compressed.label_estimates import label_estimate, with_label_loss
from infoplane.estimators.layers.compressed.view_codes import (
    LOST_VARIANCE,
    InputCode,
    full_rank,
    spanned,
)
from infoplane.estimators.trust import noticeable
from infoplane.numerics.intervals import difference_rate
from infoplane.numerics.neighbors.estimates import (
    intrinsic_dimension,
    ksg_mutual_information,
    shuffle_differences,
)
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.neighbors.terms import (
    ATOM_FRACTION,
    LOG2_E,
    duplicate_fraction,
    flat_and_sharp_weights,
    whitened,
)

_KSG_NEIGHBORS = 3
_PERMUTATIONS = 4
# Views that share little need no sharp weights, whose variance is large; views that share much have
# a thin joint density, where flat ones miss bits. In between, the share of the sharp ones rises.
_FLAT_BITS = 1.5
_RISE_BITS = 7.0
_LARGEST_SHARPNESS = 1.15
_CEILING = 0.85  # share of the largest value that neighbour counts can give
_DIMENSION_SAMPLES = 2000
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
    fill their dimensions; otherwise, and in the mode "ksg", neighbours are counted. Its neighbours
    have weights between flat and sharp ones, see `flat_and_sharp_weights`, the sharper the more the
    codes share by the flat ones.

    Parameters
    ----------
    a, b : array (n_samples, n_dims)
        Codes, rows in the same order; columns that do not vary or repeat others are left out.
    mode : {"joint", "ksg"}
        The estimate asked for.
    k : int, optional
        Neighbours; unless given 40, from 8 joint dimensions on 80, of small samples fewer, and 3
        for counts.
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
    a, b = _on_one_scale(a), _on_one_scale(b)
    d = a.shape[1] + b.shape[1]
    seed = int(rng.integers(2**31))
    atoms = max(duplicate_fraction(a), duplicate_fraction(b))
    ratio = _dimension_ratio(a, b, rng)
    flags = dimension_flags(ratio)
    if atoms >= ATOM_FRACTION:
        flags.append("atoms")
    counted = mode == "ksg" or bool({"atoms", "degenerate_manifold"} & set(flags))
    neighbors = k if k is not None else _KSG_NEIGHBORS if counted else _shuffle_neighbors(n, d)

    def measured(rows: IntArray | slice) -> FloatArray:
        """Return one count, or the differences by flat and sharp weights, in bits."""
        # The whole and its folds have the same neighbours and weights: others spread otherwise.
        k_i = min(neighbors, len(a[rows]) - 1)
        if counted:
            return np.array([ksg_mutual_information(a[rows], b[rows], k_i)])
        weights = np.array(flat_and_sharp_weights(k_i, d))
        return shuffle_differences(a[rows], b[rows], weights, _PERMUTATIONS, seed) * LOG2_E

    try:
        values = measured(slice(None))
    except EstimationError as error:
        # Each code has full rank: a dependence is between the two, and the information infinite.
        reason = f"the codes of layer and inputs depend on each other linearly: {error}"
        return _without(None, "degenerate_manifold", reason)
    sharpness = min(max(0.0, float(values[0] - _FLAT_BITS) / _RISE_BITS), _LARGEST_SHARPNESS)
    mixed = np.array([1.0]) if counted else np.array([1.0 - sharpness, sharpness])
    bits = float(values @ mixed)
    parts_of = folds_of(n, folds, rng)
    try:
        parts = np.array([measured(fold) @ mixed for fold in parts_of])
    except EstimationError:  # a fold can hold more duplicates than the whole
        parts = np.empty(0)
    interval = interval_of(bits, parts)
    ksg = bits if counted else ksg_mutual_information(a, b, _KSG_NEIGHBORS)
    k_counted = neighbors if counted else _KSG_NEIGHBORS
    ceiling = float(scipy.special.digamma(n) - scipy.special.digamma(k_counted)) * LOG2_E
    saturated = ksg > min(_CEILING * ceiling, ceiling - noticeable(ksg))
    if counted and saturated:
        flags.append("saturated")
    flags += size_flags(n, d)
    apart = 2.0 * (interval.standard_error if interval else 0.0) + max(
        noticeable(bits), _DISAGREEMENT * abs(bits)
    )
    if d <= _COUNTED_DIMS and not saturated and abs(bits - ksg) > apart:
        flags.append("estimators_disagree")
    diagnostics: dict[str, Any] = {
        "mode": mode,
        "estimator": "ksg" if counted else "shuffle_difference",
        "k": neighbors,
        "sharpness": None if counted else sharpness,
        "n": n,
        "dim": a.shape[1],
        "dim_x": b.shape[1],
        "log2_n": math.log2(n),
        "duplicates": atoms,
        "id_ratio": ratio,
        "ksg": ksg,
        "ksg_ceiling": ceiling,
        **interval_diagnostics(interval),
    }
    estimate = estimate_of(bits, interval, flags, diagnostics, difference_rate(d))
    return replace(estimate, bound_low=0.0), parts_of, parts


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


def _shuffle_neighbors(n: int, d: int) -> int:
    wanted = min(80, n // 25) if d >= 8 else min(40, n // 50)
    return min(max(5, wanted), n - 1)


def _on_one_scale(code: FloatArray) -> FloatArray:
    """Return the code with columns of one spread: counts overlook columns smaller than others."""
    centred = code - np.median(code, axis=0)
    sizes = np.abs(centred)
    middle = np.median(sizes, axis=0)  # heavy tails move it little
    return np.asarray(centred / np.where(middle > 0.0, middle, sizes.mean(axis=0)))


def _dimension_ratio(a: FloatArray, b: FloatArray, rng: np.random.Generator) -> float | None:
    """Return intrinsic dimension over dimension of the shuffled pair, or None if undefined."""
    rows = rng.permutation(len(a))[:_DIMENSION_SAMPLES]
    points, _ = whitened(np.hstack([a[rows], b[rng.permutation(rows)]]))
    try:
        return float(intrinsic_dimension(points, min(20, len(points) - 1)) / points.shape[1])
    except EstimationError:
        return None


def _without(
    bits: float | None, flag: str, reason: str
) -> tuple[Estimate, list[IntArray], FloatArray]:
    return Estimate(bits, flags=(flag,), diagnostics={"reason": reason}), [], np.empty(0)

"""Mutual information of two continuous codes when there is no noise model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from infoplane.errors import EstimationError
from infoplane.numerics.autoencoder import fit_autoencoder
from infoplane.numerics.codes import (
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
from infoplane.numerics.label_estimates import label_estimate, with_label_loss
from infoplane.numerics.neighbor_terms import (
    ATOM_FRACTION,
    LOG2_E,
    duplicate_fraction,
    whitened,
)
from infoplane.numerics.neighbors import (
    intrinsic_dimension,
    ksg_mutual_information,
    shuffle_difference,
)
from infoplane.numerics.noise_channel import SMALLEST_SAMPLE
from infoplane.records import (
    Array,
    Estimate,
    FloatArray,
    IntArray,
    checked_activations,
    noticeable,
)

_NARROW = 4  # dimension up to which a view is its own code, and largest of a layer's
_TRIED_DIMS = 10
_LOST_VARIANCE = 0.05  # share of the variance of layer or inputs that a code may leave out
_KSG_NEIGHBORS = 3
_PERMUTATIONS = 4
_LARGEST_NORM = 2.0  # of the weights; beyond, the variance grows more than the bias falls
_CEILING = 0.85  # share of the largest value that neighbour counts can give
_DIMENSION_SAMPLES = 2000
_COUNTED_DIMS = 6  # up to which neighbour counts are near enough to tell that a value is wrong
_DISAGREEMENT = 0.1  # share of the value by which the two may differ


@dataclass(frozen=True, eq=False)
class InputCode:
    """The code of the inputs, hash of its encoder, share of the variance that it does not give."""

    values: FloatArray  # (n_samples, n_dims)
    encoder: str | None = None
    lost: float = 0.0


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
        Neighbours; 20, or 3 for counts, unless given.
    folds : int
        Disjoint folds of the interval.
    rng : numpy.random.Generator
        Draws folds and permutations.
    """
    n = len(a)
    if n < SMALLEST_SAMPLE:
        reason = f"expected at least {SMALLEST_SAMPLE} samples, got {n}"
        return _without(None, "small_n", reason)
    a, b = full_rank(a), full_rank(b)
    if 0 in (a.shape[1], b.shape[1]):
        return _without(0.0, "constant", "one of the codes does not vary over the samples")
    d = a.shape[1] + b.shape[1]
    seed = int(rng.integers(2**31))
    atoms = max(duplicate_fraction(a), duplicate_fraction(b))
    ratio = _dimension_ratio(a, b, rng)
    flags = dimension_flags(ratio)
    if atoms >= ATOM_FRACTION:
        flags.append("atoms")
    counted = mode == "ksg" or bool({"atoms", "degenerate_manifold"} & set(flags))
    neighbors = k if k is not None else _KSG_NEIGHBORS if counted else _shuffle_neighbors(n, d)

    def measured(rows: IntArray | slice) -> float:
        # The whole and its folds have the same neighbours and weights: others spread otherwise.
        k_i = min(neighbors, len(a[rows]) - 1)
        if counted:
            return ksg_mutual_information(a[rows], b[rows], k_i)
        return shuffle_difference(
            a[rows], b[rows], k_i, _PERMUTATIONS, seed, largest_norm=_LARGEST_NORM
        )

    try:
        bits = measured(slice(None))
    except EstimationError as error:
        return _without(None, "degenerate_manifold", str(error))
    parts_of = folds_of(n, folds, rng)
    try:
        parts = np.array([measured(fold) for fold in parts_of])
    except EstimationError:  # a fold can hold more duplicates than the whole
        parts = np.empty(0)
    interval = interval_of(bits, parts)
    ceiling = float(scipy.special.digamma(n) - scipy.special.digamma(neighbors)) * LOG2_E
    if counted and bits > _CEILING * ceiling:
        flags.append("saturated")
    flags += size_flags(n, d)
    ksg = bits if counted else ksg_mutual_information(a, b, _KSG_NEIGHBORS)
    apart = 2.0 * (interval.standard_error if interval else 0.0) + max(
        noticeable(bits), _DISAGREEMENT * abs(bits)
    )
    if d <= _COUNTED_DIMS and abs(bits - ksg) > apart:
        flags.append("estimators_disagree")
    diagnostics: dict[str, Any] = {
        "mode": mode,
        "estimator": "ksg" if counted else "shuffle_difference",
        "k": neighbors,
        "n": n,
        "dim": a.shape[1],
        "dim_x": b.shape[1],
        "log2_n": math.log2(n),
        "duplicates": atoms,
        "id_ratio": ratio,
        "ksg": ksg,
        "ksg_ceiling": ceiling if counted else None,
        **interval_diagnostics(interval),
    }
    estimate = estimate_of(bits, interval, flags, diagnostics, d)
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
    code = layer.clean
    if len(code) >= SMALLEST_SAMPLE and full_rank(code).shape[1] == 0:
        return constant(labels)
    ixt, parts_of, parts = view_estimate(code, inputs.values, mode, options.k, options.folds, rng)
    lost = max(inputs.lost, 1 - float(code.var(axis=0).sum()) / (layer.variance or 1.0))
    if ixt.bits is not None and layer.variance and lost > _LOST_VARIANCE:
        ixt = replace(ixt, flags=(*ixt.flags, "large_compression_loss"))
    ixt = replace(ixt, diagnostics={**ixt.diagnostics, "lost_variance": lost})
    found = {"ixt": ixt}
    if labels is None:
        return found
    if len(code) < SMALLEST_SAMPLE:
        return refused(labels, str(ixt.diagnostics["reason"]), "small_n")
    ity, ity_parts, _ = label_estimate([code], labels, parts_of, rng, size_flags(*code.shape))
    ity = with_label_loss(ity, layer, labels, 0.0)
    found["ity"] = ity
    if ixt.bits is None or ity.bits is None:
        reason = "I(X;T) is undefined for this sample"
        found["ixt_given_y"] = Estimate(None, flags=ixt.flags, diagnostics={"reason": reason})
        return found
    same = len(parts) == len(ity_parts)
    interval = interval_of(ixt.bits - ity.bits, parts - ity_parts) if same else None
    dims = ixt.diagnostics.get("dim", 0) + ixt.diagnostics.get("dim_x", 0)
    found["ixt_given_y"] = replace(
        estimate_of(ixt.bits - ity.bits, interval, list(ixt.flags), {}, dims), bound_low=0.0
    )
    return found


def compressed_inputs(
    inputs: Array, seed: int, device: str | None = None, dim: int | None = None
) -> InputCode:
    """Return the code of the inputs, of their intrinsic dimension unless ``dim`` is given.

    Inputs of up to 4 numbers are their own code; wider ones go through an autoencoder, which is
    trained on the torch ``device`` if one is given.
    """
    flat = checked_activations(inputs.reshape(len(inputs), -1), name="inputs")
    if flat.shape[1] <= _NARROW:
        return InputCode(np.asarray(flat, dtype=np.float64))
    encoder = fit_autoencoder(flat, dim, seed=seed, device=device)
    return InputCode(encoder.encode(flat), encoder.content_hash, encoder.error)


def view_dim(scores: FloatArray) -> int:
    """Return the dimension of a layer's code: its intrinsic dimension rounded, at most 4."""
    some = full_rank(scores[:_DIMENSION_SAMPLES, :_TRIED_DIMS])
    if some.shape[1] == 0:
        return 1
    try:
        found = intrinsic_dimension(some, min(20, len(some) - 1))
    except EstimationError:
        found = 1.0
    return int(max(1, min(_NARROW, round(found), scores.shape[1])))


def full_rank(code: FloatArray) -> FloatArray:
    """Return the code without directions that hold below 1e-10 of the largest variance."""
    centred = code - code.mean(axis=0)
    spread = centred.std(axis=0)
    # An offset leaves rounding errors of its own size behind; they are no variance.
    varied = spread > 1e-12 * np.abs(code).max(axis=0)
    if not varied.any():
        return np.empty((len(code), 0))
    kept = centred[:, varied]
    try:
        whitened(kept)
    except EstimationError:
        values, vectors = np.linalg.eigh(kept.T @ kept / len(kept))
        return np.asarray(kept @ vectors[:, values > 1e-10 * values[-1]])
    return np.asarray(kept)


def _shuffle_neighbors(n: int, d: int) -> int:
    wanted = 80 if d >= 8 and n >= 4000 else 20
    return min(max(5, min(wanted, n // 50)), n - 1)


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

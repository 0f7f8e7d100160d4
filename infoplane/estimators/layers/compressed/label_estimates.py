"""What the code of a layer tells about class labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.codes import (
    LARGE_LOSS,
    Code,
    estimate_of,
    interval_diagnostics,
    interval_of,
)
from infoplane.estimators.trust import noticeable
from infoplane.numerics.intervals import ROUNDING
from infoplane.numerics.loss_bounds import label_loss
from infoplane.numerics.neighbors.estimates import mixed_mutual_information, mixed_terms
from infoplane.numerics.neighbors.terms import LOG2_E

_NEIGHBORS = 3  # within the class
_TRIAL_SAMPLES = 1000  # for a choice of scale, and with permuted labels
# At which the bias falls with n: faster than that of the entropies in it, which cancels in part.
# Measured 0.4 for a label that hangs on one column of eight, above 0.75 for ten normal classes.
_RATE = 0.65


def label_estimate(
    draws: Sequence[FloatArray],
    labels: IntArray,
    folds: list[IntArray],
    rng: np.random.Generator,
    flags: list[str],
) -> tuple[Estimate, FloatArray, FloatArray]:
    """Return I(T_c;Y), its values on the folds, and the contributions (n_samples,) in bits.

    There is no value if all samples are alone in their classes. Some that are count for nothing,
    and where that could hide a noticeable share of the value it is flagged.

    Parameters
    ----------
    draws : sequence of arrays (n_samples, q)
        The code with one or several draws of noise; estimates are averaged over them.
    labels : array (n_samples,)
        Class ids.
    folds : list of arrays
        Indices of the disjoint folds of the interval.
    rng : numpy.random.Generator
        Permutes the labels.
    flags : list of str
        What the code is flagged with already.
    """
    some = rng.permutation(len(labels))[:_TRIAL_SAMPLES]
    draws, scaled = _on_better_scale(draws, labels, some)
    terms = np.mean([mixed_terms(code, labels, _NEIGHBORS) for code in draws], axis=0) * LOG2_E
    bits = float(terms.mean())
    parts = np.array(
        [
            np.mean([mixed_mutual_information(c[f], labels[f], _NEIGHBORS) for c in draws])
            for f in folds
        ]
    )
    code = draws[0]
    interval = interval_of(bits, parts)
    h_y = label_entropy(labels)
    sizes = np.unique(labels, return_counts=True)[1]
    alone = float((sizes == 1).sum()) / len(code)
    if alone == 1.0:
        reason = "every class has one sample only"
        return Estimate(None, flags=("small_n",), diagnostics={"reason": reason}), parts, terms
    null = mixed_mutual_information(code[some], rng.permutation(labels[some]), _NEIGHBORS)
    if h_y == 0.0:
        flags.append("constant")
    elif bits > h_y:
        flags.append("saturated")
    elif abs(null) > 0.5 * abs(bits):
        flags.append("null_dominates")
    if alone * math.log2(len(code)) > noticeable(bits):  # they count for nothing
        flags.append("small_n")
    drift = _drift_of_halves(bits, draws, labels, folds)
    if drift is not None and interval is not None:
        half = 0.5 * (interval.high - interval.low)
        bias = abs(drift) / (2.0**_RATE - 1.0)
        moves = abs(interval.drift) > 3.0 * interval.standard_error  # halves alone move by chance
        if moves and bias > max(min(half, 2.0 * noticeable(bits)), ROUNDING):
            flags.append("biased")
    diagnostics = {
        "estimator": "mixed",
        "k": _NEIGHBORS,
        "scaled": scaled,
        "h_y": h_y,
        "null": null,
        "smallest_class": int(sizes.min()),
        "drift_of_halves": drift,
        **interval_diagnostics(interval),
    }
    estimate = estimate_of(bits, interval, flags, diagnostics, _RATE)
    return replace(estimate, bound_low=0.0, bound_high=h_y, bound_name="h_y"), parts, terms


def _drift_of_halves(
    bits: float, draws: Sequence[FloatArray], labels: IntArray, folds: list[IntArray]
) -> float | None:
    """Return the mean over both halves of the folds less the whole, or None without folds.

    Where few of many columns tell of the label, the bias falls so slowly that folds of a tenth
    hardly show it; that of halves is extrapolated less.
    """
    if not folds:
        return None
    middle = len(folds) // 2
    halves = [np.concatenate(folds[:middle]), np.concatenate(folds[middle:])]
    found = [
        np.mean([mixed_mutual_information(c[h], labels[h], _NEIGHBORS) for c in draws])
        for h in halves
    ]
    return float(np.mean(found)) - bits


def _on_better_scale(
    draws: Sequence[FloatArray], labels: IntArray, some: IntArray
) -> tuple[Sequence[FloatArray], bool]:
    """Return the draws, with columns of one spread if the labels are seen better then.

    Distances overlook a column that is much smaller than others, and labels that hang on it; but
    columns of noise alone are best left as small as they are.
    """
    spread = np.where(draws[0].std(axis=0) > 0.0, draws[0].std(axis=0), 1.0)
    if spread.max() < 2.0 * spread.min():
        return draws, False
    part = labels[some]
    as_is = mixed_terms(draws[0][some], part, _NEIGHBORS)
    gains = (mixed_terms(draws[0][some] / spread, part, _NEIGHBORS) - as_is) * LOG2_E
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    if float(gains.mean()) <= noticeable(float(as_is.mean()) * LOG2_E) + 3.0 * error:
        return draws, False
    return [code / spread for code in draws], True


def with_label_loss(ity: Estimate, code: Code, labels: IntArray, noise: float) -> Estimate:
    """Return I(T_c;Y), flagged if what the code leaves out tells noticeably about the labels."""
    if ity.bits is None:
        return ity
    loss = label_loss(code.scores, code.dim, labels, noise)
    flags = ity.flags
    if loss > max(LARGE_LOSS * ity.bits, noticeable(ity.bits)):
        flags = (*flags, "large_compression_loss")
    return replace(ity, flags=flags, diagnostics={**ity.diagnostics, "label_loss": loss})


def label_entropy(labels: IntArray) -> float:
    """Return the entropy of the labels in bits, by plug-in."""
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0

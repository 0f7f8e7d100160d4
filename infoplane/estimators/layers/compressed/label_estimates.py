"""The estimate of I(T;Y) from the code of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimates import (
    estimate_of,
    interval_diagnostics,
    interval_of,
)
from infoplane.estimators.trust import LARGE_LOSS, noticeable, null_dominates
from infoplane.numerics.codes import Code
from infoplane.numerics.intervals import CHANCE, ROUNDING, Interval
from infoplane.numerics.loss_bounds import label_loss
from infoplane.numerics.neighbors.label_information import (
    NEIGHBORS,
    RATE,
    LabelInformation,
    label_information,
    scale_gain,
)

FEW = 3
"""Dimensions up to which neighbours find whatever a label hangs on."""

_TRIAL_SAMPLES = 1000  # for a choice of scale, and with permuted labels


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
    n = len(labels)
    sizes = np.unique(labels, return_counts=True)[1]
    alone = float((sizes == 1).sum()) / n
    if alone == 1.0:
        reason = "every class has one sample only"
        missing = Estimate(None, flags=("small_n",), diagnostics={"reason": reason})
        return missing, np.empty(0), np.empty(0)
    some = rng.permutation(n)[:_TRIAL_SAMPLES]
    gain = scale_gain(draws[0], labels, some)
    scaled = gain is not None and gain.bits > noticeable(gain.before) + CHANCE * gain.error
    if gain is not None and scaled:
        draws = [code / gain.spread for code in draws]
    found = label_information(draws, labels, folds, some, rng)
    interval = interval_of(found.bits, found.parts)
    diagnostics = {
        "estimator": "mixed",
        "k": NEIGHBORS,
        "scaled": scaled,
        "h_y": found.h_y,
        "null": found.null,
        "smallest_class": int(sizes.min()),
        "drift_of_halves": found.drift_of_halves,
        **interval_diagnostics(interval),
    }
    flags = flags + _flags(found, interval, alone)
    if draws[0].shape[1] > FEW and found.h_y > 0.0:
        flags.append("insensitive")
    estimate = replace(
        estimate_of(found.bits, interval, flags, diagnostics, RATE),
        bound_low=0.0,
        bound_high=found.h_y,
        bound_name="h_y",
    )
    return estimate, found.parts, found.terms


def _flags(found: LabelInformation, interval: Interval | None, alone: float) -> list[str]:
    """Return what to know before trusting a value; ``alone`` samples count for nothing."""
    flags, bits = [], found.bits
    if found.h_y == 0.0:
        flags.append("constant")
    elif bits > found.h_y:
        flags.append("saturated")
    elif null_dominates(abs(bits), abs(found.null)):
        flags.append("null_dominates")
    if alone * math.log2(len(found.terms)) > noticeable(bits):
        flags.append("small_n")
    if interval is not None:
        half = 0.5 * (interval.high - interval.low)
        # Halves alone move by chance.
        moves = abs(interval.drift) > CHANCE * interval.standard_error
        if moves and found.bias > max(min(half, 2.0 * noticeable(bits)), ROUNDING):
            flags.append("biased")
    return flags


def with_label_loss(ity: Estimate, code: Code, labels: IntArray, noise: float) -> Estimate:
    """Return I(T_c;Y), flagged if what the code leaves out tells noticeably about the labels."""
    if ity.bits is None:
        return ity
    loss = label_loss(code.scores, code.dim, labels, noise)
    flags = ity.flags
    if loss > max(LARGE_LOSS * ity.bits, noticeable(ity.bits)):
        flags = (*flags, "large_compression_loss")
    return replace(ity, flags=flags, diagnostics={**ity.diagnostics, "label_loss": loss})

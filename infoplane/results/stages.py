"""Stages of a representation: what the movements of its rank, and of its collapse, are called.

The rank of a layer (RankMe, effective rank) and the exponent of its eigenvalues move against each
other. Its movements, as segments tell them, are named by both:

===================  ===============================================
warm-up              rank falls, exponent rises; the first movement, and a rise follows
entropy-seeking      rank rises, exponent falls
compression-seeking  rank falls, exponent rises
===================  ===============================================

A movement without the counter-movement of the exponent has no name. After training has reached an
error of 0, it is told how much further NC1 falls: that is neural collapse.

References
----------
Li et al.: "Tracing the representation geometry of language models from pretraining to
post-training", 2025: the stages. Papyan, Han, Donoho, PNAS 117, 2020: the terminal phase.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoplane.estimators.quantities import QUANTITIES
from infoplane.results.curves import CurveKey, Curves, group_of_runs

WARM_UP, SEEKS_ENTROPY, SEEKS_COMPRESSION = "warm-up", "entropy-seeking", "compression-seeking"

_RANKS, _EXPONENT = ("rankme", "effective_rank"), "alpha_req"
_COLLAPSES = ("nc1", "nc1_quotient", "cdnv")
_ACCURACIES = ("train_accuracy", "train_acc")
_NO_ERROR = 1.0 - 1e-9
_LEAST_FACTOR = 0.95  # of what it was: smaller falls are not told


def tell_stages(
    phases: Sequence[dict[str, Any]], drawn: Mapping[CurveKey, Curves], results: Mapping[str, Any]
) -> None:
    """Add ``stages`` to the phases of ranks and collapse, and what they are to their sentences.

    Parameters
    ----------
    phases : sequence of dict
        Entries of ``phases``; changed in place.
    drawn : mapping
        The curves of the results.
    results : mapping
        The results document, whose recordings hold the training accuracy if it was recorded.
    """
    groups = group_of_runs(results)
    for phase in phases:
        key = phase["group"], phase["layer"], phase["estimator"], phase["quantity"]
        if phase["quantity"] in _RANKS:
            exponent = drawn.get((*key[:3], _EXPONENT))
            found = [] if exponent is None else _named(phase["segments"], exponent)
            if found:
                phase["stages"] = found
                phase["sentence"] += ": " + ", then ".join(one["stage"] for one in found)
        elif phase["quantity"] in _COLLAPSES and key in drawn:
            members = [r for r in results["recordings"] if groups[r["run"]] == phase["group"]]
            if (step := _without_error(members)) is not None:
                phase["sentence"] += _after(drawn[key], step)


def _named(segments: Sequence[Mapping[str, Any]], exponent: Curves) -> list[dict[str, Any]]:
    """Return the movements of a rank that have a name, with the steps between which they are."""
    movements: list[dict[str, Any]] = []
    for segment in segments:
        direction = segment["direction"]
        if direction == "flat":
            continue
        if movements and movements[-1]["direction"] == direction:
            movements[-1]["to_step"] = segment["to_step"]
        else:
            ends = {end: segment[end] for end in ("from_step", "to_step")}
            movements.append({**ends, "direction": direction})
    least = QUANTITIES[_EXPONENT].smallest_change or 0.0
    rises = [i for i, one in enumerate(movements) if one["direction"] == "rises"]
    found = []
    for i, one in enumerate(movements):
        change = _change(exponent, one["from_step"], one["to_step"])
        up = one["direction"] == "rises"
        if not (-change if up else change) >= least:  # NaN is not
            continue
        first_of_several = i == 0 and bool(rises)
        stage = SEEKS_ENTROPY if up else WARM_UP if first_of_several else SEEKS_COMPRESSION
        found.append({"from_step": one["from_step"], "to_step": one["to_step"], "stage": stage})
    return found


def _change(curve: Curves, start: int, end: int) -> float:
    """Return the change of the mean between two steps; NaN where one has no value."""
    mean = curve.mean()
    at = [np.flatnonzero(curve.steps == step) for step in (start, end)]
    if not all(len(found) for found in at):
        return math.nan
    return float(mean[at[1][0]] - mean[at[0][0]])


def _without_error(recordings: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the step from which on no training sample is wrong in any run; None without one."""
    starts = []
    for recording in recordings:
        metrics = recording.get("metrics") or {}
        known = next((metrics[name] for name in _ACCURACIES if metrics.get(name)), None)
        if known is None or len(known) != len(recording["steps"]):
            return None
        right = [value is not None and value >= _NO_ERROR for value in known]
        wrong = [i for i, is_right in enumerate(right) if not is_right]
        first = wrong[-1] + 1 if wrong else 0
        if first >= len(right) - 1:  # nothing after it
            return None
        starts.append(recording["steps"][first])
    return max(starts, default=None)


def _after(curve: Curves, step: int) -> str:
    """Say how far a measure of collapse falls after a step; nothing where a run does not fall."""
    later = np.flatnonzero(curve.steps >= step)
    values = curve.filled()[:, later]
    if len(later) < 2 or not np.isfinite(values[:, [0, -1]]).all() or values[:, [0, -1]].min() <= 0:
        return ""
    left = values[:, -1] / values[:, 0]
    if left.max() > _LEAST_FACTOR:
        return ""
    share = float(np.exp(np.log(left).mean()))
    at = int(curve.steps[later[0]])
    return f"; collapses: to {share:.2g} of what it was at step {at:,}, no training error since"

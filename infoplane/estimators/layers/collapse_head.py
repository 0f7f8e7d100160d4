"""Neural collapse of the head: whether its weight points along the class means (NC3, NC4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from infoplane.arrays import magnitude
from infoplane.data import Array, FloatArray, IntArray, Slot
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.collapse_measures import UNDEFINED
from infoplane.estimators.layers.representation import (
    ChosenSamples,
    Null,
    beside_null,
    without_value,
)
from infoplane.numerics.collapse import disagreement, duality

NC3, NC4 = "nc3", "nc4"
_HIGHEST = {NC3: 4.0, NC4: 1.0}


class Head(NamedTuple):
    """The linear layer that is given the features."""

    weight: FloatArray  # (n_outputs, n_units)
    bias: FloatArray  # (n_outputs,)


def head_slots(layer: Slot, weights: Sequence[Slot]) -> tuple[Slot, ...]:
    """Return weight and bias of the head, where a layer holds the features and they are whole."""
    if "features" not in layer.roles:
        return ()
    of_head = [slot for slot in weights if "head" in slot.roles and slot.summary is None]
    matrices = [slot for slot in of_head if len(slot.shape) == 2]
    return (matrices[0], *(slot for slot in of_head if len(slot.shape) == 1)) if matrices else ()


def head_of(arrays: Sequence[Array]) -> Head:
    """Return the head of its recorded arrays: its weight and, if it has one, its bias."""
    weight = np.asarray(arrays[0], dtype=np.float64)
    bias = np.asarray(arrays[1], dtype=np.float64) if arrays[1:] else np.zeros(len(weight))
    return Head(weight, bias)


def unfit_head(head: Head, samples: ChosenSamples, n_units: int) -> str:
    """Return why a head cannot be compared with the class means, "" if it can."""
    outputs, taken = head.weight.shape
    if taken != n_units:
        return (
            f"expected features of {taken} units, as the head takes, got {n_units}: record them "
            "without a reduction, of one position"
        )
    if samples.classes is None or not np.array_equal(samples.classes, np.arange(outputs)):
        known = "none" if samples.classes is None else f"{len(samples.classes)} classes"
        return (
            f"expected samples of all classes that the head predicts, 0 to {outputs - 1}, got "
            f"{known}"
        )
    return ""


def head_measures(
    values: Array,
    samples: ChosenSamples,
    head: Head,
    halves: Sequence[IntArray],
    shuffled: Sequence[IntArray],
) -> dict[str, Estimate]:
    """Return NC3 and NC4 with intervals from halves of the samples and nulls of shuffled labels."""
    if reason := unfit_head(head, samples, values.shape[1]):
        return dict.fromkeys((NC3, NC4), without_value(reason, samples))
    assert samples.labels is not None
    scale = magnitude(values) or 1.0
    layer = np.asarray(values, dtype=np.float64) / scale
    with np.errstate(over="ignore"):
        scaled = Head(head.weight, head.bias / scale)
    own = _measured(layer, samples.labels, scaled)
    parts = [_measured(layer[rows], samples.labels[rows], scaled) for rows in halves]
    nulls = [_measured(layer, labels, scaled) for labels in shuffled]
    found = {}
    for name in (NC3, NC4):
        if math.isnan(own[name]):
            undefined = UNDEFINED[name]
            found[name] = without_value(undefined.reason, samples, undefined.flag)
            continue
        found[name] = beside_null(
            own[name],
            [part[name] for part in parts],
            Null.of([null[name] for null in nulls]),
            samples,
            bounds=(0.0, _HIGHEST[name]),
            diagnostics={"classes": len(head.weight)},
        )
    return found


def _measured(layer: FloatArray, labels: IntArray, head: Head) -> dict[str, float]:
    classes = len(head.weight)
    sums = np.zeros((classes, layer.shape[1]))
    np.add.at(sums, labels, layer)
    means = sums / np.bincount(labels, minlength=classes)[:, None]
    centred = means - means.mean(axis=0)
    nc3 = duality(head.weight, centred) if centred.any() else math.nan
    return {NC3: nc3, NC4: disagreement(layer, means, head.weight, head.bias)}

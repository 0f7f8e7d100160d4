"""What a layer gains or loses at fixed noise, split into shape and scale.

At noise relative to the size of a layer, I(X;T) tells its shape alone: multiplying the layer by a
number changes nothing. At one noise for all checkpoints it tells the scale as well. So exactly:
change at fixed noise = change at relative noise (shape) + the rest (scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infoplane.results.curves import CurveKey, Curves

NEEDS = ("ixt_fixed", "ixt", "size")
"""The quantities that a split is made of."""


@dataclass(frozen=True)
class Split:
    """The changes of a layer between two steps, means over runs; None where there is no value."""

    layer: str
    start: int
    end: int
    fixed: float | None  # bits: I(X;T) at fixed noise
    shape: float | None  # bits: I(X;T) at relative noise
    scale: float | None  # bits: the rest
    octaves: float | None  # log2 of the median distance


def splits(
    curves: Mapping[CurveKey, Curves], group: str, estimator: str, *, whole: bool = False
) -> list[list[Split]]:
    """Return the splits of each layer, in order of the forward pass, over the same steps for all.

    Each layer has one from step 0 to the first trained checkpoint, and one from there to the last;
    a single one of all checkpoints if they are ``whole``, or do not begin at 0 or are two. Where a
    layer has no value at one of these steps, nothing of it is known.
    """
    fixed = {k[1]: c for k, c in curves.items() if (k[0], *k[2:]) == (group, estimator, NEEDS[0])}
    steps = sorted({int(step) for curve in fixed.values() for step in curve.steps})
    if len(steps) < 2:
        return []
    apart = steps[0] == 0 and len(steps) > 2 and not whole
    ends = [steps[0], *([steps[1]] if apart else []), steps[-1]]
    return [
        [
            _split(layer, {q: curves.get((group, layer, estimator, q)) for q in NEEDS}, *pair)
            for pair in pairwise(ends)
        ]
        for layer in fixed
    ]


def _split(layer: str, of: Mapping[str, Curves | None], start: int, end: int) -> Split:
    fixed, shape, octaves = (_change(of[name], start, end) for name in NEEDS)
    scale = None if fixed is None or shape is None else fixed - shape
    return Split(layer, start, end, fixed, shape, scale, octaves)


def _change(curve: Curves | None, start: int, end: int) -> float | None:
    if curve is None:
        return None
    mean = curve.mean()
    values = [mean[curve.steps == step] for step in (end, start)]
    if not all(value.size for value in values):
        return None
    change = float(values[0][0] - values[1][0])
    return change if np.isfinite(change) else None

"""The samples that information by kernels is measured on, and how its excess is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from infoplane.data import Array, IntArray, ProbeSet
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.nulls import Null

FEWEST_PERMUTATIONS = 2
"""Behind a null with a standard deviation."""

_DOMINANT = 0.9  # share of the variance in one unit
_SEVERAL = 5  # units from which that is worth a word


def chosen_samples(probe: ProbeSet, most: int, rng: np.random.Generator) -> IntArray:
    """Return so many samples at most, ascending, with the shares of the classes kept."""
    if probe.n_samples <= most:
        return np.arange(probe.n_samples)
    classes = None if probe.labels is None else row_symbols(probe.labels[:, None])
    return stratified(classes, probe.n_samples, most, rng)


def outcome(probe: ProbeSet, rows: IntArray) -> Array | None:
    """Return the labels of samples, or their real targets (n_rows, n_targets) if there are none."""
    if probe.labels is not None:
        return probe.labels[rows]
    return None if probe.targets is None else probe.targets.reshape(probe.n_samples, -1)[rows]


def layer_flags(values: Array, n_samples: int) -> tuple[str, ...]:
    """Return what to know of the samples (n_used, n_units) that were used of so many."""
    points = values.astype(np.float64)
    variances = (points / max(float(np.abs(points).max()), np.finfo(float).tiny)).var(axis=0)
    raised = {
        "subsampled": len(values) < n_samples,
        "dominant_unit": len(variances) >= _SEVERAL
        and bool(variances.max() > _DOMINANT * variances.sum() > 0.0),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def excess_estimate(
    raw: float,
    null: Null,
    flags: tuple[str, ...],
    n_samples: int,
    told: Mapping[str, Any],
    **bound: float | BoundName,
) -> Estimate:
    """Return what an information has beyond its null, with both in the diagnostics."""
    return Estimate(
        null.excess(raw),
        n=n_samples if "subsampled" in flags else None,
        flags=tuple(dict.fromkeys(flags)),
        diagnostics={"raw": raw, "null": null.mean, "null_sd": null.sd, **told},
        **bound,  # type: ignore[arg-type]  # the bound and its name
    )

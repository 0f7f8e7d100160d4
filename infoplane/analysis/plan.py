"""Cost of an analysis before it begins: cells, seconds, memory.

Every estimator has a rough law of its cost (``Estimator.cost``). A machine follows it up to a
factor, which is fitted from the cells that were measured on it: the median over the costlier half
of measured by predicted seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infoplane.analysis import remembered
from infoplane.analysis.engine import Cache, check_different, gpu_for
from infoplane.analysis.keys import CellKeys
from infoplane.analysis.selection import Cells, groups_of, parts_of
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Measurement
from infoplane.estimators.registry import estimator_id

# Memory of a worker with NumPy and h5py, without the pages of files that are mapped; and of torch,
# with what of SciPy is loaded beside it.
INTERPRETER_BYTES = 27 * 2**20
TORCH_BYTES = 100 * 2**20
STARTUP_SECONDS = 1.0  # wall time until the first worker works
TORCH_SECONDS = 2.0

_MOST_KEPT = 10_000  # cells of an estimator that a fit rests on


@dataclass
class CostModel:
    """Predicts the cost of cells, and learns from finished ones.

    Parameters
    ----------
    scales : mapping of str to float
        Measured by predicted seconds, by estimator id; 1 for others.
    """

    scales: dict[str, float] = field(default_factory=dict)
    _seen: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def predict(self, estimator: Estimator, n_samples: int, n_units: int) -> Cost:
        """Return the cost of a cell on this machine."""
        cost = _law(estimator, n_samples, n_units)
        return cost._replace(seconds=cost.seconds * self.scales.get(estimator_id(estimator), 1.0))

    def observe(self, estimator: Estimator, n_samples: int, measured: Measurement) -> None:
        """Take in a finished cell of a layer; cached, failed ones, those on a GPU say nothing."""
        seen = self._seen[measured.estimator]
        on_gpu = any("device" in found.diagnostics for found in measured.estimates.values())
        other = measured.cached or measured.error is not None or measured.subject is not None
        if other or on_gpu or len(seen) >= _MOST_KEPT:
            return
        seen.append((_law(estimator, n_samples, measured.layer.n_units).seconds, measured.seconds))

    def fitted(self) -> dict[str, dict[str, Any]]:
        """Return by estimator id the scale that the observed cells suggest, and their number."""
        found = {}
        for name, seen in self._seen.items():
            predicted, seconds = np.array(seen).reshape(-1, 2).T
            costly = (predicted >= np.median(predicted)) if len(seen) else predicted > 0
            if (seconds[costly] > 0).any():
                ratio = np.median(seconds[costly] / predicted[costly])
                found[name] = {"scale": float(ratio), "cells": len(seen)}
        return found


def _law(estimator: Estimator, n_samples: int, n_units: int) -> Cost:
    """Return the unscaled cost of a cell: of the estimator, of opening and of checking its data."""
    cost = estimator.needs(n_samples, n_units)
    return cost._replace(seconds=cost.seconds + 1.5e-3 + 4e-9 * n_samples * n_units)


@dataclass(frozen=True)
class PlannedWork:
    """What one estimator has to do."""

    estimator: str
    cells: int
    cached: int
    seconds: float  # of all cells that are not cached, on one core
    bytes: int  # the most that a worker needs
    torch: bool
    samples: tuple[int, int] = (0, 0)  # that a cell of the largest run uses, of those recorded

    @property
    def seconds_each(self) -> float:
        """Mean over the cells that are not cached."""
        return self.seconds / max(self.cells - self.cached, 1)


def plan(
    cells: Cells,
    estimators: Sequence[Estimator],
    *,
    seed: int,
    model: CostModel,
    cache: Cache | None = None,
    device: str = "cpu",
    shared: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> list[PlannedWork]:
    """Return what an analysis would do, by estimator; no activation is read.

    The parameters are those of `infoplane.analysis.engine.analyze`.

    Raises
    ------
    InputError
        If two estimators are the same.
    """
    check_different(estimators)
    found, groups = [], groups_of(cells)
    for estimator in estimators:
        total, cached, seconds, most, torch = 0, 0, 0.0, 0, False
        recorded = max((len(run.kept) for run in cells), default=0)
        samples = estimator.samples_used(recorded), recorded
        for run, (layers, steps) in cells.items():
            gpu = gpu_for(estimator, len(run.kept), device)
            kept = (shared or {}).get((groups[run].name, estimator_id(estimator)))
            key = CellKeys(run, estimator, seed, gpu, groups[run], kept)
            for part in parts_of(estimator, run, layers):
                cost = model.predict(estimator, len(run.kept), part.n_units)
                ready = [cache.get(key.cell(part.slots, step)) if cache else None for step in steps]
                known = sum(
                    remembered.measurement(one, run.name, step, part, estimator) is not None
                    for one, step in zip(ready, steps, strict=True)
                )
                total += len(steps)
                cached += known
                seconds += (len(steps) - known) * cost.seconds
                torch = torch or cost.torch
                if known < len(steps):
                    most = max(most, cost.bytes)
        most += INTERPRETER_BYTES + TORCH_BYTES * torch
        found.append(
            PlannedWork(estimator_id(estimator), total, cached, seconds, most, torch, samples)
        )
    return found


def wall_seconds(works: Iterable[PlannedWork], jobs: int) -> float:
    """Return how long the work takes on ``jobs`` workers."""
    todo = [work for work in works if work.cached < work.cells]
    if not todo:
        return 0.0
    startup = STARTUP_SECONDS + TORCH_SECONDS * any(work.torch for work in todo)
    return startup + sum(work.seconds for work in todo) / jobs


def scales_of(fitted: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the scales of a fit, as ``CostModel`` takes them."""
    return {name: float(entry["scale"]) for name, entry in fitted.items()}

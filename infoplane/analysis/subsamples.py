"""Estimates against the number of samples: what grows with N measures N.

An estimate that still grows like log2 N when samples are added says how many samples there are. To
see it, a few cells are estimated again on random parts of the samples, everything an estimator
prepares made again on the part alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infoplane.analysis.engine import Cache, Workers, analyze
from infoplane.analysis.repeating import Baseline, Shared
from infoplane.analysis.selection import count_cells
from infoplane.data import Slot
from infoplane.errors import NotFoundError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Measurement
from infoplane.estimators.measure_id import MeasureId
from infoplane.runs.run import Run
from infoplane.seeding import generator

FEWEST = 64
"""No part is smaller than this many samples."""

HALVINGS = 5
PARTS = 4
"""Parts of each size; different parts of one shuffle as long as there are enough samples."""


@dataclass
class Sampling:
    """Collects estimates on parts of the samples.

    Parameters
    ----------
    cells : mapping
        Layers and steps of each run, as `infoplane.analysis.selection.select_cells` returns them.
    estimators : sequence of Estimator
        As for `infoplane.analysis.engine.analyze`; weights have no samples and are left out.
    seed : int, default 0
        The parts and all random streams derive from it.
    baseline : Baseline, optional
        The analysis of all samples: what its runs share is the same for their parts.
    """

    cells: Mapping[Run, tuple[Sequence[Slot], Sequence[int]]]
    estimators: Sequence[Estimator]
    seed: int = 0
    baseline: Baseline | None = None
    _found: dict[tuple[Any, ...], list[float | None]] = field(
        default_factory=lambda: defaultdict(list), init=False
    )
    _bounds: dict[tuple[Any, ...], float | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.estimators = [
            one for one in self.estimators if one.subject != "weights" and one.reads == "arrays"
        ]

    @property
    def n_cells(self) -> int:
        """Number of estimates to come."""
        return sum(
            len(sizes_of_parts(len(run.kept))) * PARTS * count_cells({run: chosen}, self.estimators)
            for run, chosen in self.cells.items()
        )

    def measure(
        self, workers: Workers, cache: Cache | None = None, device: str = "cpu"
    ) -> Iterator[Measurement]:
        """Estimate all cells on all parts, and yield the measurements as they finish."""
        for halving in range(HALVINGS):
            for part in range(PARTS):
                parts = {}
                for run, chosen in self.cells.items():
                    sizes = sizes_of_parts(len(run.kept))
                    if halving < len(sizes):
                        parts[_part(run, sizes[halving], part, self.seed)] = chosen
                n_by_run = {run.name: len(run.kept) for run in parts}
                shared: Shared = {}
                if self.baseline is not None:
                    shared = self.baseline.shared(parts, self.estimators, warn=False)
                found = analyze(
                    parts, self.estimators, workers.executor,
                    seed=self.seed, cache=cache, renew=workers.renew, device=device,
                    exchange=workers.exchange, shared=shared,
                )  # fmt: skip
                for measured in found:
                    self._add(measured, n_by_run[measured.run])
                    yield measured

    def entries(self) -> list[dict[str, Any]]:
        """Return the ``sampling`` of the results document: one entry per cell and size of part.

        ``values`` holds one estimate per part in bits, ascending, ``None`` last where there is
        no number; ``bound_high`` is the highest bound of any of them.
        """
        names = ("run", "layer_index", "layer", "step", "estimator", "quantity", "n")
        return [
            {
                **dict(zip(names, key, strict=True)),
                "values": sorted(values, key=lambda value: (value is None, value or 0.0)),
                "bound_high": self._bounds[key],
            }
            for key, values in sorted(self._found.items())
        ]

    def _add(self, measured: Measurement, n: int) -> None:
        for name, estimate in measured.estimates.items():
            found = MeasureId.read(name)
            variant = str(MeasureId.read(measured.estimator).at(found.point))
            key = (
                measured.run, measured.layer.index, measured.label, measured.step,
                variant, found.name, n,
            )  # fmt: skip
            bits = estimate.bits
            self._found[key].append(None if bits is None or not np.isfinite(bits) else float(bits))
            bounds = [b for b in (self._bounds.get(key), estimate.bound_high) if b is not None]
            self._bounds[key] = max(bounds, default=None)


def steps_of_cells(
    cells: Mapping[Run, tuple[Sequence[Slot], Sequence[int]]], steps: Sequence[int] | None
) -> dict[Run, tuple[Sequence[Slot], Sequence[int]]]:
    """Return the cells at these steps alone, -1 the last of each run; all steps if None.

    Raises
    ------
    NotFoundError
        If a run has no such step.
    """
    chosen: dict[Run, tuple[Sequence[Slot], Sequence[int]]] = {}
    for run, (layers, have) in cells.items():
        wanted = list(have) if steps is None else sorted({have[-1] if s < 0 else s for s in steps})
        if missing := [step for step in wanted if step not in have]:
            raise NotFoundError(
                f"{run.path}: step {missing[0]} is not analyzed, so it cannot be sampled",
                hint=f"analyzed are {' '.join(map(str, have))}",
                code="IP402",
            )
        chosen[run] = (layers, wanted)
    return chosen


def sizes_of_parts(n_samples: int) -> list[int]:
    """Return the sizes of the parts of ``n_samples``: halves of halves, at least `FEWEST`."""
    sizes = [n_samples >> k for k in range(1, HALVINGS + 1)]
    return [size for size in sizes if size >= FEWEST]


def _part(run: Run, size: int, number: int, seed: int) -> Run:
    """Return a run with ``size`` of its samples; what it does without anyway stays left out."""
    kept = run.kept
    at_once = len(kept) // size
    shuffled = generator(seed, run.name, "sampling", number // at_once).permutation(kept)
    start = number % at_once * size
    return run.only(shuffled[start : start + size])

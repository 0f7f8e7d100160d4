"""Which pairs of cells are compared: along the layers, the steps, and the runs.

A cell is a layer of a run at a step. Cells are compared on the same samples only: runs whose probe
sets differ are refused, with the reason.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from infoplane.analysis.selection import Cells, groups_of
from infoplane.data import Array, Slot
from infoplane.errors import DataError, NotFoundError
from infoplane.runs.run import Run

log = logging.getLogger("infoplane")

Axis: TypeAlias = Literal["layers", "steps", "seeds", "models", "drift"]
AXES = ("layers", "steps", "runs")


class Cell(NamedTuple):
    """A layer of a run at a step."""

    run: Run
    layer: Slot
    step: int


@dataclass(frozen=True)
class Family:
    """Cells of which all pairs are compared, or all pairs of the first with the second part."""

    axis: Axis
    cells: tuple[Cell, ...]
    others: tuple[Cell, ...] = ()  # empty: pairs among the cells

    @property
    def place(self) -> Hashable:
        """What families share that are best read together: a step, or else a layer of a run."""
        first = self.cells[0]
        return (first.run.path, first.layer.name) if self.axis == "steps" else first.step

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the positions of each pair, those of the others after those of the cells."""
        if self.others:
            first, second = range(len(self.cells)), range(len(self.others))
            yield from ((i, len(self.cells) + j) for i in first for j in second)
        else:
            yield from itertools.combinations(range(len(self.cells)), 2)


def families(cells: Cells, axes: Sequence[str]) -> list[Family]:
    """Return what is compared, of each run its layers and steps.

    Other seeds are always compared: they say how alike equal layers can be.
    """
    found: list[Family] = []
    for run, (layers, steps) in cells.items():
        if "layers" in axes and len(layers) > 1:
            for step in steps:
                found.append(Family("layers", tuple(Cell(run, one, step) for one in layers)))
        if "steps" in axes and len(steps) > 1:
            for layer in layers:
                found.append(Family("steps", tuple(Cell(run, layer, step) for step in steps)))
    found += _seeds(cells)
    groups = list(_groups(cells).values())
    if "runs" in axes:
        for one, other in itertools.combinations(groups, 2):
            for a, b in zip(one, other, strict=False):
                if a.split == b.split:
                    found.append(Family("models", _last(a, cells), _last(b, cells)))
    return found


def against(baseline: Cells, cells: Cells) -> list[Family]:
    """Return each layer of runs against that of the same name in a baseline, at the last steps.

    Runs are paired by their names; where these differ, in their order.

    Raises
    ------
    NotFoundError
        If they have no layer of the same name.
    """
    found = [*_seeds(baseline), *_seeds(cells)]
    by_name = {run.name: run for run in baseline}
    in_order = itertools.cycle(baseline)
    n_seeds = len(found)
    for run in cells:
        other = by_name.get(run.name) or next(in_order)
        known = {cell.layer.name: cell for cell in _last(other, baseline)}
        for cell in _last(run, cells):
            if cell.layer.name in known:
                found.append(Family("drift", (cell,), (known[cell.layer.name],)))
    if len(found) == n_seeds:
        raise NotFoundError(
            "the runs have no layer of the same name as the baseline",
            hint="compare all layers with all: infoplane similarity --axes runs",
        )
    return found


def _seeds(cells: Cells) -> list[Family]:
    """Return each layer against itself in the other runs of a group, at each step they share."""
    found = []
    for runs in _groups(cells).values():
        if len(runs) > 1:
            shared = sorted(set.intersection(*(set(cells[run][1]) for run in runs)))
            for step, layer in itertools.product(shared, cells[runs[0]][0]):
                found.append(Family("seeds", tuple(Cell(run, layer, step) for run in runs)))
    return found


def _groups(cells: Cells) -> dict[str, tuple[Run, ...]]:
    return {group.name: group.runs for group in groups_of(cells).values()}


def _last(run: Run, cells: Cells) -> tuple[Cell, ...]:
    layers, steps = cells[run]
    return tuple(Cell(run, layer, steps[-1]) for layer in layers)


def on_the_same_samples(cells: Cells) -> Cells:
    """Return the cells, samples that one run leaves out left out of all of them.

    Raises
    ------
    DataError
        If runs hold other samples, or the same in another order.
    """
    by_split: dict[str | None, list[Run]] = defaultdict(list)
    for run in cells:
        by_split[run.split].append(run)
    common: dict[Run, Run] = {}
    for runs in by_split.values():
        for run in runs[1:]:
            if reason := _mismatch(replace(runs[0], dropped=()), replace(run, dropped=())):
                raise DataError(
                    f"{run.path} cannot be compared with {runs[0].path}: {reason}",
                    hint="record both on one probe set; similarity is about equal samples",
                    code="IP319",
                )
        dropped = tuple(sorted({row for run in runs for row in run.dropped}))
        common |= {run: replace(run, dropped=dropped) if dropped else run for run in runs}
    return {common[run]: chosen for run, chosen in cells.items()}


def _mismatch(one: Run, other: Run) -> str:
    """Say why two runs do not hold the same samples in the same order; empty if they do."""
    a, b = one.probe, other.probe
    unknown = a.known_inputs is None or b.known_inputs is None
    if unknown and one.path != other.path:
        return _mismatch_without_inputs(one, other)
    if one.probe_hash == other.probe_hash:
        return ""
    if a.n_samples != b.n_samples:
        return f"expected {a.n_samples:,} samples, found {b.n_samples:,}"
    if _equal(a.inputs, b.inputs):
        return ""
    if a.ids is not None and b.ids is not None:
        return _apart(a.ids.tolist(), b.ids.tolist())
    return _apart(_rows(a.inputs), _rows(b.inputs))


def _mismatch_without_inputs(one: Run, other: Run) -> str:
    """Say what tells two runs apart of which one holds no inputs; warn of what cannot be told."""
    a, b = one.probe, other.probe
    if a.n_samples != b.n_samples:
        return f"expected {a.n_samples:,} samples, found {b.n_samples:,}"
    if a.labels is not None and b.labels is not None and not _equal(a.labels, b.labels):
        return "its labels are others"
    log.warning(
        "%s and %s are taken for the same samples in the same order: without inputs nothing tells",
        one.path, other.path,
    )  # fmt: skip
    return ""


def _apart(one: Sequence[object], other: Sequence[object]) -> str:
    shared = len(set(one) & set(other))
    if sorted(map(str, one)) == sorted(map(str, other)):
        return "it holds the same samples in another order"
    if not shared:
        return "they have no sample in common"
    return f"only {shared:,} of {len(one):,} samples are the same"


def _rows(inputs: Array) -> list[str]:
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in inputs]


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))


def samples_hash(run: Run) -> str:
    """Return a hash of the samples that are kept of a run: their inputs, and which they are."""
    digest = hashlib.sha256(np.ascontiguousarray(run.probe.inputs).data)
    digest.update(run.kept.tobytes())
    return digest.hexdigest()


def address(cell: Cell) -> str:
    """Return the content address of a cell: what was recorded there."""
    slot = cell.run.step_info(cell.step).slot(cell.layer.name, "layer")
    about = (slot.shape, slot.dtype, slot.encoding, slot.checksum)
    return hashlib.sha256(repr(about).encode()).hexdigest()


def count_pairs(found: Iterable[Family]) -> int:
    """Return the number of pairs of all families."""
    return sum(
        len(one.cells) * len(one.others)
        if one.others
        else len(one.cells) * (len(one.cells) - 1) // 2
        for one in found
    )

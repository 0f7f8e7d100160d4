"""Compare pairs of cells on any ``concurrent.futures`` executor.

The unit of work is a family of cells, or a part of one whose views fit the memory: each cell is
read once for it, its views are made, and all pairs are compared. A value depends on the two arrays,
the measure and the seed alone, so that neither workers nor their order matter; it is kept by the
content addresses of both cells.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from infoplane.analysis.engine import Cache, Workers
from infoplane.errors import InfoplaneError, WorkerError
from infoplane.numerics.similarity.samples import GROUPS, dealt
from infoplane.seeding import generator
from infoplane.similarity.cells import Cell, Family, address, samples_hash
from infoplane.similarity.measure import PairMeasure
from infoplane.text import one_line

VIEWS_BYTES = 1 << 30
"""Bytes that the views of one piece of work may take, two views at least."""

_IN_FLIGHT = 8  # pieces submitted and unfinished; they are named, not sent, so these are small
_TRIES = 3  # of a piece whose workers die


class Pair(NamedTuple):
    """Two cells to compare by a measure."""

    axis: str
    measure: str
    a: Cell
    b: Cell


@dataclass(frozen=True)
class Piece:
    """Cells that are read together, and what is compared of them by each measure."""

    cells: tuple[Cell, ...]
    wanted: tuple[tuple[PairMeasure, tuple[tuple[int, int, str], ...]], ...]  # positions and key
    samples: str  # hash of the samples of the cells
    seed: int


class Compare:
    """All that is to be compared, what of it is known, and the pieces of work that are left.

    Parameters
    ----------
    families : sequence of Family
        What is compared.
    measures : sequence of PairMeasure
        By what.
    seed : int
        Of the groups of samples, and of permutations.
    cache : Cache, optional
        Where values are looked up and kept.
    most_bytes : int
        Of the views of a piece.
    """

    def __init__(
        self,
        families: Sequence[Family],
        measures: Sequence[PairMeasure],
        *,
        seed: int,
        cache: Cache | None = None,
        most_bytes: int = VIEWS_BYTES,
    ) -> None:
        self.known: list[tuple[Pair, dict[str, Any]]] = []
        self.pieces: list[Piece] = []
        self._pairs: dict[str, list[Pair]] = {}  # by key; equal arrays share one
        self._cache = cache
        self._addresses: dict[Cell, str] = {}
        self._samples: dict[Any, str] = {}
        for family in families:
            self._plan(family, measures, seed, most_bytes)

    @property
    def n_pairs(self) -> int:
        """Values of all pairs and measures."""
        return len(self.known) + sum(map(len, self._pairs.values()))

    def values(self, pool: Workers) -> Iterator[tuple[Pair, dict[str, Any]]]:
        """Yield every pair with its value, those known first."""
        yield from self.known
        for found in _finished(self.pieces, pool):
            for key, value in found:
                if self._cache is not None and value.get("error") is None:
                    self._cache.put(key, value)
                for index, pair in enumerate(self._pairs[key]):
                    yield pair, {**value, "cached": index > 0}

    def _plan(
        self, family: Family, measures: Sequence[PairMeasure], seed: int, most_bytes: int
    ) -> None:
        cells = (*family.cells, *family.others)
        samples = self._samples_of(cells[0])
        names = [self._address(cell) for cell in cells]
        wanted: list[tuple[PairMeasure, dict[tuple[int, int], str]]] = []
        for measure in measures:
            missing: dict[tuple[int, int], str] = {}
            for i, j in family.pairs():
                pair = Pair(family.axis, measure.id, cells[i], cells[j])
                key = _key(measure, seed, samples, names[i], names[j])
                if key in self._pairs:
                    self._pairs[key].append(pair)
                elif self._cache is not None and (value := self._cache.get(key)) is not None:
                    self.known.append((pair, {**value, "cached": True}))
                else:
                    self._pairs[key] = [pair]
                    missing[i, j] = key
            if missing:
                wanted.append((measure, missing))
        for part in _tiles(cells, wanted, most_bytes):
            rows = {position: index for index, position in enumerate(part)}
            inside = []
            for measure, missing in wanted:
                here = [pair for pair in missing if pair[0] in rows and pair[1] in rows]
                taken = tuple((rows[i], rows[j], missing.pop((i, j))) for i, j in here)
                if taken:
                    inside.append((measure, taken))
            if inside:
                chosen = tuple(cells[position] for position in part)
                self.pieces.append(Piece(chosen, tuple(inside), samples, seed))

    def _address(self, cell: Cell) -> str:
        if cell not in self._addresses:
            self._addresses[cell] = address(cell)
        return self._addresses[cell]

    def _samples_of(self, cell: Cell) -> str:
        run = cell.run
        key = run.path, run.split, run.dropped
        if key not in self._samples:
            self._samples[key] = samples_hash(run)
        return self._samples[key]


def measure_piece(piece: Piece) -> list[tuple[str, dict[str, Any]]]:
    """Return the values of a piece by their keys; a worker calls this."""
    n = len(piece.cells[0].run.kept)
    order = generator(piece.seed, "similarity", piece.samples).permutation(n)
    views: list[list[Any]] = [[] for _ in piece.wanted]
    needed = [{i for i, j, _ in pairs} | {j for i, j, _ in pairs} for _, pairs in piece.wanted]
    for position, cell in enumerate(piece.cells):
        array = _read(cell)
        for (measure, _), made, of in zip(piece.wanted, views, needed, strict=True):
            made.append(_viewed(measure, array, order) if position in of else None)
    found = []
    for (measure, pairs), made in zip(piece.wanted, views, strict=True):
        for i, j, key in pairs:
            cells = piece.cells[i], piece.cells[j]
            if _swapped(*cells):
                i, j = j, i
            units = cells[0].layer.n_units, cells[1].layer.n_units
            found.append((key, _compared(measure, made[i], made[j], units, key, piece.seed)))
    return found


def _read(cell: Cell) -> Any:
    try:
        return np.asarray(cell.run.activations(cell.step, cell.layer.name))
    except InfoplaneError as error:
        return error


def _viewed(measure: PairMeasure, array: Any, order: Any) -> Any:
    """Return a view with its number of samples and the seconds it took, or why there is none."""
    if isinstance(array, Exception):
        return one_line(array)
    start = time.perf_counter()
    n = min(len(array), measure.most_samples or len(array))
    try:
        view = measure.view(array[order[:n]], dealt(n))
    except InfoplaneError as error:
        return one_line(error)
    return view, n, time.perf_counter() - start


def _compared(
    measure: PairMeasure, x: Any, y: Any, units: tuple[int, int], key: str, seed: int
) -> dict[str, Any]:
    """Return the value of a pair as it is kept, or why there is none."""
    start = time.perf_counter()
    reasons = [side for side in (x, y) if isinstance(side, str)]
    if not reasons:
        try:
            found = measure.compare(x[0], y[0], generator(seed, "similarity", key))
        except InfoplaneError as error:
            reasons = [one_line(error)]
    if not reasons and not np.isfinite(found.value):
        reasons = ["the measure has no value for this pair"]
    if reasons:
        return {"value": None, "reason": reasons[0], "seconds": 0.0}
    return {
        "value": found.value,
        "standard_error": found.standard_error,
        "null": found.null,
        "null_sd": found.null_sd,
        "n": x[1],
        "few": measure.few(x[1], *units),
        "groups": GROUPS,
        "seconds": time.perf_counter() - start,
    }


def _swapped(a: Cell, b: Cell) -> bool:
    return address(a) > address(b)


def _key(measure: PairMeasure, seed: int, samples: str, a: str, b: str) -> str:
    """Return the key of a value: all that it depends on, whichever cell is first."""
    parts = [
        metadata.version("infoplane"), "similarity",
        measure.id, measure.version, measure.most_samples, seed, samples, *sorted((a, b)),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def _tiles(
    cells: Sequence[Cell],
    wanted: Iterable[tuple[PairMeasure, Any]],
    most_bytes: int,
) -> list[tuple[int, ...]]:
    """Return the positions of cells whose views are made together; every pair is in one of them."""
    if not wanted:
        return []
    n = len(cells[0].run.kept)
    sizes = [
        sum(
            measure.view_bytes(min(n, measure.most_samples or n), cell.layer.n_units)
            for measure, _ in wanted
        )
        for cell in cells
    ]
    if sum(sizes) <= most_bytes:
        return [tuple(range(len(cells)))]
    chunks: list[list[int]] = [[]]
    room = most_bytes / 2
    for position, size in enumerate(sizes):
        if chunks[-1] and sum(sizes[p] for p in chunks[-1]) + size > room:
            chunks.append([])
        chunks[-1].append(position)
    both = itertools.combinations_with_replacement(chunks, 2)
    return [tuple(sorted({*one, *other})) for one, other in both]


def _finished(pieces: Sequence[Piece], pool: Workers) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yield what each piece found, as it comes; a piece whose worker died is tried again."""
    executor, waiting = pool.executor, list(reversed(pieces))
    pending: dict[Future[Any], Piece] = {}
    deaths = 0
    while waiting or pending:
        try:
            while waiting and len(pending) < _IN_FLIGHT:
                pending[executor.submit(measure_piece, waiting[-1])] = waiting[-1]
                waiting.pop()
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                found = future.result()
                del pending[future]
                deaths = 0
                yield found
        except BrokenExecutor as error:  # of submitting, or of a result
            deaths += 1
            if pool.renew is None or deaths >= _TRIES:
                raise WorkerError(
                    "a worker process died while layers were compared",
                    hint="run the same command again: finished pairs are kept; fewer processes "
                    "with -j 1, or less memory with --max-memory",
                ) from error
            waiting += pending.values()
            pending.clear()
            executor = pool.renew()

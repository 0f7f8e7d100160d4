"""Compare pairs of cells on any ``concurrent.futures`` executor.

The unit of work is a piece: cells that are read once, and all pairs that are wanted of them, along
whatever axis. A small analysis is one piece. A larger one has a piece for each step, with the
layers of all runs, and one for each layer over its steps, so that no cell is read more than twice;
where the views of a piece do not fit the memory, it is cut. A value depends on the two arrays, the
measure and the seed alone, so that neither workers nor their order matter; it is kept by the
content addresses of both cells.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from infoplane.analysis.engine import Cache, Workers
from infoplane.errors import InfoplaneError, WorkerError
from infoplane.numerics.similarity.samples import GROUPS, dealt
from infoplane.seeding import generator
from infoplane.similarity.cells import Cell, Family, address, samples_hash
from infoplane.similarity.measure import PairMeasure
from infoplane.text import one_line

VIEWS_BYTES = 1 << 31
"""Bytes that the views of one piece of work may take, two views at least."""

_SHORT = 10.0  # CPU seconds of all pairs, up to which they are one piece
_IN_FLIGHT = 8  # pieces submitted and unfinished; they are named, not sent, so these are small
_TRIES = 3  # of a piece whose workers die

_Wanted: TypeAlias = dict[PairMeasure, list[tuple[int, int, str]]]  # positions of cells, and key


class Pair(NamedTuple):
    """Two cells to compare by a measure."""

    axis: str
    measure: str
    a: Cell
    b: Cell


@dataclass(frozen=True)
class Piece:
    """Cells that are read together, and what is compared of them by each measure.

    The views of one measure are made at a time.
    """

    cells: tuple[Cell, ...]
    wanted: _Wanted
    samples: str  # hash of the samples of the cells
    seed: int

    def used(self, measure: PairMeasure) -> set[int]:
        """Return the positions of the cells that a measure compares."""
        return {position for i, j, _ in self.wanted[measure] for position in (i, j)}

    def seconds(self, measure: PairMeasure) -> float:
        """Return about how long the views and comparisons of a measure take, in CPU seconds."""
        costs = {i: measure.seconds(*self._size(measure, i)) for i in self.used(measure)}
        views = sum(view for view, _ in costs.values())
        return views + sum((costs[i][1] + costs[j][1]) / 2 for i, j, _ in self.wanted[measure])

    def bytes(self, measure: PairMeasure) -> int:
        """Return how much the views of a measure take."""
        return sum(measure.view_bytes(*self._size(measure, i)) for i in self.used(measure))

    def _size(self, measure: PairMeasure, position: int) -> tuple[int, int]:
        cell = self.cells[position]
        recorded = len(cell.run.kept)
        return min(recorded, measure.most_samples or recorded), cell.layer.n_units


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
        self._pairs: dict[str, list[Pair]] = {}  # by key; equal arrays share one
        self._cache = cache
        self._numbers: dict[Cell, int] = {}
        self._addresses: list[str] = []  # by number of the cell
        self._samples: dict[Any, str] = {}
        places: dict[tuple[str, Hashable], _Wanted] = {}
        for family in families:
            samples = self._samples_of(family.cells[0])
            wanted = places.setdefault((samples, family.place), {})
            self._plan(family, measures, seed, samples, wanted)
        self.pieces = self._pieces(places, seed, most_bytes)

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
        self, family: Family, measures: Sequence[PairMeasure], seed: int, samples: str,
        wanted: _Wanted,
    ) -> None:  # fmt: skip
        """Add to ``wanted`` what is not known of a family."""
        cells = (*family.cells, *family.others)
        numbers = [self._number(cell) for cell in cells]
        names = [self._addresses[number] for number in numbers]
        for measure in measures:
            start = _start_of_key(measure, seed, samples)
            missing, name = wanted.setdefault(measure, []), measure.id
            for i, j in family.pairs():
                pair = Pair(family.axis, name, cells[i], cells[j])
                first, second = (i, j) if names[i] <= names[j] else (j, i)
                key = _key(start, names[first], names[second])
                if key in self._pairs:
                    self._pairs[key].append(pair)
                elif self._cache is not None and (value := self._cache.get(key)) is not None:
                    self.known.append((pair, {**value, "cached": True}))
                else:
                    self._pairs[key] = [pair]
                    missing.append((numbers[first], numbers[second], key))

    def _pieces(
        self, places: Mapping[tuple[str, Hashable], _Wanted], seed: int, most_bytes: int
    ) -> list[Piece]:
        """Return what is left to do, what little there is of the same samples in one piece."""
        cells = list(self._numbers)
        by_samples: dict[str, list[_Wanted]] = defaultdict(list)
        for (samples, _), wanted in places.items():
            by_samples[samples].append({of: pairs for of, pairs in wanted.items() if pairs})
        found = []
        for samples, parts in by_samples.items():
            whole = _joined(parts)
            every = _piece(cells, whole, samples, seed)
            if _most(every) <= most_bytes and sum(map(every.seconds, every.wanted)) <= _SHORT:
                parts = [whole]
            for part in (_piece(cells, wanted, samples, seed) for wanted in parts if wanted):
                found += _cut(part, most_bytes)
        return found

    def _number(self, cell: Cell) -> int:
        if cell not in self._numbers:
            self._numbers[cell] = len(self._numbers)
            self._addresses.append(address(cell))
        return self._numbers[cell]

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
    arrays = [_read(cell) for cell in piece.cells]  # maps of the files: they take no memory
    found = []
    for measure, pairs in piece.wanted.items():
        views = {i: _viewed(measure, arrays[i], order) for i in piece.used(measure)}
        for i, j, key in pairs:
            units = piece.cells[i].layer.n_units, piece.cells[j].layer.n_units
            found.append((key, _compared(measure, views[i], views[j], units, key, piece.seed)))
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


def _start_of_key(measure: PairMeasure, seed: int, samples: str) -> str:
    """Return all that a value depends on besides its two cells."""
    parts = [
        metadata.version("infoplane"), "similarity",
        measure.id, measure.version, measure.most_samples, seed, samples,
    ]  # fmt: skip
    return json.dumps(parts, separators=(",", ":"))


def _key(start: str, *addresses: str) -> str:
    return hashlib.sha256(" ".join((start, *addresses)).encode()).hexdigest()


def _joined(parts: Iterable[_Wanted]) -> _Wanted:
    found: _Wanted = defaultdict(list)
    for part in parts:
        for measure, pairs in part.items():
            found[measure] += pairs
    return dict(found)


def _piece(cells: Sequence[Cell], wanted: _Wanted, samples: str, seed: int) -> Piece:
    """Return a piece of some of the cells, which ``wanted`` numbers."""
    used = sorted({number for pairs in wanted.values() for i, j, _ in pairs for number in (i, j)})
    at = {number: position for position, number in enumerate(used)}
    placed = {of: [(at[i], at[j], key) for i, j, key in wanted[of]] for of in wanted}
    return Piece(tuple(cells[number] for number in used), placed, samples, seed)


def _most(piece: Piece) -> int:
    return max(map(piece.bytes, piece.wanted), default=0)


def _cut(piece: Piece, most_bytes: int) -> list[Piece]:
    """Return pieces of two chunks of the cells each, whose views fit; together they are all of it.

    A pair within a chunk is in the first piece that has the chunk.
    """
    if _most(piece) <= most_bytes:
        return [piece]
    chunk, filled = 0, 0
    chunk_of = []
    for position in range(len(piece.cells)):
        size = max(of.view_bytes(*piece._size(of, position)) for of in piece.wanted)
        if filled and filled + size > most_bytes / 2:
            chunk, filled = chunk + 1, 0
        filled += size
        chunk_of.append(chunk)
    parts: dict[tuple[int, int], _Wanted] = {
        both: defaultdict(list) for both in itertools.combinations(range(chunk + 1), 2)
    }
    for measure, pairs in piece.wanted.items():
        for i, j, key in pairs:
            a, b = sorted((chunk_of[i], chunk_of[j]))
            both = (a, b) if a < b else (max(a - 1, 0), max(a, 1))
            parts[both][measure].append((i, j, key))
    return [
        _piece(piece.cells, dict(part), piece.samples, piece.seed)
        for part in parts.values()
        if part
    ]


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

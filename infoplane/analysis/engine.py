"""Run estimators over the cells of recorded runs, on any ``concurrent.futures`` executor.

A cell is (run, step, part, estimator), the part being a layer or what else the estimator is about.
Cells are independent; what they share is prepared once per group of runs, per run and per layer, on
the same executor. Costly work is begun first, so that no worker is left alone with it at the end.
Cells that the cache knows are not computed again, and work that a lost worker took with it is tried
again.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from infoplane.analysis import remembered, worker
from infoplane.analysis.handover import Handover, OutOfReachError, taken
from infoplane.analysis.keys import CellKeys
from infoplane.analysis.selection import Cells, Group, Part, groups_of, parts_of
from infoplane.analysis.worker import FinitePart, Undefined
from infoplane.errors import InfoplaneError, InputError, WorkerError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Measurement
from infoplane.estimators.registry import estimator_id, sweep_points
from infoplane.numerics.devices import device_for
from infoplane.runs.run import Run
from infoplane.text import one_line

log = logging.getLogger("infoplane")

_IN_FLIGHT = 64  # submitted and unfinished pieces of work; bounds the memory of the queue
_PIECE_SECONDS = 0.2  # cheap cells travel together, until they take about this long
_TRIES = 3  # of a piece of work whose workers die
_HOPELESS = 10  # workers that died one after the other without finishing anything


class Cache(Protocol):
    """Keeps JSON values by key, e.g. ``infoplane.analysis.cache.CellCache``."""

    def get(self, key: str) -> Any:
        """Return the value, None if there is none."""

    def put(self, key: str, value: Any) -> None:
        """Keep a value."""


class Workers(Protocol):
    """Where the work is done."""

    @property
    def executor(self) -> Executor:
        """The executor in use."""

    @property
    def renew(self) -> Callable[[], Executor] | None:
        """Returns a new executor in place of a broken one; None where none can break."""

    @property
    def exchange(self) -> Path | None:
        """Folder that all workers see; None where all see the temporary files of this machine."""


@dataclass(frozen=True)
class _Work:
    """A piece of work: preparing a group, a run or a layer, or measuring some steps."""

    run: Run  # of a group, the first that needs it
    estimator: Estimator
    group: Group | None = None  # that is prepared, if it is one
    part: Part | None = None
    prepared: Any = None
    steps: tuple[int, ...] = ()
    rank: tuple[float, ...] = ()  # the lowest is begun first
    bytes: int = 0  # that a worker needs for it
    tries: int = 0
    gpu: str | None = None  # where to compute, if not on the processor

    def submit(self, executor: Executor, seed: int, analysis: str) -> Future[Any]:
        if self.group is not None:
            parts = [FinitePart.of_run(run, self.gpu) for run in self.group.runs]
            return executor.submit(
                worker.prepare_group, parts, self.estimator, seed, self.group.name
            )
        if self.part is None:
            finite = FinitePart.of_run(self.run, self.gpu)
            return executor.submit(worker.prepare_run, finite, self.estimator, seed, self.prepared)
        if not self.steps:
            layer = self.part.slots[0]
            finite = FinitePart.of_layer(self.run, layer, self.gpu)
            return executor.submit(
                worker.prepare_layer, finite, self.estimator, seed, layer, self.prepared
            )
        return executor.submit(
            worker.measure,
            self.run, self.estimator, seed, self.part, self.prepared, self.steps, self.gpu,
            analysis,
        )  # fmt: skip

    def given_up(self, reason: str) -> Any:
        """Return what stands in for the result."""
        if not self.steps or self.part is None:
            return Undefined(reason, repeatable=False)
        return [
            worker.lost(self.run, self.estimator, self.part, step, reason) for step in self.steps
        ]


def analyze(
    cells: Cells,
    estimators: Sequence[Estimator],
    executor: Executor,
    *,
    seed: int = 0,
    keep: Callable[[dict[str, dict[str, Any]]], None] | None = None,
    cache: Cache | None = None,
    renew: Callable[[], Executor] | None = None,
    max_bytes: int | None = None,
    device: str = "cpu",
    exchange: Path | None = None,
    shared: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> Iterator[Measurement]:
    """Estimate every cell and yield measurements as they finish, cached ones first.

    Parameters
    ----------
    cells : mapping
        As ``select_cells`` returns them.
    estimators : sequence of Estimator
        No two may be the same, nor a sweep go over a value that another one has.
    executor : concurrent.futures.Executor
        Any: processes, dask, MPI.
    seed : int
        All random streams derive from it.
    keep : callable, optional
        Receives the artifacts of each run and estimator, see ``Estimator.artifacts``.
    cache : Cache, optional
        Finished cells are looked up and kept here, by content (``infoplane.analysis.keys``).
    renew : callable, optional
        Returns a new executor where a dead worker broke the first one. What was under way is then
        tried again piece by piece, and only work that breaks its worker every time is given up:
        its cells fail.
    max_bytes : int, optional
        Begin no cell while those under way and this one would need more, by ``Estimator.cost``;
        one cell at a time is always begun.
    device : str, default "cpu"
        ``cpu``, ``cuda`` (workers take the GPUs of their machine in turn), ``cuda:K``, or ``auto``,
        see ``infoplane.numerics.devices``. Estimators that use no GPU compute on the processor.
    exchange : Path, optional
        Folder that all workers see, for what their cells share (``infoplane.analysis.handover``);
        that for temporary files of this machine unless given.
    shared : mapping, optional
        What the runs of a group share, as an earlier analysis kept it (``Estimator.restored``), by
        name of the group and estimator id; the others prepare it.

    Raises
    ------
    InputError
        If two estimators are the same, or an estimator cannot work on a run at all.
    NotFoundError
        If a run holds nothing that an estimator is about, e.g. no weights.
    RunFileError
        If a file of a run cannot be read.
    WorkerError
        If a worker process died and there is no ``renew``.
    """
    with Handover(exchange) as handover:
        yield from _analyze(
            cells,
            estimators,
            _Schedule(executor, seed, renew, max_bytes, handover),
            keep=keep,
            cache=cache,
            device=device,
            shared=shared or {},
        )


def _analyze(
    cells: Cells,
    estimators: Sequence[Estimator],
    schedule: _Schedule,
    *,
    keep: Callable[[dict[str, dict[str, Any]]], None] | None,
    cache: Cache | None,
    device: str,
    shared: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Iterator[Measurement]:
    seed, handover = schedule.seed, schedule.handover
    check_different(estimators)
    pairs = list(itertools.product(cells, estimators))
    keys: dict[tuple[Run, str], CellKeys] = {}
    parts = [parts_of(estimator, run, cells[run][0]) for run, estimator in pairs]
    wanted: dict[tuple[Run, str], dict[Part, list[int]]] = {}
    groups = groups_of(cells)
    members: dict[tuple[str, str], list[_Work]] = {}  # that wait for what their group shares
    restored: dict[tuple[str, str], Any] = {}
    for (run, estimator), to_measure in zip(pairs, parts, strict=True):
        gpu = gpu_for(estimator, len(run.kept), device)
        of = (groups[run].name, estimator_id(estimator))
        kept = shared.get(of)
        key = keys[run, of[1]] = CellKeys(run, estimator, seed, gpu, groups[run], kept)
        missing = wanted[run, key.estimator_id] = {}
        for part in to_measure:
            for step in cells[run][1]:
                found = cache.get(key.cell(part.slots, step)) if cache else None
                measured = remembered.measurement(found, run.name, step, part, estimator)
                if measured is None:
                    missing.setdefault(part, []).append(step)
                else:
                    yield measured
        known = remembered.artifacts(cache.get(key.artifacts)) if cache else None
        if missing or known is None:
            first = (-float("inf"), len(schedule.waiting))
            work = _Work(run, estimator, rank=first, gpu=gpu)
            if type(estimator).prepare_group is Estimator.prepare_group:
                schedule.add(work)
            elif kept is not None:
                if of not in restored:
                    restored[of] = handover.give(estimator.restored(kept))
                schedule.add(replace(work, prepared=restored[of]))
            else:
                waiting = members.setdefault(of, [])
                waiting.append(work)
                if len(waiting) == 1:
                    schedule.add(replace(work, group=groups[run]))
        elif keep is not None:
            keep(known)
    for work, result in schedule:
        key = keys[work.run, estimator_id(work.estimator)]
        missing = wanted[work.run, key.estimator_id]
        if work.group is not None:
            given = handover.give(result)
            for member in members[work.group.name, key.estimator_id]:
                schedule.add(replace(member, prepared=given))
        elif work.part is None:
            if not isinstance(result, Undefined):
                artifacts = work.estimator.artifacts(result)
                if keep is not None:
                    keep(artifacts)
                if cache is not None:
                    cache.put(key.artifacts, artifacts)
            given = handover.give(result)
            for part, todo in missing.items():
                cost = work.estimator.needs(len(work.run.kept), part.n_units)
                rank = (-cost.seconds, *work.rank[1:], part.slots[0].index)
                one = replace(work, part=part, prepared=given, rank=rank, bytes=cost.bytes, tries=0)
                if part.subject is None:
                    schedule.add(one)
                else:  # nothing is prepared for it
                    schedule.add_pieces(one, todo)
        elif not work.steps:
            prepared = replace(work, prepared=handover.give(result), tries=0)
            schedule.add_pieces(prepared, missing[work.part])
        else:
            for measured in result:
                if cache is not None and measured.repeatable:
                    cache.put(key.cell(work.part.slots, measured.step), measured.content())
                yield measured


def check_different(estimators: Sequence[Estimator]) -> None:
    """Refuse estimators whose rows could not be told apart, sweeps that meet included.

    Raises
    ------
    InputError
        If two are the same, or two different ones are called alike.
    """
    known: dict[str, str] = {}
    classes: dict[str, type[Estimator]] = {}
    for estimator in estimators:
        cls, name = type(estimator), estimator_id(estimator)
        if classes.setdefault(cls.name, cls) is not cls:
            raise InputError(
                f"expected estimators of different names, got two called {cls.name!r}",
                hint="change the name in one of the files",
            )
        points = {estimator_id(point): name for point in sweep_points(estimator)}
        for point in known.keys() & points:
            both = "" if known[point] == name else f": in {known[point]!r} and in {name!r}"
            raise InputError(f"expected each estimator once, got {point!r} twice{both}")
        known |= points


def gpu_for(estimator: Estimator, n_samples: int, device: str) -> str | None:
    """Return the GPU on which an estimator is to compute, None for the processor."""
    return device_for(device, estimator.name, n_samples) if estimator.accelerated else None


@dataclass
class _Schedule:
    """Hands out work, cheapest rank first; iterating yields each piece with its result."""

    executor: Executor
    seed: int
    renew: Callable[[], Executor] | None
    max_bytes: int | None
    handover: Handover
    waiting: list[tuple[tuple[float, ...], int, _Work]] = field(default_factory=list)
    suspects: list[_Work] = field(default_factory=list)  # was under way when a worker died

    def __post_init__(self) -> None:
        self.name = uuid.uuid4().hex
        self._added = 0
        self._deaths = 0  # since the last piece of work that was finished

    def add(self, work: _Work) -> None:
        """Queue a piece of work."""
        self._added += 1
        heapq.heappush(self.waiting, (work.rank, self._added, work))

    def add_pieces(self, work: _Work, todo: Sequence[int]) -> None:
        """Queue the steps of a part; cheap ones together."""
        size = max(1, min(int(-_PIECE_SECONDS / work.rank[0]), len(todo) // 8))
        for start in range(0, len(todo), size):
            steps = tuple(todo[start : start + size])
            self.add(replace(work, steps=steps, rank=(*work.rank, start)))

    def __iter__(self) -> Iterator[tuple[_Work, Any]]:
        pending: dict[Future[Any], _Work] = {}
        while self.waiting or self.suspects or pending:
            try:
                self._submit(pending)
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
            except BrokenExecutor as error:
                yield from self._lost(pending, error)
                continue
            for future in done:
                error_ = future.exception()
                if isinstance(error_, BrokenExecutor):
                    yield from self._lost(pending, error_)
                    break
                work = pending.pop(future)
                if error_ is None:
                    self._deaths = 0
                    yield work, future.result()
                elif isinstance(error_, OutOfReachError):
                    self.handover.in_full = True
                    self.add(replace(work, prepared=taken(work.prepared)))
                elif isinstance(error_, InfoplaneError) or not isinstance(error_, Exception):
                    raise error_
                else:  # the executor's own word that a worker was lost
                    yield from self._again(work, error_)

    def _submit(self, pending: dict[Future[Any], _Work]) -> None:
        if self.suspects:  # one at a time: if it breaks its worker, we know which it was
            if not pending:
                self._begin(self.suspects.pop(), pending)
            return
        while self.waiting and len(pending) < _IN_FLIGHT:
            if pending and self.max_bytes is not None:
                under_way = sum(work.bytes for work in pending.values())
                if under_way + self.waiting[0][-1].bytes > self.max_bytes:
                    return
            self._begin(heapq.heappop(self.waiting)[-1], pending)

    def _begin(self, work: _Work, pending: dict[Future[Any], _Work]) -> None:
        try:
            pending[work.submit(self.executor, self.seed, self.name)] = work
        except BrokenExecutor:
            self.add(work)
            raise

    def _lost(
        self, pending: dict[Future[Any], _Work], error: BaseException
    ) -> Iterator[tuple[_Work, Any]]:
        """Begin again with a new executor, after a worker died."""
        self._deaths += 1
        if self.renew is None or self._deaths >= _HOPELESS:
            what = "a worker process" if self._deaths < 2 else f"{self._deaths} worker processes"
            raise WorkerError(
                f"{what} died, perhaps for want of memory",
                hint="use fewer processes (-j 1), or fewer samples",
            ) from error
        if self._deaths == 1:
            log.warning(
                "a worker process died, perhaps for want of memory; its work is tried again"
            )
        self.executor = self.renew()
        lost = list(pending.values())
        pending.clear()
        if len(lost) == 1:
            yield from self._again(lost[0], error)
        else:
            self.suspects += lost

    def _again(self, work: _Work, error: BaseException) -> Iterator[tuple[_Work, Any]]:
        if len(work.steps) > 1:
            self.suspects += [replace(work, steps=(step,)) for step in work.steps]
        elif work.tries + 1 < _TRIES:
            self.suspects.append(replace(work, tries=work.tries + 1))
        else:
            told = f"{type(error).__name__}: {one_line(error)}"
            reason = (
                f"no result came from its worker in {_TRIES} tries ({told}): too little memory, "
                "or a prepared state that does not pickle"
            )
            yield work, work.given_up(reason)

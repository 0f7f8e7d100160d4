"""Run estimators over the cells of recorded runs, on any ``concurrent.futures`` executor.

A cell is (run, step, layer, estimator). Cells are independent; what they share is prepared once per
run and once per layer, on the same executor. The random stream of each piece of work is derived
from its name, so results depend neither on the executor nor on the order of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoplane.errors import (
    DataError,
    EstimationError,
    InfoplaneError,
    InputError,
    NotFoundError,
    WorkerError,
)
from infoplane.estimators import estimator_id
from infoplane.estimators.base import Estimator
from infoplane.patterns import matches
from infoplane.records import Array, Estimate, LayerInfo, ProbeSet, RunData
from infoplane.seeding import generator
from infoplane.store.run import Run

_IN_FLIGHT = 64  # submitted and unfinished pieces of work; bounds the memory of the queue


@dataclass(frozen=True)
class Measurement:
    """The estimates of one cell; ``error`` says why there are none."""

    run: str
    step: int
    layer: LayerInfo
    estimator: str
    estimates: Mapping[str, Estimate]  # by quantity, as Estimator.estimate returns them
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class _Cell:
    run: Run
    layer: LayerInfo
    step: int
    estimator: Estimator


def select_cells(
    runs: Sequence[Run],
    layers: Sequence[str] = (),
    steps: Sequence[int] | None = None,
    *,
    drop_nonfinite: bool = False,
) -> dict[Run, tuple[list[LayerInfo], list[int]]]:
    """Return the layers and steps of each run that are to be analyzed.

    Parameters
    ----------
    runs : sequence of Run
        Checked here: every step file is opened.
    layers : sequence of str
        Globs over layer names as in recording, ``!GLOB`` excludes; all layers if empty.
    steps : sequence of int, optional
        Keep these steps only, -1 is the last one; all steps if None.
    drop_nonfinite : bool, default False
        Leave samples with NaN or inf in any of these cells out of all cells of their run, so that
        all have the same number of samples.

    Raises
    ------
    NotFoundError
        If a pattern or the steps match nothing.
    RunFileError
        If a run is damaged.
    """
    chosen: dict[Run, tuple[list[LayerInfo], list[int]]] = {}
    include = [pattern for pattern in layers if not pattern.startswith("!")]
    exclude = [pattern[1:] for pattern in layers if pattern.startswith("!")]
    names = [layer.name for run in runs for layer in run.layers]
    for pattern in [*include, *exclude]:
        if not any(matches(name, pattern) for name in names):
            raise NotFoundError(
                f"no layer matches {pattern!r}",
                hint=f"{runs[0].path} has {' '.join(layer.name for layer in runs[0].layers)}",
            )
    for run in runs:
        run.check()
        kept = [
            layer
            for layer in run.layers
            if (not include or any(matches(layer.name, p) for p in include))
            and not any(matches(layer.name, p) for p in exclude)
        ]
        wanted = None if steps is None else {run.steps[-1] if s == -1 else s for s in steps}
        kept_steps = [step for step in run.steps if wanted is None or step in wanted]
        if wanted is not None and (missing := wanted - set(run.steps)):
            raise NotFoundError(
                f"{run.path}: no step {min(missing)}",
                hint=f"it has steps {' '.join(map(str, run.steps))}",
                code="IP402",
            )
        if not kept:
            raise NotFoundError(
                f"{run.path}: no layer is left to analyze",
                hint=f"it has layers {' '.join(layer.name for layer in run.layers)}",
            )
        if drop_nonfinite:
            run = run.without_nonfinite([layer.name for layer in kept], kept_steps)
            if run.n_samples - len(run.dropped) < 2:
                raise DataError(
                    f"{run.path}: only {run.n_samples - len(run.dropped)} of {run.n_samples} "
                    "samples are finite in all layers and steps",
                    hint="leave layers or steps out with --layers and --steps",
                    code="IP316",
                )
        chosen[run] = (kept, kept_steps)
    return chosen


def analyze(
    cells: Mapping[Run, tuple[Sequence[LayerInfo], Sequence[int]]],
    estimators: Sequence[Estimator],
    executor: Executor,
    *,
    seed: int = 0,
    keep: Callable[[dict[str, dict[str, Any]]], None] | None = None,
) -> Iterator[Measurement]:
    """Estimate every cell and yield measurements as they finish.

    Parameters
    ----------
    cells : mapping
        As ``select_cells`` returns them.
    estimators : sequence of Estimator
        Their ids must differ.
    executor : concurrent.futures.Executor
        Any: processes, dask, MPI.
    seed : int
        All random streams derive from it.
    keep : callable, optional
        Receives the artifacts of each run and estimator, see ``Estimator.artifacts``.

    Raises
    ------
    InputError
        If two estimators have the same id, or an estimator cannot work on a run at all.
    RunFileError
        If a file of a run cannot be read.
    WorkerError
        If a worker process died.
    """
    ids = [estimator_id(estimator) for estimator in estimators]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise InputError(f"expected each estimator once, got {twice[0]!r} twice")
    waiting: list[tuple[Any, ...]] = [
        (_prepare_run, run, estimator, seed) for run in cells for estimator in estimators
    ]
    waiting.reverse()  # taken from the end
    pending: dict[Future[Any], tuple[Any, ...]] = {}
    while waiting or pending:
        while waiting and len(pending) < _IN_FLIGHT:
            work = waiting.pop()
            with _workers_alive():
                pending[executor.submit(*work)] = work
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            function, run, estimator, *rest = pending.pop(future)
            with _workers_alive():
                result = future.result()
            layers, steps = cells[run]
            if function is _prepare_run:
                if keep is not None and not isinstance(result, _Undefined):
                    keep(estimator.artifacts(result))
                waiting += [
                    (_prepare_layer, run, estimator, seed, layer, result)
                    for layer in reversed(layers)
                ]
            elif function is _prepare_layer:
                waiting += [
                    (_measure, run, estimator, seed, rest[1], result, step)
                    for step in reversed(steps)
                ]
            else:
                yield result


@contextmanager
def _workers_alive() -> Iterator[None]:
    try:
        yield
    except BrokenExecutor as error:
        raise WorkerError(
            "a worker process died, perhaps for want of memory",
            hint="use fewer processes (-j 1), or fewer samples",
        ) from error


@dataclass(frozen=True)
class _FinitePart:
    """The steps and layers of a run that hold no NaN or inf; what is prepared sees this."""

    run: Run
    layers: Sequence[LayerInfo]
    steps: Sequence[int]

    @classmethod
    def of_run(cls, run: Run) -> _FinitePart:
        """Keep layers that are finite somewhere, and the steps at which all of these are."""
        finite = {step: ~_spoiled(run, step) for step in run.steps}
        kept = np.logical_or.reduce(list(finite.values()))
        if not any(finite[step][kept].all() for step in run.steps):
            kept = max(finite.values(), key=np.count_nonzero)
        steps = [step for step in run.steps if finite[step][kept].all()]
        layers = [layer for layer, good in zip(run.layers, kept, strict=True) if good]
        return cls(run, layers, steps if layers else [])

    @classmethod
    def of_layer(cls, run: Run, layer: LayerInfo) -> _FinitePart:
        """Keep the steps at which one layer is finite."""
        steps = [step for step in run.steps if not _spoiled(run, step)[layer.index]]
        return cls(run, run.layers, steps)

    @property
    def probe(self) -> ProbeSet:
        return self.run.probe

    def activations(self, step: int, layer: str) -> Array:
        return self.run.activations(step, layer)


def _spoiled(run: Run, step: int) -> NDArray[np.bool_]:
    """Tell of each layer (n_layers,) whether it holds NaN or inf at a step."""
    counts = np.array(run.step_info(step).nonfinite) > 0
    if run.dropped:
        for index in np.flatnonzero(counts):
            found = run.activations(step, run.layers[index].name)
            counts[index] = not np.isfinite(found).all()
    return counts


@dataclass(frozen=True)
class _Undefined:
    """Stands for what could not be prepared; every cell that needs it fails with the reason."""

    reason: str


def _prepared(part: _FinitePart, prepare: Callable[[RunData], Any]) -> Any:
    """Return what ``prepare`` makes of the finite part of a run, or why there is nothing."""
    if not part.steps:
        return _Undefined("NaN or inf at every step")
    try:
        return prepare(part)
    except EstimationError as error:
        return _Undefined(str(error))
    except InfoplaneError:
        raise
    except Exception as error:  # noqa: BLE001  - must not cost the other estimators their cells
        return _Undefined(f"unexpected {type(error).__name__}: {error}")


def _prepare_run(run: Run, estimator: Estimator, seed: int) -> Any:
    rng = generator(seed, run.name, estimator_id(estimator))
    return _prepared(_FinitePart.of_run(run), lambda part: estimator.prepare_run(part, rng))


def _prepare_layer(run: Run, estimator: Estimator, seed: int, layer: LayerInfo, shared: Any) -> Any:
    if isinstance(shared, _Undefined):
        return shared
    rng = generator(seed, run.name, estimator_id(estimator), layer.name)
    part = _FinitePart.of_layer(run, layer)
    return _prepared(part, lambda part: estimator.prepare_layer(shared, part, layer, rng))


def _measure(
    run: Run, estimator: Estimator, seed: int, layer: LayerInfo, prepared: Any, step: int
) -> Measurement:
    """Estimate one cell, in a worker. What is wrong with the data of the cell fails it alone."""
    name = estimator_id(estimator)
    rng = generator(seed, run.name, name, layer.name, step)
    start = time.process_time()
    estimates: Mapping[str, Estimate] = {}
    error = None
    try:
        activations = run.activations(step, layer.name, verify=True)
        if activations.dtype.kind == "f" and not np.isfinite(activations).all():
            bad = int((~np.isfinite(activations).all(axis=1)).sum())
            error = f"NaN or inf in {bad} of {len(activations)} rows"
            estimates = _failed(estimator, ("failed", "nonfinite"), error)
        elif isinstance(prepared, _Undefined):
            error = prepared.reason
            estimates = _failed(estimator, ("failed",), error)
        else:
            estimates = estimator.estimate(prepared, activations, rng)
    except (EstimationError, InputError) as problem:
        error = str(problem)
        estimates = _failed(estimator, ("failed",), error)
    except InfoplaneError:
        raise
    except Exception as problem:  # noqa: BLE001  - one bad cell must not cost the others
        error = f"unexpected {type(problem).__name__}: {problem}"
        estimates = _failed(estimator, ("failed",), error)
    seconds = time.process_time() - start
    return Measurement(run.name, step, layer, name, estimates, seconds, error)


def _failed(estimator: Estimator, flags: Iterable[str], reason: str) -> dict[str, Estimate]:
    empty = Estimate(None, flags=tuple(flags), diagnostics={"reason": reason})
    return dict.fromkeys(estimator.quantities, empty)

"""The work on one cell of an analysis and on what cells share, as a worker does it.

A cell is (run, step, layer, estimator). The random stream of each piece of work is derived from its
name, so a number depends on neither the worker nor the order of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np

from infoplane.analysis.handover import taken
from infoplane.arrays import count_nonfinite_rows
from infoplane.data import Array, LayerInfo, ProbeSet
from infoplane.errors import EstimationError, InfoplaneError, InputError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate, Measurement
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.registry import estimator_id
from infoplane.numerics import devices
from infoplane.runs.run import Run
from infoplane.seeding import generator


@dataclass(frozen=True)
class FinitePart:
    """The steps and layers of a run that hold no NaN or inf; what is prepared sees this.

    With a ``gpu``, ``cuda`` or ``cuda:K``, activations are tensors there.
    """

    run: Run
    layers: Sequence[LayerInfo]
    steps: Sequence[int]
    gpu: str | None = None

    @classmethod
    def of_run(cls, run: Run, gpu: str | None = None) -> FinitePart:
        """Keep layers that are finite somewhere, and the steps at which all of these are."""
        finite = {step: ~run.spoiled(step) for step in run.steps}
        kept = np.logical_or.reduce(list(finite.values()))
        if not any(finite[step][kept].all() for step in run.steps):
            kept = max(finite.values(), key=np.count_nonzero)
        steps = [step for step in run.steps if finite[step][kept].all()]
        layers = [layer for layer, good in zip(run.layers, kept, strict=True) if good]
        return cls(run, layers, steps if layers else [], gpu)

    @classmethod
    def of_layer(cls, run: Run, layer: LayerInfo, gpu: str | None = None) -> FinitePart:
        """Keep the steps at which one layer is finite."""
        steps = [step for step in run.steps if not run.spoiled(step)[layer.index]]
        return cls(run, run.layers, steps, gpu)

    @cached_property
    def device(self) -> str | None:
        """The torch device of this worker; None where NumPy computes."""
        return None if self.gpu is None else devices.own_gpu(self.gpu)

    @property
    def probe(self) -> ProbeSet:
        """The samples."""
        return self.run.probe

    def activations(self, step: int, layer: str) -> Array:
        """Return activations (n_samples, n_units)."""
        found: Any = self.run.activations(step, layer)
        if self.device is not None:
            found = devices.on_device(found, self.device)
        return cast("Array", found)  # or a tensor, for estimators that ask for it


@dataclass(frozen=True)
class Undefined:
    """Stands for what could not be prepared; every cell that needs it fails with the reason."""

    reason: str
    repeatable: bool = True


def prepare_run(part: FinitePart, estimator: Estimator, seed: int) -> Any:
    """Return what all cells of a run and an estimator share."""
    rng = generator(seed, part.run.name, estimator_id(estimator))
    return _prepared(part, lambda: estimator.seeded(seed).prepare_run(part, rng))


def prepare_layer(
    part: FinitePart, estimator: Estimator, seed: int, layer: LayerInfo, shared: Any
) -> Any:
    """Return what all cells of a layer and an estimator share."""
    shared = taken(shared)
    if isinstance(shared, Undefined):
        return shared
    rng = generator(seed, part.run.name, estimator_id(estimator), layer.name)
    ready = estimator.seeded(seed)
    return _prepared(part, lambda: ready.prepare_layer(shared, part, layer, rng))


def measure(
    run: Run,
    estimator: Estimator,
    seed: int,
    layer: LayerInfo,
    prepared: Any,
    steps: Sequence[int],
    gpu: str | None = None,
    analysis: str = "",
) -> list[Measurement]:
    """Estimate cells of one layer; what is wrong with the data of a cell fails that cell alone.

    A worker reads the metadata of a run once in an ``analysis``, which any text may name.
    """
    run = _known(run, analysis)
    device = None if gpu is None else devices.own_gpu(gpu)
    prepared = taken(prepared)
    return [_measure(run, estimator, seed, layer, prepared, step, device) for step in steps]


@lru_cache(maxsize=8)
def _known(run: Run, analysis: str) -> Run:
    """Return the equal run that came first in an analysis, with what it knows of its files."""
    return run


def lost(run: Run, estimator: Estimator, layer: LayerInfo, step: int, reason: str) -> Measurement:
    """Return what stands in for a cell that no worker survived."""
    estimates = estimator.failed(reason)
    name = estimator_id(estimator)
    return Measurement(run.name, step, layer, name, estimates, 0.0, reason, repeatable=False)


def _prepared(part: FinitePart, prepare: Callable[[], Any]) -> Any:
    """Return what ``prepare`` makes of the finite part of a run, or why there is nothing."""
    if not part.steps:
        return Undefined("NaN or inf at every step")
    try:
        return prepare()
    except EstimationError as error:
        return Undefined(str(error))
    except InfoplaneError:
        raise
    except Exception as error:  # noqa: BLE001  - must not cost the other estimators their cells
        return Undefined(f"unexpected {type(error).__name__}: {error}", repeatable=False)


def _measure(
    run: Run,
    estimator: Estimator,
    seed: int,
    layer: LayerInfo,
    prepared: Any,
    step: int,
    device: str | None,
) -> Measurement:
    name = estimator_id(estimator)
    rng = generator(seed, run.name, name, layer.name, step)
    estimator = estimator.seeded(seed)
    start = time.process_time()
    estimates: Mapping[str, Estimate] = {}
    error = None
    repeatable = True
    try:
        activations = run.activations(step, layer.name, verify=True)
        bad = count_nonfinite_rows(activations) if activations.dtype.kind == "f" else 0
        if bad:
            error = f"NaN or inf in {bad} of {len(activations)} rows"
            estimates = estimator.failed(error, "nonfinite")
        elif isinstance(prepared, Undefined):
            error, repeatable = prepared.reason, prepared.repeatable
            estimates = estimator.failed(error)
        elif device is None:
            estimates = _checked(estimator, estimator.estimate(prepared, activations, rng))
        else:
            tensor: Any = devices.on_device(activations, device)
            found = _checked(estimator, estimator.estimate(prepared, tensor, rng))
            estimates = _noted(found, device=devices.device_name(device))
    except (EstimationError, InputError) as problem:
        error = str(problem)
        estimates = estimator.failed(error)
    except InfoplaneError:
        raise
    except Exception as problem:  # noqa: BLE001  - one bad cell must not cost the others
        error, repeatable = f"unexpected {type(problem).__name__}: {problem}", False
        estimates = estimator.failed(error)
    seconds = time.process_time() - start
    return Measurement(
        run.name, step, layer, name, estimates, seconds, error, repeatable=repeatable
    )


def _checked(estimator: Estimator, found: object) -> Mapping[str, Estimate]:
    """Return what an estimator returned, if it is what it declares.

    Raises
    ------
    EstimationError
        If it is no mapping of declared quantities to estimates.
    """
    if not isinstance(found, Mapping):
        raise EstimationError(
            f"{estimator.name} returned {type(found).__name__}, expected estimates by quantity"
        )
    names = [quantity.name for quantity in estimator.quantities]
    for key, estimate in found.items():
        if MeasureId.read(str(key)).name not in names:
            raise EstimationError(
                f"{estimator.name} returned {key!r}, which it does not declare; "
                f"it declares {', '.join(names)}"
            )
        if not isinstance(estimate, Estimate):
            raise EstimationError(
                f"{estimator.name} returned {type(estimate).__name__} for {key}, "
                "expected an Estimate"
            )
    return found


def _noted(estimates: Mapping[str, Estimate], **notes: Any) -> dict[str, Estimate]:
    """Return the estimates with something more in their diagnostics."""
    return {
        key: replace(found, diagnostics={**found.diagnostics, **notes})
        for key, found in estimates.items()
    }

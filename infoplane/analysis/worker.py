"""The work on one cell of an analysis and on what cells share, as a worker does it.

A cell is (run, step, part, estimator), the part a layer or what else the estimator is about. The
random stream of each piece of work is derived from its name, so a number depends on neither the
worker nor the order of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np

from infoplane.analysis.handover import taken
from infoplane.analysis.limit import OutOfTime, at_most
from infoplane.analysis.selection import Part, step_before
from infoplane.arrays import count_nonfinite_rows
from infoplane.data import Array, ProbeSet, Slot
from infoplane.errors import EstimationError, InfoplaneError, InputError
from infoplane.estimators.base import Consecutive, Estimator, check_estimates
from infoplane.estimators.estimate import Estimate, Measurement
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import IXT, IXT_FIXED, IXT_GIVEN_Y
from infoplane.estimators.registry import estimator_id
from infoplane.numerics import devices
from infoplane.numerics.sequences import Sequences, in_sequences
from infoplane.runs.run import Run
from infoplane.seeding import generator

_OF_INPUTS = {one.name for one in (IXT, IXT_FIXED, IXT_GIVEN_Y)}


@dataclass(frozen=True)
class FinitePart:
    """The steps and layers of a run that hold no NaN or inf; what is prepared sees this.

    With a ``gpu``, ``cuda`` or ``cuda:K``, activations are tensors there.
    """

    run: Run
    layers: Sequence[Slot]
    steps: Sequence[int]
    gpu: str | None = None

    @classmethod
    def of_run(cls, run: Run, gpu: str | None = None) -> FinitePart:
        """Keep layers that are finite somewhere, and the steps at which all of these are."""
        spoiled = {step: run.spoiled(step) for step in run.steps}
        names = {layer.name for layer in run.layers}
        kept = names - frozenset.intersection(*spoiled.values())
        if not any(kept.isdisjoint(bad) for bad in spoiled.values()):
            kept = names - min(spoiled.values(), key=len)
        steps = [step for step in run.steps if kept.isdisjoint(spoiled[step])]
        layers = [layer for layer in run.layers if layer.name in kept]
        return cls(run, layers, steps if layers else [], gpu)

    @classmethod
    def of_layer(cls, run: Run, layer: Slot, gpu: str | None = None) -> FinitePart:
        """Keep the steps at which one layer is finite."""
        steps = [step for step in run.steps if layer.name not in run.spoiled(step)]
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


def prepare_group(parts: Sequence[FinitePart], estimator: Estimator, seed: int, group: str) -> Any:
    """Return what all cells of a group of runs and an estimator share."""
    parts = sorted((part for part in parts if part.steps), key=lambda part: part.run.name)
    rng = generator(seed, "group", group, estimator_id(estimator))
    ready = estimator.seeded(seed)
    return _prepared(bool(parts), lambda: ready.prepare_group(parts, rng))


def prepare_run(part: FinitePart, estimator: Estimator, seed: int, shared: Any = None) -> Any:
    """Return what all cells of a run and an estimator share."""
    shared = taken(shared)
    if isinstance(shared, Undefined):
        return shared
    rng = generator(seed, part.run.name, estimator_id(estimator))
    ready = estimator.seeded(seed)
    able = bool(part.steps) or estimator.reads != "arrays"
    return _prepared(able, lambda: ready.prepare_member(shared, part, rng))


def prepare_layer(
    part: FinitePart, estimator: Estimator, seed: int, layer: Slot, shared: Any
) -> Any:
    """Return what all cells of a layer and an estimator share."""
    shared = taken(shared)
    if isinstance(shared, Undefined):
        return shared
    rng = generator(seed, part.run.name, estimator_id(estimator), layer.name)
    ready = estimator.seeded(seed)
    able = bool(part.steps) or estimator.reads == "step"
    return _prepared(able, lambda: ready.prepare_layer(shared, part, layer, rng))


def measure(
    run: Run,
    estimator: Estimator,
    seed: int,
    part: Part,
    prepared: Any,
    steps: Sequence[int],
    gpu: str | None = None,
    analysis: str = "",
) -> list[Measurement]:
    """Estimate cells of one part; what is wrong with the data of a cell fails that cell alone.

    A worker reads the metadata of a run once in an ``analysis``, which any text may name.
    """
    run = _known(run, analysis)
    device = None if gpu is None else devices.own_gpu(gpu)
    prepared = taken(prepared)
    return [_measure(run, estimator, seed, part, prepared, step, device) for step in steps]


@lru_cache(maxsize=8)
def _known(run: Run, analysis: str) -> Run:
    """Return the equal run that came first in an analysis, with what it knows of its files."""
    return run


def lost(run: Run, estimator: Estimator, part: Part, step: int, reason: str) -> Measurement:
    """Return what stands in for a cell that no worker survived."""
    estimates = estimator.failed(reason)
    return Measurement(
        run.name, step, part.slots[0], estimator_id(estimator), estimates, 0.0, reason,
        repeatable=False, subject=part.subject,
    )  # fmt: skip


def _prepared(finite: bool, prepare: Callable[[], Any]) -> Any:
    """Return what ``prepare`` makes of what is finite, or why there is nothing."""
    if not finite:
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
    part: Part,
    prepared: Any,
    step: int,
    device: str | None,
) -> Measurement:
    name = estimator_id(estimator)
    rng = generator(seed, run.name, name, part.label, step)
    estimator = estimator.seeded(seed)
    start = time.process_time()
    estimates: Mapping[str, Estimate] = {}
    error = None
    repeatable = True
    try:
        values, given = _read(run, estimator, part, step, device)
        may_lack = estimator.subject == "attention"  # a sample without a token
        bad = [(n, array) for array in values if not may_lack and (n := _nonfinite_rows(array))]
        if bad:
            error = f"NaN or inf in {bad[0][0]} of {len(bad[0][1])} rows"
            estimates = estimator.failed(error, "nonfinite")
        elif isinstance(prepared, Undefined):
            error, repeatable = prepared.reason, prepared.repeatable
            estimates = estimator.failed(error)
        else:
            cost = estimator.needs(len(run.kept), part.n_units)
            if estimator.subject == "pair":
                prepared = estimator.prepare_pair(prepared, part.slots)
            with at_most(cost), in_sequences(run.probe.sequences) as drawn:
                estimates = check_estimates(estimator, estimator.estimate(prepared, given, rng))
            if drawn is not None and estimator.reads != "step":
                estimates = _of_tokens(estimates, drawn)
            # What was left out for want of time may be there on another machine, or at night.
            repeatable = not any("timeout" in one.flags for one in estimates.values())
            if part.slots[0].random and estimator.counts_noise:
                estimates = _of_one_pass(estimates)
            if device is not None:
                estimates = _noted(estimates, device=devices.device_name(device))
    except OutOfTime:
        error = f"given up after {cost.limit:g} s of computing, as its estimator asks"
        repeatable = False
        estimates = estimator.failed(error, "timeout")
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
        run.name, step, part.slots[0], name, estimates, seconds, error,
        repeatable=repeatable, subject=part.subject,
    )  # fmt: skip


def _read(
    run: Run, estimator: Estimator, part: Part, step: int, device: str | None
) -> tuple[list[Array], Any]:
    """Return the arrays that a cell reads, to be checked, and what its estimator is given."""
    if estimator.reads == "step":
        return [], run.record_of(step)
    if estimator.reads == "weight":
        weight = run.recorded_weight(step, part.slots[0].name, verify=True)
        return [weight.values], weight
    values = [_values(run, step, slot) for slot in part.slots]
    given = _given(estimator, part, values, device)
    if estimator.reads == "consecutive":
        given = Consecutive(given, *_before(run, step, part.slots[0]))
    return values, given


def _values(run: Run, step: int, slot: Slot) -> Array:
    """Return the verified values of a slot."""
    if slot.kind == "layer":
        return run.activations(step, slot.name, verify=True)
    if slot.kind == "weight":
        return run.weight(step, slot.name, verify=True)
    return run.of_samples(step, slot, verify=True)


def _before(run: Run, step: int, slot: Slot) -> tuple[Array | None, int | None]:
    """Return what a layer holds at the recorded step before, if that is finite, and the step."""
    before = step_before(run, step)
    if before is None:
        return None, None
    values = _values(run, before, slot)
    return None if _nonfinite_rows(values) else values, before


def _nonfinite_rows(values: Array) -> int:
    floats = values.dtype.kind == "f"
    return count_nonfinite_rows(values.reshape(len(values), -1)) if floats else 0


def _given(estimator: Estimator, part: Part, values: Sequence[Any], device: str | None) -> Any:
    """Return what an estimator is given of a cell, as its subject asks."""
    if device is not None:
        values = [devices.on_device(array, device) for array in values]
    if estimator.reads == "passes":
        passes = values[part.slots[0].noise_in == "values" :]
        return np.stack([one.reshape(len(one), -1) for one in passes], axis=1)
    if estimator.subject == "run":
        return {slot.name: array for slot, array in zip(part.slots, values, strict=True)}
    return tuple(values) if len(part.slots) > 1 else values[0]


def _of_one_pass(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the estimates of a layer that is random: of one pass, that counts as information."""

    def told(key: str, found: Estimate) -> Estimate:
        about_inputs = MeasureId.read(key).name in _OF_INPUTS and found.bits is not None
        flags = dict.fromkeys((*found.flags, *["upper_bound"] * about_inputs))
        return replace(found, flags=tuple(flags))

    return {key: told(key, found) for key, found in estimates.items()}


def _of_tokens(estimates: Mapping[str, Estimate], drawn: Sequences) -> dict[str, Estimate]:
    """Return the estimates of rows that are tokens, of which some intervals draw single ones."""

    def told(found: Estimate) -> Estimate:
        if found.low is None or found.method in ("bracket", "none"):
            return found
        by_sequence = found.method == "subsample" and drawn.used and not drawn.missed
        if by_sequence or found.diagnostics.get("drawn") == "sequences":
            return replace(found, diagnostics={**found.diagnostics, "drawn": "sequences"})
        return replace(found, flags=tuple(dict.fromkeys((*found.flags, "interval_of_tokens"))))

    return {key: told(found) for key, found in estimates.items()}


def _noted(estimates: Mapping[str, Estimate], **notes: Any) -> dict[str, Estimate]:
    """Return the estimates with something more in their diagnostics."""
    return {
        key: replace(found, diagnostics={**found.diagnostics, **notes})
        for key, found in estimates.items()
    }

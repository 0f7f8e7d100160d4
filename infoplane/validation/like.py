"""Synthetic layers in the shape of recorded ones, whose information is known.

Each recorded layer is replaced by classes that are normal with one covariance. Kept are the number
of samples, the samples of each class, the units, those that never vary, the class means, and the
spectrum within the classes, shrunk after Ledoit and Wolf where samples are few. Not kept are zeros
of rectified units and anything else that is not normal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infoplane.data import Array, FloatArray, IntArray, ProbeSet, RunData, Slot
from infoplane.errors import EstimationError, InputError
from infoplane.estimators.base import Estimator
from infoplane.estimators.registry import estimator_id
from infoplane.seeding import generator
from infoplane.validation.expectations import Expectation, pooled
from infoplane.validation.findings import Finding, judged, refused
from infoplane.validation.geometries import class_truths, spectral_truths
from infoplane.validation.pool import in_any_order
from infoplane.validation.problems import Resolution, Truth, truth_key
from infoplane.validation.truths import mixture_truths


@dataclass(frozen=True, eq=False)
class LayerModel:
    """Normal classes that resemble a recorded layer.

    Parameters
    ----------
    info : Slot
        The recorded layer.
    varying : array of bool (n_units,)
        Units that are not constant.
    rest : array (n_units,)
        Mean of every unit; constant ones stay there.
    means : array (n_classes, n_varying)
        Class means along the principal directions within the classes, less the mean.
    variances : array (n_varying,)
        Variances within the classes along those directions, above 0.
    directions : array (n_varying, n_varying)
        The directions, in columns.
    counts : array of int (n_classes,)
        Samples of each class.
    """

    info: Slot
    varying: Array
    rest: FloatArray
    means: FloatArray
    variances: FloatArray
    directions: FloatArray
    counts: IntArray

    @classmethod
    def of_layer(cls, info: Slot, activations: Array, labels: IntArray) -> LayerModel | None:
        """Return the model of a layer (n_samples, n_units), None if nothing in it varies."""
        from sklearn.covariance import ledoit_wolf

        values = np.asarray(activations, dtype=np.float64)
        rest = values.mean(axis=0)
        varying = np.ptp(values, axis=0) > 0
        if not varying.any():
            return None
        centred = values[:, varying] - rest[varying]
        _, ids, counts = np.unique(labels, return_inverse=True, return_counts=True)
        ids = ids.reshape(-1)
        means = np.zeros((len(counts), centred.shape[1]))
        np.add.at(means, ids, centred)
        means /= counts[:, None]
        covariance, _ = ledoit_wolf(centred - means[ids], assume_centered=True)
        variances, directions = np.linalg.eigh(covariance)
        # A layer that is one point per class has no spread of its own: it gets next to none.
        least = 1e-9 * float(np.square(centred).mean())
        return cls(
            info,
            varying,
            rest,
            means @ directions,
            np.maximum(variances, least),
            directions,
            counts.astype(np.int64),
        )

    def draw(self, labels: IntArray, rng: np.random.Generator) -> Array:
        """Return a synthetic layer (n_samples, n_units) of class numbers, in the recorded dtype."""
        noise = rng.standard_normal((len(labels), len(self.variances))) * np.sqrt(self.variances)
        layer = np.tile(self.rest, (len(labels), 1))
        layer[:, self.varying] += (self.means[labels] + noise) @ self.directions.T
        return layer.astype(self.info.dtype) if self.info.dtype.startswith("float") else layer

    @cached_property
    def truths(self) -> Mapping[str, Truth]:
        """What the synthetic layer holds."""
        shares = self.counts / self.counts.sum()
        of_inputs = mixture_truths(self.means, self.variances, shares)
        return {**of_inputs, **class_truths(self.means, self.variances, shares), **self._spectrum}

    @property
    def _spectrum(self) -> Mapping[str, Truth]:
        """Measures of its spectrum; constant units are part of the raw layer alone."""
        shares = self.counts / self.counts.sum()
        covariance = np.diag(self.variances) + (self.means.T * shares) @ self.means
        values, axes = np.linalg.eigh(covariance)
        middle = np.append(
            axes.T @ (self.directions.T @ self.rest[self.varying] + shares @ self.means),
            np.linalg.norm(self.rest[~self.varying]),
        )
        return spectral_truths(np.append(np.maximum(values, 0.0), 0.0), middle)


@dataclass(frozen=True, eq=False)
class SyntheticRun:
    """One draw of all layers, as a run that estimators read."""

    probe: ProbeSet
    layers: Sequence[Slot]
    drawn: Mapping[str, Array]
    steps: Sequence[int] = (0,)
    device: str | None = None

    def activations(self, step: int, layer: str) -> Array:
        """Return the activations (n_samples, n_units)."""
        return self.drawn[layer]


def layer_models(run: RunData, step: int) -> list[LayerModel]:
    """Return the models of the layers of a run at one step; constant layers are left out.

    Raises
    ------
    InputError
        If no layer is left: all are constant, or hold NaN or inf.
    """
    labels = run.probe.labels
    if labels is None:
        labels = np.zeros(run.probe.n_samples, dtype=np.int64)
    models = []
    for info in run.layers:
        values = run.activations(step, info.name)
        if np.isfinite(values).all():
            model = LayerModel.of_layer(info, values, labels)
            models += [] if model is None else [model]
    if not models:
        raise InputError(f"no layer of step {step} varies and is finite: there is nothing to copy")
    return models


def all_expectations(
    models: Sequence[LayerModel],
    estimators: Sequence[Estimator],
    executor: Executor,
    *,
    labelled: bool,
    draws: int,
    seed: int,
) -> Iterator[tuple[str, list[Expectation]]]:
    """Yield the id of each estimator and what to expect of it, as they finish.

    Raises
    ------
    WorkerError
        If a worker process died.
    """
    work = {
        estimator_id(e): (expectations, list(models), e, labelled, draws, seed) for e in estimators
    }
    yield from in_any_order(executor, work)


def expectations(
    models: Sequence[LayerModel], estimator: Estimator, labelled: bool, draws: int, seed: int
) -> list[Expectation]:
    """Return what to expect of an estimator at every layer, from ``draws`` synthetic runs.

    Parameters
    ----------
    models : sequence of LayerModel
        As ``layer_models`` returns them.
    estimator : Estimator
        The estimator.
    labelled : bool
        Whether the run has labels.
    draws : int
        Number of synthetic runs.
    seed : int
        Of all draws.
    """
    if estimator.subject != "layer" or estimator.reads != "arrays":
        return []
    found: dict[tuple[str, str], list[Finding]] = {}
    for draw in range(draws):
        for finding in _one_draw(models, estimator, labelled, seed, draw):
            found.setdefault((finding.case, finding.quantity), []).append(finding)
    by_name = {model.info.name: model for model in models}
    return [
        pooled(many, by_name[layer].info.n_units, int(by_name[layer].counts.sum()))
        for (layer, _), many in found.items()
    ]


def _one_draw(
    models: Sequence[LayerModel], estimator: Estimator, labelled: bool, seed: int, draw: int
) -> Iterator[Finding]:
    rng = generator(seed, "like", draw)
    counts = models[0].counts
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    run = SyntheticRun(
        ProbeSet(rng.standard_normal((len(labels), 3)), labels if labelled else None),
        [model.info for model in models],
        {model.info.name: model.draw(labels, rng) for model in models},
    )
    name = estimator_id(estimator)
    stream = generator(seed, "like", draw, name)
    shared = estimator.prepare_member(estimator.prepare_group([run], stream), run, stream)
    for model in models:
        layer = model.info.name
        streams = [generator(seed, "like", draw, name, layer, part) for part in range(2)]
        start = time.process_time()
        try:
            prepared = estimator.prepare_layer(shared, run, model.info, streams[0])
            cell = estimator.estimate(prepared, run.activations(0, layer), streams[1])
        except (EstimationError, InputError) as error:
            cell = estimator.failed(str(error))
        seconds = (time.process_time() - start) / max(1, len(cell))
        truths = model.truths
        for key, estimate in cell.items():
            truth = truths.get(truth_key(estimator, key))
            if callable(truth):
                truth = truth(Resolution.of_cell(estimator, cell, key))
            if truth is None:
                continue
            where = (name, layer, key)
            if estimate.bits is None:
                yield refused(where, estimate, seconds)
            else:
                yield judged(
                    where, truth, estimate, one_sided=estimator.lower_bound, seconds=seconds
                )

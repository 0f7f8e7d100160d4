"""Mean and spread of the gradient over the mini-batches of the probe set, at fixed weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError
from infoplane.numerics.gradients import GradientAccumulator
from infoplane.recording import averages
from infoplane.recording.probes.batches import batch_of
from infoplane.text import one_line

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes the outputs of the model and the labels of a batch, returns a scalar."""


def gradient_statistics(
    model: nn.Module, probe: ProbeSet, loss: Loss, batch_size: int
) -> dict[str, dict[str, float | int]]:
    """Return the gradient statistics of every module that has a trained ``weight``.

    The batches are disjoint and of one size, so their mean is the gradient of all their samples; a
    remainder of the probe set is left out. Gradients that the parameters hold are not touched.

    Returns
    -------
    dict
        By module name: ``mean_norm``, ``spread``, ``weight_norm`` (Euclidean), ``n_batches``.

    Raises
    ------
    InputError
        If the probe set has no labels or makes fewer than two batches.
    DataError
        If the loss is no scalar, or the model or loss fails.
    """
    if probe.labels is None:
        raise InputError("gradients: expected a probe set with labels, got none")
    if batch_size < 1 or probe.n_samples < 2 * batch_size:
        raise InputError(
            f"gradients: expected at least two mini-batches, got {probe.n_samples} samples in "
            f"batches of {batch_size}"
        )
    weights = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.requires_grad
    }
    if not weights:
        return {}
    device = next(iter(weights.values())).device

    def value_of(part: ProbeSet, column: bool) -> averages.Value:
        labels = torch.from_numpy(np.asarray(part.labels)).to(device)

        def value(rows: slice) -> torch.Tensor:
            with _told(), torch.enable_grad():
                outputs, given = batch_of(part, rows, model).through(model), labels[rows]
                given = averages.as_column(given, outputs) if column else given
                return averages.scalar(loss(outputs, given))

        return value

    few = probe.take(averages.rows_of(probe.n_samples))
    column, _ = averages.chosen(lambda tried: value_of(few, tried), few.n_samples)
    value = value_of(probe, column)
    accumulators = {name: GradientAccumulator() for name in weights}
    for row in range(0, probe.n_samples - batch_size + 1, batch_size):
        with _told(), torch.enable_grad():
            of_batch = value(slice(row, row + batch_size))
            found = torch.autograd.grad(of_batch, list(weights.values()), allow_unused=True)
        known = 1.0 if bool(of_batch.isfinite()) else math.nan
        for name, gradient in zip(weights, found, strict=True):
            if gradient is not None:
                accumulators[name].add(known * gradient.detach().double().cpu().numpy())
    statistics = {
        name: accumulator.statistics(weights[name].detach().double().cpu().numpy())
        for name, accumulator in accumulators.items()
        if accumulator.n_batches >= 2
    }
    return {
        name: {
            "mean_norm": found.mean_norm,
            "spread": found.spread,
            "weight_norm": found.weight_norm,
            "n_batches": found.n_batches,
        }
        for name, found in statistics.items()
    }


@contextmanager
def _told() -> Iterator[None]:
    """Say in a line what fails in the user's code."""
    try:
        yield
    except Exception as error:  # user code may raise anything
        raise DataError(
            f"gradients: the loss failed: {type(error).__name__}: {one_line(error)}",
            hint="the loss is called with the model's outputs and the class ids of a batch",
        ) from error

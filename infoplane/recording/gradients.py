"""Mean and spread of the gradient over the mini-batches of the probe set, at fixed weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError
from infoplane.numerics.gradients import GradientAccumulator
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
    accumulators = {name: GradientAccumulator() for name in weights}
    for row in range(0, probe.n_samples - batch_size + 1, batch_size):
        rows = slice(row, row + batch_size)
        batch = batch_of(probe, rows, model)
        device = next(iter(weights.values())).device
        labels = torch.from_numpy(probe.labels[rows]).to(device)
        try:
            with torch.enable_grad():
                value = loss(batch.through(model), labels)
                found = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
        except Exception as error:  # user code may raise anything
            raise DataError(
                f"gradients: the loss failed: {type(error).__name__}: {one_line(error)}",
                hint="the loss is called with the model's outputs and the class ids of a batch",
            ) from error
        for name, gradient in zip(weights, found, strict=True):
            if gradient is not None:
                accumulators[name].add(gradient.detach().double().cpu().numpy())
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

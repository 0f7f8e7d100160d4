"""Record during a training by Keras on the torch backend, or by a loop with its callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from infoplane.errors import InputError
from infoplane.recording.loops.base import RecordingCallback


class KerasRecorder(RecordingCallback):
    """A callback by the protocol of ``keras.callbacks``; parameters as its base.

    >>> recorder = KerasRecorder((probe_x, probe_y), "runs/s0")   # doctest: +SKIP
    >>> model.fit(x, y, callbacks=[recorder])                     # doctest: +SKIP

    It needs nothing of Keras: any loop that calls ``set_model``, ``on_train_begin``,
    ``on_train_batch_end`` and ``on_train_end`` will do, with a Keras model or an ``nn.Module``.
    Layers of a Keras model have the names that Keras gives them. Steps are counted in batches over
    all epochs, starting with 0 before the first. Numbers in the logs of a batch become metrics.
    Keras tells the mean loss of the epoch so far, which is no loss of a step: none is logged.
    """

    _model: nn.Module | None = None
    _batches, _epoch = 0, 0.0
    _last: int | None = None
    _in_epoch: int | None = None  # batches

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def set_model(self, model: Any) -> None:
        """Take the model.

        Raises
        ------
        InputError
            If it is no torch module.
        """
        if not isinstance(model, nn.Module):
            raise InputError(
                f"expected a torch module, got {type(model).__name__}",
                hint="run Keras on torch: set KERAS_BACKEND=torch before it is imported",
            )
        self._model = _KerasModel(model) if hasattr(model, "layers") else model

    def set_params(self, params: Mapping[str, Any] | None) -> None:
        """Take the number of steps, where it is known."""
        epochs, batches = (params or {}).get("epochs"), (params or {}).get("steps")
        self._last = epochs * batches if epochs and batches else None
        self._in_epoch = batches or None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Open the run and record the state before the first step."""
        if self._model is None:
            raise InputError("set_model has to be called before on_train_begin")
        self._batches, self._epoch = 0, 0.0
        self.open(self._model, self._last)
        self.record(0, epoch=0.0)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Take note of the epoch."""
        self._epoch = float(epoch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count a step and record it if it is due."""
        self._batches += 1
        part = (batch + 1) / self._in_epoch if self._in_epoch else 0.0
        self.record(self._batches, epoch=self._epoch + part, metrics=logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the end of an epoch of which the number of batches was not known, if it is due."""
        self._epoch = epoch + 1.0
        self.record(self._batches, epoch=self._epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Record the last step and close the run."""
        self.record(self._batches, last=True, epoch=self._epoch)
        self.close()


class _KerasModel(nn.Module):
    """A Keras model whose layers are its sub-modules; Keras itself does not register them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._called = (model,)  # a tuple, lest torch registers the model beside its layers
        for layer in model.layers:
            nested = hasattr(layer, "layers")
            self.add_module(layer.name, _KerasModel(layer) if nested else layer)

    def forward(self, inputs: torch.Tensor) -> Any:
        return self._called[0](inputs, training=False)


def _nothing(*arguments: Any, **named: Any) -> None:
    """Take part in nothing else."""

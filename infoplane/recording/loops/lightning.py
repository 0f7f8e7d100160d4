"""Record during a training by PyTorch Lightning (extra ``lightning``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning

from infoplane.recording.loops.base import RecordingCallback


class LightningRecorder(RecordingCallback, lightning.Callback):  # type: ignore[misc]  # untyped
    """A callback that records layers of the ``LightningModule``; parameters as its base.

    >>> recorder = LightningRecorder((x, y), "runs/s0", layers=["net.*"])  # doctest: +SKIP
    >>> lightning.Trainer(callbacks=[recorder]).fit(module, loader)        # doctest: +SKIP

    Steps are those of the optimizer (``trainer.global_step``), starting with 0 before the first.
    The numbers that the module has logged are kept as metrics, with the latest value of each, and
    the loss of every step in the loss log, unless gradients are accumulated over batches.
    """

    _logged = -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the run and record the state before the first step."""
        self.open(pl_module, trainer.estimated_stepping_batches, trainer.global_step)
        self._logged = trainer.global_step
        self._step(trainer, trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the loss, and record if the optimizer made a step that is due."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if (
            loss is not None
            and trainer.global_step > self._logged
            and trainer.accumulate_grad_batches == 1
        ):
            self._logged = trainer.global_step
            self.log_loss(self._logged, train_loss=loss)
        batches = trainer.num_training_batches
        part = (batch_idx + 1) / batches if 0 < batches < math.inf else 0.0
        self._step(trainer, trainer.current_epoch + part)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the end of an epoch of which the number of batches was not known, if it is due."""
        self._step(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last step and close the run."""
        self._step(trainer, trainer.current_epoch, last=True)
        self.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the run."""
        self.close()

    def _step(self, trainer: Any, epoch: float, *, last: bool = False) -> None:
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.record(
            trainer.global_step,
            last=last,
            epoch=epoch,
            metrics={name: value for name, value in logged.items() if math.isfinite(value)},
        )

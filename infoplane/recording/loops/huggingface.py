"""Record during a training by the Trainer of Hugging Face (extra ``huggingface``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from infoplane.recording.loops.base import RecordingCallback


class HuggingFaceRecorder(RecordingCallback, TrainerCallback):  # type: ignore[misc]  # untyped
    """A callback that records layers of the trained model; parameters as its base.

    >>> recorder = HuggingFaceRecorder((tokens, labels), "runs/s0")   # doctest: +SKIP
    >>> Trainer(model, arguments, callbacks=[recorder]).train()       # doctest: +SKIP

    Steps are those of the optimizer (``state.global_step``), starting with 0 before the first. The
    loss that the Trainer logs is kept in the loss log: every step's with ``logging_steps=1``, else
    means over as many; with tokens, where ``include_num_input_tokens_seen`` counts them.
    """

    _logged = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Open the run and record the state before the first step."""
        self.open(found["model"], state.max_steps, state.global_step)
        self._logged = -1
        self.record(state.global_step, epoch=state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Record the step if it is due."""
        self.record(state.global_step, epoch=state.epoch)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Take the loss."""
        if logs and "loss" in logs and state.global_step > self._logged:
            self._logged = state.global_step
            tokens = getattr(state, "num_input_tokens_seen", 0) or None
            self.log_loss(self._logged, train_loss=logs["loss"], tokens=tokens)

    def on_train_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Record the last step and close the run."""
        self.record(state.global_step, last=True, epoch=state.epoch)
        self.close()

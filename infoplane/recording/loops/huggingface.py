"""Record during a training by the Trainer of Hugging Face (extra ``huggingface``)."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from infoplane.recording.loops.base import RecordingCallback


class HuggingFaceRecorder(RecordingCallback, TrainerCallback):  # type: ignore[misc]  # untyped
    """A callback that records layers of the trained model; parameters as its base.

    >>> recorder = HuggingFaceRecorder((tokens, labels), "runs/s0")   # doctest: +SKIP
    >>> Trainer(model, arguments, callbacks=[recorder]).train()       # doctest: +SKIP

    Steps are those of the optimizer (``state.global_step``), starting with 0 before the first.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Open the run and record the state before the first step."""
        self.open(found["model"], state.max_steps, state.global_step)
        self.record(state.global_step, epoch=state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Record the step if it is due."""
        self.record(state.global_step, epoch=state.epoch)

    def on_train_end(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """Record the last step and close the run."""
        self.record(state.global_step, last=True, epoch=state.epoch)
        self.close()

"""Base of the callbacks for training loops."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from infoplane.data import ProbeSet
from infoplane.recording.processes import first_process
from infoplane.recording.recorder import OnError, Recorder


class RecordingCallback:
    """Opens a run when the training begins, records the steps that are due, closes the run.

    In a training on several processes the first one records; the others have the same weights. With
    ``shard=True`` each of them records its part of the probe set.

    Parameters
    ----------
    probe, path, **options
        As for ``Recorder``. The model is called with a batch of the probe inputs.
    schedule : str or iterable of int, default "log:10"
        Steps to record; see ``as_schedule``. The last step of the training is always recorded.
        ``epoch`` records the end of every epoch.
    on_error : {"warn", "raise"}, default "warn"
        What a failure during the training ends: the recording, or the training as well. What is
        wrong when the training begins is always raised.
    """

    def __init__(
        self,
        probe: ProbeSet | tuple[Any, Any],
        path: str | Path,
        *,
        schedule: str | Iterable[int] = "log:10",
        on_error: OnError = "warn",
        **options: Any,
    ) -> None:
        super().__init__()
        self.recorder: Recorder | None = None
        self._arguments = (probe, path)
        self._options = {"schedule": schedule, "on_error": on_error, **options}

    def open(self, model: nn.Module, last: float | None = None, first: int = 0) -> None:
        """Open the run for this model; with space for its steps, where the last one is known."""
        self.close()
        self.recorder = None
        if first_process() or self._options.get("shard"):
            self.recorder = Recorder(model, *self._arguments, **self._options)
            if last is not None and first <= last < math.inf:
                try:
                    self.recorder.expect(int(last), first)
                except BaseException:
                    self.close()
                    raise

    def record(self, step: int, *, last: bool = False, **values: Any) -> None:
        """Record a step if it is due; ``values`` as for ``Recorder.snapshot``."""
        if self.recorder is not None:
            self.recorder.step(step, last=last, **values)

    def log_loss(self, step: int, **values: Any) -> None:
        """Take the loss of a step; ``values`` as for ``Recorder.log``."""
        if self.recorder is not None:
            self.recorder.log(step, **values)

    def close(self) -> None:
        """Close the run."""
        if self.recorder is not None:
            self.recorder.close(last=False)

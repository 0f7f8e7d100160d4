"""Record a list of checkpoint files, one snapshot each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.nn.functional import cross_entropy

from infoplane.errors import DataError
from infoplane.recording.checkpoints import Checkpoint, load_into, load_weights
from infoplane.recording.recorder import Recorder


def record_checkpoints(
    recorder: Recorder,
    checkpoints: Sequence[Checkpoint],
    *,
    gradients: bool = False,
    gradient_batch_size: int = 256,
) -> Iterator[int]:
    """Load each checkpoint into the recorder's model and record it; yield the steps as recorded.

    With ``gradients``, statistics of the cross-entropy gradient over mini-batches of
    ``gradient_batch_size`` probe samples are kept with each step.

    Raises
    ------
    DataError
        If the weights do not fit, a step is told neither by a file's name nor by its content, or
        two files have the same step.
    RunFileError
        If a checkpoint cannot be read.
    """
    seen: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        weights = load_weights(checkpoint.path)
        step = checkpoint.step if checkpoint.step is not None else weights.step
        if step is None:
            raise DataError(
                f"{checkpoint.path}: neither the file name nor the file tells the step",
                hint="tell where it stands in the path with --step-pattern 'REGEX'",
                code="IP313",
            )
        if step in seen:
            raise DataError(
                f"two checkpoints of step {step}: {seen[step].path} and {checkpoint.path}",
                hint="narrow --checkpoints, or tell the step with --step-pattern 'REGEX'",
                code="IP313",
            )
        seen[step] = checkpoint
        load_into(recorder.model, weights, checkpoint.path)
        recorder.snapshot(
            step,
            metrics=weights.metrics,
            epoch=weights.epoch,
            gradients=cross_entropy if gradients else None,
            gradient_batch_size=gradient_batch_size,
            provenance={"checkpoint": str(checkpoint.path)},
        )
        yield step

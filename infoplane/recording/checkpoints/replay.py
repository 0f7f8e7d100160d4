"""Record a list of checkpoint files, one snapshot each."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch.nn.functional import cross_entropy
from torch.nn.parameter import is_lazy

from infoplane.errors import InputError
from infoplane.recording.checkpoints.archives import Earlier
from infoplane.recording.checkpoints.fit import Unmatched
from infoplane.recording.checkpoints.initial import Initial
from infoplane.recording.checkpoints.models import load_checkpoint
from infoplane.recording.checkpoints.read import Weights, load_weights
from infoplane.recording.checkpoints.steps import Checkpoint, Steps
from infoplane.recording.hooks.state import State
from infoplane.recording.recorder import Recorder

log = logging.getLogger("infoplane")


def record_checkpoints(
    recorder: Recorder,
    checkpoints: Sequence[Checkpoint],
    *,
    gradients: bool = False,
    gradient_batch_size: int = 256,
    key: str | None = None,
    strict: bool = True,
    trust_model: bool = False,
    reference: str = "",
    max_size: int | None = None,
    initial: Initial | None = None,
) -> Iterator[int]:
    """Load each checkpoint into the recorder's model and record it; yield the steps as recorded.

    With ``gradients``, statistics of the cross-entropy gradient over mini-batches of
    ``gradient_batch_size`` probe samples are kept with each step. ``key``, ``trust_model``,
    ``reference`` and ``strict`` say which weights are taken, as in ``load_weights`` and
    ``load_checkpoint``; what was left out or changed is reported once, and those that a
    checkpoint lacks have the values that the model was made with. Before the first step the run is
    compared with ``max_size`` bytes and with the disk, and its space is set aside. The untrained
    model, if it is given, is recorded first, as step 0.

    Raises
    ------
    DataError
        If the weights do not fit, a step is told neither by a file's name nor by its content, two
        files have the same step, or the run is larger than allowed or than the disk.
    RunFileError
        If a checkpoint cannot be read.
    """
    steps = Steps()
    prepared = False
    told = Unmatched()
    earlier = Earlier()
    as_made: dict[str, Any] = {}
    made = State([*recorder.model.modules()])  # loading may set more than parameters
    how: dict[str, Any] = {
        "gradients": cross_entropy if gradients else None,
        "gradient_batch_size": gradient_batch_size,
    }
    if initial is not None:
        trained = recorder.model
        recorder.use(initial.make(trained))
        recorder.prepare(len(checkpoints) + 1, max_size)
        prepared = True
        recorder.snapshot(0, epoch=0.0, provenance={"initial_seed": initial.seed}, **how)
        yield 0
        recorder.use(trained)
    for checkpoint in checkpoints:
        weights = load_weights(checkpoint.path, key, trust_model=trust_model, earlier=earlier)
        step = steps.of(checkpoint, weights)
        if weights.rivals and not prepared:
            log.warning(
                "%s: the weights under %s are taken; --weights-key %s takes others of the same "
                "names",
                checkpoint.path, weights.taken, " or ".join(weights.rivals[:4]),
            )  # fmt: skip
        if not strict:  # what this one lacks is not left as the one before had it
            state = recorder.model.state_dict()
            as_made = as_made or copy.deepcopy({k: v for k, v in state.items() if not is_lazy(v)})
            recorder.model.load_state_dict(as_made, strict=False)
        model, left = load_checkpoint(
            recorder.model, checkpoint.path, weights, reference, key, strict=strict,
            begin=made.put_back,
        )  # fmt: skip
        recorder.use(model)
        _warn(checkpoint.path, left, told)
        told = left
        if initial is not None and step == 0:
            raise step_0_twice(checkpoint.path)
        if not prepared:
            recorder.prepare(len(checkpoints), max_size)
            prepared = True
        recorder.snapshot(
            step,
            metrics=weights.metrics,
            epoch=_epoch(checkpoint, step, weights),
            **how,
            provenance={"checkpoint": str(checkpoint.path), **_noted(left)},
        )
        yield step


def _epoch(checkpoint: Checkpoint, step: int, weights: Weights) -> float | None:
    """Return the epoch that a file tells, or else its name, where that is the step."""
    by_name = checkpoint.told_by == "epoch" and checkpoint.step == step
    return float(step) if weights.epoch is None and by_name else weights.epoch


def step_0_twice(path: Path) -> InputError:
    """Return the error of a checkpoint of step 0 beside the untrained model."""
    return InputError(
        f"initial: {path} is step 0 already, which the untrained model would be",
        hint="leave --initial out; or, if this is the end of the first epoch, count from 1: rename "
        "the files, or let --step-pattern tell steps",
    )


def _warn(path: Path, left: Unmatched, told: Unmatched) -> None:
    """Tell what was left out or changed, unless it is as in the checkpoint before."""
    if left and _names(left) != _names(told):
        log.warning("%s: not loaded: %s", path, left.listed(most=12))
    if left.changed and left.changed != told.changed:
        (name, kinds), more = left.changed[0], len(left.changed) - 1
        log.warning(
            "%s: weights are not kept as they are: %s %s%s; to compute as in the training, let "
            "--model build the model in the dtype of the file",
            path,
            name,
            kinds,
            f", and {more} more" if more else "",
        )


def _noted(left: Unmatched) -> dict[str, Any]:
    """Return what a step keeps of it."""
    kinds = sorted({kinds for _, kinds in left.changed})
    return {
        **({"not_loaded": _names(left)} if left else {}),
        **({"changed": kinds} if kinds else {}),
    }


def _names(left: Unmatched) -> dict[str, tuple[str, ...]]:
    """Return the names that were left out, by the reason."""
    return {
        "missing": left.missing,
        "unexpected": left.unexpected,
        "reshaped": left.reshaped,
    }

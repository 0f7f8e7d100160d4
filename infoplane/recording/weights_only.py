"""Record the weights in checkpoints, without model, data and forward passes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from infoplane.calls import (
    PathLike,
    Progress,
    checkpoint_patterns,
    listener,
    path_of,
    text_or_none,
    truth,
    whole,
)
from infoplane.data import NoProbe
from infoplane.errors import InputError
from infoplane.recording.checkpoints.archives import Earlier
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.read import Weights, load_weights
from infoplane.recording.checkpoints.steps import Checkpoint, Steps
from infoplane.recording.hashes import state_hash
from infoplane.recording.manifest import named_run, of_process
from infoplane.recording.parameters import weights_in
from infoplane.recording.plan import RecordingPlan
from infoplane.recording.weights import (
    SUMMARY,
    ChosenWeight,
    WeightRecorder,
    summary_seconds,
    weight_patterns,
)
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter

log = logging.getLogger("infoplane")


class WeightsRecording:
    """A recording of weights alone, whose checkpoints are found.

    Parameters are those of `record_weights`.
    """

    def __init__(
        self,
        checkpoints: PathLike | Iterable[PathLike],
        output: PathLike,
        *,
        weights: str | Sequence[str] | bool | None = None,
        weights_key: str | None = None,
        trust_model: bool = False,
        max_size: int | None = None,
        step_pattern: str | None = None,
        name: str | None = None,
        group: str | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self.output = path_of(output, "output")
        self.max_size = None if max_size is None else whole(max_size, "max_size", 0)
        self._recorder = WeightRecorder(weight_patterns(weights) or (SUMMARY,))
        self._loading: dict[str, Any] = {
            "key": text_or_none(weights_key, "weights_key"),
            "trust_model": truth(trust_model, "trust_model"),
        }
        self._name, self._group = text_or_none(name, "name"), text_or_none(group, "group")
        self._modes = {
            "overwrite": truth(overwrite, "overwrite"),
            "resume": truth(resume, "resume"),
        }
        if overwrite and resume:
            raise InputError("expected overwrite or resume, got both")
        expression = text_or_none(step_pattern, "step_pattern")
        self._found = find_checkpoints(checkpoint_patterns(checkpoints), expression)
        self.kept: list[int] = []  # steps of a resumed run that were recorded before
        self.recorded: list[str] = []  # names of the weights

    @property
    def steps(self) -> list[int | None]:
        """Steps of the checkpoints, None where the file itself must tell."""
        return [checkpoint.step for checkpoint in self._found]

    def plan(self) -> RecordingPlan:
        """Return weights, bytes and seconds; the first checkpoint is read, nothing is written.

        Raises
        ------
        InfoplaneError
            As `record_weights`, if the first checkpoint cannot be recorded.
        """
        weights = load_weights(self._found[0].path, **self._loading)
        return self._plan(self._chosen(weights))

    def run(self, progress: bool | Callable[[Progress], object] = False) -> Run:
        """Record all checkpoints; parameters and errors as of `record_weights`."""
        tell = listener(progress)
        tell(Progress("record", 0, len(self._found)))
        for done, _ in enumerate(self._steps(), 1):
            tell(Progress("record", done, len(self._found)))
        return Run(self.output)

    def _chosen(self, weights: Weights) -> list[ChosenWeight]:
        return self._recorder.chosen(*weights_in(weights.state))

    def _plan(self, chosen: Sequence[ChosenWeight]) -> RecordingPlan:
        slots = WeightRecorder.slots(chosen)
        seconds = len(self._found) * sum(map(summary_seconds, slots))
        return RecordingPlan(len(self._found), 0, (), seconds, slots)

    def _steps(self) -> Iterator[int]:
        steps, earlier = Steps(), Earlier()
        writer = None
        try:
            for checkpoint in self._found:
                weights = load_weights(checkpoint.path, earlier=earlier, **self._loading)
                step, chosen = steps.of(checkpoint, weights), self._chosen(weights)
                if writer is None:
                    self._say(checkpoint, weights)
                    writer = self._begun(chosen)
                self._record(writer, step, checkpoint, weights, chosen)
                yield step
        finally:
            if writer is not None:
                writer.close()

    def _begun(self, chosen: Sequence[ChosenWeight]) -> FolderWriter:
        """Return the writer of the run, its space set aside."""
        plan = self._plan(chosen)
        self.recorded = [slot.name for slot in plan.weights]
        if self.max_size is not None:
            plan.check(self.max_size, "bytes of --max-size")
        writer = FolderWriter(self.output, NoProbe.made(), self._manifest(chosen), **self._modes)
        try:
            left = writer.n_missing(plan.n_steps)
            plan.check(writer.free_bytes, "bytes that the disk has free")
            writer.reserve(plan.weights, left)
        except BaseException:
            writer.close()
            raise
        return writer

    def _record(
        self,
        writer: FolderWriter,
        step: int,
        checkpoint: Checkpoint,
        weights: Weights,
        chosen: Sequence[ChosenWeight],
    ) -> None:
        one = writer.step(step)
        one.metrics, one.epoch = weights.metrics, weights.epoch
        known = state_hash(weights.state)
        one.provenance = {"parameters_hash": known, "checkpoint": str(checkpoint.path)}
        if writer.resumed is None or writer.resumed.step == step:
            self._recorder.begin(step, known, chosen)
        if writer.holds(one):
            self.kept.append(step)
            return
        with one:
            self._recorder.write(one, chosen)
        if bad := [found.name for found in one.written["weight"].values() if found.n_nonfinite]:
            log.warning("NaN or inf in the weights at step %d: %s", step, ", ".join(bad[:12]))

    def _manifest(self, chosen: Sequence[ChosenWeight]) -> dict[str, Any]:
        return {
            **named_run(self._name or self.output.resolve().name, self._group, None),
            "layers": [],
            "at": "output",
            "settings": {
                "weights": list(self._recorder.patterns),
                "weights_only": True,
                "dtype": ", ".join(sorted({one.dtype for one in chosen})),
                "torch": str(torch.__version__),
            },
            "provenance": of_process(),
        }

    @staticmethod
    def _say(checkpoint: Checkpoint, weights: Weights) -> None:
        """Say which weights are taken, and what cannot be told from a state dict."""
        if weights.rivals:
            log.warning(
                "%s: the weights under %s are taken; --weights-key %s takes others of the same "
                "names",
                checkpoint.path, weights.taken, " or ".join(weights.rivals[:4]),
            )  # fmt: skip
        log.info(
            "%s: a state dict does not tell parameters from buffers: what is no running mean, "
            "variance or count of a normalisation counts as a weight",
            checkpoint.path,
        )


def record_weights(
    checkpoints: PathLike | Iterable[PathLike],
    output: PathLike,
    *,
    weights: str | Sequence[str] | bool | None = None,
    weights_key: str | None = None,
    trust_model: bool = False,
    max_size: int | None = None,
    step_pattern: str | None = None,
    name: str | None = None,
    group: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool | Callable[[Progress], object] = False,
) -> Run:
    """Record the weights in every checkpoint of a training: no model, no data, no forward pass.

    The run holds no activations: `analyze -e weights` measures it, other estimators refuse it.
    A state dict does not tell parameters from buffers: all floating tensors count as weights but
    running means and variances of normalisations.

    Parameters
    ----------
    checkpoints : path or sequence of paths
        As of `record`.
    output : path
        Folder of the run.
    weights : str or sequence of str, default "summary"
        As of `Recorder`.
    weights_key, trust_model, max_size, step_pattern, name, group, overwrite, resume, progress
        As of `record`.

    Raises
    ------
    InputError
        If an argument is of the wrong type or unfit; the message names it.
    NotFoundError
        If no checkpoint or weight matches.
    DataError
        If the weights cannot be used, or are not the same ones at every step.
    RunFileError
        If a file cannot be read, or ``output`` holds a run already.

    Examples
    --------
    >>> run = infoplane.record_weights("step_*.pt", "runs/w1")
    >>> [weight.name for weight in run.weights][:1]
    ['0.weight']
    """
    return WeightsRecording(
        checkpoints, output, weights=weights, weights_key=weights_key, trust_model=trust_model,
        max_size=max_size, step_pattern=step_pattern, name=name, group=group, overwrite=overwrite,
        resume=resume,
    ).run(progress)  # fmt: skip

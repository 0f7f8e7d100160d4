"""Record the activations of a probe set at checkpoints of a training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from infoplane.calls import whole
from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.curvature import SAMPLES, curvature_of, limit_of
from infoplane.recording.gradients import Loss, gradient_statistics
from infoplane.recording.hashes import parameter_hash
from infoplane.recording.hooks.attention import attention_patterns
from infoplane.recording.hooks.capture import At
from infoplane.recording.hooks.choice import probe_passes
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.passes import SampleKind, described
from infoplane.recording.hooks.survey import surveyed
from infoplane.recording.losses import Losses, warn_of_lost, warn_of_replaced
from infoplane.recording.manifest import finite_epoch, json_values, number, run_manifest
from infoplane.recording.plan import plan_recording
from infoplane.recording.probes.classes import warn_of_splits
from infoplane.recording.probes.from_arrays import as_probe_set, binned, joined
from infoplane.recording.processes import Shard, chosen_shard
from infoplane.recording.progress import LoopProgress
from infoplane.recording.schedule import as_schedule, check_options, whole_step
from infoplane.recording.warnings import Warnings
from infoplane.recording.weights import ChosenWeight, WeightRecorder, weight_patterns
from infoplane.runs.run import Run
from infoplane.runs.shards import shard_folder, shard_manifest, shard_rows
from infoplane.runs.writer import FolderWriter
from infoplane.step_record import LossLog
from infoplane.text import one_line

log = logging.getLogger("infoplane")

OnError: TypeAlias = Literal["warn", "raise"]
_Probe: TypeAlias = ProbeSet | tuple[Any, Any]


class Recorder:
    """Records layers of a model on a fixed probe set, one snapshot per checkpoint.

    Training is not disturbed: the training flags, the random state and the parameters are as before
    after each snapshot, and hooks exist only during one. Batches are written as they are computed,
    so memory does not grow with samples or checkpoints.

    Parameters
    ----------
    model : torch.nn.Module
        The model in training, or one that will be loaded with each checkpoint's weights. It is
        called with one batch of inputs.
    probe : ProbeSet or (inputs, labels), or mapping of str to them
        Inputs (n_samples, ...) as array or tensor, a mapping or tuple of them for a model with
        several arguments; and class ids (n_samples,), real targets, or None. Floating inputs are
        cast to the dtype of the model's parameters. See ``as_probe``. A mapping such as
        ``{"train": (x, y), "test": (u, v)}`` records several splits, which are analyzed apart.
    path : str or Path
        Folder of the run.
    layers : sequence of str, optional
        Globs over layer names, ``!GLOB`` excludes, ``lstm[0]`` and ``encoder['hidden']`` choose
        a tensor in a structured output; see ``select_layers``. ``op:relu``, ``op:block.add``:
        functions that the model or a module calls; see ``Operations``.
    at : {"output", "input"}, default "output"
        Record what the layers return or what they are given.
    batch_dims : mapping of str to int, optional
        Axis of the samples by layer glob, where it is not the first: ``{"rnn": 1}``.
    reduce : mapping of str to str, optional
        How large layers are made small, by layer glob: ``{"conv*": "sketch:1024"}``; see
        ``Reduction``. Layers of more than 16,384 units need a choice; ``flatten`` keeps all.
        ``{"h.0": "last,mean"}`` records ``h.0@last`` and ``h.0@mean``.
    mask : mapping of str to str, optional
        Which argument of the model is the mask of a layer's tokens, by layer glob, for the
        reductions ``last``, ``mean`` and ``tokens:K``: ``NAME`` marks tokens, ``!NAME`` padding,
        ``none`` lets all count. Without it the mask is found, or the layer refused.
    logits : str, optional
        The recorded layer of the logits. Without it, the one whose output, or whose soft-max, is
        what the model returns.
    head : str, optional
        The layer that makes the logits of the features, be it recorded or not. Without it, the
        layer of the logits if it is linear, or else the last linear layer.
    weights : str or sequence of str, optional
        Weights to record with every step: ``summary`` (or True) keeps singular values and norms of
        all, a glob over names of parameters the numbers of those that match; ``!GLOB`` excludes.
        The weight and bias of the head are then kept whole.
    label_bins : int, optional
        Take so many classes of scalar real targets for labels, as even in size as ties allow, of
        all splits together. The targets are kept as well: `analyze` can make other classes.
    batch_size : int, default 512
        Samples per forward pass.
    noise : mapping of str to float, optional
        Standard deviation of the Gaussian noise that layers contain, by layer glob; that of
        `infoplane.nn.GaussianNoise` is found.
    keep_dropout : bool, default False
        Leave dropout, and what else the model draws in training, on. It is drawn for each sample
        by row, pass and place in the model, whatever the batches are, and is the same at all steps.
    passes : int, default 1
        Passes of each sample, of a model that is random; see `Run.passes`.
    attention : bool or str or sequence of str, default False
        Keep the entropy of attention of each sample and head: True of all modules that attend, or
        globs over their names. What the model computes stays as it is.
    schedule : str or iterable of int, default "log:10"
        At which steps ``step`` records: ``every:100``, ``log:10`` (ten in a decade), ``epoch`` (the
        end of each), or the steps; and always where the loop ends, see ``close``.
    shard : bool or (index, count), default False
        Record only the rows of this process, of a training on several: every process makes a
        recorder with the same arguments, and all of them write one run together. True takes rank
        and number of processes from ``torch.distributed``.
    curvature : callable (outputs, labels) -> scalar tensor, optional
        A loss, e.g. ``torch.nn.functional.cross_entropy``, whose largest Hessian eigenvalue, trace
        and Fisher trace by layer are kept with every snapshot, on at most ``curvature_samples`` of
        the probe set, or of its first split. That costs about 250 passes of these samples.
    curvature_samples : int, default 512
        Samples for ``curvature``.
    learning_rate : float or torch.optim.Optimizer, optional
        Of the training, for the eigenvalue at which gradient descent is stable; an optimizer is
        asked at every snapshot.
    on_error : {"warn", "raise"}, default "warn"
        What a failure in ``step`` does: end the recording with a warning, so that the training
        goes on, or raise. ``snapshot`` always raises.
    name, group : str, optional
        Name of the run (default: the folder's) and of the group of runs that differ in their seed
        alone (default: the name without a trailing ``-s0``, ``_seed1``, ...).
    seed : int, optional
        Seed of the training, kept as provenance (default: taken from the name).
    overwrite : bool, default False
        Replace an earlier run in this folder.
    resume : bool, default False
        Go on with an earlier run in this folder that was recorded in the same way. Snapshots of
        steps that it holds, intact and with the same weights and numbers, are skipped.
    provenance : mapping, optional
        Further JSON values for the manifest.

    Raises
    ------
    InputError
        If an argument is unfit.
    NotFoundError
        If a layer pattern matches nothing.
    RunFileError
        If the folder holds a run already, one to resume that was recorded otherwise, or cannot be
        written.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> x = torch.rand(50, 2)
    >>> y = (x[:, 0] > 0.5).long()
    >>> with Recorder(model, (x, y), "runs/loop", layers=["1"], schedule="every:10") as recorder:
    ...     for step in range(25):
    ...         recorded = recorder.step(step)
    ...         with torch.no_grad():
    ...             model[0].weight *= 0.9  # in place of an optimizer
    >>> infoplane.Run("runs/loop").steps
    (0, 10, 20, 25)
    """

    def __init__(
        self,
        model: nn.Module,
        probe: _Probe | Mapping[str, _Probe],
        path: str | Path,
        *,
        layers: Sequence[str] | str = (),
        at: At = "output",
        batch_dims: Mapping[str, int] | None = None,
        reduce: Mapping[str, str] | None = None,
        mask: Mapping[str, str] | None = None,
        logits: str | None = None,
        head: str | None = None,
        weights: str | Sequence[str] | bool | None = None,
        label_bins: int | None = None,
        batch_size: int = 512,
        noise: Mapping[str, float] | None = None,
        keep_dropout: bool = False,
        passes: int = 1,
        attention: bool | str | Sequence[str] = False,
        schedule: str | Iterable[int] = "log:10",
        shard: bool | Shard = False,
        curvature: Loss | None = None,
        curvature_samples: int = SAMPLES,
        learning_rate: float | Optimizer | None = None,
        on_error: OnError = "warn",
        name: str | None = None,
        group: str | None = None,
        seed: int | None = None,
        overwrite: bool = False,
        resume: bool = False,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        check_options(reduce=reduce, overwrite=overwrite, resume=resume)
        if isinstance(probe, Mapping) and probe:
            self.probe = joined({str(name): as_probe_set(part) for name, part in probe.items()})
            warn_of_splits(self.probe)
        else:
            self.probe = as_probe_set(probe)
        if label_bins is not None:
            self.probe = binned(self.probe, whole(label_bins, "label_bins", 2), "labels")
        first = self.probe.parts[0]
        self._gradient_probe = self.probe.take(first) if self.probe.splits else self.probe
        self.batch_size = batch_size
        self._schedule = as_schedule(schedule)
        self._progress = LoopProgress()
        if on_error not in ("warn", "raise"):
            raise InputError(f"on_error: expected 'warn' or 'raise', got {on_error!r}")
        self._on_error = on_error
        limit_of(learning_rate)  # its checks
        self._curvature = curvature
        self._curved: dict[str, Any] = {
            "samples": whole(curvature_samples, "curvature_samples", 1),
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }
        patterns = [layers] if isinstance(layers, str) else list(layers)
        attending = attention_patterns(attention)
        self._index, count = chosen_shard(shard)
        rows = shard_rows(self.probe.n_samples, self._index, count)
        self._passes = probe_passes(
            model,
            self.probe,
            layers=patterns,
            at=at,
            batch_dims=batch_dims,
            reduce=reduce,
            mask=mask,
            logits=logits,
            head=head,
            batch_size=batch_size,
            rows=rows,
            noise=noise,
            keep_dropout=keep_dropout,
            passes=passes,
            attention=attending,
        )
        self.model, self.layers = self._passes.model, self._passes.layers
        self._weights = WeightRecorder(weight_patterns(weights))
        name = name or Path(path).resolve().name
        manifest = run_manifest(
            self.model,
            name,
            group=group,
            seed=seed,
            layers=patterns,
            at=at,
            settings={
                "batch_size": batch_size,
                "batch_dims": dict(batch_dims or {}),
                **({"reduce": dict(reduce)} if reduce else {}),
                **({"mask": dict(mask)} if mask else {}),
                **({"logits": logits} if logits else {}),
                **({"head": head} if head else {}),
                **({"label_bins": label_bins} if label_bins is not None else {}),
                **({"weights": list(self._weights.patterns)} if self._weights else {}),
                **({"noise": dict(noise)} if noise else {}),
                **({"keep_dropout": True} if keep_dropout else {}),
                **({"passes": passes} if passes != 1 else {}),
                **({"attention": list(attending)} if attending else {}),
            },
            provenance=provenance or {},
        )
        self._whole: Path | None = None  # of several processes, the run that they write together
        self._fresh = not (overwrite or resume)  # all that is there is of this recording
        folder, written_probe = Path(path), self.probe
        if count > 1:
            manifest |= shard_manifest(self.probe, self._index, count)
            self._whole, folder = folder, shard_folder(folder, self._index, count)
            written_probe = self.probe.take(rows)
        self.recorded: list[str] = []  # names in the latest snapshot, in forward order
        self.kept: list[int] = []  # steps of a resumed run that were recorded before
        self._steps: dict[int, None] = {}
        self._first: dict[str, SampleKind] = {}  # of the first snapshot
        self._warnings = Warnings()
        self._prepared = self._closed = False
        self._writer = FolderWriter(
            folder, written_probe, manifest, overwrite=overwrite, resume=resume
        )
        self._losses: Losses | None = Losses() if self._index == 0 else None
        self._logged = False
        self._first_step: int | None = None
        if (before := self._writer.resumed) is not None:
            self._first_step = before.step
            self._first = {layer.name: (layer.shape, layer.dtype) for layer in before.layers}
        self._resumed_at = self._first_step

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close(last=raised[:1] in ((), (None,)))

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that were recorded, in the order of their snapshots."""
        return tuple(self._steps)

    def use(self, model: nn.Module) -> None:
        """Record another model of the same layers from now on.

        Raises
        ------
        DataError
            If it lacks a layer.
        """
        self._passes = self._passes.of(model)
        self.model, self.layers = self._passes.model, self._passes.layers

    def close(self, *, last: bool = True) -> None:
        """Record where the loop has ended, write what was logged, and release the run folder.

        If the last call of ``step`` recorded nothing, the model is recorded as it is now: as that
        step if no update followed, otherwise as the step that would have come next. A ``with``
        block that ends in an error does not record it.

        Parameters
        ----------
        last : bool, default True
            Record where the loop has ended.

        Raises
        ------
        InfoplaneError
            If the step or the log cannot be written, with ``on_error="raise"``; otherwise that is
            a warning.
        """
        if self._closed:
            return
        try:
            if last and not self._progress.recorded:
                self._record_end()
        finally:
            self._release()

    def _record_end(self) -> None:
        step, epoch = self._progress.end(self.model)
        if step not in self._steps:
            with self._guarded(step):
                self.snapshot(step, epoch=epoch)

    def _release(self) -> None:
        if self._closed:  # by a failure at the end of the loop
            return
        self._closed = True
        try:
            self._keep_losses()
        finally:
            try:
                self._writer.close()
            except RunFileError as error:
                if self._on_error == "raise":
                    raise
                log.warning("the last losses are not in the log: %s", one_line(error))

    def log(self, step: int, *, train_loss: Any, tokens: float | None = None) -> None:
        """Take the loss of a training step, before its update; call it at every step.

        It costs some bytes until the next snapshot or ``close``, which write them. A loss on a GPU
        is not waited for. NaN and inf are kept as they are. After ``close`` nothing is taken.

        Parameters
        ----------
        step : int
            The training step, above that of the call before.
        train_loss : float or tensor of one number
            The mean loss of the batch, in nats per token, or per sample.
        tokens : float, optional
            Tokens that were trained on so far, those of this batch included.

        Raises
        ------
        InputError
            If the loss is no number, or steps or tokens go backwards, with ``on_error="raise"``;
            otherwise the log ends with a warning, and the recording goes on.
        """
        if self._closed or self._losses is None:
            return
        try:
            self._losses.add(step, train_loss, tokens)
        except InputError as error:
            if self._on_error == "raise":
                raise
            log.warning("the loss log ends, the recording goes on: %s", one_line(error))
            self._keep_losses()
            self._losses = None

    def log_all(self, losses: LossLog) -> None:
        """Take the whole loss log of a training, e.g. of a file; what is in the run is left."""
        if self._index == 0 and self._writer.logged.digest != losses.digest:
            self._writer.log.add(losses)

    def step(self, step: int, *, last: bool = False, **values: Any) -> bool:
        """Record a training step if the schedule or ``last`` says so; tell whether it did.

        A step that is recorded already is left as it is. Further arguments are those of
        ``snapshot``; the schedule ``epoch`` needs the ``epoch``.

        Raises
        ------
        InputError
            If the schedule is by epoch, and none is given.
        InfoplaneError
            As ``snapshot``, with ``on_error="raise"``.
        """
        if self._closed:
            return False
        if self._schedule.epochs and values.get("epoch") is None:
            raise InputError(
                "schedule 'epoch': expected the epoch of every step",
                hint="call recorder.step(step, epoch=epoch), or choose every:N with N steps",
            )
        with self._guarded(step):
            step, epoch = whole_step(step), finite_epoch(values.get("epoch"))
            due = last or self._schedule.due(step, epoch, self._progress.epochs)
            there = step in self._steps
            self._progress.reached(step, epoch, self.model, recorded=due or there)
            if there or not due:
                return False
            if not self._prepared and (left := self._schedule.count(step)):
                self.prepare(left)
            self.snapshot(step, **values)
        return not self._closed  # which a failure does

    def expect(self, last: int, first: int = 0) -> None:
        """Set space aside for what ``step`` will record from step ``first`` to step ``last``.

        Of a schedule of listed steps, the first call of ``step`` does so.

        Raises
        ------
        InfoplaneError
            As ``prepare``, with ``on_error="raise"``; otherwise the recording ends with a warning.
        """
        if self._closed:
            return
        with self._guarded(first):
            self.prepare(self._schedule.count(first, last) + (not self._schedule.due(last)))

    @contextmanager
    def _guarded(self, step: int) -> Iterator[None]:
        """Let an error end the recording, or the training as well."""
        try:
            yield
        except Exception as error:
            if self._on_error == "raise":
                raise
            log.warning("recording ends at step %s, training goes on: %s", step, one_line(error))
            self.close(last=False)

    def snapshot(
        self,
        step: int,
        *,
        metrics: Mapping[str, float] | None = None,
        epoch: float | None = None,
        gradients: Loss | None = None,
        gradient_batch_size: int = 256,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Record all chosen layers at a training step.

        Parameters
        ----------
        step : int
            Training step, a whole number of at least 0.
        metrics : mapping of str to float, optional
            Numbers that belong to the step, e.g. ``train_loss``, ``test_accuracy``.
        epoch : float, optional
            Epoch of the step.
        gradients : callable (outputs, labels) -> scalar tensor, optional
            A loss, e.g. ``torch.nn.functional.cross_entropy``. Mean and spread of its gradient over
            mini-batches of the probe set, or of its first split, are kept for every layer of the
            model with a weight.
        gradient_batch_size : int, default 256
            Samples of a mini-batch for ``gradients``.
        provenance : mapping, optional
            JSON values kept with the step, e.g. the checkpoint file.

        Raises
        ------
        InputError
            If the step was recorded before, the recorder is closed, or an argument is unfit.
        DataError
            If the model fails on the probe inputs, none of the chosen layers fires, an output has
            no sample axis of the batch's length, no units or complex values, or the layers, their
            shapes or dtypes are not those of the first snapshot.
        RunFileError
            If the step cannot be written, or other processes recorded it with other layers or
            weights. Finished steps stay as they are.
        """
        if self._closed:
            raise InputError("the recorder is closed; make the snapshots before close()")
        step = whole_step(step)
        if step in self._steps:
            raise InputError(f"step {step} is recorded already")
        if not self._steps:
            self._check_initialised()
        writer = self._writer.step(step)
        writer.metrics = {
            str(key): number(value, f"metrics[{key!r}]") for key, value in (metrics or {}).items()
        }
        writer.epoch = finite_epoch(epoch)
        writer.provenance = {
            "parameters_hash": parameter_hash(self.model),
            **({} if gradients is None else {"gradient_batch_size": gradient_batch_size}),
            **({} if self._curvature is None else {"curvature_samples": self._curved["samples"]}),
            **json_values(provenance or {}),
        }
        if self._resumed_at in (None, step):
            self._keep_first_weights(step, writer.provenance["parameters_hash"])
        if self._writer.holds(writer):
            self.kept.append(step)
            self._steps[step] = None
            self.recorded = list(self._first)
            return
        surveyed(self._passes)
        with writer, evaluation_mode(self.model) as state:
            self._passes.record(writer, state)
            written = writer.layers.values()
            shapes = {layer.name: (layer.shape[1:], layer.dtype_name) for layer in written}
            self._check_layers(step, shapes)
            if gradients is not None and self._index == 0:
                writer.gradients = gradient_statistics(
                    self.model, self._gradient_probe, gradients, gradient_batch_size
                )
            if self._index == 0:
                self._weights.write(writer, self._chosen_weights())
            if self._curvature is not None and self._index == 0:
                writer.curvature = curvature_of(
                    self.model, self._gradient_probe, self._curvature, **self._curved
                )
            self._keep_losses()
        if not self._first:
            self._first, self._first_step = shapes, step
        self._steps[step] = None
        self.recorded = [layer.name for layer in writer.layers.values()]
        if self._fresh and self._whole is not None:
            Run(self._whole).compare_shards(step)
        self._warnings.of_nonfinite(writer)
        self._warnings.of_left(step, state)

    def prepare(self, n_steps: int, most: int | None = None) -> None:
        """Set space for ``n_steps`` steps aside, before the first pass of the probe set.

        Raises
        ------
        DataError
            If the run would take more than ``most`` bytes, or than the disk has room for; the
            message shows the sum.
        RunFileError
            If the space cannot be set aside.
        """
        self._check_initialised()
        self._prepared = True
        plan = plan_recording(self._passes, n_steps, self._weights if not self._index else None)
        if most is not None:
            plan.check(most, "bytes of --max-size")
        left = self._writer.n_missing(n_steps)
        replace(plan, n_steps=left).check(self._writer.free_bytes, "bytes that the disk has free")
        self._writer.reserve((*plan.slots, *plan.weights), left)

    def _keep_losses(self) -> None:
        if self._losses is None or not len(taken := self._losses.taken()):
            return
        if self._closed and not self._writer.begun:
            warn_of_lost(taken, self._writer.path)
        if not self._logged:
            warn_of_replaced(self._writer.logged, taken)
        self._logged = True
        self._writer.log.add(taken)

    def _chosen_weights(self) -> list[ChosenWeight]:
        return self._weights.of_model(self.model, self._passes.roles.head)

    def _keep_first_weights(self, step: int, parameters_hash: str) -> None:
        """Keep the weights from which distances are measured, which those of the first step are."""
        if self._weights and self._index == 0:
            surveyed(self._passes)
            self._weights.begin(step, parameters_hash, self._chosen_weights())

    def _check_initialised(self) -> None:
        if any(map(is_lazy, self.model.parameters())):
            lazy = next(name for name, one in self.model.named_parameters() if is_lazy(one))
            raise DataError(
                f"{lazy}: the parameter is not initialised yet",
                hint="call the model once on inputs, or load weights, before the snapshot",
            )

    def _check_layers(self, step: int, shapes: Mapping[str, SampleKind]) -> None:
        """Compare the layers with those of the first snapshot; a run has the same at every step."""
        if not self._first or self._first == shapes:
            return
        for name in {**self._first, **shapes}:
            before, now = self._first.get(name), shapes.get(name)
            if before != now:
                raise DataError(
                    f"layer {name!r}: {described(now)} at step {step}, {described(before)} at "
                    f"step {self._first_step}; a run has the same layers at every step",
                    hint=f"leave the layer out: --layers '!{name.partition('#')[0]}'",
                )

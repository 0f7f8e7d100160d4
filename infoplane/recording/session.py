"""A recording of checkpoints as one call, from its arguments to the run.

``infoplane record`` parses its options, makes the same call and prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast

from torch import nn

from infoplane.calls import (
    Listener,
    PathLike,
    Progress,
    checkpoint_patterns,
    is_path,
    listener,
    one_of,
    path_of,
    text_or_none,
    texts,
    truth,
    unfit,
    whole,
)
from infoplane.data import ProbeSet
from infoplane.errors import InputError, RunFileError
from infoplane.numerics.devices import check_device, own_gpu
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.initial import Initial
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.checkpoints.replay import record_checkpoints, step_0_twice
from infoplane.recording.hooks.attention import attention_patterns
from infoplane.recording.hooks.choice import probe_passes
from infoplane.recording.hooks.noise import noise_sizes
from infoplane.recording.log_files import read_loss_log
from infoplane.recording.plan import RecordingPlan, plan_checkpoints
from infoplane.recording.probes.classes import warn_of_splits
from infoplane.recording.probes.from_arrays import as_probe_set, binned, joined
from infoplane.recording.probes.named import load_probe, load_splits
from infoplane.recording.recorder import Recorder
from infoplane.recording.schedule import check_options
from infoplane.recording.weights import WeightRecorder, weight_patterns
from infoplane.runs.run import Run

Model: TypeAlias = "str | nn.Module | Callable[[], nn.Module]"
Data: TypeAlias = "PathLike | ProbeSet | tuple[Any, Any]"

_MODEL = "a torch.nn.Module, what makes one, or MODULE:CALLABLE"
_DATA = "a file, MODULE:CALLABLE, a ProbeSet, a pair (inputs, labels), or a dict of splits of these"


class Recording:
    """A recording whose checkpoints are found, and whose model and probe set are there.

    Parameters are those of `record`.

    Attributes
    ----------
    probe : ProbeSet
        What is recorded.
    recorder : Recorder
        What recorded, once `run` has begun.

    Examples
    --------
    >>> recording = infoplane.Recording("net.py:build", "step_*.pt", "probe.npz", "runs/s2")
    >>> recording.plan().bytes > 0
    True
    >>> recording.run().steps
    (0, 20)
    """

    recorder: Recorder

    def __init__(
        self,
        model: Model,
        checkpoints: PathLike | Iterable[PathLike],
        data: Data | Mapping[str, Data],
        output: PathLike,
        *,
        weights_key: str | None = None,
        strict: bool = True,
        trust_model: bool = False,
        layers: str | Iterable[str] = (),
        at: Literal["output", "input"] = "output",
        batch_dims: Mapping[str, int] | None = None,
        reduce: Mapping[str, str] | None = None,
        mask: Mapping[str, str] | None = None,
        logits: str | None = None,
        head: str | None = None,
        weights: str | Sequence[str] | bool | None = None,
        batch_size: int = 512,
        noise: Mapping[str, float] | None = None,
        keep_dropout: bool = False,
        passes: int = 1,
        attention: bool | str | Sequence[str] = False,
        max_size: int | None = None,
        step_pattern: str | None = None,
        initial: int | None = None,
        device: str = "auto",
        gradients: bool = False,
        gradient_batch_size: int = 256,
        name: str | None = None,
        group: str | None = None,
        overwrite: bool = False,
        resume: bool = False,
        log: PathLike | None = None,
        labels: PathLike | None = None,
        label_bins: int | None = None,
        x: str | None = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        self.output = path_of(output, "output")
        self.max_size = None if max_size is None else whole(max_size, "max_size", 0)
        self._passes = _passes(layers, at, batch_dims, reduce, mask, batch_size)
        self._passes |= _roles(logits, head)
        self._passes |= _noise(noise, keep_dropout, passes)
        self._passes["attention"] = attention_patterns(attention)
        self._options = _options(name, group, overwrite, resume)
        check_options(reduce=self._passes["reduce"], overwrite=overwrite, resume=resume)
        self._loading = _loading(weights_key, strict, trust_model)
        self._recorded = weight_patterns(weights)
        self._gradients: dict[str, Any] = {
            "gradients": truth(gradients, "gradients"),
            "gradient_batch_size": whole(gradient_batch_size, "gradient_batch_size", 1),
        }
        self._log = None if log is None else read_loss_log(str(path_of(log, "log")))
        choice, where = _choice(labels, label_bins, x, samples, seed), check_device(device)
        expression = text_or_none(step_pattern, "step_pattern")
        self._found = find_checkpoints(checkpoint_patterns(checkpoints), expression)
        self.device = own_gpu(where) if where.startswith("cuda") else where
        self.model, named = self._made(model)
        self._initial = self._untrained(model, initial)
        self.probe, told = _probe_set(data, choice)
        self._provenance = {**named, **told, "device": self.device}

    @property
    def steps(self) -> list[int | None]:
        """The steps, None where the file itself must tell."""
        first: list[int | None] = [] if self._initial is None else [0]
        return [*first, *(checkpoint.step for checkpoint in self._found)]

    def _untrained(self, model: object, seed: int | None) -> Initial | None:
        if seed is None:
            return None
        seed = whole(seed, "initial", 0)
        if not isinstance(model, str) and (isinstance(model, nn.Module) or not callable(model)):
            raise InputError(
                "initial: expected what makes the model, as it is made anew, got a model",
                argument="initial",
            )
        if first := [checkpoint.path for checkpoint in self._found if checkpoint.step == 0]:
            raise step_0_twice(first[0])
        return Initial(model, self._found[0].path, seed, self._loading["key"])

    def _made(self, model: object) -> tuple[nn.Module, dict[str, str]]:
        """Return the model, where it computes, and what the provenance says of it."""
        named = {}
        if isinstance(model, str):
            named = {"model": model}
            made: object = load_model(model, self._found[0].path, **self._loading)
            self._loading["reference"] = model
        elif isinstance(model, nn.Module) or not callable(model):
            made = model
        else:
            made = model()
        if not isinstance(made, nn.Module):
            raise unfit("model", _MODEL, made)
        if self.device != "auto":
            made.to(self.device)
        return made, named

    def plan(self) -> RecordingPlan:
        """Return layers, bytes and seconds; the first checkpoint is loaded, nothing is written.

        Raises
        ------
        InfoplaneError
            As `record`, if the first checkpoint cannot be recorded.
        """
        passes = probe_passes(self.model, self.probe, **self._passes)
        recorded = WeightRecorder(self._recorded)
        plan = plan_checkpoints(passes, self._found, recorded_weights=recorded, **self._loading)
        return replace(plan, n_steps=len(self.steps))

    def run(self, progress: bool | Listener = False) -> Run:
        """Record all checkpoints.

        Parameters
        ----------
        progress : bool or callable, default False
            As of `record`.

        Raises
        ------
        InfoplaneError, KeyboardInterrupt
            As `record`.
        """
        tell = listener(progress)
        with Recorder(
            self.model,
            self.probe,
            self.output,
            provenance=self._provenance,
            weights=self._recorded,
            **self._passes,
            **self._options,
        ) as self.recorder:
            if self._log is not None:
                self.recorder.log_all(self._log)
            tell(Progress("record", 0, len(self.steps)))
            steps = record_checkpoints(
                self.recorder,
                self._found,
                **self._gradients,
                **self._loading,
                max_size=self.max_size,
                initial=self._initial,
            )
            for done, _ in enumerate(steps, 1):
                tell(Progress("record", done, len(self.steps)))
        run = Run(self.output)
        if lost := set(self.recorder.steps) - set(run.steps):
            raise RunFileError(
                f"{self.output}: {len(lost)} of the {len(self.recorder.steps)} recorded steps are "
                f"gone, step {min(lost)} first: another process has removed them",
                hint="--resume records them again",
                code="IP303",
            )
        return run


def record(
    model: Model,
    checkpoints: PathLike | Iterable[PathLike],
    data: Data | Mapping[str, Data],
    output: PathLike,
    *,
    weights_key: str | None = None,
    strict: bool = True,
    trust_model: bool = False,
    layers: str | Iterable[str] = (),
    at: Literal["output", "input"] = "output",
    batch_dims: Mapping[str, int] | None = None,
    reduce: Mapping[str, str] | None = None,
    mask: Mapping[str, str] | None = None,
    logits: str | None = None,
    head: str | None = None,
    weights: str | Sequence[str] | bool | None = None,
    batch_size: int = 512,
    noise: Mapping[str, float] | None = None,
    keep_dropout: bool = False,
    passes: int = 1,
    attention: bool | str | Sequence[str] = False,
    max_size: int | None = None,
    step_pattern: str | None = None,
    initial: int | None = None,
    device: str = "auto",
    gradients: bool = False,
    gradient_batch_size: int = 256,
    name: str | None = None,
    group: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    log: PathLike | None = None,
    labels: PathLike | None = None,
    label_bins: int | None = None,
    x: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    progress: bool | Callable[[Progress], object] = False,
) -> Run:
    """Record the activations of a probe set at every checkpoint of a training.

    A step appears in the run only when it is complete; after an interrupt or an error the finished
    steps are kept, and ``resume`` goes on from there. To record while a network trains, see
    `Recorder`.

    Parameters
    ----------
    model : torch.nn.Module, callable or str
        The model, into which each checkpoint is loaded in turn; what makes it; or
        ``MODULE:CALLABLE``, ``path/to/file.py:callable``, ``hf:CLASS``, ``FILE.pt2``.
    checkpoints : path or sequence of paths
        Globs of checkpoint files, Hugging Face folders, or the folder of a training.
    data : path, ProbeSet, (inputs, labels), or mapping of str to these
        The probe set: a file of arrays, ``FILE:x,y``, a folder of images, ``MODULE:CALLABLE``, or
        arrays (n_samples, ...) and class ids (n_samples,). A mapping is of splits, either all named
        or all arrays, which are analyzed apart.
    output : path
        Folder of the run.
    weights_key : str, optional
        Where the weights are in a checkpoint that holds several, e.g. ``ema.model``.
    strict : bool, default True
        Refuse weights that do not all fit the model.
    trust_model : bool, default False
        Load exported programs (``.pt2``), which are code.
    layers, at, batch_dims, reduce, mask, logits, head, weights, attention : optional
        As of `Recorder`.
    batch_size, noise, keep_dropout, passes, name, group, overwrite, resume : optional
        As of `Recorder`.
    max_size : int, optional
        Refuse to record more bytes, before the first step.
    step_pattern : str, optional
        Regular expression whose first group is the step in a checkpoint's path.
    initial : int, optional
        Also record the untrained model as step 0: made anew after this seed is set. It is the one
        that the training began with if that set the same seed right before it made the model.
    device : str, default "auto"
        Where the model computes: ``cpu``, ``cuda``, ``cuda:K``, or ``auto``, where it is.
    gradients : bool, default False
        Keep mean and spread of the cross-entropy gradient over mini-batches of
        ``gradient_batch_size`` samples.
    log : path, optional
        The loss of the training at its steps: CSV, JSON lines or a TensorBoard event file, or
        ``FILE:LOSS,TOKENS,STEP`` by the names of its columns. It is kept in the run.
    labels, label_bins, x, samples, seed : optional
        Classes to make of real targets (``label_bins``); and of a probe set that is named: a file
        of labels; which of several inputs is X; how many rows to keep, and the seed that chooses
        them.
    progress : bool or callable, default False
        True writes lines to stderr; a callable is given a `Progress` after every checkpoint.

    Raises
    ------
    InputError
        If an argument is of the wrong type or unfit; the message names it.
    NotFoundError
        If no checkpoint or layer matches.
    DataError
        If weights, samples or layers cannot be used.
    RunFileError
        If a file cannot be read, or ``output`` holds a run already.

    Examples
    --------
    >>> run = infoplane.record("net.py:build", "step_*.pt", "probe.npz", "runs/s1")
    >>> run.steps
    (0, 20)
    """
    return Recording(
        model, checkpoints, data, output, weights_key=weights_key, strict=strict,
        trust_model=trust_model, layers=layers, at=at, batch_dims=batch_dims, reduce=reduce,
        mask=mask, logits=logits, head=head, weights=weights, batch_size=batch_size,
        noise=noise, keep_dropout=keep_dropout, passes=passes, attention=attention,
        max_size=max_size, step_pattern=step_pattern, initial=initial, device=device,
        gradients=gradients,
        gradient_batch_size=gradient_batch_size, name=name, group=group, overwrite=overwrite,
        resume=resume, log=log, labels=labels, label_bins=label_bins, x=x, samples=samples,
        seed=seed,
    ).run(progress)  # fmt: skip


def _passes(
    layers: object, at: object, batch_dims: object, reduce: object, mask: object, batch_size: object
) -> dict[str, Any]:
    return {
        "layers": texts(layers, "layers"),
        "at": one_of(at, "at", "output", "input"),
        "batch_dims": _by_layer(batch_dims, "batch_dims", int, "layer globs and axes"),
        "reduce": _by_layer(reduce, "reduce", str, "layer globs and kinds such as 'sketch:256'"),
        "mask": _by_layer(mask, "mask", str, "layer globs and arguments such as 'attention_mask'"),
        "batch_size": whole(batch_size, "batch_size", 1),
    }


def _roles(logits: object, head: object) -> dict[str, Any]:
    return {"logits": text_or_none(logits, "logits"), "head": text_or_none(head, "head")}


def _noise(noise: object, keep_dropout: object, passes: object) -> dict[str, Any]:
    if noise is not None and not isinstance(noise, Mapping):
        raise unfit("noise", "a dict of layer globs and standard deviations", noise)
    return {
        "noise": noise_sizes(noise or {}),
        "keep_dropout": truth(keep_dropout, "keep_dropout"),
        "passes": whole(passes, "passes", 1),
    }


def _options(name: object, group: object, overwrite: object, resume: object) -> dict[str, Any]:
    return {
        "name": text_or_none(name, "name"),
        "group": text_or_none(group, "group"),
        "overwrite": truth(overwrite, "overwrite"),
        "resume": truth(resume, "resume"),
    }


def _loading(key: object, strict: object, trust_model: object) -> dict[str, Any]:
    return {
        "key": text_or_none(key, "weights_key"),
        "strict": truth(strict, "strict"),
        "trust_model": truth(trust_model, "trust_model"),
    }


def _choice(
    labels: object, label_bins: object, x: object, samples: object, seed: object
) -> dict[str, Any]:
    return {
        "labels": None if labels is None else str(path_of(labels, "labels")),
        "label_bins": None if label_bins is None else whole(label_bins, "label_bins", 2),
        "x": text_or_none(x, "x"),
        "samples": None if samples is None else whole(samples, "samples", 2),
        "seed": whole(seed, "seed", 0),
    }


def _by_layer(given: object, argument: str, kind: type, what: str) -> dict[str, Any]:
    """Return what holds for layers, by glob."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise unfit(argument, f"a dict of {what}", given)
    for glob, value in given.items():
        if not isinstance(glob, str) or not isinstance(value, kind) or isinstance(value, bool):
            raise unfit(argument, f"a dict of {what}", {glob: value})
    return dict(given)


def _probe_set(data: object, choice: Mapping[str, Any]) -> tuple[ProbeSet, dict[str, Any]]:
    """Return the probe set, and what the provenance says of it."""
    if is_path(data):
        return load_probe(str(data), **choice), {"data": str(data)}
    if isinstance(data, Mapping) and data and all(map(is_path, data.values())):
        named = {str(name): str(where) for name, where in data.items()}
        return load_splits(named, **choice), {"data": named}
    for argument in ("labels", "x", "samples"):
        if choice[argument] is not None:
            raise InputError(
                f"{argument}: expected with data that is named, got arrays as well",
                argument=argument,
            )
    if isinstance(data, Mapping) and data:
        probe = joined({str(name): _of_arrays(part) for name, part in data.items()})
        warn_of_splits(probe)
    else:
        probe = _of_arrays(data)
    bins = choice["label_bins"]
    return (probe if bins is None else binned(probe, bins, "labels")), {}


def _of_arrays(data: object) -> ProbeSet:
    if not isinstance(data, ProbeSet) and not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise unfit("data", _DATA, data)
    return as_probe_set(cast("Any", data))

"""``infoplane record``: record layers from checkpoints, or of a training script."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.globs import axis, by_glob, kinds_by_glob, sigma
from infoplane.cli.options import Location, SharedOptions, shared_options
from infoplane.cli.probe_options import ProbeChoice, probe_options
from infoplane.cli.progress import Stages
from infoplane.cli.sizes import byte_size
from infoplane.errors import InfoplaneError, InputError, TerminatedError
from infoplane.text import counted

if TYPE_CHECKING:
    from infoplane.recording.recorder import Recorder
    from infoplane.recording.session import Recording
    from infoplane.recording.weights_only import WeightsRecording

_OF_CHECKPOINTS = (
    "model_reference",
    "checkpoints",
    "weights_key",
    "strict",
    "trust_model",
    "step_pattern",
    "initial",
    "max_size",
    "device",
    "gradients",
    "gradient_batch_size",
    "log",
    "dry_run",
    "weights_only",
)
_OF_WEIGHTS = (
    "checkpoints", "weights", "weights_key", "weights_only", "trust_model", "step_pattern",
    "max_size", "name", "group", "overwrite", "resume", "dry_run", "output",
)  # fmt: skip
"""Parameters that say something where weights alone are recorded."""

_OF_DATA = ("labels", "label_bins", "x", "samples", "seed")
"""Parameters that say something of checkpoints, and of the probe set of --data."""


@click.command()
@click.option(
    "--model",
    "model_reference",
    type=Location(reference=True),
    metavar="MODULE:CALLABLE|hf:CLASS|FILE.pt2",
    help="Makes the model; also path/to/file.py:callable. This code is run. hf:AutoModel takes "
    "config.json from the checkpoint.",
)
@click.option(
    "--checkpoints",
    multiple=True,
    type=Location(),
    metavar="GLOB|FOLDER",
    help="Checkpoint files or Hugging Face folders, or the folder of a training; repeatable.",
)
@click.option(
    "--weights-key",
    metavar="KEY",
    help="Where the weights are in a checkpoint that holds several, e.g. ema.model.",
)
@click.option(
    "--weights",
    multiple=True,
    is_flag=False,
    flag_value="summary",
    metavar="[=summary|GLOB]",
    help="Also record weights: the singular values and norms of all (summary, what the bare option "
    "means), or the numbers of those that match; repeatable, !GLOB excludes.",
)
@click.option(
    "--weights-only",
    is_flag=True,
    help="Record weights alone, of --checkpoints: no model, no data, no forward pass.",
)
@click.option(
    "--strict/--no-strict",
    default=True,
    show_default=True,
    help="Refuse weights that do not all fit the model, or load what fits and list the rest.",
)
@click.option(
    "--trust-model",
    is_flag=True,
    help="Load exported programs (.pt2). They are code: loading one can run anything.",
)
@probe_options
@click.option(
    "-o", "--output", required=True, type=Location(), metavar="RUN", help="Folder of the run."
)
@click.option(
    "-l",
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Layers by name; repeatable, !GLOB excludes, ** crosses dots, * does not; type:Tanh names "
    "a class, blocks the repeated blocks, head the layer of the logits, lstm[0] or enc['key'] a "
    "tensor in an output, op:relu a function that is no module. Default: leaf modules with "
    "parameters or an activation.",
)
@click.option(
    "--at",
    type=click.Choice(["output", "input"]),
    default="output",
    show_default=True,
    help="Record the outputs of the layers, or their inputs.",
)
@click.option(
    "--batch-dim",
    "batch_dims",
    multiple=True,
    metavar="GLOB=AXIS",
    help="Axis of the samples in these layers, if it is not the first; repeatable.",
)
@click.option(
    "--reduce",
    "reductions",
    multiple=True,
    metavar="GLOB=KIND",
    help="Make large layers small: flatten (all units), gap, grid:K, last, mean, tokens:K, "
    "sketch:K; repeatable, the last match counts, and of one GLOB given again all: h.0@last and "
    "h.0@mean. Required above 16,384 units.",
)
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="GLOB=NAME|none",
    help="Which argument of the model is the mask of a layer's tokens, for last, mean and "
    "tokens:K; !NAME marks padding, none lets all count; repeatable. Default: found by cutting "
    "inputs short, or refused.",
)
@click.option(
    "--logits",
    metavar="NAME",
    help="The recorded layer of the logits. Default: the one that is the model's output, or below "
    "its soft-max.",
)
@click.option(
    "--head",
    metavar="NAME",
    help="The layer that makes the logits of the features. Default: that of the logits if it is "
    "linear, or else the last linear layer.",
)
@click.option(
    "--max-size",
    callback=byte_size,
    metavar="SIZE",
    help="Refuse, before the first step, a run that would be larger, e.g. 500M or 20G.",
)
@click.option(
    "--step-pattern",
    metavar="REGEX",
    help="The first group of this pattern is the step in the path of a checkpoint. "
    "Default: what a word such as step or epoch tells, in the name or in the file.",
)
@click.option(
    "--initial",
    type=click.IntRange(0),
    metavar="SEED",
    help="Also record the untrained model, as step 0: what --model makes once SEED is set. It is "
    "that of the training if that set SEED right before it made the model.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="Where the model computes: cpu, cuda, cuda:K, or auto, which leaves it where MODEL put "
    "it.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    metavar="N",
    help="Samples per forward pass.",
)
@click.option(
    "--noise",
    "noises",
    multiple=True,
    metavar="GLOB=SIGMA",
    help="Standard deviation of Gaussian noise that the network adds in these layers; repeatable. "
    "That of infoplane.nn.GaussianNoise is found.",
)
@click.option(
    "--keep-dropout",
    is_flag=True,
    help="Leave dropout and GaussianNoise on. What is drawn belongs to the sample, so batches do "
    "not matter, and is the same at every step.",
)
@click.option(
    "--passes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="Passes of each sample through a network that is random, for analyze -e noisy.",
)
@click.option(
    "--attention",
    multiple=True,
    is_flag=False,
    flag_value="**",
    metavar="[=GLOB]",
    help="Keep the entropy of attention by sample and head: of all modules that attend (what the "
    "bare option means), or of those that match; repeatable.",
)
@click.option(
    "--gradients",
    is_flag=True,
    help="Also record mean and spread of the cross-entropy gradient over mini-batches of the probe "
    "set.",
)
@click.option(
    "--gradient-batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    metavar="N",
    help="Samples per mini-batch for --gradients.",
)
@click.option(
    "--log",
    type=Location(),
    metavar="FILE[:LOSS,TOKENS,STEP]",
    help="The loss of the training by step, kept in the run: CSV, JSON lines or a TensorBoard "
    "event file. Columns such as train_loss, tokens and step are found, or named.",
)
@click.option("--name", metavar="TEXT", help="Name of the run. Default: the name of the folder.")
@click.option("--group", metavar="TEXT", help="Group of runs that differ only in their seed.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in RUN.")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in RUN: record only steps that are missing, damaged or changed.",
)
@click.option(
    "-n",
    "--dry-run",
    is_flag=True,
    help="Show checkpoints, layers, bytes and time; write nothing.",
)
@click.option(
    "--schedule",
    metavar="every:N|log:K|N,N,...",
    help="With a script: optimizer steps to record. Default: log:10, ten in each decade.",
)
@click.argument("script", nargs=-1, type=click.UNPROCESSED, metavar="[-- python SCRIPT ...]")
@shared_options
@click.pass_obj
def record(
    shared: SharedOptions,
    /,
    model_reference: str | None,
    checkpoints: tuple[str, ...],
    probe_choice: ProbeChoice,
    output: str,
    batch_dims: tuple[str, ...],
    reductions: tuple[str, ...],
    masks: tuple[str, ...],
    noises: tuple[str, ...],
    dry_run: bool,
    weights_only: bool,
    schedule: str | None,
    script: tuple[str, ...],
    **chosen: Any,  # as `Recording` calls them
) -> None:
    """Record the activations of a probe set at every checkpoint of a training.

    State dicts are loaded with weights_only=True: no code in a checkpoint is run. A step appears in
    RUN only when it is complete. After an interruption or an error the finished steps are kept.
    With --overwrite, an earlier run is replaced only when the first new step is complete.

    \b
    infoplane record --model net.py:build --checkpoints 'ckpt/*.pt' --data probe.npz -o runs/s0
    infoplane record --model my.models:mlp --checkpoints 'run/*.pt' --data my.data:val \\
        --layers 'fc*' --layers '!fc1' --samples 4096 -o runs/s0

    Experimental: a training script can be recorded as it runs. Neither the script nor what it
    computes changes. Steps are counted from 0. The probe set is --data, or the first training
    batch.

    \b
    infoplane record --data probe.npz -o runs/s0 -- python train.py --lr 0.1

    Weights can be recorded with the layers (--weights), or alone:

    \b
    infoplane record --weights-only --checkpoints 'ckpt/*.pt' -o runs/w0
    """
    Path.cwd()  # where it was removed, importing torch would end the process
    chosen["batch_dims"] = by_glob(batch_dims, "GLOB=AXIS", "rnn=1", axis)
    chosen["reduce"] = kinds_by_glob(reductions)
    chosen["mask"] = by_glob(masks, "GLOB=NAME", "decoder.*=none", str)
    chosen["noise"] = by_glob(noises, "GLOB=SIGMA", "noise*=0.1", sigma)
    if weights_only and not script:
        _record_weights(checkpoints, output, shared, chosen, dry_run=dry_run)
        return
    if script:
        _refuse_for_script(script, checkpoints, probe_choice)
        options = {name: value for name, value in chosen.items() if name not in _OF_CHECKPOINTS}
        _record_script(script, probe_choice, output, {**options, "schedule": schedule or "log:10"})
        return
    for option, given in zip(
        ("--model", "--checkpoints", "--data"),
        (model_reference, checkpoints, probe_choice),
        strict=True,
    ):
        if not given:
            raise click.UsageError(f"Missing option '{option}'.")
    _refuse(("schedule",), "is for a script: ... -- python SCRIPT")
    assert model_reference is not None
    from infoplane.recording.session import Recording

    recording = Recording(
        model_reference, checkpoints, probe_choice.told, output, **chosen, **probe_choice.parts
    )
    if dry_run:
        _tell_plan(recording, output, kept=chosen["resume"] or chosen["overwrite"])
    else:
        _record(recording, output, shared, resumed=chosen["resume"])


def _record_weights(
    checkpoints: tuple[str, ...],
    output: str,
    shared: SharedOptions,
    chosen: dict[str, Any],
    *,
    dry_run: bool,
) -> None:
    """Record weights alone, or say what would be recorded."""
    options = click.get_current_context().command.params
    others = {str(option.name) for option in options if option.expose_value} - set(_OF_WEIGHTS)
    _refuse(others, "is not for --weights-only")
    if not checkpoints:
        raise click.UsageError("Missing option '--checkpoints'.")
    from infoplane.recording.weights_only import WeightsRecording

    told = {name: value for name, value in chosen.items() if name in _OF_WEIGHTS}
    recording = WeightsRecording(checkpoints, output, **told)
    if dry_run:
        _tell_plan(recording, output, kept=chosen["resume"] or chosen["overwrite"])
        return
    _run(recording, output, shared)
    size = sum(file.stat().st_size for file in Path(output).rglob("*.h5"))
    kept = f", {len(recording.kept)} of them kept from before" if chosen["resume"] else ""
    click.echo(
        f"recorded {counted(len(recording.steps), 'step')} x "
        f"{counted(len(recording.recorded), 'weight')} in {output} ({size / 1e6:,.1f} MB){kept}"
    )


def _refuse_for_script(
    script: tuple[str, ...], checkpoints: tuple[str, ...], probe_choice: ProbeChoice
) -> None:
    """Refuse options that say nothing of a script that is recorded."""
    if checkpoints and Path(script[0]).suffix != ".py" and Path(script[0]).exists():
        raise click.UsageError(
            f"expected one pattern after --checkpoints, got {script[0]!r} as well: write the "
            "pattern in quotes, lest the shell replaces it"
        )
    _refuse(_OF_CHECKPOINTS, "is for --checkpoints; a script is recorded as it runs")
    if not probe_choice:
        _refuse(_OF_DATA, "is for --data, without which the first batch is the probe set")


def _tell_plan(recording: Recording | WeightsRecording, output: str, *, kept: bool) -> None:
    """Say what would be recorded, and what is in its way."""
    from infoplane.cli.dry_run import recording_described

    plan = recording.plan()
    click.echo(recording_described(plan, recording.steps, output))
    if recording.max_size is not None:
        plan.check(recording.max_size, "bytes of --max-size")
    if (recording.output / "manifest.json").exists() and not kept:
        click.echo(f"{output} holds a run already: go on with --resume, or use --overwrite")


def _record(recording: Recording, output: str, shared: SharedOptions, *, resumed: bool) -> None:
    """Record, and say what was recorded."""
    _run(recording, output, shared)
    _tell(recording.recorder, len(recording.steps), output, resumed=resumed)


def _run(recording: Recording | WeightsRecording, output: str, shared: SharedOptions) -> None:
    """Record, and say what a stop leaves."""
    n_steps = len(recording.steps)
    stages = Stages("checkpoints", shared)
    try:
        with stages:
            recording.run(stages)
    except KeyboardInterrupt as stop:
        word = "terminated" if isinstance(stop, TerminatedError) else "interrupted"
        kept = _kept(stages.done.get("record", 0), n_steps, output)
        raise type(stop)(f"{word}: {kept}") from None
    except InfoplaneError:
        if done := stages.done.get("record"):
            click.echo(_kept(done, n_steps, output), err=True)
        raise


def _record_script(
    script: tuple[str, ...],
    probe_choice: ProbeChoice,
    output: str,
    options: dict[str, Any],
) -> None:
    """Record a training script while it runs."""
    from infoplane.recording.loops.script import record_script
    from infoplane.recording.manifest import without_secrets
    from infoplane.recording.recorder import Recorder
    from infoplane.recording.schedule import as_schedule, check_options
    from infoplane.runs.writer import check_folder

    check_options(**options)  # before hours of training of which nothing would be recorded
    if as_schedule(options["schedule"]).epochs:
        raise InputError(
            f"--schedule {options['schedule']}: the epochs of a script are not seen, its optimizer "
            "steps are",
            hint="choose every:N with the N steps of an epoch",
        )
    check_folder(Path(output), replace=options["overwrite"] or options["resume"])
    probe = probe_choice.load() if probe_choice else None
    place = Path(output).absolute()  # the script may go to another folder

    def make(model: Any, inputs: tuple[Any, ...]) -> Recorder:
        if probe is None and len(inputs) != 1:
            raise InputError(
                f"expected a model of one input to take its first batch as probe set, got "
                f"{len(inputs)}; name a probe set with --data"
            )
        return Recorder(
            model,
            probe or (inputs[0], None),
            place,
            provenance={
                "script": without_secrets(script),
                "data": probe_choice.told if probe_choice else "first training batch",
            },
            **options,
        )

    recorder = record_script(script, make)
    _tell(recorder, len(recorder.steps), output, resumed=options["resume"])


def _refuse(names: Collection[str], why: str) -> None:
    """Refuse options of these names on the command line: they would change nothing."""
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if option.name in names and source is click.core.ParameterSource.COMMANDLINE:
            given = max(option.opts, key=len)
            raise click.UsageError(f"{given} {why}")


def _tell(recorder: Recorder, n_steps: int, output: str, *, resumed: bool) -> None:
    """Say what was recorded."""
    size = 0
    for file in Path(output).rglob("*.h5"):
        with suppress(FileNotFoundError):  # another process replaces the run
            size += file.stat().st_size
    kept = f", {len(recorder.kept)} of them kept from before" if resumed else ""
    click.echo(
        f"recorded {counted(n_steps, 'step')} x {counted(len(recorder.recorded), 'layer')} x "
        f"{counted(recorder.probe.n_samples, 'sample')} in {output} ({size / 1e6:,.1f} MB){kept}"
    )


def _kept(done: int, n_steps: int, output: str) -> str:
    """Say what a stop leaves."""
    if not done:
        return "no step was recorded"
    if not Path(output).is_dir():
        return f"{output} is gone, and with it the {done} steps that were recorded"
    return (
        f"{done} of {n_steps} steps are recorded in {output} and can be analyzed; "
        "--resume records the rest"
    )

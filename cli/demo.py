"""``infoplane demo``: the whole path on a small network, offline."""

from __future__ import annotations

import time
from pathlib import Path

import click

from infoplane.analysis.executors import Processes
from infoplane.cli.analyze import analyze
from infoplane.cli.options import Location, shared_options
from infoplane.cli.plot import plot
from infoplane.errors import RunFileError, unwritable

_LAYERS = ("tanh*", "output")
_ESTIMATORS = ("binning", "compressed:population=recorded,max_samples=1000", "dse:max_samples=400")


@click.command()
@click.option(
    "-o",
    "--output",
    type=Location(),
    default="infoplane-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for everything the demo writes.",
)
@click.option("--seeds", type=click.IntRange(1, 64), default=4, show_default=True, metavar="N")
@click.option("--epochs", type=click.IntRange(1), default=600, show_default=True, metavar="N")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo in DIR.")
@shared_options
@click.pass_context
def demo(ctx: click.Context, output: str, seeds: int, epochs: int, overwrite: bool) -> None:
    """Train, record, analyze and plot the classic 12-bit network, offline.

    The network 12-10-7-5-4-3-2 with tanh is trained with several seeds on a rule over 12 bits. The
    code is in infoplane.sample_runs.twelve_bit. Copy this folder to start your own runs.

    \b
    infoplane demo
    infoplane demo --seeds 8 -o my-demo
    """
    folder = Path(output)
    _make_room(folder, overwrite)
    start = time.monotonic()
    runs = [str(folder / "runs" / f"tanh-s{seed}") for seed in range(seeds)]
    with Processes(min(seeds, 2)) as workers:
        click.echo(
            f"[1/3] train and record: 12-10-7-5-4-3-2 tanh, {epochs} epochs, {seeds} seeds",
            err=True,
        )
        futures = [
            workers.executor.submit(_train_and_record, seed, folder, epochs)
            for seed in range(seeds)
        ]
        accuracies = [future.result() for future in futures]
    mean = sum(accuracies) / seeds
    click.echo(
        f"      {time.monotonic() - start:.0f} s, test accuracy {mean:.3f} (mean of seeds)",
        err=True,
    )
    click.echo("[2/3] analyze", err=True)
    results = str(folder / "results.json")
    ctx.invoke(analyze, runs=tuple(runs), estimators=_ESTIMATORS, output=results, no_cache=True)
    click.echo("[3/3] plot", err=True)
    report = str(folder / "report.html")
    figures = str(folder / "figures")
    ctx.invoke(plot, results=(results,), output=figures, report=report, table=False)
    click.echo(
        f"\ndone in {time.monotonic() - start:.0f} s; open {report}\n"
        f"next: infoplane analyze {runs[0]} -e binning:bins=15+30+60 -o sweep.json\n"
        f"      infoplane plot {results} --format svg -o figures"
    )


def _train_and_record(seed: int, folder: Path, epochs: int) -> float:
    """Train a seed, save its checkpoints, record them; return the test accuracy."""
    from infoplane.recording.session import record
    from infoplane.sample_runs.twelve_bit.train import train

    checkpoints = folder / "checkpoints" / f"tanh-s{seed}"
    metrics = train(seed, checkpoints, epochs)
    network = "infoplane.sample_runs.twelve_bit.model"
    record(
        f"{network}:build", checkpoints / "*.pt", f"{network}:probe",
        folder / "runs" / f"tanh-s{seed}", layers=_LAYERS, batch_size=4096, gradients=True,
    )  # fmt: skip
    return metrics["test_accuracy"]


def _make_room(folder: Path, overwrite: bool) -> None:
    """Make the folder of the demo; of an earlier demo, and of nothing else, remove what it made."""
    import shutil

    marker = folder / "made-by-infoplane-demo"
    if folder.exists() and not folder.is_dir():
        raise RunFileError(f"{folder}: expected a folder, found a file", code="IP302")
    if folder.exists() and any(folder.iterdir()):
        if not marker.exists():
            raise RunFileError(
                f"{folder}: the folder is not empty, and not an earlier demo",
                hint="choose another with -o",
                code="IP302",
            )
        if not overwrite:
            raise RunFileError(
                f"{folder}: the folder is not empty: it holds an earlier demo",
                hint="choose another with -o, or replace the demo with --overwrite",
                code="IP302",
            )
        for made in [*folder.glob("checkpoints/tanh-s*"), *folder.glob("runs/tanh-s*")]:
            shutil.rmtree(made)
        for made in [*folder.glob("figures/*.png"), *folder.glob("re*.*")]:
            if made.name in ("results.json", "report.html") or made.parent.name == "figures":
                made.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise unwritable(folder, error) from error

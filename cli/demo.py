"""``infoplane demo``: the whole path on two small networks, offline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from infoplane.cli.analyze import analyze
from infoplane.cli.options import Location, SharedOptions, shared_options
from infoplane.cli.plot import plot
from infoplane.errors import RunFileError, unwritable


@dataclass(frozen=True, slots=True)
class _Network:
    """A sample run, and how the demo records and analyzes it."""

    about: str
    package: str
    group: str
    layers: tuple[str, ...]
    epochs: int
    settings: dict[str, str]  # of the default estimators, by name


_NETWORKS = {
    "twelve-bit": _Network(
        "12-10-7-5-4-3-2 tanh, a rule over 12 bits",
        "infoplane.sample_runs.twelve_bit",
        "tanh",
        ("tanh*", "output"),
        600,
        {
            "compressed": "max_samples=2000",
            "dse": "max_samples=400",
            "probe": "max_samples=500",
        },
    ),
    "digits": _Network(
        "a small CNN with ReLU, images of digits",
        "infoplane.sample_runs.digits",
        "cnn",
        ("relu*", "output"),
        40,
        {"dse": "max_samples=400", "probe": "max_samples=1000"},
    ),
}


@click.command()
@click.option(
    "--network",
    "networks",
    type=click.Choice(list(_NETWORKS)),
    multiple=True,
    help="Network to run; repeatable. Default: both.",
)
@click.option(
    "-o",
    "--output",
    type=Location(),
    default="infoplane-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for everything the demo writes; each network has its own in it.",
)
@click.option("--seeds", type=click.IntRange(1, 64), default=3, show_default=True, metavar="N")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="Default: " + ", ".join(f"{one.epochs} for {name}" for name, one in _NETWORKS.items()),
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo of a network in DIR.")
@shared_options
@click.pass_context
def demo(
    ctx: click.Context,
    networks: tuple[str, ...],
    output: str,
    seeds: int,
    epochs: int | None,
    overwrite: bool,
) -> None:
    """Train, record, analyze and plot two small networks, offline.

    twelve-bit is the classic network 12-10-7-5-4-3-2 with tanh on a rule over 12 bits. digits is a
    small CNN with ReLU on the 8x8 images of scikit-learn. Each is trained with several seeds. The
    code is in infoplane.sample_runs. Copy a folder of it to start your own runs.

    \b
    infoplane demo
    infoplane demo --network digits
    infoplane demo --network twelve-bit --seeds 8 -o my-demo
    """
    from infoplane.analysis.executors import Processes
    from infoplane.estimators.registry import DEFAULT

    chosen = {name: one for name, one in _NETWORKS.items() if name in (networks or _NETWORKS)}
    folder = Path(output)
    _make_room(folder, chosen, overwrite)
    start = time.monotonic()
    n_stages = 2 + len(chosen)
    with Processes(min(seeds * len(chosen), 2)) as workers:
        click.echo(f"[1/{n_stages}] train and record, {seeds} seeds", err=True)
        futures = {
            name: [
                workers.executor.submit(_train_and_record, one, seed, folder / name, epochs)
                for seed in range(seeds)
            ]
            for name, one in chosen.items()
        }
        for name, one in chosen.items():
            mean = sum(future.result() for future in futures[name]) / seeds
            click.echo(
                f"      {name}: {one.about}, {epochs or one.epochs} epochs, "
                f"test accuracy {mean:.3f} (mean of seeds)",
                err=True,
            )
    for stage, (name, one) in enumerate(chosen.items(), 2):
        click.echo(f"[{stage}/{n_stages}] analyze {name}", err=True)
        results = str(folder / name / "results.json")
        runs = tuple(str(folder / name / "runs" / f"{one.group}-s{seed}") for seed in range(seeds))
        estimators = tuple(
            f"{known}:{one.settings[known]}" if known in one.settings else known
            for known in DEFAULT
        )
        ctx.invoke(analyze, runs=runs, estimators=estimators, output=results, no_cache=True)
    click.echo(f"[{n_stages}/{n_stages}] plot {', '.join(chosen)}", err=True)
    with Processes(len(chosen)) as workers:
        drawn = [workers.executor.submit(_draw, folder / name, ctx.obj) for name in chosen]
        reports = [future.result() for future in drawn]
    click.echo(
        f"\ndone in {time.monotonic() - start:.0f} s; open {' and '.join(reports)}\n"
        f"next: infoplane analyze {runs[0]} -e binning:bins=15+30+60 -o sweep.json\n"
        f"      infoplane plot {results} --format svg -o figures"
    )


def _train_and_record(one: _Network, seed: int, folder: Path, epochs: int | None) -> float:
    """Train a seed, save its checkpoints, record them; return the test accuracy."""
    from importlib import import_module

    from infoplane.recording.session import record

    name = f"{one.group}-s{seed}"
    train = import_module(f"{one.package}.train").train
    metrics: dict[str, float] = train(seed, folder / "checkpoints" / name, epochs or one.epochs)
    network = f"{one.package}.model"
    record(
        f"{network}:build", folder / "checkpoints" / name / "*.pt", f"{network}:probe",
        folder / "runs" / name, layers=one.layers, batch_size=4096, gradients=True,
    )  # fmt: skip
    return metrics["test_accuracy"]


def _draw(folder: Path, shared: SharedOptions) -> str:
    """Draw the results of a network; return where its report is."""
    results, figures, report = (
        str(folder / name) for name in ("results.json", "figures", "report.html")
    )
    with click.Context(plot, obj=shared) as ctx:
        ctx.invoke(plot, results=(results,), output=figures, report=report, table=False)
    return report


def _make_room(folder: Path, chosen: dict[str, _Network], overwrite: bool) -> None:
    """Make the folder of the demo; of an earlier demo, and of nothing else, remove what it made."""
    import shutil

    marker = folder / "made-by-infoplane-demo"
    if folder.exists() and not folder.is_dir():
        raise RunFileError(f"{folder}: expected a folder, found a file", code="IP302")
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise RunFileError(
            f"{folder}: the folder is not empty, and not an earlier demo",
            hint="choose another with -o",
            code="IP302",
        )
    # The first releases had one network, in the folder itself.
    for place, group in [(folder, "tanh"), *((folder / n, c.group) for n, c in chosen.items())]:
        made = [
            *place.glob(f"checkpoints/{group}-s*"),
            *place.glob(f"runs/{group}-s*"),
            *place.glob("figures/*.png"),
            *place.glob("results.json"),
            *place.glob("report.html"),
        ]
        if made and not overwrite:
            raise RunFileError(
                f"{place}: the folder is not empty: it holds an earlier demo",
                hint="choose another with -o, or replace the demo with --overwrite",
                code="IP302",
            )
        for old in made:
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise unwritable(folder, error) from error

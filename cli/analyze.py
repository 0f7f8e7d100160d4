"""``infoplane analyze``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import Verbosity, verbosity
from infoplane.cli.progress import Progress
from infoplane.errors import ExitCode, InfoplaneError, InputError, RunFileError

if TYPE_CHECKING:
    from infoplane.analysis import Measurement


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-e",
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME[:K=V,...]",
    help="Estimator and its parameters; repeatable. Default: binning, compressed, dse.",
)
@click.option(
    "-o",
    "--output",
    default="results.json",
    show_default=True,
    metavar="FILE",
    help="Results document; .json.gz is compressed, - is stdout.",
)
@click.option(
    "-l",
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Layers to analyze; repeatable, !GLOB excludes.",
)
@click.option("--steps", metavar="LIST", help="Steps to analyze, e.g. 0,100,last. Default: all.")
@click.option(
    "-j",
    "--jobs",
    type=int,
    metavar="N",
    help="Worker processes. Default: one per core. The numbers do not depend on it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random draws.")
@click.option("--strict", is_flag=True, help="Exit with 5 if a cell failed.")
@click.option("--wide", is_flag=True, help="Show all columns of the table.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@verbosity
@click.pass_obj
def analyze(
    said: Verbosity,
    runs: tuple[str, ...],
    estimators: tuple[str, ...],
    output: str,
    layers: tuple[str, ...],
    steps: str | None,
    jobs: int | None,
    seed: int,
    strict: bool,
    wide: bool,
    overwrite: bool,
) -> int:
    """Estimate information quantities for every run, step and layer.

    Runs of one group (seeds of one network) are averaged in the table. All values are in bits.
    Interrupted, the finished cells are written.

    \b
    infoplane analyze runs/s0 -o results.json
    infoplane analyze runs/* -e binning:bins=30 -e dse:sigma=median -j 2
    infoplane analyze runs/s0 -e binning:bins=30,mode=fixed --layers 'tanh*' --steps 0,last
    """
    if seed < 0:
        raise InputError(f"--seed: expected a number of at least 0, got {seed}")
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: expected a number of at least 1, got {jobs}")
    target = None if output == "-" else Path(output)
    if target is not None and target.exists() and not overwrite:
        raise RunFileError(
            f"{output}: the file exists",
            hint="choose another name with -o, or replace it with --overwrite",
            code="IP302",
        )

    from infoplane import analysis
    from infoplane.cli.executors import processes
    from infoplane.cli.output import print_json
    from infoplane.cli.table import summary
    from infoplane.document import build_results, result_rows
    from infoplane.estimators import DEFAULT, parse_estimator
    from infoplane.phases import find_phases
    from infoplane.store.results import write_results
    from infoplane.store.run import Run

    chosen = [parse_estimator(text) for text in estimators or DEFAULT]
    opened = [Run(Path(path)) for path in dict.fromkeys(runs)]
    by_name: dict[str, Run] = {}
    for run in opened:
        if run.name in by_name:
            raise InputError(
                f"two runs are called {run.name!r}: {by_name[run.name].path} and {run.path}",
                hint="record with --name to tell them apart",
            )
        by_name[run.name] = run
    cells = analysis.select_cells(opened, layers, _steps(steps))
    total = len(chosen) * sum(len(names) * len(at) for names, at in cells.values())
    epochs = {
        (run.name, step): run.step_info(step).epoch for run, (_, at) in cells.items() for step in at
    }
    config = {
        "analyze": {
            "estimators": list(estimators or DEFAULT),
            "layers": list(layers),
            "steps": steps,
            "seed": seed,
        }
    }
    jobs = jobs or os.cpu_count() or 1
    start = time.monotonic()
    rows: list[dict[str, Any]] = []
    artifacts: dict[str, Any] = {}
    status = "interrupted"

    def add(measured: Measurement) -> None:
        rows.extend(
            result_rows(
                measured.run,
                measured.step,
                measured.layer,
                measured.estimator,
                measured.estimates,
                measured.seconds,
                by_name[measured.run].probe.n_samples,
                epochs[measured.run, measured.step],
            )
        )

    def document() -> dict[str, Any]:
        wall = time.monotonic() - start
        results = build_results(
            rows,
            cells,
            chosen,
            config,
            artifacts=artifacts,
            status=status,
            wall_seconds=wall,
            jobs=jobs,
        )
        results["phases"] = find_phases(results, seed=seed)
        return results

    try:
        with (
            Progress("analyze", total, "cells", quiet=said.quiet) as progress,
            processes(jobs) as executor,
        ):
            for measured in analysis.analyze(
                cells, chosen, executor, seed=seed, keep=artifacts.update
            ):
                add(measured)
                progress.advance(failed=measured.error is not None)
    except (KeyboardInterrupt, InfoplaneError) as stop:
        if not rows or target is None:
            raise
        write_results(target, document())
        kept = f"{progress.done:,} of {total:,} cells are in {output}"
        if isinstance(stop, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted: {kept}") from None
        click.echo(f"stopped by an error: {kept}", err=True)
        raise
    status = "partial" if progress.failed else "complete"
    results = document()
    if target is None:
        print_json(results)
    else:
        write_results(target, results)
        click.echo(summary(results, wide=wide))
        if not said.quiet:
            click.echo(f"wrote {output} ({len(rows):,} rows)", err=True)
    return ExitCode.PARTIAL if strict and progress.failed else ExitCode.OK


def _steps(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if any(part != "last" and not part.isdecimal() for part in parts):
        raise InputError(f"--steps: expected numbers and 'last', e.g. 0,100,last, got {text!r}")
    return [-1 if part == "last" else int(part) for part in parts]

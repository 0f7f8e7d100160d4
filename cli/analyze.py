"""``infoplane analyze``."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import Location, SharedOptions, shared_options
from infoplane.cli.progress import Progress
from infoplane.cli.settings import estimator_specs
from infoplane.cli.sizes import byte_size
from infoplane.errors import (
    ExitCode,
    InfoplaneError,
    InputError,
    TerminatedError,
)

if TYPE_CHECKING:
    from infoplane.runs.run import Run

log = logging.getLogger("infoplane")


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
    type=Location(),
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
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Splits to analyze of runs that have several; repeatable. Default: each, apart.",
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
@click.option(
    "--nan",
    type=click.Choice(["fail", "drop"]),
    default="fail",
    show_default=True,
    help="Cells with NaN or inf fail, or samples that hold some are left out of all cells.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where finished cells are kept. Default: .infoplane_cache beside FILE.",
)
@click.option("--no-cache", is_flag=True, help="Neither read nor keep finished cells.")
@click.option(
    "--sampling",
    is_flag=True,
    help="Estimate on parts of the samples as well: does a number follow N? (plot -f sampling)",
)
@click.option(
    "--sampling-steps", default="last", show_default=True, metavar="LIST", help="Steps for that."
)
@click.option(
    "--executor",
    default="processes",
    show_default=True,
    metavar="KIND",
    help="processes here, dask[=ADDRESS], or mpi.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="cpu, cuda (workers take the GPUs in turn), cuda:K, or auto: a GPU where it was measured "
    "to be faster, so far nowhere. For compressed, dse.",
)
@click.option(
    "--max-memory",
    callback=byte_size,
    metavar="SIZE",
    help="Run fewer cells at once if all together would need more, e.g. 8GiB.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show cells, time and memory; do nothing.")
@click.option("--strict", is_flag=True, help="Exit with 5 if a cell failed.")
@click.option("--wide", is_flag=True, help="Show all columns of the table.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@shared_options
@click.pass_obj
def analyze(
    shared: SharedOptions,
    runs: tuple[str, ...],
    estimators: tuple[str, ...],
    output: str,
    layers: tuple[str, ...],
    splits: tuple[str, ...],
    steps: str | None,
    jobs: int | None,
    seed: int,
    nan: str,
    cache_dir: str | None,
    no_cache: bool,
    sampling: bool,
    sampling_steps: str,
    executor: str,
    device: str,
    max_memory: int | None,
    dry_run: bool,
    strict: bool,
    wide: bool,
    overwrite: bool,
) -> int:
    """Estimate information quantities for every run, step and layer.

    Runs of one group (seeds of one network) are averaged in the table. All values are in bits.
    Interrupted, the finished cells are written; the same command goes on from there, and computes
    only what is new in a run that has grown.

    \b
    infoplane analyze runs/s0 -o results.json
    infoplane analyze runs/* -e binning:bins=30 -e dse:sigma=median -j 2
    infoplane analyze runs/s0 -e binning:bins=30,mode=fixed --layers 'tanh*' --steps 0,last
    infoplane analyze runs/s0 --sampling -o results.json
    infoplane analyze runs/* --dry-run
    """
    if seed < 0:
        raise InputError(f"--seed: expected a number of at least 0, got {seed}")
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: expected a number of at least 1, got {jobs}")
    from infoplane.analysis.cache import CellCache
    from infoplane.analysis.devices import check_device, own_gpu
    from infoplane.analysis.engine import analyze as estimate_cells
    from infoplane.analysis.executors import workers
    from infoplane.analysis.plan import INTERPRETER_BYTES, TORCH_BYTES, CostModel, plan, scales_of
    from infoplane.analysis.selection import count_cells, select_cells
    from infoplane.analysis.subsamples import Sampling, steps_of_cells
    from infoplane.cli.dry_run import described
    from infoplane.cli.output import print_json
    from infoplane.cli.table import summary
    from infoplane.estimators.registry import DEFAULT, estimator_id, parse_estimator
    from infoplane.results.document import Document
    from infoplane.results.file import write_results
    from infoplane.results.recordings import describe_recordings

    check_device(device)
    specs = estimator_specs(estimators or DEFAULT, shared.configuration)
    chosen = [parse_estimator(text) for text in specs]
    cells = select_cells(
        _runs(runs), layers, _steps(steps), drop_nonfinite=nan == "drop", splits=splits
    )
    total = count_cells(cells, chosen)
    jobs = jobs or len(os.sched_getaffinity(0))
    settings = {
        "estimators": specs,
        "layers": list(layers),
        **({"split": list(splits)} if splits else {}),
        "steps": steps,
        "seed": seed,
        "nan": nan,
        "sampling": sampling_steps if sampling else None,
        **({"device": device} if device != "auto" else {}),
    }
    if device.startswith("cuda") and executor == "processes" and not dry_run:
        own_gpu(device)  # said now rather than by a worker
    if not overwrite and not no_cache:
        overwrite = _is_unfinished(output, settings, {run.name for run in cells})
    target = None if dry_run else _target(output, overwrite)
    folder = Path(cache_dir or Path(output).parent / ".infoplane_cache")
    keeps = not no_cache and (folder.exists() or not dry_run)
    machine = f"costs on {platform.node()}"
    with CellCache(folder) if keeps else nullcontext() as cache:
        known = (cache.get(machine) if cache else None) or {}
        model = CostModel(scales_of(known))
        if dry_run:
            works = plan(cells, chosen, seed=seed, model=model, cache=cache, device=device)
            click.echo(described(works, runs=len(cells), jobs=jobs, output=output))
            return ExitCode.OK
    recordings = describe_recordings(cells)
    document = Document(recordings, chosen, {"analyze": settings}, jobs, seed)
    by_id = {estimator_id(estimator): estimator for estimator in chosen}
    n_samples = {recording["run"]: recording["n"] for recording in recordings}
    room = None
    if max_memory is not None:
        room = max_memory - jobs * (INTERPRETER_BYTES + TORCH_BYTES)
        if room <= 0:
            raise InputError(
                f"--max-memory: expected more than {jobs * (INTERPRETER_BYTES + TORCH_BYTES):,} "
                f"bytes for {jobs} processes alone, got {max_memory:,}",
                hint="use fewer processes (-j 1)",
            )
    parts = None
    if sampling:
        parts = Sampling(steps_of_cells(cells, _steps(sampling_steps)), chosen, seed)
    try:
        with (
            CellCache(folder) if keeps else nullcontext() as cache,
            workers(
                executor, min(jobs, total), Path(output).parent if no_cache else folder
            ) as pool,
        ):
            with Progress(
                "analyze", total, "cells", quiet=shared.quiet, style=shared.progress
            ) as progress:
                progress.begin(f"{len(cells)} runs, {jobs} processes")
                for measured in estimate_cells(
                    cells,
                    chosen,
                    pool.executor,
                    seed=seed,
                    keep=document.artifacts.update,
                    cache=cache,
                    renew=pool.renew,
                    max_bytes=room,
                    device=device,
                    exchange=pool.exchange,
                ):
                    model.observe(by_id[measured.estimator], n_samples[measured.run], measured)
                    progress.advance(failed=document.add(measured))
            document.costs = known | model.fitted()
            if cache is not None:
                cache.put(machine, document.costs)
            if parts is not None:
                with Progress(
                    "sampling", parts.n_cells, "cells", quiet=shared.quiet, style=shared.progress
                ) as on_parts:
                    for _ in parts.measure(pool, cache, device):
                        on_parts.advance()
                document.sampling = parts.entries()
    except (KeyboardInterrupt, InfoplaneError) as stop:
        if not document.rows or target is None:
            raise
        write_results(target, document.results("interrupted"))
        kept = f"{progress.done:,} of {total:,} cells are in {output}"
        if isinstance(stop, KeyboardInterrupt):
            word = "terminated" if isinstance(stop, TerminatedError) else "interrupted"
            raise type(stop)(f"{word}: {kept}") from None
        click.echo(f"stopped by an error: {kept}", err=True)
        raise
    results = document.results("partial" if progress.failed else "complete")
    if target is None:
        print_json(results)
    else:
        write_results(target, results)
        click.echo(summary(results, wide=wide))
        if not shared.quiet:
            click.echo(f"wrote {output} ({len(results['rows']):,} rows)", err=True)
    return ExitCode.PARTIAL if strict and progress.failed else ExitCode.OK


def _target(output: str, overwrite: bool) -> Path | None:
    """Return where the document goes, None for stdout; it can be written there."""
    from infoplane.cli.output import new_file

    if output == "-":
        return None
    return new_file(output, overwrite=overwrite)


def _is_unfinished(output: str, settings: Mapping[str, Any], runs: set[str]) -> bool:
    """Tell whether a file is what this very analysis left when it was interrupted."""
    from infoplane.results.file import read_results

    try:
        found = read_results(Path(output))
    except InfoplaneError:
        return False
    return (
        found.get("status") == "interrupted"
        and found["config"].get("analyze") == settings
        and {recording["run"] for recording in found["recordings"]} == runs
    )


def _runs(paths: tuple[str, ...]) -> list[Run]:
    """Return the runs, each once and by different names; those without a step are left out."""
    from infoplane.runs.run import Run

    opened = [Run(Path(path)) for path in {Path(path).resolve(): path for path in paths}.values()]
    if any(run.steps for run in opened):
        for run in opened:
            if not run.steps:
                log.warning("%s: left out: it holds no complete step", run.path)
        opened = [run for run in opened if run.steps]
    by_name: dict[str, Run] = {}
    for run in opened:
        if run.name in by_name:
            raise InputError(
                f"two runs are called {run.name!r}: {by_name[run.name].path} and {run.path}",
                hint="record with --name to tell them apart",
            )
        by_name[run.name] = run
    return opened


def _steps(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if any(part != "last" and not part.isdecimal() for part in parts):
        raise InputError(f"--steps: expected numbers and 'last', e.g. 0,100,last, got {text!r}")
    return [-1 if part == "last" else int(part) for part in parts]

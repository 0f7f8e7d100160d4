"""``infoplane analyze``: estimate quantities of recorded runs, and print the table of layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import (
    Location,
    SharedOptions,
    executor_option,
    globbed,
    jobs_option,
    seed_option,
    shared_options,
)
from infoplane.cli.progress import Stages
from infoplane.cli.settings import estimator_specs
from infoplane.cli.shared_options import rank_of
from infoplane.cli.sizes import byte_size
from infoplane.errors import ExitCode, InfoplaneError, TerminatedError
from infoplane.text import counted

_UNSAID: dict[str, Any] = {
    "estimators": (), "seed": 0, "nan": "fail", "layers": (), "steps": None, "splits": (),
    "sampling": False, "label_bins": None, "rows": "sample",
}  # fmt: skip
"""What says nothing of the settings of an analysis."""

_OF_CELLS = ("device", "label_bins", "rows")  # nothing that pairs of layers depend on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infoplane.analysis.session import Analysis
    from infoplane.data import LayerInfo
    from infoplane.results.notebook import Results
    from infoplane.runs.run import Run


@click.command()
@click.argument("runs", nargs=-1, required=True, callback=globbed, metavar="RUN...")
@click.option(
    "-e",
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME[:K=V,...]",
    help="Estimator and its parameters, or path/to/file.py:Class, which is run; repeatable. "
    "Default: binning, compressed, dse, probe, and of real targets ksg.",
)
@click.option(
    "--settings-from",
    type=Location(),
    metavar="FILE",
    help="Repeat the settings of a results file, to compare with it: estimators, noise, N, seed. "
    "Not with -e.",
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
    help="Layers to analyze; repeatable, !GLOB excludes, type:Tanh, blocks and head as in record.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Split to analyze, of runs that have several; repeatable. Default: each on its own.",
)
@click.option(
    "--label-bins",
    type=click.IntRange(2),
    metavar="K",
    help="Take K classes of the recorded real targets for labels, as even in size as ties allow. "
    "Default: targets are read as they are.",
)
@click.option(
    "--rows",
    type=click.Choice(["sample", "token"]),
    default="sample",
    show_default=True,
    help="What a row is. token: a position of a layer (n, length, units) that is no padding; "
    "padding and labels of -100 are left out, and intervals draw whole sequences.",
)
@click.option("--steps", metavar="LIST", help="Steps to analyze, e.g. 0,100,last. Default: all.")
@jobs_option
@seed_option
@click.option(
    "--nan",
    type=click.Choice(["fail", "drop"]),
    default="fail",
    show_default=True,
    help="fail: a cell with NaN or inf fails. drop: samples with NaN or inf are left out of all "
    "cells.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Folder for finished cells. Default: .infoplane_cache beside FILE.",
)
@click.option("--no-cache", is_flag=True, help="Do not read or keep finished cells.")
@click.option(
    "--sampling",
    is_flag=True,
    help="Also estimate on parts of the samples, to see which numbers follow N (plot -f sampling).",
)
@click.option(
    "--sampling-steps",
    default="last",
    show_default=True,
    metavar="LIST",
    help="Steps for --sampling.",
)
@click.option(
    "--similarity",
    "measures",
    multiple=True,
    metavar="MEASURE",
    help="Also compare layers, steps, seeds and models by a measure, as infoplane similarity; "
    "repeatable.",
)
@executor_option
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="cpu, cuda (workers take the GPUs in turn), cuda:K, or auto, which so far is always cpu. "
    "Used by compressed, dse and kde.",
)
@click.option(
    "--max-memory",
    callback=byte_size,
    metavar="SIZE",
    help="Run fewer cells at once if together they would need more, e.g. 8GiB.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show cells, time and memory; compute nothing.")
@click.option("--strict", is_flag=True, help="Exit with 5 if a cell failed.")
@click.option("--wide", is_flag=True, help="Show all columns of the table, and all warnings.")
@click.option("--overwrite", is_flag=True, help="Replace FILE, whatever it holds.")
@shared_options
@click.pass_obj
def analyze(
    shared: SharedOptions,
    /,
    runs: tuple[str, ...],
    estimators: tuple[str, ...],
    settings_from: str | None,
    output: str,
    cache_dir: str | None,
    no_cache: bool,
    sampling: bool,
    sampling_steps: str,
    measures: tuple[str, ...],
    dry_run: bool,
    strict: bool,
    wide: bool,
    overwrite: bool,
    **chosen: Any,  # as `Analysis` calls them
) -> int:
    """Estimate information quantities for every run, step and layer.

    Runs of one group (seeds of one network) are averaged in the table. Values are in bits unless
    the estimator declares another unit. If you interrupt it, the finished cells are written. The
    same command then continues, and computes only what is new if a run has grown; FILE is replaced
    without --overwrite where it is from the same settings, and nothing in it would be lost.

    \b
    infoplane analyze runs/s0 -o results.json
    infoplane analyze runs/* -e binning:bins=30 -e dse:sigma=median -j 2
    infoplane analyze runs/s0 -e binning:bins=30,mode=fixed --layers 'tanh*' --steps 0,last
    infoplane analyze runs/s0 --sampling -o results.json
    infoplane analyze runs/* --settings-from main.json -o results.json
    infoplane analyze runs/* --similarity cka --similarity procrustes
    infoplane analyze runs/* --dry-run
    """
    from infoplane.analysis.session import Analysis
    from infoplane.cli.dry_run import described
    from infoplane.cli.output import print_json
    from infoplane.cli.table import summary
    from infoplane.estimators.registry import DEFAULT

    if settings_from is not None:
        given = {"estimators": estimators, "sampling": sampling, **chosen}
        settings_from, given = _repeated(settings_from, given)
        estimators, sampling = given.pop("estimators"), given.pop("sampling")
        chosen = given
    specs: Sequence[str] = DEFAULT
    if estimators or settings_from is None:
        specs = estimator_specs(estimators or DEFAULT, shared.configuration)
    cache = cache_dir or Path(output).parent / ".infoplane_cache"
    analysis = Analysis(
        runs,
        specs,
        settings_from=settings_from,
        sampling=sampling and sampling_steps,
        cache=None if no_cache else cache,
        **chosen,
    )
    pairs = None
    if measures and chosen["rows"] == "token":
        raise click.UsageError("--similarity compares samples: leave --rows token out")
    if measures:
        from infoplane.similarity.session import SimilarityAnalysis

        of_both = {name: value for name, value in chosen.items() if name not in _OF_CELLS}
        pairs = SimilarityAnalysis(runs, measures, cache=analysis.cache, **of_both)
    if dry_run:
        n_runs, works = len(analysis.cells), analysis.plan() + (pairs.plan() if pairs else [])
        click.echo(described(works, runs=n_runs, jobs=analysis.jobs, output=output))
        return ExitCode.OK
    target = _target(
        output, overwrite or (not no_cache and _goes_on(output, analysis, pairs=pairs is not None))
    )
    results = _run(analysis, target, output, shared)
    if pairs is not None:
        with Stages("pairs", shared) as stages:
            results = pairs.beside(results, stages, exchange=Path(output).parent)
    if target is None:
        print_json(results.document)
    else:
        results.save(target)
        click.echo(summary(results, wide=wide))
        if pairs is not None:
            from infoplane.cli.similarity_text import similarity_lines

            for line in ["", *similarity_lines(results, wide=wide)]:
                click.echo(line)
        if not shared.quiet:
            click.echo(f"wrote {output} ({len(results['rows']):,} rows)", err=True)
    return ExitCode.PARTIAL if strict and results["status"] == "partial" else ExitCode.OK


def _repeated(settings_from: str, chosen: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the options of the results to repeat, and those that are not theirs to say.

    What the configuration file says gives way to --settings-from on the command line; where that
    stands in the file, estimators on the command line take its place.
    """
    context = click.get_current_context()
    of_results = rank_of(context, "settings_from")
    if chosen["estimators"] and rank_of(context, "estimators") > of_results:
        return None, chosen
    weaker = {name: v for name, v in _UNSAID.items() if rank_of(context, name) < of_results}
    return settings_from, {**chosen, **weaker}


def _run(analysis: Analysis, target: Path | None, output: str, shared: SharedOptions) -> Results:
    """Return the results; stopped, keep in ``target`` what was finished."""
    begin = f"{counted(len(analysis.cells), 'run')}, {counted(analysis.jobs, 'process')}"
    stages = Stages("cells", shared, begin=begin)
    try:
        with stages:
            return analysis.run(stages, exchange=Path(output).parent)
    except (KeyboardInterrupt, InfoplaneError) as stop:
        if target is not None and (finished := getattr(stop, "results", None)) is not None:
            finished.save(target)
            kept = f"{stages.done['analyze']:,} of {analysis.n_cells:,} cells are in {output}"
            _tell_of_stop(stop, kept)
        raise


def _tell_of_stop(stop: BaseException, kept: str) -> None:
    """Say what was kept when an analysis was stopped: with the interrupt, or before the error."""
    if isinstance(stop, KeyboardInterrupt):
        word = "terminated" if isinstance(stop, TerminatedError) else "interrupted"
        raise type(stop)(f"{word}: {kept}") from None
    click.echo(f"stopped by an error: {kept}", err=True)


def _target(output: str, overwrite: bool) -> Path | None:
    """Return where the document goes, None for stdout; it can be written there."""
    from infoplane.cli.output import new_file

    if output == "-":
        return None
    return new_file(output, overwrite=overwrite)


def _goes_on(output: str, analysis: Analysis, *, pairs: bool) -> bool:
    """Tell whether a file is what this very analysis left, so that writing again loses nothing.

    It has the same settings and runs, and each run still has what was analyzed of it.
    """
    from infoplane import __version__
    from infoplane.results.file import read_results

    try:
        found = read_results(Path(output))
    except InfoplaneError:
        return False
    known = {recording["run"]: recording for recording in found["recordings"]}
    return (
        found["config"].get("analyze") == analysis.settings
        and found["tool"]["version"] == __version__
        and (pairs or not found.get("similarities"))
        and known.keys() == {run.name for run in analysis.cells}
        and all(_still_has(run, *part, known[run.name]) for run, part in analysis.cells.items())
    )


def _still_has(
    run: Run, layers: Sequence[LayerInfo], steps: Sequence[int], known: Mapping[str, Any]
) -> bool:
    """Tell whether a run is the one in results, unchanged or grown by steps."""
    return (
        Path(known["path"]).resolve() == run.path.resolve()
        and {layer["name"] for layer in known["layers"]} <= {layer.name for layer in layers}
        and set(known["steps"]) <= set(steps)
        and (len(known["steps"]) < len(steps) or known["content_hash"] == run.content_hash())
    )

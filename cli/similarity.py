"""``infoplane similarity``: compare layers, checkpoints, seeds and models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from infoplane.cli.sizes import byte_size
from infoplane.errors import ExitCode
from infoplane.text import counted


@click.command()
@click.argument("runs", nargs=-1, required=True, callback=globbed, metavar="RUN...")
@click.option(
    "-m",
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME[:K=V,...]",
    help="Measure and its parameters; repeatable. Default: cka, cka_without_top, procrustes, "
    "mutual_neighbors, rsa.",
)
@click.option(
    "--axes",
    type=click.Choice(["layers", "steps", "runs"]),
    multiple=True,
    default=("layers", "steps", "runs"),
    help="What to compare: the layers of a step, the steps of a layer, the layers of two models; "
    "repeatable. Default: all. Equal layers of other seeds always are.",
)
@click.option(
    "-o",
    "--output",
    type=Location(),
    default="similarity.json",
    show_default=True,
    metavar="FILE",
    help="Results document; .json.gz is compressed, - is stdout.",
)
@click.option(
    "-l", "--layers", multiple=True, metavar="GLOB", help="Layers; repeatable, !GLOB excludes."
)
@click.option(
    "--split", "splits", multiple=True, metavar="NAME", help="Split of the probe set; repeatable."
)
@click.option("--steps", metavar="LIST", help="Steps, e.g. 0,100,last. Default: all.")
@jobs_option
@seed_option
@click.option(
    "--nan",
    type=click.Choice(["fail", "drop"]),
    default="fail",
    show_default=True,
    help="fail: a layer with NaN or inf has no value. drop: such samples are left out everywhere.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Folder for finished pairs. Default: .infoplane_cache beside FILE.",
)
@click.option("--no-cache", is_flag=True, help="Do not read or keep finished pairs.")
@executor_option
@click.option(
    "--max-memory",
    callback=byte_size,
    metavar="SIZE",
    help="Memory of all processes, e.g. 8GiB; layers are read again where it is short.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show pairs, time and memory; compute nothing.")
@click.option("--strict", is_flag=True, help="Exit with 5 if a pair has no value.")
@click.option("--wide", is_flag=True, help="Show all columns of the table.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@shared_options
@click.pass_obj
def similarity(
    shared: SharedOptions,
    /,
    runs: tuple[str, ...],
    measures: tuple[str, ...],
    output: str,
    cache_dir: str | None,
    no_cache: bool,
    dry_run: bool,
    strict: bool,
    wide: bool,
    overwrite: bool,
    **chosen: Any,  # as `SimilarityAnalysis` calls them
) -> int:
    """Compare layers, checkpoints, seeds and models.

    All on the same samples. Beside each value stand its interval, what permuted samples read (the
    null), and what the same layer reads in another seed (the ceiling).

    \b
    infoplane similarity runs/*
    infoplane similarity runs/s0 -m cka -m procrustes --axes layers --steps last
    infoplane similarity runs/relu-s0 runs/tanh-s0 --axes runs
    infoplane similarity runs/* --dry-run
    """
    from infoplane.cli.dry_run import described
    from infoplane.cli.output import new_file, print_json
    from infoplane.cli.similarity_text import similarity_lines
    from infoplane.similarity.registry import DEFAULT
    from infoplane.similarity.session import SimilarityAnalysis

    cache = None if no_cache else cache_dir or Path(output).parent / ".infoplane_cache"
    analysis = SimilarityAnalysis(runs, measures or DEFAULT, cache=cache, **chosen)
    if dry_run:
        n_runs, works = len(analysis.cells), analysis.plan()
        told = described(works, runs=n_runs, jobs=analysis.jobs, output=output)
        click.echo(told.replace("cells", "pairs").replace("would estimate", "would compare"))
        return ExitCode.OK
    target = None if output == "-" else new_file(output, overwrite=overwrite)
    begin = f"{counted(len(analysis.cells), 'run')}, {counted(analysis.jobs, 'process')}"
    with Stages("pairs", shared, begin=begin) as stages:
        results = analysis.run(stages, exchange=Path(output).parent)
    if target is None:
        print_json(results.document)
    else:
        results.save(target)
        for line in similarity_lines(results, wide=wide):
            click.echo(line)
        if not shared.quiet:
            pairs = len(results["similarities"]["rows"])
            click.echo(f"wrote {output} ({pairs:,} pairs)", err=True)
    return ExitCode.PARTIAL if strict and results["status"] == "partial" else ExitCode.OK

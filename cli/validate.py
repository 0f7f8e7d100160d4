"""``infoplane validate``: run estimators on data whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import SharedOptions, shared_options, text_or_json
from infoplane.errors import ExitCode, InputError, NotFoundError

if TYPE_CHECKING:
    from infoplane.estimators.base import Estimator
    from infoplane.validation.expectations import Expectation
    from infoplane.validation.findings import Finding


@click.command()
@click.option(
    "-e",
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME[:K=V,...]",
    help="Estimator and its parameters, or path/to/file.py:Class, which is run; repeatable. "
    "Default: all, plug-ins too (neural: --full).",
)
@click.option(
    "--like",
    metavar="RUN",
    help="Use synthetic layers with the shape and spectrum of those of a recorded run.",
)
@click.option("--step", type=int, metavar="STEP", help="Step of RUN. Default: the last one.")
@click.option(
    "--draws",
    type=int,
    metavar="N",
    help="Draw each problem N times: bias, spread, coverage. Default: 5 with --like, else once.",
)
@click.option("--full", is_flag=True, help="All tasks, with 5,000 samples; takes many minutes.")
@click.option("-n", "--samples", type=int, metavar="N", help="Number of samples. Default: 1,000.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random draws.")
@click.option(
    "-j", "--jobs", type=int, default=1, show_default=True, metavar="N", help="Worker processes."
)
@text_or_json
@click.option("--wide", is_flag=True, help="Show all columns of the tables.")
@shared_options
@click.pass_obj
def validate(
    shared: SharedOptions,
    estimators: tuple[str, ...],
    like: str | None,
    step: int | None,
    draws: int | None,
    full: bool,
    samples: int | None,
    seed: int,
    jobs: int,
    form: str,
    wide: bool,
) -> int:
    """Run estimators on data whose answer is known.

    Each estimate is compared with the truth: PASS; KNOWN-LIMIT, wrong with a flag that says so;
    SILENT-FAIL, wrong without a flag; ERROR. The exit code is 1 if there is a SILENT-FAIL or an
    ERROR. Takes about half a minute.

    --like uses synthetic layers with the number of samples and units, the class means and the
    spectrum of the layers of RUN. The bias and spread of an estimator on them are what to expect on
    RUN. --draws without --like draws the known answers that many times and shows how many
    intervals contain the truth.

    \b
    infoplane validate
    infoplane validate -e binning:bins=15 -e compressed --format json
    infoplane validate -e compressed --draws 100 -n 500
    infoplane validate --like runs/s0
    """
    if seed < 0:
        raise InputError(f"--seed: expected a number of at least 0, got {seed}")
    if jobs < 1:
        raise InputError(f"--jobs: expected a number of at least 1, got {jobs}")
    if draws is not None and draws < 2:
        raise InputError(f"--draws: expected a number of at least 2, got {draws}")
    if like is not None:
        return _like(shared, like, step, estimators, draws or 5, seed, jobs, form, wide)
    from infoplane.analysis.executors import Processes
    from infoplane.cli.output import print_json
    from infoplane.cli.progress import Progress
    from infoplane.cli.validation_text import expectations_text, findings_text
    from infoplane.estimators.registry import estimator_id
    from infoplane.validation.findings import summary
    from infoplane.validation.trials import (
        SAMPLES,
        SMALLEST,
        all_trials,
        chosen_estimators,
        names_of_trials,
    )

    n = SAMPLES["full" if full else "quick"] if samples is None else samples
    if n < SMALLEST:
        raise InputError(f"--samples: expected a number of at least {SMALLEST}, got {n}")
    chosen = chosen_estimators(estimators, full=full)
    work = [
        (e, name)
        for e in chosen
        for name in names_of_trials(e, full=full, answers_only=draws is not None)
    ]
    found: dict[tuple[str, str], list[Any]] = {}
    with (
        Progress("validate", len(work), "trials", shared) as progress,
        Processes(jobs) as workers,
    ):
        progress.begin(f"{n:,} samples, {jobs} processes")
        for key, new in all_trials(work, workers.executor, n, seed, draws):
            found[key] = new
            progress.advance()
    rows = [row for e, name in work for row in found[estimator_id(e), name]]
    about = {"schema": "infoplane.validation/1", "n": n, "seed": seed}
    if draws is not None:
        if form == "json":
            print_json({**about, "expectations": [row.as_row("case") for row in rows]})
        else:
            click.echo(expectations_text(rows, "known answers", "case", wide=wide))
        return _status(rows, chosen, named=bool(estimators))
    totals = summary(rows)
    if form == "json":
        print_json({**about, "findings": [row.as_row() for row in rows], "summary": totals})
    else:
        click.echo(findings_text(rows, totals, wide=wide))
    return _status(rows, chosen, named=bool(estimators))


def _like(
    shared: SharedOptions,
    like: str,
    step: int | None,
    estimators: tuple[str, ...],
    draws: int,
    seed: int,
    jobs: int,
    form: str,
    wide: bool,
) -> int:
    from infoplane.analysis.executors import Processes
    from infoplane.cli.output import print_json
    from infoplane.cli.progress import Progress
    from infoplane.cli.validation_text import expectations_text
    from infoplane.estimators.registry import estimator_id, parse_estimator
    from infoplane.runs.run import Run
    from infoplane.validation.like import all_expectations, layer_models
    from infoplane.validation.trials import shannon_specs

    run = Run(Path(like)).by_split()[0]
    step = run.steps[-1] if step is None and run.steps else step
    step = run.step_info(0 if step is None else step).step
    models = layer_models(run, step)
    chosen = [parse_estimator(spec) for spec in estimators or shannon_specs()]
    labelled = run.probe.labels is not None
    by_name: dict[str, list[Expectation]] = {}
    with (
        Progress("validate", len(chosen), "estimators", shared) as progress,
        Processes(jobs) as workers,
    ):
        progress.begin(f"{draws} draws, {jobs} processes")
        for found in all_expectations(
            models, chosen, workers.executor, labelled=labelled, draws=draws, seed=seed
        ):
            by_name[found[0]] = found[1]
            progress.advance()
    rows = [row for estimator in chosen for row in by_name[estimator_id(estimator)]]
    if form == "json":
        print_json(
            {
                "schema": "infoplane.validation/1",
                "like": str(run.path),
                "run": run.name,
                "step": step,
                "seed": seed,
                "expectations": [row.as_row("layer") for row in rows],
            }
        )
    else:
        title = f"synthetic layers like those of {run.name}, step {step}"
        click.echo(expectations_text(rows, title, "layer", wide=wide))
    return _status(rows, chosen, named=bool(estimators))


def _status(
    rows: Sequence[Finding] | Sequence[Expectation],
    estimators: Sequence[Estimator],
    *,
    named: bool,
) -> ExitCode:
    """Return whether all is well; an estimator that was named and never tested is not.

    Raises
    ------
    NotFoundError
        If nothing is known of what such an estimator measures.
    """
    from infoplane.estimators.registry import estimator_id

    if any(row.status in ("SILENT-FAIL", "ERROR") for row in rows):
        return ExitCode.CHECK_FAILED
    tested = {row.estimator for row in rows}
    for estimator in estimators:
        if (name := estimator_id(estimator)) not in tested:
            own = ", ".join(quantity.name for quantity in estimator.quantities)
            told = f"{name}: not tested: no case knows the truth about {own}"
            if named:
                raise NotFoundError(told, hint="test it against data whose answer you know")
            click.echo(told, err=True)
    return ExitCode.OK

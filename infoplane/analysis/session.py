"""An analysis of recorded runs as one call, from its arguments to the results.

``infoplane analyze`` parses its options, makes the same call and prints.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeAlias

from infoplane.analysis import remembered
from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import Workers, check_different
from infoplane.analysis.engine import analyze as estimate_cells
from infoplane.analysis.executors import Given, check_executor, workers
from infoplane.analysis.plan import (
    INTERPRETER_BYTES,
    TORCH_BYTES,
    CostModel,
    PlannedWork,
    plan,
    scales_of,
)
from infoplane.analysis.repeating import Baseline, Shared
from infoplane.analysis.selection import (
    Cells,
    count_cells,
    open_runs,
    select_cells,
    with_label_bins,
    with_rows,
)
from infoplane.analysis.subsamples import Sampling, steps_of_cells
from infoplane.calls import Listener, PathLike, Progress, listener, one_of, path_of, texts, unfit
from infoplane.calls import whole as whole_number
from infoplane.errors import InputError, WorkerError
from infoplane.estimators.base import Estimator
from infoplane.estimators.registry import (
    DEFAULT,
    OF_TARGETS,
    estimator_id,
    parse_estimator,
    without_presets,
)
from infoplane.numerics.devices import check_device, own_gpu
from infoplane.results.document import Document
from infoplane.results.notebook import Results
from infoplane.results.recordings import describe_recordings
from infoplane.runs.run import Run
from infoplane.system import processors

Runs: TypeAlias = "PathLike | Run | Iterable[PathLike | Run]"
Estimators: TypeAlias = "str | Estimator | Sequence[str | Estimator]"
Steps: TypeAlias = "int | str | Sequence[int | str]"
Texts: TypeAlias = "str | Sequence[str]"


_GUARD = "workers import the program for its estimators: call under if __name__ == '__main__':"


class Analysis:
    """An analysis whose arguments are checked and whose runs are open, before it computes anything.

    Parameters are those of `analyze`.

    Attributes
    ----------
    cells : mapping of Run to (layers, steps)
        What is analyzed.
    settings : mapping
        What the results say of the arguments.

    Examples
    --------
    >>> analysis = infoplane.Analysis("runs/s0", "exact", steps="last", jobs=1)
    >>> sum(work.cells for work in analysis.plan())
    2
    >>> analysis.run()["status"]
    'complete'
    """

    def __init__(
        self,
        runs: Runs,
        estimators: Estimators = DEFAULT,
        *,
        layers: Texts = (),
        steps: Steps | None = None,
        splits: Texts = (),
        label_bins: int | None = None,
        rows: Literal["sample", "token"] = "sample",
        nan: Literal["fail", "drop"] = "fail",
        sampling: bool | Steps = False,
        jobs: int | None = None,
        executor: str | Executor = "processes",
        device: str = "auto",
        max_memory: int | None = None,
        cache: PathLike | None = None,
        seed: int = 0,
        settings_from: PathLike | Mapping[str, Any] | None = None,
    ) -> None:
        baseline = None if settings_from is None else Baseline.of(settings_from)
        seed = whole_number(seed, "seed", 0)
        one_of(nan, "nan", "fail", "drop")
        one_of(rows, "rows", "sample", "token")
        patterns, only = texts(layers, "layers"), texts(splits, "splits")
        narrowed = bool(patterns)
        if label_bins is not None:
            label_bins = whole_number(label_bins, "label_bins", 2)
        if baseline is not None:
            if estimators is not DEFAULT:
                raise InputError(
                    f"estimators: expected none, since {baseline.name} says which, got "
                    f"{' '.join(str(estimators).split())[:60]}",
                    argument="estimators",
                    hint="choose estimators, or repeat settings, not both",
                )
            seed = whole_number(baseline.setting("seed", seed, 0), "seed", 0)
            nan = baseline.setting("nan", nan, "fail")
            label_bins = baseline.setting("label_bins", label_bins, None)
            rows = baseline.setting("rows", rows, "sample")
            patterns = patterns or texts(baseline.settings.get("layers", ()), "layers")
            only = only or texts(baseline.settings.get("split", ()), "splits")
            steps = baseline.settings.get("steps") if steps is None else steps
            sampling = sampling or baseline.settings.get("sampling") or False
        self.seed = seed
        self.jobs = processors() if jobs is None else whole_number(jobs, "jobs", 1)
        self.device = check_device(device)
        self.executor = check_executor(executor)
        self.max_memory = self._enough(max_memory)
        self.cache = None if cache is None else path_of(cache, "cache")
        self.estimators, specs = baseline.estimators() if baseline else _estimators(estimators)
        drop = one_of(nan, "nan", "fail", "drop") == "drop"
        at = None if steps is None else steps_of(steps, "steps")
        parts = _sampled(sampling)
        opened = with_rows(with_label_bins(open_runs(runs), label_bins), rows)
        self.cells = select_cells(opened, patterns, at, drop_nonfinite=drop, splits=only)
        if baseline is None and _lack_one_of_targets(self.estimators, self.cells):
            self.estimators.append(parse_estimator(OF_TARGETS))
            specs.append(OF_TARGETS)
        check_different(self.estimators)
        self._shared: Shared = {}
        if baseline is not None:
            self.cells = baseline.cells(self.cells, narrowed=narrowed)
            self._shared = baseline.shared(self.cells, self.estimators)
        self._sampled = None if parts is None else steps_of_cells(self.cells, parts)
        self.settings: Mapping[str, Any] = {
            "estimators": specs,
            "layers": list(patterns),
            **({"split": list(only)} if only else {}),
            **({"label_bins": label_bins} if label_bins is not None else {}),
            **({"rows": rows} if rows != "sample" else {}),
            "steps": written_steps(at),
            "seed": self.seed,
            "nan": nan,
            "sampling": written_steps(parts),
            **({"device": device} if device != "auto" else {}),
            **({"settings_from": baseline.name} if baseline else {}),
        }

    @property
    def n_cells(self) -> int:
        """Cells of all runs and estimators, those in the cache included."""
        return count_cells(self.cells, self.estimators)

    def plan(self) -> list[PlannedWork]:
        """Return cells, seconds and bytes by estimator; nothing is computed or written.

        Seconds are those of earlier cells on this machine, where the cache knows some.
        """
        known = self.cache is not None and self.cache.exists()
        with CellCache(self.cache) if known and self.cache else nullcontext() as cache:
            model = CostModel(scales_of(_costs(cache)))
            return plan(
                self.cells, self.estimators,
                seed=self.seed, model=model, cache=cache, device=self.device, shared=self._shared,
            )  # fmt: skip

    def run(
        self, progress: bool | Listener = False, *, exchange: PathLike | None = None
    ) -> Results:
        """Estimate all cells.

        Parameters
        ----------
        progress : bool or callable, default False
            As of `analyze`.
        exchange : path, optional
            Folder that workers on other machines see too, without a cache; the working directory
            unless given.

        Raises
        ------
        InfoplaneError, KeyboardInterrupt
            As `analyze`.
        """
        tell = listener(progress)
        if self.executor == "processes":
            self._check_workers()
        document = Document(
            describe_recordings(self.cells),
            self.estimators,
            {"analyze": self.settings},
            self.jobs,
            self.seed,
        )
        shared = self.cache or path_of(exchange or ".", "exchange")
        try:
            with self._open_cache() as cache, self._workers(shared) as pool:
                failed = self._estimate(document, pool, cache, tell)
                self._sample(document, pool, cache, tell)
        except BaseException as stop:
            if isinstance(stop, WorkerError) and any(map(_of_program, self.estimators)):
                stop.hint = f"{_GUARD}; {stop.hint}"
            if document.rows:
                stop.results = Results(document.results("interrupted"))  # type: ignore[attr-defined]  # found by getattr
            raise
        return Results(document.results("partial" if failed else "complete"))

    def _estimate(
        self, document: Document, pool: Workers, cache: CellCache | None, tell: Listener
    ) -> int:
        """Take all cells into the document; return how many have no number."""
        known = _costs(cache)
        model = CostModel(scales_of(known))
        by_id = {estimator_id(estimator): estimator for estimator in self.estimators}
        n_samples = {recording["run"]: recording["n"] for recording in document.recordings}
        now = Progress("analyze", 0, self.n_cells)
        tell(now)
        for measured in estimate_cells(
            self.cells,
            self.estimators,
            pool.executor,
            seed=self.seed,
            keep=document.artifacts.update,
            cache=cache,
            renew=pool.renew,
            max_bytes=self.max_memory,
            device=self.device,
            exchange=pool.exchange,
            shared=self._shared,
        ):
            model.observe(by_id[measured.estimator], n_samples[measured.run], measured)
            failed = document.add(measured)
            now = now._replace(done=now.done + 1, failed=now.failed + failed)
            tell(now)
        document.costs = known | model.fitted()
        if cache is not None:
            cache.put(_machine(), document.costs)
        return now.failed

    def _sample(
        self, document: Document, pool: Workers, cache: CellCache | None, tell: Listener
    ) -> None:
        """Estimate some cells on parts of the samples as well, where that was asked for."""
        if self._sampled is None:
            return
        whole = {"recordings": document.recordings, "rows": document.rows}
        baseline = Baseline("the analysis", {**whole, "artifacts": document.artifacts})
        parts = Sampling(self._sampled, self.estimators, self.seed, baseline)
        tell(Progress("sampling", 0, parts.n_cells))
        for done, _ in enumerate(parts.measure(pool, cache, self.device), 1):
            tell(Progress("sampling", done, parts.n_cells))
        document.sampling = parts.entries()

    def _open_cache(self) -> AbstractContextManager[CellCache | None]:
        return nullcontext() if self.cache is None else CellCache(self.cache)

    def _workers(self, exchange: Path) -> AbstractContextManager[Workers]:
        if isinstance(self.executor, Executor):
            return Given(self.executor)
        ours = any(map(_of_program, self.estimators))
        return workers(self.executor, min(self.jobs, self.n_cells), exchange, program=ours)

    def _check_workers(self) -> None:
        """Say now what worker processes would say later."""
        if self.device.startswith("cuda"):
            own_gpu(self.device)
        program = getattr(sys.modules["__main__"], "__file__", None)  # "<stdin>" is no file
        interactive = program is None or not Path(program).is_file()
        for one in self.estimators:
            if interactive and _of_program(one):
                raise InputError(
                    f"estimators: expected {one.name!r} in a module that worker processes can "
                    "import, found it in the session itself",
                    argument="estimators",
                    hint="write it to a file; or give executor=ThreadPoolExecutor(1)",
                )

    def _enough(self, max_memory: int | None) -> int | None:
        """Return the bytes that cells may take beside the workers themselves."""
        if max_memory is None:
            return None
        least = self.jobs * (INTERPRETER_BYTES + TORCH_BYTES)
        if whole_number(max_memory, "max_memory", 1) <= least:
            raise InputError(
                f"max_memory: expected more than {least:,} bytes for {self.jobs} processes alone, "
                f"got {max_memory:,}",
                argument="max_memory",
                hint="use fewer jobs",
            )
        return max_memory - least


def analyze(
    runs: Runs,
    estimators: Estimators = DEFAULT,
    *,
    layers: Texts = (),
    steps: Steps | None = None,
    splits: Texts = (),
    label_bins: int | None = None,
    rows: Literal["sample", "token"] = "sample",
    nan: Literal["fail", "drop"] = "fail",
    sampling: bool | Steps = False,
    jobs: int | None = None,
    executor: str | Executor = "processes",
    device: str = "auto",
    max_memory: int | None = None,
    cache: PathLike | None = None,
    seed: int = 0,
    settings_from: PathLike | Mapping[str, Any] | None = None,
    progress: bool | Callable[[Progress], object] = False,
) -> Results:
    """Estimate information quantities for every run, step and layer.

    Parameters
    ----------
    runs : path, Run or sequence of these
        Recorded runs.
    estimators : str, Estimator or sequence of these
        Names with their parameters, as ``"binning:bins=30"``, or estimators; by default
        ``binning``, ``compressed``, ``dse`` and ``probe``, and of runs with real targets ``ksg``.
    layers : str or sequence of str
        Globs over layer names, ``!GLOB`` excludes; all layers if empty.
    steps : int, "last" or sequence of these, optional
        Training steps; a text may list several, ``"0,100,last"``. All steps unless given.
    splits : str or sequence of str
        Splits of the probe set, which are analyzed apart; all if empty.
    label_bins : int, optional
        Make so many classes of the real targets of the runs, as even in size as ties allow, and
        take them for labels. Without, real targets are read as they are.
    rows : {"sample", "token"}, default "sample"
        What a row is. A token is a position of a layer (n, length, units): padding and tokens of
        the label -100 are left out, and intervals draw whole sequences.
    nan : {"fail", "drop"}, default "fail"
        Cells with NaN or inf fail, or samples that hold some are left out of all cells.
    sampling : bool or steps, default False
        Estimate on parts of the samples as well, at the last step or at these: what follows the
        number of samples measures it.
    jobs : int, optional
        Worker processes; one per core unless given. The numbers do not depend on it.
    executor : str or concurrent.futures.Executor, default "processes"
        ``processes`` here, ``dask``, ``dask=ADDRESS``, ``mpi``; or an executor, which is left open.
    device : str, default "auto"
        ``cpu``, ``cuda`` (workers take the GPUs in turn), ``cuda:K``, or ``auto``.
    max_memory : int, optional
        Run fewer cells at once if all together would need more bytes.
    cache : path, optional
        Folder in which finished cells are kept and looked up, as ``.infoplane_cache`` of the
        command line; none unless given.
    seed : int, default 0
        Of all random draws.
    settings_from : path or results document, optional
        Results whose settings are repeated, to be compared with: estimators with their parameters,
        seed, ``nan``, ``label_bins``, number of samples, noise of each layer; and layers, steps,
        splits and sampling, unless given. Not together with ``estimators``.
    progress : bool or callable, default False
        True writes lines to stderr; a callable is given a `Progress` after every cell.

    Returns
    -------
    Results
        Its ``status`` is ``partial`` if a cell has no number.

    Raises
    ------
    InputError
        If an argument is of the wrong type or unfit; the message names it. Also if an estimator
        of ``settings_from`` is not installed.
    DataError
        If settings cannot be repeated for a layer that ``settings_from`` does not know.
    NotFoundError
        If a layer, step or split is not there.
    RunFileError
        If a run is missing or damaged.
    WorkerError
        If worker processes die again and again.
    KeyboardInterrupt
        Ctrl-C. This and every other error has an attribute ``results`` with what was finished, if
        anything was; ``stop.results.save(path)`` keeps it.

    Examples
    --------
    >>> results = infoplane.analyze("runs/s0", "binning:bins=10", jobs=1)
    >>> len(results.to_rows())
    12
    >>> results.draw("plane").savefig("plane.png")
    """
    return Analysis(
        runs, estimators, layers=layers, steps=steps, splits=splits, label_bins=label_bins,
        rows=rows, nan=nan, sampling=sampling, jobs=jobs, executor=executor, device=device,
        max_memory=max_memory, cache=cache, seed=seed, settings_from=settings_from,
    ).run(progress)  # fmt: skip


def _lack_one_of_targets(estimators: Sequence[Estimator], cells: Cells) -> bool:
    """Tell whether these are the default estimators, and a run has real targets."""
    return {one.name for one in estimators} == set(DEFAULT) and any(
        run.has_samples and run.probe.labels is None and run.probe.targets is not None
        for run in cells
    )


def _of_program(estimator: Estimator) -> bool:
    """Tell whether the program that was started defines an estimator."""
    return type(estimator).__module__ == "__main__"


def _estimators(given: object) -> tuple[list[Estimator], list[str]]:
    """Return the estimators, and how the results write them."""
    expected = "names such as 'binning:bins=30', or Estimator objects"
    listed = [given] if isinstance(given, (str, Estimator)) else given
    if not isinstance(listed, (list, tuple)):
        raise unfit("estimators", expected, given)
    if not listed:
        raise unfit("estimators", expected, listed)
    found: list[Estimator] = []
    listed = without_presets(listed)
    for one in listed:
        if not isinstance(one, (str, Estimator)):
            raise unfit("estimators", expected, one)
        found.append(parse_estimator(one) if isinstance(one, str) else one)
    check_different(found)
    return found, [one if isinstance(one, str) else estimator_id(one) for one in listed]


def steps_of(given: object, argument: str) -> list[int]:
    """Return steps, -1 for the last one."""
    expected = "numbers and 'last', e.g. 0,100,last"
    if isinstance(given, str):
        listed: Any = [part.strip() for part in given.split(",")]
    else:
        listed = given if isinstance(given, (list, tuple, range)) else [given]
    found = []
    for one in listed:
        if isinstance(one, str) and (one == "last" or one.isdecimal()):
            found.append(-1 if one == "last" else int(one))
        elif isinstance(one, str):
            raise unfit(argument, expected, given)
        else:
            found.append(whole_number(one, argument, 0))
    if not found:
        raise unfit(argument, expected, listed)
    return found


def _sampled(given: object) -> list[int] | None:
    """Return the steps at which parts of the samples are estimated."""
    if given is False or given is None:
        return None
    return [-1] if given is True else steps_of(given, "sampling")


def written_steps(steps: Sequence[int] | None) -> str | None:
    """Return steps as the results write them."""
    return None if steps is None else ",".join("last" if s < 0 else str(s) for s in steps)


def _machine() -> str:
    return f"costs on {platform.node()}"


def _costs(cache: CellCache | None) -> dict[str, Any]:
    """Return what cells cost on this machine, as far as the cache knows."""
    return remembered.costs(cache.get(_machine())) if cache else {}

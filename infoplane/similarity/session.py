"""Similarities of recorded runs as one call, from its arguments to the results.

``infoplane similarity`` parses its options, makes the same call and prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import Workers
from infoplane.analysis.executors import Given, check_executor, workers
from infoplane.analysis.plan import (
    INTERPRETER_BYTES,
    TORCH_BYTES,
    PlannedWork,
)
from infoplane.analysis.selection import open_runs, select_cells
from infoplane.analysis.session import Runs, Steps, Texts, steps_of, written_steps
from infoplane.calls import Listener, PathLike, Progress, listener, one_of, path_of, texts, unfit
from infoplane.calls import whole as whole_number
from infoplane.errors import InputError, NotFoundError
from infoplane.estimators.flags import FLAGS
from infoplane.results.document import build_results
from infoplane.results.notebook import Results
from infoplane.results.recordings import describe_recordings
from infoplane.runs.run import Run
from infoplane.similarity.cells import AXES, against, count_pairs, families, on_the_same_samples
from infoplane.similarity.document import similarities as as_member
from infoplane.similarity.engine import VIEWS_BYTES, Compare
from infoplane.similarity.registry import DEFAULT, parse_measure
from infoplane.system import processors

BASELINE = "baseline"
"""The group of the runs that others are compared with."""


class SimilarityAnalysis:
    """Comparisons whose arguments are checked and whose runs are open, before any is made.

    Parameters are those of `similarities`.
    """

    def __init__(
        self,
        runs: Runs,
        measures: Texts = DEFAULT,
        *,
        axes: Texts = AXES,
        baseline: Runs | None = None,
        layers: Texts = (),
        steps: Steps | None = None,
        splits: Texts = (),
        nan: Literal["fail", "drop"] = "fail",
        jobs: int | None = None,
        executor: str | Executor = "processes",
        max_memory: int | None = None,
        cache: PathLike | None = None,
        seed: int = 0,
    ) -> None:
        self.measures = [parse_measure(one) for one in texts(measures, "measures")]
        ids = [measure.id for measure in self.measures]
        if not ids or len(set(ids)) < len(ids):
            raise unfit("measures", "each measure once", " ".join(ids) or measures)
        self.axes = texts(axes, "axes")
        for axis in self.axes:
            one_of(axis, "axes", *AXES)
        if not self.axes:
            raise unfit("axes", " or ".join(AXES), axes)
        self.seed = whole_number(seed, "seed", 0)
        self.jobs = processors() if jobs is None else whole_number(jobs, "jobs", 1)
        self.executor = check_executor(executor)
        self.views_bytes = self._room(max_memory)
        self.cache = None if cache is None else path_of(cache, "cache")
        drop = one_of(nan, "nan", "fail", "drop") == "drop"
        patterns, only = texts(layers, "layers"), texts(splits, "splits")
        at = None if steps is None else steps_of(steps, "steps")
        sides = [
            select_cells(open_runs(of), patterns, at, drop_nonfinite=drop, splits=only)
            for of in ([runs] if baseline is None else [baseline, runs])
        ]
        if bare := [run for side in sides for run in side if not run.has_samples]:
            raise NotFoundError(
                f"{bare[0].path}: the run holds weights alone, no layers to compare", code="IP402"
            )
        self.cells = on_the_same_samples({run: of for side in sides for run, of in side.items()})
        paths = {(run.path, run.split) for run in sides[0]} if baseline is not None else set()
        before = {run: of for run, of in self.cells.items() if (run.path, run.split) in paths}
        after = {run: of for run, of in self.cells.items() if run not in before}
        if baseline is not None and not after:
            raise InputError("expected another run than the baseline, got the same")
        self.baseline = before
        self.families = against(before, after) if before else families(after, self.axes)
        if not self.families:
            raise NotFoundError(
                f"nothing to compare along {' and '.join(self.axes)}: there is one layer, one step "
                "and one run",
                hint="give more runs, or choose more with --layers, --steps or --axes",
            )
        self.settings: Mapping[str, Any] = {
            "measures": ids,
            "axes": list(self.axes) if baseline is None else ["baseline"],
            "layers": list(patterns),
            **({"split": list(only)} if only else {}),
            "steps": written_steps(at),
            "seed": self.seed,
            "nan": nan,
        }

    @property
    def n_pairs(self) -> int:
        """Values to come: of every pair and measure."""
        return count_pairs(self.families) * len(self.measures)

    def plan(self) -> list[PlannedWork]:
        """Return pairs, seconds and bytes by measure; nothing is compared or written."""
        known = self.cache is not None and self.cache.exists()
        with CellCache(self.cache) if known and self.cache else nullcontext() as cache:
            compare = self._compare(cache)
        works = []
        total = count_pairs(self.families)
        recorded = max(len(run.kept) for run in self.cells)
        for measure in self.measures:
            pieces = [piece for piece in compare.pieces if measure in piece.wanted]
            todo = sum(len(piece.wanted[measure]) for piece in pieces)
            seconds = sum(piece.seconds(measure) for piece in pieces)
            most = max((piece.bytes(measure) for piece in pieces), default=0)
            samples = (min(recorded, measure.most_samples or recorded), recorded)
            works.append(
                PlannedWork(
                    measure.id, total, total - todo, seconds, most + INTERPRETER_BYTES, False,
                    samples,
                )
            )  # fmt: skip
        return works

    def run(
        self, progress: bool | Listener = False, *, exchange: PathLike | None = None
    ) -> Results:
        """Compare all pairs.

        Raises
        ------
        InfoplaneError, KeyboardInterrupt
            As `similarities`.
        """
        member, seconds = self.member(progress, exchange=exchange)
        failed = any(row["value"] is None for row in member["rows"])
        results = build_results(
            [], self._recordings(), [], {"similarity": self.settings},
            status="partial" if failed else "complete", wall_seconds=seconds, jobs=self.jobs,
        )  # fmt: skip
        return Results(with_similarities(results, member))

    def beside(
        self, results: Results, progress: bool | Listener = False, *, exchange: PathLike | None
    ) -> Results:
        """Return results of the same runs with the similarities in them."""
        member, _ = self.member(progress, exchange=exchange)
        document = with_similarities(results, member)
        document["config"] = {**results["config"], "similarity": self.settings}
        if any(row["value"] is None for row in member["rows"]):
            document["status"] = "partial"
        return Results(document)

    def member(
        self, progress: bool | Listener = False, *, exchange: PathLike | None = None
    ) -> tuple[dict[str, Any], float]:
        """Return the similarities as a document holds them, and the seconds that they took."""
        start, tell = time.monotonic(), listener(progress)
        shared = self.cache or path_of(exchange or ".", "exchange")
        with self._open_cache() as cache:
            compare = self._compare(cache)
            now = Progress("similarity", 0, compare.n_pairs)
            tell(now)
            found = []
            with self._workers(len(compare.pieces), shared) as pool:
                for pair, value in compare.values(pool):
                    found.append((pair, value))
                    failed = value["value"] is None
                    now = now._replace(done=now.done + 1, failed=now.failed + failed)
                    tell(now)
        names = {run: self._named(run) for run in self.cells}
        member = as_member(found, self.measures, self._recordings(), names)
        return member, time.monotonic() - start

    def _recordings(self) -> list[dict[str, Any]]:
        """Return the recordings; those of a baseline are a group of that name."""
        recordings = describe_recordings(self.cells)
        for run, recording in zip(self.cells, recordings, strict=True):
            if run in self.baseline:
                recording |= {"run": self._named(run), "group": BASELINE}
        return recordings

    def _named(self, run: Run) -> str:
        return f"{BASELINE}/{run.name}" if run in self.baseline else run.name

    def _compare(self, cache: CellCache | None) -> Compare:
        return Compare(
            self.families, self.measures,
            seed=self.seed, cache=cache, most_bytes=self.views_bytes,
        )  # fmt: skip

    def _open_cache(self) -> AbstractContextManager[CellCache | None]:
        return nullcontext() if self.cache is None else CellCache(self.cache)

    def _workers(self, n_pieces: int, exchange: Any) -> AbstractContextManager[Workers]:
        if isinstance(self.executor, Executor):
            return Given(self.executor)
        return workers(self.executor, max(1, min(self.jobs, n_pieces)), exchange)

    def _room(self, max_memory: int | None) -> int:
        """Return the bytes that the views of each process may take."""
        if max_memory is None:
            return VIEWS_BYTES
        each = INTERPRETER_BYTES + TORCH_BYTES
        if whole_number(max_memory, "max_memory", 1) <= self.jobs * each:
            raise InputError(
                f"max_memory: expected more than {self.jobs * each:,} bytes for {self.jobs} "
                f"processes alone, got {max_memory:,}",
                argument="max_memory",
                hint="use fewer jobs",
            )
        return max_memory // self.jobs - each


def with_similarities(document: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that holds similarities as well, and counts their flags as warnings."""
    warnings = [*document["warnings"]]
    for flag in FLAGS.values():
        rows = [row for row in member["rows"] if flag.name in row["flags"]]
        if rows and flag.code is not None:
            reasons = sorted({row["reason"] for row in rows if "reason" in row})
            warnings.append(
                {
                    "code": flag.code,
                    "flag": flag.name,
                    "message": flag.meaning if flag.name != "failed" else "pairs without a number",
                    "count": len(rows),
                    "layers": list(dict.fromkeys(row["layer_a"] for row in rows)),
                    "hint": reasons[0] if reasons else flag.remedy.replace("`", ""),
                }
            )
    return {**document, "warnings": warnings, "similarities": dict(member)}


def similarities(
    runs: Runs,
    measures: Texts = DEFAULT,
    *,
    axes: Texts = AXES,
    baseline: Runs | None = None,
    layers: Texts = (),
    steps: Steps | None = None,
    splits: Texts = (),
    nan: Literal["fail", "drop"] = "fail",
    jobs: int | None = None,
    executor: str | Executor = "processes",
    max_memory: int | None = None,
    cache: PathLike | None = None,
    seed: int = 0,
    progress: bool | Callable[[Progress], object] = False,
) -> Results:
    """Compare layers across networks, training, seeds and models.

    Parameters
    ----------
    runs : path, Run or sequence of these
        Recorded runs, on the same samples in the same order.
    measures : str or sequence of str
        Names with their parameters, as ``"mutual_neighbors:k=20"``; by default ``cka``,
        ``cka_without_top``, ``procrustes``, ``mutual_neighbors`` and ``rsa``.
    axes : str or sequence of str
        ``layers`` of a run at each step, ``steps`` of each layer, ``runs``: each layer of one group
        of runs with each of another. Equal layers of other seeds are always compared.
    baseline : path, Run or sequence of these, optional
        Compare each layer with that of the same name here, at the last steps, and nothing else.
    layers, steps, splits, nan, jobs, executor, cache, seed, progress
        As of `analyze`.
    max_memory : int, optional
        Bytes that all processes may take; cells are read again where their views do not fit.

    Returns
    -------
    Results
        With a member ``similarities``; its ``status`` is ``partial`` if a pair has no number.

    Raises
    ------
    InputError
        If an argument is of the wrong type or unfit; the message names it.
    DataError
        If runs hold other samples, or in another order.
    NotFoundError
        If a layer, step or split is not there, or nothing is left to compare.
    RunFileError
        If a run is missing or damaged.
    WorkerError
        If worker processes die again and again.

    Examples
    --------
    >>> results = infoplane.similarities("runs/s0", "cka", jobs=1)
    >>> sorted({row["axis"] for row in results["similarities"]["rows"]})
    ['layers', 'steps']
    """
    return SimilarityAnalysis(
        runs, measures, axes=axes, baseline=baseline, layers=layers, steps=steps, splits=splits,
        nan=nan, jobs=jobs, executor=executor, max_memory=max_memory, cache=cache, seed=seed,
    ).run(progress)  # fmt: skip

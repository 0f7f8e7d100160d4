"""Choose the cells of recorded runs: which layers, at which steps, on which samples."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from infoplane.calls import is_path, unfit
from infoplane.data import Slot, Subject
from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.estimators.base import Estimator
from infoplane.layer_patterns import About, chosen, hint_of_none, meant
from infoplane.runs.run import Run
from infoplane.runs.token_rows import TokenRun
from infoplane.target_classes import classes_of, numbers_of

log = logging.getLogger("infoplane")

Cells: TypeAlias = Mapping[Run, tuple[Sequence[Slot], Sequence[int]]]
"""Layers and steps of each run."""


class Group(NamedTuple):
    """Runs that are repetitions of one another, e.g. with other seeds; a run alone is one, too."""

    name: str
    runs: tuple[Run, ...]  # by name


class Part(NamedTuple):
    """What an estimator measures at each step of a run: the arrays that it is given."""

    subject: Subject | None  # None: the layer
    slots: tuple[Slot, ...]

    @property
    def n_units(self) -> int:
        """Units, or numbers, of all arrays."""
        return sum(slot.n_units for slot in self.slots)

    @property
    def label(self) -> str:
        """Name of the layer, or the text of another subject."""
        return self.slots[0].name if self.subject is None else str(self.subject)


def step_before(run: Run, step: int) -> int | None:
    """Return the recorded step before a step, be it analyzed or not; None of the first."""
    return max((one for one in run.steps if one < step), default=None)


def parts_of(estimator: Estimator, run: Run, layers: Sequence[Slot]) -> list[Part]:
    """Return what an estimator measures at each step of a run of which these layers are chosen.

    Raises
    ------
    NotFoundError
        If there is nothing: the run holds no weights or no loss log, only one layer is chosen for
        pairs, or no layer is one that the estimator measures.
    """
    kind = estimator.subject
    if not run.has_samples and kind != "weights":
        raise NotFoundError(
            f"{run.path}: {estimator.name} measures activations: the run holds weights alone",
            hint="measure it with -e weights, or record activations with --model and --data",
            code="IP402",
        )
    if estimator.reads == "step":
        if why := estimator.absent(run.record_of(run.steps[-1])):
            raise NotFoundError(f"{run.path}: {estimator.name}: {why}", code="IP402")
        if kind == "run":
            return [Part(Subject("run"), tuple(layers[:1]))]  # a cell needs one for its place
    if kind == "layer":
        chosen = estimator.layers_of(run, layers)
        return [Part(None, (one, *_beside(estimator, run, one))) for one in chosen]
    if kind == "run":
        return [Part(Subject("run"), tuple(layers))]
    found: list[tuple[Slot, ...]]
    if kind == "attention":
        found = [(one,) for one in run.slots if one.kind == "attention"]
        missing = "none is recorded"
        hint = "record with --attention"
    elif kind == "weights":
        summed_up = estimator.reads == "weight"
        found = [(one,) for one in run.weights if summed_up or one.summary is None]
        missing = "only what sums them up is recorded" if run.weights else "no weights are recorded"
        hint = "record with --weights, or --weights GLOB for the numbers themselves, or leave the "
        hint += "estimator out"
    else:
        found = [*itertools.combinations(layers, 2)]
        missing, hint = "expected two layers or more, got one", "choose more with --layers"
    if not found:
        raise NotFoundError(f"{run.path}: {estimator.name} measures {kind}: {missing}", hint=hint)
    return [Part(Subject(kind, tuple(slot.name for slot in slots)), slots) for slots in found]


def _beside(estimator: Estimator, run: Run, layer: Slot) -> Iterable[Slot]:
    """Return what a cell of a layer is given as well: further passes of it, or weights."""
    if estimator.reads == "passes":
        return (one for one in run.slots_of_passes(layer) if one != layer)
    return estimator.beside(layer, run.weights)


def count_cells(cells: Cells, estimators: Iterable[Estimator]) -> int:
    """Return the number of estimates to come."""
    return sum(
        len(parts_of(estimator, run, layers)) * len(steps)
        for estimator in estimators
        for run, (layers, steps) in cells.items()
    )


def groups_of(cells: Cells) -> dict[Run, Group]:
    """Return the group of each run, as results have it: of equal layers and number of samples."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(cells, key=lambda run: run.name):
        groups[run.group or run.name].append(run)
    found: dict[Run, Group] = {}
    for name, runs in groups.items():
        shapes = {(len(r.kept), *((x.name, x.n_units) for x in cells[r][0])) for r in runs}
        alike = len(shapes) == 1
        found |= {
            run: Group(name, tuple(runs)) if alike else Group(run.name, (run,)) for run in runs
        }
    return {run: found[run] for run in cells}


def open_runs(runs: object) -> list[Run]:
    """Return runs, each once and by different names; those without a step are left out.

    Parameters
    ----------
    runs : path, Run or sequence of these
        At least one.

    Raises
    ------
    InputError
        If it is anything else, or two runs have one name.
    RunFileError
        If there is no run at a path.
    """
    several = isinstance(runs, Iterable) and not isinstance(runs, (str, bytes, Mapping))
    listed: list[Any] = list(cast("Iterable[Any]", runs)) if several else [runs]
    if not listed:
        raise unfit("runs", "a path, a Run or a list of these", runs)
    once: dict[tuple[object, ...], Run] = {}
    for one in listed:
        if not is_path(one) and not isinstance(one, Run):
            raise unfit("runs", "a path, a Run or a list of these", one)
        run = one if isinstance(one, Run) else Run(Path(one))
        once.setdefault((run.path.resolve(), run.dropped, run.split, run.label_bins), run)
    opened = list(once.values())
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


def with_rows(runs: Sequence[Run], rows: str) -> list[Run]:
    """Return runs whose rows are samples, or tokens.

    Raises
    ------
    DataError
        If a run has no tokens.
    """
    if rows == "token":
        return [TokenRun.of(run) for run in runs]
    for run in runs:
        if run.has_samples and run.whole_probe.token_labels is not None:
            log.warning(
                "%s: its labels are of tokens: I(T;Y) of them is estimated with --rows token",
                run.path,
            )
    return list(runs)


def with_label_bins(runs: Sequence[Run], bins: int | None) -> list[Run]:
    """Return runs whose labels are ``bins`` classes of their targets; as they are without bins.

    Targets that are hardly meant are told once for all runs that share them.

    Raises
    ------
    InputError
        If a run has no targets, but class labels or nothing; or targets of several columns.
    """
    if bins is None:
        return list(runs)
    checked: set[object] = set()
    found = []
    for run in runs:
        if run.has_samples:
            probe = run.manifest["probe"].get("sha256") or run.path
            if probe not in checked:
                _check_label_bins(run, bins)
            checked.add(probe)
            run = replace(run, label_bins=bins)
        found.append(run)
    return found


def _check_label_bins(run: Run, bins: int) -> None:
    """Refuse to make classes of what is no target; warn of targets that are hardly meant."""
    numbers = numbers_of(run.whole_probe, str(run.path))
    try:
        classes_of(numbers, bins, str(run.path))
    except InputError as error:
        told = f"label_bins: {run.path}: {error}"
        raise InputError(told, argument="label_bins", hint=error.hint) from error


def select_cells(
    runs: Sequence[Run],
    layers: Sequence[str] = (),
    steps: Sequence[int] | None = None,
    *,
    drop_nonfinite: bool = False,
    splits: Sequence[str] = (),
) -> dict[Run, tuple[list[Slot], list[int]]]:
    """Return the layers and steps of each run that are to be analyzed.

    A run whose probe set has splits becomes one run for each, so that no estimate mixes them.

    Parameters
    ----------
    runs : sequence of Run
        Checked here: every step file is opened.
    layers : sequence of str
        Globs over layer names as in recording, ``!GLOB`` excludes; all layers if empty.
    steps : sequence of int, optional
        Keep these steps only, -1 is the last one; all steps if None.
    drop_nonfinite : bool, default False
        Leave samples with NaN or inf in any of these cells out of all cells of their run, so that
        all have the same number of samples.
    splits : sequence of str
        Keep these splits only; all if empty.

    Raises
    ------
    NotFoundError
        If a pattern, the steps or the splits match nothing.
    RunFileError
        If a run is damaged.
    """
    runs = [
        part
        for run in runs
        for part in ([run] if run.split is not None and not splits else run.by_split(splits))
    ]
    found: dict[Run, tuple[list[Slot], list[int]]] = {}
    _check_patterns(layers, runs)
    for run in runs:
        run.check()
        names = chosen(layers, _about(run))
        kept = [layer for layer in run.layers if layer.name in names]
        wanted = None if steps is None else {run.steps[-1] if s == -1 else s for s in steps}
        kept_steps = [step for step in run.steps if wanted is None or step in wanted]
        if wanted is not None and (missing := wanted - set(run.steps)):
            raise NotFoundError(
                f"{run.path}: no step {min(missing)}",
                hint=f"it has steps {' '.join(map(str, run.steps))}",
                code="IP402",
            )
        if not kept and run.has_samples:
            raise NotFoundError(
                f"{run.path}: no layer is left to analyze",
                hint=f"it has layers {' '.join(layer.name for layer in run.layers)}",
            )
        if drop_nonfinite:
            left_out = run.dropped
            run = run.without_nonfinite([layer.name for layer in kept], kept_steps)
            run = replace(run, dropped=tuple(sorted({*left_out, *run.dropped})))
            if (n_kept := len(run.kept)) < 2:
                raise DataError(
                    f"{run.path}: only {n_kept} of {n_kept + len(run.dropped)} samples "
                    " are finite in all layers and steps",
                    hint="analyze fewer layers or steps",
                    code="IP316",
                )
        found[run] = (kept, kept_steps)
    return found


def _check_patterns(layers: Sequence[str], runs: Sequence[Run]) -> None:
    """Refuse a pattern that means a layer of none of the runs."""
    if layers and not any(run.has_samples for run in runs):
        raise NotFoundError(
            f"{runs[0].path}: the run holds weights alone, no layers", hint="leave --layers out"
        )
    for pattern in (one.removeprefix("!") for one in layers):
        if not any(meant(pattern, _about(run)) for run in runs):
            hint = hint_of_none(pattern, _about(runs[0]))
            raise NotFoundError(f"no layer matches {pattern!r}", hint=f"{runs[0].path}: {hint}")


def _about(run: Run) -> dict[str, About]:
    return {layer.name: About(layer.type, layer.roles) for layer in run.layers}

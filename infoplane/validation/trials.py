"""Put estimators to the known answers and to the tests of self-consistency."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from infoplane.errors import EstimationError, InfoplaneError, InputError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.registry import (
    estimator_class,
    estimator_id,
    estimator_names,
    parse_estimator,
)
from infoplane.seeding import generator
from infoplane.validation.answers import ANSWERS
from infoplane.validation.consistency import RELATIONS, Relation
from infoplane.validation.expectations import Expectation, pooled
from infoplane.validation.findings import Finding, broken, judged, refused
from infoplane.validation.laws import LAWS, Law
from infoplane.validation.pool import in_any_order
from infoplane.validation.problems import Case, Problem, ProblemRun, Resolution, truth_key

SAMPLES = {"quick": 1000, "full": 5000}
SMALLEST = 100
"""Samples that every case can be drawn of."""
FURTHER = {
    "quick": ("compressed:mode=ksg",),
    "full": (
        "compressed:mode=ksg",
        "compressed:mode=joint",
        "compressed:cross_check=true",
        "neural:noise=0,view=inputs",
    ),
}
"""What is tried beside every estimator at its defaults."""
SLOW = ("neural",)
"""What is tried with all tasks, or where it is named."""
_COARSE = 0.3  # standard deviations of a unit: noise that is more than a detail
_ITEMS: tuple[Case | Relation | Law, ...] = (*ANSWERS, *RELATIONS, *LAWS)


def chosen_estimators(specs: Sequence[str] = (), *, full: bool = False) -> list[Estimator]:
    """Return the estimators to validate: those given, or all, slow ones if ``full``."""
    every = [name for name in estimator_names() if full or name not in SLOW]
    every += FURTHER["full" if full else "quick"]
    return [parse_estimator(spec) for spec in specs or every]


def shannon_specs() -> list[str]:
    """Return the names of the estimators of Shannon information."""
    names = (name for name in estimator_names() if name not in SLOW)
    return [name for name in names if estimator_class(name).shannon]


def names_of_trials(
    estimator: Estimator, *, full: bool = False, answers_only: bool = False
) -> list[str]:
    """Return the cases, relations and laws that are about something the estimator can know.

    With ``answers_only`` the cases alone, whose answer is known. All are about layers.
    """
    if estimator.subject != "layer" or estimator.reads != "arrays":
        return []
    return [
        item.name
        for item in (ANSWERS if answers_only else _ITEMS)
        if (full or item.quick)
        and (estimator.reads_inputs or not item.pairs)
        and (estimator.shannon or isinstance(item, Case) or not item.shannon)
    ]


def all_trials(
    work: Iterable[tuple[Estimator, str]],
    executor: Executor,
    n: int,
    seed: int,
    draws: int | None = None,
) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """Yield the findings of each pair of estimator and name of a trial, as they finish.

    With a number of ``draws``, yield what to expect of the estimator instead.

    Raises
    ------
    WorkerError
        If a worker process died.
    """
    call, more = (trial, ()) if draws is None else (repeated, (draws,))
    calls = {(estimator_id(e), name): (call, e, name, n, seed, *more) for e, name in work}
    yield from in_any_order(executor, calls)


def repeated(estimator: Estimator, name: str, n: int, seed: int, draws: int) -> list[Expectation]:
    """Return what to expect of an estimator from many draws of a case, by quantity.

    Parameters
    ----------
    estimator : Estimator
        The estimator.
    name : str
        Of the case.
    n : int
        Number of samples.
    seed : int
        Of the first draw; the others have those that follow.
    draws : int
        Number of draws.
    """
    case = next(case for case in ANSWERS if case.name == name)
    found: dict[str, list[Finding]] = {}
    for draw in range(draws):
        for finding in trial(estimator, name, n, seed + draw):
            found.setdefault(finding.quantity, []).append(finding)
    units = case.make(SMALLEST, generator(seed, name)).activations.shape[1]
    return [pooled(many, units, n) for many in found.values()]


def trial(estimator: Estimator, name: str, n: int, seed: int) -> list[Finding]:
    """Return what an estimator finds on one draw of a case, relation or law, by quantity.

    Parameters
    ----------
    estimator : Estimator
        The estimator.
    name : str
        Of the case, relation or law.
    n : int
        Number of samples.
    seed : int
        Of the draw and of the estimator's streams.
    """
    item = next(item for item in _ITEMS if item.name == name)
    start = time.process_time()
    try:
        if isinstance(item, Case):
            found = list(_answered(estimator, item, n, seed))
        elif isinstance(item, Relation):
            found = list(_related(estimator, item, n, seed))
        else:
            found = list(_lawful(estimator, item, n, seed))
    except InfoplaneError:
        raise
    except Exception as error:  # noqa: BLE001  - one bad case must not cost the others
        return [broken((estimator_id(estimator), name, "all"), error)]
    seconds = (time.process_time() - start) / max(1, len(found))
    return [replace(finding, seconds=seconds) for finding in found]


def estimate_problem(
    estimator: Estimator, problem: Problem, seed: int, *key: object
) -> Mapping[str, Estimate]:
    """Return the estimates of one cell, computed as ``analyze`` computes them.

    Raises
    ------
    Exception
        What the estimator raises, but errors that ``analyze`` writes into a cell.
    """
    run = ProblemRun(problem)
    streams = [generator(seed, *key, estimator_id(estimator), part) for part in range(3)]
    try:
        shared = estimator.prepare_group([run], streams[0])
        shared = estimator.prepare_member(shared, run, streams[0])
        prepared = estimator.prepare_layer(shared, run, run.layers[0], streams[1])
        return estimator.estimate(prepared, run.activations(0, run.layers[0].name), streams[2])
    except (EstimationError, InputError) as error:
        return estimator.failed(str(error))


def _answered(estimator: Estimator, case: Case, n: int, seed: int) -> Iterator[Finding]:
    problem = case.make(n, generator(seed, case.name))
    if not any(truth_key(estimator, q.name) in problem.truths for q in estimator.quantities):
        return
    found = estimate_problem(estimator, problem, seed, case.name)
    for key, estimate in found.items():
        truth = problem.truths.get(truth_key(estimator, key))
        if truth is None:
            continue
        where = (estimator_id(estimator), case.name, key)
        if estimate.bits is None:
            yield refused(where, estimate)
            continue
        if callable(truth):
            truth = truth(Resolution.of_cell(estimator, found, key))
        if truth is not None:
            yield judged(where, truth, estimate, one_sided=estimator.lower_bound)


def _related(estimator: Estimator, relation: Relation, n: int, seed: int) -> Iterator[Finding]:
    if not any(q.name in relation.quantities for q in estimator.quantities):
        return
    parts, after = relation.make(n, generator(seed, relation.name))
    cells = [
        (weight, estimate_problem(estimator, problem, seed, relation.name))
        for weight, problem in parts
    ]
    changed = estimate_problem(estimator, after, seed, relation.name)
    for key, two in changed.items():
        ones = [(weight, cell[key]) for weight, cell in cells if key in cell]
        if len(ones) < len(cells) or MeasureId.read(key).name not in relation.quantities:
            continue
        where = (estimator_id(estimator), relation.name, key)
        missing = [one for one in (*(one for _, one in ones), two) if one.bits is None]
        if missing:
            yield refused(where, missing[0])
            continue
        flags = tuple(
            dict.fromkeys(f for one in (*(one for _, one in ones), two) for f in one.flags)
        )
        if relation.fine and _hidden(estimator, key, after, changed):
            continue
        expected = math.fsum(weight * (one.bits or 0.0) for weight, one in ones)
        if relation.at_noise:
            expected += _of_noise(estimator, key, after, cells[0][1], changed)
        spread = math.hypot(*(weight * _half_width(one) for weight, one in ones), _half_width(two))
        yield judged(
            where,
            expected,
            replace(two, flags=flags, bound_low=None, bound_high=None),
            allowed=relation.allowed(expected, spread),
            one_sided=relation.at_most or (relation.fewer and estimator.lower_bound),
        )


def _hidden(
    estimator: Estimator, key: str, problem: Problem, found: Mapping[str, Estimate]
) -> bool:
    """Tell whether the noise that an estimator added hides the shape of a layer."""
    noise = Resolution.of_cell(estimator, found, key).noise
    return noise > _COARSE * float(problem.activations.std(axis=0).mean())


def _of_noise(
    estimator: Estimator,
    key: str,
    problem: Problem,
    before: Mapping[str, Estimate],
    after: Mapping[str, Estimate],
) -> float:
    """Return what the noise of one cell in place of that of another one does to the truth."""
    truth = problem.truths.get(truth_key(estimator, key))
    if not callable(truth):
        return 0.0
    bits = [truth(Resolution.of_cell(estimator, cell, key)) for cell in (before, after)]
    return 0.0 if bits[0] is None or bits[1] is None else bits[1] - bits[0]


def _lawful(estimator: Estimator, law: Law, n: int, seed: int) -> Iterator[Finding]:
    if not any(q.name in law.quantities for q in estimator.quantities):
        return
    problem = law.make(n, generator(seed, law.name))
    cell = estimate_problem(estimator, problem, seed, law.name)
    for claim in law.claims(problem, cell):
        where = (estimator_id(estimator), law.name, claim.key)
        if claim.estimate.bits is None:
            yield refused(where, claim.estimate)
            continue
        # The interval is about other samples; a law holds in this one.
        estimate = replace(claim.estimate, low=None, high=None, method="none")
        if claim.strict:
            estimate = replace(estimate, flags=(), bound_low=None, bound_high=None)
        yield judged(where, claim.truth, estimate, allowed=claim.allowed, one_sided=claim.at_most)


def _half_width(estimate: Estimate) -> float:
    """Return half of the interval of an estimate, 0 for none and for bounds."""
    if estimate.low is None or estimate.high is None or estimate.method == "bracket":
        return 0.0
    return (estimate.high - estimate.low) / 2

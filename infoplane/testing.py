"""Checks that every estimator should pass, for the tests of plug-ins and of this package."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import numpy as np

from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.validation.answers import constant_layer
from infoplane.validation.problems import Problem, ProblemRun
from infoplane.validation.traps import labelled_layer
from infoplane.validation.trials import SAMPLES, names_of_trials, trial

_ROUNDING = 1e-9
_OF_LABELS = {"ity", "dsmi_y", "ixt_given_y", "ixy_given_y", "ity_bound", "ece"}


def check_estimator(
    estimator: Estimator, *, n_samples: int = SAMPLES["quick"], seed: int = 0
) -> None:
    """Check that an estimator keeps its contract and fails nowhere in silence.

    The contract is that of `CONTRACT`; the rest is what ``infoplane validate -e`` tries: known
    answers, self-consistency and laws of a cell.

    Parameters
    ----------
    estimator : Estimator
        With the parameters that are to be checked.
    n_samples : int, default 1000
        Samples of each problem.
    seed : int, default 0
        Of the problems and of the estimator's streams.

    Raises
    ------
    AssertionError
        If it does not; one line for each finding.

    Examples
    --------
    >>> from infoplane.estimators.registry import parse_estimator
    >>> check_estimator(parse_estimator("exact"), n_samples=200)
    """
    for check in CONTRACT:
        check(estimator)
    wrong = [
        f"{one.status} {one.case}, {one.quantity}: "
        f"{one.message or f'expected {one.truth}, got {one.estimate}'}"
        for name in names_of_trials(estimator)
        for one in trial(estimator, name, n_samples, seed)
        if one.status in ("SILENT-FAIL", "ERROR")
    ]
    assert not wrong, "\n".join(wrong)


def declares_what_it_returns(estimator: Estimator) -> None:
    """Keys are declared, values finite and of JSON; where there is none, a flag says why."""
    declared = {quantity.name for quantity in estimator.quantities}
    for key, one in _cell(estimator, _layer()).items():
        assert key.partition("@")[0] in declared, f"{key} is not in quantities"
        json.dumps(asdict(one), allow_nan=False)
        assert one.flags or one.bits is not None, f"{key}: no value and no flag"
        if one.bits is not None and one.low is not None and one.method == "bracket":
            assert one.low <= one.bits <= (one.high or math.inf), f"{key}: outside of its bracket"


def repeats_itself(estimator: Estimator) -> None:
    """The same data and seed give the same numbers, and the data stay as they are."""
    problem = _layer()
    before = problem.activations.copy()
    one, two = ({k: e.bits for k, e in _cell(estimator, problem).items()} for _ in range(2))
    assert one == two, f"{one} at first, then {two}"
    np.testing.assert_array_equal(problem.activations, before)


def finds_nothing_in_a_constant_layer(estimator: Estimator) -> None:
    """A layer that does not vary holds nothing, or is refused with a flag."""
    for key, one in _cell(estimator, constant_layer(300, np.random.default_rng(0))).items():
        refused = one.bits is None and one.flags
        assert refused or abs(one.bits or 0.0) <= _ROUNDING, f"{key}: {one.bits}, expected 0"


def says_nothing_of_labels_that_are_not_there(estimator: Estimator) -> None:
    """Without labels there is no quantity that is about them."""
    found = _cell(estimator, replace(_layer(), labels=None))
    about = {key.partition("@")[0] for key in found} & _OF_LABELS
    assert not about, f"{', '.join(sorted(about))} without labels"


CONTRACT: tuple[Callable[[Estimator], None], ...] = (
    declares_what_it_returns,
    repeats_itself,
    finds_nothing_in_a_constant_layer,
    says_nothing_of_labels_that_are_not_there,
)
"""Checks of a single cell; each raises AssertionError."""


def _layer() -> Problem:
    made = labelled_layer(300, np.random.default_rng(0), classes=3, units=4, distance=1.5)
    return replace(made, activations=np.tanh(made.activations).astype(np.float32))


def _cell(estimator: Estimator, problem: Problem) -> Mapping[str, Estimate]:
    """Return the estimates of one cell; what is prepared travels to another process."""
    run = ProblemRun(problem)
    of_group = estimator.prepare_group([run], np.random.default_rng(1))
    shared = estimator.prepare_member(of_group, run, np.random.default_rng(1))
    prepared = estimator.prepare_layer(shared, run, run.layers[0], np.random.default_rng(2))
    prepared = pickle.loads(pickle.dumps(prepared))  # noqa: S301  - our own
    return estimator.estimate(prepared, run.activations(0, "layer"), np.random.default_rng(3))

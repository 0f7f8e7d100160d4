"""Verdicts on estimators that are right, wrong and say so, wrong in silence, or broken."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from infoplane.errors import EstimationError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.binning import Binning
from infoplane.estimators.layers.compressed.estimator import Compressed
from infoplane.estimators.layers.diffusion import DiffusionSpectral
from infoplane.validation.answers import ANSWERS
from infoplane.validation.consistency import RELATIONS
from infoplane.validation.findings import judged, summary
from infoplane.validation.trials import (
    chosen_estimators,
    estimate_problem,
    names_of_trials,
    trial,
    truth_key,
)

NAME = ("estimator", "case", "ixt")


@pytest.mark.parametrize(
    ("estimate", "truth", "status"),
    [
        (Estimate(1.05), 1.0, "PASS"),
        (Estimate(1.2), 1.0, "SILENT-FAIL"),
        (Estimate(1.2, flags=("saturated",)), 1.0, "KNOWN-LIMIT"),
        (Estimate(1.2, flags=("subsampled",)), 1.0, "SILENT-FAIL"),
        (Estimate(1.2, 0.9, 1.5), 1.0, "PASS"),
        (Estimate(1.2, 1.1, 1.3), 1.0, "SILENT-FAIL"),
        (Estimate(8.0), math.inf, "SILENT-FAIL"),
        (Estimate(8.0, flags=("saturated",)), math.inf, "KNOWN-LIMIT"),
        (Estimate(None, flags=("small_n",)), 1.0, "KNOWN-LIMIT"),
        (Estimate(None), 1.0, "ERROR"),
        (Estimate(math.nan), 1.0, "ERROR"),
        (Estimate(1.0, 0.0, 9.0, bound_high=0.5), 1.0, "SILENT-FAIL"),
    ],
)
def test_verdict(estimate, truth, status):
    assert judged(NAME, truth, estimate).status == status


def test_one_sided_verdict_lets_the_value_fall():
    assert judged(NAME, 1.0, Estimate(0.2), one_sided=True).status == "PASS"
    assert judged(NAME, 1.0, Estimate(1.2), one_sided=True).status == "SILENT-FAIL"


@dataclass(frozen=True)
class Guess(Estimator):
    """Says the same whatever it is shown."""

    bits: float = 1.0
    flag: str = ""
    error: str = ""

    name: ClassVar[str] = "guess"
    title: ClassVar[str] = "guess"
    quantities: ClassVar[tuple[str, ...]] = ("ixt", "ity")

    def estimate(self, prepared, activations, rng):
        if self.error:
            raise {"estimation": EstimationError, "bug": ZeroDivisionError}[self.error]("no")
        return {"ity": Estimate(self.bits, flags=(self.flag,) if self.flag else ())}


def test_a_guess_fails_in_silence_and_with_a_flag_it_does_not():
    (silent,) = trial(Guess(), "permuted labels", 200, 0)
    assert (silent.status, silent.truth, silent.error) == ("SILENT-FAIL", 0.0, 1.0)
    (flagged,) = trial(Guess(flag="null_dominates"), "permuted labels", 200, 0)
    assert flagged.status == "KNOWN-LIMIT"
    (undefined, *_) = trial(Guess(error="estimation"), "permuted labels", 200, 0)
    assert (undefined.status, undefined.message) == ("KNOWN-LIMIT", "no")
    (bug,) = trial(Guess(error="bug"), "permuted labels", 200, 0)
    assert (bug.status, bug.message) == ("ERROR", "ZeroDivisionError: no")


def test_a_constant_guess_breaks_additivity_and_keeps_scale():
    (two,) = trial(Guess(), "two independent copies", 200, 0)
    assert (two.status, two.truth, two.estimate) == ("SILENT-FAIL", 2.0, 1.0)
    (scale,) = trial(Guess(), "layer x1000", 200, 0)
    assert scale.status == "PASS"


def test_cases_are_asked_only_of_estimators_that_can_know():
    pairs = {item.name for item in (*ANSWERS, *RELATIONS) if item.pairs}
    assert "T = X" in pairs
    assert not pairs & set(names_of_trials(Binning(), full=True))
    assert pairs <= set(names_of_trials(Compressed(mode="ksg"), full=True))
    assert "layer rotated" not in names_of_trials(
        next(e for e in chosen_estimators(["renyi"])), full=True
    )
    names = [item.name for item in (*ANSWERS, *RELATIONS)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [case.name for case in ANSWERS])
def test_every_case_draws_what_it_says(name):
    case = next(case for case in ANSWERS if case.name == name)
    one, two = (case.make(200, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.activations, two.activations)
    assert one.truths
    assert len(one.activations) == len(one.inputs) == 200
    assert np.isfinite(one.activations).all()
    if one.labels is not None:
        assert one.labels.shape == (200,)


def test_closed_forms_of_clusters_are_met_to_rounding():
    for name in ("8 separated clusters", "8 clusters x1000"):
        (dse,) = (f for f in trial(DiffusionSpectral(), name, 400, 0) if f.quantity == "dse")
        assert dse.estimate == pytest.approx(dse.truth, abs=1e-9)
        narrow = trial(DiffusionSpectral(sigma=1e-3), name, 400, 0)
        (limit,) = (f for f in narrow if f.quantity == "dse")
        assert limit.truth == pytest.approx(3.0)
        (renyi,) = trial(chosen_estimators(["renyi:max_samples=400"])[0], name, 400, 0)
        assert renyi.estimate == pytest.approx(renyi.truth, abs=1e-3)


def test_numbers_are_those_of_analyze_and_reproducible():
    case = next(case for case in ANSWERS if case.name == "3 classes, 2 units")
    problem = case.make(300, np.random.default_rng(0))
    one, two = (estimate_problem(Compressed(), problem, 0, "x") for _ in range(2))
    assert {k: e.bits for k, e in one.items()} == {k: e.bits for k, e in two.items()}
    assert truth_key(Compressed(), "ity") == "ity"
    assert truth_key(chosen_estimators(["renyi"])[0], "ity") == "ity[renyi]"


def test_summary_counts():
    findings = [
        judged(NAME, 1.0, Estimate(1.0, 0.9, 1.1, flags=("sparse",))),
        judged(NAME, 1.0, Estimate(2.0)),
    ]
    assert summary(findings)["estimator"] == {
        "findings": 2,
        "pass": 1,
        "known_limit": 0,
        "silent_fail": 1,
        "error": 0,
        "median_abs_error": 1.0,
        "intervals": 1,
        "covering": 1,
        "flagged_though_right": 1,
    }

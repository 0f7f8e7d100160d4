"""The estimator ``cauchy_schwarz`` as an analysis calls it."""

import numpy as np
import pytest

from infoplane import cauchy_schwarz_information
from infoplane.errors import InputError
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.problems import Problem
from infoplane.validation.trials import estimate_problem

N = 150


def estimate(spec, activations, labels=None, targets=None, inputs=None):
    problem = Problem(INPUTS if inputs is None else inputs, activations, labels, targets=targets)
    return estimate_problem(parse_estimator(spec), problem, 0, "x")


INPUTS = np.random.default_rng(0).normal(size=(N, 4))
LABELS = (INPUTS[:, 0] > 0).astype(np.int64)
LAYER = np.tanh(INPUTS[:, :2]).astype(np.float32)


@pytest.mark.parametrize("width", ["median", 0.7])
def test_values_are_what_the_function_finds_beyond_its_null(width):
    found = estimate(f"cauchy_schwarz:width={width}", LAYER, LABELS)
    assert set(found) == {"csx", "csy"}
    for name, other in (("csx", INPUTS), ("csy", LABELS)):
        told = found[name].diagnostics
        if width == "median":
            info = cauchy_schwarz_information(LAYER, other)
            assert told["raw"] == pytest.approx(info.bits)
            assert told["normalised"] == pytest.approx(info.normalised)
        assert found[name].bits == pytest.approx(told["raw"] - told["null"])
        assert 0 < told["null_sd"] < told["null"] < told["raw"]
        assert found[name].flags == ()


def test_real_targets_are_measured_as_numbers_and_labels_come_first():
    targets = INPUTS[:, 0]
    real = estimate("cauchy_schwarz", LAYER, targets=targets)["csy"]
    assert real.diagnostics["raw"] == pytest.approx(cauchy_schwarz_information(LAYER, targets).bits)
    several = estimate("cauchy_schwarz", LAYER, targets=INPUTS[:, :2])["csy"]
    assert several.bits > real.bits
    both = estimate("cauchy_schwarz", LAYER, LABELS, targets)["csy"]
    assert both == estimate("cauchy_schwarz", LAYER, LABELS)["csy"]
    assert set(estimate("cauchy_schwarz", LAYER)) == {"csx"}


def test_subsample_is_told_and_keeps_the_classes():
    found = estimate("cauchy_schwarz:max-samples=60", LAYER, LABELS)
    assert found["csx"].n == 60
    assert "subsampled" in found["csx"].flags


def unit_of(size):
    return np.column_stack([size * np.random.default_rng(1).normal(size=N), LAYER, LAYER, LAYER])


CASES = {
    "a dead layer": (np.zeros((N, 2)), "constant"),
    "an unrelated layer": (np.random.default_rng(3).normal(size=(N, 4)), "within_null"),
    "one unit beside which others vanish": (unit_of(1e3), "dominant_unit"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["cauchy_schwarz", "renyi"])
def test_layers_that_show_nothing_are_flagged(case, name):
    layer, flag = CASES[case]
    for found in estimate(name, layer, LABELS).values():
        assert flag in found.flags
        assert found.bits == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    "spec", ["width=0", "width=inf", "width=mean", "max-samples=1", "max-samples=20000",
             "permutations=1"]
)  # fmt: skip
def test_unfit_parameters_are_refused(spec):
    with pytest.raises(InputError, match="expected"):
        parse_estimator(f"cauchy_schwarz:{spec}")

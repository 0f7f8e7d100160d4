"""Bias, spread and coverage from many draws; permutation tests keep their level."""

import json

import numpy as np
import pytest

from infoplane.cli.validation_text import expectations_text
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.expectations import pooled
from infoplane.validation.findings import judged
from infoplane.validation.trials import repeated
from tests.conftest import infoplane_here as infoplane

WHERE = ("estimator", "case", "ixt")


def test_intervals_may_hold_the_mean_and_miss_the_truth():
    # Estimates of 1.5 +- 0.1 of a truth of 1: biased by 0.5, with intervals of 0.15.
    found = [
        judged(WHERE, 1.0, Estimate(bits, bits - 0.15, bits + 0.15, flags=("biased",)))
        for bits in (1.4, 1.6, 1.5, 1.3, 1.7)
    ]
    result = pooled(found, units=3, n=50)
    assert result.bias == pytest.approx(0.5)
    assert result.spread == pytest.approx(np.std([1.4, 1.6, 1.5, 1.3, 1.7], ddof=1))
    assert (result.covering, result.covering_mean) == (0, 3)
    assert (result.draws, result.intervals, result.flagged) == (5, 5, 5)
    assert result.status == "KNOWN-LIMIT"
    assert result.as_row("case")["case"] == "case"


def test_truth_that_differs_between_draws_is_no_miss():
    found = [judged(WHERE, t, Estimate(t + 0.2, t + 0.1, t + 0.3)) for t in (1.0, 2.0, 3.0)]
    assert pooled(found, 1, 10).covering_mean == 3


def test_repeated_draws_differ_and_are_reproducible():
    one, two = (repeated(parse_estimator("exact"), "permuted labels", 200, 3, 4) for _ in range(2))
    assert [e.spread for e in one] == [e.spread for e in two]
    (ity,) = one
    assert ity.spread > 0
    assert (ity.units, ity.n, ity.draws) == (8, 200, 4)


def test_command_tells_bias_spread_and_coverage():
    done = infoplane(
        "validate", "-e", "exact", "-n", "200", "--draws", "3", "--format", "json", "-q"
    )
    rows = {(r["case"], r["quantity"]): r for r in json.loads(done.out)["expectations"]}
    clusters = rows["8 separated clusters", "ixt"]
    assert (clusters["bias"], clusters["spread"]) == (pytest.approx(0.0), pytest.approx(0.0))
    assert clusters["draws"] == 3
    assert infoplane("validate", "--draws", "1").code == 2


def test_table_of_draws_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = repeated(parse_estimator("exact"), "8 separated clusters", 200, 0, 3)
    text = expectations_text(rows, "known answers", "case", wide=False)
    assert text.startswith("known answers\n\nexact\ncase ")
    assert max(map(len, text.splitlines())) <= 80
    assert "-0.000" not in text


def test_truth_that_estimates_do_not_follow_moves_nothing():
    found = [judged(WHERE, t, Estimate(1.0 + e, 0.9 + e, 1.1 + e)) for t, e in
             ((60.0, 0.01), (65.0, 0.0), (55.0, -0.01))]  # fmt: skip
    assert pooled(found, 1, 10).covering_mean == 3


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "expected"), [("binning", 1), ("compressed", 7)])
def test_intervals_hold_the_expectation(spec, expected):
    """88 % of 100 is the lower end of what chance leaves of 95 %."""
    counted = 0
    for case in ("3 classes, 2 units", "3 classes behind ReLU", "5 classes, 20 units"):
        for found in repeated(parse_estimator(spec), case, 500, 0, 100):
            if found.intervals == 100 and found.spread > 1e-9:
                assert found.covering_mean >= 88, found
                counted += 1
    assert counted == expected

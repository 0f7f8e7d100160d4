import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infoplane.errors import NotFoundError
from infoplane.gate.checks import run_checks, shown
from infoplane.gate.rules import OPERATORS, Check, parse_rule
from tests.gate.made import compressing, document, row


def outcome(results, rule, **how):
    return run_checks(results, [Check(rule, parse_rule(rule), **how)]).outcomes[0]


def status(results, rule, **how):
    return outcome(results, rule, **how).status


def flat(*values, layer="fc1", **changed):
    """One run per value, two checkpoints."""
    return document(
        [row(f"s{i}", s, layer, v, **changed) for i, v in enumerate(values) for s in (0, 1)]
    )


def test_last_is_the_mean_over_runs():
    results = flat(1.0, 2.0, 6.0)
    assert status(results, "last(ixt) == 3") == "pass"
    assert status(results, "last(ixt) > 3") == "fail"


@pytest.mark.parametrize("seed", [-1, "x", None, 1.5])
def test_a_seed_that_is_none_is_passed_over(seed):
    results = compressing()
    results["config"] = {"analyze": {"seed": seed}}
    expected = {**results, "config": {"analyze": {"seed": 0}}}
    rule = "change(ixt) <= 0"
    assert outcome(results, rule).message == outcome(expected, rule).message


def test_interval_over_runs_is_student():
    values = np.array([1.0, 2.0, 6.0])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    found = outcome(flat(*values), "last(ixt) >= 3").worst.statistic
    assert (found.low, found.high) == pytest.approx((low, high))


def test_ci_takes_the_end_that_is_least_likely_to_pass():
    results = flat(3.0, ci_low=2.7, ci_high=3.4, ci_method="analytic", ci_level=0.95)
    assert status(results, "last(ixt) >= 2.9") == "pass"
    assert status(results, "last(ixt) >= 2.9", use="ci") == "fail"
    assert status(results, "last(ixt) >= 2.7", use="ci") == "pass"
    assert status(results, "last(ixt) <= 3.3") == "pass"
    assert status(results, "last(ixt) <= 3.3", use="ci") == "fail"
    assert status(results, "last(ixt) == 3", use="ci") == "fail"
    assert (
        "2.7000 bits (lower end of 3 [2.7000, 3.4000], 1 run) is less than 2.9"
        in outcome(results, "last(ixt) >= 2.9", use="ci").message
    )


def test_two_runs_give_an_interval_that_holds_both():
    results = flat(2.0, 4.0, ci_low=2.9, ci_high=3.1, ci_method="analytic")
    found = outcome(results, "last(ixt) >= 0").worst.statistic
    assert (found.low, found.high) == (2.0, 4.0)


def test_without_an_interval_ci_is_unknown():
    assert status(flat(3.0), "last(ixt) >= 1", use="ci") == "unknown"
    bracket = flat(3.0, ci_low=2.0, ci_high=4.0, ci_method="bracket")
    assert status(bracket, "last(ixt) >= 1", use="ci") == "unknown"


@pytest.mark.parametrize(
    "rule",
    [
        "last(ixt, conv*) >= 0",
        "last(ixt, fc1, dse) >= 0",
        "last(ity) >= 0",
        "at:7(ixt) >= 0",
        "share(saturated, conv*) <= 1",
        "agree(dse, conv*) >= 0",
        "onset(ixt) >= 0",
    ],
)
def test_what_matches_nothing_is_unknown(rule):
    assert status(flat(3.0, 3.0), rule) == "unknown"


@pytest.mark.parametrize(
    "changed",
    [
        {"flags": ["saturated"]},
        {"flags": ["null_dominates"]},
        {"value": None, "flags": ["failed"]},
    ],
)
@pytest.mark.parametrize("statistic", ["last", "min", "max", "mean", "change", "at:1"])
def test_a_cell_that_says_nothing_makes_the_rule_unknown(changed, statistic):
    rows = [row("s0", step, "fc1", 3.0) for step in (0, 1)]
    rows = [r | changed for r in rows]
    assert status(document(rows), f"{statistic}(ixt) >= -100") == "unknown"


def test_a_missing_run_makes_the_rule_unknown():
    results = flat(3.0, 3.0, 3.0)
    results["rows"] = [r for r in results["rows"] if (r["run"], r["step"]) != ("s1", 1)]
    assert status(results, "last(ixt) >= 0") == "unknown"
    assert status(results, "first(ixt) >= 0") == "pass"


def test_knowing_the_label_fully_is_no_artefact_but_a_table_of_samples_is():
    at_h_y = {"quantity": "ity", "flags": ["saturated"], "bound_name": "h_y", "bound_high": 3.32}
    ity = [row("s0", step, "fc1", 3.32, **at_h_y) for step in (0, 1)]
    assert status(document(ity), "last(ity) >= 3") == "pass"
    ixt = [row("s0", step, "fc1", 12.0, flags=["saturated"]) for step in (0, 1)]
    assert status(document(ity + ixt), "last(ity) >= 3") == "unknown"


def test_a_glob_must_hold_for_every_match():
    rows = [row("s0", s, f"fc{i}", float(i)) for i in (3, 4, 5) for s in (0, 1)]
    results = document(rows)
    assert status(results, "last(ixt, fc[45]) >= 4") == "pass"
    found = outcome(results, "last(ixt, fc*) >= 4.5")
    assert found.status == "fail"
    assert found.worst.where == "fc3, binning"
    assert "(and 1 other)" in found.message


def test_statistics_of_a_curve():
    results = compressing(last=4.5, peak=8.0, spread=0.0)
    assert status(results, "first(ixt) == 5") == "pass"
    assert status(results, "min(ixt) == 4.5") == "pass"
    assert status(results, "max(ixt) == 8") == "pass"
    assert status(results, "peak(ixt) == 8") == "pass"
    assert status(results, "change(ixt) == -3.5") == "pass"
    assert status(results, "at:10(ixt) == 6.5") == "pass"
    mean = float(np.mean([5.0, 6.5, 8, 8, 8, 7.0, 6.0, 5.0, 4.5, 4.5]))
    assert status(results, f"mean(ixt) == {mean!r}") == "pass"
    assert status(results, "onset(ixt) == 40") == "pass"
    assert status(results, "runs() == 3") == "pass"


def test_verdicts_and_agreement():
    results = compressing(estimators=("binning", "kde", "renyi"))
    assert status(results, "verdict(ixt, fc5) == compresses") == "pass"
    assert status(results, "verdict(ixt, fc5) == no_change") == "fail"
    assert status(results, "agree(ixt, fc5) == 3") == "pass"
    assert status(results, "agree(ixt, fc5, no_change) == 0") == "pass"


def test_agreement_on_no_change_is_no_agreement_on_compression():
    values = dict.fromkeys(range(0, 100, 10), 5.0)
    rows = [
        row(f"s{i}", step, "fc1", value + 0.001 * i, estimator=estimator)
        for i in range(3)
        for step, value in values.items()
        for estimator in ("binning", "kde")
    ]
    results = document(rows)
    assert status(results, "verdict(ixt) == no_change") == "pass"
    assert status(results, "agree(ixt) >= 2") == "fail"


def test_share_and_count_of_cells():
    rows = [row("s0", step, "fc1", 3.0, flags=["sparse"] * (step < 2)) for step in range(8)]
    rows += [r | {"quantity": "ity", "flags": []} for r in rows]  # the same eight cells
    results = document(rows)
    assert status(results, "count(sparse) == 2") == "pass"
    assert status(results, "share(sparse) == 0.25") == "pass"
    assert status(results, "share(sparse, fc1, binning) <= 0.2499") == "fail"
    assert status(results, "count(failed) == 0", use="ci") == "pass"


def test_levels_and_unknowns_decide():
    results = flat(3.0)
    failing = Check("a", parse_rule("last(ixt) > 9"))
    warned = Check("b", parse_rule("last(ixt) > 9"), level="warning")
    unknown = Check("c", parse_rule("last(ity) > 9"))
    assert not run_checks(results, [failing]).passes
    assert run_checks(results, [warned]).verdict == "1 check: 1 warning, 0 passed"
    assert run_checks(results, [warned]).passes
    assert not run_checks(results, [unknown]).passes
    assert run_checks(results, [unknown], on_unknown="warn").passes
    assert run_checks(results, [unknown], on_unknown="pass").count("passed") == 1


def test_a_gate_does_not_pass_on_nothing():
    with pytest.raises(NotFoundError, match="no rule"):
        run_checks(flat(3.0), [])


@given(
    st.floats(-20, 20),
    st.sampled_from([0.0, 1e-15, -1e-15, 1e-9, -1e-9, 1e-4, -1e-4]),
    st.sampled_from(sorted(OPERATORS)),
)
def test_what_is_printed_is_as_true_as_what_was_decided(threshold, offset, operator):
    value = threshold + offset
    found = outcome(flat(value), f"last(ixt) {operator} {threshold!r}")
    printed = float(found.message.split(": ")[1].split()[0])
    assert OPERATORS[operator](printed, threshold) == (found.status == "pass")


def test_a_value_that_rounds_to_its_threshold_is_printed_with_more_digits():
    found = outcome(flat(math.nextafter(2.8, 0)), "last(ixt) >= 2.8")
    assert found.status == "fail"
    assert "2.799999999999999 bits is less than 2.8" in found.message
    assert shown(2.79999, 2.8) == "2.79999"
    assert shown(2.7, 2.8) == "2.7000"


def test_groups_are_named_where_there_are_several():
    results = document(
        [row(run, s, "fc1", v) for run, v in (("a", 1.0), ("b", 2.0)) for s in (0, 1)], group=None
    )
    found = outcome(results, "last(ixt) >= 1.5")
    assert found.worst.where == "a, fc1, binning"
    assert status(results, "runs() == 1") == "pass"


def test_message_says_the_verdict_in_the_words_of_the_rule():
    rule = Check("falls", parse_rule("verdict(ixt) == rises"))
    [outcome] = run_checks(compressing(), [rule]).outcomes
    assert " is not rises (" in outcome.observations[0].message


def test_without_an_estimator_those_that_say_nothing_are_left_out():
    full = [row("s0", step, f"fc{i}", 12.0, flags=["saturated"]) for i in (1, 2) for step in (0, 1)]
    told = [
        row("s0", step, f"fc{i}", 4.0, estimator="compressed", bound_name="bracket",
            bound_low=3.9, bound_high=4.1)
        for i in (1, 2) for step in (0, 1)
    ]  # fmt: skip
    both = document([*full, *told])
    assert status(both, "last(ixt) <= 5") == "pass"
    assert status(both, "last(ixt, **, binning) <= 5") == "unknown"
    assert status(document(full), "last(ixt) <= 5") == "unknown"
    full[0]["flags"] = full[1]["flags"] = []  # a layer of it says something: it is asked as well
    assert status(document([*full, *told]), "last(ixt) <= 5") == "fail"


def test_runs_of_other_settings_are_unknown_with_the_reason():
    results = flat(3.0, 4.0, 5.0)
    for r in results["rows"]:
        r["setting"] = "c=0.3" if r["run"] == "s2" else "c=0.25"
    for rule in ("last(ixt) >= 1", "mean(ixt) >= 1", "change(ixt) <= 9", "verdict(ixt) == rises"):
        found = outcome(results, rule)
        assert found.status == "unknown"
        assert "the runs differ: c=0.25 (s0, s1), c=0.3 (s2): not averaged" in found.message
    report = run_checks(results, [Check("n", parse_rule("last(ixt) >= 1"))])
    assert not report.passes


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("dimensions", " dimensions is less than 40"),
        ("octaves", " octaves is less than 40"),
        ("bits", " bits is less than 40"),
        ("share", " (share) is less than 40"),
        ("ratio", " (ratio) is less than 40"),
        ("exponent", " (exponent) is less than 40"),
    ],
)
def test_a_message_names_the_unit_of_every_quantity(unit: str, written: str) -> None:
    results = flat(12.0, quantity="volume", unit=unit)
    results["quantities"] = {"volume": {"symbol": "V", "unit": unit}}
    found = outcome(results, "last(volume, fc1) >= 40")
    assert f"12{written}" in found.message
    assert found.worst.short.endswith(f"12{written.partition(' is')[0]}")


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        ("last(ixt, fc1) >= 9", "fc1, binning: 1 bit is less than 9"),
        ("change(ixt, fc1) >= 9", "0 bits"),
        ("runs() >= 9", "1 run is less than 9"),
        ("count(failed) >= 9", "0 cells is less than 9"),
        ("share(failed) >= 9", "0 (share) is less than 9"),
        ("agree(ixt, fc1) >= 9", "0 estimators is less than 9"),
    ],
)
def test_a_message_names_what_a_count_is_of(rule: str, written: str) -> None:
    assert written in outcome(flat(1.0), rule).message


def test_an_onset_is_a_step() -> None:
    assert " (step) " in outcome(compressing(), "onset(ixt, fc5) >= 1e6").message


@pytest.mark.parametrize(
    ("falls", "rule", "status", "written"),
    [
        ("falls", "falls", "pass", "falls"),
        ("falls", "compresses", "pass", "falls"),
        ("falls", "rises", "fail", "falls is not rises ("),
        ("shrinks", "grows", "fail", "shrinks is not grows ("),
        ("compresses", "falls", "pass", "compresses"),
    ],
)
def test_a_verdict_is_said_in_the_word_of_its_quantity(falls, rule, status, written) -> None:
    results = compressing()
    for one in results["rows"]:
        one["quantity"] = "volume"
    results["quantities"] = {"volume": {"symbol": "V", "unit": "bits", "falls": falls}}
    found = outcome(results, f"verdict(volume, fc5) == {rule}")
    assert found.status == status
    assert written in (found.worst.short if status == "pass" else found.message)
    assert falls == "compresses" or "compresses" not in found.worst.short


NARROW = {"id": "spectrum", "name": "spectrum", "version": "1", "params": {}, "quantities": []}


def test_a_quantity_without_a_row_says_for_which_layers_there_is_none() -> None:
    results = flat(1.0)
    results["estimators"].append(NARROW)
    found = outcome(results, "last(alpha_req) >= 1")
    assert found.status == "unknown"
    assert "spectrum leaves it out: layers of fewer than 31 units or samples" in found.message


@pytest.mark.parametrize("statistic", ["last", "mean", "min", "at:0"])
def test_a_row_without_a_number_gives_its_reason(statistic: str) -> None:
    results = flat(1.0)
    for one in results["rows"]:
        one.update(value=None, flags=["failed"], diag={"reason": "expected 20 ranks, got 3"})
    found = outcome(results, f"{statistic}(ixt) >= 1")
    assert found.status == "unknown"
    assert "without a number: expected 20 ranks, got 3" in found.message

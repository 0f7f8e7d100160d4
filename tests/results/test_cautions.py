"""Warnings as sentences: by consequence, with what to do in this run."""

import textwrap

from infoplane.estimators.flags import FLAGS
from infoplane.results.cautions import cautions, shortest
from infoplane.results.curves import curves
from tests.gate.made import document, row


def rows(estimator, flags, *, layers=3, value=5.0, **changed):
    return [
        row("s0", step, f"fc{i}", value, estimator=estimator, flags=list(flags), **changed)
        for i in range(1, layers + 1)
        for step in (0, 1)
    ]


def told(*parts):
    results = document([one for part in parts for one in part])
    return cautions(results, curves(results))


def test_what_a_ceiling_brings_is_said_once_with_what_to_use_instead():
    full = (
        rows("binning", ["saturated", "sparse"]),
        rows("binning", ["null_dominates", "sparse"], quantity="ity", bound_name="h_y"),
    )
    assert told(*full, rows("compressed", [])) == [
        "IP201, IP202, IP206 I(X;T) and I(T;Y) by binning are unusable in 3 of 3 layers: every "
        "sample has a state of its own; use compressed (above)"
    ]
    assert told(*full)[0].endswith("; analyze with -e compressed")


def test_another_quantity_is_no_remedy():
    found = told(rows("binning", ["saturated"]), rows("dse", [], quantity="dse"))
    assert found[0].endswith("analyze with -e compressed")


def test_a_ceiling_in_some_layers_sends_to_what_is_shown_above():
    full = [
        {**one, "flags": ["saturated", "sparse"] if one["layer"] == "fc1" else []}
        for one in rows("binning", [])
    ]
    bracket = rows("compressed", [], bound_name="bracket", bound_low=4.95, bound_high=5.05)
    assert told(full, bracket) == [
        "IP201, IP202 I(X;T) by binning: at the ceiling in 1 of 3 layers; use compressed (above)"
    ]
    # not if that is at its own in the same layer
    also = [{**one, "flags": full[i]["flags"]} for i, one in enumerate(bracket)]
    (first, *_) = told(full, also)
    assert "(above)" not in first


def test_built_in_warnings_fit_two_lines_of_80_columns():
    for flag in FLAGS.values():
        if flag.code is not None:
            (text,) = told(rows("compressed", [flag.name]), rows("binning", []))
            assert len(textwrap.wrap(text, 76)) <= 2, text


def test_what_is_shown_comes_before_what_is_not_and_missing_values_first():
    found = told(
        rows("binning", ["saturated"]),
        rows("compressed", ["out_of_range"]),
        rows("kde", ["biased"], bound_high=5.0),
        rows("dse", ["failed"], quantity="dse", value=None, diag={"reason": "out of memory"}),
    )
    assert [text.split()[0] for text in found] == ["IP204", "IP203", "IP201", "IP211"]
    assert found[0] == "IP204 DSE by dse: no number (in 3 of 3 layers); out of memory"


def test_flags_without_a_code_are_no_warnings():
    assert told(rows("compressed", ["wide_bracket", "subsampled"])) == []


def test_at_most_three_lines_and_the_third_says_how_to_see_the_rest():
    assert shortest(["a", "b", "c"], "how") == ["a", "b", "c"]
    assert shortest(["a", "b", "c", "d"], "how") == ["a", "b", "and 2 other warnings: how"]

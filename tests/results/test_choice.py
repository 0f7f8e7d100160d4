"""Which estimator is shown, and what is said of the others."""

import pytest

from infoplane.results.choice import best_estimator, silent_estimators
from infoplane.results.curves import curves
from tests.gate.made import document, row

LAYERS = ("fc1", "fc2", "fc3")


def rows(estimator, *, saturated=0, width=None, missing=0, quantity="ixt", bound="log2_n"):
    """Return two steps of three layers by an estimator."""
    found = []
    for i, layer in enumerate(LAYERS):
        for step in (0, 1):
            value = 5.0 - i
            changed = {"bound_name": bound}
            if i < saturated:
                changed["flags"] = ["saturated"]
            if width is not None:
                changed = {
                    "bound_name": "bracket",
                    "bound_low": value - width / 2,
                    "bound_high": value + width / 2,
                }
            told = None if i < missing else value
            found.append(
                row("s0", step, layer, told, estimator=estimator, quantity=quantity, **changed)
            )
    return found


def chosen(*parts, quantities=("ixt",), among=None):
    results = document([one for part in parts for one in part])
    return best_estimator(results, curves(results), "net", *quantities, among=among)


def test_the_least_saturated_is_shown():
    assert chosen(rows("binning", saturated=2), rows("kde", saturated=1)).estimator == "kde"
    assert chosen(rows("binning", saturated=1), rows("kde", saturated=2)).estimator == "binning"


def test_knowing_the_label_is_no_saturation():
    full = rows("a", saturated=3, quantity="ity", bound="h_y")
    choice = chosen(full, rows("b", saturated=1, quantity="ity"), quantities=("ity",))
    assert choice.estimator == "a"


def test_of_two_without_saturation_that_with_the_narrower_bracket():
    wide, narrow, none = rows("a", width=0.45), rows("b", width=0.3), rows("c")
    assert chosen(none, wide, narrow).estimator == "b"
    assert chosen(none, wide).estimator == "a"


def test_of_several_resolutions_the_finest_that_is_narrow():
    sweep = [
        rows(f"compressed:c={c}", width=width)
        for c, width in ((0.1, 1.0), (0.2, 0.2), (0.3, 0.1), (0.5, 0.01))
    ]
    assert chosen(*sweep).estimator == "compressed:c=0.2"


def test_that_with_values_before_that_with_bounds_alone():
    choice = chosen(rows("a", width=1.4, missing=3), rows("b", saturated=1))
    assert choice.estimator == "b"
    assert chosen(rows("a", width=1.4, missing=3)).estimator == "a"


def test_it_has_all_that_is_asked_and_is_among_those_allowed():
    parts = rows("a", width=0.1), rows("b"), rows("b", quantity="ity")
    assert chosen(*parts, quantities=("ixt", "ity")).estimator == "b"
    assert chosen(*parts, among=["b"]).estimator == "b"
    assert chosen(*parts, quantities=("dse",)) is None


def test_the_sentence_tells_of_what_is_shown_and_what_is_not():
    choice = chosen(rows("binning", saturated=3), rows("compressed", width=0.2))
    assert choice.sentence == (
        "shown: compressed (no layer saturated, brackets at most 0.20 bits wide); "
        "binning: all 3 layers at log₂ N, not drawn"
    )
    partly = chosen(rows("binning", saturated=2), rows("kde", saturated=1))
    assert partly.sentence == "shown: kde (1 of 3 layers saturated)"
    alone = chosen(rows("compressed", width=1.4, missing=1))
    assert alone.status == (
        "no layer saturated, brackets at most 1.40 bits wide, bounds alone in 2 of 6 values"
    )


def test_where_nothing_says_more_the_saturated_one_is_shown_and_nothing_folded():
    choice = chosen(rows("binning", saturated=3))
    assert (choice.estimator, choice.folded) == ("binning", {})
    assert choice.says_nothing
    assert choice.sentence == "shown: binning (all 3 layers at log₂ N)"


@pytest.mark.parametrize(
    ("bound", "words"), [("log2_bins", "log₂ of their bins"), ("other", "their ceiling")]
)
def test_the_ceiling_is_named(bound, words):
    results = document([*rows("binning", saturated=3, bound=bound), *rows("b", width=0.1)])
    told = silent_estimators(results, curves(results), "net", "ixt")
    assert told == {"binning": f"binning: all 3 layers at {words}, not drawn"}


def test_a_bracket_is_no_ceiling():
    results = document(rows("compressed", width=0.2))
    curve = curves(results)["net", "fc1", "compressed", "ixt"]
    assert (curve.bound, curve.bound_name) == (None, "none")
    assert curve.bracket_high - curve.bracket_low == pytest.approx(0.2)
    assert not curve.is_saturated


def test_values_that_get_no_verdict_are_no_choice():
    doubted = rows("a", width=0.1)
    for one in doubted:
        one["flags"] = ["finite_population"]
    assert chosen(doubted, rows("b")).estimator == "b"

import pytest

from infoplane.estimators.registry import parse_estimator
from infoplane.results.ordering import flag_below_bounds, flag_rises

ESTIMATORS = [parse_estimator(name) for name in ("binning", "compressed", "probe", "renyi")]


def row(layer, value, low=None, high=None, *, method="subsample", quantity="ixt", step=0):
    return {
        "run": "r", "step": step, "estimator": "e", "quantity": quantity, "layer_index": layer,
        "value": value, "ci_low": low, "ci_high": high, "ci_method": method, "flags": [],
    }  # fmt: skip


def flagged(*rows):
    for _ in range(2):  # a document may be made twice of the same rows
        flag_rises(rows)
    return [r["layer_index"] for r in rows if r["flags"] == ["order"]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5, 4, 3], []),
        ([3, 4, 5], [1, 2]),
        ([5, 2, 4, 1], [2]),
        ([5, 2, 2.04, 2.06], [3]),
        ([5, None, 6], [2]),
        ([5, 2, None, 3, 2.5], [3, 4]),
    ],
)
def test_a_deeper_layer_must_not_know_more_than_any_earlier_one(values, expected):
    assert flagged(*(row(index, value) for index, value in enumerate(values))) == expected


def test_a_rise_within_three_standard_errors_is_none():
    assert flagged(row(0, 3.0, 2.8, 3.2), row(1, 3.3, 3.1, 3.5)) == []
    assert flagged(row(0, 3.0, 2.8, 3.2), row(1, 3.6, 3.4, 3.8)) == [1]


def test_brackets_must_be_apart():
    assert flagged(row(0, 3.0, 2, 4, method="bracket"), row(1, 5.0, 3.9, 6, method="bracket")) == []
    assert flagged(row(0, 3.0, 2, 4, method="bracket"), row(1, 5.0, 4.1, 6, method="bracket")) == [
        1
    ]


def bracket(layer, value, low, high):
    return row(layer, value) | {"bound_name": "bracket", "bound_low": low, "bound_high": high}


def test_a_constant_layer_is_no_measure_of_those_behind_it():
    constant = row(0, 0.0) | {"bound_name": "none", "bound_low": None, "bound_high": None}
    constant["flags"] = ["constant"]
    assert flagged(constant, bracket(1, 3.0, 2.9, 3.1), bracket(2, 4.0, 3.9, 4.1)) == [2]


def test_a_value_without_bounds_is_one_that_is_known():
    known = row(0, 1.0) | {"bound_name": "none", "bound_low": None, "bound_high": None}
    assert flagged(known, bracket(1, 3.0, 2.9, 3.1)) == [1]
    assert flagged(known, bracket(1, 1.2, 1.1, 1.3)) == []


def test_only_information_at_one_step_is_compared():
    assert flagged(row(0, 1.0), row(1, 9.0, step=1)) == []
    assert flagged(row(0, 1.0), row(1, 9.0, quantity="ity")) == []
    assert flagged(row(0, 1.0, quantity="dse"), row(1, 9.0, quantity="dse")) == []
    assert flagged(row(1, 9.0, quantity="ity"), row(0, 1.0, quantity="ity")) == [1]


def below(*rows):
    for _ in range(2):
        flag_below_bounds(rows, ESTIMATORS)
    return [(r["estimator"], r["layer"]) for r in rows if r["flags"] == ["below_probe"]]


def of(estimator, value, low=None, high=None, **changed):
    made = row(0, value, low, high, quantity="ity") | {"estimator": estimator, "layer": "fc"}
    return made | changed


def test_a_lower_bound_may_rise_with_depth():
    rows = [of("probe", value) | {"layer_index": index} for index, value in enumerate((1.0, 2.0))]
    flag_rises(rows, ESTIMATORS)
    assert [r["flags"] for r in rows] == [[], []]
    flag_rises(rows)
    assert [r["flags"] for r in rows] == [[], ["order"]]


def test_an_interval_that_ends_below_a_lower_bound_is_flagged():
    probe = of("probe", 2.0, 1.9, 2.1)
    assert below(probe, of("compressed", 1.7, 1.6, 1.8)) == [("compressed", "fc")]
    assert below(probe, of("compressed", 1.7, 1.4, 1.95)) == []
    assert below(of("compressed:mode=ksg", 1.0, 0.9, 1.1), probe) == [("compressed:mode=ksg", "fc")]
    assert below(probe, of("compressed", 2.5, 2.4, 2.6)) == []


def test_without_an_interval_the_value_counts():
    probe = of("probe", 2.0, 1.9, 2.1)
    assert below(probe, of("binning", 1.8)) == [("binning", "fc")]
    assert below(probe, of("binning", 1.95)) == []
    assert below(of("probe", 2.0), of("binning", 1.0)) == []


def test_rounding_is_not_below_a_bound():
    assert below(of("probe", 0.0, 0.0, 0.0), of("binning", -1.4e-14)) == []
    assert below(of("probe", 0.0, 0.0, 0.0), of("binning", -1e-8)) == [("binning", "fc")]


def test_the_highest_bound_counts():
    probes = of("probe", 1.0, 0.9, 1.1), of("probe:folds=10", 2.0, 1.9, 2.1)
    assert below(*probes, of("binning", 1.5)) == [("binning", "fc")]


def test_only_the_same_information_of_the_same_cell_is_compared():
    probe = of("probe", 2.0, 1.9, 2.1)
    for other in (
        of("binning", 1.0, run="s"),
        of("binning", 1.0, step=5),
        of("binning", 1.0, layer="fc2"),
        of("binning", 1.0, quantity="ixt"),
        of("binning", None),
        of("renyi", 1.0),  # another information than Shannon's
        of("probe:folds=3", 1.0, 0.9, 1.1),
        of("binning", 1.0, subject="pair fc ~ fc2"),
    ):
        assert below(probe, other) == []
    assert below(of("probe", None), of("binning", 1.0)) == []

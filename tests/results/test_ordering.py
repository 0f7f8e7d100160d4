import pytest

from infoplane.results.ordering import flag_rises


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


def test_only_information_at_one_step_is_compared():
    assert flagged(row(0, 1.0), row(1, 9.0, step=1)) == []
    assert flagged(row(0, 1.0), row(1, 9.0, quantity="ity")) == []
    assert flagged(row(0, 1.0, quantity="dse"), row(1, 9.0, quantity="dse")) == []
    assert flagged(row(1, 9.0, quantity="ity"), row(0, 1.0, quantity="ity")) == [1]

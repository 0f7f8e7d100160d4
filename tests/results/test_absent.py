"""Why results have no number of a quantity."""

import pytest

from infoplane.errors import NotFoundError
from infoplane.plots.view import View
from infoplane.results.absent import why_absent
from tests.gate.made import document, row


def results(*estimators, **of_rows):
    found = document([row("s0", step, "fc1", 1.0) | of_rows for step in (0, 1)])
    found["estimators"] += [{"id": one, "name": one, "quantities": []} for one in estimators]
    return found


@pytest.mark.parametrize(
    ("quantity", "estimator", "told"),
    [
        ("alpha_req", "spectrum", "fewer than 31 units or samples"),
        ("alpha_req", "spectrum:first_rank=5", "fewer than 24 units or samples"),
        ("vne", "spectrum:directions=False", "directions is false"),
        ("rdm_stability", "collapse", "fewer than 4 units"),
        ("rdm_stability", "collapse:splits=0", "splits is 0"),
        ("rankme", "spectrum", ""),
        ("alpha_req", "of-a-plug-in-that-is-gone", ""),
    ],
)
def test_an_estimator_says_what_it_leaves_out(quantity, estimator, told):
    found = why_absent(results(estimator), quantity)
    assert told in found
    assert bool(found) == bool(told)


def test_the_reason_of_rows_comes_first():
    rows = {"quantity": "alpha_req", "estimator": "spectrum", "value": None, "flags": ["failed"],
            "diag": {"reason": "expected 20 ranks, got 3"}}  # fmt: skip
    assert why_absent(results(**rows), "alpha_req") == "expected 20 ranks, got 3"


def test_a_figure_says_it_as_well():
    with pytest.raises(NotFoundError, match="no α: spectrum leaves it out: layers of fewer than"):
        View.of(results("spectrum")).estimator(None, "alpha_req", group="net")

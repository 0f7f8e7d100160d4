"""Results against a baseline."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from scipy import stats

from infoplane.errors import DataError, NotFoundError
from infoplane.plots.compare import differences
from infoplane.plots.drawing import drawing
from infoplane.plots.figures import draw
from infoplane.plots.view import View


def moved(results: Any, by: float, layer: str) -> dict[str, Any]:
    """Return the results with I(X;T) of a layer moved by some bits."""
    document = copy.deepcopy(dict(results))
    for row in document["rows"]:
        if row["layer"] == layer and row["quantity"] == "ixt" and row["value"] is not None:
            row["value"] += by
    return document


def test_differences_are_those_of_the_last_values_with_the_interval_of_welch(five: View) -> None:
    other = View.of(moved(five.results, -0.8, "fc4"))
    by: dict[str, Any] = {"estimator": "binning"}
    with drawing(five, "ixt", "ity", **by) as on, drawing(other, "ixt", "ity", **by) as base:
        differing = differences(on, base, ["fc1", "fc3", "fc4"])
    found = {(d.layer, d.quantity): d for d in differing}
    d = found["fc4", "ixt"]
    assert d.difference == pytest.approx(0.8)
    after = five.curves["tanh", "fc4", "binning", "ixt"].values[:, -1]
    interval = stats.ttest_ind(after, after - 0.8, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([d.low, d.high], interval)
    assert d.result == "different"
    assert found["fc3", "ixt"].difference == 0
    assert found["fc1", "ixt"].result == "saturated"


def test_what_was_measured_in_another_way_is_not_compared(five: View) -> None:
    with pytest.raises(NotFoundError, match="second results document") as caught:
        draw(five, "compare")
    assert "--baseline" in str(caught.value.hint)
    entry, *rest = five.results["estimators"]
    other = {**entry, "params": {**entry["params"], "bins": 60}}
    with pytest.raises(DataError, match="bins 60 in the baseline, 30 in the candidate"):
        changed = {**five.results, "estimators": [other, *rest]}
        draw(five, "compare", baseline=changed, estimator="binning")
    fewer = [{**r, "n": 100} for r in five.results["recordings"]]
    with pytest.raises(DataError, match="samples of tanh 100 in the baseline, 4096"):
        draw(five, "compare", baseline={**five.results, "recordings": fewer})


def test_the_figure_names_layers_and_verdicts(five: View) -> None:
    figure = draw(five, "compare", baseline=moved(five.results, -0.8, "fc4"), estimator="binning")
    plane, forest = figure.axes
    assert [t.get_text() for t in forest.get_yticklabels()] == ["fc1", "fc2", "fc3", "fc4", "fc5"]
    verdicts = [text.get_text() for text in forest.texts]
    assert verdicts.count("different") == 1
    assert verdicts.count("saturated") >= 1
    assert plane.get_xlim()[0] < 12 < plane.get_xlim()[1]

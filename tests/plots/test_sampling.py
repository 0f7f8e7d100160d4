"""Estimates by number of samples."""

from __future__ import annotations

import numpy as np
import pytest

from infoplane.errors import NotFoundError
from infoplane.plots.sampling import sampling
from infoplane.plots.view import View


def test_a_curve_per_layer_ends_in_the_estimate_on_all_samples(five: View) -> None:
    ax = sampling(five)
    lines = {line.get_label(): line for line in ax.lines}
    curve = five.curves["tanh", "fc3", "binning", "ixt"]
    x, y = lines["_sampling fc3"].get_data()
    np.testing.assert_allclose(x, np.log2([256, 512, 1024, 2048, 4096]))
    assert np.asarray(y)[-1] == pytest.approx(curve.mean()[-1])
    assert np.asarray(y)[-2] == pytest.approx(curve.mean()[-1] - 0.1)
    assert ax.get_ylim()[1] > 12
    assert {"fc1: saturated", "fc3"} <= {text.get_text() for text in ax.texts}


def test_quantity_and_step_can_be_chosen_and_must_be_there(five: View) -> None:
    assert sampling(five, estimator="dse", quantity="dse").get_ylabel() == "DSE  [bits]"
    with pytest.raises(NotFoundError, match="this quantity and step"):
        sampling(five, step=7)
    with pytest.raises(NotFoundError, match="no layer matches 'fc9' that was sampled"):
        sampling(five, layers=["fc9"])
    with pytest.raises(NotFoundError, match="'tanh' has none") as caught:
        sampling({**five.results, "sampling": []})
    assert caught.value.hint == "analyze with --sampling"

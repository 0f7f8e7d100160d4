"""The estimator ``kde`` as an analysis calls it."""

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.estimators import parse_estimator
from infoplane.numerics.kde import kde_information


def estimate(spec, layer, labels):
    return parse_estimator(spec).estimate(labels, layer, np.random.default_rng(0))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    layer = np.tanh(rng.normal(size=(300, 3))).astype(np.float32)
    return layer, (layer[:, 0] > 0).astype(np.int64)


def test_interval_is_the_bracket_of_the_bounds(data):
    found, info = estimate("kde", *data), kde_information(*data)
    for name, bracket in (("ixt", info.ixt), ("ity", info.ity)):
        assert found[name].method == "bracket"
        assert (found[name].low, found[name].high) == (bracket.lower, bracket.upper)
        assert found[name].low <= found[name].bits <= found[name].high
    assert found["ixt"].bound_high == pytest.approx(np.log2(300))
    p = data[1].mean()
    h_y = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    assert found["ity"].bound_high == pytest.approx(h_y)


def test_parameters_reach_the_estimate(data):
    found = estimate("kde:noise=akde-std,std=0.1", *data)
    assert found["ixt"].diagnostics["variance"] == pytest.approx(
        (0.1 * float(np.abs(data[0]).max())) ** 2
    )
    wide, narrow = (estimate(f"kde:variance={v}", *data)["ixt"].bits for v in (1.0, 1e-3))
    assert wide < narrow


def test_subsample_is_recorded_and_bounds_the_information(data):
    found = estimate("kde:max-samples=200", *data)
    assert found["ixt"].n == 100
    assert "subsampled" in found["ixt"].flags
    assert found["ixt"].bound_high == pytest.approx(np.log2(100))


def test_without_labels_there_is_no_label_information(data):
    assert set(estimate("kde", data[0], None)) == {"ixt"}


@pytest.mark.parametrize(
    "spec", ["kde:variance=0", "kde:std=-1", "kde:max-samples=1", "kde:noise=adaptive"]
)
def test_unfit_parameters_are_refused(spec):
    with pytest.raises(InputError):
        parse_estimator(spec)

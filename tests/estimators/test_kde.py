"""The estimator ``kde`` as an analysis calls it."""

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.estimators.layers.kde import Prepared
from infoplane.estimators.layers.kde_information import kde_information
from infoplane.estimators.registry import parse_estimator


def estimate(spec, layer, labels):
    prepared = Prepared(labels, whole=False)
    return parse_estimator(spec).estimate(prepared, layer, np.random.default_rng(0))


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


def test_dead_layer_has_both_rows_and_no_information(data):
    found = estimate("kde", np.zeros((300, 3)), data[1])
    assert {name: row.bits for name, row in found.items()} == {"ixt": 0.0, "ity": 0.0}
    assert all(row.flags == ("constant",) for row in found.values())


def test_rounding_below_zero_is_not_called_negative(data):
    found = estimate("kde", data[0] * 1e-30, np.zeros(300, dtype=np.int64))
    assert all(abs(row.bits) < 1e-9 and "negative" not in row.flags for row in found.values())


def test_without_labels_there_is_no_label_information(data):
    assert set(estimate("kde", data[0], None)) == {"ixt"}


@pytest.mark.parametrize(
    "spec",
    ["kde:variance=0", "kde:variance=inf", "kde:std=-1", "kde:max-samples=1", "kde:noise=adaptive"],
)
def test_unfit_parameters_are_refused(spec):
    with pytest.raises(InputError):
        parse_estimator(spec)


def test_what_half_the_samples_would_give_is_told_without_drawing_them():
    rng = np.random.default_rng(3)
    layer, labels = rng.normal(size=(800, 2)), np.arange(800) % 2
    info = kde_information(layer, labels, variance=0.05)
    halves = []
    for _ in range(20):
        half = rng.permutation(800).reshape(2, 400)
        halves += [kde_information(layer[rows], labels[rows], variance=0.05) for rows in half]
    for key, drift in (("ixt", info.ixt_drift), ("ity", info.ity_drift)):
        mean = np.mean([getattr(one, key).estimate for one in halves])
        assert getattr(info, key).estimate - mean == pytest.approx(drift, abs=0.015), key
    null = np.mean(
        [
            kde_information(layer, rng.permutation(labels), variance=0.05).ity.estimate
            for _ in range(20)
        ]
    )
    assert null < info.null_ity < 1.3 * null  # the logarithm of a mean, not the mean of one

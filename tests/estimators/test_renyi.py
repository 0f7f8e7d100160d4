"""The estimator ``renyi`` as an analysis calls it."""

import numpy as np
import pytest

from infoplane.data import LayerInfo, ProbeSet
from infoplane.errors import InputError
from infoplane.estimators.layers.renyi_information import renyi_information
from infoplane.estimators.registry import parse_estimator


class Memory:
    def __init__(self, inputs, labels, layer, targets=None):
        self.probe = ProbeSet(inputs, labels, targets)
        self.steps = (0,)
        self.layers = (LayerInfo("fc", 0, "Tanh", layer.shape[1:], str(layer.dtype)),)
        self._layer = layer

    def activations(self, step, layer):
        return self._layer


def estimate(spec, run):
    estimator = parse_estimator(spec)
    shared = estimator.prepare_run(run, np.random.default_rng(0))
    prepared = estimator.prepare_layer(shared, run, run.layers[0], np.random.default_rng(1))
    return estimator.estimate(prepared, run.activations(0, "fc"), np.random.default_rng(2))


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(120, 4))
    return Memory(inputs, (inputs[:, 0] > 0).astype(np.int64), np.tanh(inputs[:, :2]))


@pytest.mark.parametrize("width", ["median", "silverman", 0.7])
def test_values_are_what_the_function_finds_beyond_its_null(run, width):
    found = estimate(f"renyi:width={width}", run)
    layer, probe = run.activations(0, "fc"), run.probe
    others = "silverman" if width == "silverman" else "median"
    for name, other in (("ixt", probe.inputs), ("ity", probe.labels)):
        info = renyi_information(layer, other, width=width, width_b=others, shuffles=0)
        told = found[name].diagnostics
        assert told["raw"] == pytest.approx(info.information, abs=1e-9)
        assert found[name].bits == pytest.approx(told["raw"] - told["null"])
        assert 0 < told["null_sd"] < told["null"] < told["raw"]


def test_subsample_keeps_the_classes(run):
    found = estimate("renyi:max-samples=60", run)
    assert found["ixt"].n == 60
    assert "subsampled" in found["ixt"].flags
    assert found["ixt"].bound_high == pytest.approx(np.log2(60))


def test_unrelated_inputs_are_flagged(run):
    rng = np.random.default_rng(3)
    unrelated = Memory(run.probe.inputs, None, rng.normal(size=(120, 4)))
    found = estimate("renyi", unrelated)
    assert set(found) == {"ixt"}
    assert "null_dominates" in found["ixt"].flags


def test_alignment_needs_labels(run):
    assert estimate("renyi:width=alignment", run)["ity"].bits > 0
    with pytest.raises(InputError, match="labels"):
        estimate("renyi:width=alignment", Memory(run.probe.inputs, None, run.activations(0, "fc")))


def test_dead_layer_holds_nothing(run):
    dead = Memory(run.probe.inputs, run.probe.labels, np.zeros((120, 2)))
    for spec in ("renyi", "renyi:width=alignment"):
        found = estimate(spec, dead)
        assert found["ixt"].bits == pytest.approx(0, abs=1e-6)
        assert "constant" in found["ixt"].flags
        assert "null_dominates" not in found["ixt"].flags  # both are rounding


def test_real_targets_are_measured_as_numbers(run):
    inputs = run.probe.inputs
    found = estimate("renyi", Memory(inputs, None, np.tanh(inputs[:, :2]), targets=inputs[:, 0]))
    assert found["ity"].bits > 5 * found["ity"].diagnostics["null_sd"]
    assert found["ity"].bound_name == "log2_n"


@pytest.mark.parametrize(
    "spec",
    [
        "renyi:alpha=0",
        "renyi:alpha=inf",
        "renyi:width=inf",
        "renyi:width=scott",
        "renyi:max-samples=5000",
        "renyi:shuffles=-1",
        "renyi:shuffles=1",
    ],
)
def test_unfit_parameters_are_refused(spec):
    with pytest.raises(InputError):
        parse_estimator(spec)

"""The estimators ``binning`` and ``exact`` as an analysis calls them."""

import itertools
import pickle

import numpy as np
import pytest

from infoplane.data import LayerInfo, ProbeSet
from infoplane.errors import InputError
from infoplane.estimators.layers.binned_information import binned_information
from infoplane.estimators.registry import estimator_id, parse_estimator
from infoplane.sample_runs.twelve_bit.task import toy12


class Memory:
    """A run in memory: activations by layer, (n_steps, n_samples, n_units) each."""

    def __init__(self, inputs, labels, **layers):
        self.probe = ProbeSet(inputs, labels)
        self.steps = tuple(range(len(next(iter(layers.values())))))
        self.layers = [
            LayerInfo(name, i, name.rstrip("0123456789"), values.shape[2:], str(values.dtype))
            for i, (name, values) in enumerate(layers.items())
        ]
        self._values = layers

    def activations(self, step, layer):
        return self._values[layer][step]


def estimate(spec, run, layer=0, step=0):
    estimator = parse_estimator(spec)
    shared = estimator.prepare_run(run, np.random.default_rng(0))
    prepared = estimator.prepare_layer(shared, run, run.layers[layer], np.random.default_rng(1))
    prepared = pickle.loads(pickle.dumps(prepared))
    activations = run.activations(step, run.layers[layer].name)
    return estimator.estimate(prepared, activations, np.random.default_rng(2))


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(900, 6))
    tanh = np.tanh(inputs[None, :, :2] * np.array([0.5, 2.0])[:, None, None])
    relu = np.maximum(3 * inputs[None, :, :3], 0) * np.array([1.0, 2.0])[:, None, None]
    labels = (inputs[:, 0] > 0).astype(np.int64)
    return Memory(inputs, labels, Tanh1=tanh.astype(np.float32), ReLU2=relu.astype(np.float32))


def test_numbers_are_those_of_the_function(run):
    found = estimate("binning", run)
    info = binned_information(run.activations(0, "Tanh1"), run.probe.labels)
    assert found["ixt"].bits == info.ixt
    assert found["ht"].bits == info.ht
    assert found["ity"].bits == info.ity
    assert found["ixt"].bound_high == pytest.approx(np.log2(900))
    assert found["ity"].bound_high == pytest.approx(info.h_y)
    assert (found["ixt"].bound_name, found["ity"].bound_name) == ("log2_n", "h_y")
    assert found["ity"].diagnostics["null"] >= 0
    assert found["ixt"].diagnostics["edges"]["n"] == 31


def test_bound_is_that_of_the_bins_where_it_is_lower_than_that_of_the_inputs(run):
    one = run.activations(0, "Tanh1")[None, :, :1]
    unit = Memory(run.probe.inputs, run.probe.labels, Tanh1=one)
    found = estimate("binning:bins=8", unit)
    for name in ("ixt", "ht"):
        assert found[name].bound_high == pytest.approx(3.0, abs=0.01)  # and the maximum
        assert found[name].bound_name == "log2_bins"
        assert "saturated" in found[name].flags
    assert (found["ity"].bound_name, "saturated" in found["ity"].flags) == ("h_y", False)
    assert estimate("exact", unit)["ixt"].bound_name == "log2_n"


def test_adaptive_is_another_name_of_ebab(run):
    one, two = estimate("binning:mode=adaptive", run), estimate("binning:mode=ebab", run)
    assert one["ixt"].bits == two["ixt"].bits


def test_sweep_names_each_number_of_bins(run):
    found = estimate("binning:bins=15+30", run)
    assert set(found) == {
        f"{q}@bins={b}" for q, b in itertools.product(("ixt", "ity", "ht"), (15, 30))
    }
    assert found["ixt@bins=30"].bits == estimate("binning", run)["ixt"].bits


def test_fixed_takes_the_range_of_the_activation_function(run):
    found = estimate("binning:mode=fixed", run)
    assert found["ixt"].diagnostics["edges"] == {"n": 30, "low": -1.0, "high": 1.0}
    assert found["ixt"].diagnostics["out_of_range"] == 0


def test_fixed_asks_for_a_range_where_there_is_none(run):
    with pytest.raises(InputError, match="ReLU2"):
        estimate("binning:mode=fixed", run, layer=1)
    found = estimate("binning:mode=fixed,low=-1,high=1", run, layer=1)
    assert "out_of_range" in found["ixt"].flags  # values above 1, as with the unchanged tanh bins


def test_global_takes_the_range_of_all_layers_and_checkpoints(run):
    values = [run.activations(s, layer.name) for s in run.steps for layer in run.layers]
    edges = estimate("binning:mode=global", run)["ixt"].diagnostics["edges"]
    assert edges["low"] == min(float(v.min()) for v in values)
    assert edges["high"] == max(float(v.max()) for v in values)
    assert estimate("binning:mode=global", run, 1, 1)["ixt"].diagnostics["out_of_range"] == 0


def test_whole_population_has_no_sampling_error():
    inputs, labels = toy12()
    layer = np.tanh(inputs[None, :, :2] + inputs[None, :, 2:4])
    found = estimate("binning", Memory(inputs, labels, Tanh1=layer))
    assert found["ixt"].low == found["ixt"].bits == found["ixt"].high
    assert found["ixt"].diagnostics["whole_population"]
    half = estimate("binning", Memory(inputs[::2], labels[::2], Tanh1=layer[:, ::2]))
    assert half["ixt"].diagnostics["whole_population"]  # half of the cube is a smaller cube
    third = estimate("binning", Memory(inputs[::3], labels[::3], Tanh1=layer[:, ::3]))
    assert not third["ixt"].diagnostics["whole_population"]
    assert third["ixt"].method == "jackknife"
    assert third["ixt"].low < third["ixt"].bits < third["ixt"].high


def test_sparse_states_have_no_interval(run):
    found = estimate("exact", run)
    assert found["ixt"].bits == pytest.approx(np.log2(900))
    assert found["ixt"].low is None
    assert {"saturated", "sparse"} <= set(found["ixt"].flags)
    assert "null_dominates" in found["ity"].flags


def test_repeated_inputs_use_the_joint_form():
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.normal(size=(50, 3)), 8, axis=0)
    dropped = np.round(inputs[:, :2]) * rng.integers(0, 2, (400, 2))
    found = estimate("exact", Memory(inputs, None, Dropout1=dropped[None]))
    expected = binned_information(dropped, None, inputs, mode="exact")
    assert found["ixt"].bits == expected.ixt < found["ht"].bits
    assert found["ixt"].bound_high == pytest.approx(np.log2(50))
    assert "ity" not in found


def test_dead_layer_is_flagged_and_zero(run):
    dead = Memory(run.probe.inputs, run.probe.labels, ReLU1=np.zeros((1, 900, 3), np.float32))
    found = estimate("binning", dead)
    assert found["ixt"].bits == 0.0
    assert "constant" in found["ixt"].flags


@pytest.mark.parametrize(
    "spec",
    [
        "binning:bins=1",
        "binning:bins=30+30",
        "binning:width=0",
        "binning:width=inf",
        "binning:low=nan",
        "binning:mode=fixed,low=-inf,high=1",
        "binning:mode=fixed,low=1,high=-1",
        "binning:mode=unknown",
        "binning:permutations=-1",
        "binning:mode=global,low=0",
        "exact:permutations=-1",
    ],
)
def test_unfit_parameters_are_refused(spec):
    with pytest.raises(InputError):
        parse_estimator(spec)


def test_name_of_a_sweep():
    assert estimator_id(parse_estimator("binning:bins=15+30")) == "binning:bins=15+30"

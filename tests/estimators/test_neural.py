"""The neural estimators of layers and of pairs: what they measure, and what they say of it."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from infoplane.analysis import worker
from infoplane.analysis.selection import Part
from infoplane.analysis.worker import FinitePart
from infoplane.data import ProbeSet, Slot
from infoplane.errors import InputError
from infoplane.estimators import neural_cells
from infoplane.estimators.neural_information import NeuralInformation
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.run import Run
from infoplane.validation.truths import channel_information, gaussian_information
from tests.cli.analyses import write_run
from tests.estimators.test_every_estimator import Memory

N = 1000
QUICK = "neural:critic=gauss,protocol=false"
PAIRS = QUICK.replace("neural", "neural_pairs")


def slot(name="fc", units=3, **about):
    return Slot(name, about.pop("index", 0), "Linear", (units,), "float64", **about)


def run_of(layer, *, labels=None, inputs=None, targets=None, slots=None):
    """A run in memory with one layer, or one array for several of them."""
    run = Memory(layer, labels, inputs)
    run.probe = ProbeSet(run.probe.inputs, labels, targets)
    run.layers = slots or (slot(units=layer.shape[1]),)
    return run


def cell(spec, run, layer=None):
    """The estimates of one layer of a run."""
    estimator, rng = parse_estimator(spec), np.random.default_rng(0)
    shared = estimator.prepare_run(run, rng)
    layer = layer or run.layers[0]
    prepared = estimator.prepare_layer(shared, run, layer, rng)
    return estimator.estimate(prepared, run.activations(0, layer.name), rng)


def pair(spec, run, x, y, layers):
    estimator, rng = parse_estimator(spec), np.random.default_rng(0)
    prepared = estimator.prepare_pair(estimator.prepare_run(run, rng), layers)
    return estimator.estimate(prepared, (x, y), rng)["itt"]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def asked(monkeypatch):
    """What is asked of a critic, in place of asking it."""
    calls = []

    def known(x, y, **options):
        calls.append(SimpleNamespace(x=x, y=y, **options))
        return NeuralInformation(1.5, 1.0, 0.9, 1.9, "reliable", (), {"test": 1.2}, len(x))

    monkeypatch.setattr(neural_cells, "neural_information", known)
    return calls


def test_a_deterministic_layer_is_measured_with_noise_of_its_median_distance(rng):
    spread = np.array([2.0, 1.0, 0.5])
    layer = rng.normal(size=(N, 3)) * spread
    ixt = cell(QUICK, run_of(layer))["ixt"]
    truth = channel_information(np.diag(spread**2), ixt.diagnostics["noise"])
    assert ixt.bits == pytest.approx(truth, rel=0.05)
    assert ixt.low < truth < ixt.high
    assert ixt.diagnostics["c"] == 0.3
    assert ixt.setting == "c=0.3"
    assert ixt.diagnostics["view"] == "layer"


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_its_scale_changes_nothing(rng, factor):
    layer = rng.normal(size=(N, 3))
    one, other = (cell(QUICK, run_of(scale * layer))["ixt"] for scale in (1.0, factor))
    assert one.bits == pytest.approx(other.bits, abs=1e-6)
    assert other.diagnostics["noise"] == pytest.approx(factor * one.diagnostics["noise"])


def test_noise_is_that_of_compressed(rng):
    layer = rng.normal(size=(2000, 5)) * np.arange(1, 6)
    run = run_of(layer)
    for option in ("", ":c=0.5", ":noise=3"):
        mine = cell(QUICK + option.replace(":", ","), run)["ixt"]
        compressed = cell(f"compressed{option}", run)["ixt"]
        assert mine.diagnostics["noise"] == pytest.approx(compressed.diagnostics["noise"])
        assert mine.setting == compressed.setting
        assert mine.low < compressed.bound_high
        assert compressed.bound_low < mine.high


def test_a_wide_layer_keeps_its_information_in_fewer_columns(rng):
    hidden = rng.normal(size=(N, 4))
    layer = hidden @ np.linalg.qr(rng.normal(size=(600, 4)))[0].T
    ixt = cell(f"{QUICK},noise=0.5", run_of(layer.astype(np.float32)))["ixt"]
    assert ixt.bits == pytest.approx(4 * 0.5 * math.log2(1 + 1 / 0.25), rel=0.06)
    assert ixt.diagnostics["loss_bound_t"] < 0.05
    assert "large_compression_loss" not in ixt.flags


@pytest.mark.parametrize(
    ("about", "option", "view", "source"),
    [
        ({}, "", "layer", "added"),
        ({"random": True}, "", "inputs", "added"),
        ({"noise": 0.5, "noise_in": "values"}, "", "inputs", "recorded"),
        ({"noise": 0.5, "noise_in": "all"}, ",noise=2", "inputs", "recorded"),
        ({"noise": 0.5}, "", "inputs", "recorded"),
        ({"noise": 0.5, "noise_in": "none"}, "", "layer", "network"),
        ({"noise": 0.5, "noise_in": "none", "random": True}, "", "inputs", "network"),
        ({}, ",noise=0", "inputs", "none"),
        ({}, ",view=inputs", "inputs", "added"),
        ({"random": True}, ",view=layer", "layer", "added"),
    ],
)
def test_what_stands_for_the_input_and_whose_noise_it_is(rng, asked, about, option, view, source):
    x = rng.normal(size=(N, 2))
    layer = x @ rng.normal(size=(2, 3)) + 0.5 * rng.normal(size=(N, 3))
    run = run_of(layer, inputs=x, slots=(slot(**about),))
    found = cell(QUICK + option, run)["ixt"].diagnostics
    assert (found["view"], found["noise_source"]) == (view, source)
    (call,) = asked
    if view == "inputs":
        np.testing.assert_array_equal(call.x, x)
    if source in ("recorded", "none"):
        np.testing.assert_array_equal(call.y, layer)
        assert found["noise"] == 0.0
    if source == "network":
        assert found["noise"] == pytest.approx(0.5)


def test_noise_of_the_network_gives_its_own_information(rng):
    x, weights = rng.normal(size=(2000, 2)), rng.normal(size=(2, 3))
    truth = channel_information(weights @ weights.T, 0.5)
    noisy = x @ weights + 0.5 * rng.normal(size=(2000, 3))
    inside = run_of(noisy, inputs=x, slots=(slot(noise=0.5, noise_in="values"),))
    off = run_of(x @ weights, inputs=x, slots=(slot(noise=0.5, noise_in="none"),))
    for run in (inside, off):
        assert cell(QUICK, run)["ixt"].bits == pytest.approx(truth, rel=0.05)


def test_noise_zero_is_flagged_where_the_layer_is_a_function_of_the_input(rng):
    x = rng.normal(size=(N, 2))
    noisy = x + rng.normal(size=(N, 2))
    for about, option, flagged in [
        ({}, ",noise=0", True),
        ({}, ",noise=0,view=layer", True),
        ({}, ",noise=0,view=inputs", False),
        ({"random": True}, ",noise=0", False),
        ({"noise": 1.0}, ",noise=0", False),
        ({}, "", False),
    ]:
        run = run_of(noisy, inputs=x, slots=(slot(units=2, **about),))
        flags = cell(QUICK + option, run)["ixt"].flags
        assert ("deterministic" in flags) == flagged, (about, option)


def test_wide_inputs_are_read_as_components_which_is_told(rng):
    inputs = rng.normal(size=(N, 12, 12))
    layer = inputs[:, 0, :2] + 0.3 * rng.normal(size=(N, 2))
    run = run_of(layer, inputs=inputs, slots=(slot(units=2, noise=0.3),))
    found = cell(QUICK, run)["ixt"]
    told = found.diagnostics["inputs"]
    assert told["components"] == 64
    assert 0.3 < told["lost_variance"] < 0.7
    assert "large_compression_loss" in found.flags
    assert found.diagnostics["verdict"] == "lower bound only"
    flat = inputs[:, 0] @ rng.normal(size=(12, 144))  # of 12 dimensions
    found = cell(QUICK, run_of(layer, inputs=flat, slots=(slot(units=2, noise=0.3),)))["ixt"]
    assert found.diagnostics["inputs"]["lost_variance"] < 1e-9
    assert "large_compression_loss" not in found.flags


def test_labels_are_read_from_the_layer_without_noise(rng, asked):
    layer, labels = rng.normal(size=(N, 3)), rng.integers(0, 4, N)
    ity = cell(QUICK, run_of(layer, labels=labels))["ity"]
    call = asked[0]
    np.testing.assert_array_equal(call.x, layer)
    np.testing.assert_array_equal(call.y, labels)
    assert ity.bound_name == "h_y"
    assert ity.bound_high == pytest.approx(2.0, abs=0.01)
    assert ity.diagnostics["noise"] == 0.0
    assert ity.setting is None


def test_real_targets_of_one_and_of_several_columns(rng):
    x = rng.normal(size=(2000, 3))
    layer = x @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    one = x[:, 0] + rng.normal(size=2000)
    two = x[:, :2] + rng.normal(size=(2000, 2))
    for targets, truth in ((one, 0.5), (two, 1.0), (one.astype(np.float32), 0.5)):
        found = cell(QUICK, run_of(layer, targets=targets))["ity"]
        assert found.bits == pytest.approx(truth, rel=0.12)
        assert found.low < truth < found.high
        assert found.bound_name == "none"


def test_targets_of_whole_numbers_are_no_classes(rng, asked):
    counts = rng.poisson(4.0, N)
    cell(QUICK, run_of(rng.normal(size=(N, 2)), targets=counts))
    assert asked[0].y.shape == (N, 1)
    assert asked[0].y.dtype == np.float64


def test_without_labels_and_targets_there_is_i_x_t_alone(rng):
    assert set(cell(QUICK, run_of(rng.normal(size=(300, 2))))) == {"ixt"}


def test_more_samples_than_asked_for_are_the_same_ones_for_both(rng, asked):
    layer, labels = rng.normal(size=(N, 2)), rng.integers(0, 2, N)
    found = cell(f"{QUICK},max_samples=300", run_of(layer, labels=labels))
    assert [len(call.x) for call in asked] == [300, 300]
    for one in found.values():
        assert one.n == 300
        assert "subsampled" in one.flags


def test_verdict_and_lower_bound_stand_beside_each_value(asked, rng):
    for one in cell(QUICK, run_of(rng.normal(size=(N, 2)), labels=rng.integers(0, 2, N))).values():
        assert (one.bits, one.low, one.high, one.method) == (1.5, 0.9, 1.9, "jackknife")
        assert one.diagnostics["verdict"] == "reliable"
        assert one.diagnostics["lower"] == 1.0
        assert one.diagnostics["test"] == 1.2


def test_the_seconds_of_a_cell_are_shared_by_its_estimates(rng, asked):
    run = run_of(rng.normal(size=(N, 2)), labels=rng.integers(0, 2, N))
    cell(f"{QUICK},seconds=8", run)
    first, second = (call.seconds for call in asked)
    assert 3.5 < first <= 4.0
    assert 7.0 < second <= 8.0  # what the first one left
    cell(QUICK, run)
    assert asked[-1].seconds is None
    estimator = parse_estimator(f"{QUICK},seconds=8")
    assert estimator.cost(5000, 1000).limit > 8
    assert estimator.cost(5000, 1000).seconds <= 8
    assert parse_estimator("neural").cost(5000, 1000).limit is None


def test_constant_and_rounded_layers(rng):
    labels = rng.integers(0, 2, N)
    for one in cell(QUICK, run_of(np.full((N, 3), 2.0), labels=labels)).values():
        assert one.bits == 0.0
        assert "constant" in one.flags
    rounded = 1.0 + 1e-16 * rng.integers(0, 4, (N, 3)).astype(float)
    rounded[0] = 1.0 + 4e-16
    ixt = cell(QUICK, run_of(rounded))["ixt"]
    assert ixt.bits is None
    assert ixt.flags == ("below_resolution",)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("critic=nce", "expected a critic of infonce, gauss, smile, mine, got 'nce'"),
        ("noise=-1", "expected noise of at least 0, got -1"),
        ("c=0", "expected c above 0, got 0"),
        ("c=0.2,noise=0.1", "expected noise or c, got both"),
        ("seconds=0", "expected seconds above 0, got 0"),
        ("max_samples=100", "expected max_samples of at least 200, got 100"),
        ("view=targets", "expected a view of auto, layer, inputs, got 'targets'"),
        ("protocol=maybe", "expected true or false, got 'maybe'"),
        ("gamma=3", "it has no parameter 'gamma'"),
    ],
)
def test_unfit_parameters(option, said):
    with pytest.raises(InputError, match=said):
        parse_estimator(f"neural:{option}")


def test_two_layers_share_what_both_readers_see(rng):
    x = rng.normal(size=(2000, 2))
    first, second = x * np.array([1.0, 2.0]), x @ np.array([[1.0], [1.0]])
    layers = slot("a", 2), slot("b", 1, index=1)
    found = pair(f"{PAIRS},noise=0.8", run_of(first), first, second, layers)
    recorded = np.cov(np.hstack([first, second]), rowvar=False)
    truth = gaussian_information(recorded + 0.64 * np.eye(3), 2)
    assert found.bits == pytest.approx(truth, rel=0.06)
    assert found.low < truth < found.high
    assert found.setting == "σ=0.8"


def test_a_pair_keeps_the_noise_that_its_layers_have(rng, asked):
    x = rng.normal(size=(N, 2))
    y = x + rng.normal(size=(N, 2))
    own = slot("b", 2, index=1, noise=1.0, noise_in="values")
    plain = slot("a", 2)
    run = run_of(x)
    found = pair(PAIRS, run, x, y, (plain, own))
    np.testing.assert_array_equal(asked[-1].y, y)
    assert not np.array_equal(asked[-1].x, x)
    assert found.diagnostics["second"]["noise_source"] == "recorded"
    assert "deterministic" not in pair(f"{PAIRS},noise=0", run, x, y, (plain, own)).flags
    later = replace(plain, name="c", index=2)
    assert "deterministic" in pair(f"{PAIRS},noise=0", run, x, y, (own, later)).flags


def test_what_was_left_out_for_want_of_time_is_computed_again(tmp_path, monkeypatch):
    def late(x, y, **options):
        return NeuralInformation(1.0, 0.9, 0.8, 1.1, "reliable", ("timeout",), {}, len(x))

    write_run(tmp_path / "run", n=300, steps=(0,), layers=("fc",))
    run, estimator = Run(tmp_path / "run"), parse_estimator(f"{QUICK},seconds=5")

    def measured():
        shared = worker.prepare_run(FinitePart.of_run(run), estimator, 0)
        part = FinitePart.of_layer(run, run.layers[0])
        prepared = worker.prepare_layer(part, estimator, 0, run.layers[0], shared)
        return worker.measure(run, estimator, 0, Part(None, (run.layers[0],)), prepared, [0])[0]

    assert measured().repeatable
    monkeypatch.setattr(neural_cells, "neural_information", late)
    assert not measured().repeatable


def test_a_random_layer_is_not_called_an_upper_bound():
    """Beside the recorded inputs, what is random from pass to pass is no information."""
    found = {spec: parse_estimator(spec).counts_noise for spec in ("neural", "binning", "noisy")}
    assert found == {"neural": False, "binning": True, "noisy": False}

"""The compressed estimator over a run."""

import json
import math
import pickle

import numpy as np
import pytest
import torch

from infoplane import Recorder, analyze
from infoplane.data import LayerInfo, ProbeSet
from infoplane.errors import InputError
from infoplane.estimators.layers.compressed.estimator import Compressed
from infoplane.estimators.registry import estimator_id, parse_estimator

N = 800


class Memory:
    """A run in memory that counts what is read."""

    device = None

    def __init__(self, activations, labels=None, inputs=None, noise=None):
        names = list(dict.fromkeys(name for _, name in activations))
        self.steps = tuple(dict.fromkeys(step for step, _ in activations))
        self.probe = ProbeSet(
            np.random.default_rng(5).normal(size=(N, 3)) if inputs is None else inputs, labels
        )
        self.layers = tuple(
            LayerInfo(
                name,
                i,
                "Tanh",
                activations[self.steps[0], name].shape[1:],
                "float32",
                noise=(noise or {}).get(name),
            )
            for i, name in enumerate(names)
        )
        self._activations = activations

    def activations(self, step, layer):
        return self._activations[step, layer]


def network(seed=0, gains=(0.5, 2.0), widths=(12, 6, 3)):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(N, 3))
    labels = (inputs[:, 0] > 0).astype(np.int64)
    weights = []
    width = 3
    for w in widths:
        weights.append(rng.normal(size=(width, w)) / math.sqrt(width))
        width = w
    activations = {}
    for step, gain in enumerate(gains):
        values = inputs
        for i, weight in enumerate(weights):
            values = np.tanh(gain * values @ weight)
            activations[step, f"fc{i}"] = values.astype(np.float32)
    return activations, labels, inputs


def cells(estimator, run, seed=0):
    rng = lambda: np.random.default_rng(seed)  # noqa: E731
    shared = estimator.prepare_run(run, rng())
    found = {}
    for layer in run.layers:
        prepared = estimator.prepare_layer(shared, run, layer, rng())
        prepared = pickle.loads(pickle.dumps(prepared))
        for step in run.steps:
            activations = run.activations(step, layer.name)
            found[step, layer.name] = estimator.estimate(prepared, activations, rng())
    return found


@pytest.fixture(scope="module")
def run():
    return Memory(*network())


@pytest.fixture(scope="module")
def found(run):
    return cells(Compressed(mode="neighbors"), run)


def test_every_cell_of_neighbors_has_three_quantities_with_intervals(found):
    for cell in found.values():
        assert set(cell) == {"ixt", "ity", "ixt_given_y"}
        for estimate in cell.values():
            assert type(estimate.bits) is float
            assert estimate.low < estimate.bits < estimate.high
            json.dumps(dict(estimate.diagnostics), allow_nan=False)
        assert cell["ixt"].bound_name == "capacity"
        assert cell["ity"].bound_name == "h_y"


def test_one_noise_for_all_layers_and_checkpoints(run, found):
    last = [run.activations(1, layer.name).astype(float) for layer in run.layers]
    expected = 0.1 * np.median([math.sqrt((a**2).mean()) for a in last])
    for cell in found.values():
        assert cell["ixt"].diagnostics["noise"] == pytest.approx(expected)


def test_one_basis_and_dimension_for_all_checkpoints_of_a_layer(run, found):
    for layer in run.layers:
        same = [found[step, layer.name]["ixt"].diagnostics for step in run.steps]
        assert same[0]["basis"] == same[1]["basis"]
        assert same[0]["dim"] == same[1]["dim"]
    assert found[0, "fc0"]["ixt"].diagnostics["basis"] != same[0]["basis"]


def test_basis_of_each_checkpoint_on_request(run):
    own = cells(Compressed(basis="checkpoint", dim=2), run)
    pooled = cells(Compressed(dim=2), run)
    explained = "explained_variance"
    for key, cell in own.items():
        other = pooled[key]["ixt"].diagnostics[explained]
        assert cell["ixt"].diagnostics[explained] >= other - 1e-9


def test_labels_are_found(found):
    # The label is the sign of one input; with noise of a tenth of the signal most of it stays.
    assert 0.5 < found[1, "fc0"]["ity"].bits < 1.05


def test_declared_noise_wins_and_marks_later_layers():
    activations, labels, inputs = network(gains=(1.0,), widths=(4, 3))
    rng = np.random.default_rng(1)
    noisy = {
        k: (a + 0.3 * rng.normal(size=a.shape)).astype(np.float32) for k, a in activations.items()
    }
    declared = cells(Compressed(), Memory(noisy, labels, inputs, {"fc0": 0.3}))
    first, second = declared[0, "fc0"]["ixt"], declared[0, "fc1"]["ixt"]
    assert first.diagnostics["noise"] == 0.3
    assert first.diagnostics["noise_source"] == "recorded"
    assert "upper_bound" not in first.flags
    assert second.diagnostics["noise_source"] == "added"
    assert "upper_bound" in second.flags
    assert {"upper_bound"} <= set(declared[0, "fc1"]["ixt_given_y"].flags)
    clean = cells(
        Compressed(noise=0.3, dim=first.diagnostics["dim"]), Memory(activations, labels, inputs)
    )
    assert first.bits == pytest.approx(clean[0, "fc0"]["ixt"].bits, abs=0.25)


def test_sweep_returns_one_entry_per_noise(run):
    swept = cells(Compressed(noise=0.2, mode="neighbors", dim=3, noise_scale=(0.5, 1.0, 2.0)), run)[
        1, "fc0"
    ]
    keys = [f"ixt@noise_scale={s}" for s in ("0.5", "1", "2")]
    assert set(keys) < set(swept)
    assert len(swept) == 9
    values = [swept[key].bits for key in keys]
    assert values == sorted(values, reverse=True)
    assert [swept[key].diagnostics["noise"] for key in keys] == pytest.approx([0.1, 0.2, 0.4])


def test_relative_noise_hides_the_scale():
    activations, labels, inputs = network(gains=(1.0,), widths=(4,))
    scaled = {**activations, (1, "fc0"): activations[0, "fc0"] * np.float32(8)}
    both = cells(Compressed(noise="relative", dim=2), Memory(scaled, labels, inputs))
    assert both[1, "fc0"]["ixt"].bits == pytest.approx(both[0, "fc0"]["ixt"].bits, abs=1e-3)
    fixed = cells(Compressed(dim=2), Memory(scaled, labels, inputs))
    assert fixed[1, "fc0"]["ixt"].bits > fixed[0, "fc0"]["ixt"].bits + 1.0


def test_all_inputs_recorded_hold_at_most_their_logarithm(run):
    sampled = cells(Compressed(noise=1e-3, dim=3), run)[1, "fc0"]["ixt"]
    recorded = cells(Compressed(noise=1e-3, dim=3, population="recorded"), run)[1, "fc0"]
    assert sampled.bits > math.log2(N) + 1
    # Inputs a distance of many noises apart: all of log2 n is kept, and no more.
    assert math.log2(N) - 0.3 < recorded["ixt"].bits <= math.log2(N)
    assert recorded["ixt"].bound_high == math.log2(N)
    assert recorded["ixt_given_y"].bits == recorded["ixt"].bits - recorded["ity"].bits
    assert "finite_population" in sampled.flags
    assert "finite_population" not in recorded["ixt"].flags  # nothing is extrapolated


def test_more_samples_than_wanted_are_drawn_from(run):
    cell = cells(Compressed(max_samples=300, dim=2), run)[0, "fc0"]
    for estimate in cell.values():
        assert estimate.n == 300
        assert "subsampled" in estimate.flags


def test_two_views(run):
    for mode in ("joint", "ksg"):
        cell = cells(Compressed(mode=mode, dim=2), run)[0, "fc2"]
        assert set(cell) == {"ixt", "ity", "ixt_given_y"}
        assert cell["ixt"].bits is None or math.isfinite(cell["ixt"].bits)
        assert cell["ixt"].diagnostics["mode"] == mode


def test_dead_layer_beside_live_ones(run):
    activations, labels, inputs = network()
    activations = {**activations, (0, "fc1"): np.zeros((N, 6), np.float32)}
    cell = cells(Compressed(), Memory(activations, labels, inputs))[0, "fc1"]
    assert {e.bits for e in cell.values()} == {0.0}
    assert all("constant" in e.flags for e in cell.values())


def test_parameters_are_written_and_read():
    estimator = parse_estimator("compressed:mode=noise,noise=0.05,dim=4,noise-scale=0.5+1+2")
    assert estimator == Compressed(mode="noise", noise=0.05, dim=4, noise_scale=(0.5, 1.0, 2.0))
    assert parse_estimator(estimator_id(estimator)) == estimator
    assert parse_estimator("compressed:noise=relative").noise == "relative"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("mode", "exact"),
        ("noise", -1.0),
        ("noise", "loud"),
        ("dim", 0),
        ("k", 1),
        ("folds", 2),
        ("noise_scale", ()),
        ("noise_scale", (0.0,)),
        ("noise_scale", (1.0, float("nan"))),
        ("noise_scale", (float("inf"),)),
        ("basis", "random"),
        ("max_samples", 10),
        ("population", "known"),
    ],
)
def test_parameters_out_of_range_are_refused(parameter, value):
    with pytest.raises(InputError, match="expected"):
        Compressed(**{parameter: value})


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_noise_relative_is_no_option_of_views(mode):
    with pytest.raises(InputError, match="expected mode=bracket with noise='relative'"):
        Compressed(mode=mode, noise="relative")


# The bracket, which is the default.


def of_group(estimator, runs, seed=0):
    """Cells of runs that are analysed together."""
    rng = lambda: np.random.default_rng(seed)  # noqa: E731
    shared = estimator.prepare_group(runs, rng())
    found = []
    for run in runs:
        member = estimator.prepare_member(shared, run, rng())
        found.append(
            {
                (step, layer.name): estimator.estimate(
                    estimator.prepare_layer(member, run, layer, rng()),
                    run.activations(step, layer.name),
                    rng(),
                )
                for layer in run.layers
                for step in run.steps
            }
        )
    return found


@pytest.fixture(scope="module")
def bracketed(run):
    return cells(Compressed(), run)


def test_every_cell_has_bounds_a_resolution_and_a_size(bracketed):
    for cell in bracketed.values():
        assert set(cell) == {"ixt", "ity", "ixt_given_y", "ixt_fixed", "ixt_scale", "size"}
        for name in ("ixt", "ity", "ixt_given_y"):
            estimate = cell[name]
            assert estimate.bound_name == "bracket"
            assert estimate.bound_low < estimate.bits < estimate.bound_high
            assert estimate.low < estimate.bits < estimate.high
            assert estimate.setting == "c=0.35"  # of 800 samples
            told = estimate.diagnostics
            assert told["c"] == pytest.approx(0.35)
            assert told["noise"] == pytest.approx(0.35 * told["median_distance"])
            assert list(told["by_c"]) == ["0.28", "0.35", "0.49"]
            assert told["by_c"]["0.35"] == [
                estimate.bits, estimate.bound_low, estimate.bound_high
            ]  # fmt: skip
            json.dumps(dict(told), allow_nan=False)
        swept = [value for value, _, _ in cell["ixt"].diagnostics["by_c"].values()]
        assert swept == sorted(swept, reverse=True)
        both = cell["ity"].bits + cell["ixt_given_y"].bits
        assert cell["ixt"].bits == pytest.approx(both, abs=1e-9)
        expected = math.log2(cell["ixt"].diagnostics["median_distance"])
        assert cell["size"].bits == pytest.approx(expected)
        assert cell["ixt_fixed"].setting.startswith("σ=")


def test_fixed_noise_is_that_of_the_last_step(run, bracketed):
    for layer in run.layers:
        first, last = (bracketed[step, layer.name] for step in run.steps)
        assert last["ixt_scale"].bits == pytest.approx(0.0, abs=1e-9)
        assert last["ixt_fixed"].bits == pytest.approx(last["ixt"].bits, abs=1e-9)
        for cell in (first, last):
            split = cell["ixt"].bits + cell["ixt_scale"].bits
            assert cell["ixt_fixed"].bits == pytest.approx(split, abs=1e-12)
            told = cell["ixt_fixed"].diagnostics["noise"]
            assert told == pytest.approx(last["ixt"].diagnostics["noise"])


def test_a_larger_layer_is_larger_and_nothing_else():
    activations, labels, inputs = network(gains=(1.0,), widths=(6,))
    larger = {**activations, (1, "fc0"): activations[0, "fc0"] * np.float32(10)}
    found = cells(Compressed(), Memory(larger, labels, inputs))
    small, large = (found[step, "fc0"] for step in (0, 1))
    for name in ("ixt", "ity", "ixt_given_y"):
        assert large[name].bits == pytest.approx(small[name].bits, abs=1e-6)
        assert large[name].bound_low == pytest.approx(small[name].bound_low, abs=1e-6)
    assert large["size"].bits - small["size"].bits == pytest.approx(math.log2(10), abs=1e-6)
    grown = large["ixt_fixed"].bits - small["ixt_fixed"].bits
    scale = large["ixt_scale"].bits - small["ixt_scale"].bits
    assert grown > 1.0
    assert scale == pytest.approx(grown, abs=1e-6)


def test_runs_of_a_group_share_resolution_and_fixed_noise():
    runs = [Memory(*network(seed)) for seed in (0, 1)]
    found = of_group(Compressed(), runs)
    alone = [cells(Compressed(), run) for run in runs]
    for layer in runs[0].layers:
        key = (1, layer.name)
        medians = [cell[key]["ixt"].diagnostics["median_distance"] for cell in alone]
        for cell in found:
            noise = cell[key]["ixt_fixed"].diagnostics["noise"]
            assert noise == pytest.approx(0.35 * math.sqrt(medians[0] * medians[1]))
    for together, apart in zip(found, alone, strict=True):
        for key, cell in together.items():
            assert cell["ixt"].bits == apart[key]["ixt"].bits


def test_one_noise_for_all_steps_on_request(run, bracketed):
    found = cells(Compressed(noise="fixed"), run)
    for key, cell in found.items():
        assert set(cell) == {"ixt", "ity", "ixt_given_y"}
        assert cell["ixt"].bits == pytest.approx(bracketed[key]["ixt_fixed"].bits, abs=1e-9)
        assert cell["ixt"].setting == bracketed[key]["ixt_fixed"].setting
    number = cells(Compressed(mode="bracket", noise=0.3), run)
    assert {cell["ixt"].diagnostics["noise"] for cell in number.values()} == {0.3}
    assert {cell["ixt"].setting for cell in number.values()} == {"σ=0.3"}


def test_a_sweep_of_c_reports_each_on_its_own(run, bracketed):
    swept = cells(Compressed(c=(0.3, 0.35, 0.5)), run)[1, "fc0"]
    keys = [f"ixt@c={c}" for c in ("0.3", "0.35", "0.5")]
    assert set(keys) < set(swept)
    values = [swept[key].bits for key in keys]
    assert values == sorted(values, reverse=True)
    assert values[1] == pytest.approx(bracketed[1, "fc0"]["ixt"].bits, abs=1e-9)


def test_all_runs_of_a_probe_set_are_measured_on_the_same_samples():
    runs = [Memory(*network(seed)) for seed in (0, 1)]
    estimator = Compressed(max_samples=300)
    rows = [
        estimator.prepare_run(run, np.random.default_rng(seed)).rows
        for seed, run in enumerate(runs)
    ]
    np.testing.assert_array_equal(rows[0], rows[1])
    other = Compressed(max_samples=300, seed=1).prepare_run(runs[0], np.random.default_rng(0))
    assert (other.rows != rows[0]).any()


def test_bracket_of_all_inputs_is_exact(run):
    found = cells(Compressed(population="recorded"), run)[1, "fc0"]
    assert found["ixt"].bound_name == "log2_n"
    assert found["ixt"].bound_high == math.log2(N)
    assert found["ity"].bound_name == "h_y"
    both = found["ity"].bits + found["ixt_given_y"].bits
    assert found["ixt"].bits == pytest.approx(both, abs=1e-12)


def test_all_inputs_are_used_where_they_are_all_there_are():
    recorded = Compressed(population="recorded")
    assert recorded.samples_used(4096) == 4096
    assert Compressed().samples_used(4096) == 3000
    for estimator in (recorded, Compressed(population="recorded", max_samples=500)):
        with pytest.raises(InputError, match="population=recorded with all 20001 samples"):
            estimator.samples_used(20_001)


@pytest.mark.parametrize("options", [{}, {"mode": "neighbors"}])
def test_some_of_all_inputs_are_no_population(run, options):
    with pytest.raises(InputError, match="got at most 300"):
        cells(Compressed(population="recorded", max_samples=300, **options), run)


@pytest.mark.parametrize(
    "option", [{"dim": 2}, {"k": 9}, {"basis": "checkpoint"}, {"cross_check": True}]
)
def test_a_bracket_has_no_code(option):
    with pytest.raises(InputError, match="got mode=bracket"):
        Compressed(mode="bracket", **option)
    with pytest.raises(InputError, match="expected c or mode=neighbors"):
        Compressed(c=(0.3,), **option)


def test_little_left_at_fixed_noise_is_no_fault():
    activations, labels, inputs = network(gains=(1.0,))
    small = activations[0, "fc0"] * np.float32(1e-4)
    layers = {(0, "fc0"): small, (1, "fc0"): activations[0, "fc0"]}
    run = Memory(layers, labels, inputs)
    fixed = cells(Compressed(noise="fixed"), run)[0, "fc0"]["ixt"]
    assert fixed.bits < 0.05
    assert "degenerate" not in fixed.flags
    number = cells(Compressed(mode="bracket", noise=1.0), run)[0, "fc0"]["ixt"]
    assert "degenerate" in number.flags


class Scaled(torch.nn.Module):
    size = 1.0

    def forward(self, x):
        return x * self.size


def test_a_layer_without_a_last_size_has_no_fixed_noise(tmp_path):
    model = torch.nn.Sequential(Scaled())
    x = torch.tensor(np.random.default_rng(0).normal(size=(200, 3)), dtype=torch.float32)
    with Recorder(model, (x, None), tmp_path / "run", layers=["0"]) as recorder:
        for step, model[0].size in enumerate((1.0, 2.0, 0.0)):
            recorder.snapshot(step)
    results = analyze(tmp_path / "run", "compressed:noise=fixed")
    rows = [row for row in results["rows"] if row["quantity"] == "ixt"]
    assert [row["value"] for row in rows] == [None] * 3
    assert all("no fixed noise is known" in row["diag"]["reason"] for row in rows)

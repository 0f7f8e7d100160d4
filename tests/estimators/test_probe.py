"""The estimator ``probe`` and its public function."""

import math
import warnings

import numpy as np
import pytest

from infoplane import InputError, probe_information
from infoplane.estimators.layers.probe import Probe
from infoplane.estimators.layers.probe_information import common_classes
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.answers import labelled_layer, separated_clusters
from infoplane.validation.problems import Problem, ProblemRun, Resolution
from infoplane.validation.trials import estimate_problem


def cell(values, labels, spec="probe", inputs=None, seed=0):
    if inputs is None:
        inputs = np.random.default_rng(9).standard_normal((len(values), 3))
    return estimate_problem(parse_estimator(spec), Problem(inputs, values, labels), seed)


@pytest.fixture
def layer():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    return rng.standard_normal((600, 5)) + 1.5 * np.eye(3, 5)[labels], labels


def test_a_row_says_what_it_is(layer):
    found = cell(*layer)["ity"]
    said = found.diagnostics
    assert (found.bound_low, found.bound_name) == (0.0, "h_y")
    assert found.bound_high == pytest.approx(math.log2(3))
    assert found.high - found.bits == pytest.approx(1.96 * said["se"])
    assert (found.method, found.level, found.n, found.flags) == ("analytic", 0.95, None, ())
    assert (said["is"], said["folds"], said["classes"]) == ("lower bound", 5, 3)
    assert found.bits >= min(said["linear"]["bits"], said["nonlinear"]["bits"])
    assert said["null"] < 0.02
    assert len(said["linear"]["penalties"]) == 5
    assert 1 / 3 < said["linear"]["accuracy"] < 1


def test_the_function_finds_what_the_estimator_finds_but_for_its_draws(layer):
    one, other = probe_information(*layer), cell(*layer)["ity"]
    assert one.bits == pytest.approx(other.bits, abs=one.standard_error)
    assert one.low < one.bits < one.high
    assert (one.r2, one.flags, one.n_samples, one.n_classes, one.n_folds) == (None, (), 600, 3, 5)
    assert probe_information(*layer) == one
    assert probe_information(*layer, seed=1) != one
    assert probe_information(*layer, permutations=0).null is None


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 4.0])
def test_a_bound_is_not_violated_and_not_empty(distance):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        problem = labelled_layer(1000, rng, classes=5, units=20, distance=distance)
        found = cell(problem.activations, problem.labels, seed=seed)["ity"]
        truth = problem.truths["ity"](Resolution({}, 0.0, {}))
        assert found.low <= truth
        assert found.bits > 0.6 * truth - 0.05


def test_without_labels_there_is_nothing_to_say():
    assert cell(np.random.default_rng(0).standard_normal((100, 3)), None) == {}


def test_a_layer_or_labels_that_do_not_vary_hold_nothing(layer):
    values, labels = layer
    for dtype in (np.float16, np.float32, np.float64):
        found = cell(np.full((600, 4), 0.1, dtype), labels)["ity"]
        assert (found.bits, found.low, found.high, found.flags) == (0.0, 0.0, 0.0, ("constant",))
    found = cell(values, np.zeros(600, dtype=np.int64))["ity"]
    assert (found.bits, found.bound_high, found.flags) == (0.0, 0.0, ("small_n",))


def test_too_few_samples_for_the_folds_give_bounds_and_a_reason(layer):
    values, labels = layer
    found = cell(values[:9], labels[:9])["ity"]
    assert found.bits is None
    assert (found.bound_low, found.bound_high) == (0.0, pytest.approx(math.log2(3)))
    assert set(found.flags) == {"failed", "small_n"}
    reason = "expected at least 10 samples for 5 folds, got 9"
    assert found.diagnostics["reason"] == reason
    told = probe_information(values[:9], labels[:9])
    assert (told.bits, told.low, told.flags, told.reason) == (None, None, found.flags, reason)
    for n in (10, 49, 299):
        assert "small_n" in probe_information(values[:n], labels[:n]).flags


@pytest.mark.parametrize("n", [600, 1000])
def test_many_classes_are_told_to_be_many(n):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, n)
    found = probe_information(np.eye(100)[labels] + 0.2 * rng.standard_normal((n, 100)), labels)
    assert found.low < found.h_y
    assert "small_n" in found.flags
    assert found.null < 0.05


def test_classes_of_one_sample_and_one_class_each(layer):
    values, labels = layer
    odd = labels.copy()
    odd[:2] = 7, 9
    found = probe_information(values, odd)
    assert found.n_classes == 5
    assert found.bits == pytest.approx(probe_information(values, labels).bits, abs=0.1)
    assert "small_n" in found.flags
    found = probe_information(values[:100], np.arange(100))
    assert (found.bits, found.flags) == (None, ("failed", "small_n"))
    assert found.reason == "classes of fewer than 5 samples: 100 of 100 samples are in such classes"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_that_a_class_is_not_known_tells_nothing(size):
    """Half of the labels are of rare classes, none of which hangs on the layer."""
    rng = np.random.default_rng(size)
    bits = []
    for _ in range(5):
        labels = np.where(np.arange(600) < 300, np.arange(600) // size, 700)
        found = probe_information(rng.standard_normal((600, 4)), rng.permutation(labels))
        assert "small_n" in found.flags
        bits.append(found.bits)
    assert -0.05 < np.mean(bits) < 0.01


def test_rare_classes_are_made_one_that_can_be_in_every_fold():
    groups = np.arange(20)
    classes = np.array([0] * 9 + [1] * 8 + [2, 3, 4])
    merged, rare = common_classes(classes, groups, 3)
    np.testing.assert_array_equal(merged, [0] * 9 + [1] * 8 + [2] * 3)
    assert rare == 3
    merged, rare = common_classes(classes, groups, 5)  # three are too few: with the next class
    assert sorted(np.bincount(merged)) == [9, 11]
    assert rare == 3
    # 8 samples of one group are in one fold.
    groups[9:17] = 9
    assert common_classes(classes, groups, 3)[1] == 11


@pytest.mark.parametrize("units", [10, 30])
def test_the_exclusive_or_of_two_of_many_units_is_read(units):
    values = np.random.default_rng(units).standard_normal((1000, units))
    found = probe_information(values, (values[:, 1] > 0) ^ (values[:, 4] > 0))
    assert 0.85 - 0.05 < found.bits <= 1.0
    assert found.flags == ()
    assert found.screened_folds == 5


def test_one_unit_of_500_is_read():
    """I(T;Y) = 0.753 for two classes at 3 standard deviations."""
    rng = np.random.default_rng(4)
    labels = np.arange(1000) % 2
    values = rng.standard_normal((1000, 500))
    values[:, 137] += 3 * labels
    found = probe_information(values, labels)
    assert found.bits == pytest.approx(0.753, abs=2 * found.standard_error + 0.02)
    assert found.flags == ()


def test_a_bound_that_still_rises_is_told():
    values = np.random.default_rng(5).standard_normal((1000, 3))
    found = probe_information(values, (values > 0).sum(axis=1) % 2)
    assert found.bits < 0.85
    assert found.to_come > 0.15
    assert found.flags == ("undersampled",)
    row = cell(values, (values > 0).sum(axis=1) % 2)["ity"]
    assert "undersampled" in row.flags
    assert row.diagnostics["to_come"] > row.diagnostics["rise"] > 0


@pytest.mark.parametrize("classes", [2, 5])
def test_a_bound_that_is_near_is_not_said_to_rise(classes):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, classes, 1000)
        values = rng.standard_normal((1000, 20))
        values[:, :classes] += 3.5 * np.eye(classes)[labels]
        assert probe_information(values, labels).flags == ()
        assert "undersampled" not in probe_information(values, rng.permutation(labels)).flags


@pytest.mark.parametrize("times", [2, 10])
def test_a_twin_of_a_sample_does_not_tell_its_label(times, layer):
    values, labels = layer
    shuffled = np.random.default_rng(1).permutation(labels)[:200]
    found = probe_information(np.repeat(values[:200], times, 0), np.repeat(shuffled, times))
    assert found.bits < 0.05
    assert "atoms" in found.flags


def test_twins_of_an_input_are_kept_together_though_their_rows_differ():
    rng = np.random.default_rng(0)
    inputs = np.repeat(rng.standard_normal((75, 4)), 8, axis=0)
    labels = np.repeat(np.arange(75) % 2, 8)
    values = inputs + 1e-3 * rng.standard_normal((600, 4))  # noise of the layer
    assert cell(values, labels, inputs=inputs)["ity"].bits < 0.05
    assert cell(values, labels)["ity"].low > 0.05  # nobody says that these are twins


def test_states_of_many_samples_are_read():
    problem = separated_clusters(1000, np.random.default_rng(0))
    found = cell(problem.activations, problem.labels, inputs=problem.inputs)["ity"]
    assert found.bits == pytest.approx(3.0, abs=0.03)  # 0.99 p + 0.01 prior
    assert found.flags == ()


def test_half_of_the_rows_equal(layer):
    values, labels = layer
    whole = probe_information(values, labels)
    values = np.where(np.arange(600)[:, None] // 3 % 2, values, 0.0)
    found = probe_information(values, labels)
    # I(T;Y) is half of what it was: the equal rows tell nothing.
    assert found.bits == pytest.approx(whole.bits / 2, abs=4 * whole.standard_error)


def test_more_samples_than_wanted_are_subsampled_by_class(layer):
    found = cell(*layer, spec="probe:max_samples=300")["ity"]
    assert found.n == 300
    assert found.flags == ("subsampled",)
    whole = cell(*layer)["ity"]
    assert found.bits == pytest.approx(whole.bits, abs=4 * found.diagnostics["se"])


@pytest.mark.parametrize("change", ["scale", "shift", "turn", "order"])
def test_what_changes_nothing(change, layer):
    values, labels = layer
    rng = np.random.default_rng(3)
    before = probe_information(values, labels)
    changed = {
        "scale": lambda: 1000 * values,
        "shift": lambda: values + 7.0,
        "turn": lambda: values @ np.linalg.qr(rng.standard_normal((5, 5)))[0],
        "order": lambda: values[:, ::-1],
    }[change]()
    after = probe_information(changed, labels)
    assert after.linear.bits == pytest.approx(before.linear.bits, abs=0.01)
    # The products of two units are others in a layer that is turned.
    within = before.standard_error if change == "turn" else 0.01
    assert after.bits == pytest.approx(before.bits, abs=within)


def test_nothing_warns_at_the_ends_of_the_numbers(layer):
    values, labels = layer
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = probe_information(values, labels).bits
        for scale in (1e-300, 1e-30, 1e30, 1e300):
            assert probe_information(scale * values, labels).bits == pytest.approx(before, abs=0.01)


def test_integers_booleans_and_names_of_classes(layer):
    values, labels = layer
    names = np.array(["cat", "dog", "owl"])[labels]
    assert probe_information(values, names) == probe_information(values, labels)
    assert probe_information(np.round(4 * values).astype(int), labels).bits > 0.3
    assert probe_information(values > 0, labels).bits > 0.2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros(9), np.zeros(9)), {}, r"x of shape \(n_samples, n_units\), got \(9,\)"),
        ((np.zeros((9, 2)), np.zeros(8)), {}, "expected 9 labels, one per sample, got 8"),
        ((np.full((20, 2), np.nan), np.zeros(20)), {}, "expected finite x"),
        ((np.zeros((20, 2)), np.full(20, 0.5j)), {}, "integer class ids as labels"),
        ((np.zeros((20, 2)), np.zeros(20)), {"folds": 2}, "folds of at least 3, got 2"),
        ((np.zeros((20, 2)), np.zeros(20)), {"seed": -1}, "seed of at least 0, got -1"),
        ((np.zeros((20, 2)), np.zeros(20)), {"permutations": 0.5}, "permutations as a whole"),
    ],
)
def test_unfit_arguments_are_told(arguments, options, message):
    with pytest.raises(InputError, match=message):
        probe_information(*arguments, **options)


@pytest.mark.parametrize("text", ["folds=2", "permutations=-1", "max_samples=9"])
def test_unfit_parameters_are_told(text):
    with pytest.raises(InputError, match="probe: expected " + text.partition("=")[0]):
        parse_estimator(f"probe:{text}")


def test_folds_are_those_of_the_run_not_of_the_cell(layer):
    """The same samples are held out in every cell: differences are not those of the draws."""
    values, labels = layer
    run = ProblemRun(Problem(values[:, :2], values, labels))
    estimator = Probe()
    prepared = estimator.prepare_run(run, np.random.default_rng(0))
    first, second = (
        estimator.estimate(prepared, values, np.random.default_rng(seed)) for seed in range(2)
    )
    assert first == second
    other = estimator.prepare_run(run, np.random.default_rng(1))
    assert estimator.estimate(other, values, np.random.default_rng(0)) != first

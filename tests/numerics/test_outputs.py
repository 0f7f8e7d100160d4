"""Outputs as distributions, against exact sums over problems that can be enumerated."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import softmax

from infoplane.errors import InputError
from infoplane.estimators.layers.output_information import output_information
from infoplane.numerics.outputs import Predictions, calibration, log_soft_max, logs_of


def entropy(p):
    p = np.asarray(p, dtype=float)
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def of(p, counts=None):
    """Predictions (n_samples, n_outputs), or of several positions."""
    logs = logs_of(np.asarray(p, dtype=float))
    logs = logs[:, None] if logs.ndim == 2 else logs
    return Predictions(lambda rows: logs[rows], logs.shape, counts)


def plain(mean):
    return mean.value + mean.bias


def drawn(n, k, seed, sharp=1.0):
    return np.random.default_rng(seed).dirichlet(np.full(k, sharp), size=n)


@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 99), st.sampled_from([0.1, 1, 10]))
def test_entropy_and_information_are_those_of_the_joint_distribution(n, k, seed, sharp):
    p = drawn(n, k, seed, sharp)
    joint = p / n  # of x, equally likely, and the prediction
    exact = sum(
        joint[x, y] * np.log2(joint[x, y] / (joint[x].sum() * joint[:, y].sum()))
        for x, y in itertools.product(range(n), range(k))
        if joint[x, y] > 0
    )
    assert_allclose(of(p).entropy().value, entropy(joint) - np.log2(n), atol=1e-9)
    assert_allclose(plain(of(p).information()), exact, atol=1e-9)


@given(st.integers(2, 40), st.integers(2, 5), st.integers(2, 4), st.integers(0, 99))
def test_chain_rule_of_labels_that_the_input_determines(n, k, classes, seed):
    rng = np.random.default_rng(seed)
    p, labels = drawn(n, k, seed), np.unique(rng.integers(classes, size=n), return_inverse=True)[1]
    shares = np.bincount(labels) / n
    means = np.array([p[labels == c].mean(axis=0) for c in range(len(shares))])
    of_label = entropy(p.mean(axis=0)) - sum(map(lambda s, m: s * entropy(m), shares, means))
    given_y = plain(of(p).information_given(labels))
    assert_allclose(plain(of(p).information()), given_y + of_label, atol=1e-9)


def test_processing_the_prediction_loses_information():
    p = drawn(50, 8, 0, 0.3)
    merged = p.reshape(50, 4, 2).sum(axis=2)
    noisy = p @ drawn(8, 5, 1)
    assert plain(of(merged).information()) <= plain(of(p).information())
    assert plain(of(noisy).information()) <= plain(of(p).information())


@pytest.mark.parametrize("sharp", [0.05, 0.5, 5.0])
@pytest.mark.parametrize("n", [10, 30])
def test_the_bias_of_few_samples_is_taken_off(sharp, n):
    """The mean over draws of samples is the exact sum; without the correction it is not."""
    inputs = drawn(6, 4, 3, sharp)
    exact = entropy(inputs.mean(axis=0)) - np.mean([entropy(p) for p in inputs])
    rng, draws = np.random.default_rng(0), 1500
    found = [of(inputs[rng.integers(6, size=n)]).information() for _ in range(draws)]
    values = np.array([one.value for one in found])
    plug_in = np.array([plain(one) for one in found])
    error = values.std() / np.sqrt(draws)
    assert abs(values.mean() - exact) < abs(plug_in.mean() - exact) / 4 + 3 * error
    assert plug_in.mean() < exact - 3 * error


def test_the_bias_of_certain_predictions_is_that_of_miller_and_madow():
    labels = np.arange(400) % 4
    assert_allclose(-of(np.eye(4)[labels]).information().bias, 3 / (2 * 400 * np.log(2)), rtol=0.01)


def test_the_bias_within_classes_is_taken_off():
    inputs, classes = drawn(8, 4, 5, 0.3), np.arange(8) % 2
    exact = np.mean(
        [
            entropy(inputs[classes == c].mean(axis=0))
            - np.mean([entropy(p) for p in inputs[classes == c]])
            for c in range(2)
        ]
    )
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1500):
        rows = np.concatenate([rng.choice(np.flatnonzero(classes == c), 15) for c in range(2)])
        found.append(of(inputs[rows]).information_given(classes[rows]))
    values = np.array([one.value for one in found])
    plug_in = np.array([plain(one) for one in found])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - exact) < abs(plug_in.mean() - exact) / 4 + 3 * error


@pytest.mark.parametrize("measure", ["entropy", "information"])
def test_intervals_cover(measure):
    inputs = drawn(7, 5, 1, 0.5)
    exact = np.mean([entropy(p) for p in inputs])
    if measure == "information":
        exact = entropy(inputs.mean(axis=0)) - exact
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        found = getattr(of(inputs[rng.integers(7, size=100)]), measure)()
        inside += abs(found.value - exact) < 1.96 * found.error
    assert 0.91 <= inside / 400 <= 0.98  # three standard errors below and above 95 %


def test_divergence_tells_which_of_two_made_a_prediction():
    p = drawn(20, 4, 0)
    assert_allclose(of(p).divergence(of(p)).value, 0.0, atol=1e-12)
    apart = np.eye(4)[np.arange(20) % 2], np.eye(4)[2 + np.arange(20) % 2]
    assert of(apart[0]).divergence(of(apart[1])).value == pytest.approx(1.0)
    q = drawn(20, 4, 1)
    exact = np.mean(
        [entropy((a + b) / 2) - (entropy(a) + entropy(b)) / 2 for a, b in zip(p, q, strict=True)]
    )
    assert of(p).divergence(of(q)).value == pytest.approx(exact)
    assert of(q).divergence(of(p)).value == pytest.approx(exact)


def test_positions_count_as_often_as_there_are_tokens():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=(9, 5))
    counts = (rng.random((9, 5)) < 0.6).astype(float)
    counts[:, 0] = 1.0
    rows = p[counts > 0]
    found = of(p, counts)
    assert found.entropy().value == pytest.approx(of(rows).entropy().value)
    assert plain(found.information()) == pytest.approx(plain(of(rows).information()))


def test_equal_positions_of_a_sample_are_no_further_samples():
    p = drawn(30, 4, 0)
    thrice = of(np.repeat(p[:, None], 3, axis=1)).information()
    once = of(p).information()
    assert_allclose(thrice, once, rtol=1e-9)


def test_blocks_do_not_matter(monkeypatch):
    p, labels = drawn(50, 4, 0), np.arange(50) % 3
    before = [of(p).information(), of(p).information_given(labels), of(p).entropy()]
    monkeypatch.setattr("infoplane.numerics.outputs._BLOCK", 16)
    after = [of(p).information(), of(p).information_given(labels), of(p).entropy()]
    assert_allclose(after, before, rtol=1e-12)


def test_soft_max_of_large_logits():
    logits = np.array([[1e4, 0.0], [-1e4, 0.0], [1e4, 1e4]])
    assert_allclose(np.exp(log_soft_max(logits)), softmax(logits, axis=1))
    assert of(softmax(logits, axis=1)).entropy().value == pytest.approx(1 / 3)


# Calibration


def judged(n, confidence, accuracy, seed):
    rng = np.random.default_rng(seed)
    return np.full(n, confidence), rng.random(n) < accuracy


@pytest.mark.parametrize(("confidence", "accuracy"), [(0.9, 0.6), (0.55, 0.7), (0.99, 0.95)])
def test_a_known_calibration_error(confidence, accuracy):
    found = [calibration(*judged(400, confidence, accuracy, seed)) for seed in range(200)]
    truth = abs(confidence - accuracy)
    error = np.std([one.ece for one in found]) / np.sqrt(200)
    assert abs(np.mean([one.debiased for one in found]) - truth) < 3 * error
    inside = [abs(one.ece - truth) < 1.96 * one.error for one in found]
    assert 0.88 <= np.mean(inside) <= 0.99


def test_a_calibrated_network_reads_what_chance_makes_of_it():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        confidence = rng.uniform(0.3, 1.0, size=300)
        found.append(calibration(confidence, rng.random(300) < confidence))
    ece, debiased, _, null, null_sd = np.mean(found, axis=0)
    assert ece == pytest.approx(null, rel=0.03)
    assert np.std([one.ece for one in found]) == pytest.approx(null_sd, rel=0.15)
    assert 0 < debiased < 0.7 * ece  # most of the chance is left where all of it is chance


def test_bins_are_open_below_and_closed_above():
    # Guo et al.: the m-th of M bins is ((m - 1) / M, m / M].
    confidence = np.array([0.5, 0.5, 0.51, 0.51])
    correct = np.array([True, True, False, False])
    assert calibration(confidence, correct, bins=2).ece == pytest.approx((0.5 + 0.51) / 2)
    assert calibration(np.array([0.4, 0.6]), np.array([True, False]), bins=1).ece == 0.0
    assert calibration(np.zeros(3), np.zeros(3)).ece == 0.0


# The public function


def test_the_bound_is_the_entropy_of_the_labels_less_the_cross_entropy():
    p, labels = drawn(200, 4, 0), np.arange(200) % 3
    found = output_information(p, labels)
    cross = -np.mean(np.log2(p[np.arange(200), labels]))
    assert found.bound_ity == pytest.approx(entropy(np.bincount(labels) / 200) - cross)
    assert found.bound_ity < 0.0
    assert found.n_labelled == 200


def test_ignored_labels_are_passed_over():
    p, labels = drawn(200, 4, 0), np.arange(200) % 4
    labels[50:] = -100
    found, part = output_information(p, labels), output_information(p[:50], labels[:50])
    for name in ("ixy_given_y", "bound_ity", "ece", "ece_debiased"):
        assert getattr(found, name) == pytest.approx(getattr(part, name))
    assert found.n_labelled == 50
    assert found.ixy == pytest.approx(output_information(p).ixy)


def test_without_labels_nothing_is_said_of_them():
    found = output_information(drawn(20, 3, 0))
    assert (found.ixy_given_y, found.bound_ity, found.ece, found.n_labelled) == (
        None,
        None,
        None,
        0,
    )


@pytest.mark.parametrize(
    ("p", "labels", "message"),
    [
        (np.log(drawn(9, 3, 0)), None, "values down to -"),
        (drawn(9, 3, 0) * 2, None, "a sum of 2"),
        (np.full((9, 3), np.nan), None, "NaN or inf in 9 of 9 rows"),
        (drawn(9, 3, 0)[:, 0], None, r"shape \(n_samples, n_outputs\), got \(9,\)"),
        (np.ones((9, 1)), None, "2 outputs"),
        (drawn(9, 3, 0).astype(complex), None, "complex128"),
        (drawn(9, 3, 0), np.arange(9), r"labels from 0 to 2.*got 3 \(6 of 9"),
        (drawn(9, 3, 0), np.full(9, -1), "got -1"),
        (drawn(9, 3, 0), np.full(9, -100), "got -100 alone"),
        (drawn(9, 3, 0), np.arange(8) % 3, "expected 9 labels"),
        (drawn(9, 3, 0), np.linspace(0, 1, 9), "floats that are not whole"),
        (drawn(9, 3, 0), (np.arange(9) % 3).astype(str), "got names"),
    ],
)
def test_what_is_no_distribution_or_label_is_refused(p, labels, message):
    with pytest.raises(InputError, match=message):
        output_information(p, labels)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_stored_precision_is_enough(dtype):
    p = drawn(100, 10, 0)
    found = output_information(p.astype(dtype))
    assert found.ixy == pytest.approx(output_information(p).ixy, abs=1e-3)

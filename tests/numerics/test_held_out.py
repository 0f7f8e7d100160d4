"""Held-out probes: folds, features and what they read."""

import math

import numpy as np
import pytest

from infoplane.numerics import held_out, held_out_features
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.held_out import (
    SCREENED,
    readings,
    sample_groups,
    standard_error,
    stratified_folds,
)
from infoplane.numerics.held_out_components import components_without
from infoplane.numerics.held_out_features import Features


def read(values, labels, *, seed=0, n_folds=5, curve=False):
    rng = np.random.default_rng(seed)
    _, classes = np.unique(labels, return_inverse=True)
    groups = sample_groups(row_symbols(values), None, n_folds)
    fold = stratified_folds(classes, groups, n_folds, rng)
    return readings(Features.of(values, groups, fold, rng), classes, curve=curve)


def in_turn(n):
    return np.arange(n) % 5


@pytest.mark.parametrize("n_folds", [3, 5, 8])
def test_folds_keep_groups_whole_and_shares_of_classes(n_folds):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 400)
    fold = stratified_folds(classes, np.arange(400), n_folds, rng)
    for of in range(4):
        counts = np.bincount(fold[classes == of], minlength=n_folds)
        assert np.ptp(counts) <= 1
    groups = np.repeat(np.arange(100), 4)
    fold = stratified_folds(classes, groups, n_folds, rng)
    assert all(len(set(fold[groups == one])) == 1 for one in range(100))
    assert set(fold) == set(range(n_folds))


def test_equal_rows_and_equal_inputs_are_one_group():
    rows = row_symbols(np.array([0, 0, 1, 2, 3, 4, *range(10, 30)])[:, None])
    inputs = row_symbols(np.array([5, 6, 6, 7, 8, 8, *range(40, 60)])[:, None])
    groups = sample_groups(rows, inputs, 3)
    assert groups[0] == groups[1] == groups[2]  # by rows, then by inputs
    assert groups[4] == groups[5]
    assert len(set(groups)) == 26 - 3
    np.testing.assert_array_equal(sample_groups(row_symbols(np.eye(9)), None, 3), np.arange(9))


def test_rows_of_a_common_state_are_split_and_so_are_too_few_groups():
    common = row_symbols(np.array([0] * held_out.COMMON + list(range(1, 60)))[:, None])
    assert len(set(sample_groups(common, None, 5))) == held_out.COMMON + 59
    rare = row_symbols(np.array([0] * (held_out.COMMON - 1) + list(range(1, 60)))[:, None])
    assert len(set(sample_groups(rare, None, 5))) == 60
    few = row_symbols(np.repeat(np.arange(9), 10)[:, None])
    assert len(set(sample_groups(few, None, 5))) == 90


def test_the_standard_error_is_that_of_a_mean_of_groups():
    gains = np.random.default_rng(0).standard_normal(200)
    alone = standard_error(gains, np.arange(200))
    assert alone == pytest.approx(gains.std(ddof=1) / math.sqrt(200), rel=1e-12)
    twice = standard_error(np.repeat(gains, 2), np.repeat(np.arange(200), 2))
    assert twice == pytest.approx(alone, rel=1e-12)


def test_features_are_whitened_and_know_no_labels():
    rng = np.random.default_rng(0)
    values = (
        rng.standard_normal((500, 8)) * 10.0 ** (np.arange(8) / 2) @ rng.standard_normal((8, 8))
    )
    features = Features.of(values, np.arange(500), in_turn(500), rng)
    for pair in ((0, 1), (2, 3), (4, 0)):
        view = features.without(pair)
        inside = ~np.isin(in_turn(500), pair)
        white = view.linear[:-1, inside].astype(float)
        np.testing.assert_allclose(white @ white.T / 300, np.eye(8), atol=1e-4)
        np.testing.assert_allclose(white.mean(axis=1), 0.0, atol=1e-6)
        assert (view.linear[-1] == 1).all()
        assert view.bent.shape == (9 + 36, 500)
    assert Features.of(np.full((50, 3), 0.1), np.arange(50), in_turn(50), rng) is None


@pytest.mark.parametrize("n_folds", range(3, 9))
def test_no_fold_is_seen_through_components_that_were_fitted_to_it(n_folds):
    rng = np.random.default_rng(0)
    values, fold = rng.standard_normal((20 * n_folds, 2)), np.arange(20 * n_folds) % n_folds
    features = Features.of(values, np.arange(len(values)), fold, rng)
    for held in range(n_folds):
        (pair,) = [of for of, view in features.views.items() if view is features.without([held])]
        assert held in pair
    for pair, view in features.views.items():
        assert features.without(pair) is view


@pytest.mark.parametrize("n_units", [20, 300, 2000])
def test_what_is_held_out_changes_no_direction(n_units):
    """Held-out samples far away in a direction of their own leave scores as they are."""
    rng = np.random.default_rng(0)
    shape = np.r_[5.0, 3.0, np.full(n_units - 2, 0.01)]
    values = rng.standard_normal((250, n_units)) * shape
    alone = components_without(values[100:], in_turn(150), [()], 2, np.random.default_rng(1))[0]
    fold = np.r_[np.full(100, 5), in_turn(150)]
    values[:100] += 100.0 * rng.standard_normal(n_units)
    beside = components_without(values, fold, [(5,)], 2, np.random.default_rng(1))[0][100:]
    np.testing.assert_allclose(np.abs(beside), np.abs(alone), atol=2e-3 * np.abs(alone).max())


def test_a_layer_wider_than_samples_reads_no_more_for_having_seen_them():
    """Of independent units no component of other samples tells a sample: variances fall."""
    rng = np.random.default_rng(0)
    values, fold = rng.standard_normal((100, 4000)), in_turn(100)
    (scores,) = components_without(values, fold, [(0,)], 64, rng)
    seen, held = scores[fold > 0].std(axis=0).mean(), scores[fold == 0].std(axis=0).mean()
    assert held == pytest.approx(1.0, abs=0.2)  # one direction among independent ones
    assert seen > 5 * held


def test_neighbours_are_the_nearest_but_no_twins():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((200, 3))
    groups = np.repeat(np.arange(100), 2)
    near = Features.of(values, groups, groups % 5, rng).near
    apart = np.linalg.norm(values[:, None] - values, axis=2)
    apart[groups[:, None] == groups] = np.inf
    for sample in range(200):
        assert set(np.flatnonzero(near[:, sample])) == set(np.argsort(apart[sample])[:15])


def test_rows_that_tie_are_all_neighbours():
    values = np.repeat(np.eye(4), 50, axis=0)
    near = Features.of(values, np.arange(200), in_turn(200), np.random.default_rng(0)).near
    expected = np.kron(np.eye(4), np.ones((50, 50))) - np.eye(200)
    np.testing.assert_array_equal(near, expected > 0)


def test_of_many_samples_some_are_looked_at_as_neighbours(monkeypatch):
    monkeypatch.setattr(held_out_features, "_REFERENCES", 100)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    values = rng.standard_normal((600, 2)) + 4 * labels[:, None]
    fold = stratified_folds(labels, np.arange(600), 5, rng)
    features = Features.of(values, np.arange(600), fold, rng)
    assert features.near.shape == (100, 600)
    counts = features.counts(labels, 2)
    np.testing.assert_array_equal(counts.sum(axis=(0, 1)), features.near.sum(axis=0))
    assert readings(features, labels).nonlinear.bits > 0.9


def test_scores_leave_out_what_rounding_makes():
    rng = np.random.default_rng(0)
    for n_units in (40, 400):  # by the covariance, and by power iterations
        exact = rng.standard_normal((300, 3)) @ rng.standard_normal((3, n_units)) + 5.0
        for dtype in (np.float64, np.float32, np.float16):
            found = components_without(exact.astype(dtype), in_turn(300), [(0,)], 64, rng)
            assert found[0].shape == (300, 3), dtype


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_scores_of_any_scale(scale):
    rng = np.random.default_rng(0)
    values = scale * rng.standard_normal((100, 4))
    (scores,) = components_without(values, in_turn(100), [(0,)], 64, rng)
    assert scores.shape == (100, 4)
    assert np.isfinite(scores).all()


def test_a_direction_beside_an_enormous_one_is_read_as_if_alone():
    """Whitening: without it the linear probe reads nothing."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 1000)
    values = rng.standard_normal((1000, 6))
    values[:, 0] += 4 * labels
    alone = read(values, labels).linear.bits
    for scale in (1e3, 1e6, 1e9):
        values[:, 5] *= scale
        assert read(values, labels).linear.bits == pytest.approx(alone, abs=0.02)
        values[:, 5] /= scale


def test_the_linear_probe_approaches_the_information_of_two_normal_classes():
    """I(T;Y) = 1 - E log2(1 + e^-L) for the log-odds L ~ N(d^2/2, d^2) of two classes at d."""
    rng = np.random.default_rng(2)
    distance = 2.0
    draws = distance**2 / 2 + distance * rng.standard_normal(400_000)
    truth = 1.0 - float(np.logaddexp(0.0, -draws).mean()) / math.log(2)
    labels = np.arange(4000) % 2
    values = rng.standard_normal((4000, 5))
    values[:, 2] += distance * labels
    found = read(values, labels)
    error = standard_error(found.best.gains, np.arange(4000))
    # 1.96 standard errors, and what 0.99 p + 0.01 prior and five coefficients cost
    assert found.best.bits < truth + 1.96 * error
    assert found.best.bits > truth - 1.96 * error - 0.02


def test_xor_and_shells_are_not_read_by_the_linear_probe():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((1000, 10))
    two_of_ten = read(values, (values[:, 0] > 0) ^ (values[:, 1] > 0))
    two = read(values[:, :2], (values[:, 0] > 0) ^ (values[:, 1] > 0))
    labels = rng.integers(0, 2, 1000)
    circle = values[:, :2] / np.linalg.norm(values[:, :2], axis=1, keepdims=True)
    shells = read(circle * (1 + labels + 0.2 * rng.standard_normal(1000))[:, None], labels)
    for found, least in ((two_of_ten, 0.8), (two, 0.85), (shells, 0.85)):
        assert found.linear.bits < 0.02
        assert found.best.bits > least
        assert found.chosen.all()


@pytest.mark.parametrize("units", [30, 300])
def test_two_units_of_many_and_shells_of_many_are_found_by_screening(units):
    rng = np.random.default_rng(3)
    values = rng.standard_normal((1000, units))
    found = read(values, (values[:, 3] > 0) ^ (values[:, 7] > 0))
    assert found.best.bits > 0.8
    np.testing.assert_array_equal(found.chosen, SCREENED)
    shell = rng.integers(0, 4, 1000)
    sphere = values / np.linalg.norm(values, axis=1, keepdims=True)
    radius = 1 + shell + rng.uniform(-0.4, 0.4, 1000)
    assert read(sphere * radius[:, None], shell % 2).best.bits > 0.8


def test_half_of_the_samples_read_less_where_more_would_read_more():
    """XOR of three units is read by neighbours, that of two clusters by anything."""
    rng = np.random.default_rng(11)
    values = rng.standard_normal((1000, 3))
    hard = read(values, (values > 0).sum(axis=1) % 2, curve=True)
    assert hard.rise > 0.05
    labels = np.arange(1000) % 2
    values[:, 0] += 20 * labels
    easy = read(values, labels, curve=True)
    assert abs(easy.rise) < 0.01
    assert read(values, labels).rise is None


def test_squares_on_a_board_are_read_through_neighbours():
    rng = np.random.default_rng(4)
    values = 3 * rng.random((1500, 2))
    found = read(values, values.astype(int).sum(axis=1) % 2)
    assert found.linear.bits < 0.02
    assert found.best.bits > 0.7


def test_labels_that_mean_nothing_read_nothing():
    """The mean over permutations is at most 0: no choice looks at what it is read on."""
    rng = np.random.default_rng(5)
    values = rng.standard_normal((300, 10))
    gains = [read(values, rng.permutation(np.arange(300) % 3), seed=s).best.bits for s in range(30)]
    assert np.mean(gains) < 2 * np.std(gains) / math.sqrt(30)
    assert max(gains) < 0.05
    assert np.mean(gains) > -0.05


def test_the_better_probe_is_chosen_by_what_is_not_held_out():
    """Bits of the best are those of the probe with the lower inner loss, fold by fold."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal((400, 4))
    labels = np.arange(400) % 2
    values[:, 0] += labels
    fold = stratified_folds(labels, np.arange(400), 5, rng)
    found = readings(Features.of(values, np.arange(400), fold, rng), labels)
    probes = found.linear, found.nonlinear, found.screened
    for one in range(5):
        better = min(probes, key=lambda probe: probe.inner[one])
        np.testing.assert_array_equal(found.best.gains[fold == one], better.gains[fold == one])

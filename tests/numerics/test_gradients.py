"""Gradient statistics and their change point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import InputError
from infoplane.numerics.gradients import GradientAccumulator, gradient_transition


def accumulated(gradients):
    accumulator = GradientAccumulator()
    for gradient in gradients:
        accumulator.add(gradient)
    return accumulator


@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 1000))
def test_mean_and_spread_are_those_of_the_stacked_gradients(batches, width, seed):
    gradients = 3 + np.random.default_rng(seed).normal(size=(batches, width, 2))
    weights = np.full((width, 2), 2.0)
    statistics = accumulated(gradients).statistics(weights)
    assert statistics.mean_norm == pytest.approx(np.linalg.norm(gradients.mean(axis=0)))
    assert statistics.spread == pytest.approx(np.sqrt(gradients.var(axis=0).sum()))
    assert statistics.snr == pytest.approx(statistics.mean_norm / statistics.spread)
    assert statistics.relative_mean * np.linalg.norm(weights) == pytest.approx(statistics.mean_norm)
    assert statistics.relative_spread * np.linalg.norm(weights) == pytest.approx(statistics.spread)


def test_small_spread_on_a_large_mean_is_not_lost():
    statistics = accumulated(1e8 + np.array([[0.0], [1.0], [2.0], [3.0]])).statistics(np.ones(1))
    assert statistics.spread == pytest.approx(np.sqrt(1.25), rel=1e-6)


def test_batches_that_partition_the_data_have_the_full_gradient_as_mean():
    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=(96, 3)), rng.normal(size=96), rng.normal(size=3)
    per_sample = 2 * (x @ weights - y)[:, None] * x
    batches = per_sample.reshape(8, 12, 3).mean(axis=1)
    statistics = accumulated(batches).statistics(weights)
    assert statistics.mean_norm == pytest.approx(np.linalg.norm(per_sample.mean(axis=0)))


def test_noise_alone_has_no_mean_when_batches_are_drawn_at_random():
    """|mean|^2 of pure noise is spread^2 / n_batches on average, which is subtracted."""
    rng = np.random.default_rng(1)
    squares, raw = [], []
    for _ in range(400):
        accumulator = accumulated(rng.normal(size=(10, 20)) + 0.3)
        squares.append(accumulator.statistics(np.ones(20), partition=False).mean_norm ** 2)
        raw.append(accumulator.statistics(np.ones(20)).mean_norm ** 2)
    assert np.mean(raw) == pytest.approx(20 * 0.09 + 2.0, rel=0.05)
    assert np.mean(squares) == pytest.approx(20 * 0.09, rel=0.05)


def test_equal_batches_have_an_infinite_ratio_and_zero_gradients_none():
    assert accumulated(np.ones((3, 2))).statistics(np.ones(2)).snr == float("inf")
    assert np.isnan(accumulated(np.zeros((3, 2))).statistics(np.ones(2)).snr)
    assert np.isnan(accumulated(np.ones((3, 2))).statistics(np.zeros(2)).relative_mean)


def test_accumulator_refuses_what_does_not_fit():
    accumulator = accumulated(np.ones((1, 2)))
    with pytest.raises(InputError, match="2 batches"):
        accumulator.statistics(np.ones(2))
    with pytest.raises(InputError, match="2 values"):
        accumulator.add(np.ones(3))


@pytest.mark.parametrize("change", [3, 20, 45])
def test_change_point_of_two_levels(change):
    epochs = np.unique(np.round(np.geomspace(1, 5000, 60))).astype(int)
    epochs = np.append(0, epochs)
    snr = np.where(np.arange(len(epochs)) < change, 10.0, 0.1)
    found = gradient_transition(epochs, snr)
    assert found.epoch == epochs[change]
    assert found.before == pytest.approx(10)
    assert found.after == pytest.approx(0.1)
    assert found.first_below_one == epochs[change]


def test_change_point_survives_noise_and_unusable_ratios():
    rng = np.random.default_rng(2)
    epochs = np.arange(200)
    snr = np.where(epochs < 30, 8.0, 0.3) * 10 ** (0.1 * rng.normal(size=200))
    snr[[5, 80]] = np.nan, np.inf
    assert 28 <= gradient_transition(epochs, snr).epoch <= 32


def test_dense_checkpoints_do_not_outvote_the_axis():
    """Each level covers half of the axis, though one holds ten times the checkpoints."""
    sparse, dense = np.geomspace(1, 31.6, 12) - 1, np.geomspace(32, 1000, 120) - 1
    epochs = np.append(sparse, dense)
    snr = np.append(np.full(12, 5.0), np.full(120, 0.5))
    assert gradient_transition(epochs, snr).epoch == dense[0]


def test_ratio_that_stays_above_one():
    found = gradient_transition(np.arange(6), np.array([9.0, 9, 9, 3, 3, 3]))
    assert found.first_below_one is None
    assert found.epoch == 3


@pytest.mark.parametrize(
    ("epochs", "snr"),
    [
        ([0, 1, 2], [1, 1, 1]),
        ([0, 1, 1, 2], [1, 1, 1, 1]),
        ([0, 1, 2, 3], [1, 1, 1]),
        ([0, 1, 2, 3], [1, 0, 0, 1]),
    ],
)
def test_errors(epochs, snr):
    with pytest.raises(InputError):
        gradient_transition(np.array(epochs), np.array(snr, dtype=float))

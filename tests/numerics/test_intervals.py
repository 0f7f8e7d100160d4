"""Intervals without replacement cover the expectation of the estimate."""

import math

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.numerics.intervals import (
    disjoint_folds,
    fold_interval,
    half_sampling_interval,
    neighbor_rate,
    normal_interval,
)


@pytest.mark.parametrize(("n", "folds"), [(10, 2), (103, 10), (7, 7)])
def test_folds_are_a_partition(n, folds):
    parts = disjoint_folds(n, folds, np.random.default_rng(0))
    assert len(parts) == folds
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fold_interval_of_a_mean_is_that_of_student():
    parts = np.array([1.0, 2.0, 3.0, 4.0])
    interval = fold_interval(2.5, parts)
    error = parts.std(ddof=1) / 2
    assert interval.standard_error == pytest.approx(error)
    assert interval.high - 2.5 == pytest.approx(3.182446305 * error)  # t, 3 degrees, 97.5 %
    assert interval.drift == 0.0


def mean_intervals(seed, n=200):
    """Return both intervals of a mean, and the sample."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=n)
    folds = disjoint_folds(n, 10, rng)
    parts = np.array([x[f].mean() for f in folds])
    halves = half_sampling_interval(lambda rows: float(x[rows].mean()), n, rng)
    return fold_interval(float(x.mean()), parts), halves


def test_standard_errors_of_a_mean():
    both = [mean_intervals(seed) for seed in range(150)]
    truth = 1.0 / math.sqrt(200)
    for scheme in zip(*both, strict=True):
        size = math.sqrt(np.mean([i.standard_error**2 for i in scheme]))
        # 150 values with 9 or 39 degrees of freedom: 4 % error of the root mean square
        assert size == pytest.approx(truth, rel=0.15)
        covered = np.mean([i.low <= 1.0 <= i.high for i in scheme])
        assert 0.88 <= covered <= 0.99


def test_same_data_twice_differ_by_nothing():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=10)
    interval = fold_interval(0.0, parts - parts)
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_bias_that_outgrows_the_interval_is_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    parts = disjoint_folds(1000, 10, rng)

    def shifted(rows, size):
        return float(x[rows].mean()) + size / math.sqrt(len(rows))

    whole = np.arange(1000)
    for size, told in ((0.0, False), (10.0, True), (-10.0, True)):
        values = np.array([shifted(part, size) for part in parts])
        interval = fold_interval(shifted(whole, size), values)
        # The mean of the folds is that of the whole: what is left is the bias alone.
        assert interval.bias() == pytest.approx(size / math.sqrt(1000))
        assert interval.bias_dominates() is told
        halves = half_sampling_interval(lambda rows, size=size: shifted(rows, size), 1000, rng)
        assert halves.bias_dominates() is told


def test_drift_in_many_dimensions_betrays_a_larger_bias():
    noise = np.tile([0.1, -0.1], 5)
    # Ten times fewer samples move the estimate by 0.3; the interval reaches 0.08 to either side.
    interval = fold_interval(0.0, 0.3 + noise)
    assert interval.bias(neighbor_rate(6)) == pytest.approx(0.3 / (10 ** (1 / 3) - 1))
    assert (
        interval.bias(neighbor_rate(1))
        == interval.bias(neighbor_rate(4))
        == pytest.approx(0.3 / (math.sqrt(10) - 1))
    )
    # A wide interval does not excuse a bias that is noticeable in itself ...
    wide = fold_interval(0.0, 0.3 + 2.5 * noise)
    assert not wide.bias_dominates()
    assert wide.bias_dominates(least=0.1)
    assert wide.bias_dominates(neighbor_rate(6))
    # ... unless the drift is chance.
    assert not fold_interval(0.0, 0.3 + 8 * noise).bias_dominates(neighbor_rate(6), least=0.1)


def test_known_errors_tell_of_no_bias():
    interval = normal_interval(1.0, 0.1)
    assert interval.bias(neighbor_rate(6)) == 0.0
    assert not interval.bias_dominates(neighbor_rate(6))


def test_arguments_are_checked():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="2 to 5 folds"):
        disjoint_folds(5, 6, rng)
    with pytest.raises(InputError, match="at least 4 samples"):
        half_sampling_interval(lambda rows: 0.0, 3, rng)

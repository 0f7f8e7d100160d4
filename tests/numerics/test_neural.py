import math

import numpy as np
import pytest
import torch

from infoplane.numerics.neural import protocol
from infoplane.numerics.neural.bounds import (
    class_terms,
    infonce,
    quick_infonce,
    read_classes,
    read_pairs,
    smile,
)
from infoplane.numerics.neural.features import features
from infoplane.numerics.neural.gaussian import class_codes, normal_codes


def normal_pair(n, correlation, rng):
    x = rng.standard_normal(n)
    return x, correlation * x + math.sqrt(1 - correlation**2) * rng.standard_normal(n)


def true_scores(x, y, r):
    ratio = r / (1 - r**2) * np.outer(x, y) - 0.5 * r**2 / (1 - r**2) * np.add.outer(x**2, y**2)
    return torch.from_numpy(ratio - 0.5 * math.log(1 - r**2))


def test_infonce_is_at_most_log_n():
    assert float(infonce(torch.eye(7) * 1e3)) == pytest.approx(math.log(7))


def test_quick_infonce_is_infonce():
    x, y = normal_pair(300, 0.99, np.random.default_rng(7))
    scores = torch.stack([true_scores(x, y, 0.99), true_scores(y, x, 0.5)]).float()
    torch.testing.assert_close(quick_infonce(scores), infonce(scores), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [infonce, smile])
def test_the_true_log_ratio_reads_the_information(value):
    x, y = normal_pair(2000, 0.8, np.random.default_rng(0))
    # 0.51 nats; the log ratio varies by 0.8, over 2000 samples by 0.018.
    assert float(value(true_scores(x, y, 0.8))) == pytest.approx(-0.5 * math.log(0.36), abs=0.06)


def test_jackknife_is_that_of_bounds_without_each_sample():
    scores = torch.from_numpy(np.random.default_rng(1).normal(size=(25, 25)))
    without = []
    for k in range(25):
        rest = [i for i in range(25) if i != k]
        without.append(float(infonce(scores[rest][:, rest])))
    expected = math.sqrt(24 / 25 * np.square(without - np.mean(without)).sum())
    assert read_pairs(scores).error == pytest.approx(expected, rel=1e-6)


def test_error_of_a_large_matrix_is_that_of_a_part_scaled():
    x, y = normal_pair(3000, 0.7, np.random.default_rng(2))
    large = read_pairs(true_scores(x, y, 0.7)).error
    small = read_pairs(true_scores(x[:1000], y[:1000], 0.7)).error
    assert large == pytest.approx(small / math.sqrt(3), rel=0.15)


def test_certain_classes_read_their_entropy():
    ids = torch.arange(100) % 4
    scores = 50.0 * torch.eye(4)[ids]
    shares = torch.full((4,), -math.log(4))
    assert read_classes(scores, ids, shares).value == pytest.approx(math.log(4), abs=1e-6)
    assert float(class_terms(torch.zeros(100, 4), ids, shares).abs().max()) < 1e-6


def test_closed_form_leaves_out_what_is_chance():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 1000, 10))
    assert normal_codes(x, y, np.arange(1000)).left.shape[1] == 0
    y[:, 4] += x[:, 2]
    assert normal_codes(x, y, np.arange(1000)).left.shape[1] == 1


def test_closed_form_of_classes_is_the_discriminant():
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 2, 4000)
    x = 2.0 * ids[:, None] + rng.standard_normal((4000, 1))
    codes = class_codes(x, ids, 2, np.arange(4000))
    scores = codes.scores(np.array([0, 1]), slice(None))
    # The log odds of two unit normals at distance 2 are 2 x, but for a constant; shrunk by <= 20 %.
    slope = np.diff(scores[:, 1] - scores[:, 0])[0] / (x[1, 0] - x[0, 0])
    assert 1.5 < slope < 2.15


@pytest.mark.parametrize("dims", [1, 2, 4, 50])
def test_features_are_finite_also_of_columns_that_hardly_vary(dims):
    x = np.zeros((300, dims))
    x[:5] = np.random.default_rng(5).standard_normal((5, dims))
    seen = features(x, x)
    assert np.isfinite(seen).all()
    assert seen.shape[1] >= dims


def test_a_line_is_extrapolated_to_no_parts():
    line = protocol.extrapolated({1: 1.1, 2: 1.2, 4: 1.4}, 0.05)
    assert (line.value, line.slope) == pytest.approx((1.0, 0.1))
    assert line.error == pytest.approx(0.05)


def test_limits_agree_within_their_errors():
    near, far = (protocol.Line(value, 0.02, 0.0) for value in (1.05, 1.3))
    one = protocol.Line(1.0, 0.02, 0.0)
    assert protocol.agree(one, near, 0.0, 0.0)
    assert not protocol.agree(one, far, 0.1, 0.05)


@pytest.mark.parametrize("n", [400, 2003])
def test_no_row_is_trained_on_and_held_out(n):
    rng = np.random.default_rng(6)
    for train, held in protocol.seed_splits(n, 2, rng):
        assert sorted([*train, *held]) == list(range(n))
    parts = protocol.part_splits(n, 2, rng)
    assert len({*np.concatenate([*parts[0], *parts[1]])}) == sum(len(p) for s in parts for p in s)
    assert len({len(train) for train, _ in parts}) == 1

"""Information of random layers from several passes: bounds, limits, a linear network."""

import math

import numpy as np
import pytest

from infoplane.numerics.kernels.noisy import noisy_network_information
from infoplane.numerics.kernels.noisy_passes import passes_information


def linear(n, k, seed=0, inner=0.6, outer=0.7):
    """Return passes (n, k, 2) of S = B (A x + inner Z), their classes, and I(X; S + outer Z)."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    x = rng.normal(size=(n, 3))
    noise = inner * rng.normal(size=(n, k, 2))
    given_x = inner**2 * b @ b.T + outer**2 * np.eye(2)
    whole = b @ a @ a.T @ b.T + given_x
    truth = 0.5 * math.log2(np.linalg.det(whole) / np.linalg.det(given_x))
    return ((x @ a.T)[:, None] + noise) @ b.T, (x[:, 0] > 0).astype(np.int64), truth


@pytest.mark.parametrize("k", [8, 24])
@pytest.mark.parametrize("seed", range(3))
def test_linear_network_lies_between_the_bounds(k, seed):
    centres, classes, truth = linear(600, k, seed)
    found = passes_information(centres, classes, 0.7, 1, np.random.default_rng(1))
    ixt = found.ixt
    assert ixt.low < ixt.bits < ixt.high
    assert ixt.low - 3 * ixt.error < truth < ixt.high + 3 * ixt.error
    # What is left of both errors is of the order of 1 / k^2; 600 inputs add 0.02 bits.
    assert ixt.bits == pytest.approx(truth, abs=3 * ixt.error + 2 / k**2 + 0.02)


def test_bounds_close_with_passes():
    widths = []
    for k in (4, 8, 16, 32):
        found = passes_information(linear(200, k)[0], None, 0.7, 2, np.random.default_rng(1))
        widths.append(found.ixt.high - found.ixt.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.35 * widths[0]


def test_one_pass_is_the_plain_mixture():
    centres, classes, _ = linear(80, 1)
    ours = passes_information(centres, classes, 0.7, 300, np.random.default_rng(1))
    plain = noisy_network_information(centres[:, 0], classes, std=0.7, draws=300)
    assert ours.ixt.low == ours.ixt.bits == ours.ixt.high
    assert ours.ixt.bits == pytest.approx(plain.ixt, abs=5 * plain.ixt_error + 0.01)
    assert ours.ity.bits == pytest.approx(plain.ity, abs=5 * plain.ity_error + 0.01)


def test_equal_passes_change_nothing():
    centres = linear(60, 1)[0]
    one = passes_information(centres, None, 0.7, 400, np.random.default_rng(1)).ixt
    many = passes_information(centres.repeat(8, 1), None, 0.7, 50, np.random.default_rng(2)).ixt
    assert many.low == pytest.approx(many.high, abs=1e-9)
    assert many.bits == pytest.approx(one.bits, abs=0.03)  # of 400 draws each


def test_far_apart_inputs_are_told_apart():
    centres = 100.0 * np.arange(16.0)[:, None, None] + np.zeros((16, 3, 1))
    found = passes_information(centres, np.arange(16) % 2, 1.0, 2, np.random.default_rng(0))
    assert found.ixt.bits == pytest.approx(4.0, abs=1e-9)
    assert found.ity.bits == pytest.approx(1.0, abs=1e-9)
    assert found.others == math.inf or found.others > 1000


def test_noise_alone_has_no_information():
    centres = np.random.default_rng(0).normal(size=(200, 16, 2))
    found = passes_information(centres, np.arange(200) % 2, 2.0, 1, np.random.default_rng(1))
    assert found.ixt.low < 0.0 < found.ixt.high
    assert found.ixt.bits == pytest.approx(0.0, abs=0.01)
    assert found.ity.bits == pytest.approx(0.0, abs=0.01)
    assert found.null_ity == pytest.approx(0.0, abs=0.01)


def test_passes_far_apart_leave_no_lower_bound():
    centres = np.random.default_rng(0).normal(size=(20, 3, 200)) * 100
    found = passes_information(centres, None, 1.0, 1, np.random.default_rng(1)).ixt
    assert found.high == pytest.approx(math.log2(20), abs=1e-6)
    assert found.low < -100


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_is_that_of_the_noise(scale):
    centres, classes, _ = linear(50, 4)
    one = passes_information(centres, classes, 0.7, 1, np.random.default_rng(1))
    other = passes_information(scale * centres, classes, scale * 0.7, 1, np.random.default_rng(1))
    assert other.ixt.bits == pytest.approx(one.ixt.bits, abs=1e-9)


def test_blocks_agree_with_one_block(monkeypatch):
    centres, classes, _ = linear(50, 4)
    one = passes_information(centres, classes, 0.7, 2, np.random.default_rng(1))
    monkeypatch.setattr("infoplane.numerics.kernels.noisy_passes._PAIRS", 1000)
    two = passes_information(centres, classes, 0.7, 2, np.random.default_rng(1))
    assert two.ixt.bits == pytest.approx(one.ixt.bits, abs=1e-12)
    assert two.ity.low == pytest.approx(one.ity.low, abs=1e-12)

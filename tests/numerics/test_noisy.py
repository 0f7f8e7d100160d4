"""The sampling estimator for networks with real noise, against quadrature."""

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.numerics.kernels.noisy import noisy_network_information


def binary_channel(distance, std):
    """Return I(X;X + Z) for X = 0 or ``distance`` with equal probability, by quadrature."""
    z = np.linspace(-9, 9, 20_001)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    a = distance / std
    return 1 - float(weight @ np.log2(1 + np.exp(-a * z - a**2 / 2)))


@pytest.mark.parametrize("std", [0.1, 0.3, 0.5, 1.0, 3.0])
def test_binary_channel(std):
    layer = np.repeat([0.0, 1.0], 50)[:, None]
    info = noisy_network_information(layer, np.repeat([0, 1], 50), std=std, draws=200)
    exact = binary_channel(1.0, std)
    # five standard errors, and a floor for errors too rare to be drawn
    assert info.ixt == pytest.approx(exact, abs=5 * info.ixt_error + 1e-5)
    assert info.ity == pytest.approx(exact, abs=5 * info.ity_error + 1e-5)


def test_errors_are_those_of_repetition():
    layer = np.random.default_rng(0).normal(size=(60, 2))
    runs = [
        noisy_network_information(layer, std=0.4, draws=8, rng=np.random.default_rng(seed))
        for seed in range(200)
    ]
    spread = np.std([run.ixt for run in runs])
    error = np.sqrt(np.mean([run.ixt_error**2 for run in runs]))
    assert error == pytest.approx(spread, rel=0.2)  # 200 repetitions know the spread to 5 %


def test_merging_noise_balls_lose_information():
    layer = np.random.default_rng(0).normal(size=(100, 3))
    values = [noisy_network_information(layer, std=s, draws=4).ixt for s in (1e-3, 0.3, 1.0, 10.0)]
    assert values[0] == pytest.approx(np.log2(100), abs=1e-9)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2


def test_blocks_agree_with_one_block(monkeypatch):
    layer = np.random.default_rng(0).normal(size=(90, 3))
    labels = np.arange(90) % 4
    one = noisy_network_information(layer, labels, std=0.5, draws=3)
    monkeypatch.setattr("infoplane.numerics.kernels.noisy.BLOCK", 1000)
    two = noisy_network_information(layer, labels, std=0.5, draws=3)
    assert two.ixt == pytest.approx(one.ixt, abs=1e-12)
    assert two.ity == pytest.approx(one.ity, abs=1e-12)


def test_wide_layers_do_not_overflow():
    layer = np.random.default_rng(0).normal(size=(20, 5000))
    info = noisy_network_information(layer, np.arange(20) % 2, std=0.5, draws=2)
    assert info.ixt == pytest.approx(np.log2(20), abs=1e-9)
    assert info.ity == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"std": 0.0}, "std"),
        ({"std": 1.0, "draws": 1}, "draws"),
        ({"std": 1, "labels": [0]}, "lab"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(InputError, match=message):
        noisy_network_information(np.array([[0.0], [1.0]]), **arguments)

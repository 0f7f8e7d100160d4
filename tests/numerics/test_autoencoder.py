"""Learned compression of inputs."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from infoplane.errors import InputError
from infoplane.numerics.neighbors.estimates import shuffle_difference
from infoplane.numerics.networks import autoencoder
from infoplane.numerics.networks import dimension as code_dimension
from infoplane.numerics.networks.autoencoder import fit_autoencoder

STEPS = 200


def sheet(n, seed=0, width=30):
    """Return points on a curved sheet of two dimensions, and their coordinates."""
    hidden = np.random.default_rng(seed).normal(size=(n, 2))
    weights = np.random.default_rng(99).normal(size=(2, width))
    return np.tanh(hidden @ weights / 2), hidden


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(autoencoder, "_kept", {})
    monkeypatch.setattr(code_dimension, "_STEPS", STEPS)
    monkeypatch.setattr(code_dimension, "_STARTS", 1)


@pytest.fixture
def trainings(monkeypatch):
    calls = []
    train = autoencoder.trained_encoders
    monkeypatch.setattr(
        autoencoder, "trained_encoders", lambda *args: calls.append(1) or train(*args)
    )
    monkeypatch.setattr(autoencoder, "_STARTS", 1)
    return calls


def test_sheet_is_found_and_coded_without_collapse():
    inputs, _ = sheet(2000)
    encoder = fit_autoencoder(inputs, steps=STEPS)
    assert encoder.dim == 2
    assert encoder.error < 0.05
    code = encoder.encode(inputs)
    np.testing.assert_allclose(code.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(code.std(axis=0), 1.0, atol=0.02)


def test_code_keeps_the_information_of_the_sheet():
    encoder = fit_autoencoder(sheet(2000)[0], 2, steps=STEPS)
    rng = np.random.default_rng(3)
    weights = np.random.default_rng(99).normal(size=(2, 30))
    x = rng.normal(size=(2000, 2))
    y = 0.8 * x + 0.6 * rng.normal(size=(2000, 2))
    a, b = (encoder.encode(np.tanh(z @ weights / 2)) for z in (x, y))
    assert shuffle_difference(a, b) == pytest.approx(-np.log2(0.6**2), abs=0.3)
    unrelated = encoder.encode(np.tanh(rng.normal(size=(2000, 2)) @ weights / 2))
    assert shuffle_difference(a, unrelated) == pytest.approx(0.0, abs=0.1)


def test_images_are_flattened():
    centers = ndtr(np.random.default_rng(0).normal(size=(300, 2)))
    grid = np.linspace(0, 1, 8)
    across = (grid - centers[:, :1]) ** 2
    down = (grid - centers[:, 1:]) ** 2
    images = np.exp(-10 * (down[:, :, None] + across[:, None, :])).astype(np.float32)
    encoder = fit_autoencoder(images, 2, steps=20)
    assert encoder.encode(images).shape == (300, 2)


def test_trained_once_per_content(trainings):
    inputs, _ = sheet(100)
    one = fit_autoencoder(inputs, 2, steps=5)
    assert fit_autoencoder(inputs.copy(), 2, steps=5) is one
    fit_autoencoder(inputs, 2, steps=5, seed=1)
    fit_autoencoder(inputs + 1e-9, 2, steps=5)
    assert len(trainings) == 3


def test_a_process_remembers_the_latest(trainings, monkeypatch):
    monkeypatch.setattr(autoencoder, "_KEPT", 2)
    inputs, _ = sheet(100)
    for seed in (0, 1, 2, 2, 1, 0):
        fit_autoencoder(inputs, 2, steps=5, seed=seed)
    assert len(trainings) == 4


def test_same_seed_same_code_and_global_state_untouched(monkeypatch):
    inputs, _ = sheet(200)
    torch.manual_seed(4)
    before = torch.get_rng_state().clone(), torch.get_num_threads()
    one = fit_autoencoder(inputs, 2, steps=20).encode(inputs)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    monkeypatch.setattr(autoencoder, "_kept", {})
    np.testing.assert_array_equal(fit_autoencoder(inputs, 2, steps=20).encode(inputs), one)


def test_encoder_pickles():
    inputs, _ = sheet(100)
    encoder = fit_autoencoder(inputs, 2, steps=5)
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.encode(inputs), encoder.encode(inputs))
    assert copy.content_hash == encoder.content_hash


def test_code_as_wide_as_the_inputs_is_a_turn_of_them_and_costs_no_training(trainings):
    inputs = np.random.default_rng(0).normal(size=(500, 3)) * [3.0, 1.0, 0.5]
    encoder = fit_autoencoder(inputs, 3)
    assert (encoder.error, len(trainings)) == (0.0, 0)
    scores, _ = encoder.basis.project(inputs)
    np.testing.assert_array_equal(encoder.encode(inputs), encoder.last(scores / encoder.scale))


def test_few_samples_are_not_learned_by_heart():
    # Of ten independent directions of one size, six cannot hold more than about six tenths.
    inputs = np.random.default_rng(1).normal(size=(200, 10))
    assert fit_autoencoder(inputs, 6).error > 0.1


def test_unfit_inputs_are_refused():
    with pytest.raises(InputError, match="at least 50 inputs"):
        fit_autoencoder(np.zeros((20, 3)))
    with pytest.raises(InputError, match="constant"):
        fit_autoencoder(np.ones((100, 3)))

"""Learned compression of inputs."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from infoplane.errors import InputError
from infoplane.numerics.neighbors.estimates import shuffle_difference
from infoplane.numerics.networks import (
    autoencoder,
)
from infoplane.numerics.networks import (
    cache as encoder_cache,
)
from infoplane.numerics.networks import (
    dimension as code_dimension,
)
from infoplane.numerics.networks.autoencoder import fit_autoencoder
from infoplane.numerics.networks.cache import cache_folder, read_encoder, write_encoder

STEPS = 200


def sheet(n, seed=0, width=30):
    """Return points on a curved sheet of two dimensions, and their coordinates."""
    hidden = np.random.default_rng(seed).normal(size=(n, 2))
    weights = np.random.default_rng(99).normal(size=(2, width))
    return np.tanh(hidden @ weights / 2), hidden


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(autoencoder, "_trained", {})
    monkeypatch.setattr(code_dimension, "_STEPS", STEPS)
    monkeypatch.setattr(code_dimension, "_STARTS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "infoplane" / "encoders"


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


def test_another_process_reads_what_was_trained(cache, trainings, monkeypatch):
    inputs, _ = sheet(100)
    one = fit_autoencoder(inputs, 2, steps=5)
    assert [path.name for path in cache.iterdir()] == [f"{one.content_hash}.npz"]
    monkeypatch.setattr(autoencoder, "_trained", {})  # as in a new process
    two = fit_autoencoder(inputs, 2, steps=5)
    assert len(trainings) == 1
    assert (two.error, two.content_hash) == (one.error, one.content_hash)
    np.testing.assert_array_equal(two.encode(inputs), one.encode(inputs))


@pytest.mark.parametrize("damage", ["half", "empty", "foreign", "renamed", "pickle", "incomplete"])
def test_a_damaged_entry_is_trained_anew(damage, cache, trainings, monkeypatch):
    inputs, _ = sheet(100)
    one = fit_autoencoder(inputs, 2, steps=5)
    path = cache / f"{one.content_hash}.npz"
    if damage == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"not an archive at all")
    elif damage == "renamed":
        other = fit_autoencoder(inputs, 2, steps=5, seed=1)
        path.write_bytes((cache / f"{other.content_hash}.npz").read_bytes())
        trainings.pop()
    elif damage == "pickle":
        np.savez(path, content_hash=np.array([object()], dtype=object))
    else:
        np.savez(path, content_hash=np.array(one.content_hash), numbers=np.zeros(3))
    monkeypatch.setattr(autoencoder, "_trained", {})
    again = fit_autoencoder(inputs, 2, steps=5)
    assert len(trainings) == 2
    np.testing.assert_array_equal(again.encode(inputs), one.encode(inputs))
    monkeypatch.setattr(autoencoder, "_trained", {})
    fit_autoencoder(inputs, 2, steps=5)
    assert len(trainings) == 2  # the entry is whole again


def test_a_folder_that_cannot_be_written_costs_the_cache_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fit_autoencoder(sheet(100)[0], 2, steps=5).dim == 2


def test_a_relative_cache_folder_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "infoplane" / "encoders"


def test_writers_at_once_leave_a_whole_entry_and_nothing_else(cache):
    arrays = {"values": np.arange(100_000.0)}

    def write(_):
        write_encoder("0123456789abcdef", arrays)
        return read_encoder("0123456789abcdef")

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(write, range(32)):
            np.testing.assert_array_equal(found["values"], arrays["values"])
    assert [path.name for path in cache.iterdir()] == ["0123456789abcdef.npz"]


def test_the_oldest_entries_go(cache, monkeypatch):
    monkeypatch.setattr(encoder_cache, "_KEPT", 2)
    for age, name in enumerate(("a", "b", "c")):
        write_encoder(name, {})
        if name != "c":
            os.utime(cache / f"{name}.npz", (age, age))
    assert sorted(path.name for path in cache.iterdir()) == ["b.npz", "c.npz"]


def test_same_seed_same_code_and_global_state_untouched(monkeypatch):
    inputs, _ = sheet(200)
    torch.manual_seed(4)
    before = torch.get_rng_state().clone(), torch.get_num_threads()
    one = fit_autoencoder(inputs, 2, steps=20).encode(inputs)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    monkeypatch.setattr(autoencoder, "_trained", {})
    monkeypatch.setattr(autoencoder, "read_encoder", lambda key: None)
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

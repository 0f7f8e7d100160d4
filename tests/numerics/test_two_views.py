"""Layers compared with inputs through learned codes."""

import math
from functools import partial

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.numerics import autoencoder, two_views
from infoplane.numerics.compression import compressed_information


def curved_pair(n=2000, rho=0.8, seed=0):
    """Return two views of 40 units on curved sheets, and their information in bits."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, 2))
    weights = np.random.default_rng(99).normal(size=(2, 40))
    return np.tanh(x @ weights / 2), np.tanh(y @ weights / 2), -math.log2(1 - rho**2)


@pytest.fixture
def quick_training(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    train = partial(autoencoder.fit_autoencoder, steps=200)
    monkeypatch.setattr(two_views, "fit_autoencoder", train)


def test_an_autoencoder_codes_a_curved_layer(quick_training):
    inputs, layer, truth = curved_pair()
    found = compressed_information(layer, inputs=inputs, mode="joint", basis="autoencoder")
    assert found.dim == 2
    assert found.ixt.bits == pytest.approx(truth, abs=0.3)
    assert "large_compression_loss" not in found.ixt.flags
    assert found.diagnostics["basis"] != found.diagnostics["encoder"]
    assert compressed_information(
        layer, inputs=inputs, mode="ksg", basis="autoencoder", dim=3
    ).dim == 3  # fmt: skip


def test_a_learned_basis_is_for_two_views():
    layer = np.random.default_rng(0).normal(size=(100, 6))
    with pytest.raises(InputError, match="mode joint or ksg"):
        compressed_information(layer, basis="autoencoder")
    with pytest.raises(InputError, match="'autoencoder', got 'pooled'"):
        compressed_information(layer, basis="pooled")

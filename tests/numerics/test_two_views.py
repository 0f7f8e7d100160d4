"""Layers compared with inputs through learned codes."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.special import ndtr

from infoplane.errors import InputError
from infoplane.estimators.layers.compressed.information import compressed_information
from infoplane.estimators.layers.compressed.two_views import view_estimate
from infoplane.numerics.neighbors.estimates import shuffle_differences
from infoplane.numerics.neighbors.terms import flat_and_sharp_weights
from infoplane.numerics.networks import autoencoder, view_codes
from infoplane.numerics.networks import dimension as code_dimension
from infoplane.numerics.networks.dimension import Surface
from infoplane.numerics.projection import principal_basis


def curved_pair(n=2000, rho=0.8, seed=0):
    """Return two views of 40 units on curved sheets, and their information in bits."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, 2))
    weights = np.random.default_rng(99).normal(size=(2, 40))
    return np.tanh(x @ weights / 2), np.tanh(y @ weights / 2), -math.log2(1 - rho**2)


@pytest.fixture
def quick_training(monkeypatch):
    train = partial(autoencoder.fit_autoencoder, steps=200)
    monkeypatch.setattr(view_codes, "fit_autoencoder", train)
    monkeypatch.setattr(code_dimension, "_STEPS", 200)
    monkeypatch.setattr(code_dimension, "_STARTS", 1)


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


def image_pair(n, rho, size=12, seed=0):
    """Return images of Gaussians whose centres are dependent, and their information in bits."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, 2))
    grid = np.linspace(0, 1, size)

    def drawn(z):
        across, down = ((grid - ndtr(z[:, i : i + 1])) ** 2 for i in (0, 1))
        return np.exp(-10 * (down[:, :, None] + across[:, None, :])).reshape(n, -1)

    return drawn(x), drawn(y), -math.log2(1 - rho**2)


def test_a_layer_that_its_principal_components_fold_is_learned_by_default(
    quick_training, monkeypatch
):
    for module in (autoencoder, view_codes):  # found in test_code_dimension
        monkeypatch.setattr(module, "learned_surface", lambda *_, **__: Surface(2, 0.01))
    inputs, layer, truth = image_pair(2000, 0.95)
    found = compressed_information(layer, inputs=inputs, mode="joint")
    assert (found.dim, found.diagnostics["dim_x"]) == (2, 2)
    assert found.ixt.bits == pytest.approx(truth, abs=0.3)
    assert "large_compression_loss" not in found.ixt.flags
    folded = compressed_information(
        layer, inputs=inputs, mode="joint", basis=principal_basis(layer, 2)
    )
    assert folded.ixt.bits < truth - 0.4
    assert "large_compression_loss" in folded.ixt.flags
    declared = compressed_information(layer, inputs=inputs, mode="joint", noise=0.1)
    assert declared.loss_bound_t > 0.0  # of a projection: bounds hold for no other code


def test_a_layer_that_lies_flat_is_projected(quick_training, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(view_codes, "learned_code", None)  # never called
    flat = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 30))
    code, encoder = view_codes.layer_code(flat, principal_basis(flat, 30), None, 0)
    assert (code.dim, encoder) == (6, None)
    monkeypatch.setattr(code_dimension, "_STEPS", 50)
    full = rng.normal(size=(500, 30))
    code, encoder = view_codes.layer_code(full, principal_basis(full, 30), None, 0)
    assert (code.dim, encoder) == (4, None)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.0, 2.0, 6.0])
def test_rectangles_are_measured_by_default(truth):
    """Edges that move by pixels have distances of five dimensions, where there are four."""
    n, size, shortest, pixel = 5000, 32, 2 / 32, np.arange(32)
    rng = np.random.default_rng(5)
    rho = math.sqrt(1 - math.exp(-truth / 2))
    x = rng.normal(size=(n, 4))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, 4))

    def drawn(z):
        sides = []
        for axis in (0, 2):
            left = (1 - shortest) * (1 - np.sqrt(1 - ndtr(z[:, axis])))
            right = left + shortest + ndtr(z[:, axis + 1]) * (1 - left - shortest)
            covered = np.minimum(right[:, None] * size, pixel + 1)
            sides.append(np.clip(covered - np.maximum(left[:, None] * size, pixel), 0, 1))
        return (sides[0][:, :, None] * sides[1][:, None, :]).reshape(n, -1)

    found = compressed_information(drawn(x), inputs=drawn(y), mode="joint")
    assert (found.dim, found.diagnostics["dim_x"]) == (4, 4)
    # Mean and standard deviation of the error of codes at 6 nats are -0.14 and 0.04.
    assert found.ixt.bits * math.log(2) == pytest.approx(truth, abs=0.3)


def bent_pair(truth, n, seed=0, d=4):
    """Return normal views of ``truth`` bits, turned, bent, and turned again."""
    rng = np.random.default_rng(seed)
    rho = math.sqrt(1 - 4 ** (-truth / d))
    x = rng.normal(size=(n, d))
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d))
    views = []
    for view in (x, y):
        turns = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2)]
        bent = view @ turns[0]
        views.append((bent + 0.4 * np.sin(2 * bent)) @ turns[1])
    return views


def test_weights_are_sharp_where_views_share_much():
    sharpness = []
    for truth in (0.0, 2.0, 10.0):
        a, b = bent_pair(truth, 2000)
        found, _, parts = view_estimate(a, b, "joint", None, 10, np.random.default_rng(0))
        assert found.low < found.bits < found.high
        assert found.diagnostics["k"] == 80
        assert len(parts) == 10
        sharpness.append(found.diagnostics["sharpness"])
        assert found.bits == pytest.approx(truth, abs=0.2 if truth < 10 else 0.6)
    assert sharpness[0] == 0.0
    assert sharpness == sorted(sharpness)
    assert sharpness[-1] <= 1.15
    weights = np.array(flat_and_sharp_weights(80, 8))[:, :1]
    flat = shuffle_differences(a, b, weights, permutations=4, seed=1)[0] / math.log(2)
    assert flat < 10.0 - 1.0


def test_normal_codes_are_not_called_biased():
    for seed in range(8):
        for truth in (0.0, 4.0):
            rng = np.random.default_rng(seed)
            rho = math.sqrt(1 - 4 ** (-truth / 4))
            x = rng.normal(size=(1000, 4))
            y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(1000, 4))
            found, _, _ = view_estimate(x, y, "joint", None, 10, rng)
            assert found.bits == pytest.approx(truth, abs=0.5)
            assert "biased" not in found.flags, (seed, truth)


def test_counts_have_no_sharpness():
    a, b = bent_pair(2.0, 500, d=1)
    found, _, _ = view_estimate(a, b, "ksg", None, 10, np.random.default_rng(0))
    assert found.diagnostics["sharpness"] is None


def test_estimates_that_disagree_are_told_unless_counts_are_at_their_ceiling():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    rings = []
    for view in (x, x + 0.1 * rng.normal(size=x.shape)):
        turned = ndtr(view @ np.linalg.qr(rng.normal(size=(2, 2)))[0])
        radius, angle = 1 + turned[:, :1], 2 * np.pi * turned[:, 1:]
        rings.append(np.hstack([radius * np.cos(angle), radius * np.sin(angle)]))
    found, _, _ = view_estimate(*rings, "joint", None, 10, rng)
    assert found.diagnostics["ksg"] < 0.85 * found.bits
    assert "estimators_disagree" in found.flags
    x = rng.normal(size=(2000, 1))
    strong = view_estimate(x, x + 3e-4 * rng.normal(size=x.shape), "joint", None, 10, rng)[0]
    assert strong.bits == pytest.approx(-math.log2(3e-4), abs=0.2)
    assert strong.diagnostics["ksg"] > 0.85 * strong.diagnostics["ksg_ceiling"]
    assert strong.diagnostics["ksg"] < strong.bits - 1.0
    assert "estimators_disagree" not in strong.flags


@pytest.mark.parametrize("n", [100, 140])
def test_too_few_samples_for_folds_leave_no_interval(n):
    a, b = bent_pair(2.0, n, d=1)
    found, parts_of, parts = view_estimate(a, b, "joint", None, 10, np.random.default_rng(0))
    assert found.bits == pytest.approx(2.0, abs=0.6)
    assert (found.low, found.high, parts_of, len(parts)) == (None, None, [], 0)


def test_a_learned_basis_is_for_two_views():
    layer = np.random.default_rng(0).normal(size=(100, 6))
    with pytest.raises(InputError, match="mode joint or ksg"):
        compressed_information(layer, basis="autoencoder")
    with pytest.raises(InputError, match="'autoencoder', got 'pooled'"):
        compressed_information(layer, basis="pooled")

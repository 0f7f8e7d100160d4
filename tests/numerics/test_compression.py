"""Compressed information: known truths, loss bounds, and what must be refused or flagged."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import InputError
from infoplane.estimators.layers.compressed.information import (
    CompressedInformation,
    compressed_information,
)
from infoplane.estimators.layers.compressed.label_estimates import label_estimate
from infoplane.numerics.codes import folds_of, largest_dim
from infoplane.numerics.loss_bounds import (
    activation_loss_bound,
    capacity,
    input_loss_bound,
    label_loss,
)
from infoplane.numerics.neighbors.noise_channel import (
    may_contain_noise,
    noise_information,
    recorded_information,
    reference_bias,
)
from infoplane.numerics.neighbors.search import neighbor_distances
from infoplane.numerics.neighbors.terms import entropy_terms, minimum_norm_weights
from infoplane.numerics.projection import principal_basis

NATS = math.log(2.0)


def by_neighbors(layer, labels=None, **options):
    """Return what distances to neighbours say, not the bracket that is the default."""
    return compressed_information(layer, labels, mode="neighbors", **options)


def linear_layer(q, share, n=3000, seed=0):
    """Return inputs, clean and noisy layer, noise and covariance of the clean layer."""
    rng = np.random.default_rng(seed)
    spectrum = 1.0 / np.arange(1, 21)
    weights = rng.normal(size=(20, q)) / math.sqrt(20)
    covariance = weights.T @ (spectrum[:, None] * weights)
    noise = share * math.sqrt(np.trace(covariance) / q)
    x = rng.normal(size=(n, 20)) * np.sqrt(spectrum)
    clean = x @ weights
    return x, clean, clean + noise * rng.normal(size=clean.shape), noise, covariance


def linear_truth(covariance, noise):
    return 0.5 * np.linalg.slogdet(np.eye(len(covariance)) + covariance / noise**2)[1] / NATS


@pytest.mark.parametrize(("q", "share"), [(4, 1.0), (4, 0.1), (4, 0.001), (8, 1.0), (8, 0.01)])
@pytest.mark.parametrize("added", [True, False])
def test_linear_layer_with_noise(q, share, added):
    _, clean, noisy, noise, covariance = linear_layer(q, share)
    found = by_neighbors(clean if added else noisy, noise=noise, dim=q, noisy=not added, seed=3)
    # The sample's own fluctuation is sqrt(q / 2n) = 0.04 nats, the estimate adds as much.
    assert found.ixt.bits == pytest.approx(linear_truth(covariance, noise), abs=0.16 / NATS)
    assert found.dim == q
    assert found.diagnostics["noise_source"] == ("added" if added else "recorded")


@pytest.mark.parametrize("added", [True, False])
def test_noise_is_told_from_the_data_where_its_absence_shows(added):
    rng = np.random.default_rng(0)
    clean = np.sign(rng.normal(size=(2000, 2))) + 0.0  # four points: 2 bits
    given_ = clean if added else clean + 0.05 * rng.normal(size=clean.shape)
    found = compressed_information(given_, noise=0.05)
    assert found.ixt.bits == pytest.approx(2.0, abs=0.1)
    assert may_contain_noise(given_, 0.05) is not added


def test_unrelated_noise_holds_nothing():
    values = [
        noise_information(np.random.default_rng(s).normal(size=(1000, 6)), 1.0).bits
        for s in range(8)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values, ddof=1) / math.sqrt(8)


@pytest.mark.parametrize(("n", "k", "d"), [(400, 8, 1), (400, 8, 3), (1000, 20, 5)])
def test_reference_bias_is_the_mean_error_on_normal_samples(n, k, d):
    weights = np.array(minimum_norm_weights(k, d))
    errors = []
    for seed in range(40):
        points = np.random.default_rng(seed).normal(size=(n, d))
        surprise = 0.5 * (points**2).sum(axis=1).mean() + 0.5 * d * math.log(2 * math.pi)
        terms = entropy_terms(neighbor_distances(points, k), d, weights)
        errors.append(terms.mean() - surprise)
    standard_error = np.std(errors, ddof=1) / math.sqrt(40)
    assert reference_bias(n, k, d) == pytest.approx(np.mean(errors), abs=4 * standard_error)


def test_four_points_hold_two_bits_between_equal_bounds():
    clean = np.tile([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]], (100, 1))
    noisy = clean + 0.5 * np.random.default_rng(0).normal(size=clean.shape)
    found = noise_information(noisy, 0.5, clean=clean)
    low, high = found.bounds
    assert low == pytest.approx(2.0, abs=0.1)  # the noise drawn fluctuates by sqrt(q / 2n)
    assert low <= found.bits <= high <= low + 0.02


def test_recorded_inputs_hold_what_the_mixture_says():
    rng = np.random.default_rng(0)
    corners = np.tile([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]], (100, 1))
    noisy = corners + 0.5 * rng.normal(size=corners.shape)
    bits, error = recorded_information(corners, noisy, 0.5, rng)
    assert (bits, error) == pytest.approx((2.0, 0.0), abs=1e-5)
    apart = 1e3 * rng.normal(size=(256, 3))
    bits, _ = recorded_information(apart, apart + 0.1 * rng.normal(size=(256, 3)), 0.1, rng)
    assert bits == pytest.approx(8.0, abs=1e-4)
    assert bits <= 8.0
    overlapping = rng.normal(size=(400, 2))
    noisy = overlapping + 50.0 * rng.normal(size=(400, 2))
    assert recorded_information(overlapping, noisy, 50.0, rng)[0] == pytest.approx(0.0, abs=0.01)


def test_distinct_points_far_apart_reach_the_logarithm_of_their_number():
    clean = 1e3 * np.random.default_rng(0).normal(size=(256, 3))
    noisy = clean + 0.1 * np.random.default_rng(1).normal(size=clean.shape)
    low, high = noise_information(noisy, 0.1, clean=clean).bounds
    assert low == pytest.approx(8.0, abs=0.5)
    # of the normal distribution that they were drawn from, where single-precision terms are 0
    assert 3 * math.log2(1e3 / 0.1) < high < math.inf


@pytest.mark.parametrize("gain", [4.0, 16.0])
def test_bounds_hold_saturated_units(gain):
    # Eight units that are four independent copies of two: information adds up.
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 2))
    pair = np.tanh(gain * rng.normal(size=(20_000, 2)) @ weights)
    noisy = pair + 0.3 * rng.normal(size=pair.shape)
    truth = 4 * noise_information(noisy, 0.3, clean=pair).bits
    clean = np.hstack([np.tanh(gain * rng.normal(size=(3000, 2)) @ weights) for _ in range(4)])
    found = noise_information(clean + 0.3 * rng.normal(size=clean.shape), 0.3, clean=clean)
    assert found.bounds[0] - 0.2 < truth < found.bounds[1] + 0.2
    assert abs(found.bits - truth) < 0.4
    assert abs(found.bits - truth) <= abs(found.neighbor - truth) + 1e-9


@pytest.mark.parametrize("q", [1, 2, 4])
def test_loss_bound_is_exact_on_linear_layers(q):
    _, _, noisy, noise, covariance = linear_layer(8, 0.3, n=20_000)
    scores, rest = principal_basis(noisy, 8).project(noisy)
    values = np.linalg.eigvalsh(covariance)[::-1]
    exact = 0.5 * np.log2(1 + values[q:] / noise**2).sum()
    bound = activation_loss_bound(scores, q, noise, n_units=8, residual_variance=rest)
    assert bound == pytest.approx(exact, abs=0.05 / NATS)
    # Directions that are not resolved can only raise it.
    scores, rest = principal_basis(noisy, 5).project(noisy)
    coarse = activation_loss_bound(scores, q, noise, n_units=8, residual_variance=rest)
    assert coarse >= bound - 1e-9


def wide_layer(width, gains, noise, n, seed=0):
    """Return a linear layer with noise, and the exact information of each of its directions."""
    rng = np.random.default_rng(seed)
    weights = np.linalg.qr(rng.normal(size=(width, len(gains))))[0].T * np.array(gains)[:, None]
    clean = rng.normal(size=(n, len(gains))) @ weights
    exact = 0.5 * np.log2(1 + np.square(gains) / noise**2)
    return clean, clean + noise * rng.normal(size=clean.shape), exact


@pytest.mark.parametrize(("width", "n"), [(30, 1500), (200, 5000)])
@pytest.mark.parametrize("q", [1, 2, 3, 6])
def test_loss_bound_does_not_count_the_noise_of_units(width, n, q):
    _, noisy, exact = wide_layer(width, [3.0, 2.0, 1.5], 0.2, n)
    scores, rest = principal_basis(noisy, min(64, width)).project(noisy)
    bound = activation_loss_bound(scores, q, 0.2, n_units=width, residual_variance=rest)
    assert bound == pytest.approx(exact[q:].sum(), abs=0.3)  # sd 0.2 and 0.1


def test_dimension_of_a_layer_that_contains_its_noise():
    clean, noisy, exact = wide_layer(40, [3.0, 2.0, 1.5], 0.2, 3000)
    for layer, source in ((noisy, "recorded"), (clean, "added")):
        found = by_neighbors(layer, noise=0.2)
        assert found.dim == 3
        assert found.diagnostics["noise_source"] == source
        assert found.ixt.bits == pytest.approx(exact.sum(), abs=0.2)
        assert "large_compression_loss" not in found.ixt.flags


def test_directions_chosen_by_noise_are_told():
    gains = [3.0, 2.0, 1.5]
    _, noisy, exact = wide_layer(60, gains, 1.0, 2000)
    wide = compressed_information(noisy, noise=1.0, noisy=True, dim=8)
    excess = wide.ixt.bits - exact.sum()
    assert excess > 0.6
    assert wide.diagnostics["selection_bias"] == pytest.approx(excess, abs=0.2)
    assert "biased" in wide.ixt.flags
    _, noisy, _ = wide_layer(8, gains, 1.0, 2000)
    whole = compressed_information(noisy, noise=1.0, noisy=True, dim=8)
    assert whole.diagnostics["selection_bias"] == pytest.approx(0.0, abs=1e-9)
    assert "biased" not in whole.ixt.flags


@pytest.mark.parametrize("kept", [1, 4, 10])
def test_input_loss_bound_is_exact_on_linear_layers(kept):
    rng = np.random.default_rng(1)
    spectrum = 1.0 / np.arange(1, 21)
    x = rng.normal(size=(20_000, 20)) * np.sqrt(spectrum)
    weights = rng.normal(size=(20, 3))
    noise = 0.5
    code = x @ weights + noise * rng.normal(size=(20_000, 3))
    lost = weights[kept:].T @ (spectrum[kept:, None] * weights[kept:])
    exact = 0.5 * np.linalg.slogdet(np.eye(3) + lost / noise**2)[1]
    assert input_loss_bound(code, x[:, :kept], noise) * NATS == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("gain", [1.0, 4.0, 16.0])
def test_loss_bound_is_not_violated_by_tanh_units(gain):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 2))
    noisy = np.tanh(gain * rng.normal(size=(8000, 2)) @ weights) + 0.1 * rng.normal(size=(8000, 2))
    scores, rest = principal_basis(noisy, 2).project(noisy)
    whole, kept = (noise_information(scores[:, :q], 0.1).bits for q in (2, 1))
    bound = activation_loss_bound(scores, 1, 0.1, n_units=2, residual_variance=rest)
    assert whole - kept <= bound + 0.03


@given(st.integers(0, 20), st.floats(0.05, 2.0))
def test_capacity_grows_with_dimension_and_falls_with_noise(seed, noise):
    points = np.random.default_rng(seed).normal(size=(100, 5))
    one, two = (capacity(points[:, :q], noise, contained=False) for q in (2, 3))
    assert one <= two
    assert capacity(points, 2 * noise, contained=False) <= capacity(points, noise, contained=False)


def labelled(n=2000, seed=0, width=12):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    hidden = 2.0 * np.eye(4)[y] + rng.normal(size=(n, 4))
    return np.tanh(hidden @ rng.normal(size=(4, width)) / 2), y


def test_chain_rule_and_bounds():
    activations, y = labelled()
    found = by_neighbors(activations, y)
    assert isinstance(found, CompressedInformation)
    assert found.ixt_given_y.bits == pytest.approx(found.ixt.bits - found.ity.bits)
    assert found.ity.bound_high == pytest.approx(2.0, abs=0.01)
    assert found.ixt.bound_high == found.capacity
    for estimate in (found.ixt, found.ity, found.ixt_given_y):
        assert estimate.low < estimate.bits < estimate.high
    assert (found.ixt.method, found.ity.method) == ("jackknife", "subsample")
    assert found.ixt_given_y.method == "jackknife"
    json.dumps(found.diagnostics, allow_nan=False)
    for key in ("se", "dim", "explained_variance", "loss_bound_t", "loss_bound_x", "capacity",
                "log2_n", "id_ratio", "duplicates", "weights_norm", "k", "n", "noise", "ksg",
                "noise_relative", "basis", "stability"):  # fmt: skip
        assert key in found.diagnostics, key


def test_noise_is_independent_of_data_drawn_with_the_same_seed():
    # default_rng(0) draws the data; noise out of the same stream would be a function of them.
    layer = np.sign(np.random.default_rng(0).normal(size=(2000, 2)))
    found = compressed_information(layer, noise=0.05, noisy=False, seed=0)
    assert found.ixt.bits == pytest.approx(2.0, abs=0.1)


def test_same_seed_same_numbers_other_seed_others():
    activations, y = labelled(500)
    one, two, three = (compressed_information(activations, y, seed=s) for s in (0, 0, 1))
    assert one.ixt == two.ixt
    assert one.ixt.bits != three.ixt.bits


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_default_noise_follows_the_scale(scale):
    activations, y = labelled(500)
    one, two = (
        compressed_information(activations, y),
        compressed_information(activations * scale, y),
    )
    assert two.ixt.bits == pytest.approx(one.ixt.bits, abs=1e-6)
    assert two.ity.bits == pytest.approx(one.ity.bits, abs=1e-6)


def test_offset_does_not_matter_at_given_noise():
    activations, y = labelled(500)
    one = compressed_information(activations, y, noise=0.1, noisy=False)
    two = compressed_information(activations + 1e5, y, noise=0.1, noisy=False)
    assert two.ixt.bits == pytest.approx(one.ixt.bits, abs=1e-3)


def test_units_of_measurement_and_precision_change_no_draw():
    activations, y = labelled()
    expected = compressed_information(activations, y, noise=0.1, noisy=False)
    for layer, noise in (
        (activations * 1e6, 1e5),
        (activations * 1e-6, 1e-7),
        (activations + 1e6, 0.1),
        (activations.astype(np.float32), 0.1),
        (np.asfortranarray(activations), 0.1),
    ):
        found = compressed_information(layer, y, noise=noise, noisy=False)
        assert found.ixt.bits == pytest.approx(expected.ixt.bits, abs=1e-4)
        assert found.ity.bits == pytest.approx(expected.ity.bits, abs=1e-2)


def test_more_noise_less_information():
    activations, _ = labelled()
    sizes = (0.05, 0.1, 0.2, 0.5, 1.0)
    values = [by_neighbors(activations, noise=s, dim=4, noisy=False).ixt.bits for s in sizes]
    assert values == sorted(values, reverse=True)


def test_constant_units_change_nothing():
    activations, y = labelled(500)
    padded = np.hstack([activations, np.full((500, 3), 7.0)])
    one = compressed_information(activations, y, noise=0.1, dim=3, noisy=False)
    two = compressed_information(padded, y, noise=0.1, dim=3, noisy=False)
    assert two.ixt.bits == pytest.approx(one.ixt.bits, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_constant_layer_is_flagged(value):
    found = compressed_information(np.full((300, 4), value), np.arange(300) % 2)
    for estimate in (found.ixt, found.ity, found.ixt_given_y):
        assert estimate.bits == 0.0
        assert estimate.flags == ("constant",)


def test_layer_that_varies_in_few_samples():
    layer = np.zeros((3000, 5))
    layer[-5:] = np.random.default_rng(0).normal(size=(5, 5))
    found = compressed_information(layer, np.arange(3000) % 2)
    assert abs(found.ixt.bits) < 0.5
    assert abs(found.ity.bits) < 0.1


def test_rank_one_layer_of_two_values():
    y = np.arange(1000) % 2
    found = compressed_information(np.outer(y, np.ones(30)), y, noise=0.1, noisy=False)
    assert found.ixt.bits == pytest.approx(1.0, abs=0.1)
    assert found.ity.bits == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("mode", ["noise", "joint", "ksg"])
def test_few_samples_are_refused_with_a_reason(mode):
    activations, y = labelled(40)
    found = compressed_information(activations, y, activations[:, :3], mode=mode)
    for estimate in (found.ixt, found.ity, found.ixt_given_y):
        assert estimate.bits is None
        assert estimate.flags == ("small_n",)
        assert "50 samples" in estimate.diagnostics["reason"]


@pytest.mark.parametrize("mode", ["joint", "ksg"])
@pytest.mark.parametrize("n", [2, 49])
def test_few_samples_of_wide_inputs_are_refused_alike(mode, n):
    activations, y = labelled(n)
    found = compressed_information(activations, y, np.hstack([activations] * 2), mode=mode)
    assert found.ixt.bits is None
    assert found.ixt.flags == ("small_n",)


@pytest.mark.parametrize("mode", ["noise", "joint", "ksg"])
def test_as_many_neighbors_as_samples_are_refused_with_a_reason(mode):
    activations, y = labelled(300)
    found = compressed_information(activations, y, activations[:, :2], mode=mode, k=300, dim=2)
    assert found.ixt.bits is None
    assert found.ixt.flags == ("small_n",)
    assert "k = 300" in found.ixt.diagnostics["reason"]


@pytest.mark.parametrize("mode", ["noise", "joint", "ksg"])
def test_more_neighbors_than_a_fold_has_samples(mode):
    activations, _ = labelled(300)
    found = compressed_information(activations, inputs=activations[:, :2], mode=mode, k=100, dim=2)
    assert math.isfinite(found.ixt.bits)


def test_extrapolation_beyond_the_samples_is_flagged():
    layer = np.random.default_rng(0).normal(size=(1000, 8))
    found = by_neighbors(layer, noise=1e-3, noisy=False)
    assert "finite_population" in found.ixt.flags
    assert found.diagnostics["mixture_low"] == pytest.approx(math.log2(1000), abs=0.5)
    # not below the truth, which is far above what the samples can hold
    assert found.diagnostics["mixture_high"] > found.dim * math.log2(1e3) > 2 * math.log2(1000)


def test_large_losses_are_flagged():
    wide = np.random.default_rng(0).normal(size=(1000, 100))
    found = by_neighbors(wide, noise=0.1, dim=2, noisy=False)
    assert found.loss_bound_t > 98 * 3.0
    assert "large_compression_loss" in found.ixt.flags


def test_thin_codes_are_flagged():
    rng = np.random.default_rng(0)
    curve = rng.random((2000, 1)) * 6
    layer = np.hstack([np.sin((i + 1) * curve) for i in range(8)])
    found = by_neighbors(layer, noise=1e-4, dim=6, noisy=False)
    assert "degenerate_manifold" in found.ixt.flags


def test_label_information_above_the_entropy_of_labels_is_flagged():
    y = np.arange(1000) % 10
    layer = 100.0 * np.eye(10)[y] + np.random.default_rng(0).normal(size=(1000, 10))
    found = compressed_information(layer, y, noise=1.0)
    assert found.ity.bits > found.ity.bound_high
    assert "saturated" in found.ity.flags


def test_bias_above_the_interval_is_flagged():
    # Neighbour counts in 3 + 3 dimensions lose a tenth of what there is; plain pairs lose nothing.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    t = 0.95 * x + math.sqrt(1 - 0.95**2) * rng.normal(size=x.shape)
    wide = compressed_information(t, inputs=x, mode="ksg", dim=3).ixt
    assert "biased" in wide.flags
    assert -3 * math.log2(1 - 0.95**2) / 2 > wide.high
    narrow = compressed_information(t[:, :1], inputs=x[:, :1], mode="ksg").ixt
    assert "biased" not in narrow.flags


def test_label_information_that_is_right_is_not_called_biased():
    """Folds of twenty samples a class are far off; the whole is within 0.1 bits of the truth."""
    centers = np.random.default_rng(3).normal(size=(10, 8)) * math.sqrt(2)
    flagged = 0
    for seed in range(5):
        rng = np.random.default_rng([41, seed])
        labels = np.arange(2000) % 10
        points = centers[labels] + rng.normal(size=(2000, 8))
        distance = ((points[:, None] - centers) ** 2).sum(axis=2)
        own = distance[np.arange(2000), labels][:, None]
        truth = -np.log2(np.exp(0.5 * (own - distance)).mean(axis=1)).mean()
        found, _, _ = label_estimate([points], labels, folds_of(2000, 10, rng), rng, [])
        assert found.bits == pytest.approx(truth, abs=0.1)
        flagged += "biased" in found.flags
    assert flagged == 0


def test_heavy_tails_stay_finite():
    rng = np.random.default_rng(0)
    found = by_neighbors(rng.standard_cauchy(size=(1000, 5)), np.arange(1000) % 3)
    assert math.isfinite(found.ixt.bits)
    assert abs(found.ity.bits) < 0.1


@pytest.mark.parametrize("mode", ["joint", "ksg"])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_two_gaussian_views(mode, rho):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    t = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(2000, 2))
    found = compressed_information(t, inputs=x, mode=mode, dim=2)
    assert found.ixt.bits == pytest.approx(-math.log2(1 - rho**2), abs=0.12)
    assert found.noise is None
    assert found.loss_bound_t is None


def test_declared_noise_bounds_both_losses_of_two_views():
    x, _, noisy, noise, _ = linear_layer(4, 0.5, n=2000)
    found = compressed_information(noisy, inputs=x[:, :3], mode="joint", noise=noise, dim=2)
    assert found.loss_bound_t > 0.0
    assert found.loss_bound_x > 0.0


@pytest.mark.parametrize(("share", "flag"), [(0.5, "large_compression_loss"), (9, "out_of_range")])
def test_noise_that_two_views_cannot_have_is_told(share, flag):
    x, _, noisy, noise, _ = linear_layer(4, 0.5, n=1000)
    found = compressed_information(
        noisy, inputs=x[:, :3], mode="joint", noise=share / 0.5 * noise, dim=2
    )
    assert flag in found.ixt.flags


def test_numbers_of_numpy_are_written_as_plain_ones():
    activations, y = labelled(300)
    found = compressed_information(
        activations, y, noise=np.float32(0.5), k=np.int32(5), dim=np.int64(2), seed=np.int8(3)
    )
    assert type(found.noise) is float
    json.dumps(dict(found.diagnostics), allow_nan=False)


def test_discrete_views_go_to_neighbor_counts():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, size=(1000, 1)).astype(float)
    t = np.hstack([x, x**2])
    found = compressed_information(t, inputs=x, mode="joint", dim=1)
    assert "atoms" in found.ixt.flags
    assert found.ixt.bits == pytest.approx(2.0, abs=0.05)
    assert found.diagnostics["estimator"] == "ksg"


def test_thin_views_go_to_neighbor_counts():
    rng = np.random.default_rng(0)
    angle = rng.random((2000, 1)) * 2 * math.pi
    circle = np.hstack([np.cos(angle), np.sin(angle)])
    other = np.hstack([np.cos(angle**2), np.sin(angle**2)])
    found = compressed_information(circle, inputs=other, mode="joint", dim=2)
    assert "degenerate_manifold" in found.ixt.flags
    assert found.diagnostics["estimator"] == "ksg"


def test_given_basis_is_used():
    activations, _ = labelled(500)
    axes = np.eye(12)[:, :2]
    found = by_neighbors(activations, basis=axes, dim=2, noise=0.1, noisy=False)
    alone = by_neighbors(activations[:, :2], dim=2, noise=0.1, noisy=False)
    assert found.ixt.bits == pytest.approx(alone.ixt.bits, abs=0.1)
    pooled = principal_basis(activations, 4)
    assert by_neighbors(activations, basis=pooled).diagnostics["n_units"] == 12


def test_supported_dimension_grows_with_the_samples():
    assert [largest_dim(n, 64) for n in (100, 400, 1600, 10**4, 10**6)] == [1, 2, 6, 10, 10]
    assert largest_dim(10**6, 3) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "exact"}, "expected mode"),
        ({"noise": 0.0}, "noise above 0"),
        ({"noise": math.nan}, "noise above 0"),
        ({"noise": 1e-200}, "noise whose"),
        ({"noise": 1e200}, "noise whose"),
        ({"dim": 0}, "at least 1"),
        ({"dim": "half"}, "'auto'"),
        ({"k": 2}, "at least 3"),
        ({"folds": 1}, "folds of at least 3"),
        ({"labels": np.zeros(99, dtype=int)}, "expected labels of the 100 samples, got 99"),
        ({"inputs": np.zeros((101, 2))}, "expected inputs of the 100 samples, got 101"),
        ({"inputs": 3}, "expected inputs of the 100 samples, got a single value"),
        ({"mode": "joint"}, "expected inputs"),
        ({"basis": np.ones((5, 2))}, "expected a basis of shape"),
        ({"basis": np.ones((6, 2))}, "orthonormal"),
        ({"basis": np.ones((6, 0))}, "expected a basis of shape"),
        ({"basis": [["a"]] * 6}, "basis of real numbers"),
        ({"basis": 1j * np.eye(6)}, "basis of real numbers"),
        ({"noise": "relative"}, "noise as a number"),
        ({"noise": [0.1]}, "noise as a number"),
        ({"noise": True}, "noise as a number"),
        ({"dim": 2.5}, "dim as a whole number"),
        ({"dim": None}, "dim as a whole number"),
        ({"k": "three"}, "k as a whole number"),
        ({"draws": 1.5}, "draws as a whole number"),
        ({"seed": -1}, "seed of at least 0"),
        ({"seed": None}, "seed as a whole number"),
    ],
)
def test_arguments_are_checked(arguments, message):
    activations = np.random.default_rng(0).normal(size=(100, 6))
    with pytest.raises(InputError, match=message):
        compressed_information(activations, **arguments)
    activations[3, 2] = math.nan
    with pytest.raises(InputError, match="finite"):
        compressed_information(activations)


def test_labels_that_sit_in_what_is_left_out_are_seen():
    rng = np.random.default_rng(7)
    labels = np.arange(600) % 2
    scores = np.column_stack([10 * rng.normal(size=600), 4.0 * labels, rng.normal(size=(600, 3))])
    assert label_loss(scores, 1, labels, 0.0) > 5  # a direction that is the label itself
    noisy = label_loss(scores, 1, labels, 2.0)
    assert noisy == pytest.approx(0.5 * math.log2(1 + 1.0), abs=0.1)  # variances 4 and 4
    assert label_loss(scores, 2, labels, 0.0) < 0.01
    assert label_loss(scores, 5, labels, 0.0) == 0.0
    assert label_loss(scores, 1, np.zeros(600, dtype=int), 0.0) == 0.0


# Values of the release before the bracket was the default.
RELEASED = {
    (0.1, 3, None, 1, 0): [
        (8.195337866384973, 8.081710730874292, 8.308965001895654),
        (0.6553423390589912, 0.5591567409656713, 0.7515279371523111),
        (7.539995527325981, 7.404629965798525, 7.675361088853438),
    ],
    (0.3, 2, False, 1, 0): [
        (2.770651176336444, 2.642336262217588, 2.8989660904553003),
        (0.545322301286426, 0.42255281994842897, 0.668091782624423),
        (2.225328875050018, 2.0674468171498894, 2.3832109329501465),
    ],
    (0.05, 6, None, 2, 4): [
        (20.457691114146353, 20.124363730537542, 20.791018497755164),
        (0.6500264915190269, 0.515940816681177, 0.7841121663568769),
        (19.807664622627325, 19.453698172131293, 20.161631073123356),
    ],
}


@pytest.mark.parametrize(("noise", "dim", "noisy", "draws", "seed"), RELEASED)
def test_calls_of_the_older_mode_keep_their_numbers(noise, dim, noisy, draws, seed):
    rng = np.random.default_rng(42)
    y = np.arange(600) % 3
    layer = np.tanh(rng.standard_normal((600, 8)) + y[:, None] * np.linspace(0, 1, 8))
    found = compressed_information(
        layer, y, mode="noise", noise=noise, dim=dim, noisy=noisy, draws=draws, seed=seed
    )
    told = [(e.bits, e.low, e.high) for e in (found.ixt, found.ity, found.ixt_given_y)]
    # Equal to the last bit on one machine; another BLAS rounds the projection another way.
    np.testing.assert_allclose(told, RELEASED[noise, dim, noisy, draws, seed], rtol=0, atol=1e-6)

"""Samples on which a two-sided bracket may go wrong: copies, underflow, tails, few classes."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

import infoplane.numerics.compression as compression
from infoplane import compressed_information
from infoplane.estimators.layers.compressed.bracket_estimates import (
    BracketOptions,
    Noise,
    bracket_cell,
)
from infoplane.numerics.compression import MOST_LOSS, Layer
from infoplane.numerics.kernels.bracket import brackets, support
from infoplane.validation.truths import label_information


def normal(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def measured(layer, labels=None, sigma=0.5, seed=0, **options):
    found = support(layer, labels)
    points = (layer - layer.mean(axis=0))[found.rows]
    (one,) = brackets(points, found, [sigma], np.random.default_rng(seed), **options)
    return one


def by_log_sums(points, noise, sigma):
    """L and U in bits, every sum as a log-sum-exp in float64."""
    differences = points[:, None] - points[None]
    squares = (differences**2).sum(axis=2)
    crossed = (noise[:, None] * differences).sum(axis=2)
    n, lower, upper = len(points), [], []
    for sign in (1.0, -1.0):
        exponents = -(squares + 2.0 * sigma * sign * crossed) / (2.0 * sigma**2)
        lower.append(math.log(n) - logsumexp(exponents, axis=1))
        np.fill_diagonal(exponents, -np.inf)
        upper.append(math.log(n - 1) - logsumexp(exponents, axis=1))
    return np.mean(lower) / math.log(2.0), np.mean(upper) / math.log(2.0)


# Sums that a float32 cannot hold.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [0.5, 0.05, 0.002])
def test_sums_of_any_size_are_those_of_float64(sigma, dtype):
    points = normal(200, 3).astype(dtype)
    points[:4] *= 20.0
    found = support(points)
    noise = np.random.default_rng(7).standard_normal((200, 3), dtype=np.float32)
    (one,) = brackets(points[found.rows], found, [sigma], np.random.default_rng(7))
    expected = by_log_sums(points[found.rows].astype(float), noise.astype(float), sigma)
    # Squares of float32 numbers up to 60 have errors of 1e-5 or so, in units of two variances.
    tolerance = 1e-4 + (0.0 if dtype == np.float64 else 1e-5 / sigma**2)
    assert one.ixt.lower == pytest.approx(expected[0], abs=tolerance)
    assert one.ixt.upper == pytest.approx(expected[1], rel=1e-6, abs=tolerance)


def test_precision_follows_the_noise():
    # Clusters whose spread, as their noise, is below what float32 squares resolve.
    rng = np.random.default_rng(0)
    which = np.arange(1000) % 8
    layer = 10.0 * np.eye(8)[which] + 1e-3 * rng.standard_normal((1000, 8))
    found = compressed_information(layer, which, noise=4e-3, noisy=False, mode="bracket")
    within = 4.0 * math.log2(1.0 + (1e-3 / 4e-3) ** 2)
    assert found.ity.bits == pytest.approx(3.0, abs=0.02)
    assert found.ixt_given_y.bits == pytest.approx(within, abs=0.03)
    assert found.lower - 0.03 < 3.0 + within < found.upper + 0.03


@pytest.mark.parametrize("freedom", [1.0, 2.0])
def test_heavy_tails_have_bounds_and_a_reason(freedom):
    rng = np.random.default_rng(0)
    layer = rng.standard_t(freedom, size=(1000, 40))
    found = compressed_information(layer, np.arange(1000) % 3, mode="bracket")
    assert found.ixt.bits is None
    assert math.isfinite(found.lower)
    assert math.isfinite(found.upper)
    assert "bits apart" in found.ixt.diagnostics["reason"]
    assert found.ity.bound_low < 0.0 < found.ity.bound_high


# Copies of rows.


@pytest.mark.parametrize("copies", [2, 5, 9, 10, 20])
def test_a_sample_that_was_recorded_several_times_counts_once(copies):
    layer = normal(300, 4)
    truth = 2.0 * math.log2(1.0 + 1.0 / 0.8**2)
    one, many = (measured(a, sigma=0.8) for a in (layer, np.repeat(layer, copies, axis=0)))
    assert many.ixt.lower == pytest.approx(one.ixt.lower, abs=1e-6)
    assert many.ixt.upper == pytest.approx(one.ixt.upper, abs=1e-6)
    assert many.ixt.error == pytest.approx(one.ixt.error, rel=1e-6)
    assert many.ixt.lower < truth + 3 * many.ixt.error
    assert truth - 3 * many.ixt.error < many.ixt.upper


def test_values_of_a_layer_may_be_many():
    rng = np.random.default_rng(1)
    layer = 50.0 * rng.integers(0, 60, size=(3000, 1)).astype(float)
    shares = np.unique(layer, return_counts=True)[1] / 3000
    entropy = -(shares * np.log2(shares)).sum()
    found = measured(layer, sigma=1.0)
    assert found.ixt.lower == pytest.approx(entropy, abs=1e-6)
    # One copy of n_i - 1 others: log2((n - 1) / (n_i - 1)), on average.
    counts = shares * 3000
    left = (shares * np.log2(2999 / (counts - 1))).sum()
    assert found.ixt.upper == pytest.approx(left, abs=1e-6)


def test_rows_of_two_labels_bound_what_they_tell():
    rng = np.random.default_rng(2)
    atoms = 50.0 * rng.integers(0, 4, size=(2000, 1)).astype(float)
    labels = rng.integers(0, 2, 2000)
    found = measured(atoms, labels, sigma=1.0)
    joint = np.array([[np.mean((atoms[:, 0] == a) & (labels == y)) for a in np.unique(atoms)]
                      for y in (0, 1)])  # fmt: skip
    outer = joint.sum(axis=0) * joint.sum(axis=1)[:, None]
    exact = (joint * np.log2(joint / outer)).sum()
    assert found.ity.upper == pytest.approx(exact, abs=1e-6)
    assert found.ity.lower < 0.0 < found.ity.upper < 0.01


# The median distance.


def test_median_distance_is_that_of_samples_that_differ():
    layer = normal(900, 6)
    layer[:600] = 0.0
    pairs = np.linalg.norm(layer[:, None] - layer[None], axis=2)
    expected = np.median(pairs[pairs > 0.0])
    assert Layer(layer, support(layer)).median == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_leave_the_median_distance(copies):
    layer = normal(300, 6)
    many = np.repeat(layer, copies, axis=0)
    medians = [Layer(a, support(a)).median for a in (layer, many)]
    assert medians[1] == pytest.approx(medians[0], rel=1e-6)


def test_median_distance_grows_smoothly_with_the_share_of_equal_rows():
    # From 71 % equal rows on, most pairs of samples are equal.
    shifts = np.random.default_rng(0).standard_normal((2000, 1))
    medians = []
    for share in (0.66, 0.69, 0.70, 0.71, 0.72, 0.75):
        rectified = np.maximum(shifts - np.quantile(shifts, share), 0.0) * np.ones((1, 10))
        medians.append(Layer(rectified, support(rectified)).median)
    steps = np.abs(np.diff(np.log2(medians)))
    assert steps.max() < 0.2


@pytest.mark.parametrize("period", [2, 10])
def test_median_distance_does_not_meet_a_period_of_the_samples(period):
    n = 1024 * period
    layer = 10.0 * np.eye(period)[np.arange(n) % period] + 1e-2 * normal(n, period)
    within, between = 1e-2 * math.sqrt(2 * period), 10.0 * math.sqrt(2.0)
    median = Layer(layer, support(layer)).median
    assert median == pytest.approx(between, rel=0.01) or (period == 2 and median > within)


def clusters(share, width, n=1000):
    """Two clusters of 4 units at a distance of 2."""
    return (np.arange(n) < share * n)[:, None] * np.ones(4) + width * normal(n, 4)


@pytest.mark.parametrize("share", [0.5, 0.55, 0.7, 0.8, 0.9])
def test_two_sizes_of_distances_are_told(share):
    found = compressed_information(clusters(share, 0.01), mode="bracket")
    assert "two_scales" in found.ixt.flags
    fixed = compressed_information(clusters(share, 0.01), mode="bracket", noise=0.2)
    assert "two_scales" not in fixed.ixt.flags


def test_a_fall_that_the_median_distance_hides_is_told():
    # Two clusters that close in: what is left at one noise is which of them a sample is in.
    found = [
        compressed_information(clusters(0.8, width), mode="bracket").ixt for width in (1.0, 0.01)
    ]
    truth = -0.8 * math.log2(0.8) - 0.2 * math.log2(0.2)
    fixed = compressed_information(clusters(0.8, 0.01), mode="bracket", noise=0.2).ixt
    assert fixed.bits == pytest.approx(truth, abs=0.05)
    assert found[1].bits > fixed.bits + 1.0
    assert ["two_scales" in one.flags for one in found] == [False, True]


def many_clusters(k):
    return np.eye(k)[np.arange(1000) % k] + 0.01 * normal(1000, k)


SINGLE = {
    "normal, 1 unit": normal(1000, 1),
    "normal, 50 units": normal(1000, 50),
    "t of 2, alone": np.random.default_rng(0).standard_t(2, (1000, 1)),
    "t of 2, 10 units": np.random.default_rng(0).standard_t(2, (1000, 10)),
    "log-normal": np.exp(normal(1000, 3)),
    "saturated tanh": np.tanh(10.0 * normal(1000, 3) @ normal(3, 20, seed=1)),
    "ReLU": np.maximum(normal(1000, 10) - 0.5, 0.0),
    "3 clusters": many_clusters(3),
    "10 clusters": many_clusters(10),
    "100 clusters": many_clusters(100),
    "an outlier": normal(1000, 5) + 1e3 * (np.arange(1000) == 3)[:, None],
}


@pytest.mark.parametrize("layer", SINGLE.values(), ids=SINGLE)
def test_distances_of_one_size_are_not_called_two(layer):
    assert "two_scales" not in compressed_information(layer, mode="bracket").ixt.flags


# Labels of small classes.


def test_small_classes_are_named_as_the_cause():
    layer = normal(1000, 2)
    pairs = compressed_information(layer, np.arange(1000) // 2, mode="bracket", c=0.5)
    assert pairs.ixt.bits is not None
    assert pairs.ity.bits is None
    reason = pairs.ity.diagnostics["reason"]
    assert reason.endswith("too few samples in each class: 500 classes, 1000 samples")
    fine = compressed_information(normal(1000, 20), np.arange(1000) % 2, mode="bracket", c=0.1)
    assert fine.ity.diagnostics["reason"].endswith("too few samples for this noise")


# Populations that were recorded in full.


def test_recorded_population_of_a_plane_is_exact():
    rng = np.random.default_rng(3)
    places = rng.standard_normal((60, 2))
    labels = np.arange(60) % 3
    sigma = 0.4
    # I = h(T + noise) - h(noise) by Monte Carlo on the mixture's own density, by class as well.
    drawn = rng.integers(0, 60, 200_000)
    x = places[drawn] + sigma * rng.standard_normal((200_000, 2))
    logs = -((x[:, None] - places[None]) ** 2).sum(axis=2) / (2 * sigma**2)
    own = logs[np.arange(len(x)), drawn]
    whole = np.log2(math.e) * (own - logsumexp(logs, axis=1) + math.log(60)).mean()
    inside = np.where(labels == labels[drawn][:, None], logs, -np.inf)
    given = np.log2(math.e) * (own - logsumexp(inside, axis=1) + math.log(20)).mean()

    noise, options = Noise(sigma, relative=False), BracketOptions(whole=True, draws=1000)
    cell = bracket_cell(places, labels, [noise], options, np.random.default_rng(0))
    found = cell.estimates(noise)
    # 60 times 2,000 draws, and 200,000: each a standard error of some 0.004.
    assert found["ixt"].bits == pytest.approx(whole, abs=0.02)
    assert found["ixt_given_y"].bits == pytest.approx(given, abs=0.02)
    assert found["ity"].bits == pytest.approx(whole - given, abs=0.02)
    both = found["ity"].bits + found["ixt_given_y"].bits
    assert found["ixt"].bits == pytest.approx(both, abs=1e-9)
    assert found["ixt"].bound_name == "log2_n"
    assert found["ixt"].bound_high == math.log2(60)


# What must not change a bracket, or by chance alone.


def labelled(n=1500, d=5):
    labels = np.arange(n) % 4
    return normal(n, d) + 2.0 * np.eye(4, d)[labels], labels


@pytest.mark.parametrize("change", ["order", "rotation", "offset", "names of classes"])
def test_other_draws_of_the_same_layer_agree(change):
    layer, labels = labelled()
    before = measured(layer, labels, sigma=0.7)
    rng = np.random.default_rng(5)
    if change == "order":
        order = rng.permutation(len(layer))
        layer, labels = layer[order], labels[order]
    elif change == "rotation":
        layer = layer @ np.linalg.qr(rng.standard_normal((5, 5)))[0]
    elif change == "offset":
        layer = layer + 1000.0
    else:
        labels = 7 - 2 * labels
    after = measured(layer, labels, sigma=0.7)
    for name in ("ixt", "ity", "ixt_given_y"):
        one, two = getattr(before, name), getattr(after, name)
        assert two.middle == pytest.approx(one.middle, abs=3 * one.error)
        assert two.gap == pytest.approx(one.gap, rel=0.3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_precision_of_the_recording_changes_next_to_nothing(dtype):
    rounded = (normal(600, 300) / np.arange(1, 301)).astype(np.float16)
    one, two = (
        compressed_information(rounded.astype(t), np.arange(600) % 3, c=0.3)
        for t in (np.float32, dtype)
    )
    assert one.dim == two.dim < 300
    assert two.lower == pytest.approx(one.lower, abs=1e-4)
    assert two.ity.bits == pytest.approx(one.ity.bits, abs=1e-4)


def test_scale_changes_nothing_of_a_compressed_layer():
    mixed = (normal(600, 300) / np.arange(1, 301) ** 2) @ normal(300, 300, seed=1)
    layer = np.maximum(mixed, 0.0).astype(np.float32)
    labels = np.arange(600) % 3
    one, two = (compressed_information(a, labels, c=0.3) for a in (layer, np.float32(10) * layer))
    assert one.dim == two.dim < 300
    for name in ("ixt", "ity", "ixt_given_y"):
        before, after = getattr(one, name), getattr(two, name)
        assert after.bound_low == pytest.approx(before.bound_low, abs=1e-6)
        assert after.bound_high == pytest.approx(before.bound_high, abs=1e-6)


def test_chain_rule_holds_for_a_compressed_layer():
    layer = normal(600, 40) @ normal(40, 300, seed=1)
    found = compressed_information(layer, np.arange(600) % 3, c=0.35)
    assert found.loss_bound_t > 0.0
    both = found.ity.bits + found.ixt_given_y.bits
    assert found.ixt.bits == pytest.approx(both, abs=1e-9)


# Compression.


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_compression_changes_less_than_it_certifies(power, sigma, monkeypatch):
    layer = (normal(500, 300) / np.arange(1, 301) ** power).astype(np.float32)
    found = support(layer)
    made = Layer(layer, found)
    points = made.points(sigma, np.random.default_rng(0))
    monkeypatch.setattr(compression, "_ALL_UNITS", 300)
    whole = made.points(sigma, np.random.default_rng(0))
    assert points.loss(sigma) <= MOST_LOSS
    few, all_ = (
        brackets(p.scores, found, [sigma], np.random.default_rng(1), directions=p.directions)[0]
        for p in (points, whole)
    )
    # The noise of what is kept is the same: only what is left out makes a difference.
    assert few.ixt.lower - 1e-3 <= all_.ixt.lower <= few.ixt.lower + points.loss(sigma) + 1e-3


def test_loss_is_that_of_the_variances_left_out():
    layer = (normal(800, 200) / np.arange(1, 201)).astype(np.float32)
    found = support(layer)
    points = Layer(layer, found).points(0.25, np.random.default_rng(0))
    made = Layer(layer, found)
    scaled = (layer - layer.mean(axis=0)) / made.median
    exact = np.linalg.eigvalsh(scaled.T @ scaled / 800)[: 200 - points.scores.shape[1]]
    least = 0.5 * np.log2(1.0 + np.maximum(exact, 0.0) / 0.25**2).sum()
    # No directions lose less than the principal ones; what was not looked at counts in full.
    assert 0.9 * least <= points.loss(0.25) <= MOST_LOSS


def test_directions_of_many_rows_are_found_from_some(monkeypatch):
    monkeypatch.setattr(compression, "_SPECTRUM_ROWS", 100)
    layer = (normal(500, 400) / np.sqrt(np.arange(1, 401))).astype(np.float32)
    points = Layer(layer, support(layer)).points(0.6, np.random.default_rng(0))
    assert points.loss(0.6) <= MOST_LOSS
    assert points.scores.shape[1] <= 400


# Bad input.


def test_half_of_the_rows_equal():
    layer = normal(1000, 4)
    layer[::2] = 5.0
    labels = np.arange(1000) % 2  # tells which half
    found = compressed_information(layer, labels, noise=0.05, noisy=False, mode="bracket")
    assert found.lower - found.ixt.diagnostics["se"] > 1.0  # the bit, and some of the others
    assert found.ity.bound_low == pytest.approx(1.0, abs=0.05)
    assert found.ity.bound_high == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("offset", [0.1, 1e3, -3e7])
def test_rounding_errors_are_no_layer(offset):
    flat = np.full((300, 4), offset)
    flat += offset * 1e-16 * normal(300, 4)
    found = compressed_information(flat, np.arange(300) % 2)
    for estimate in (found.ixt, found.ity, found.ixt_given_y):
        assert estimate.bits in (None, 0.0)
        assert {"constant", "below_resolution"} & set(estimate.flags)
        assert estimate.diagnostics["reason"]


def test_classes_of_one_sample_beside_others():
    layer, labels = labelled(600)
    labels = labels.copy()
    labels[:3] = 100 + np.arange(3)
    found = compressed_information(layer, labels)
    plain = compressed_information(*labelled(600))
    assert found.ity.bits == pytest.approx(plain.ity.bits, abs=0.1)
    assert math.isfinite(found.ixt_given_y.bound_high)


def test_a_layer_without_labels_has_no_label_rows():
    layer, _ = labelled(300)
    noise = Noise(0.3, relative=True)
    cell = bracket_cell(layer, None, [noise], BracketOptions(), np.random.default_rng(0))
    assert set(cell.estimates(noise)) == {"ixt"}
    assert "label_entropy" not in cell.estimates(noise)["ixt"].diagnostics


@pytest.mark.parametrize("states", [2, 8])
def test_values_that_come_again_are_drawn_as_often(states):
    # With one draw for each of eight points the value would be off by tenths of a bit.
    layer = np.eye(states)[np.arange(2000) % states]
    found = measured(layer, np.arange(2000) % states, sigma=0.4)
    truth = label_information(np.eye(states) / 0.4, np.full(states, 1.0 / states))
    assert found.ixt.middle == pytest.approx(truth, abs=4 * found.ixt.error + 0.01)
    assert found.ixt.error < 0.03
    assert found.ity.middle == pytest.approx(found.ixt.middle, abs=0.02)

"""The two-sided bracket: known truths, identities, and what must not change it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infoplane.numerics.compression as compression
import infoplane.numerics.kernels.bracket as bracket_module
from infoplane import compressed_information
from infoplane.errors import InputError
from infoplane.estimators.layers.compressed.bracket_estimates import (
    BracketOptions,
    Noise,
    bracket_cell,
)
from infoplane.numerics.compression import MOST_LOSS, Layer
from infoplane.numerics.kernels.bracket import brackets, support


def normal_layer(n, variances, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, len(variances))) * np.sqrt(variances)


def measured(layer, labels=None, sigmas=(0.5,), seed=0, **options):
    found = support(layer, labels)
    points = layer[found.rows] - layer.mean(axis=0)
    return brackets(points, found, sigmas, np.random.default_rng(seed), **options)


def plain_bounds(points, noise, sigma):
    """L and U of each sign, as the formulas say it, in bits."""
    n = len(points)
    differences = points[:, None] - points[None]
    squares = (differences**2).sum(axis=2)
    crossed = (noise[:, None] * differences).sum(axis=2)
    lower, upper = [], []
    for sign in (1.0, -1.0):
        exponents = -(squares + 2.0 * sigma * sign * crossed) / (2.0 * sigma**2)
        lower.append(np.log2(n) - np.log2(np.exp(exponents).sum(axis=1)))
        np.fill_diagonal(exponents, -np.inf)
        upper.append(np.log2(n - 1) - np.log2(np.exp(exponents).sum(axis=1)))
    return np.mean(lower), np.mean(upper)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_formula(dtype):
    layer = normal_layer(150, [1.0, 0.5, 0.1])
    layer -= layer.mean(axis=0)
    found = support(layer)
    noise = np.random.default_rng(7).standard_normal((1, 150, 3), dtype=np.float32)[0]
    for sigma in (0.3, 0.8):
        (one,) = brackets(layer.astype(dtype)[found.rows], found, [sigma], np.random.default_rng(7))
        expected = plain_bounds(layer, noise.astype(float), sigma)
        assert (one.ixt.lower, one.ixt.upper) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("n", "variances", "sigma"),
    [
        (1000, [1.0, 1.0], 0.4),
        (2000, 1.0 / np.arange(1, 33), 0.6),
        (2000, np.full(128, 1.0), 4.0),
        (3000, 1.0 / np.arange(1, 513), 0.7),
    ],
)
def test_normal_layers_lie_within(n, variances, sigma):
    truth = 0.5 * np.log2(1.0 + np.asarray(variances) / sigma**2).sum()
    (found,) = measured(normal_layer(n, variances), sigmas=[sigma])
    # Four standard errors: the sample's own fluctuation is in both bounds.
    assert found.ixt.lower - 4 * found.ixt.lower_error < truth
    assert truth < found.ixt.upper + 4 * found.ixt.upper_error
    # An eighth of the gap is the largest error of the table in docs/estimators/compressed.md.
    slack = 0.02 + found.ixt.gap / 8 + 4 * found.ixt.error
    assert found.ixt.middle == pytest.approx(truth, abs=slack)


def test_bounds_are_as_far_apart_as_the_theory_of_normal_layers_says():
    n = 4000
    gaps, expected = [], []
    for sigma in (1.0, 1.5, 2.0):
        information = 2.0 * math.log2(1.0 + 1.0 / sigma**2)
        (found,) = measured(normal_layer(n, np.ones(4)), sigmas=[sigma])
        gaps.append(found.ixt.gap)
        expected.append((2.0 ** (2 * information) - 1.0) / n / math.log(2.0))
    # To first order: chi-squared over n nats, of which rare samples hold the larger part.
    assert gaps == pytest.approx(expected, rel=0.4)


def test_clusters_far_apart_hold_their_entropy():
    rng = np.random.default_rng(0)
    which = rng.choice(5, size=2000, p=[0.4, 0.3, 0.1, 0.1, 0.1])
    layer = 100.0 * np.eye(5)[which] + 1e-3 * rng.standard_normal((2000, 5))
    shares = np.bincount(which) / 2000
    entropy = -(shares * np.log2(shares)).sum()
    (found,) = measured(layer, which, sigmas=[5.0])
    assert found.ixt.lower == pytest.approx(entropy, abs=1e-3)
    assert found.ixt.upper == pytest.approx(entropy, abs=1e-2)
    assert found.ity.middle == pytest.approx(entropy, abs=1e-2)
    assert found.ixt_given_y.middle == pytest.approx(0.0, abs=1e-2)


def test_chain_rule_holds_between_the_midpoints():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 1500)
    layer = np.eye(4)[labels] * 2.0 + rng.standard_normal((1500, 4))
    (found,) = measured(layer, labels, sigmas=[0.8])
    both = found.ity.middle + found.ixt_given_y.middle
    assert found.ixt.middle == pytest.approx(both, abs=1e-9)


def test_labels_that_belong_to_nothing_hold_nothing():
    rng = np.random.default_rng(2)
    (found,) = measured(rng.standard_normal((2000, 3)), rng.integers(0, 2, 2000), sigmas=[0.7])
    assert found.ity.lower < 0.0 < found.ity.upper
    assert abs(found.ity.middle) < 4 * found.ity.error + 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.floats(1e-3, 1e3))
def test_scale_changes_nothing_at_relative_noise(seed, scale):
    layer = np.maximum(normal_layer(300, np.ones(6), seed), 0.0)
    one, two = (compressed_information(a, c=0.3) for a in (layer, scale * layer))
    assert two.lower == pytest.approx(one.lower, abs=1e-6)
    assert two.upper == pytest.approx(one.upper, abs=1e-6)
    assert two.noise == pytest.approx(scale * one.noise, rel=1e-9)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    layer, labels = rng.standard_normal((400, 5)), rng.integers(0, 7, 400)
    (one,) = measured(layer, labels)
    monkeypatch.setattr(bracket_module, "_BLOCK_VALUES", 900)
    (two,) = measured(layer, labels)
    for name in ("ixt", "ity", "ixt_given_y"):
        assert getattr(two, name).middle == pytest.approx(getattr(one, name).middle, abs=1e-12)


def test_tensors_give_the_same():
    torch = pytest.importorskip("torch")
    layer = normal_layer(500, np.ones(5)).astype(np.float32)
    found = support(layer)
    (one,) = brackets(layer[found.rows], found, [0.6], np.random.default_rng(0))
    (two,) = brackets(torch.from_numpy(layer[found.rows]), found, [0.6], np.random.default_rng(0))
    assert two.ixt.middle == pytest.approx(one.ixt.middle, abs=1e-5)
    wide = normal_layer(300, 1.0 / np.arange(1, 301) ** 2).astype(np.float32)
    noises, options = [Noise(0.3, relative=True)], BracketOptions()
    both = [
        bracket_cell(array, None, noises, options, np.random.default_rng(0)).estimates(noises[0])
        for array in (wide, torch.from_numpy(wide))
    ]
    assert both[1]["ixt"].bits == pytest.approx(both[0]["ixt"].bits, abs=1e-4)


def test_a_sum_beyond_single_precision_is_taken_again():
    # A row 1,000 noises away from all others: exp(-500,000) is 0 in any floating-point format.
    layer = normal_layer(200, np.ones(3))
    layer[0] += 1000.0
    (found,) = measured(layer, sigmas=[1.0])
    assert math.isfinite(found.ixt.upper)
    alone = 0.5 * 3.0 * 1000.0**2 / math.log(2.0) / 200  # its share of U, to a few percent
    assert found.ixt.upper == pytest.approx(alone, rel=0.02)
    assert found.ixt.lower < math.log2(200)


@pytest.mark.parametrize("twice", [True, False])
def test_rows_that_were_recorded_twice_count_once(twice):
    layer = normal_layer(1000, np.ones(4))
    truth = 2.0 * math.log2(1.0 + 1.0 / 0.6**2)
    given_ = np.repeat(layer, 2, axis=0) if twice else layer
    (found,) = measured(given_, sigmas=[0.6])
    assert found.ixt.lower < truth < found.ixt.upper
    assert found.ixt.error == pytest.approx(measured(layer, sigmas=[0.6])[0].ixt.error, rel=0.1)


def test_values_that_come_again_and_again_are_atoms():
    rng = np.random.default_rng(4)
    layer = 50.0 * rng.integers(0, 10, size=(2000, 1)).astype(float)
    shares = np.unique(layer, return_counts=True)[1] / 2000
    entropy = -(shares * np.log2(shares)).sum()
    (found,) = measured(layer, sigmas=[1.0])
    assert found.ixt.lower == pytest.approx(entropy, abs=1e-6)
    assert found.ixt.upper == pytest.approx(entropy, abs=0.01)
    half = rng.standard_normal((2000, 3))
    half[:1000] = 0.0
    (found,) = measured(half, sigmas=[0.5])
    assert 0.0 < found.ixt.lower < found.ixt.upper < found.ixt.lower + 0.2


def test_equal_rows_of_different_labels_tell_no_label():
    rng = np.random.default_rng(5)
    layer = np.repeat(rng.standard_normal((500, 3)), 2, axis=0)
    labels = np.tile([0, 1], 500)
    (found,) = measured(layer, labels, sigmas=[0.3])
    assert found.ity.middle < 0.05
    assert found.ity.lower < 0.0


def test_all_inputs_recorded_give_the_information_itself():
    corners = np.array([[0.0], [1.0], [3.0]])
    sigma = 0.7
    grid = np.linspace(-8.0, 11.0, 200_001)
    densities = np.exp(-((grid[:, None] - corners.T) ** 2) / (2 * sigma**2))
    densities /= sigma * math.sqrt(2 * math.pi)
    mixture = densities.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(densities > 0, densities * np.log2(densities / mixture[:, None]), 0.0)
    truth = terms.mean(axis=1).sum() * (grid[1] - grid[0])
    layer = np.repeat(corners, 2000, axis=0)
    found = compressed_information(layer, noise=sigma, noisy=False, population="recorded")
    (many,) = measured(layer, sigmas=[sigma], draws=4000)
    assert many.ixt.lower == pytest.approx(truth, abs=0.02)
    assert found.ixt.bits == pytest.approx(truth, abs=0.03)
    assert found.lower == found.upper == found.ixt.bits
    assert found.ixt.bound_name == "log2_n"


# Compression.


def wide(n=600, d=400, power=2.0):
    return normal_layer(n, 1.0 / np.arange(1, d + 1) ** power).astype(np.float32)


def compressed_points(layer, sigma=0.25):
    made = Layer(layer, support(layer))
    return made, made.points(sigma, np.random.default_rng(0))


def test_compression_loses_less_than_it_certifies(monkeypatch):
    layer = wide()
    made, points = compressed_points(layer)
    assert points.scores.shape[1] < 120
    assert 0.0 < points.loss(0.25) <= MOST_LOSS
    monkeypatch.setattr(compression, "_ALL_UNITS", 400)
    _, whole = compressed_points(layer)
    assert whole.scores.shape[1] == 400
    found = support(layer)
    few, all_ = (
        brackets(p.scores[found.rows], found, [0.25], np.random.default_rng(1), draws=4)[0].ixt
        for p in (points, whole)
    )
    # Both draw other noise: two standard errors of the draws are far below 0.02 here.
    assert few.lower <= all_.lower + 0.02
    assert all_.lower <= few.lower + points.loss(0.25) + 0.02
    assert made.median == pytest.approx(
        np.median(np.linalg.norm(layer[:, None][:300] - layer[None][:, :300], axis=2)), rel=0.05
    )


def test_layers_beyond_memory_are_read_in_blocks(monkeypatch):
    layer = wide()
    _, held = compressed_points(layer)
    monkeypatch.setattr(compression, "_HELD_VALUES", 1000)
    monkeypatch.setattr(compression, "_CHUNK_VALUES", 400 * 50)
    _, streamed = compressed_points(layer)
    assert streamed.loss(0.25) == pytest.approx(held.loss(0.25), rel=1e-2)
    distances = [
        np.linalg.norm(p.scores[:50, None] - p.scores[None, :50], axis=2) for p in (held, streamed)
    ]
    np.testing.assert_allclose(distances[0], distances[1], atol=5e-3)


def test_more_units_than_memory_holds_and_no_direction_to_spare(monkeypatch):
    rng = np.random.default_rng(0)
    layer = rng.standard_normal((120, 900)).astype(np.float32)
    monkeypatch.setattr(compression, "_HELD_VALUES", 1000)
    made, points = compressed_points(layer)
    assert points.scores.shape == (120, 120)
    assert points.loss(0.25) == 0.0
    expected = np.linalg.norm(layer[:, None] - layer[None], axis=2) / made.median
    found = np.linalg.norm(points.scores[:, None] - points.scores[None], axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_rows_far_away_do_not_spoil_the_others():
    layer = normal_layer(500, np.ones(200)).astype(np.float64)
    layer[:5] += 1e6
    made, points = compressed_points(layer)
    assert made.median == pytest.approx(math.sqrt(400.0), rel=0.05)
    expected = np.linalg.norm(layer[10:60, None] - layer[None, 10:60], axis=2) / made.median
    scores = np.asarray(points.scores, dtype=float)[10:60]
    found = np.linalg.norm(scores[:, None] - scores[None], axis=2)
    np.testing.assert_allclose(found, expected, atol=0.05)


# Bad input: bounds or null with the reason.


def test_what_cannot_be_measured_says_why():
    rng = np.random.default_rng(0)
    few = compressed_information(rng.standard_normal((49, 3)), np.arange(49) % 2)
    assert few.ixt.bits is None
    assert few.ixt.flags == ("small_n",)
    assert "expected at least 50 samples, got 49" in few.ixt.diagnostics["reason"]
    same = compressed_information(np.full((100, 3), 7.0), np.arange(100) % 2)
    assert (same.ixt.bits, same.ixt.flags) == (0.0, ("constant",))
    offset = (1e7 + rng.standard_normal((300, 4))).astype(np.float32)  # its spacing is 1
    rounded = compressed_information(offset)
    assert "below_resolution" in rounded.ixt.flags
    alone = compressed_information(rng.standard_normal((200, 3)), np.arange(200))
    assert alone.ity.bits is None
    assert "small_n" in alone.ity.flags
    unlabelled = compressed_information(rng.standard_normal((200, 3)))
    assert unlabelled.ity is None


def test_far_bounds_stand_alone():
    layer = normal_layer(1000, np.ones(20))
    found = compressed_information(layer, noise=0.05, noisy=False)
    assert found.ixt.bits is None
    assert found.ixt.bounds_alone
    assert "wide_bracket" in found.ixt.flags
    assert found.lower < 10.0 * math.log2(1 + 1 / 0.05**2) < found.upper
    assert "bits apart" in found.ixt.diagnostics["reason"]


def test_one_enormous_unit_is_told():
    layer = normal_layer(1000, np.ones(20))
    layer[:, 3] *= 1e4
    assert "dominant_unit" in compressed_information(layer).ixt.flags
    assert (
        "dominant_unit" not in compressed_information(layer / np.abs(layer).max(axis=0)).ixt.flags
    )


def test_inputs_are_never_left_out_in_silence():
    rng = np.random.default_rng(0)
    layer, inputs = rng.standard_normal((2, 1000, 2))
    found = compressed_information(layer, inputs=inputs)
    assert found.diagnostics["mode"] == "joint"
    assert abs(found.ixt.bits) < 0.2
    asked = compressed_information(layer, inputs=inputs, mode="bracket")
    assert "inputs_unused" in asked.ixt.flags


# Options that say which mode is meant.


@pytest.mark.parametrize("option", [{"dim": 3}, {"k": 9}, {"basis": np.eye(6, 3)}])
def test_an_option_of_codes_means_neighbours(option):
    layer = normal_layer(300, np.ones(6))
    found = compressed_information(layer, noise=0.3, **option)
    asked = compressed_information(layer, noise=0.3, mode="neighbors", **option)
    assert found.diagnostics["mode"] == asked.diagnostics["mode"] == "neighbors"
    assert found.ixt.bits == asked.ixt.bits
    with pytest.raises(InputError, match="with mode=neighbors, got mode=bracket"):
        compressed_information(layer, noise=0.3, mode="bracket", **option)


def test_older_name_of_neighbours_is_told_by_its_new_one():
    found = compressed_information(normal_layer(300, np.ones(3)), mode="noise", noise=0.3)
    assert found.diagnostics["mode"] == "neighbors"


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ({"mode": "neighbors"}, "mode=neighbors"),
        ({"dim": 2}, "mode=neighbors"),
        ({"inputs": normal_layer(300, np.ones(2))}, "mode=joint"),
        ({"noise": 0.1}, "noise=0.1"),
        ({"noisy": True}, "noisy=True"),
    ],
)
def test_c_is_never_left_out_in_silence(options, other):
    with pytest.raises(InputError, match=f"expected c or {other}, got both"):
        compressed_information(normal_layer(300, np.ones(3)), c=0.3, **options)

"""Neighbour estimators against golden values, closed forms and identities."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from infoplane.errors import EstimationError, InputError
from infoplane.estimators.pair_information import ksg_information, shuffle_information
from infoplane.numerics.neighbors import search as neighbor_search
from infoplane.numerics.neighbors.estimates import (
    intrinsic_dimension,
    kozachenko_leonenko_entropy,
    ksg_mutual_information,
    mixed_mutual_information,
    shuffle_difference,
)
from infoplane.numerics.neighbors.search import count_closer, neighbor_distances
from infoplane.numerics.neighbors.terms import flat_and_sharp_weights, minimum_norm_weights

GOLDEN = Path(__file__).parent.parent / "golden"
REFERENCE = json.loads((GOLDEN / "compressed.json").read_text())
ARRAYS = np.load(GOLDEN / "compressed_arrays.npz")
CASES = REFERENCE["cases"]
NATS = math.log(2.0)


def gaussian_pair(rho, n, seed, d=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d))


@pytest.mark.parametrize("case", [c for c in CASES if "ksg_k3" in CASES[c]])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_ksg_equals_reference(case, k):
    value = ksg_mutual_information(ARRAYS[f"{case}_x"], ARRAYS[f"{case}_y"], k) * NATS
    # On heavy tails the reference takes 1e-15 off a radius near 10: nothing, so that the neighbour
    # at the boundary is counted.
    tolerance = 1e-3 + 1e-12 if case == "P7" else 1e-9
    assert value == pytest.approx(CASES[case][f"ksg_k{k}"], abs=tolerance)


@pytest.mark.parametrize("case", [c for c in CASES if "entropy_k5" in CASES[c]])
def test_entropy_with_given_weights_equals_reference(case):
    x, y = ARRAYS[f"{case}_x"], ARRAYS[f"{case}_y"]
    for name, points in (("x", x), ("y", y), ("xy", np.hstack([x, y]))):
        weights = REFERENCE["weights_k5"].get(str(points.shape[1]), [1.0, 0, 0, 0, 0])
        value = kozachenko_leonenko_entropy(points, 5, np.array(weights)) * NATS
        assert value == pytest.approx(CASES[case]["entropy_k5"][name], abs=1e-8), name


@pytest.mark.parametrize("case", [c for c in CASES if "shuffle_difference_k20" in CASES[c]])
def test_shuffle_difference_equals_reference(case):
    value = shuffle_difference(ARRAYS[f"{case}_x"], ARRAYS[f"{case}_y"], 20) * NATS
    assert value == pytest.approx(CASES[case]["shuffle_difference_k20"], abs=1e-9)


def test_discrete_target_of_a_uniform_square():
    value = mixed_mutual_information(ARRAYS["P8_x"], ARRAYS["P8_y"])
    assert value == pytest.approx(2.0, abs=0.1)  # log2 4; the boundary of cells costs a little


@pytest.mark.parametrize("d", [1, 2, 5, 9])
def test_entropy_of_a_normal_sample(d):
    n = 4000
    points = np.random.default_rng(d).normal(size=(n, d))
    truth = 0.5 * d * math.log2(2 * math.pi * math.e)
    # The sample's own fluctuation is sqrt(d / 2n) nats; bias of 0.1 nats is allowed for.
    tolerance = (4 * math.sqrt(d / (2 * n)) + 0.1) / NATS
    assert kozachenko_leonenko_entropy(points) == pytest.approx(truth, abs=tolerance)


def test_entropy_of_a_uniform_sample_is_the_logarithm_of_its_volume():
    points = np.random.default_rng(0).random((4000, 2)) * [4.0, 0.5]
    assert kozachenko_leonenko_entropy(points) == pytest.approx(1.0, abs=0.1)


@given(st.floats(-6, 6), st.floats(-1e6, 1e6), st.integers(0, 3))
def test_entropy_shifts_by_the_logarithm_of_the_scale(exponent, offset, seed):
    points = np.random.default_rng(seed).normal(size=(200, 2))
    scale = 10.0**exponent
    shifted = points * scale + offset * scale
    assert kozachenko_leonenko_entropy(shifted) == pytest.approx(
        kozachenko_leonenko_entropy(points) + 2 * math.log2(scale), abs=1e-6
    )


def test_entropy_after_a_linear_map():
    rng = np.random.default_rng(1)
    points, matrix = rng.normal(size=(500, 3)), rng.normal(size=(3, 3))
    shift = np.log2(abs(np.linalg.det(matrix)))
    assert kozachenko_leonenko_entropy(points @ matrix, whiten=True) == pytest.approx(
        kozachenko_leonenko_entropy(points, whiten=True) + shift, abs=1e-9
    )


@pytest.mark.parametrize("d", [1, 4, 5, 8, 10, 14, 20])
@pytest.mark.parametrize("k", [1, 3, 5, 20, 40])
def test_weights_sum_to_one_and_stay_short(k, d):
    weights = np.array(minimum_norm_weights(k, d))
    assert weights.sum() == pytest.approx(1.0)
    assert np.linalg.norm(weights) <= 4.0


@pytest.mark.parametrize(("d", "terms"), [(5, 1), (9, 2)])
def test_weights_cancel_the_leading_bias(d, terms):
    weights = np.array(minimum_norm_weights(40, d))
    for power in range(1, terms + 1):
        exact = sum(
            w * math.exp(math.lgamma(j + 2 * power / d) - math.lgamma(j))
            for j, w in enumerate(weights, 1)
        )
        assert exact == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("d", [2, 4, 5, 8, 10, 14, 20])
@pytest.mark.parametrize("k", [1, 2, 5, 20, 40, 80])
def test_sharp_weights_use_nearer_neighbors_than_flat_ones(k, d):
    flat, sharp = np.array(flat_and_sharp_weights(k, d)).T
    assert flat.sum() == pytest.approx(1.0)
    assert sharp.sum() == pytest.approx(1.0)
    assert np.linalg.norm(flat) <= np.linalg.norm(sharp) * (1 + 1e-9)
    assert np.linalg.norm(sharp) <= max(4.0, 2 * np.linalg.norm(flat)) * (1 + 1e-9)
    assert np.count_nonzero(sharp) <= np.count_nonzero(flat) == k


@pytest.mark.parametrize(("d", "flat_terms", "sharp_terms"), [(2, 0, 1), (4, 1, 2), (9, 1, 2)])
def test_flat_and_sharp_weights_cancel_the_bias_they_claim(d, flat_terms, sharp_terms):
    both = np.array(flat_and_sharp_weights(80, d))
    for weights, terms in zip(both.T, (flat_terms, sharp_terms), strict=True):
        for power in range(1, 3):
            exact = sum(
                w * math.exp(math.lgamma(j + 2 * power / d) - math.lgamma(j))
                for j, w in enumerate(weights, 1)
            )
            assert (abs(exact) < 1e-9) == (power <= terms)


@given(st.sampled_from([1e-12, 1e-6, 1e6]), st.sampled_from([1e-6, 1.0, 1e6]))
def test_ksg_does_not_depend_on_the_scale_of_either_view(first, second):
    x, y = gaussian_pair(0.8, 300, 0, d=2)
    expected = ksg_mutual_information(x, y)
    assert ksg_mutual_information(x * first, y * second) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 0.3, 3.0, 1e30])
@pytest.mark.parametrize("dims", [(2, 30), (30, 2)])
def test_ksg_of_unequal_widths_sees_both_views_at_every_scale(dims, scale):
    """A channel of 2 numbers to 30: the norm of either side alone would find nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    y = x @ rng.normal(size=(2, 30)) + 0.3 * rng.normal(size=(500, 30))
    views = (x, y) if dims == (2, 30) else (y, x)
    value = ksg_mutual_information(views[0], scale * views[1])
    assert value > 2.0
    assert value == pytest.approx(ksg_mutual_information(x, y), abs=1e-6)


LABELS = {
    "integers": np.arange(300) % 3,
    "as a column": (np.arange(300) % 3)[:, None],
    "truth values": np.arange(300) % 2 == 0,
    "texts": np.array(["a", "b", "c"] * 100),
    "small integers": (np.arange(300) % 3).astype(np.uint8),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    "function",
    [ksg_mutual_information, shuffle_difference, ksg_information, shuffle_information],
)
def test_class_ids_are_no_views(function, labels, swapped):
    x, _ = gaussian_pair(0.8, 300, 0, d=2)
    with pytest.raises(InputError, match="as of classes") as caught:
        function(*((labels, x) if swapped else (x, labels)))
    assert "mixed_information" in caught.value.hint


def test_pixels_are_a_view():
    pixels = np.random.default_rng(0).integers(0, 255, size=(300, 4)).astype(np.uint8)
    assert ksg_mutual_information(pixels, pixels[:, :2].astype(float)) > 1.0


def test_shuffle_difference_does_not_depend_on_scale_or_offset():
    x, y = gaussian_pair(0.8, 300, 0)
    expected = shuffle_difference(x, y)
    assert shuffle_difference(x * 1e6 + 1e9, y * 1e-6) == pytest.approx(expected, abs=1e-3)
    assert shuffle_difference(x * 1e-6, y * 1e6) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("estimate", [ksg_mutual_information, shuffle_difference])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_gaussian_pair(estimate, rho):
    values = [estimate(*gaussian_pair(rho, 2000, seed)) for seed in range(4)]
    truth = -0.5 * math.log2(1 - rho**2)
    # sd sqrt(rho^2 / n) nats of the density itself, and as much again of the estimate
    assert np.mean(values) == pytest.approx(truth, abs=0.05)


def test_shuffle_difference_is_calibrated_at_independence_in_eight_dimensions():
    values = [shuffle_difference(*gaussian_pair(0.0, 1000, s, d=4), seed=9 * s) for s in range(6)]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / math.sqrt(6) + 0.02


def test_strict_counts_on_a_lattice_equal_brute_force():
    rng = np.random.default_rng(3)
    points = rng.integers(0, 6, size=(200, 2)).astype(float)
    radius = rng.integers(0, 4, size=200).astype(float)
    for norm, metric in (("maximum", "chebyshev"), ("euclidean", "euclidean")):
        for columns in (points, points[:, :1], np.hstack([points, points[::-1]])):
            gaps = cdist(columns, columns, metric)
            closer = np.maximum((gaps < radius[:, None]).sum(axis=1), 1)
            np.testing.assert_array_equal(count_closer(columns, radius, norm=norm), closer)


@pytest.mark.parametrize("d", [1, 3, 9, 13])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_engines_find_the_same_neighbors(d, offset, monkeypatch):
    points = np.random.default_rng(d).normal(size=(1200, d)) + offset
    gaps = np.sort(cdist(points, points), axis=1)[:, 1:21]
    np.testing.assert_allclose(neighbor_distances(points, 20), gaps, rtol=1e-8)
    blocked = neighbor_search._blocked_neighbors(points, 20)[0]
    np.testing.assert_allclose(blocked, gaps, rtol=1e-8)


def test_blocked_engine_on_a_thin_sample():
    # All distances are far below the size of the squares that single precision cancels.
    line = np.random.default_rng(0).normal(size=(1500, 1)) * np.ones((1, 12))
    line += 1e-7 * np.random.default_rng(1).normal(size=line.shape)
    gaps = np.sort(cdist(line, line), axis=1)[:, 1:6]
    np.testing.assert_allclose(neighbor_search._blocked_neighbors(line, 5)[0], gaps, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_blocked_engine_where_single_precision_has_no_squares(scale):
    points = np.random.default_rng(0).normal(size=(1200, 12))
    gaps = np.sort(cdist(points, points), axis=1)[:, 1:6]
    found = neighbor_search._blocked_neighbors(points * scale, 5)[0] / scale
    np.testing.assert_allclose(found, gaps, rtol=1e-8)


@pytest.mark.parametrize("far", ["one sample", "every other sample"])
def test_samples_far_away_change_no_count_of_others(far):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1000, 4))
    points[:: 1000 if far == "one sample" else 2] += 1e7
    radius = np.sort(cdist(points, points), axis=1)[:, 3]
    assert (count_closer(points, radius, norm="euclidean") == 3).all()


def test_duplicates_below_one_percent_use_the_next_distance():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1000, 2))
    expected = kozachenko_leonenko_entropy(points)
    points[:4] = points[4:8]
    assert kozachenko_leonenko_entropy(points) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    "points",
    [
        np.repeat(np.random.default_rng(0).normal(size=(50, 2)), 4, axis=0),
        np.ones((100, 2)),
        np.random.default_rng(0).normal(size=(100, 1)) * np.array([[1.0, 2.0]]),
    ],
    ids=["atoms", "constant", "rank"],
)
def test_degenerate_samples_have_no_entropy(points):
    with pytest.raises(EstimationError, match="expected"):
        kozachenko_leonenko_entropy(points, 5)


def test_ksg_of_discrete_samples_is_the_discrete_information():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, size=4000).astype(float)
    value = ksg_mutual_information(x, x)
    assert math.isfinite(value)
    assert value == pytest.approx(2.0, abs=0.02)
    assert ksg_mutual_information(x, rng.permutation(x)) == pytest.approx(0.0, abs=0.02)


def test_ksg_of_a_constant_view_is_refused():
    with pytest.raises(EstimationError, match="constant x"):
        ksg_mutual_information(np.ones(100), np.arange(100.0))


@pytest.mark.parametrize("separation", [0.0, 2.0, 20.0])
def test_labels_of_normal_classes_in_eight_dimensions(separation):
    n, d, classes = 2000, 8, 4
    values, truths = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        centers = separation * np.eye(d)[:classes]
        labels = np.arange(n) % classes
        x = centers[labels] + rng.normal(size=(n, d))
        density = np.exp(-0.5 * cdist(x, centers, "sqeuclidean"))
        own = density[np.arange(n), labels]
        truths.append(np.log2(own / density.mean(axis=1)).mean())
        values.append(mixed_mutual_information(x, labels))
    assert np.mean(values) == pytest.approx(np.mean(truths), abs=0.05 / NATS)


def test_tiny_classes_are_counted_and_single_ones_add_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    labels = np.zeros(100, dtype=int)
    labels[:2] = 1
    labels[2] = 2
    value = mixed_mutual_information(x, labels)
    assert math.isfinite(value)
    assert mixed_mutual_information(x, np.zeros(100, dtype=int)) == pytest.approx(0.0, abs=1e-12)
    assert mixed_mutual_information(x, np.arange(100)) == pytest.approx(0.0, abs=1e-12)


def test_labels_of_a_discrete_layer():
    labels = np.arange(1200) % 3
    value = mixed_mutual_information(labels[:, None].astype(float), labels)
    assert value == pytest.approx(math.log2(3), abs=0.01)


@given(st.integers(2, 4), st.integers(0, 5))
def test_label_information_stays_below_that_of_perfect_separation(classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size=120)
    apart = labels[:, None] * 1e3 + rng.normal(size=(120, 2))
    mixed = labels[:, None] * 1.0 + rng.normal(size=(120, 2))
    assert mixed_mutual_information(mixed, labels) <= mixed_mutual_information(apart, labels) + 1e-9


@pytest.mark.parametrize("d", [1, 2, 5])
def test_intrinsic_dimension_of_an_embedded_sample(d):
    rng = np.random.default_rng(d)
    points = rng.normal(size=(3000, d)) @ rng.normal(size=(d, 7))
    # In finite samples the estimate is below the truth, by a tenth at d = 5.
    assert 0.85 * d < intrinsic_dimension(points) < 1.05 * d


def test_arguments_are_checked():
    x = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(InputError, match="1 <= k < 10"):
        kozachenko_leonenko_entropy(x, 10)
    with pytest.raises(InputError, match="10 and 9 samples"):
        ksg_mutual_information(x, x[:9])
    with pytest.raises(InputError, match="10 and 9 samples"):
        shuffle_difference(x, x[:9], 3)
    with pytest.raises(InputError, match="10 and 9 samples"):
        mixed_mutual_information(x, np.zeros(9, dtype=int))
    with pytest.raises(InputError, match="finite"):
        ksg_mutual_information(np.where(x > 0, np.nan, x), x)
    with pytest.raises(InputError, match="sum 1"):
        kozachenko_leonenko_entropy(x, 2, np.array([0.2, 0.3]))
    with pytest.raises(InputError, match="2 weights, got shape"):
        kozachenko_leonenko_entropy(x, 2, np.array(["a", "b"]))
    with pytest.raises(InputError, match="minimum-norm"):
        kozachenko_leonenko_entropy(x, 2, "sparse")
    with pytest.raises(InputError, match="permutations of at least 1"):
        shuffle_difference(x, x, 3, permutations=0)
    with pytest.raises(InputError, match="at least 3"):
        intrinsic_dimension(x, 2)

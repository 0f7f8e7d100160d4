"""Standard errors, drift and repeated noise of the information through noise."""

import math

import numpy as np
import pytest

from infoplane.estimators.layers.compressed.information import compressed_information
from infoplane.numerics.intervals import disjoint_folds
from infoplane.numerics.neighbors.noise_channel import averaged, noise_information
from infoplane.numerics.neighbors.search import nearest_neighbors
from infoplane.numerics.neighbors.terms import entropy_terms, removal_effects


def test_effect_of_a_removal_is_that_of_estimating_without_the_sample():
    n, d, k = 40, 2, 6
    points = np.random.default_rng(0).normal(size=(n, d))
    weights = np.append(np.full(k - 1, 1.0 / (k - 1)), 0.0)  # the last rank is not known after
    distances, indices = nearest_neighbors(points, k)
    terms = entropy_terms(distances, d, weights)
    effects = removal_effects(distances, indices, d, weights)
    for i in range(n):
        others = np.delete(points, i, axis=0)
        without = entropy_terms(nearest_neighbors(others, k)[0], d, weights)
        expected = terms.sum() - terms[i] + effects[i]
        # One sample less also changes the constant log(n - 1) of every term.
        shift = (n - 1) * (math.log(n - 2) - math.log(n - 1))
        assert without.sum() == pytest.approx(expected + shift, abs=1e-9)


def test_duplicates_have_no_infinite_effect():
    points = np.random.default_rng(0).normal(size=(300, 2))
    points[0] = points[1]
    distances, indices = nearest_neighbors(points, 5)
    assert np.isfinite(removal_effects(distances, indices, 2, np.full(5, 0.2))).all()


def normal(rng, n):
    return rng.normal(size=(n, 4)) * [2.0, 1.0, 0.5, 0.2], 0.3


def clusters(rng, n):
    return 4 * np.random.default_rng(8).normal(size=(10, 3))[rng.integers(0, 10, n)], 0.5


def ring(rng, n):
    angle = 2 * math.pi * rng.random(n)
    return np.column_stack([np.cos(angle), np.sin(angle)]), 0.05


def silence(rng, n):
    return np.zeros((n, 4)), 1.0


@pytest.mark.parametrize("drawn", [normal, clusters, ring, silence])
def test_error_is_the_spread_over_samples(drawn):
    values, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng([3, seed])
        clean, noise = drawn(rng, 500)
        noisy = clean + noise * rng.normal(size=clean.shape)
        found = noise_information(noisy, noise)
        values.append(found.bits)
        errors.append(found.error)
    # 60 values know their spread to 9 %. The contributions alone give 0.68 of it on the ring,
    # the jackknife alone 1.44 where there is nothing.
    ratio = math.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1)
    assert 0.75 < ratio < 1.35


def saturated(rng, n):
    weights = np.random.default_rng(5).normal(size=(2, 2))
    return np.hstack([np.tanh(8 * rng.normal(size=(n, 2)) @ weights) for _ in range(4)]), 0.1


@pytest.mark.parametrize(
    ("drawn", "moves"), [(normal, False), (ring, False), (clusters, False), (saturated, True)]
)
def test_drift_shows_a_bias_and_neither_chance_nor_what_the_bounds_exclude(drawn, moves):
    rng = np.random.default_rng(0)
    clean, noise = drawn(rng, 1000)
    noisy = clean + noise * rng.normal(size=clean.shape)
    found = noise_information(noisy, noise, None, disjoint_folds(1000, 10, rng), clean)
    low, high = found.bounds
    assert low <= found.bits <= high
    assert found.drift <= high - found.bits + 1e-9
    assert (abs(found.drift) > 3 * found.error) == moves
    assert noise_information(noisy, noise).drift is None


def test_draws_average_the_part_of_the_error_that_is_the_noise():
    def spread(layer, draws):
        found = [
            compressed_information(
                layer, mode="neighbors", noise=1.0, noisy=False, dim=2, draws=draws, seed=s
            ).ixt
            for s in range(40)
        ]
        errors = np.sqrt(np.mean([one.diagnostics["se"] ** 2 for one in found]))
        return np.std([one.bits for one in found], ddof=1), errors

    faint = 0.05 * np.random.default_rng(0).normal(size=(300, 2))
    (one, error), (four, smaller) = spread(faint, 1), spread(faint, 4)
    # Nearly all is noise: a fourth of the variance; 40 values know their spread to 11 %.
    assert four / one == pytest.approx(0.5, abs=0.2)
    assert smaller / error == pytest.approx(0.5, abs=0.1)


def test_draws_share_the_samples():
    clean, noise = normal(np.random.default_rng(0), 400)
    codes = [clean + noise * np.random.default_rng(s).normal(size=clean.shape) for s in range(3)]
    found = [noise_information(code, noise, clean=clean) for code in codes]
    together = averaged(found)
    assert together.bits == pytest.approx(np.mean([one.bits for one in found]))
    assert together.terms.shape == (400,)
    # The samples are the same: their part of the error stays.
    assert 0.5 * found[0].error < together.error < found[0].error
    assert averaged(found[:1]) is found[0]


def test_declared_noise_is_one_draw():
    clean, noise = normal(np.random.default_rng(0), 400)
    noisy = clean + noise * np.random.default_rng(1).normal(size=clean.shape)
    for contained, expected in ((True, 1), (False, 3)):
        found = compressed_information(
            noisy, mode="neighbors", noise=noise, noisy=contained, draws=3
        )
        assert found.diagnostics["draws"] == expected


def test_more_bits_than_the_noise_lets_through_are_flagged():
    # Points on a sphere have no volume; their distances say otherwise.
    points = np.random.default_rng(0).normal(size=(200, 10))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = compressed_information(points, noise=0.02, noisy=True, dim=10)
    assert found.ixt.bits > found.capacity
    assert "out_of_range" in found.ixt.flags
    assert "degenerate_manifold" in found.ixt.flags
    honest = compressed_information(points, noise=0.5, noisy=False, dim=10)
    assert "out_of_range" not in honest.ixt.flags


@pytest.mark.parametrize(("d", "gap"), [(3, False), (8, True)])
def test_two_ways_to_the_conditional_information_are_compared(d, gap):
    # Ten classes, each a point with noise: nothing is left given the class. In 8 dimensions
    # neighbours lose a bit of the whole, but not of the classes one by one.
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 10
    layer = 10 * rng.normal(size=(10, d))[labels] + rng.normal(size=(3000, d))
    found = compressed_information(layer, labels, noise=1.0, noisy=True, dim=d).ixt_given_y
    direct = found.diagnostics["direct"]
    assert direct == pytest.approx(0.0, abs=0.5)
    assert (abs(direct - found.bits) > 0.5) == gap
    assert ("chain_rule_gap" in found.flags) == gap


def test_codes_that_may_be_thin_are_flagged_before_they_are_refused():
    rng = np.random.default_rng(0)
    flags = []
    for thickness in ((1.0, 1.0), (0.3, 1.0), (0.01, 1.0), (0.01, 0.01)):
        layer = rng.normal(size=(2000, 4)) * [1.0, 1.0, *thickness]
        layer[:, 2:] += layer[:, :2] ** 2  # curved sheets, flat on no axis
        found = compressed_information(layer, mode="neighbors", noise=1e-4, noisy=False, dim=4)
        flags.append({"thin_manifold", "degenerate_manifold"} & set(found.ixt.flags))
    assert flags == [set(), set(), {"thin_manifold"}, {"degenerate_manifold"}]

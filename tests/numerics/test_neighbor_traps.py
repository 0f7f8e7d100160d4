"""Samples on which published neighbour estimators fail without a word."""

import json
import math

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.estimators.layers.compressed.estimates import CellOptions
from infoplane.estimators.layers.compressed.information import compressed_information
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates
from infoplane.numerics.codes import Code
from infoplane.numerics.neighbors.estimates import (
    intrinsic_dimension,
    kozachenko_leonenko_entropy,
    ksg_mutual_information,
    mixed_mutual_information,
    shuffle_difference,
)
from infoplane.numerics.neighbors.noise_channel import mixture_bounds


def by_neighbors(layer, labels=None, **options):
    """Return what distances to neighbours say, not the bracket that is the default."""
    return compressed_information(layer, labels, mode="neighbors", **options)


def views(n=400, seed=0, d=2, rho=0.8):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_units_of_measurement_do_not_matter(scale):
    x, y = views()
    labels = (x[:, 0] > 0).astype(int)
    assert shuffle_difference(x * scale, y) == pytest.approx(shuffle_difference(x, y), abs=1e-9)
    expected = mixed_mutual_information(x, labels)
    assert mixed_mutual_information(x * scale, labels) == pytest.approx(expected, abs=1e-9)
    assert intrinsic_dimension(x * scale) == pytest.approx(intrinsic_dimension(x), rel=1e-9)


def test_huge_offsets_do_not_matter():
    x, y = views()
    labels = (x[:, 0] > 0).astype(int)
    far = x + 1e8
    assert ksg_mutual_information(far, y) == pytest.approx(ksg_mutual_information(x, y), abs=0.01)
    expected = mixed_mutual_information(x, labels)
    assert mixed_mutual_information(far, labels) == pytest.approx(expected, abs=0.01)
    assert intrinsic_dimension(far) == pytest.approx(intrinsic_dimension(x), rel=1e-3)


def test_no_call_changes_a_later_one():
    x, y = views()
    before = ksg_mutual_information(x, y)
    kozachenko_leonenko_entropy(x)
    shuffle_difference(x, y)
    mixed_mutual_information(x, np.arange(len(x)) % 3)
    assert ksg_mutual_information(x, y) == before


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_constant_and_repeated_columns_of_a_view_are_left_out(mode):
    x, y = views(n=1000)
    plain = compressed_information(y, inputs=x, mode=mode, dim=2)
    padded = np.hstack([x, np.full((len(x), 1), 1e7), x[:, :1] - 3.0 * x[:, 1:]])
    found = compressed_information(y, inputs=padded, mode=mode, dim=2)
    assert found.diagnostics["dim_x"] == 2
    # Neighbour counts see other axes of the same plane.
    assert found.ixt.bits == pytest.approx(plain.ixt.bits, abs=1e-6 if mode == "joint" else 0.15)


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_heavy_tails_of_independent_views_hold_nothing(mode):
    rng = np.random.default_rng(0)
    t, x = rng.standard_cauchy(size=(2, 1000, 2))
    found = compressed_information(t, inputs=x, mode=mode, dim=2)
    assert found.ixt.low - 0.2 < 0.0 < found.ixt.high + 0.2


@pytest.mark.parametrize("mode", ["noise", "joint", "ksg"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e7])
def test_a_dead_layer_is_no_information_of_any_kind_and_told(mode, value):
    x, _ = views()
    found = compressed_information(np.full((400, 3), value), np.arange(400) % 5, x, mode=mode)
    for estimate in (found.ixt, found.ity, found.ixt_given_y):
        assert estimate.bits == 0.0
        assert estimate.flags == ("constant",)


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_constant_inputs_leave_what_the_layer_tells_of_the_labels(mode):
    t, _ = views()
    found = compressed_information(t, (t[:, 0] > 0).astype(int), np.ones((400, 2)), mode=mode)
    assert found.ixt.bits == 0.0
    assert "constant" in found.ixt.flags
    assert found.ity.bits > 0.5


@pytest.mark.parametrize("mode", ["noise", "joint", "ksg"])
def test_classes_of_one_and_two_samples(mode):
    x, y = views(n=600)
    labels = (x[:, 0] > 0).astype(int)
    labels[0], labels[1:3] = 7, 8
    found = compressed_information(y, labels, x, mode=mode, dim=2)
    assert found.ity.diagnostics["smallest_class"] == 1
    assert 0.0 < found.ity.bits < found.ity.bound_high
    assert math.isfinite(found.ixt_given_y.bits)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_a_layer_that_the_noise_drowns_is_told(offset):
    # The default noise is a tenth of the root mean square, and so of a common offset.
    x, _ = views(n=1000)
    found = by_neighbors(x + offset, np.arange(1000) % 4)
    assert ("degenerate" in found.ixt.flags) == (offset > 0.0)
    assert ("degenerate" in found.ixt_given_y.flags) == (offset > 0.0)
    assert "degenerate" not in by_neighbors(x + offset, noise=0.3, noisy=False).ixt.flags


def test_labels_that_belong_to_nothing_are_told_by_their_permutation():
    x, _ = views(n=1000)
    values, nulls = [], []
    for seed in range(6):
        labels = np.random.default_rng(seed).integers(0, 4, 1000)
        found = by_neighbors(x, labels, noise=0.3, noisy=False).ity
        values.append(found.bits)
        nulls.append(found.diagnostics["null"])
        assert ("null_dominates" in found.flags) == (abs(nulls[-1]) > 0.5 * abs(found.bits))
    assert abs(np.mean(values)) < 0.05  # one draw has a standard deviation of 0.02
    assert abs(np.mean(nulls)) < 0.05


def test_a_layer_of_noise_alone_is_told():
    noise = 0.3 * np.random.default_rng(0).normal(size=(1000, 20))
    found = compressed_information(noise, noise=0.3, noisy=True, dim=2)
    assert "null_dominates" in found.ixt.flags


@pytest.mark.parametrize(("d", "told"), [(4, False), (8, True)])
def test_label_information_lost_in_many_dimensions_is_told(d, told):
    # The label hangs on one of d columns. The truth is 0.702 bits; in 4 columns the estimate is
    # 0.01 bits off, within its interval of 0.04, in 8 columns 0.10.
    x = np.random.default_rng(7).normal(size=(2000, d))
    found = by_neighbors(x, (x[:, 0] > 0).astype(int), noise=0.3, noisy=False, dim=d).ity
    assert (found.high < 0.702) == told
    assert ("biased" in found.flags) == told


def test_slow_biases_of_label_information_are_told():
    told = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(1000, 8))
        y = rng.random(1000) < 1 / (1 + np.exp(-6.0 * x[:, 0]))
        found = by_neighbors(x, y, noise=0.05, noisy=False, dim=8).ity
        assert found.bits < 0.65  # of 0.70
        told += "biased" in found.flags
    assert told >= 4  # the drift of folds tells of 1


def test_labels_that_belong_to_nothing_are_seldom_called_biased():
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(1000, 4)), rng.integers(0, 2, 1000)
        found = compressed_information(x, y, noise=0.05, noisy=False, dim=4).ity
        told += "biased" in found.flags
    assert told <= 2  # the drift of halves alone tells of 4


def test_below_zero_is_shown_and_flagged():
    values = []
    for seed in range(6):
        x, y = views(n=300, seed=seed, rho=0.0)
        values.append(compressed_information(y, inputs=x, mode="joint", dim=2).ixt)
    assert any(value.bits < 0.0 for value in values)
    assert all(("negative" in value.flags) == (value.bits < 0.0) for value in values)


def test_samples_below_two_hundred_are_flagged():
    x, y = views(n=199)
    labels = np.arange(199) % 2
    for mode in ("noise", "joint", "ksg"):
        found = compressed_information(y, labels, x, mode=mode, dim=2)
        assert "small_n" in found.ixt.flags
        assert "small_n" in found.ity.flags


def test_neighbour_counts_near_their_ceiling_are_flagged():
    x, _ = views(n=1000)
    found = compressed_information(x + 1e-4 * x**2, inputs=x, mode="ksg", dim=2)
    assert found.ixt.bits > 0.85 * found.diagnostics["ksg_ceiling"]
    assert "saturated" in found.ixt.flags


def test_every_cell_says_how_it_was_measured():
    x, y = views(n=1000)
    found = by_neighbors(y, (x[:, 0] > 0).astype(int), noise=0.3, noisy=False)
    needed = {
        "se", "drift", "dim", "explained_variance", "loss_bound_t", "loss_bound_x", "capacity",
        "log2_n", "id_ratio", "duplicates", "weights_norm", "k", "n", "noise", "noise_relative",
        "basis", "ksg", "stability",
    }  # fmt: skip
    assert needed <= set(found.diagnostics)
    assert {"null", "h_y", "se"} <= set(found.ity.diagnostics)
    json.dumps(dict(found.diagnostics), allow_nan=False)
    pair = compressed_information(y, inputs=x, mode="joint", dim=2).diagnostics
    assert {"se", "drift", "k", "n", "dim", "dim_x", "duplicates", "id_ratio", "ksg"} <= set(pair)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_numbers_whose_squares_are_none_are_refused(scale):
    x, y = views()
    for call in (kozachenko_leonenko_entropy, intrinsic_dimension, compressed_information):
        with pytest.raises(InputError, match="rescale"):
            call(x * scale)
    with pytest.raises(InputError, match="rescale"):
        mixed_mutual_information(x * scale, np.arange(len(x)) % 3)
    with pytest.raises(InputError, match="inputs whose largest"):
        compressed_information(x, inputs=y * scale, mode="joint")


def test_parameters_that_are_no_whole_numbers_are_refused():
    x, y = views()
    for call in (
        lambda: ksg_mutual_information(x, y, 2.5),
        lambda: kozachenko_leonenko_entropy(x, 2.5),
        lambda: shuffle_difference(x, y, permutations=1.5),
        lambda: shuffle_difference(x, y, seed=None),
    ):
        with pytest.raises(InputError, match="whole number"):
            call()


def test_an_offset_that_drowns_the_layer_in_noise_is_told():
    x, _ = views()
    found = by_neighbors(x + 1e9, (x[:, 0] > 0).astype(int))
    assert found.ixt.flags == ("constant",)
    assert "of the noise, 1e+08" in found.ixt.diagnostics["reason"]


def test_noise_far_below_the_layer_leaves_the_bounds_right():
    # In units of such noise squares of codes take all digits: their differences are none.
    clean, _ = views(n=600)
    rng = np.random.default_rng(0)
    coarse, fine = 1e-3, 1e-10
    draw = np.random.default_rng(1).standard_normal(clean.shape)
    (low, _), _ = mixture_bounds(clean, clean + fine * draw, fine, np.zeros(600), rng)
    assert low == pytest.approx(math.log(600), abs=0.3)
    found = [compressed_information(clean, noise=size, dim=2) for size in (coarse, fine)]
    grown = found[1].ixt.bits - found[0].ixt.bits
    assert grown == pytest.approx(2 * math.log2(coarse / fine), abs=0.2)
    assert found[1].ixt.diagnostics["drift"] is not None


def test_a_few_far_samples_are_not_the_upper_bound():
    noise, n = 0.1, 1000
    clean = np.random.default_rng(0).standard_normal((n, 2))
    draw = noise * np.random.default_rng(1).standard_normal(clean.shape)
    truth = math.log(1.0 + 1.0 / noise**2)  # of normal codes, in nats

    def upper(codes):
        rng = np.random.default_rng(0)
        return mixture_bounds(codes, codes + draw, noise, np.zeros(n), rng)[1][0]

    far = clean.copy()
    far[:5] *= 20.0  # 200 noises from all others: an exponent of 20,000 each
    assert truth - 0.1 < upper(clean) < truth + 0.3
    assert abs(upper(far) - upper(clean)) < 0.2


@pytest.mark.parametrize("mode", ["noise", "joint"])
def test_classes_of_one_sample_each_tell_nothing(mode):
    x, y = views()
    found = compressed_information(y, np.arange(len(x)), x, mode=mode)
    assert found.ixt.bits is not None
    for estimate in (found.ity, found.ixt_given_y):
        assert estimate.bits is None
        assert estimate.flags == ("small_n",)


def test_many_samples_alone_in_their_classes_are_told():
    x, _ = views()
    labels = np.where(np.arange(len(x)) < 40, np.arange(len(x)), -1 - (x[:, 0] > 0))
    assert "small_n" in by_neighbors(x, labels).ity.flags


def test_one_class_has_no_bias():
    x, _ = views()
    assert by_neighbors(x, np.zeros(len(x), dtype=int)).ity.flags == ("constant",)


def test_labels_of_a_layer_equal_to_the_inputs_have_an_interval():
    x, _ = views()
    found = compressed_information(x, (x[:, 0] > 0).astype(int), 3.0 * x, mode="joint")
    assert found.ixt.bits is None
    assert "depend on each other" in found.ixt.diagnostics["reason"]
    assert found.ity.low < found.ity.bits < found.ity.high


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_a_narrow_layer_has_the_dimension_asked_for(mode):
    x, y = views()
    found = compressed_information(y, inputs=x, mode=mode, dim=1)
    assert found.dim == found.diagnostics["dim"] == 1


def test_counts_that_cannot_tell_anything_are_flagged():
    x, y = views()
    assert "saturated" in compressed_information(y, inputs=x, mode="ksg", k=399).ixt.flags
    assert compressed_information(y, inputs=x, mode="ksg", k=1).ixt.bits > 0.5


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_constant_wide_inputs_are_no_error(mode):
    _, y = views()
    found = compressed_information(y, inputs=np.full((len(y), 20), 3.0), mode=mode)
    assert found.ixt.bits == 0.0
    assert found.ixt.flags == ("constant",)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounding_errors_of_a_flat_layer_are_no_dimensions(dtype):
    x, y = views()
    wide = (y @ np.random.default_rng(1).normal(size=(2, 30))).astype(dtype)
    found = compressed_information(wide, inputs=x, mode="joint", dim=5)
    assert found.dim == found.diagnostics["dim"] == 2
    plain = compressed_information(y, inputs=x, mode="joint", dim=2)
    assert found.ixt.bits == pytest.approx(plain.ixt.bits, abs=1e-3)


@pytest.mark.parametrize("mode", ["joint", "ksg"])
def test_units_of_very_different_size_all_count(mode):
    x, y = views()
    found = [
        compressed_information(y * [1.0, size], inputs=x * [size, 1.0], mode=mode, dim=2).ixt.bits
        for size in (1.0, 1e6)
    ]
    assert found[1] == pytest.approx(found[0], abs=0.1)


@pytest.mark.parametrize(("size", "scaled"), [(0.01, True), (1.0, False), (30.0, False)])
def test_labels_are_found_whatever_the_size_of_the_unit_they_hang_on(size, scaled):
    rng = np.random.default_rng(3)
    labels = np.arange(2000) % 2
    unit = size * (2 * labels - 1 + 0.01 * rng.normal(size=2000))
    layer = np.column_stack([rng.normal(size=(2000, 5)), unit])
    found = by_neighbors(layer, labels, noise=1e-4, noisy=False, dim=6).ity
    assert found.bits == pytest.approx(1.0, abs=0.05)
    assert found.diagnostics["scaled"] is scaled


def test_noise_that_a_sweep_scaled_out_of_range_is_refused():
    code = Code(np.random.default_rng(0).normal(size=(100, 2)), 2, 2, 0.0)
    for noise in (1e-200, 1e200):
        with pytest.raises(InputError, match="noise whose"):
            noise_estimates(code, noise, None, CellOptions(), np.random.default_rng(0))

"""Identities and behaviour of binned information."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from infoplane.errors import InputError
from infoplane.estimators.layers.binned_information import binned_information
from infoplane.numerics.discrete.binned import partition_information, probe_symbols
from infoplane.numerics.discrete.partitions import MODES, partitioned
from infoplane.numerics.discrete.symbols import jackknife, row_symbols

RANGE = {"low": -3.0, "high": 3.0}
layers = npst.arrays(
    np.float32,
    st.tuples(st.integers(2, 60), st.integers(1, 4)),
    elements=st.integers(-24, 24).map(lambda k: k / 8),
)


def labels_for(n):
    return np.arange(n) % 3


def entropy(p):
    p = np.asarray(p, dtype=float)
    p = p[p > 0] / p.sum()
    return float(-(p * np.log2(p)).sum())


@pytest.mark.parametrize("mode", MODES)
@given(layers)
def test_bounds_and_the_joint_form_of_a_function_of_the_input(mode, layer):
    labels = labels_for(len(layer))
    info = binned_information(layer, labels, mode=mode, **RANGE)
    assert -1e-12 <= info.ity <= info.h_y + 1e-12
    assert info.ity <= info.ht + 1e-12
    assert info.ixt == info.ht <= np.log2(len(layer)) + 1e-12
    # the same T for a repeated input: H(T) + H(X) - H(X,T) = H(T)
    twice = np.repeat(layer, 2, axis=0)
    inputs = np.repeat(np.arange(len(layer)), 2)[:, None]
    joint = binned_information(twice, np.repeat(labels, 2), inputs, mode=mode, **RANGE)
    assert joint.ixt == pytest.approx(joint.ht, abs=1e-12)
    if mode != "ebab":  # ebab and its kin look at distinct values: repeating changes nothing
        return
    assert joint.ht == pytest.approx(info.ht, abs=1e-12)


@pytest.mark.parametrize("mode", MODES)
@given(layers, st.integers(0, 10**6))
def test_units_and_samples_can_be_permuted(mode, layer, seed):
    rng = np.random.default_rng(seed)
    units, samples = rng.permutation(layer.shape[1]), rng.permutation(len(layer))
    labels = labels_for(len(layer))
    one = binned_information(layer, labels, mode=mode, **RANGE)
    two = binned_information(layer[samples][:, units], labels[samples], mode=mode, **RANGE)
    assert two.ht == pytest.approx(one.ht, abs=1e-12)
    assert two.ity == pytest.approx(one.ity, abs=1e-12)


@pytest.mark.parametrize("mode", ["ebab", "ebab-neuron", "quantile", "layer", "neuron"])
@given(layers, st.sampled_from([0.25, 4.0, 1024.0]))
def test_adaptive_modes_ignore_positive_scale(mode, layer, factor):
    one = binned_information(layer, mode=mode)
    two = binned_information(layer * np.float32(factor), mode=mode)
    assert two.ht == pytest.approx(one.ht, abs=1e-12)


@given(layers)
def test_ebab_ignores_every_increasing_transform(layer):
    shifted = layer + 4  # above 0, so that no value has a symbol of its own
    one = binned_information(shifted)
    assert binned_information(np.exp(shifted.astype(float))).ht == pytest.approx(one.ht, abs=1e-12)


@given(layers, st.sampled_from(MODES))
def test_exact_is_at_least_every_binning(layer, mode):
    exact = binned_information(layer, labels_for(len(layer)), mode="exact")
    binned = binned_information(layer, labels_for(len(layer)), mode=mode, **RANGE)
    assert binned.ht <= exact.ht + 1e-12
    assert binned.ity <= exact.ity + 1e-12


@given(layers, st.integers(2, 20))
def test_refining_the_bins_never_loses_information(layer, bins):
    coarse = np.linspace(-3, 3, bins)
    fine = np.sort(np.append(coarse, np.linspace(-2.9, 2.9, 7)))
    labels = labels_for(len(layer))
    less = binned_information(layer, labels, edges=coarse)
    more = binned_information(layer, labels, edges=fine)
    assert less.ht <= more.ht + 1e-12
    assert less.ity <= more.ity + 1e-12


@given(layers, st.data())
def test_noisy_layer_matches_the_definition(layer, data):
    """I(X;T) = H(T) - sum_x p(x) H(T|x), where inputs repeat with different T."""
    n = len(layer)
    inputs = data.draw(npst.arrays(np.int64, n, elements=st.integers(0, max(1, n // 3))))
    info = binned_information(layer, None, inputs[:, None], mode="width", width=0.5)
    codes = np.floor(layer / 0.5)
    within = 0.0
    for x in np.unique(inputs):
        _, counts = np.unique(codes[inputs == x], axis=0, return_counts=True)
        within += (inputs == x).mean() * entropy(counts)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert info.ht == pytest.approx(entropy(counts), abs=1e-12)
    assert info.ixt == pytest.approx(entropy(counts) - within, abs=1e-12)


@given(layers, st.sampled_from(MODES))
def test_no_entropy_exceeds_the_number_of_rows_that_the_bins_can_make(layer, mode):
    info = binned_information(layer, mode=mode, **RANGE)
    assert info.ht <= info.capacity + 1e-12


@pytest.mark.parametrize("bins", [4, 30])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_one_unit_in_adaptive_bins_is_at_their_ceiling_whatever_it_does(scale, bins):
    layer = scale * np.random.default_rng(0).normal(size=(1300, 1))
    for mode in ("ebab", "ebab-neuron"):
        info = binned_information(layer, mode=mode, bins=bins)
        # Equal bins, and one with nothing but the maximum: 1 of 1300 samples.
        alone = entropy([1, 1299]) + 1299 / 1300 * np.log2(bins)
        assert info.capacity == pytest.approx(alone, abs=1e-12)
        assert "saturated" in info.flags
    fixed = binned_information(layer, mode="fixed", bins=30, low=-5 * scale, high=5 * scale)
    assert fixed.capacity == np.log2(30)
    assert "saturated" not in fixed.flags


def test_bins_that_part_all_values_set_no_ceiling():
    signs = np.sign(np.random.default_rng(0).normal(size=(1000, 1)))
    for mode in ("ebab", "ebab-neuron", "quantile", "exact"):
        info = binned_information(signs, mode=mode)
        assert info.ht == pytest.approx(1.0, abs=0.01)  # the bit itself, of no bins
        assert info.capacity == np.inf
        assert "saturated" not in info.flags


def test_inputs_that_say_nothing_of_the_noise_are_flagged():
    rng = np.random.default_rng(0)
    layer, inputs = rng.normal(size=(400, 2)), rng.normal(size=(400, 2))
    alone = binned_information(layer, inputs=inputs)
    assert alone.ixt == alone.ht == binned_information(layer).ht  # of independent inputs: not 0
    assert "upper_bound" in alone.flags
    assert "upper_bound" not in binned_information(layer).flags
    seen = binned_information(layer, inputs=inputs[np.arange(400) // 200])
    assert seen.ixt < 1.01  # of two inputs
    assert "upper_bound" not in seen.flags


def test_layer_that_copies_the_label_holds_its_entropy():
    labels = np.repeat([0, 1, 2, 2], 25)
    info = binned_information(labels[:, None].astype(float), labels, mode="layer", bins=3)
    assert info.ity == pytest.approx(1.5)
    assert info.ht == pytest.approx(1.5)
    assert info.n_states == 3


def test_unrelated_labels_have_the_information_of_their_null():
    rng = np.random.default_rng(3)
    layer, labels = rng.normal(size=(2000, 3)), rng.integers(0, 2, 2000)
    info = binned_information(layer, labels)
    # a fine partition separates nearly all samples: I(T;Y) is high for any labels
    assert info.ity > 0.8
    assert info.null_ity == pytest.approx(info.ity, abs=0.02)
    assert "null_dominates" in info.flags
    assert "sparse" in info.flags


def test_values_outside_a_fixed_range_join_the_outermost_bins_and_are_flagged():
    layer = np.array([[-5.0], [-1.0], [-0.99], [0.0], [1.0], [7.0]])
    info = binned_information(layer, mode="fixed", bins=3)  # [-1, 0), [0, 1), [1, inf)
    np.testing.assert_array_equal(info.edges, [-1, 0, 1])
    assert sorted(info.symbols.counts.tolist()) == [1, 2, 3]
    assert len(set(info.symbols.ids[:3].tolist())) == 1  # -5 is not wrapped to the top bin
    assert info.symbols.ids[4] == info.symbols.ids[5]
    assert info.out_of_range == pytest.approx(2 / 6)
    assert "out_of_range" in info.flags


def test_values_inside_the_range_are_not_flagged():
    layer = np.linspace(-1, 1, 50)[:, None]
    info = binned_information(layer, mode="fixed")
    assert info.out_of_range == 0
    assert "out_of_range" not in info.flags


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.1), (-1e300, 1e300)])
def test_limits_are_read_in_the_precision_of_the_values(low, high):
    # float32(-0.1) is below -0.1; clipping there puts no value outside.
    values = np.array([[-0.1], [0.0], [0.1]], dtype=np.float32)
    info = binned_information(values, mode="fixed", bins=4, low=low, high=high)
    assert info.out_of_range == 0


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_dead_layer_is_constant_and_holds_nothing(value):
    for mode in MODES:
        info = binned_information(np.full((500, 3), value), labels_for(500), mode=mode, **RANGE)
        assert (info.ht, info.n_states) == (0.0, 1)  # exactly: not -0.00
        assert info.ity == pytest.approx(0.0, abs=1e-12)
        assert "constant" in info.flags


def test_zeros_behind_a_relu_have_a_symbol_of_their_own():
    layer = np.array([[0.0], [-0.0], [0.1], [0.2], [0.3], [0.4]])
    info = binned_information(layer, bins=2)
    # distinct values above 0: .1 .2 .3 .4, so edges 0 | .1 | .3 | .4 with the maximum alone
    np.testing.assert_allclose(info.edges, [0, 0.1, 0.3, 0.4])
    assert sorted(info.symbols.counts.tolist()) == [1, 1, 2, 2]
    assert info.symbols.ids[0] == info.symbols.ids[1]


def test_low_that_values_undercut_is_left_out_and_flagged():
    layer = np.linspace(-1, 1, 40)[:, None]
    info, free = binned_information(layer, low=0.0), binned_information(layer)
    assert info.ht == free.ht
    assert info.out_of_range == pytest.approx(0.5)
    assert "out_of_range" in info.flags


def test_maximum_is_isolated_but_the_minimum_is_not():
    layer = np.concatenate([-np.ones(10), np.linspace(-0.9, 0.9, 60), np.ones(10)])[:, None]
    ids = binned_information(layer, bins=10).symbols.ids
    assert len(set(ids[-10:].tolist())) == 1
    assert np.sum(ids == ids[-1]) == 10
    assert np.sum(ids == ids[0]) > 10


def test_edges_keep_the_dtype_of_the_layer():
    layer = np.random.default_rng(0).normal(size=(100, 2))
    for dtype in (np.float32, np.float64):
        info = binned_information(layer.astype(dtype))
        assert info.edges.dtype == dtype
        assert set(info.edges.tolist()) <= set(layer.astype(dtype).reshape(-1).tolist())


def test_float64_values_closer_than_float32_can_tell_stay_apart():
    layer = 1 + np.arange(8)[:, None] * 1e-12
    assert binned_information(layer, bins=8).ht == pytest.approx(3.0)


def test_half_precision_counts_as_it_is():
    layer = np.arange(16, dtype=np.float16)[:, None]
    assert binned_information(layer, mode="exact").ht == pytest.approx(4.0)


def test_one_sample_and_one_class():
    one = binned_information(np.array([[0.3, 0.1]]), [1])
    assert (one.ht, one.ity, one.ceiling, one.n_states) == (0.0, 0.0, 0.0, 1)
    same = binned_information(np.arange(8.0)[:, None], np.ones(8, dtype=int))
    assert same.h_y == 0.0
    assert same.ity == pytest.approx(0.0, abs=1e-12)


def test_without_labels_there_is_no_label_information():
    info = binned_information(np.arange(8.0)[:, None])
    assert info.ity is info.null_ity is info.h_y is None


def test_saturation_is_measured_against_the_number_of_inputs():
    layer = np.random.default_rng(0).normal(size=(500, 6))
    assert "saturated" in binned_information(layer).flags
    inputs = np.repeat(np.arange(250), 2)[:, None]
    info = binned_information(np.repeat(layer[:250], 2, axis=0), None, inputs)
    assert info.ceiling == pytest.approx(np.log2(250))
    assert "saturated" in info.flags


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "unknown"}, "mode"),
        ({"bins": 0}, "bin"),
        ({"mode": "global"}, "range of all layers"),
        ({"mode": "fixed", "low": 1.0, "high": 1.0}, "low < high"),
        ({"mode": "width", "width": 0.0}, "width"),
        ({"mode": "width", "width": np.inf}, "width"),
        ({"mode": "width", "width": 1e-320}, "width"),
        ({"mode": "fixed", "low": -np.inf}, "finite"),
        ({"low": np.nan}, "finite low"),
        ({"bins": 2.5}, "whole number"),
        ({"edges": [0.0, np.nan]}, "ascending"),
        ({"edges": [1.0, 0.0]}, "ascending"),
        ({"labels": [0, 1]}, "labels"),
        ({"labels": [0.5, 1.0, 1.0]}, "whole numbers"),
        ({"inputs": np.zeros((2, 1))}, "inputs"),
        ({"inputs": np.full((3, 1), np.nan)}, "inputs"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(InputError, match=message):
        binned_information(np.array([[0.1], [0.2], [0.3]]), **arguments)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float32])
def test_inputs_of_any_type_are_told_apart(dtype):
    inputs = np.array([[[0, 1]], [[0, 1]], [[1, 1]], [[1, 0]]]).astype(dtype)
    probe = probe_symbols(4, None, inputs)
    assert probe.n_inputs == 3
    assert probe.inputs.entropy == pytest.approx(1.5)


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="samples and units"):
        binned_information(np.empty((0, 4)))


@pytest.mark.parametrize("mode", MODES)
def test_negative_zero_shares_the_bin_of_zero(mode):
    rng = np.random.default_rng(7)
    layer = np.maximum(np.round(rng.normal(size=(300, 3)), 1), 0)
    signed = layer.copy()
    signed[::2][signed[::2] == 0] = -0.0
    assert np.signbit(signed).any()
    one, two = (binned_information(t, labels_for(300), mode=mode, **RANGE) for t in (layer, signed))
    assert (one.ht, one.ity, one.n_states) == (two.ht, two.ity, two.n_states)


@pytest.mark.parametrize("mode", MODES)
def test_dead_units_add_nothing(mode):
    if mode in ("ebab", "quantile", "layer"):
        pytest.skip("edges pool the values of all units")
    layer = np.random.default_rng(8).normal(size=(200, 2))
    dead = np.column_stack([layer, np.full(200, 0.25)])
    one, two = (binned_information(t, labels_for(200), mode=mode, **RANGE) for t in (layer, dead))
    assert two.ht == pytest.approx(one.ht, abs=1e-12)
    assert two.ity == pytest.approx(one.ity, abs=1e-12)


def test_nan_is_refused():
    with pytest.raises(InputError, match="finite"):
        binned_information(np.array([[0.1], [np.nan]]))


def test_whole_numbers_as_float_labels_are_class_ids():
    layer = np.arange(6.0)[:, None]
    one = binned_information(layer, np.array([0.0, 1.0, 0.0, 1.0, 2.0, 2.0]))
    assert one.ity == binned_information(layer, [0, 1, 0, 1, 2, 2]).ity


def spread_clusters_and_copies(kind):
    """300 rows that all differ, in tight clusters, drawn from 20 rows, or some of each."""
    rng = np.random.default_rng(2)
    spread = np.tanh(rng.normal(size=(300, 20)))
    centres = np.tanh(rng.normal(size=(20, 20)))[rng.integers(0, 20, 300)]
    clusters = centres + 1e-3 * rng.normal(size=(300, 20))
    mixed = np.concatenate([spread[:100], clusters[:100], centres[:100]])
    layer = {"spread": spread, "clusters": clusters, "copies": centres, "mixed": mixed}[kind]
    return layer.astype(np.float32)


@pytest.mark.parametrize("bins", [(15, 30, 60, 100), (7, 11), (100, 200, 300), (30, 5)])
@pytest.mark.parametrize("units", [3, 20])
@pytest.mark.parametrize("kind", ["spread", "clusters", "copies", "mixed"])
def test_sweep_gives_what_single_numbers_of_bins_give(kind, units, bins):
    layer = spread_clusters_and_copies(kind)[:, :units]
    probe = probe_symbols(300, labels_for(300))
    for mode in ("ebab", "ebab-neuron", "quantile", "layer", "neuron", "fixed"):
        found = [
            (partition.bins, partition_information(partition, probe))
            for partition in partitioned(layer, mode, bins)
        ]
        assert [count for count, _ in found] == list(bins)
        for count, info in found:
            single = binned_information(layer, labels_for(300), mode=mode, bins=count)
            assert (info.ht, info.ity, info.null_ity) == pytest.approx(
                (single.ht, single.ity, single.null_ity), abs=1e-12
            )
            assert info.singleton_fraction == single.singleton_fraction
            np.testing.assert_array_equal(info.edges, single.edges)


def test_sweep_of_a_layer_narrower_than_its_numbers_are_dense():
    """Equally spaced edges between neighbouring numbers repeat."""
    layer = np.array([[1.0], [np.nextafter(1.0, 2.0)], [1.0]])
    for partition in partitioned(layer, "layer", (2, 3, 4)):
        single = binned_information(layer, mode="layer", bins=partition.bins)
        assert partition.symbols.entropy == pytest.approx(single.ht, abs=1e-12)


def test_jackknife_is_that_of_leaving_samples_out():
    rng = np.random.default_rng(4)
    t, y = row_symbols(rng.integers(0, 6, (40, 1))), row_symbols(rng.integers(0, 3, (40, 1)))

    def left_out(of_labels):
        values = []
        for i in range(40):
            keep = np.arange(40) != i
            info = binned_information(t.ids[keep, None], y.ids[keep], mode="exact")
            values.append(info.ity if of_labels else info.ht)
        values = np.array(values)
        whole = binned_information(t.ids[:, None], y.ids, mode="exact")
        bits = whole.ity if of_labels else whole.ht
        error = np.sqrt(39 / 40 * ((values - values.mean()) ** 2).sum())
        return bits, error, 39 * (values.mean() - bits)

    for other in (None, y):
        bits, error, bias = left_out(other is not None)
        assert jackknife(t, other, bits) == pytest.approx((error, bias), rel=1e-9)


def test_jackknife_tells_the_bias_of_many_states():
    """400 samples of 60 equally likely states: the plug-in entropy is 0.1 bits too low."""
    rng = np.random.default_rng(6)
    draws = [row_symbols(rng.integers(0, 60, (400, 1))) for _ in range(200)]
    missing = np.mean([draw.entropy for draw in draws]) - np.log2(60)
    told = np.mean([jackknife(draw, None, draw.entropy)[1] for draw in draws])
    assert missing < -0.08
    assert told == pytest.approx(missing, rel=0.1)


def test_jackknife_covers_the_sampling_spread():
    """Few states, many samples: the error agrees with the spread over fresh samples."""
    p = np.array([0.5, 0.25, 0.125, 0.125])
    rng = np.random.default_rng(5)
    draws = [row_symbols(rng.choice(4, size=(400, 1), p=p)) for _ in range(400)]
    spread = np.std([draw.entropy for draw in draws])
    typical = np.mean([jackknife(draw, None, draw.entropy)[0] for draw in draws])
    assert typical == pytest.approx(spread, rel=0.15)  # the spread itself is known to 3.5 %

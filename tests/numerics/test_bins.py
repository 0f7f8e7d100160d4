"""Edges of bins, and the labels of values between them."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from infoplane.numerics.discrete import edges as bins_module
from infoplane.numerics.discrete.edges import (
    DistinctValues,
    bin_labels,
    coarsened,
    distinct_sorted,
    equal_count_edges,
    equal_mass_edges,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_edges", [1, 30, 255, 256, 400])
def test_labels_are_those_of_digitize(dtype, n_edges):
    rng = np.random.default_rng(n_edges)
    values = np.round(rng.normal(size=(700, 3)), 2).astype(dtype)
    edges = np.sort(np.round(rng.normal(size=n_edges), 2))  # float64, often equal to a value
    np.testing.assert_array_equal(bin_labels(values, edges), np.digitize(values, edges))


def test_labels_of_more_values_than_a_block():
    values = np.random.default_rng(0).normal(size=(70_000, 2)).astype(np.float32)
    edges = np.linspace(-2, 2, 9)
    np.testing.assert_array_equal(bin_labels(values, edges), np.digitize(values, edges))


@pytest.mark.parametrize("n_edges", [1, 30, 200, 255])
def test_table_gives_the_labels_of_digitize(n_edges, monkeypatch):
    """Values that share the upper bits of edges, signed zeros, subnormals and extremes."""
    monkeypatch.setattr("infoplane.numerics.discrete.edges.TABLE_COST", -np.inf)
    rng = np.random.default_rng(n_edges)
    near_one = 1 - np.abs(rng.normal(scale=1e-3, size=500))
    special = [0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0]
    values = np.concatenate([rng.normal(size=2000), near_one, -near_one, special])
    values = values.astype(np.float32)[:, None]
    edges = np.sort(rng.choice(np.unique(values), n_edges - (n_edges > 1), replace=False))
    if n_edges > 1:
        edges = np.sort(np.append(edges, np.float32(-0.0)))
    np.testing.assert_array_equal(bin_labels(values, edges), np.digitize(values, edges))


def test_labels_of_fewer_edges_follow_from_those_of_more():
    values = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    edges = np.linspace(-2, 2, 41).astype(np.float32)
    kept = edges[[0, 3, 4, 20, 40]]
    coarse = coarsened(bin_labels(values, edges), edges, kept)
    np.testing.assert_array_equal(coarse, bin_labels(values, kept))


def test_float32_values_and_float64_edges_compare_exactly():
    value = np.float32(0.1)  # 0.100000001490116
    edges = np.array([0.1, 0.1000000014, 0.1000000015])
    assert bin_labels(np.array([[value]]), edges)[0, 0] == 2


def test_edges_beyond_float32_leave_all_values_between():
    values = np.array([[-3e38, 0.0, 3e38]], dtype=np.float32)
    assert bin_labels(values, np.array([-1e300, 1e300])).tolist() == [[1, 1, 1]]


@given(st.integers(1, 5000), st.integers(1, 120))
def test_edges_are_bit_identical_to_the_float_index_rule(n, bins):
    distinct = np.arange(n, dtype=np.float64) ** 1.5
    expected = [distinct[int(k * (n / bins))] for k in range(bins)] + [distinct[n - 1]]
    assert equal_count_edges(distinct, bins).tolist() == expected


def test_float_index_differs_from_the_integer_one():
    edges = equal_count_edges(np.arange(138.0), 30)
    assert int(25 * (138 / 30)) == edges[25] == 114
    assert (25 * 138) // 30 == 115


@given(
    npst.arrays(np.float32, st.integers(1, 200), elements=st.integers(0, 60).map(float)),
    st.integers(1, 20),
)
def test_ranks_of_distinct_values(values, bins):
    ordered = np.sort(values)
    expected = np.unique(values)
    for block in (4, bins_module.BLOCK):
        with mock.patch.object(bins_module, "BLOCK", block):
            distinct = DistinctValues(ordered)
            assert len(distinct) == len(expected)
            np.testing.assert_array_equal(distinct[np.arange(len(expected))], expected)
    np.testing.assert_array_equal(distinct_sorted(ordered), expected)
    np.testing.assert_array_equal(
        equal_count_edges(distinct, bins), equal_count_edges(expected, bins)
    )


@given(st.integers(1, 300), st.integers(1, 40))
def test_equal_mass_edges_start_the_parts(n, bins):
    ordered = np.arange(n, dtype=np.float64)
    parts = [part for part in np.array_split(ordered, bins) if len(part)]
    assert equal_mass_edges(ordered, bins).tolist() == [part[0] for part in parts]

"""Symbols, entropies and bin edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from infoplane.numerics.discrete import (
    DistinctValues,
    Symbols,
    bin_labels,
    coarsened,
    distinct_sorted,
    entropy_of_counts,
    equal_count_edges,
    equal_mass_edges,
    joint_counts,
    joint_entropy,
    joint_occurrence,
    row_symbols,
)

tables = npst.arrays(
    np.int64,
    st.tuples(st.integers(1, 40), st.integers(1, 20)),
    elements=st.integers(-2, 2),
)
floats = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 5)),
    elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, np.float32(1e-45)]),
)


def assert_same_partition(found: Symbols, rows):
    _, expected, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    expected = expected.reshape(-1)
    assert found.n_states == len(counts)
    assert len(set(zip(found.ids.tolist(), expected.tolist(), strict=True))) == len(counts)
    np.testing.assert_array_equal(np.bincount(found.ids), found.counts)


@given(tables)
def test_rows_are_numbered_like_unique(rows):
    assert_same_partition(row_symbols(rows), rows)
    assert_same_partition(row_symbols(rows.astype(np.uint8)), rows)


@given(floats)
def test_rows_of_floats_are_equal_when_their_values_are(rows):
    assert_same_partition(row_symbols(rows), rows + 0.0)


@given(tables, st.integers(0, 3))
def test_colliding_hashes_do_not_merge_rows(rows, bits):
    wide = np.repeat(rows, 3, axis=1)  # more than one word, so that rows are hashed
    assert_same_partition(row_symbols(wide, hash_bits=bits + 1), wide)


def test_negative_zero_equals_zero():
    assert row_symbols(np.array([[0.0, 1.0], [-0.0, 1.0]])).n_states == 1
    assert row_symbols(np.array([[0.0] * 9, [-0.0] * 9], dtype=np.float32)).n_states == 1


def test_rows_that_differ_in_the_last_bit_differ():
    rows = np.ones((2, 40))
    rows[1, 39] = np.nextafter(1.0, 2.0)
    assert row_symbols(rows).n_states == 2


@pytest.mark.parametrize(
    ("counts", "bits"),
    [([1], 0.0), ([4], 0.0), ([1, 1], 1.0), ([2, 2, 2, 2], 2.0), ([2, 1, 1, 0], 1.5), ([], 0.0)],
)
def test_entropy_of_counts(counts, bits):
    assert entropy_of_counts(np.array(counts, dtype=np.int64)) == pytest.approx(bits, abs=1e-15)


@given(tables, st.data())
def test_chain_rule(rows, data):
    labels = data.draw(npst.arrays(np.int64, len(rows), elements=st.integers(0, 3)))
    t, y = row_symbols(rows), row_symbols(labels[:, None])
    within = sum(
        c / len(rows) * row_symbols(rows[y.ids == i]).entropy for i, c in enumerate(y.counts)
    )
    assert joint_entropy(t, y) == pytest.approx(y.entropy + within, abs=1e-12)
    assert joint_entropy(t, y) == pytest.approx(
        row_symbols(np.column_stack([rows, labels])).entropy, abs=1e-12
    )


@given(tables, st.data())
def test_joint_occurrence_counts_the_samples_that_share_both(rows, data):
    labels = data.draw(npst.arrays(np.int64, len(rows), elements=st.integers(0, 3)))
    t, y = row_symbols(rows), row_symbols(labels[:, None])
    both = [np.sum((t.ids == a) & (y.ids == b)) for a, b in zip(t.ids, y.ids, strict=True)]
    np.testing.assert_array_equal(joint_occurrence(t, y), both)


def test_large_tables_are_sorted_and_agree():
    rng = np.random.default_rng(0)
    n = 5000
    first, second = (row_symbols(rng.integers(0, 4000, (n, 1))) for _ in range(2))
    assert first.n_states * second.n_states > 1 << 22
    pair = row_symbols(np.column_stack([first.ids, second.ids]))
    np.testing.assert_array_equal(np.sort(joint_counts(first, second)), np.sort(pair.counts))
    np.testing.assert_array_equal(joint_occurrence(first, second), pair.counts[pair.ids])


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
    monkeypatch.setattr("infoplane.numerics.discrete.TABLE_COST", -np.inf)
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
    distinct = DistinctValues(ordered)
    expected = np.unique(values)
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

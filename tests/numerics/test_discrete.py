"""Symbols, entropies and bin edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from infoplane.numerics.discrete.symbols import (
    Symbols,
    entropy_of_counts,
    joint_entropy,
    joint_occurrence,
    row_symbols,
    symbols_of,
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


@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 5), st.integers(0, 10**6))
def test_wide_rows_are_compared_as_far_as_needed(n, n_units, n_differ, seed):
    """Rows that agree up to some unit, others from the first on, and exact copies."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, n_units), dtype=np.uint8)
    for unit in rng.integers(0, n_units, n_differ):
        rows[rng.integers(0, 2, n) == 1, unit] = rng.integers(1, 250)
    apart = rng.random(n) < rng.random()
    rows[apart, 0] = rng.integers(0, 250, apart.sum())
    asked = []

    def read(samples, units):
        asked.append(rows[samples, units].size)
        return rows[samples, units]

    for bits in (64, 1 + seed % 3):
        found = symbols_of(read, n, n_units, hash_bits=bits)
        assert_same_partition(found, rows)
        np.testing.assert_array_equal(found.counts[: found.n_alone], 1)
        assert (found.counts[found.n_alone :] > 1).all()
    assert sum(asked) <= 2 * rows.size


def test_units_after_those_that_tell_all_apart_are_not_asked_for():
    rows = np.arange(60)[:, None] + np.zeros((60, 1000))
    asked = []

    def read(samples, units):
        asked.append(units.stop)
        return rows[samples, units]

    assert symbols_of(read, 60, 1000).n_states == 60
    assert asked == [8]


@given(tables, st.data())
def test_refining_and_merging_undo_one_another(rows, data):
    coarse = row_symbols(rows[:, :1])
    kept = coarse.repeated
    finer = coarse.refined(row_symbols(rows[kept]))
    assert_same_partition(finer, rows)
    np.testing.assert_array_equal(rows[finer.examples][finer.ids], rows)
    assert_same_partition(finer.merged(row_symbols(rows[finer.examples, :1])), rows[:, :1])


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
    assert joint_entropy(first, second) == pytest.approx(pair.entropy, abs=1e-12)
    np.testing.assert_array_equal(joint_occurrence(first, second), pair.counts[pair.ids])

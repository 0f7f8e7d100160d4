"""Partitions of samples: exact identity of rows, and plug-in entropies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from infoplane.arrays import LARGE, converted, sortable
from infoplane.data import Array, FloatArray, IntArray, checked_activations

FIRST_UNITS = 8  # that are compared at first in layers of more than twice as many
MORE_UNITS = 8  # times as many are compared next
ALL_INPUTS_UP_TO = 64  # input units up to which they are compared with all combinations
MAX_COUNTED = 1 << 22  # cells of a contingency table that are counted rather than sorted
MAX_EMPTY = 16  # cells per sample up to which that is quicker

Rows: TypeAlias = Callable[[IntArray | slice, slice], Array]
"""From samples and units, numbered or as slices, to an array (n_samples, n_units)."""


@dataclass(frozen=True, eq=False)
class Symbols:
    """A partition of the samples.

    Parameters
    ----------
    ids : int64 array (n_samples,)
        State of each sample, 0 .. n_states - 1; the states of one sample come first.
    counts : int64 array (n_states,)
        Samples in each state, all positive.
    """

    ids: IntArray
    counts: IntArray

    @property
    def n_states(self) -> int:
        """Number of different states."""
        return len(self.counts)

    @cached_property
    def entropy(self) -> float:
        """Plug-in entropy in bits."""
        return entropy_of_counts(self.counts[self.n_alone :], len(self.ids))

    @cached_property
    def n_alone(self) -> int:
        """Number of states of one sample."""
        return int(np.count_nonzero(self.counts == 1))

    @cached_property
    def repeated(self) -> IntArray:
        """The samples that are not alone in their state, ascending (n_repeated,)."""
        return np.flatnonzero(self.ids >= self.n_alone)

    @property
    def examples(self) -> IntArray:
        """One sample of each state (n_states,)."""
        found = np.empty(self.n_states, dtype=np.int64)
        found[self.ids] = np.arange(len(self.ids))
        return found

    def merged(self, states: Symbols) -> Symbols:
        """Return the coarser partition in which the states that ``states`` puts together are one.

        Parameters
        ----------
        states : Symbols
            A partition of the states (``n_states`` samples).
        """
        counts = np.bincount(states.ids, weights=self.counts).astype(np.int64)
        number, ordered = _singletons_first(counts)
        return Symbols(number[states.ids][self.ids], ordered)

    def refined(self, symbols: Symbols) -> Symbols:
        """Return the finer partition in which ``symbols`` says which samples share a state.

        Parameters
        ----------
        symbols : Symbols
            A partition of ``repeated``, which puts together no samples of different states.
        """
        ids = self.ids.copy()
        ids[self.repeated] = symbols.ids + self.n_alone
        return Symbols(ids, np.concatenate([self.counts[: self.n_alone], symbols.counts]))


def working_precision(activations: Array) -> Array:
    """Return activations as float32 or float64, whichever holds them without rounding.

    Raises
    ------
    InputError
        If they are not a finite array (n_samples, n_units).
    """
    values = checked_activations(activations)
    if values.dtype.itemsize < 4:
        return converted(values, np.float32)
    return converted(values, np.float64) if values.dtype.itemsize > 8 else values


def entropy_of_counts(counts: IntArray, total: int | None = None) -> float:
    """Return the plug-in entropy -sum p log2 p, in bits, of p = counts / counts.sum().

    Counts of zero contribute nothing; without samples the entropy is 0. If ``total``, the sum of
    all counts, is given, counts of one may be left out.
    """
    total = int(counts.sum()) if total is None else total
    if total == 0:
        return 0.0
    repeated = counts[counts > 1].astype(np.float64)  # counts of 0 and 1 add nothing to the sum
    if len(repeated) == 1 and repeated[0] == total:
        return 0.0  # exactly, where rounding could leave -1e-15
    return float(np.log2(total) - (repeated * np.log2(repeated)).sum() / total)


def row_symbols(rows: Array, *, hash_bits: int = 64) -> Symbols:
    """Number the distinct rows of ``rows`` (n_samples, n_units).

    Equality is that of the values: -0.0 equals 0.0. The result is exact.

    Parameters
    ----------
    rows : array (n_samples, n_units)
        Integers of any width, or floats without NaN.
    hash_bits : int, default 64
        Bits of the hash that are used; fewer make collisions, which only tests want.
    """
    n, n_units = rows.shape
    return symbols_of(lambda samples, units: rows[samples, units], n, n_units, hash_bits=hash_bits)


def symbols_of(rows: Rows, n_samples: int, n_units: int, *, hash_bits: int = 64) -> Symbols:
    """Number the distinct rows of a table that is made as it is needed.

    A sample that differs from all others in some units differs from them in all. So in wide tables
    the first units are compared, then more of them for the samples that are still not alone, and so
    on; ``rows`` is asked for no more than that.

    Parameters
    ----------
    rows : callable
        Integers of any width, or floats without NaN, of some samples and units.
    n_samples, n_units : int
        Shape of the table.
    hash_bits : int, default 64
        As of ``row_symbols``.
    """
    stop = FIRST_UNITS if n_units > 2 * FIRST_UNITS else n_units
    symbols = _equal_rows(_words(rows(slice(None), slice(0, stop))), hash_bits)
    while stop < n_units and len(symbols.repeated):
        kept, done = symbols.repeated, stop
        # Whole words of labels, and no more at a time than memory may hold.
        most = stop + max(1, LARGE // 64 // len(kept)) * FIRST_UNITS
        stop = min(n_units, MORE_UNITS * stop, most)
        samples = kept if len(kept) < n_samples else slice(None)
        words = _words(rows(samples, slice(done, stop)))
        words = np.column_stack([symbols.ids[kept].view(np.uint64), words])
        symbols = symbols.refined(_equal_rows(words, hash_bits))
    return symbols


def _equal_rows(words: Array, hash_bits: int) -> Symbols:
    """Number the distinct rows of ``words`` (n_samples, n_words).

    Rows are grouped by a hash, and every pair of neighbours with one hash is compared in full;
    should two different rows ever share a hash, the rows themselves are sorted instead.
    """
    n = len(words)
    index_bits = max(1, (n - 1).bit_length())
    dropped = max(64 - hash_bits, index_bits)  # low bits of the hash make room for the sample
    keys = _hashed(words) >> np.uint64(dropped) << np.uint64(dropped)
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()  # several times quicker than argsort
    order = (keys & np.uint64((1 << index_bits) - 1)).astype(np.int64)
    changed = starts_of_runs(keys >> np.uint64(dropped))
    repeated = np.flatnonzero(~changed)
    if (words[order[repeated]] != words[order[repeated - 1]]).any():
        order = np.lexsort(words.T)
        ordered = words[order]
        changed[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return _numbered(order, changed)


def starts_of_runs(ordered: Array) -> Array:
    """Return which values of an array (n,) differ from their predecessor; the first does."""
    changed = np.empty(len(ordered), dtype=bool)
    changed[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    return changed


def _grouped(keys: Array) -> Symbols:
    order = np.argsort(keys)
    return _numbered(order, starts_of_runs(keys[order]))


def _numbered(order: IntArray, changed: Array) -> Symbols:
    """Return the symbols of sorted samples; ``changed`` marks those unlike their predecessor."""
    n = len(order)
    first = np.flatnonzero(changed)
    if len(first) == n:
        return Symbols(np.arange(n), np.ones(n, dtype=np.int64))
    counts = np.append(first[1:], n) - first
    number, ordered = _singletons_first(counts)
    ids = np.empty(n, dtype=np.int64)
    ids[order] = np.repeat(number, counts)
    return Symbols(ids, ordered)


def _singletons_first(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Return new numbers of states, those of one sample first, and the counts in that order."""
    alone = counts == 1
    order = np.concatenate([np.flatnonzero(alone), np.flatnonzero(~alone)])
    number = np.empty(len(counts), dtype=np.int64)
    number[order] = np.arange(len(counts))
    return number, counts[order]


def _words(rows: Array) -> Array:
    """Return the rows as uint64 words (n_samples, n_words), padded with zero bytes."""
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # -0.0 becomes 0.0, so that equal values have equal bytes
    n, width = len(rows), rows.shape[1] * rows.dtype.itemsize
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(n, width)
    if width % 8:
        padded = np.zeros((n, width + -width % 8), dtype=np.uint8)
        padded[:, :width] = raw
        raw = padded
    return raw.view(np.uint64)


def _hashed(words: Array) -> Array:
    """Return a 64-bit hash of each row of ``words``: multiply and fold, word after word."""
    keys = np.zeros(len(words), dtype=np.uint64)
    multiplier, shift = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
    for column in words.T:
        keys ^= column
        keys *= multiplier
        keys ^= keys >> shift
    return keys


def joint_occurrence(first: Symbols, second: Symbols) -> IntArray:
    """Return for each sample how many samples share both its states (n_samples,)."""
    pair = first.ids * second.n_states + second.ids
    size = first.n_states * second.n_states
    if size > MAX_COUNTED:
        joint = _grouped(pair)
        return joint.counts[joint.ids]
    counts: IntArray = np.bincount(pair, minlength=size)
    return np.take(counts, pair)


def joint_entropy(first: Symbols, second: Symbols) -> float:
    """Return the plug-in entropy H(first, second) in bits."""
    kept = first.repeated  # a sample alone in one is alone in both
    if len(kept) == 0:
        return float(np.log2(len(first.ids)))
    pair = first.ids[kept] * second.n_states + second.ids[kept]
    size = first.n_states * second.n_states
    few = size <= min(MAX_COUNTED, MAX_EMPTY * len(pair))
    counts = np.bincount(pair, minlength=size) if few else _grouped(pair).counts
    return entropy_of_counts(counts, len(first.ids))


def is_whole_population(inputs: Array | None) -> bool:
    """Tell whether inputs (n_samples, ...) are all combinations of the values of their units.

    Inputs that nobody knows are not.
    """
    if inputs is None:
        return False
    inputs = inputs.reshape(len(inputs), -1)
    if inputs.shape[1] > ALL_INPUTS_UP_TO:
        return False
    combinations = 1
    for unit in inputs.T:
        combinations *= len(np.unique(sortable(unit)))
        if combinations > len(inputs):
            return False
    return combinations == len(inputs) == row_symbols(inputs).n_states


def jackknife(t: Symbols, other: Symbols | None, bits: float) -> tuple[float, float]:
    """Return standard error and bias of plug-in H(T), or of I(T;other), by leaving out one sample.

    Leaving out a sample changes each c log2 c of its own states alone, so that all n estimates
    follow from the counts. Where most samples are alone in their state the bias is larger than
    this says.

    Parameters
    ----------
    t, other : Symbols
        The samples.
    bits : float
        The plug-in estimate itself.

    References
    ----------
    Efron, Stein: "The jackknife estimate of variance", Annals of Statistics 9, 1981.
    """
    change = _count_change(t.counts)[t.ids]
    if other is not None:
        change = (
            change
            + _count_change(other.counts)[other.ids]
            - _count_change(joint_occurrence(t, other))
        )
    n = len(change)
    mean = float(change.mean())
    error = float(np.sqrt((n - 1) / n * np.square(change - mean).sum()) / (n - 1))
    return error, bits + mean - float(n * np.log2(n) - (n - 1) * np.log2(n - 1))


def _count_change(counts: Array) -> FloatArray:
    """Return c log2 c - (c - 1) log2 (c - 1) of positive counts."""
    c = counts.astype(np.float64)
    fewer = np.maximum(c - 1, 1)
    return np.asarray(c * np.log2(c) - fewer * np.log2(fewer))

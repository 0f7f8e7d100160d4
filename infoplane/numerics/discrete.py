"""Symbols of activations: bin edges, labels, exact row identity and plug-in entropies.

A layer becomes discrete in three steps: ``bin_labels`` numbers the bin of every value,
``row_symbols`` numbers the distinct rows of bin numbers, ``entropy_of_counts`` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.records import Array, FloatArray, IntArray, checked_activations

BLOCK = 1 << 16  # values compared at a time, so that they stay in the second-level cache
TABLE_COST = 600_000  # comparisons that take as long as making the table of ``_looked_up``
ALL_INPUTS_UP_TO = 64  # input units up to which they are compared with all combinations
MOST_EDGES = 255  # of labels in one byte
MAX_COUNTED = 1 << 22  # cells of a contingency table that are counted rather than sorted


@dataclass(frozen=True, eq=False)
class Symbols:
    """A partition of the samples.

    Parameters
    ----------
    ids : int64 array (n_samples,)
        State of each sample, 0 .. n_states - 1.
    counts : int64 array (n_states,)
        Samples in each state, all positive.
    """

    ids: IntArray
    counts: IntArray

    @property
    def n_states(self) -> int:
        """Number of different states."""
        return len(self.counts)

    @property
    def entropy(self) -> float:
        """Plug-in entropy in bits."""
        return entropy_of_counts(self.counts)


def working_precision(activations: Array) -> Array:
    """Return activations as float32 or float64, whichever holds them without rounding.

    Raises
    ------
    InputError
        If they are not a finite array (n_samples, n_units).
    """
    values = checked_activations(activations)
    if values.dtype.itemsize < 4:
        return values.astype(np.float32)
    return values.astype(np.float64) if values.dtype.itemsize > 8 else values


def entropy_of_counts(counts: IntArray) -> float:
    """Return the plug-in entropy -sum p log2 p, in bits, of p = counts / counts.sum().

    Counts of zero contribute nothing; without samples the entropy is 0.
    """
    total = int(counts.sum())
    if total == 0:
        return 0.0
    repeated = counts[counts > 1].astype(np.float64)  # counts of 0 and 1 add nothing to the sum
    return float(np.log2(total) - (repeated * np.log2(repeated)).sum() / total)


def row_symbols(rows: Array, *, hash_bits: int = 64) -> Symbols:
    """Number the distinct rows of ``rows`` (n_samples, n_units).

    Equality is that of the values: -0.0 equals 0.0. Rows are grouped by a hash, and every pair of
    neighbours with one hash is compared in full; should two different rows ever share a hash, the
    rows themselves are sorted instead. The result is exact.

    Parameters
    ----------
    rows : array (n_samples, n_units)
        Integers of any width, or floats without NaN.
    hash_bits : int, default 64
        Bits of the hash that are used; fewer make collisions, which only tests want.
    """
    words = _words(rows)
    n = len(words)
    index_bits = max(1, (n - 1).bit_length())
    dropped = max(64 - hash_bits, index_bits)  # low bits of the hash make room for the sample
    keys = _hashed(words) >> np.uint64(dropped) << np.uint64(dropped)
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()  # several times quicker than argsort
    order = (keys & np.uint64((1 << index_bits) - 1)).astype(np.int64)
    changed = _changed(keys >> np.uint64(dropped))
    repeated = np.flatnonzero(~changed)
    if (words[order[repeated]] != words[order[repeated - 1]]).any():
        order = np.lexsort(words.T)
        ordered = words[order]
        changed[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return _numbered(order, changed)


def _grouped(keys: Array) -> Symbols:
    order = np.argsort(keys)
    return _numbered(order, _changed(keys[order]))


def _numbered(order: IntArray, changed: Array) -> Symbols:
    """Return the symbols of sorted samples; ``changed`` marks those unlike their predecessor."""
    first = np.flatnonzero(changed)
    number = np.cumsum(changed, dtype=np.int64)
    number -= 1
    ids = np.empty(len(order), dtype=np.int64)
    ids[order] = number
    counts = np.empty(len(first), dtype=np.int64)
    np.subtract(first[1:], first[:-1], out=counts[:-1])
    counts[-1:] = len(order) - first[-1:]
    return Symbols(ids, counts)


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


def joint_counts(first: Symbols, second: Symbols) -> IntArray:
    """Return the counts of the states of the pair (first, second); some may be 0."""
    pair = first.ids * second.n_states + second.ids
    size = first.n_states * second.n_states
    if size <= MAX_COUNTED:
        return np.bincount(pair, minlength=size)
    return _grouped(pair).counts


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
    return entropy_of_counts(joint_counts(first, second))


def is_whole_population(inputs: Array) -> bool:
    """Tell whether inputs (n_samples, ...) are all combinations of the values of their units."""
    inputs = inputs.reshape(len(inputs), -1)
    if inputs.shape[1] > ALL_INPUTS_UP_TO:
        return False
    combinations = 1
    for unit in inputs.T:
        combinations *= len(np.unique(unit))
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


def bin_labels(values: Array, edges: Array) -> Array:
    """Return how many edges are <= each value: the number of its left-closed bin.

    The comparison is exact for any dtype of the edges: for narrower values an edge is replaced by
    the smallest value of their dtype that is not below it.

    Parameters
    ----------
    values : float array (...)
        Finite values.
    edges : array (n_edges,)
        In ascending order; repeated edges count once each.

    Returns
    -------
    uint8 array (...)
        Labels; uint16 or uint32 if there are more than 255 edges.
    """
    edges = rounded_up(edges, values.dtype)
    flat = np.ascontiguousarray(values).reshape(-1)
    if len(edges) > MOST_EDGES:
        dtype = np.uint16 if len(edges) <= np.iinfo(np.uint16).max else np.uint32
        return np.searchsorted(edges, flat, side="right").astype(dtype).reshape(values.shape)
    labels = np.zeros(flat.size, dtype=np.uint8)
    if not (flat.dtype == np.float32 and _looked_up(flat, edges, labels)):
        _compare(flat, edges, labels)
    return labels.reshape(values.shape)


def _compare(values: Array, edges: Array, labels: Array) -> None:
    """Add to ``labels`` (n,) how many edges are <= each value (n,), edge by edge."""
    above = np.empty(min(BLOCK, values.size), dtype=bool)
    for start in range(0, values.size, BLOCK):
        block, out = values[start : start + BLOCK], labels[start : start + BLOCK]
        mask = above[: len(block)]
        for edge in edges:
            np.greater_equal(block, edge, out=mask)
            np.add(out, mask.view(np.uint8), out=out)


def _looked_up(values: Array, edges: Array, labels: Array) -> bool:
    """Set ``labels`` (n,) to how many edges are <= each float32 value, where a table is quicker.

    The upper 16 bits of a value name its bucket. A table says how many edges lie in lower buckets;
    those within the bucket are found by bisection. Return False, with nothing done, if comparing
    all edges is quicker.
    """
    edges = edges + np.float32(0)  # -0.0 becomes 0.0
    prefix = (edges.view(np.uint32) >> 16).astype(np.int64)
    rank = np.where(prefix < 1 << 15, prefix + (1 << 15), (1 << 16) - 1 - prefix)  # ascending
    rounds = int(np.unique(rank, return_counts=True)[1].max(initial=0)).bit_length()
    if values.size * (len(edges) - 30 - 12 * rounds) < TABLE_COST:
        return False
    numbers = np.arange(len(edges) + 1, dtype=np.uint8)
    lower = np.repeat(numbers, np.diff(rank, prepend=-1, append=(1 << 16) - 1))
    lower = np.concatenate([lower[1 << 15 :], lower[: 1 << 15][::-1]])
    padded = np.append(edges, np.full(1 << rounds, np.inf, dtype=np.float32))
    size = min(BLOCK // 4, values.size)
    plain, limit = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    found, probed = np.empty(size, dtype=np.intp), np.empty(size, dtype=np.intp)
    above = np.empty(size, dtype=bool)
    for start in range(0, values.size, size):
        n = min(size, values.size - start)
        v, e, k, i, up = plain[:n], limit[:n], found[:n], probed[:n], above[:n]
        np.add(values[start : start + n], np.float32(0), out=v)
        np.copyto(i, v.view(np.uint32) >> 16)
        np.copyto(k, np.take(lower, i, mode="clip"))
        for power in range(rounds - 1, -1, -1):
            np.add(k, (1 << power) - 1, out=i)
            np.take(padded, i, out=e, mode="clip")
            np.greater_equal(v, e, out=up)
            np.multiply(up, 1 << power, out=i, dtype=np.intp)
            np.add(k, i, out=k)
        labels[start : start + n] = k
    return True


def coarsened(labels: Array, edges: Array, kept: Array) -> Array:
    """Return the labels that ``kept`` gives, from the uint8 labels that ``edges`` gave.

    Parameters
    ----------
    labels : uint8 array (...)
        ``bin_labels(values, edges)``.
    edges, kept : array (n_edges,)
        Ascending and different; ``kept`` are some of ``edges``.
    """
    table = np.zeros(256, dtype=np.uint8)
    table[1 : len(edges) + 1] = np.searchsorted(kept, edges, side="right")
    translated = np.ascontiguousarray(labels).tobytes().translate(table.tobytes())
    return np.frombuffer(translated, dtype=np.uint8).reshape(labels.shape)


def rounded_up(edges: Array, dtype: np.dtype[np.floating]) -> Array:
    """Return the smallest numbers of ``dtype`` that are not below ``edges``."""
    with np.errstate(over="ignore"):  # an edge beyond all numbers of dtype becomes infinite
        narrow = edges.astype(dtype)
    low = narrow < edges
    narrow[low] = np.nextafter(narrow[low], dtype.type(np.inf))
    return narrow


def distinct_sorted(ordered: Array) -> Array:
    """Return the distinct values of an ascending array (n,)."""
    changed = _changed(ordered)
    return ordered if changed.all() else ordered[changed]


def _changed(ordered: Array) -> Array:
    """Return which values of an ascending array (n,) differ from their predecessor."""
    changed = np.empty(len(ordered), dtype=bool)
    changed[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    return changed


class DistinctValues:
    """The distinct values of an ascending array, found by rank without copying them.

    Parameters
    ----------
    ordered : array (n,)
        Ascending.
    """

    def __init__(self, ordered: Array) -> None:
        changed = _changed(ordered)
        self._ordered = ordered
        self._n = int(np.count_nonzero(changed))
        self._few = 2 * self._n < len(ordered)
        self._places = np.flatnonzero(changed if self._few else ~changed)
        if not self._few:
            self._places -= np.arange(len(self._places))  # ranks that come after each repeat

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, ranks: IntArray) -> Array:
        """Return the values of these ranks, counted from 0."""
        if self._few:
            return np.take(self._ordered, self._places[ranks])
        repeats = np.searchsorted(self._places, ranks, side="right")
        return np.take(self._ordered, ranks + repeats)


def equal_count_edges(distinct: Array | DistinctValues, bins: int) -> Array:
    """Return edges of ``bins`` bins with equal numbers of distinct values, and the maximum.

    The edges are ``distinct[int(k * (n / bins))]`` for k = 0 .. bins - 1 and the last value, with
    the float quotient: rounding makes it differ from ``(k * n) // bins`` now and then, and the
    published numbers come from the float one. The maximum becomes a symbol of its own.

    References
    ----------
    Chelombiev, Houghton, O'Donnell: "Adaptive estimators show information compression in deep
    neural networks", ICLR 2019 (entropy-based adaptive binning).
    """
    n = len(distinct)
    if n == 0:
        return distinct[np.arange(0)]
    return distinct[np.append((np.arange(bins) * (n / bins)).astype(np.int64), n - 1)]


def equal_mass_edges(ordered: Array, bins: int) -> Array:
    """Return the first value of each of ``bins`` parts of ``ordered`` (n,) of near-equal size.

    The first ``n % bins`` parts are one longer, as in Lorenzen, Igel, Nielsen: "Information
    bottleneck: exact analysis of (quantized) neural networks", ICLR 2022 (adaptive binning).
    """
    bins = min(bins, len(ordered))
    size, longer = divmod(len(ordered), bins)
    k = np.arange(bins)
    return ordered[k * size + np.minimum(k, longer)]


def uniform_edges(low: float, high: float, n_edges: int) -> FloatArray:
    """Return ``n_edges`` equally spaced float64 edges from ``low`` to ``high``."""
    return np.linspace(low, high, n_edges)

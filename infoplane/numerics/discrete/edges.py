"""Edges of bins, and the labels of values between them."""

from __future__ import annotations

import numpy as np

from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.discrete.symbols import starts_of_runs

BLOCK = 1 << 16  # values compared at a time, so that they stay in the second-level cache
TABLE_COST = 600_000  # comparisons that take as long as making the table of ``_looked_up``
MOST_EDGES = 255  # of labels in one byte
FEW_VALUES = 24  # per edge, up to which bisecting each is quicker than comparing all edges


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
    if len(edges) > MOST_EDGES or flat.size <= FEW_VALUES * len(edges):
        dtype = np.min_scalar_type(len(edges))
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
    """Return the labels that ``kept`` gives, from those that ``edges`` gave.

    Parameters
    ----------
    labels : unsigned integer array (...)
        ``bin_labels(values, edges)``.
    edges, kept : array (n_edges,)
        Ascending and different; ``kept`` are some of ``edges``.
    """
    table = np.zeros(max(256, len(edges) + 1), dtype=labels.dtype)
    table[1 : len(edges) + 1] = np.searchsorted(kept, edges, side="right")
    if labels.dtype != np.uint8:
        return np.take(table, labels)
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
    changed = starts_of_runs(ordered)
    return ordered if changed.all() else ordered[changed]


class DistinctValues:
    """The distinct values of an ascending array, found by rank without copying them.

    Parameters
    ----------
    ordered : array (n,)
        Ascending; may be larger than memory.
    """

    def __init__(self, ordered: Array) -> None:
        self._ordered = ordered
        counts = [int(np.count_nonzero(self._first(i))) for i in range(-(-len(ordered) // BLOCK))]
        self._before = np.cumsum([0, *counts])  # distinct values before each block
        self._places: dict[int, Array] = {}  # of the distinct values in the blocks asked for

    def _first(self, block: int) -> Array:
        """Return which values of a block differ from the value before them."""
        start = block * BLOCK
        if start == 0:
            return starts_of_runs(self._ordered[:BLOCK])
        return starts_of_runs(self._ordered[start - 1 : start + BLOCK])[1:]

    def __len__(self) -> int:
        return int(self._before[-1])

    def __getitem__(self, ranks: IntArray) -> Array:
        """Return the values of these ranks, counted from 0."""
        found = np.empty(len(ranks), dtype=self._ordered.dtype)
        blocks = np.searchsorted(self._before, ranks, side="right") - 1
        for block in np.unique(blocks):
            if block not in self._places:  # another number of bins mostly asks for the same
                self._places[block] = np.flatnonzero(self._first(block)).astype(np.uint16)
            inside = blocks == block
            places = self._places[block][ranks[inside] - self._before[block]]
            found[inside] = self._ordered[places + block * BLOCK]
        return found


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

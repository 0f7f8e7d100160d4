"""Partitions of a layer's samples by binned units, for several numbers of bins at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from infoplane.arrays import LARGE, row_blocks, sortable, sorted_values
from infoplane.data import Array, IntArray
from infoplane.errors import InputError
from infoplane.numerics.discrete.edges import (
    DistinctValues,
    bin_labels,
    coarsened,
    distinct_sorted,
    equal_count_edges,
    equal_mass_edges,
    uniform_edges,
)
from infoplane.numerics.discrete.symbols import Rows, Symbols, row_symbols, symbols_of

Mode: TypeAlias = Literal[
    "ebab", "ebab-neuron", "quantile", "fixed", "global", "layer", "neuron", "width", "exact"
]
MODES: tuple[str, ...] = get_args(Mode)

ENOUGH = 16  # units that mostly tell apart what all would


@dataclass(frozen=True, eq=False)
class Partition:
    """The samples told apart by their binned rows; the edges, and the share of values outside.

    ``capacity`` is the largest entropy that its bins allow, in bits: n_units * log2 n_bins, less
    where one of them is for the maximum alone; infinite without bins, or where no bin puts two
    values together.
    """

    bins: int
    symbols: Symbols
    edges: Array | None
    out_of_range: float = 0.0
    capacity: float = np.inf


@dataclass(frozen=True, eq=False)
class _Bins:
    """Edges of one number of bins: all, and the inner ones, which values are compared with."""

    bins: int
    edges: Array
    inner: Array  # ascending and different
    lossless: bool = False  # no bin puts two values together
    top: float = 0.0  # share of the values that are the maximum, if it has a bin of its own

    def capacity(self, n_units: int) -> float:
        """Return the largest entropy that the bins allow ``n_units``."""
        if self.lossless:
            return np.inf
        return n_units * _largest_entropy(len(self.inner) + 1, self.top)

    @classmethod
    def above(cls, bins: int, edges: Array, *, n_values: float = np.inf, top: float = 0.0) -> _Bins:
        """Return bins between ascending edges, the last [last edge, inf), of distinct values."""
        inner = distinct_sorted(edges)[1:]
        return cls(bins, edges, inner, len(inner) + 1 >= n_values, top)


def _largest_entropy(n_bins: int, top: float) -> float:
    """Return the largest entropy of ``n_bins`` if the last has the share ``top``; 0 is any share.

    It is concave in the share, so that the mean share of several units bounds their mean.
    """
    if top == 0 or n_bins == 1:
        return float(np.log2(n_bins))
    rest = 1 - top
    apart = -top * np.log2(top) - (rest * np.log2(rest) if rest else 0)
    return float(apart + rest * np.log2(n_bins - 1))


def partitioned(
    values: Array,
    mode: str,
    bins: Sequence[int],
    *,
    low: float | None = None,
    high: float | None = None,
    width: float = 0.07,
    explicit: Array | None = None,
) -> Iterator[Partition]:
    """Yield the partition of ``values`` (n_samples, n_units) for each number of bins.

    All numbers of bins share one sort, and first tell apart what the edges that they have in common
    tell apart. The parameters are those of ``binned_information``.
    """
    if mode not in MODES:
        raise InputError(f"expected mode to be one of {', '.join(MODES)}, got {mode!r}")
    if any(count < 1 or count != int(count) for count in bins):
        raise InputError(
            f"expected at least 1 bin, a whole number, got {', '.join(map(str, bins))}"
        )
    if explicit is not None:
        explicit = np.asarray(explicit, dtype=np.float64)
        if explicit.ndim != 1 or len(explicit) == 0 or not (np.diff(explicit) >= 0).all():
            raise InputError("expected ascending edges of shape (n_edges,)")
        found = [_Bins.above(len(explicit), explicit)]
        yield from _within(values, found, explicit[0], explicit[-1])
    elif mode == "exact":
        yield Partition(0, row_symbols(values), None)
    elif mode == "width":
        numbers, largest = np.finfo(values.dtype), max(float(values.max()), -float(values.min()))
        if not numbers.tiny <= width < np.inf or largest / width > numbers.max:
            raise InputError(
                f"expected a positive bin width that fits values up to {largest:g}, got {width:g}"
            )
        floors = symbols_of(lambda i, units: np.floor(values[i, units] / width), *values.shape)
        yield Partition(0, floors, None)
    elif mode in ("fixed", "global"):
        if mode == "global" and (low is None or high is None):
            raise InputError("expected low and high, the range of all layers, for mode 'global'")
        low, high = (-1.0 if low is None else low), (1.0 if high is None else high)
        if not -np.inf < low < high < np.inf:
            raise InputError(f"expected low < high, both finite, got {low} and {high}")
        found = [_Bins.above(count, uniform_edges(low, high, count)) for count in bins]
        yield from _within(values, found, low, high)
    elif mode in ("neuron", "ebab-neuron"):
        yield from _per_unit(values, mode, bins)
    elif mode == "layer":
        least, most = float(values.min()), float(values.max())
        spaced = [(count, uniform_edges(least, most, count + 1)) for count in bins]
        found = [_Bins(count, edges, distinct_sorted(edges[1:-1])) for count, edges in spaced]
        yield from _labelled(values, found)
    else:
        yield from _adaptive(values, mode, bins, low)


def _labelled(
    values: Array, found: Sequence[_Bins], out_of_range: float = 0.0
) -> Iterator[Partition]:
    """Yield the partition of left-closed bins, which all units share, for each number of bins."""
    told = _told_apart(values, [each.inner for each in found])
    for each, symbols in zip(found, told, strict=True):
        capacity = each.capacity(values.shape[1])
        yield Partition(each.bins, symbols, each.edges, out_of_range, capacity)


def _told_apart(values: Array, inner: Sequence[Array]) -> Iterator[Symbols]:
    """Yield the symbols that each of several ``inner`` edges make.

    What the edges common to all tell apart, each tells apart. The samples that are then left are
    compared with all edges at once, which says in what bin of each they are; and those that not
    even all edges tell apart are looked at once.
    """
    n, n_units = values.shape

    def rows_between(edges: Array) -> Rows:
        return lambda samples, units: bin_labels(values[samples, units], edges)

    if len(inner) == 1 or values.size > LARGE:
        for edges in inner:
            yield symbols_of(rows_between(edges), n, n_units)
        return
    united, times = np.unique(np.concatenate(inner), return_counts=True)
    common = united[times == len(inner)]
    first = symbols_of(rows_between(common), n, min(n_units, ENOUGH))
    labels = bin_labels(values[first.repeated], united)
    finest = row_symbols(labels) if 2 * len(labels) > n else None
    if finest is not None:
        labels = labels[finest.examples]
    complete: set[float] | None = None  # edges that tell all samples apart
    for edges in inner:
        if complete is None or not complete.issubset(edges.tolist()):
            symbols = row_symbols(coarsened(labels, united, edges))
            symbols = first.refined(symbols if finest is None else finest.merged(symbols))
            complete = set(edges.tolist()) if symbols.n_states == n else complete
        yield symbols


def _within(values: Array, found: Sequence[_Bins], low: float, high: float) -> Iterator[Partition]:
    """Yield the partitions; what lies outside ``low`` to ``high`` joins the outermost bins."""
    with np.errstate(over="ignore"):  # a limit beyond the dtype of the values becomes infinite
        low, high = np.array([low, high]).astype(values.dtype)
    outside = sum(
        int(np.count_nonzero(values[rows] < low) + np.count_nonzero(values[rows] > high))
        for rows in row_blocks(values)
    )
    yield from _labelled(values, found, outside / values.size)


def _adaptive(
    values: Array, mode: str, bins: Sequence[int], low: float | None
) -> Iterator[Partition]:
    if low is not None and not np.isfinite(low):
        raise InputError(f"expected a finite low, got {low}")
    ordered = sorted_values(values)
    if mode == "quantile":
        n_values = len(DistinctValues(ordered))
        found = [
            _Bins.above(count, equal_mass_edges(ordered, count), n_values=n_values)
            for count in bins
        ]
        yield from _labelled(values, found)
        return
    below = 0 if low is None else int(np.searchsorted(ordered, values.dtype.type(low)))
    if below or (low is None and ordered[0] != 0):
        low = None
    elif low is None:
        low = 0.0
    own = low is not None and ordered[0] == low  # the lowest value has a symbol of its own
    distinct = DistinctValues(
        ordered[np.searchsorted(ordered, ordered[0], side="right") :] if own else ordered
    )
    top = 1 - int(np.searchsorted(ordered, ordered[-1])) / len(ordered)
    found = []
    for count in bins:
        edges = equal_count_edges(distinct, count)
        if low is not None:
            edges = np.append(values.dtype.type(low), edges)
        n_values = len(distinct) + (low is not None)
        found.append(_Bins.above(count, edges, n_values=n_values, top=top))
    yield from _labelled(values, found, below / values.size)


def _per_unit(values: Array, mode: str, bins: Sequence[int]) -> Iterator[Partition]:
    n, n_units = values.shape
    edges: list[list[Array]] = []  # of each unit, for each number of bins
    n_values: list[int] = []  # of each unit
    top: list[float] = []
    step = max(1, LARGE // 8 // n)
    for start in range(0, n_units, step):
        for unit in np.sort(sortable(values[:, start : start + step].T), axis=1):
            distinct = distinct_sorted(unit)
            n_values.append(len(distinct))
            top.append(0.0 if mode == "neuron" else (unit == unit[-1]).mean())
            if mode == "neuron":
                low, high = float(unit[0]), float(unit[-1])
                edges.append([uniform_edges(low, high, count + 1) for count in bins])
            else:
                edges.append([equal_count_edges(distinct, count) for count in bins])
    for count, found in zip(bins, zip(*edges, strict=True), strict=True):
        inner = [e[1:-1] if mode == "neuron" else distinct_sorted(e)[1:] for e in found]

        def rows(samples: IntArray | slice, units: slice, inner: list[Array] = inner) -> Array:
            columns = values[samples, units].T
            labels = [bin_labels(v, e) for v, e in zip(columns, inner[units], strict=True)]
            return np.stack(labels, axis=1)

        n_bins = np.minimum([len(e) + 1 for e in inner], n_values)
        capacity = np.inf
        if mode == "neuron" or (n_bins < n_values).any():
            capacity = sum(map(_largest_entropy, n_bins, top))
        symbols = symbols_of(rows, n, n_units)
        yield Partition(count, symbols, np.stack(found, axis=1), capacity=capacity)

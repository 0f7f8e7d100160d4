"""Two-sided bounds of what a layer with Gaussian noise tells, from distances between samples.

For samples t_i of a layer T and standard normal Z, with a draw z_i for each, used with both signs,

    l_ij = -(|t_i - t_j|^2 + 2 sigma z_i.(t_i - t_j)) / (2 sigma^2)
    L = mean_i [ log2 n     - log2 sum_j        exp l_ij ]       E L <= I(X; T + sigma Z)
    U = mean_i [ log2 (n-1) - log2 sum_{j != i} exp l_ij ]       E U >= I(X; T + sigma Z)

L holds because entropy is concave in the distribution of T, U because it is a cross-entropy with
an independent mixture. Both hold for every distribution of T. To first order the biases are
-+ chi^2 / 2n, and cancel in the midpoint.

With the same sums within class y, of p_y n samples, I(T;Y) is at least the mean of
log2 q(y_i | x_i) - log2 p_y, for the posterior q of the mixture without t_i, and at most
L - sum_y p_y L_y. That is the information of the recorded samples as if there were no others, and
information is convex in the distributions of the classes. I(X;T|Y) lies between the differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.neighbors.terms import LOG2_E
from infoplane.numerics.tensors import Tensor, array_module, beside, fetched

ATOM = 10
"""Copies of a row from which it is a value that the layer takes again and again. Fewer may be one
sample that was recorded several times, and are left out together where one is."""

_MANY = 50  # rows that do not occur equally often by chance
_BLOCK_VALUES = 150_000  # distances at a time: what a processor's cache holds
_GPU_BLOCK_VALUES = 30_000_000
_DRAWN_VALUES = 1 << 20  # normal numbers at a time
_SMALLEST_SUM = 1e-25  # below, a float32 sum of exponentials may have lost terms
_LARGEST_SUM = 1e25
_LARGEST = 1e300


@dataclass(frozen=True, eq=False)
class Support:
    """The distinct samples of a layer, sorted by class, with what each stands for.

    Parameters
    ----------
    rows : array (n_entries,)
        Index of the sample that stands for the entry.
    counts : array (n_entries,)
        Samples that are equal to it in layer and label, itself counted.
    classes : array (n_entries,)
        Number of its class, 0 .. n_classes - 1, ascending.
    states : array (n_entries,)
        Number of its row: entries of equal rows and different labels share one.
    entries : array (n_samples,)
        The entry that stands for a sample.
    """

    rows: IntArray
    counts: IntArray
    classes: IntArray
    states: IntArray
    entries: IntArray

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def weights(self) -> FloatArray:
        """Share of the samples that each entry stands for (n_entries,)."""
        return np.asarray(self.counts / self.n_samples)

    @property
    def class_weights(self) -> FloatArray:
        """Share of the samples in each class (n_classes,)."""
        return np.asarray(np.bincount(self.classes, weights=self.weights), dtype=np.float64)

    @property
    def is_atom(self) -> NDArray[np.bool_]:
        """Whether the row of an entry occurs too often for a chance (n_entries,).

        Many rows that all occur equally often were repeated, however often.
        """
        copies = np.bincount(self.states, weights=self.counts)
        repeated = len(copies) >= _MANY and copies.min() == copies.max()
        return np.asarray((copies >= ATOM) & (not repeated))[self.states]

    @property
    def drawn(self) -> IntArray:
        """The entries that noise is drawn for, ascending: of atoms every copy, of others one."""
        return np.repeat(np.arange(len(self.rows)), np.where(self.is_atom, self.counts, 1))


def support(activations: Array, labels: IntArray | None = None) -> Support:
    """Return the distinct rows of an array (n_samples, n_units), sorted by label."""
    states = row_symbols(activations)
    classes = np.zeros(len(activations), dtype=np.int64)
    if labels is not None:
        classes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    pairs, rows, places, counts = np.unique(
        classes * np.int64(states.n_states) + states.ids,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    # Within a class in the order of the samples, so that draws of noise go with samples.
    order = np.lexsort((rows, pairs // states.n_states))
    rows, counts = rows[order], counts[order]
    entries = np.argsort(order)[places.reshape(-1)]
    return Support(rows, counts, classes[rows], states.ids[rows], entries)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Two bounds of an information in bits, with the standard errors of their mean and of each."""

    lower: float
    upper: float
    error: float
    lower_error: float
    upper_error: float

    @property
    def middle(self) -> float:
        """The midpoint, in which the biases of the bounds cancel to first order."""
        return 0.5 * (self.lower + self.upper)

    @property
    def gap(self) -> float:
        """How far the bounds are apart."""
        return self.upper - self.lower


@dataclass(frozen=True, slots=True)
class Bracket:
    """Bounds of I(X;T), I(T;Y) and I(X;T|Y) at one size of noise."""

    sigma: float
    ixt: Bounds
    ity: Bounds
    ixt_given_y: Bounds


def brackets(
    points: Tensor,
    found: Support,
    sigmas: Sequence[float],
    rng: np.random.Generator,
    *,
    draws: int = 1,
    directions: Tensor | None = None,
) -> list[Bracket]:
    """Return the bounds at several sizes of noise, from the same distances and draws.

    Parameters
    ----------
    points : array or tensor (n_entries, n_dims)
        The distinct rows, in the order of ``found``, in float32 or float64. Their offset costs
        precision: centre them.
    found : Support
        What the rows stand for. If all are of one class, I(T;Y) is 0.
    sigmas : sequence of float
        Standard deviations of the noise of each unit, above 0.
    rng : numpy.random.Generator
        Draws the noise.
    draws : int, default 1
        Draws of noise for a sample, each used with both signs. Copies of a sample share them,
        unless it is a value that the layer takes again and again.
    directions : array or tensor (n_units, n_dims), optional
        Orthonormal directions that the points are projected on. The noise is drawn for units and
        projected alike: it does not hang on how the directions are turned.

    Returns
    -------
    list of Bracket
        One for each noise, in bits.

    Notes
    -----
    Time is n_entries^2 (n_dims + sizes of noise), memory a few times that of the points. A sum of
    float32 numbers that may have lost terms is taken again in float64.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> layer = rng.standard_normal((2000, 4))
    >>> (found,) = brackets(layer, support(layer), [0.5], rng)
    >>> truth = 2 * np.log2(1 + 1 / 0.5**2)
    >>> found.ixt.lower < truth < found.ixt.upper, round(found.ixt.middle - truth, 1)
    (True, 0.0)
    """
    n, n_dims = len(found.drawn), points.shape[1]
    noise = np.empty((draws, n, n_dims), np.float32)
    _draw(noise.reshape(-1, n_dims), rng, directions)
    values = _BLOCK_VALUES if isinstance(points, np.ndarray) else _GPU_BLOCK_VALUES
    step = min(max(1, values // len(points)), n)
    sums = _Sums(points, found, step)
    logs = np.empty((len(sigmas), 2 * draws, 2, n))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        for draw in range(draws):
            both = slice(2 * draw, 2 * draw + 2)
            logs[:, both, :, rows] = sums.of_rows(rows, noise[draw, rows], sigmas)
    return [_bracket(sigma, logs[i], found) for i, sigma in enumerate(sigmas)]


def _draw(noise: Array, rng: np.random.Generator, directions: Tensor | None) -> None:
    """Fill an array (n_draws, n_dims) with normal numbers, or with projections of such numbers."""
    if directions is None:
        # In float32 always, so that both precisions see the same draws.
        rng.standard_normal(out=noise, dtype=np.float32)
        return
    step = max(1, _DRAWN_VALUES // len(directions))
    for start in range(0, len(noise), step):
        part = noise[start : start + step]
        drawn = rng.standard_normal((len(part), len(directions)), dtype=np.float32)
        drawn = drawn.astype(fetched(directions[:0]).dtype, copy=False)
        part[:] = fetched(beside(drawn, directions) @ directions)


class _Sums:
    """Sums of exponentials over the other entries, of all classes and of the own one.

    Rows are the entries that noise is drawn for, columns all entries.
    """

    def __init__(self, points: Tensor, found: Support, n_rows: int) -> None:
        self.points, self.drawn = points, found.drawn
        # Room for blocks of pairs: fresh memory would cost more than what is computed in it.
        block = points[beside(self.drawn[:n_rows], points)] @ points.T
        self.rooms = [block, *(array_module(block).empty_like(block) for _ in range(4))]
        self.norms = (points * points).sum(1)
        self.weights = found.weights
        self.shares = beside(self.weights.astype(fetched(points[:0]).dtype), points)
        # Of an atom one copy is left out, the others count.
        copies = np.where(found.is_atom, self.weights - 1.0 / found.n_samples, 0.0)
        self.copies = copies[self.drawn]
        self.classes, self.of_drawn = found.classes, found.classes[self.drawn]
        of_classes = np.arange(found.classes[-1] + 2)
        self.starts = np.searchsorted(self.classes, of_classes)
        self.starts_drawn = np.searchsorted(self.of_drawn, of_classes)
        self.first, self.second = _twins(found)

    def of_rows(self, rows: slice, drawn: Array, sigmas: Sequence[float]) -> FloatArray:
        """Return logarithms (n_sigmas, 2, 2, n_rows) in nats: by sign, of all and of the class."""
        entries = beside(self.drawn[rows], self.points)
        block, module = self.points[entries], array_module(self.points)
        z = beside(drawn.astype(fetched(block[:0]).dtype), block)
        squares, shifts, near, moved, terms = (room[: len(block)] for room in self.rooms)
        module.matmul(block, self.points.T, out=squares)
        squares *= -2.0
        squares += self.norms
        squares += self.norms[entries][:, None]
        module.matmul(z, self.points.T, out=shifts)
        shifts -= (z * block).sum(1)[:, None]
        inside = slice(*np.searchsorted(self.first, [rows.start, rows.stop]))
        twins = self.first[inside] - rows.start, self.second[inside]
        places = tuple(beside(ids, squares) for ids in twins)
        segments = self._segments(rows)
        found = np.empty((len(sigmas), 2, 2, len(drawn)))
        for i, sigma in enumerate(sigmas):
            module.multiply(squares, -0.5 / sigma**2, out=near)
            module.multiply(shifts, 1.0 / sigma, out=moved)
            for at, join in enumerate((module.add, module.subtract)):
                join(near, moved, out=terms)
                with np.errstate(over="ignore", under="ignore"):
                    module.exp(terms, out=terms)
                terms[places] = 0.0
                sums = np.empty((2, len(drawn)))
                sums[0] = fetched(terms @ self.shares)
                for part, own in segments:
                    sums[1, part] = fetched(terms[part, own] @ self.shares[own])
                sums += self.copies[rows]
                with np.errstate(divide="ignore", invalid="ignore"):
                    found[i, at] = np.log(sums)
                lost = np.flatnonzero(~_held(sums).all(axis=0))
                if len(lost):
                    join(near, moved, out=terms)
                    terms[places] = -math.inf
                    chosen = fetched(terms[beside(lost, terms)]).astype(np.float64)
                    found[i, at][:, lost] = self._precisely(rows.start + lost, chosen)
        return found

    def _precisely(self, rows: IntArray, exponents: FloatArray) -> FloatArray:
        """Return both logarithms of entries, whose sums are beyond what a float32 can hold."""
        exponents += np.log(self.weights)
        with np.errstate(divide="ignore"):
            copies = np.log(self.copies[rows])
        own = self.classes == self.of_drawn[rows][:, None]
        return np.array(
            [
                np.logaddexp(_log_sums(terms), copies)
                for terms in (exponents, np.where(own, exponents, -math.inf))
            ]
        )

    def _segments(self, rows: slice) -> list[tuple[slice, slice]]:
        """Return the rows of a block by class, counted within it, each with all of its class."""
        parts = []
        for label in range(self.of_drawn[rows.start], self.of_drawn[rows.stop - 1] + 1):
            own = slice(int(self.starts[label]), int(self.starts[label + 1]))
            first = max(int(self.starts_drawn[label]), rows.start)
            last = min(int(self.starts_drawn[label + 1]), rows.stop)
            parts.append((slice(first - rows.start, last - rows.start), own))
        return parts


def _held(sums: FloatArray) -> NDArray[np.bool_]:
    """Tell which sums a float32 holds without having lost terms."""
    return np.asarray((sums > _SMALLEST_SUM) & (sums < _LARGEST_SUM))


def _log_sums(exponents: FloatArray) -> FloatArray:
    """Return the logarithm of the sum of exponentials of each row, -inf for none."""
    largest = np.maximum(exponents.max(axis=1), -_LARGEST)
    with np.errstate(divide="ignore", under="ignore"):
        sums = np.log(np.exp(exponents - largest[:, None]).sum(axis=1))
    return np.asarray(largest + sums)


def _twins(found: Support) -> tuple[IntArray, IntArray]:
    """Return which entry is left out for which drawn one, by the number of the latter.

    It itself, and those of the same row with other labels unless the row is an atom.
    """
    places = np.searchsorted(found.drawn, np.arange(len(found.rows)))
    first, second = [np.arange(len(found.drawn))], [found.drawn]
    several = np.flatnonzero(np.bincount(found.states)[found.states] > 1)
    several = several[~found.is_atom[several]]
    for state in np.unique(found.states[several]):
        same = several[found.states[several] == state]
        one, other = (ids.ravel() for ids in np.meshgrid(same, same))
        first.append(places[one[one != other]])
        second.append(other[one != other])
    ones, others = np.concatenate(first), np.concatenate(second)
    order = np.argsort(ones, kind="stable")
    return ones[order], others[order]


def _bracket(sigma: float, logs: FloatArray, found: Support) -> Bracket:
    """Return the bounds from the sums over others, ``logs`` (n_repeats, 2, n_drawn)."""
    p, n, drawn = found.weights, found.n_samples, found.drawn
    of_class = found.class_weights[found.classes][drawn]
    atom = found.is_atom[drawn]
    states = np.bincount(found.states, weights=p)[found.states][drawn]
    left_out = np.where(atom, 1.0 / n, states)
    left_out_own = np.where(atom, 1.0 / n, p[drawn])
    others, own = logs[:, 0], logs[:, 1]
    lower = -np.logaddexp(others, np.log(left_out))
    upper = np.log1p(-left_out) - others
    within = np.log(of_class) - np.logaddexp(own, np.log(left_out_own))
    posterior = (1.0 - 1.0 / n) * np.exp(own - others) + of_class / n
    told = np.log(posterior) - np.log(of_class)
    return Bracket(
        sigma,
        _bounds(lower, upper, left_out_own),
        _bounds(told, lower - within, left_out_own),
        _bounds(within, upper - told, left_out_own),  # the differences of the others
    )


def _bounds(lower: FloatArray, upper: FloatArray, weights: FloatArray) -> Bounds:
    """Return the means over draws and samples of contributions (n_repeats, n_drawn) in nats."""
    low, high = LOG2_E * lower.mean(axis=0), LOG2_E * upper.mean(axis=0)

    def error(terms: FloatArray) -> float:
        return float(np.sqrt(weights @ (terms - weights @ terms) ** 2 / len(weights)))

    return Bounds(
        float(weights @ low),
        float(weights @ high),
        error(0.5 * (low + high)),
        error(low),
        error(high),
    )

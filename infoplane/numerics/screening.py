"""Screening: the few units, and products of two, that classes differ in most.

Of thousands of candidates only those are taken whose class means differ by more than the largest
of as many would by chance. It looks at some folds of the samples alone, so that a probe of what it
takes can be read on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.arrays import row_blocks
from infoplane.data import Array, FloatArray, IntArray

_PRODUCTS = 10 * 256**2  # of two units, times classes: 256 units of ten classes, 572 of two
_MOST_UNITS = 4096  # evenly spaced, of wider layers
_KEPT = 8  # units, and products, at most
_CHANCE = 0.01  # of taking any where classes differ in none
_CLIPPED = 3.0  # standard deviations beyond which a unit does not count further
_SHELLS = 32  # of equally many samples each, by the distance from the middle


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is screened of a layer; nothing of it depends on labels.

    Parameters
    ----------
    units : float32 array (n_units, n_samples)
        Of mean 0 and variance 1, clipped; of more than 4096 units, as many evenly spaced ones.
    shells : float32 array (n_shells, n_samples)
        Shells around the mean of the layer, in the same way.
    """

    units: Array
    shells: Array

    @classmethod
    def of(cls, values: Array) -> Candidates:
        """Return the candidates of a layer (n_samples, n_units), finite."""
        units = values[:, :: -(-values.shape[1] // _MOST_UNITS)]
        return cls(_scaled(units.T), _scaled(_shells(values)))

    def pairs_units(self, n_classes: int) -> bool:
        """Return whether products are those of units; of wide layers they are of components."""
        return n_classes * len(self.units) ** 2 <= _PRODUCTS

    def screened(self, own: Array, fold: IntArray, components: Array | None) -> Screening:
        """Return the sums by fold and class that choices are made by.

        Parameters
        ----------
        own : float32 array (n_classes, n_samples)
            1 for the class of a sample.
        fold : array (n_samples,)
            Fold of each sample.
        components : array (n_components, n_samples)
            Whitened components, whose products are looked at; None for those of units.
        """
        paired = self.units if components is None else _scaled(components)
        single = np.vstack([self.units, self.shells])
        n_folds, n_pairs = int(fold.max()) + 1, len(paired)
        counts = np.empty((n_folds, len(own)))
        sums = np.empty((n_folds, len(own), len(single)), np.float32)
        products = np.empty((n_folds, len(own), n_pairs, n_pairs), np.float32)
        for part in range(n_folds):
            members = np.flatnonzero(fold == part)
            of = own[:, members]
            counts[part] = of.sum(axis=1)
            sums[part] = of @ single[:, members].T
            for one, is_own in enumerate(of.astype(bool)):
                rows = paired[:, members[is_own]]
                products[part, one] = rows @ rows.T
        squares = np.square(paired)
        return Screening(
            single,
            len(self.units),
            paired,
            counts,
            sums,
            products,
            np.square(single).mean(axis=1),
            squares @ squares.T / len(fold),
        )


@dataclass(frozen=True, eq=False)
class Screening:
    """Sums over the samples of each fold and class."""

    single: Array  # float32 (n_units + n_shells, n_samples)
    n_units: int
    paired: Array  # float32 (n_paired, n_samples)
    counts: FloatArray  # (n_folds, n_classes)
    sums: Array  # (n_folds, n_classes, n_units + n_shells)
    products: Array  # (n_folds, n_classes, n_paired, n_paired)
    squares: Array  # (n_units + n_shells,) means over all samples
    product_squares: Array  # (n_paired, n_paired)

    def features(self, held: Sequence[int]) -> Array:
        """Return what is taken without a look at labels of the folds ``held``.

        These are units, all shells if one of them tells, products of two and of their signs, and a
        row of ones (n_features, n_samples).
        """
        seen = np.delete(np.arange(len(self.counts)), held)
        counts = self.counts[seen].sum(axis=0)
        first, second = np.triu_indices(len(self.paired))
        n_candidates = len(self.single) + len(first)
        sums, units = self.sums[seen].sum(axis=0), self.n_units
        single = _taken(counts, sums[:, :units], self.squares[:units], n_candidates)
        if len(_taken(counts, sums[:, units:], self.squares[units:], n_candidates)):
            single = np.append(single, np.arange(units, len(self.single)))
        products = self.products[seen].sum(axis=0)[:, first, second]
        pairs = _taken(counts, products, self.product_squares[first, second], n_candidates)
        first, second = first[pairs], second[pairs]
        one, other = self.paired[first], self.paired[second]
        signs = (np.sign(one) * np.sign(other))[first != second]
        ones = np.ones((1, self.single.shape[1]), np.float32)
        return np.vstack([self.single[single], _scaled(one * other), _scaled(signs), ones])


def _taken(counts: FloatArray, sums: Array, squares: Array, n_candidates: int) -> IntArray:
    """Return the candidates whose class means differ most, beyond chance.

    Parameters
    ----------
    counts : array (n_classes,)
        Samples.
    sums : array (n_classes, n)
        Of candidates, over the samples of a class.
    squares : array (n,)
        Means of their squares.
    n_candidates : int
        Among which these are.
    """
    from scipy.special import chdtri

    occur = counts > 0
    n = counts.sum()
    between = (np.square(sums[occur]) / counts[occur, None]).sum(axis=0) / n
    middle = np.square(sums.sum(axis=0, dtype=np.float64) / n)
    total = squares - middle
    varies = total > 1e-6 * squares
    share = np.divide(between - middle, total, out=np.zeros_like(total), where=varies)
    # Of classes that do not differ, chi-squared of so many degrees of freedom (likelihood ratio).
    ratio = -n * np.log1p(-np.clip(share, 0.0, 1.0 - 1e-6))
    least = chdtri(max(int(occur.sum()) - 1, 1), _CHANCE / n_candidates)
    order = np.argsort(-ratio, kind="stable")[:_KEPT]
    return np.asarray(order[ratio[order] > least])


def _scaled(rows: Array) -> Array:
    """Return rows of mean 0 and variance 1, clipped; rows that do not vary are 0."""
    rows = np.asarray(rows, dtype=np.float64) if rows.dtype != np.float32 else rows
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(largest > 0, largest, 1)
    rows -= rows.mean(axis=1, keepdims=True)
    spread = rows.std(axis=1, keepdims=True)
    rows /= np.where(spread > 1e-6, spread, np.inf)
    return np.clip(rows, -_CLIPPED, _CLIPPED).astype(np.float32)


def _shells(values: Array) -> Array:
    """Return in which shell of equally many samples each one is (n_shells, n_samples)."""
    n, squares = len(values), np.empty(len(values))
    mean = values.mean(axis=0, dtype=np.float64)
    largest = max(float(values.max()), -float(values.min())) or 1.0
    for rows in row_blocks(values):
        centred = (values[rows] - mean) / largest
        squares[rows] = np.einsum("ij,ij->i", centred, centred)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(squares, kind="stable")] = np.arange(n)
    shells = min(_SHELLS, n)
    return np.eye(shells, dtype=np.float32)[:, rank * shells // n]

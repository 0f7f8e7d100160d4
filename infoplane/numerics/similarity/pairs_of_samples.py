"""Sums over pairs of samples, by pair of groups: what kernel and distance measures rest on.

A symmetric matrix over the samples is kept as the blocks above its diagonal, one per pair of
groups. Of two matrices, the sums of their products over every block give any statistic of theirs on
any union of groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.similarity.samples import groups_of


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks (g, h) with g <= h of a symmetric matrix, those beyond the diagonal by symmetry.

    Parameters
    ----------
    bounds : array (n_groups + 1,)
        Where each group of samples begins, and the end.
    values : tuple of array
        By pair of groups, in the order of `pairs`.
    """

    bounds: IntArray
    values: tuple[FloatArray, ...]

    @classmethod
    def of(cls, matrix: FloatArray, bounds: IntArray) -> Blocks:
        """Cut a matrix (n_samples, n_samples) into its blocks."""
        return cls(bounds, tuple(matrix[a, b].copy() for _, _, a, b in pairs(bounds)))

    def diagonal(self) -> FloatArray:
        """Return the diagonal (n_samples,)."""
        of = zip(pairs(self.bounds), self.values, strict=True)
        return np.concatenate([block.diagonal() for (g, h, _, _), block in of if g == h])

    def without_diagonal(self) -> Blocks:
        """Set the diagonal to 0, in place."""
        for (g, h, _, _), block in zip(pairs(self.bounds), self.values, strict=True):
            if g == h:
                np.fill_diagonal(block, 0.0)
        return self

    def products(self, other: Blocks) -> FloatArray:
        """Return the sums of products over each block (n_groups, n_groups)."""
        found = np.empty((len(self.bounds) - 1,) * 2)
        of = zip(pairs(self.bounds), self.values, other.values, strict=True)
        for (g, h, _, _), left, right in of:
            found[g, h] = found[h, g] = np.vdot(left, right)
        return found

    def sums(self) -> FloatArray:
        """Return the sum of each row over the columns of each group (n_samples, n_groups)."""
        found = np.empty((self.bounds[-1], len(self.bounds) - 1))
        for (g, h, a, b), block in zip(pairs(self.bounds), self.values, strict=True):
            found[a, h] = block.sum(axis=1)
            found[b, g] = block.sum(axis=0)
        return found


def pairs(bounds: IntArray) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield the pairs of groups g <= h with their rows and columns."""
    groups = groups_of(bounds)
    for g, rows in enumerate(groups):
        for h in range(g, len(groups)):
            yield g, h, rows, groups[h]


def in_parts(sums: FloatArray, parts: FloatArray) -> FloatArray:
    """Return sums by pair of groups (n_groups, n_groups), over all in each part (n_parts,)."""
    found: FloatArray = ((parts @ sums) * parts).sum(axis=1)
    return found


def row_products(left: FloatArray, right: FloatArray, bounds: IntArray) -> FloatArray:
    """Return the products of row sums, summed over each group of rows (n_groups,) * 3."""
    return np.array([left[rows].T @ right[rows] for rows in groups_of(bounds)])


def rows_in_parts(products: FloatArray, parts: FloatArray) -> FloatArray:
    """Return products of row sums over all rows and columns in each part (n_parts,)."""
    both = (parts[:, :, None] * parts[:, None, :]).reshape(len(parts), -1)
    found: FloatArray = ((both @ products.reshape(len(products), -1).T) * parts).sum(axis=1)
    return found

"""What a sum of products of two matrices over samples does when one side's samples are permuted.

For matrices A and B with empty diagonals, Z is the sum over i != j of A[i, j] B[p(i), p(j)], p a
random permutation. Mean and variance of Z are exact sums (Mantel 1967): the products of two entries
are grouped by the indices that they share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the products of two entries of a matrix, by what indices they share."""

    total: float
    same: float  # A_ij A_ij
    turned: float  # A_ij A_ji
    row: float  # A_ij A_ik
    column: float  # A_ij A_kj
    through: float  # A_ij A_jk, and A_ij A_ki
    apart: float  # no index

    @classmethod
    def of(cls, rows: FloatArray, columns: FloatArray, same: float, turned: float) -> Moments:
        """Return the sums, of row and column sums (n_samples,) and the products of entries."""
        total = float(rows.sum())
        row = float(rows @ rows) - same
        column = float(columns @ columns) - same
        through = 2 * (float(rows @ columns) - turned)
        apart = total**2 - same - turned - row - column - through
        return cls(total, same, turned, row, column, through, apart)

    @classmethod
    def symmetric(cls, matrix: FloatArray) -> Moments:
        """Return the sums of a symmetric matrix (n_samples, n_samples) with an empty diagonal."""
        sums = matrix.sum(axis=0)
        same = float(np.vdot(matrix, matrix))
        return cls.of(sums, sums, same, same)


def permuted_mean(a: Moments, b: Moments, n: int) -> float:
    """Return the mean of Z."""
    return a.total * b.total / (n * (n - 1))


def permuted_variance(a: Moments, b: Moments, n: int) -> float:
    """Return the variance of Z."""
    twice = n * (n - 1)
    square = (a.same * b.same + a.turned * b.turned) / twice
    square += (a.row * b.row + a.column * b.column + a.through * b.through / 2) / (twice * (n - 2))
    square += a.apart * b.apart / (twice * (n - 2) * (n - 3))
    return square - permuted_mean(a, b, n) ** 2

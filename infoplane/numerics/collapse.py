"""Classes in a layer: how small they are beside their distances, and how their means lie.

Neural collapse: samples of a class fall onto its mean (NC1), the means onto a simplex around their
middle (NC2), the rows of the last weight onto the means (NC3), and the largest logit onto the
nearest mean (NC4). The middle is the mean of the class means, not of the samples, so that a large
class does not draw it. Layers are read in blocks of units; everything is added up in products of
classes and samples, after division by the magnitude of the layer: no measure depends on its unit.

References
----------
Papyan, Han, Donoho: "Prevalence of neural collapse during the terminal phase of deep learning
training", PNAS 117, 2020. Galanti, György, Hutter: "On the role of neural collapse in transfer
learning", ICLR 2022 (class-distance-normalised variance). Cristianini et al.: "On kernel-target
alignment", NeurIPS 2001. Yerxa et al.: "Learning efficient coding of natural images with maximum
manifold capacity representations", NeurIPS 2023 (nuclear norm of centroids).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from infoplane.arrays import magnitude, magnitudes
from infoplane.data import Array, FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.spectra import moments

_BLOCK = 1 << 21  # values held at once in double precision: 16 MiB
_SINGULAR = 1e-12  # share of the largest eigenvalue below which one is rounding
_TOGETHER = 1 << 22  # products of samples and classes, over all labellings: 32 MiB
_COLLAPSED = 1e-6  # share of the variance that is within classes
_ALIKE = 1e-26  # share of the mean square of the layer that a variance of rounding has
_NEAR = 1e-24  # share of the longest mean's square below which the length of another is rounding
_EQUAL = 1e-12  # share of two squared lengths that is lost where their difference is a distance


@dataclass(eq=False)
class ClassScatter:
    """Products of class means and of samples about their class means, of one labelling.

    Parameters
    ----------
    labels : array (n,)
        Classes 0, 1, ... of the samples, each of which occurs; -1 for samples that are left out.
    """

    labels: IntArray
    counts: IntArray = field(init=False)
    rows: IntArray = field(init=False)  # samples that are used
    means: FloatArray = field(init=False)  # (K, K) products of class means about their mean
    within: FloatArray = field(init=False)  # (n_used,) squared distance to the class mean
    along: FloatArray = field(init=False)  # (n_used, K) of that difference with the class means
    centroids: FloatArray = field(init=False)  # (K, K) products of means of rows of length 1
    exact: bool = field(init=False, default=False)  # samples are class means but for rounding
    rounding: float = 0.0  # squared distance of class means that is rounding

    def __post_init__(self) -> None:
        self.rows = np.flatnonzero(self.labels >= 0)
        self.counts = np.bincount(self.labels[self.rows])
        k, n = len(self.counts), len(self.rows)
        self.means, self.centroids = np.zeros((k, k)), np.zeros((k, k))
        self.within, self.along = np.zeros(n), np.zeros((n, k))

    @cached_property
    def averages(self) -> Any:
        """The sparse matrix (K, n) that takes samples to the means of their classes."""
        from scipy.sparse import csr_array

        own = self.labels[self.rows]
        shape = (len(self.counts), len(self.labels))
        return csr_array((1.0 / self.counts[own], (own, self.rows)), shape=shape)

    def add(self, centred: FloatArray, scaled: FloatArray) -> None:
        """Add a block of units (n, n_units): about their mean, and of rows scaled to length 1."""
        means, centroids = self.averages @ centred, self.averages @ scaled
        self.centroids += centroids @ centroids.T
        own = self.labels[self.rows]
        rest = (centred if len(own) == len(centred) else centred[self.rows]) - means[own]
        self.within += np.einsum("ij,ij->i", rest, rest)
        means -= means.mean(axis=0)
        self.means += means @ means.T
        self.along += rest @ means.T

    @property
    def n(self) -> int:
        """Samples that are used."""
        return len(self.rows)

    @property
    def variances(self) -> FloatArray:
        """Mean squared distance of the samples of a class to its mean (K,)."""
        sums = np.bincount(self.labels[self.rows], self.within, len(self.counts))
        return np.asarray(sums / self.counts)

    def nc1(self) -> float:
        """Return Tr(within-class scatter, pseudo-inverse of that of the class means) / K."""
        values, vectors = np.linalg.eigh(self.means)
        kept = values > _SINGULAR * values[-1]
        scores = self.along @ (vectors[:, kept] / values[kept])
        return float(np.square(scores).sum() / self.n)

    def nc1_quotient(self) -> float:
        """Return Tr(within-class scatter) / Tr(scatter of the class means)."""
        return float(self.within.sum() / self.n / (np.trace(self.means) / len(self.counts)))

    def cdnv(self) -> float:
        """Return the mean over pairs of classes of (v_i + v_j) / (2 |m_i - m_j|^2).

        It is NaN where two class means are equal, up to rounding.
        """
        first, second = np.triu_indices(len(self.counts), 1)
        squares = np.diag(self.means)
        both = squares[first] + squares[second]
        apart = both - 2.0 * self.means[first, second]
        if (apart <= np.maximum(_EQUAL * both, self.rounding)).any():
            return math.nan
        spread = self.variances
        return float(((spread[first] + spread[second]) / (2.0 * apart)).mean())

    def separation(self) -> float:
        """Return the share of the variance that is between classes, each sample counting alike."""
        between = float(self.counts @ np.diag(self._about_samples()))
        return between / (between + float(self.within.sum()))

    def alignment(self, norm: float) -> float:
        """Return the centred kernel alignment of the samples' products with those of the labels.

        Parameters
        ----------
        norm : float
            Frobenius norm of the products of the samples about their mean.
        """
        sums = self.counts[:, None] * self._about_samples() * self.counts
        shares = self.counts / self.n
        of_labels = np.diag(self.counts) - self.n * np.outer(shares, shares)
        return float(np.trace(sums) / (norm * np.linalg.norm(of_labels)))

    def simplex_deviation(self) -> tuple[float, float, float]:
        """Return how far the class means are from a simplex, as `simplex_deviation` does."""
        return simplex_deviation(self.means, self.rounding)

    def simplex_noise(self) -> tuple[float, float, float]:
        """Return about what `simplex_deviation` would be of an exact simplex, of as many samples.

        Class means vary along one another by the scatter within classes, divided by the samples of
        a class. To first order, and of independent means: few means about their mean deviate less,
        three of them by two fifths.
        """
        own, k = self.labels[self.rows], len(self.counts)
        sums = np.column_stack([np.bincount(own, column**2, k) for column in self.along.T])
        variances = sums / np.square(self.counts)[:, None]  # (K, K) of one mean along another
        lengths = np.diag(self.means)
        with np.errstate(divide="ignore", invalid="ignore"):  # a class in the middle has no angle
            norms = np.sqrt((np.diag(variances) / lengths).mean()) / np.sqrt(lengths).mean()
            between = (variances + variances.T) / np.outer(lengths, lengths)
        angles = np.sqrt(2.0 / np.pi * between[~np.eye(k, dtype=bool)].mean())  # absolute values
        etf = np.sqrt(2.0 * variances.sum()) / np.linalg.norm(self.means)
        return float(norms), float(angles), float(etf)

    def nuclear_norm(self) -> float:
        """Return the sum of the singular values of the means of rows scaled to length 1."""
        values = np.linalg.eigvalsh(self.centroids)
        values = values[values > len(values) * np.finfo(np.float64).eps * values[-1]]
        return float(np.sqrt(values).sum())

    def _about_samples(self) -> FloatArray:
        """Return the products of the class means about the mean of all samples."""
        shares = self.counts / self.n
        off = np.eye(len(shares)) - shares
        return np.asarray(off @ self.means @ off.T)


def scatters(values: Array, labellings: Sequence[IntArray]) -> list[ClassScatter]:
    """Return the scatter of classes in a layer (n_samples, n_units), of each labelling.

    Raises
    ------
    EstimationError
        If the layer does not vary, or the class means of the first labelling do not differ.
    """
    found = [ClassScatter(labels) for labels in labellings]
    scale, sizes = magnitude(values), magnitudes(values)
    squares = np.zeros(len(values))  # of rows, in units of their own magnitudes
    for block in _unit_blocks(values, sizes):
        squares += np.einsum("ij,ij->i", block, block)
    lengths = np.sqrt(np.where(squares > 0.0, squares, 1.0))[:, None]
    varies, mean_square = 0.0, float((squares * (sizes / scale) ** 2).sum()) / len(values)
    for centred, directions in _centred_blocks(values, scale, sizes, lengths):
        varies += float(np.vdot(centred, centred))
        found[0].add(centred, directions)
        if len(values) * sum(len(one.counts) for one in found) <= _TOGETHER:
            _add_together(found[1:], centred, directions)
        else:
            for one in found[1:]:
                one.add(centred, directions)
    if float(found[0].within.sum()) < _COLLAPSED * varies:  # differences of products lose digits
        found[1:] = [ClassScatter(labels) for labels in labellings[1:]]
        for centred, directions in _centred_blocks(values, scale, sizes, lengths):
            for one in found[1:]:
                one.add(centred, directions)
    for one in found:
        one.rounding = _ALIKE * mean_square
    if varies <= found[0].rounding * len(values):
        raise EstimationError("expected a layer that varies, got a constant one")
    if float(np.trace(found[0].means)) <= found[0].rounding:
        raise EstimationError("expected class means that differ, got equal ones")
    found[0].exact = float(found[0].within.sum()) <= found[0].rounding * len(values)
    return found


def _add_together(found: Sequence[ClassScatter], centred: FloatArray, scaled: FloatArray) -> None:
    """Add a block of units to several labellings, in three products for all of them.

    Distances to class means come from the products, |x|^2 - 2 x m + |m|^2.
    """
    if not found:
        return
    averages = np.concatenate([one.averages.toarray() for one in found])
    means, centroids = averages @ centred, averages @ scaled
    products = centred @ means.T
    squares = np.einsum("ij,ij->i", centred, centred)
    start = 0
    for one in found:
        k = len(one.counts)
        mine = slice(start, start + k)
        start += k
        of_means, own = means[mine] @ means[mine].T, one.labels[one.rows]
        each = products[one.rows, mine]
        one.centroids += centroids[mine] @ centroids[mine].T
        one.within += squares[one.rows] - 2.0 * each[np.arange(one.n), own]
        one.within += np.diag(of_means)[own]
        rest = each - of_means[own]
        one.along += rest - rest.mean(axis=1, keepdims=True)
        off = np.eye(k) - 1.0 / k
        one.means += off @ of_means @ off


def gram_norm(values: Array, parts: Sequence[IntArray] = ()) -> list[float]:
    """Return the Frobenius norm of the products of the samples about their mean, then of parts.

    The layer is divided by its magnitude first, as by `scatters`.
    """
    whole = moments(values, ("covariance",), scale=magnitude(values))
    return [one.covariance_norm() for one in (whole, *map(whole.part, parts))]


def simplex_deviation(products: FloatArray, rounding: float = 0.0) -> tuple[float, float, float]:
    """Return how far vectors are from the corners of a simplex around 0.

    Parameters
    ----------
    products : array (K, K)
        Of the vectors with one another.
    rounding : float, default 0
        Squared length that is rounding, beside that of the longest vector.

    Returns
    -------
    equinorm : float
        Standard deviation of their lengths / mean.
    equiangle : float
        Mean over pairs of |cosine + 1 / (K - 1)|; NaN if one is 0, up to rounding.
    etf : float
        Frobenius distance of the products, of norm 1, from those of a simplex, of norm 1.
    """
    k, squares = len(products), np.maximum(np.diag(products), 0.0)
    lengths = np.sqrt(squares)
    equinorm, equiangle = float(lengths.std(ddof=1) / lengths.mean()), math.nan
    if squares.min() > max(_NEAR * squares.max(), rounding):
        cosines = products / np.outer(lengths, lengths)
        equiangle = float(np.abs(cosines[~np.eye(k, dtype=bool)] + 1.0 / (k - 1)).mean())
    return equinorm, equiangle, simplex_distance(products)


def simplex_distance(products: FloatArray) -> float:
    """Return the Frobenius distance of products (K, K), of norm 1, from those of a simplex."""
    k = len(products)
    simplex = (np.eye(k) - 1.0 / k) / math.sqrt(k - 1)
    return float(np.linalg.norm(products / np.linalg.norm(products) - simplex))


def duality(weight: FloatArray, means: FloatArray) -> float:
    """Return the squared distance of a weight (K, d) from class means about their mean (K, d).

    Each is of Frobenius norm 1. It is NaN of a weight of zeros.
    """
    if not weight.any():
        return math.nan
    one, other = (matrix / magnitude(matrix) for matrix in (weight, means))
    return float(np.square(one / np.linalg.norm(one) - other / np.linalg.norm(other)).sum())


def disagreement(
    values: FloatArray, means: FloatArray, weight: FloatArray, bias: FloatArray
) -> float:
    """Return the share of samples whose largest logit is not that of the nearest class mean.

    Distances are those about the middle of the means, where a common offset of the units takes no
    digits. It is NaN where all logits of every sample are equal.

    Parameters
    ----------
    values : array (n_samples, n_units)
        The layer, divided by its magnitude.
    means : array (n_classes, n_units)
        The class means.
    weight, bias : array (n_classes, n_units), (n_classes,)
        Of the linear layer that follows, the bias divided by the magnitude of the layer.
    """
    scale = magnitude(weight)
    with np.errstate(over="ignore"):  # a bias beyond all products decides alone
        logits = values @ (weight / scale).T + bias / scale
    if not np.ptp(logits, axis=1).any():
        return math.nan
    middle = means.mean(axis=0)
    corners = means - middle
    squares = np.square(corners).sum(axis=1)
    nearest = np.argmin(squares - 2.0 * ((values - middle) @ corners.T), axis=1)
    return float(np.mean(logits.argmax(axis=1) != nearest))


def _unit_blocks(values: Array, sizes: FloatArray) -> Iterator[FloatArray]:
    """Yield blocks of units, in double precision, their rows divided by ``sizes`` (n,)."""
    step = max(1, _BLOCK // len(values))
    for start in range(0, values.shape[1], step):
        yield np.asarray(values[:, start : start + step], dtype=np.float64) / sizes[:, None]


def _centred_blocks(
    values: Array, scale: float, sizes: FloatArray, lengths: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield blocks of units about their mean, in units of ``scale``, and of rows of length 1."""
    shares = (sizes / scale)[:, None]
    for block in _unit_blocks(values, sizes):
        centred = block * shares
        centred -= centred.mean(axis=0)
        yield centred, block / lengths

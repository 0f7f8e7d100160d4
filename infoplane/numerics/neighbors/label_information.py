"""What the code of a layer tells about class labels: values, their null and how they drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.neighbors.estimates import mixed_mutual_information, mixed_terms
from infoplane.numerics.neighbors.terms import LOG2_E

NEIGHBORS = 3  # within the class
# At which the bias falls with n: faster than that of the entropies in it, which cancels in part.
# Measured 0.4 for a label that hangs on one column of eight, above 0.75 for ten normal classes.
RATE = 0.65


@dataclass(frozen=True, eq=False)
class LabelInformation:
    """What a code tells about labels, in bits.

    Parameters
    ----------
    bits : float
        I(T_c;Y), the mean of ``terms``.
    terms : array (n_samples,)
        Contributions of the samples.
    parts : array (n_folds,)
        Values on the folds.
    null : float
        Value with permuted labels, of some of the samples.
    h_y : float
        H(Y), by plug-in.
    drift_of_halves : float or None
        Mean over both halves of the folds less the whole; None without folds.
    """

    bits: float
    terms: FloatArray
    parts: FloatArray
    null: float
    h_y: float
    drift_of_halves: float | None

    @property
    def bias(self) -> float:
        """How far the whole is from its limit, going by the halves; 0 without folds."""
        return abs(self.drift_of_halves or 0.0) / (math.pow(2.0, RATE) - 1.0)


def label_information(
    draws: Sequence[FloatArray],
    labels: IntArray,
    folds: list[IntArray],
    some: IntArray,
    rng: np.random.Generator,
) -> LabelInformation:
    """Return I(T_c;Y) of a code, averaged over draws of noise.

    Parameters
    ----------
    draws : sequence of arrays (n_samples, q)
        The code with one or several draws of noise.
    labels : array (n_samples,)
        Class ids.
    folds : list of arrays
        Indices of disjoint folds.
    some : array (n_some,)
        Samples that the null is taken of.
    rng : numpy.random.Generator
        Permutes the labels.

    References
    ----------
    Ross, PLoS ONE 9 (2014).
    """

    def on(rows: IntArray) -> float:
        found = [mixed_mutual_information(code[rows], labels[rows], NEIGHBORS) for code in draws]
        return float(np.mean(found))

    terms = np.mean([mixed_terms(code, labels, NEIGHBORS) for code in draws], axis=0) * LOG2_E
    bits = float(terms.mean())
    parts = np.array([on(fold) for fold in folds])
    null = mixed_mutual_information(draws[0][some], rng.permutation(labels[some]), NEIGHBORS)
    drift = None
    if folds:
        # Where few of many columns tell of the label, the bias falls so slowly that folds of a
        # tenth hardly show it; that of halves is extrapolated less.
        middle = len(folds) // 2
        halves = [np.concatenate(folds[:middle]), np.concatenate(folds[middle:])]
        drift = float(np.mean([on(half) for half in halves])) - bits
    return LabelInformation(bits, terms, parts, null, label_entropy(labels), drift)


@dataclass(frozen=True, eq=False)
class ScaleGain:
    """What I(T_c;Y) gains by columns of one spread.

    Parameters
    ----------
    spread : array (q,)
        Standard deviations of the columns; 1 for those that do not vary.
    bits : float
        Mean gain.
    error : float
        Standard error of it.
    before : float
        I(T_c;Y) with the columns as they are.
    """

    spread: FloatArray
    bits: float
    error: float
    before: float


def scale_gain(code: FloatArray, labels: IntArray, some: IntArray) -> ScaleGain | None:
    """Return what some samples gain by columns of one spread, or None if theirs are alike.

    Distances overlook a column that is much smaller than others, and labels that hang on it; but
    columns of noise alone are best left as small as they are.
    """
    spread = np.where(code.std(axis=0) > 0.0, code.std(axis=0), 1.0)
    if spread.max() < 2.0 * spread.min():
        return None
    part = labels[some]
    as_is = mixed_terms(code[some], part, NEIGHBORS)
    gains = (mixed_terms(code[some] / spread, part, NEIGHBORS) - as_is) * LOG2_E
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return ScaleGain(spread, float(gains.mean()), error, float(as_is.mean()) * LOG2_E)


def label_entropy(labels: IntArray) -> float:
    """Return the entropy of the labels in bits, by plug-in."""
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0

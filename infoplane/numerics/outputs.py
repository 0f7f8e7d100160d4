"""Information of predicted distributions: closed forms of what a soft-max says, in bits.

A network that ends in a soft-max is stochastic there by its own word: given an input x it says
p(.|x), and a prediction drawn from it is a random variable. Its entropies are sums over the
outputs, so they need no bins and no noise. Only the mean over inputs is estimated from samples.

A sample has one distribution, or one for each of several positions, which count together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from infoplane.data import Array, FloatArray, IntArray

_BLOCK = 1 << 20  # numbers of a block of samples

Read: TypeAlias = Callable[[slice], FloatArray]
"""Returns natural logarithms of probabilities (n_samples, n_positions, n_outputs) of some rows."""


class Mean(NamedTuple):
    """An estimated mean over inputs, in bits.

    ``error`` is its standard error, NaN of one sample; ``bias`` what the plain sum over the samples
    is expected to lie above the truth, which is taken off.
    """

    value: float
    error: float
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network predicts of some samples.

    Parameters
    ----------
    read : callable
        Returns log-probabilities of rows; it is called several times.
    shape : (n_samples, n_positions, n_outputs)
        Of all rows.
    counts : array (n_samples, n_positions), optional
        1 where a position counts, 0 where it does not; all count unless given.
    """

    read: Read
    shape: tuple[int, int, int]
    counts: FloatArray | None = None

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield rows and their log-probabilities, a block at a time."""
        n, positions, outputs = self.shape
        size = max(1, _BLOCK // (positions * outputs))
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            yield rows, self.read(rows)

    def weights(self, rows: slice = slice(None)) -> FloatArray:
        """Return how much each position of some rows counts."""
        n, positions, _ = self.shape
        if self.counts is None:
            return np.ones((len(range(n)[rows]), positions))
        return self.counts[rows]

    def entropy(self) -> Mean:
        """Return the mean entropy of the predictions, H(Y^|X)."""
        return self._mean(self._entropies)

    def information(self) -> Mean:
        """Return I(X;Y^): the entropy of the mean prediction less the mean entropy.

        Notes
        -----
        The mean of n predictions scatters about the true mean p, and entropy is concave: to leading
        order H of the mean is low by sum_k Var(mean p_k) / (2 p_k ln 2), the trace of the
        covariance over p. With certain predictions this is (K - 1) / (2 n ln 2), as of Miller and
        Madow. Positions of one sample are not taken for independent.
        """
        found = _Scatter.of(self)
        entropies = self._entropies
        surprise = np.empty(len(entropies))  # of a draw, to one who knows the mean alone
        bits = _log2(found.mean)
        for rows, logs in self.blocks():
            surprise[rows] = -(_sums(np.exp(logs), self.weights(rows)) @ bits)
        return self._mean(surprise - entropies, -found.concavity())

    def information_given(self, classes: IntArray) -> Mean:
        """Return I(X;Y^|Y), the same within each class (n_samples,) of 0, 1, ..., on average.

        The bias of a class of one sample cannot be known, and is not taken off.

        References
        ----------
        Ye et al.: "Bayes conditional distribution estimation for knowledge distillation based on
        conditional mutual information", ICLR 2024.
        """
        n, _, outputs = self.shape
        n_classes = int(classes.max()) + 1
        sizes = np.bincount(classes, minlength=n_classes).astype(np.float64)
        sums, squares = np.zeros((2, n_classes, outputs))
        entropies = self._entropies
        for rows, logs in self.blocks():
            p = _sums(np.exp(logs), self.weights(rows))
            of = classes[rows]
            for one in np.unique(of):
                sums[one] += p[of == one].sum(axis=0)
                squares[one] += (p[of == one] ** 2).sum(axis=0)
        means = sums / np.maximum(sizes, 1.0)[:, None]
        scatter = np.maximum(squares - sizes[:, None] * means**2, 0.0)
        bits = _log2(means)
        surprise = np.empty(n)
        for rows, logs in self.blocks():
            p = _sums(np.exp(logs), self.weights(rows))
            surprise[rows] = -np.einsum("ik,ik->i", p, bits[classes[rows]])
        several = sizes > 1
        variances = scatter[several] / (sizes * (sizes - 1.0))[several, None]
        low = _concavity(variances, means[several])
        bias = -float(np.sum(sizes[several] / n * low))
        return self._mean(surprise - entropies, bias)

    def of_labels(self, labels: IntArray) -> FloatArray:
        """Return log2 of the probability of the label of each sample (n_samples,)."""
        found = np.empty(len(labels))
        for rows, logs in self.blocks():
            found[rows] = logs[np.arange(len(logs)), 0, labels[rows]] / math.log(2)
        return found

    def top(self) -> tuple[IntArray, FloatArray]:
        """Return the most probable output of each sample (n_samples,), and its probability."""
        n = self.shape[0]
        best, confidence = np.empty(n, dtype=np.int64), np.empty(n)
        for rows, logs in self.blocks():
            best[rows] = logs[:, 0].argmax(axis=1)
            confidence[rows] = np.exp(logs[:, 0].max(axis=1))
        return best, confidence

    def divergence(self, other: Predictions) -> Mean:
        """Return the mean Jensen-Shannon divergence from other predictions of the same samples.

        It is the information, in bits, of a drawn prediction about which of the two made it: 0 if
        they are equal, 1 if they have no output in common.
        """
        found = np.empty(self.shape[0])
        for rows, logs in self.blocks():
            others = other.read(rows)
            both = np.logaddexp(logs, others) - math.log(2)
            bits = _relative(logs, both) + _relative(others, both)
            found[rows] = (bits * self.weights(rows)).sum(axis=1) / 2
        return self._mean(found)

    @cached_property
    def _entropies(self) -> FloatArray:
        """Return the entropy of each sample (n_samples,), summed over its positions."""
        found = np.empty(self.shape[0])
        for rows, logs in self.blocks():
            p = np.exp(logs)
            bits = -np.einsum("itk,itk->it", p, np.where(p > 0.0, logs, 0.0)) / math.log(2)
            found[rows] = (bits * self.weights(rows)).sum(axis=1)
        return found

    def _mean(self, sums: FloatArray, bias: float = 0.0) -> Mean:
        """Return the mean over positions that count, of sums over those of each sample."""
        n, weights = len(sums), self.weights().sum(axis=1)
        total = float(weights.sum())
        mean = float(sums.sum()) / total
        off = sums - mean * weights
        error = math.sqrt(n / (n - 1) * float(off @ off)) / total if n > 1 else math.nan
        return Mean(mean - bias, error, bias)


@dataclass(frozen=True, eq=False)
class _Scatter:
    """The mean prediction (n_outputs,), and the variance of that mean."""

    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, predictions: Predictions) -> _Scatter:
        n, _, outputs = predictions.shape
        sums, squares, weighted = np.zeros((3, outputs))
        weight = weight2 = 0.0
        for rows, logs in predictions.blocks():
            own = predictions.weights(rows)
            p, w = _sums(np.exp(logs), own), own.sum(axis=1)
            sums += p.sum(axis=0)
            squares += (p**2).sum(axis=0)
            weighted += w @ p
            weight += float(w.sum())
            weight2 += float(w @ w)
        mean = sums / weight
        scatter = squares - 2.0 * mean * weighted + mean**2 * weight2
        variance = np.maximum(scatter, 0.0) / weight**2 * (n / (n - 1) if n > 1 else math.nan)
        return cls(mean, variance)

    def concavity(self) -> float:
        """Return how much the entropy of the mean is expected to be low, in bits; 0 of a sample."""
        found = float(_concavity(self.variance, self.mean))
        return found if math.isfinite(found) else 0.0


class Calibration(NamedTuple):
    """How far confidence and accuracy are apart.

    Parameters
    ----------
    ece : float
        Expected calibration error: mean over bins of |accuracy - confidence|.
    debiased : float
        Less what chance adds to it. It may be below 0.
    error : float
        Standard error of both.
    null : float
        What a network of the same confidences reads if they are right.
    null_sd : float
        Standard deviation of that.
    """

    ece: float
    debiased: float
    error: float
    null: float
    null_sd: float


def calibration(confidence: FloatArray, correct: Array, bins: int = 15) -> Calibration:
    """Return the calibration of predictions, in equal bins (l, h] of the confidence.

    Parameters
    ----------
    confidence : array (n_samples,)
        Largest probability.
    correct : array of bool (n_samples,)
        Whether that output is the label.
    bins : int, default 15
        Of equal width between 0 and 1.

    Notes
    -----
    The accuracy of m samples scatters, so that |accuracy - confidence| is high on average, most
    where it is small. With a normal accuracy of variance a (1 - a) / m its mean is that of a folded
    normal; the debiased value has this excess, at what was found, taken off.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: "On calibration of modern neural networks", ICML 2017. Kumar,
    Liang, Ma: "Verified uncertainty calibration", NeurIPS 2019 (the bias). Leone, Nelson,
    Nottingham, Technometrics 3, 1961 (the folded normal).
    """
    n = len(confidence)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    sizes = np.bincount(place, minlength=bins).astype(np.float64)
    used = sizes > 0
    sizes = sizes[used]
    right = np.asarray(correct, dtype=np.float64)

    def means(values: FloatArray) -> FloatArray:
        found: FloatArray = np.bincount(place, values, minlength=bins)[used] / sizes
        return found

    accuracy, sure = means(right), means(confidence)
    gaps, shares = accuracy - sure, sizes / n
    ece = float(shares @ np.abs(gaps))
    spread = np.sqrt(accuracy * (1.0 - accuracy) / sizes)
    debiased = 2.0 * ece - float(shares @ _folded(np.abs(gaps), spread))
    signs = np.zeros(bins)
    signs[used] = np.sign(gaps)
    signed = signs[place] * (right - confidence)
    error = float(signed.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    chance = np.sqrt(means(confidence * (1.0 - confidence)) / sizes)  # of a sum of n coins
    null = float(shares @ chance) * math.sqrt(2.0 / math.pi)
    null_sd = float(np.linalg.norm(shares * chance)) * math.sqrt(1.0 - 2.0 / math.pi)
    return Calibration(ece, debiased, error, null, null_sd)


def label_bound(log2_of_labels: FloatArray, labels: IntArray) -> Mean:
    """Return H(Y) less the cross-entropy, in bits: a lower bound of I(T;Y) of every layer.

    Parameters
    ----------
    log2_of_labels : array (n_samples,)
        Log2 of the probability that each sample's label is given.
    labels : array (n_samples,)
        Class ids.
    """
    _, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
    n = len(labels)
    gains = log2_of_labels - np.log2(counts / n)[at.reshape(-1)]
    known = n > 1 and bool(np.isfinite(gains).all())  # a label of probability 0 costs all
    error = float(gains.std(ddof=1)) / math.sqrt(n) if known else math.nan
    return Mean(float(gains.mean()), error)


def log_soft_max(values: Array) -> FloatArray:
    """Return natural logarithms of the soft-max over the last axis, in double precision."""
    logits: FloatArray = np.asarray(values, dtype=np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def logs_of(probabilities: Array) -> FloatArray:
    """Return natural logarithms of probabilities over the last axis, made to sum to 1."""
    p = np.asarray(probabilities, dtype=np.float64)
    with np.errstate(divide="ignore"):
        found: FloatArray = np.log(p) - np.log(p.sum(axis=-1, keepdims=True))
    return found


def _sums(p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the sums over positions that count (n_samples, n_outputs)."""
    if p.shape[1] == 1:
        return p[:, 0] * weights
    found: FloatArray = np.einsum("itk,it->ik", p, weights)
    return found


def _log2(p: FloatArray) -> FloatArray:
    """Return log2, 0 of an output that nothing predicts."""
    found: FloatArray = np.log2(p, where=p > 0.0, out=np.zeros_like(p))
    return found


def _relative(logs: FloatArray, others: FloatArray) -> FloatArray:
    """Return the relative entropy (n_samples, n_positions) of log-probabilities, in bits."""
    p = np.exp(logs)
    nats = np.where(p > 0.0, logs - np.where(p > 0.0, others, 0.0), 0.0)
    found: FloatArray = np.einsum("itk,itk->it", p, nats) / math.log(2)
    return found


def _concavity(variance: FloatArray, mean: FloatArray) -> FloatArray:
    """Return sum_k Var(mean p_k) / (2 p_k ln 2) over the last axis."""
    parts = np.divide(variance, mean, where=mean > 0.0, out=np.zeros_like(mean))
    found: FloatArray = parts.sum(axis=-1) / (2.0 * math.log(2))
    return found


def _folded(mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the mean of |z| of a normal z of this mean (not below 0) and deviation."""
    z = np.divide(mean, sd, where=sd > 0.0, out=np.full_like(mean, np.inf))
    erf = np.array([math.erf(one / math.sqrt(2.0)) for one in z])
    found: FloatArray = sd * math.sqrt(2.0 / math.pi) * np.exp(-(z**2) / 2.0) + mean * erf
    return found

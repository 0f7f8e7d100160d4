"""Held-out probes: how many bits about a class can be read from a layer.

A probe is fitted on some folds of the samples and read on another one. Whatever it has learnt,
H(Y) less its cross-entropy on samples that it has not seen is, in expectation, at most I(T;Y).

References
----------
McAllester, Stratos: "Formal limitations on the measurement of mutual information", AISTATS 2020:
the bound by held-out cross-entropy. Alain, Bengio: "Understanding intermediate layers using linear
classifier probes", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.arrays import LARGE, row_blocks
from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.discrete.symbols import Symbols
from infoplane.numerics.projection import principal_scores
from infoplane.numerics.screening import Candidates

COMPONENTS = 64
"""Principal components that probes see."""

PENALTIES = (0.0, 0.003, 0.03, 0.3, 3.0)
"""Weights C of the likelihood beside half the squared coefficients; 0 is the prior alone."""

FEW_PENALTIES = (0.0, 0.03, 0.3, 3.0, 30.0)
"""The same for a probe that sees little, which can be trusted more."""

NONLINEAR, SCREENED = 1, 2
"""Numbers of the probes in `Readings.chosen`, beside 0 for the linear one."""

COMMON = 25
"""Equal rows from which on they are a state of the layer, not a sample that occurs repeatedly."""

_PRIOR = 0.01  # share of the prior in every posterior
_UNSEEN = 0.5  # added to the samples of each class, so that one that was not seen can occur
_BENT = 10  # components whose products the nonlinear probe sees
_CLIPPED = 3.0  # standard deviations beyond which they do not count further: products of outliers
_NEAR = 15  # neighbours of a sample
_REFERENCES = 4000  # samples among which they are looked for
_SURE = 2.0  # samples that the prior of the neighbours' classes counts for
_ROUNDING = 2e-6  # of squared distances in single precision: ties within are ties
_NEXT_TO_NOTHING = 0.1  # share of H(Y): no further probe is tried for less
_ITERATIONS = 100
_CONVERGED = 1e-4  # relative change of the objective


@dataclass(frozen=True, eq=False)
class Reading:
    """What one probe reads.

    Parameters
    ----------
    gains : array (n_samples,)
        Bits that the held-out posterior of a sample's own class has more than its share. Their
        mean is H(Y) less the cross-entropy.
    correct : bool array (n_samples,)
        Whether that posterior is the highest.
    inner : array (n_folds,)
        Cross-entropy, in nats, on a fold within the training samples of each fold.
    penalties : tuple of float
        The C that each fold has chosen there, 0 for the prior alone.
    """

    gains: FloatArray
    correct: Array
    inner: FloatArray
    penalties: tuple[float, ...]

    @property
    def bits(self) -> float:
        """The lower bound of I(T;Y)."""
        return float(self.gains.mean())

    @property
    def accuracy(self) -> float:
        """Share of samples that are named right."""
        return float(self.correct.mean())


@dataclass(frozen=True, eq=False)
class Readings:
    """What the probes read, the best of each fold, and what it would read of fewer samples."""

    linear: Reading
    nonlinear: Reading
    screened: Reading | None  # None if the others leave next to nothing to find in some fold
    best: Reading  # of each fold the probe that is best within its training samples
    chosen: IntArray  # (n_folds,) which one: 0, NONLINEAR, SCREENED
    rise: float | None  # bits that it reads more than from half as many samples
    neighbours: float  # share of samples in the class of most of their neighbours in other folds


@dataclass(frozen=True, eq=False)
class Features:
    """What probes see of a layer; nothing of it depends on labels.

    Parameters
    ----------
    linear : float32 array (n_linear, n_samples)
        Whitened principal components, and a row of ones.
    bent : float32 array (n_bent, n_samples)
        The same with the products of the first components, all of variance 1.
    near : bool array (n_references, n_samples)
        Whether a reference is among the neighbours of a sample.
    references : array (n_references,)
        Samples, ascending.
    candidates : Candidates
        Units and products of two, of which labels choose some.
    """

    linear: Array
    bent: Array
    near: Array
    references: IntArray
    candidates: Candidates

    @classmethod
    def of(cls, values: Array, groups: IntArray, rng: np.random.Generator) -> Features | None:
        """Return what probes see of a layer (n_samples, n_units), None if it does not vary.

        Parameters
        ----------
        values : array (n_samples, n_units)
            Finite.
        groups : array (n_samples,)
            Samples of one group are no neighbours of one another.
        rng : numpy.random.Generator
            Draws the references, and the start of the components of wide layers.
        """
        scores = principal_scores(values, COMPONENTS, rng)
        if scores.shape[1] == 0:
            return None
        white = (scores / scores.std(axis=0)).T
        bent = np.clip(white[:_BENT], -_CLIPPED, _CLIPPED)
        first, second = np.triu_indices(len(bent))
        products = bent[first] * bent[second]
        products -= products.mean(axis=1, keepdims=True)
        spread = products.std(axis=1)
        kept = spread > 1e-6
        products = products[kept] / spread[kept, None]
        linear = np.vstack([white, np.ones(len(values))]).astype(np.float32)
        most = max(_NEAR, min(_REFERENCES, LARGE // len(values)))
        references = np.arange(len(values))
        if len(values) > most:
            references = np.sort(rng.permutation(len(values))[:most])
        near = _neighbours(scores, groups, references)
        bent = np.vstack([linear, products.astype(np.float32)])
        return cls(linear, bent, near, references, Candidates.of(values, white))

    def counts(self, classes: IntArray, n_classes: int, fold: IntArray, n_folds: int) -> Array:
        """Return neighbours by fold and class (n_folds, n_classes, n_samples)."""
        counts = np.empty((n_folds, n_classes, len(fold)), np.float32)
        own = np.eye(n_classes, dtype=np.float32)[:, classes[self.references]]
        for part in range(n_folds):
            members = np.flatnonzero(fold[self.references] == part)
            counts[part] = own[:, members] @ self.near[members].astype(np.float32)
        return counts


def sample_groups(rows: Symbols, inputs: Symbols | None, n_folds: int) -> IntArray:
    """Return numbers of groups of samples (n_samples,) that must not be split between folds.

    Samples of equal rows, or of equal inputs, are one group: a probe that has seen a twin knows
    the label. Rows that are equal in 25 samples and more are a state that the layer takes, and are
    split as others are; and so are all, if there are too few groups for the folds.

    Parameters
    ----------
    rows, inputs : Symbols
        Equal rows of the layer, and equal inputs if they are known.
    n_folds : int
        Number of folds.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(rows.ids)
    samples, states, offset = [], [], n
    for one in (rows, inputs):
        if one is None or one.n_states == n:
            continue
        twins = np.flatnonzero((one.counts[one.ids] > 1) & (one.counts[one.ids] < COMMON))
        samples.append(twins)
        states.append(one.ids[twins] + offset)
        offset += one.n_states
    if not samples:
        return np.arange(n)
    pairs = np.concatenate(samples), np.concatenate(states)
    graph = coo_array((np.ones(len(pairs[0])), pairs), shape=(offset, offset))
    found = connected_components(graph, directed=False)[1][:n]
    _, groups = np.unique(found, return_inverse=True)
    return np.arange(n) if groups.max() + 1 < 2 * n_folds else groups.reshape(-1)


def stratified_folds(
    classes: IntArray, groups: IntArray, n_folds: int, rng: np.random.Generator
) -> IntArray:
    """Return the fold of each sample (n_samples,): groups whole, classes in equal shares."""
    _, first = np.unique(groups, return_index=True)
    order = np.lexsort((rng.permutation(len(first)), classes[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % n_folds
    return fold[groups]


def readings(
    features: Features, classes: IntArray, fold: IntArray, *, curve: bool = False
) -> Readings:
    """Return what the probes read of classes.

    Parameters
    ----------
    features : Features
        The layer.
    classes : array (n_samples,)
        Class ids 0, 1, ...; each occurs.
    fold : array (n_samples,)
        Fold of each sample, three at least, all of them in use.
    curve : bool, default False
        Whether to find what half as many samples would read.
    """
    n_folds, n_classes = int(fold.max()) + 1, int(classes.max()) + 1
    own = np.eye(n_classes, dtype=np.float32)[:, classes]
    near = features.counts(classes, n_classes, fold, n_folds)
    probes = [_Probe(lambda held: features.linear, None), _Probe(lambda held: features.bent, near)]
    found = [_read(probe, own, fold, np.ones(n_folds, dtype=bool)) for probe in probes]
    # Each fold decides by what is within its training samples.
    share = own.mean(axis=1, dtype=np.float64)
    left = np.min([one.inner for one in found], axis=0) > _NEXT_TO_NOTHING * -share @ np.log(share)
    if left.any():
        candidates = features.candidates.screened(own, fold)
        probes.append(_Probe(candidates.features, None, FEW_PENALTIES, shared=False))
        found.append(_read(probes[-1], own, fold, left))
    inner = np.array([one.inner for one in found])
    chosen = inner.argmin(axis=0)
    best = Reading(
        np.choose(chosen[fold], [one.gains for one in found]),
        np.choose(chosen[fold], [one.correct for one in found]),
        inner.min(axis=0),
        tuple(found[one].penalties[part] for part, one in enumerate(chosen)),
    )
    rise = _rise(probes[int(np.bincount(chosen).argmax())], own, fold, best) if curve else None
    screened = found[2] if left.all() else None
    neighbours = _voted(near, own, fold)
    return Readings(found[0], found[1], screened, best, chosen, rise, neighbours)


def _voted(near: Array, own: Array, fold: IntArray) -> float:
    """Return how many samples are in the class of most of their neighbours in other folds.

    A class that is frequent among all samples wins a tie.
    """
    others = near.sum(axis=0) - near[fold, :, np.arange(len(fold))].T
    votes = others + 0.5 * own.mean(axis=1, keepdims=True)
    return float((votes.argmax(axis=0) == own.argmax(axis=0)).mean())


def standard_error(gains: FloatArray, groups: IntArray) -> float:
    """Return the standard error of the mean of ``gains`` (n_samples,), groups being drawn whole.

    Without groups it is sd / sqrt(n).
    """
    n = len(gains)
    sums = np.bincount(groups, weights=gains - gains.mean())
    m = len(sums)
    return float(np.sqrt(np.square(sums).sum() * m / (m - 1)) / n) if m > 1 else 0.0


def _neighbours(scores: FloatArray, groups: IntArray, references: IntArray) -> Array:
    """Return which references are the nearest of each sample; all that tie are."""
    squares = np.square(scores).sum(axis=1)
    points = (scores / np.sqrt(np.median(squares) or squares.mean())).astype(np.float32)
    squares = np.square(points).sum(axis=1)
    near = np.empty((len(references), len(points)), dtype=bool)
    rank = min(_NEAR, len(references)) - 1
    for rows in row_blocks(near.T):
        apart = points[rows] @ points[references].T
        apart *= -2.0
        apart += squares[references]
        apart += squares[rows, None]
        own = groups[rows, None] == groups[references]
        apart[own] = np.inf
        reach = np.partition(apart, rank, axis=1)[:, rank] + _ROUNDING * (1 + squares[rows])
        near[:, rows] = ((apart <= reach[:, None]) & ~own).T
    return near


@dataclass(frozen=True, eq=False)
class _Probe:
    """What a probe sees.

    ``see`` returns its features (n_features, n_samples) where some folds are held out; they are
    the same whichever these are if it is ``shared``. ``near`` are `Features.counts`, if any.
    """

    see: Callable[[Sequence[int]], Array]
    near: Array | None
    penalties: tuple[float, ...] = PENALTIES
    shared: bool = True

    def fit(self, own: Array, fold: IntArray, held: Sequence[int]) -> _Fit:
        """Return the fit on all folds that are not held out."""
        return _Fit.on(self.see(held), self.near, own, fold, held)


def _read(probe: _Probe, own: Array, fold: IntArray, wanted: Array) -> Reading:
    """Return what a probe reads on the folds that are wanted (n_folds,).

    A fit without two folds serves both: each chooses its C on the other one, and neither has been
    seen.
    """
    n, n_folds, classes = len(fold), len(wanted), own.argmax(axis=0)
    inner = np.full(n_folds, np.inf)
    chosen: dict[int, tuple[float, FloatArray]] = {}
    for pair in _pairs(n_folds):
        of = [(a, b) for a, b in (pair, pair[::-1]) if a not in chosen and wanted[a]]
        if not of:
            continue
        fit = probe.fit(own, fold, pair)
        coefficients = fit.start
        for penalty in probe.penalties if fit.sees else probe.penalties[:1]:
            coefficients = fit.solved(penalty, coefficients)
            better = False
            for outer, held in of:
                rows = np.flatnonzero(fold == held)
                posterior = fit.posterior(coefficients, rows)
                loss = -float(np.log(posterior[classes[rows], np.arange(len(rows))]).mean())
                if loss < inner[outer]:
                    inner[outer], chosen[outer] = loss, (penalty, coefficients)
                    better = True
            if not better:
                break
    gains, correct = np.zeros(n), np.zeros(n, dtype=bool)
    for held, (penalty, coefficients) in chosen.items():
        fit = probe.fit(own, fold, (held,))
        rows = np.flatnonzero(fold == held)
        start = coefficients if probe.shared else fit.start
        gains[rows], correct[rows] = fit.read(fit.solved(penalty, start), classes, rows)
    penalties = tuple(chosen[part][0] if part in chosen else 0.0 for part in range(n_folds))
    return Reading(gains, correct, inner, penalties)


def _rise(probe: _Probe, own: Array, fold: IntArray, best: Reading) -> float:
    """Return how many bits less a probe reads that is fitted on half as many samples.

    Two parts of the samples are fitted on, and read on what is outside of each. Smaller ones of C
    are tried, too, as fewer samples ask for.
    """
    n_folds, classes = len(best.inner), own.argmax(axis=0)
    half = (n_folds - 1) // 2
    penalty = float(np.median(best.penalties))
    falls, times = np.zeros(len(fold)), np.zeros(len(fold))
    for part in (range(half), range(half, 2 * half)):
        held = [one for one in range(n_folds) if one not in part]
        fit = probe.fit(own, fold, held)
        rows = np.flatnonzero(np.isin(fold, held))
        coefficients, tried = fit.start, []
        for strength in [c for c in probe.penalties if c <= penalty][-2:]:
            coefficients = fit.solved(strength, coefficients)
            tried.append(fit.read(coefficients, classes, rows)[0])
        falls[rows] += best.gains[rows] - max(tried, key=np.mean)
        times[rows] += 1
    return float((falls / times).mean())


def _pairs(n_folds: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of folds in which each occurs; if their number is odd, the first one twice."""
    for first in range(0, n_folds - 1, 2):
        yield first, first + 1
    if n_folds % 2:
        yield n_folds - 1, 0


@dataclass(frozen=True, eq=False)
class _Fit:
    """Multinomial logistic regression on all folds but some, with an offset of the prior.

    The logits are log prior + W features, and a times the log posterior among the neighbours that
    are not held out. Coefficients are W, class by class, and a. Arrays have a column per sample:
    sums over classes are then several times quicker.
    """

    features: Array  # float32 (n_features, n_samples)
    posteriors: Array  # float32 (n_classes, n_samples) of the neighbours, less the prior; or (0, .)
    own: Array  # float32 (n_classes, n_samples) 1 for the class of a sample
    seen: IntArray  # samples that it is fitted on
    prior: FloatArray  # (n_classes,)

    @classmethod
    def on(
        cls, features: Array, near: Array | None, own: Array, fold: IntArray, held: Sequence[int]
    ) -> _Fit:
        """Return the fit on all folds that are not held out."""
        seen = np.flatnonzero(~np.isin(fold, held))
        counts = own[:, seen].sum(axis=1, dtype=np.float64) + _UNSEEN
        prior = counts / counts.sum()
        if near is None:
            near = np.empty((0, len(fold)), np.float32)
        else:
            found = np.delete(near, held, axis=0).sum(axis=0)
            certain = found.sum(axis=0) + np.float32(_SURE)
            found /= prior[:, None].astype(np.float32)
            near = np.log((found + np.float32(_SURE)) / certain)
        return cls(features, near, own, seen, prior)

    @property
    def start(self) -> FloatArray:
        """Coefficients of the prior alone."""
        return np.zeros(len(self.features) * len(self.prior) + (len(self.posteriors) > 0))

    @property
    def sees(self) -> bool:
        """Whether there is anything but the prior."""
        return len(self.features) > 1 or len(self.posteriors) > 0

    def read(
        self, coefficients: FloatArray, classes: IntArray, rows: IntArray
    ) -> tuple[FloatArray, Array]:
        """Return the gains of rows, and whether their classes are the likeliest (n_rows,)."""
        posterior = self.posterior(coefficients, rows)
        share = self.own.mean(axis=1, dtype=np.float64)
        gains = np.log2(posterior[classes[rows], np.arange(len(rows))] / share[classes[rows]])
        return gains, posterior.argmax(axis=0) == classes[rows]

    def posterior(self, coefficients: FloatArray, rows: IntArray) -> FloatArray:
        """Return the posterior of every class (n_classes, n_rows)."""
        logits = self._logits(coefficients, self.features[:, rows], self.posteriors[:, rows])
        found = np.exp(logits.astype(np.float64))
        found *= (1 - _PRIOR) / found.sum(axis=0)
        found += _PRIOR * self.prior[:, None]
        return np.asarray(found)

    def _logits(self, coefficients: FloatArray, features: Array, posteriors: Array) -> Array:
        n_classes = len(self.prior)
        weights = coefficients[: n_classes * len(features)].reshape(n_classes, -1)
        logits = weights.astype(np.float32) @ features
        logits += np.log(self.prior).astype(np.float32)[:, None]
        if len(posteriors):
            logits += np.float32(coefficients[-1]) * posteriors
        logits -= logits.max(axis=0)
        return logits

    def solved(self, penalty: float, start: FloatArray) -> FloatArray:
        """Return the coefficients that minimise C times the loss and half their squares."""
        from scipy.optimize import minimize

        if penalty == 0:
            return self.start
        features, posteriors, own = (
            part[:, self.seen] for part in (self.features, self.posteriors, self.own)
        )
        n_weights = len(features) * len(own)

        def objective(coefficients: FloatArray) -> tuple[float, FloatArray]:
            logits = self._logits(coefficients, features, posteriors)
            found = np.exp(logits)
            sums = found.sum(axis=0)
            loss = float(np.log(sums).sum(dtype=np.float64)) - float(np.vdot(logits, own))
            found /= sums
            found -= own
            slope = np.zeros_like(coefficients)
            slope[:n_weights] = (found @ features.T).ravel()
            if len(posteriors):
                slope[-1] = np.vdot(found, posteriors)
            half = 0.5 * float(coefficients @ coefficients)
            return penalty * loss + half, penalty * slope + coefficients

        options = {"maxiter": _ITERATIONS, "ftol": _CONVERGED, "gtol": 1e-8}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        return np.asarray(found.x)

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from infoplane.data import Array, FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.discrete.symbols import Symbols
from infoplane.numerics.held_out_features import Features, View, pairs
from infoplane.numerics.screening import Screening

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
_SURE = 2.0  # samples that the prior of the neighbours' classes counts for
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


def sequence_groups(sequences: IntArray, n_folds: int) -> IntArray:
    """Return numbers of the sequences of tokens (n_samples,), none to be split between folds.

    Raises
    ------
    EstimationError
        If there are fewer than two of them for each fold.
    """
    groups = np.unique(sequences, return_inverse=True)[1].reshape(-1)
    if (found := int(groups.max()) + 1) < 2 * n_folds:
        raise EstimationError(
            f"expected tokens of at least {2 * n_folds} sequences for {n_folds} folds, got {found}"
        )
    return groups


def stratified_folds(
    classes: IntArray, groups: IntArray, n_folds: int, rng: np.random.Generator
) -> IntArray:
    """Return the fold of each sample (n_samples,): groups whole, classes in equal shares."""
    _, first = np.unique(groups, return_index=True)
    order = np.lexsort((rng.permutation(len(first)), classes[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % n_folds
    return fold[groups]


def readings(features: Features, classes: IntArray, *, curve: bool = False) -> Readings:
    """Return what the probes read of classes.

    Parameters
    ----------
    features : Features
        The layer, in folds.
    classes : array (n_samples,)
        Class ids 0, 1, ...; each occurs.
    curve : bool, default False
        Whether to find what half as many samples would read.
    """
    fold = features.fold
    n_folds, n_classes = int(fold.max()) + 1, int(classes.max()) + 1
    own = np.eye(n_classes, dtype=np.float32)[:, classes]
    near = features.counts(classes, n_classes)
    probes = [
        _Probe(lambda held: features.without(held).linear, None),
        _Probe(lambda held: features.without(held).bent, near),
    ]
    found = [_read(probe, own, fold, np.ones(n_folds, dtype=bool)) for probe in probes]
    # Each fold decides by what is within its training samples.
    share = own.mean(axis=1, dtype=np.float64)
    left = np.min([one.inner for one in found], axis=0) > _NEXT_TO_NOTHING * -share @ np.log(share)
    if left.any():
        candidates = features.candidates
        by_units = candidates.pairs_units(n_classes)

        @cache
        def screening(view: View | None) -> Screening:
            return candidates.screened(own, fold, None if view is None else view.linear[:-1])

        def chosen_by(held: Sequence[int]) -> Array:
            return screening(None if by_units else features.without(held)).features(held)

        probes.append(_Probe(chosen_by, None, FEW_PENALTIES, shared=False))
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


@dataclass(frozen=True, eq=False)
class _Probe:
    """What a probe sees.

    ``see`` returns its features (n_features, n_samples) where some folds are held out; those of a
    fold are those of its pair if it is ``shared``. ``near`` are `Features.counts`, if any.
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
    for pair in pairs(n_folds):
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

    Two pairs of folds are read, each from half of the folds outside of it. Smaller ones of C are
    tried, too, as fewer samples ask for.
    """
    n_folds, classes = len(best.inner), own.argmax(axis=0)
    penalty = float(np.median(best.penalties))
    falls: list[FloatArray] = []
    for pair in list(pairs(n_folds))[:2]:
        others = [one for one in range(n_folds) if one not in pair]
        fit = probe.fit(own, fold, [*pair, *others[(n_folds - 1) // 2 :]])
        rows = np.flatnonzero(np.isin(fold, pair))
        coefficients, tried = fit.start, []
        for strength in [c for c in probe.penalties if c <= penalty][-2:]:
            coefficients = fit.solved(strength, coefficients)
            tried.append(fit.read(coefficients, classes, rows)[0])
        falls.append(best.gains[rows] - max(tried, key=np.mean))
    return float(np.concatenate(falls).mean())


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

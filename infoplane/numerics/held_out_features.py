"""What held-out probes see of a layer: components, their products, neighbours, candidates.

Nothing here depends on labels, and nothing that a probe sees of held-out samples was fitted to
them: directions, means and variances are those of samples that are not held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.arrays import LARGE, row_blocks
from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.held_out_components import components_without
from infoplane.numerics.screening import Candidates

COMPONENTS = 64
"""Principal components that probes see."""

_BENT = 10  # components whose products the nonlinear probe sees
_CLIPPED = 3.0  # standard deviations beyond which they do not count further: products of outliers
_NEAR = 15  # neighbours of a sample
_REFERENCES = 4000  # samples among which they are looked for
_ROUNDING = 2e-6  # of squared distances in single precision: ties within are ties


@dataclass(frozen=True, eq=False)
class View:
    """What probes see where some folds are held out, of all samples.

    Parameters
    ----------
    linear : float32 array (n_linear, n_samples)
        Principal components of the other folds, whitened there, and a row of ones.
    bent : float32 array (n_bent, n_samples)
        The same with the products of the first components, all of variance 1.
    """

    linear: Array
    bent: Array

    @classmethod
    def of(cls, scores: FloatArray, inside: Array) -> View:
        """Return the view of scores (n_samples, n_components), fitted to the samples ``inside``."""
        white = (scores / scores[inside].std(axis=0)).T
        bent = np.clip(white[:_BENT], -_CLIPPED, _CLIPPED)
        first, second = np.triu_indices(len(bent))
        products = bent[first] * bent[second]
        products -= products[:, inside].mean(axis=1, keepdims=True)
        spread = products[:, inside].std(axis=1)
        kept = spread > 1e-6
        products = products[kept] / spread[kept, None]
        linear = np.vstack([white, np.ones(len(scores))]).astype(np.float32)
        bent = np.vstack([linear, products.astype(np.float32)])
        return cls(linear, bent)


@dataclass(frozen=True, eq=False)
class Features:
    """What probes see of a layer.

    Parameters
    ----------
    fold : array (n_samples,)
        Fold of each sample.
    views : mapping
        By the pair of folds that is held out.
    near : bool array (n_references, n_samples)
        Whether a reference is among the neighbours of a sample: along components of other folds
        than that of the sample.
    references : array (n_references,)
        Samples, ascending.
    candidates : Candidates
        Units and shells, of which labels choose some.
    """

    fold: IntArray
    views: Mapping[tuple[int, int], View]
    near: Array
    references: IntArray
    candidates: Candidates

    @classmethod
    def of(
        cls, values: Array, groups: IntArray, fold: IntArray, rng: np.random.Generator
    ) -> Features | None:
        """Return what probes see of a layer (n_samples, n_units), None if it does not vary.

        Parameters
        ----------
        values : array (n_samples, n_units)
            Finite.
        groups : array (n_samples,)
            Samples of one group are no neighbours of one another.
        fold : array (n_samples,)
            Fold of each sample, three at least, all of them in use.
        rng : numpy.random.Generator
            Draws the references, and the start of the components.
        """
        n, n_folds = len(values), int(fold.max()) + 1
        held = list(pairs(n_folds))
        found = components_without(values, fold, held, COMPONENTS, rng)
        scores = dict(zip(held, found, strict=True))
        if not any(one.shape[1] for one in scores.values()):
            return None
        views = {of: View.of(one, ~np.isin(fold, of)) for of, one in scores.items()}
        most = max(_NEAR, min(_REFERENCES, LARGE // n))
        references = np.arange(n)
        if n > most:
            references = np.sort(rng.permutation(n)[:most])
        near = np.empty((len(references), n), dtype=bool)
        for part in range(n_folds):
            rows = np.flatnonzero(fold == part)
            pair = next(pair for pair in held if part in pair)
            near[:, rows] = _neighbours(scores[pair], groups, references, rows)
        return cls(fold, views, near, references, Candidates.of(values))

    def without(self, held: Sequence[int]) -> View:
        """Return a view that was fitted without some folds: of one, that of its pair."""
        some = set(held)
        fits = set.issuperset if len(some) == 1 else set.issubset
        return next(view for pair, view in self.views.items() if fits(set(pair), some))

    def counts(self, classes: IntArray, n_classes: int) -> Array:
        """Return neighbours by fold and class (n_folds, n_classes, n_samples)."""
        n_folds = int(self.fold.max()) + 1
        counts = np.empty((n_folds, n_classes, len(self.fold)), np.float32)
        own = np.eye(n_classes, dtype=np.float32)[:, classes[self.references]]
        for part in range(n_folds):
            members = np.flatnonzero(self.fold[self.references] == part)
            counts[part] = own[:, members] @ self.near[members].astype(np.float32)
        return counts


def pairs(n_folds: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of folds in which each occurs; if their number is odd, the first one twice."""
    for first in range(0, n_folds - 1, 2):
        yield first, first + 1
    if n_folds % 2:
        yield n_folds - 1, 0


def _neighbours(
    scores: FloatArray, groups: IntArray, references: IntArray, samples: IntArray
) -> Array:
    """Return which references are the nearest of some samples; all that tie are."""
    squares = np.square(scores).sum(axis=1)
    points = (scores / np.sqrt(np.median(squares) or squares.mean())).astype(np.float32)
    squares = np.square(points).sum(axis=1)
    near = np.empty((len(references), len(samples)), dtype=bool)
    rank = min(_NEAR, len(references)) - 1
    for some in row_blocks(near.T):
        rows = samples[some]
        apart = points[rows] @ points[references].T
        apart *= -2.0
        apart += squares[references]
        apart += squares[rows, None]
        own = groups[rows, None] == groups[references]
        apart[own] = np.inf
        reach = np.partition(apart, rank, axis=1)[:, rank] + _ROUNDING * (1 + squares[rows])
        near[:, some] = ((apart <= reach[:, None]) & ~own).T
    return near

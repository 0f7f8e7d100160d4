"""I(T;Y) by nearest neighbours in the layer as it is, without added noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, FloatArray, IntArray, RunData
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.pair_information import mixed_information
from infoplane.estimators.quantities import ITY, Quantity
from infoplane.estimators.target_information import target_information
from infoplane.estimators.trust import LARGE_LOSS
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.projection import principal_basis

_COMPONENTS = 32


@dataclass(frozen=True, eq=False)
class NeighbourSamples:
    """What all cells of a run share."""

    rows: IntArray | None  # samples that are used, None for all
    labels: IntArray | None
    targets: Array | None  # where there are no labels
    seed: int  # of permutations and halves: the same for every cell


@dataclass(frozen=True)
class NeighbourCounts(Estimator):
    """I(T;Y) by nearest neighbours: of real targets, or of class labels.

    Real targets go by the method of Kraskov, Stögbauer and Grassberger, on the ranks of the
    targets. Values that many samples have, as zeros, are classes of their own, and the rest is
    measured between them. Class labels go by the method of Ross. The layer is taken as it was
    recorded, without added noise; of more than 32 units it is the first 32 principal components.

    Parameters
    ----------
    k : int, default 3
        Neighbours.
    max_samples : int, default 3000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    In many dimensions neighbours lose most of a dependence, which is flagged (``insensitive``):
    the lower bound of ``probe`` may then lie above.

    References
    ----------
    Kraskov, Stögbauer, Grassberger, Physical Review E 69 (2004). Ross, PLoS ONE 9 (2014).
    """

    k: int = 3
    max_samples: int = 3000

    name: ClassVar[str] = "ksg"
    title: ClassVar[str] = "neighbour counts"
    quantities: ClassVar[tuple[Quantity, ...]] = (ITY,)

    def __post_init__(self) -> None:
        self._expect(self.k >= 1, "k of at least 1", self.k)
        self._expect(self.max_samples >= 50, "max_samples of at least 50", self.max_samples)

    @property
    def pools(self) -> Any:
        """Nothing: what is prepared is made of the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell of few units costs: forty counts of all neighbours."""
        m = min(n_samples, self.max_samples)
        seconds = 2e-2 + 3e-7 * m**2 + 5e-8 * m * n_units
        return Cost(seconds, 2**26 + 32 * m**2 + 16 * m * n_units)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> NeighbourSamples | None:
        """Choose the samples; None without labels and targets."""
        labels, targets, rows = run.probe.labels, run.probe.targets, None
        if labels is None and targets is None:
            return None
        n = run.probe.n_samples
        if n > self.max_samples:
            symbols = None if labels is None else row_symbols(labels[:, None])
            rows = stratified(symbols, n, self.max_samples, rng)
            labels = None if labels is None else labels[rows]
            targets = None if targets is None else targets[rows]
        seed = int(rng.integers(2**31))
        return NeighbourSamples(rows, labels, None if labels is not None else targets, seed)

    def estimate(
        self, prepared: NeighbourSamples | None, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(T;Y); nothing without labels and targets."""
        if prepared is None:
            return {}
        code, share = _code(rows_of(activations, prepared.rows), rng)
        if prepared.labels is not None:
            found = mixed_information(code, prepared.labels, self.k, seed=prepared.seed)
        else:
            assert prepared.targets is not None
            found = target_information(code, prepared.targets, self.k, prepared.seed)
        raised = {
            "large_compression_loss": share < 1.0 - LARGE_LOSS,
            "subsampled": prepared.rows is not None,
        }
        return {
            ITY.name: replace(
                found,
                n=None if prepared.rows is None else len(code),
                flags=(*found.flags, *(flag for flag, is_raised in raised.items() if is_raised)),
                diagnostics={**found.diagnostics, "dim": code.shape[1], "explained": share},
            )
        }


def _code(layer: Array, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Return principal components of a layer, of largest value 1, and their share of its variance.

    A layer of few units is left as it is.
    """
    values = np.asarray(layer, dtype=np.float64)
    values = values - values.mean(axis=0)
    largest = float(np.abs(values).max()) or 1.0
    values = values / largest
    if values.shape[1] <= _COMPONENTS:
        return values, 1.0
    scores, lost = principal_basis(values, _COMPONENTS, rng).project(values)
    kept = float(scores.var(axis=0).sum())
    return scores, kept / (kept + lost) if kept + lost else 1.0

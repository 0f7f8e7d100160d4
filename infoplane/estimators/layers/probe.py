"""A lower bound of I(T;Y) by held-out probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import LARGE, rows_of
from infoplane.data import Array, IntArray, RunData
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.probe_information import (
    FEWEST_FOLDS,
    PERMUTATIONS,
    ProbeInformation,
    read_labels,
)
from infoplane.estimators.quantities import ITY, Quantity
from infoplane.estimators.trust import LEVEL
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.kernels.mixtures import stratified


@dataclass(frozen=True, eq=False)
class ProbedSamples:
    """What all cells of a run share."""

    rows: IntArray | None  # samples that are used, None for all
    labels: Symbols
    inputs: Symbols
    draws: int  # seed of folds and permutations: the same for every cell


@dataclass(frozen=True)
class Probe(Estimator):
    """Lower bound of I(T;Y): what probes read of the label from samples they have not seen.

    Three probes are fitted on four fifths of the samples and read on the rest. The value is H(Y)
    less the cross-entropy of the best one, chosen without the samples it is read on. It needs no
    noise and no bins, and holds for layers of any width. How far below I(T;Y) it lies, nobody
    knows; where half of the samples read so much less that more would read 15 % more, it is
    flagged ``undersampled``.

    Parameters
    ----------
    folds : int, default 5
        Parts that are read in turn; at least 3. Equal inputs, and equal rows, are in one.
    permutations : int, default 1
        Permutations of the labels for the null.
    max_samples : int, default 4000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    A lower bound: labels that only more than two of many units tell together are not seen. It
    measures what is readable, so it may rise with depth; that is no gain of information.

    References
    ----------
    McAllester, Stratos: "Formal limitations on the measurement of mutual information", AISTATS
    2020. Alain, Bengio: "Understanding intermediate layers using linear classifier probes", 2016.
    """

    folds: int = 5
    permutations: int = PERMUTATIONS
    max_samples: int = 4000

    name: ClassVar[str] = "probe"
    title: ClassVar[str] = "held-out probe"
    version: ClassVar[str] = "2"
    quantities: ClassVar[tuple[Quantity, ...]] = (ITY,)
    lower_bound: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._expect(self.folds >= FEWEST_FOLDS, f"folds of at least {FEWEST_FOLDS}", self.folds)
        self._expect(self.permutations >= 0, "permutations of at least 0", self.permutations)
        least = 2 * self.folds
        self._expect(
            self.max_samples >= least, f"max_samples of at least {least}", self.max_samples
        )

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing: what is prepared is made of the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell of ten classes costs."""
        m = min(n_samples, self.max_samples)
        seconds = 2e-2 + 1.2e-4 * m + 1.5e-8 * m**2 + 5e-8 * m * n_units
        memory = 2**26 + 2 * m**2 + 1500 * m + 24 * min(m * n_units, LARGE)
        return Cost(seconds, memory)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> ProbedSamples | None:
        """Choose the samples; None without labels."""
        probe = run.probe
        if probe.labels is None:
            return None
        labels, inputs, rows = probe.labels, probe.inputs, None
        if probe.n_samples > self.max_samples:
            symbols = row_symbols(labels[:, None])
            rows = stratified(symbols, probe.n_samples, self.max_samples, rng)
            labels, inputs = labels[rows], inputs[rows]
        return ProbedSamples(
            rows,
            row_symbols(labels[:, None]),
            row_symbols(inputs.reshape(len(inputs), -1)),
            int(rng.integers(2**62)),
        )

    def estimate(
        self, prepared: ProbedSamples | None, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the lower bound of I(T;Y), or nothing without labels."""
        if prepared is None:
            return {}
        n = len(prepared.labels.ids)
        used = n if prepared.rows is not None else None
        draws = np.random.default_rng(prepared.draws)
        found = read_labels(
            rows_of(activations, prepared.rows),
            prepared.labels,
            prepared.inputs,
            self.folds,
            self.permutations,
            draws,
        )
        flags = found.flags if used is None else (*found.flags, "subsampled")
        estimate = Estimate(
            found.bits,
            low=found.low,
            high=found.high,
            method="none" if found.bits is None else "analytic",
            level=None if found.bits is None else LEVEL,
            bound_low=0.0,
            bound_high=found.h_y,
            bound_name="h_y",
            n=used,
            flags=flags,
            diagnostics=_diagnostics(found),
        )
        return {"ity": estimate}


def _diagnostics(found: ProbeInformation) -> dict[str, Any]:
    if found.bits is None:
        return {"reason": found.reason}
    parts = {name: getattr(found, name) for name in ("linear", "nonlinear", "screened")}
    return {
        "is": "lower bound",
        "se": found.standard_error,
        "null": found.null,
        "accuracy": found.accuracy,
        **{name: None if one is None else asdict(one) for name, one in parts.items()},
        "nonlinear_folds": found.nonlinear_folds,
        "screened_folds": found.screened_folds,
        "rise": found.rise,
        "to_come": found.to_come,
        "folds": found.n_folds,
        "classes": found.n_classes,
    }

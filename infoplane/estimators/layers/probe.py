"""A lower bound of I(T;Y) by held-out probes."""

from __future__ import annotations

import math
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
    read_targets,
)
from infoplane.estimators.quantities import ITY, ITY_NORMAL, KNN, PROBE, PROBE_R2, Quantity
from infoplane.estimators.trust import LEVEL, NORMAL_QUANTILE, is_negative
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.kernels.mixtures import stratified


@dataclass(frozen=True, eq=False)
class ProbedSamples:
    """What all cells of a run share."""

    rows: IntArray | None  # samples that are used, None for all
    labels: Symbols | None
    targets: Array | None  # (n, n_targets), where there are no labels
    inputs: Symbols
    draws: int  # seed of folds and permutations: the same for every cell
    sequences: IntArray | None = None  # of each row, where rows are tokens


@dataclass(frozen=True)
class Probe(Estimator):
    """Lower bound of I(T;Y): what probes read of the label from samples they have not seen.

    `probe` is the accuracy of a linear one, `knn` that of a vote of the nearest samples. Of real
    targets `probe_r2` is what a held-out ridge regression explains, `ity_normal` the bits -1/2
    log2(1 - R2) of the target made normal by its ranks: a lower bound of I(T;Y) too, of several
    targets that of the one that is read best.

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
    version: ClassVar[str] = "4"
    quantities: ClassVar[tuple[Quantity, ...]] = (ITY, PROBE, KNN, PROBE_R2, ITY_NORMAL)
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
        labels, targets, rows = probe.labels, probe.targets, None
        inputs, sequences = probe.known_inputs, probe.sequences
        if inputs is None:  # each sample counts as another input
            inputs = np.arange(probe.n_samples)
        if labels is None and targets is None:
            return None
        symbols = None if labels is None else row_symbols(labels[:, None])
        if probe.n_samples > self.max_samples:
            rows = stratified(symbols, probe.n_samples, self.max_samples, rng)
            inputs = inputs[rows]
            sequences = None if sequences is None else sequences[rows]
            symbols = None if labels is None else row_symbols(labels[rows, None])
            targets = None if targets is None else targets[rows]
        return ProbedSamples(
            rows,
            symbols,
            None if targets is None or symbols is not None else targets.reshape(len(inputs), -1),
            row_symbols(inputs.reshape(len(inputs), -1)),
            int(rng.integers(2**62)),
            sequences,
        )

    def estimate(
        self, prepared: ProbedSamples | None, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return what is read of labels, or of real targets; nothing without both."""
        if prepared is None:
            return {}
        n = len(prepared.inputs.ids)
        used = n if prepared.rows is not None else None
        draws = np.random.default_rng(prepared.draws)
        values = rows_of(activations, prepared.rows)
        options = prepared.inputs, self.folds, self.permutations, draws, prepared.sequences
        if prepared.labels is not None:
            found = read_labels(values, prepared.labels, *options)
            linear = None if found.linear is None else found.linear.accuracy
            shares = {
                PROBE.name: (linear, found.null_accuracy),
                KNN.name: (found.neighbours, found.null_neighbours),
            }
            others = {key: _share(found, *one, n, used) for key, one in shares.items()}
        else:
            assert prepared.targets is not None
            found = read_targets(values, prepared.targets, *options)
            others = {PROBE_R2.name: _explained(found, used)}
        flags = found.flags if used is None else (*found.flags, "subsampled")
        bits = Estimate(
            found.bits,
            low=found.low,
            high=found.high,
            method="none" if found.bits is None else "analytic",
            level=None if found.bits is None else LEVEL,
            bound_low=0.0,
            bound_high=found.h_y,
            bound_name="none" if found.h_y is None else "h_y",
            n=used,
            flags=flags,
            diagnostics=_diagnostics(found)
            | ({} if prepared.sequences is None else {"drawn": "sequences"}),
        )
        return {ITY.name if prepared.labels is not None else ITY_NORMAL.name: bits, **others}


_OF_ALL = ("constant", "small_n", "atoms", "failed")
"""Flags of the bits that are about the other readings too."""


def _share(
    found: ProbeInformation, accuracy: float | None, null: float | None, n: int, used: int | None
) -> Estimate:
    """Return an accuracy with Wilson's interval, beside that of permuted labels."""
    flags = [flag for flag in found.flags if flag in _OF_ALL]
    flags += ["subsampled"] * (used is not None)
    if accuracy is None:
        return _no_reading(found, flags, used)
    z = NORMAL_QUANTILE
    middle = (accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    flags += ["within_null"] * (null is not None and accuracy <= null + 1.5 * reach)
    return Estimate(
        accuracy, middle - reach, middle + reach, "analytic", LEVEL, 0.0, 1.0, n=used,
        flags=tuple(flags), diagnostics={"null": null, "classes": found.n_classes},
    )  # fmt: skip


def _explained(found: ProbeInformation, used: int | None) -> Estimate:
    """Return R2 of the regression of real targets."""
    flags = [flag for flag in found.flags if flag in _OF_ALL]
    flags += ["subsampled"] * (used is not None)
    if found.r2 is None or found.r2_error is None:
        return _no_reading(found, flags, used)
    reach = NORMAL_QUANTILE * found.r2_error
    flags += ["negative"] * is_negative(found.r2)
    flags += ["within_null"] * (
        found.null_r2 is not None and found.r2 <= found.null_r2 + 1.5 * reach
    )
    return Estimate(
        found.r2, found.r2 - reach, found.r2 + reach, "analytic", LEVEL, None, 1.0, n=used,
        flags=tuple(flags), diagnostics={"null": found.null_r2},
    )  # fmt: skip


def _no_reading(found: ProbeInformation, flags: list[str], used: int | None) -> Estimate:
    reason = found.reason or "the layer, or the label, does not vary"
    told = tuple(dict.fromkeys(["failed", *flags]))
    return Estimate(None, n=used, flags=told, diagnostics={"reason": reason})


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

"""What a network predicts, taken as the distributions that its soft-max says they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, FloatArray, IntArray, ProbeSet, RunData, Slot
from infoplane.errors import EstimationError, NotFoundError
from infoplane.estimators.base import Consecutive, Cost, Estimator, Reads
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.output_values import (
    IGNORED,
    OutputKind,
    OutputShape,
    is_linear_type,
    kind_of,
    predictions,
    unfit_labels,
    wide_enough,
)
from infoplane.estimators.quantities import OUTPUT, Quantity
from infoplane.estimators.trust import (
    LEVEL,
    NORMAL_QUANTILE,
    is_negative,
    is_saturated,
    noticeable,
)
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.outputs import (
    Calibration,
    Mean,
    Predictions,
    calibration,
    label_bound,
)
from infoplane.text import some_of

_FEWEST = 30
_GUESSED = "as the last layer, which is linear"
"""Samples below which intervals of means are too short."""

_OTHERS = 0.5
"""Share of predictions of outputs without a label from which on the labels are in doubt; and share
that go with a label, twice as many as those that name it, as where labels are in another order."""


@dataclass(frozen=True, eq=False)
class PredictedSamples:
    """What all cells of a run share, and of its layer of logits."""

    n: int
    rows: IntArray | None  # that are used, None for all
    labels: IntArray | None  # of these rows, as they are
    layer: Slot | None = None
    shape: OutputShape | None = None
    counts: FloatArray | None = None  # (n, n_positions)
    chosen: str = ""  # how the layer was found

    @property
    def used(self) -> int | None:
        """Number of samples, if these are not all."""
        return None if self.rows is None else self.n


@dataclass(frozen=True)
class Output(Estimator):
    """Information and calibration of the predictions, of the layer of the logits alone.

    A prediction drawn from the soft-max is a random variable, so its information is finite and
    needs no bins. `output_entropy` is H(Y^|X), the mean entropy of a prediction; `ixy` is I(X;Y^)
    = H(mean p) - mean H(p), `ixy_given_y` the same within each class. `ity_bound` is H(Y) less the
    cross-entropy, a lower bound of I(T;Y) of every layer. `ece` is the calibration error,
    `ece_debiased` what is left of it without chance. `output_divergence` is the mean Jensen-Shannon
    divergence from the predictions at the recorded step before. Logits of several positions, as of
    a language model, count position by position, and are compared with no labels.

    Parameters
    ----------
    layer : str, optional
        Name of the layer of the logits. By default the one that has the role; or in
        runs without roles the last layer, if it is linear and has an output for every class.
    bins : int, default 15
        Bins of the confidence behind `ece`.
    max_samples : int, default 10000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    I(X;Y^) is of a prediction that is drawn, not of the logits, whose I(X;T) is infinite or log2 of
    the number of inputs. `ity_bound` of samples that the network was trained on says nothing of
    others: compare the splits.

    References
    ----------
    Ye et al.: "Bayes conditional distribution estimation for knowledge distillation based on
    conditional mutual information", ICLR 2024. Guo et al.: "On calibration of modern neural
    networks", ICML 2017. Kumar, Liang, Ma: "Verified uncertainty calibration", NeurIPS 2019.
    """

    layer: str | None = None
    bins: int = 15
    max_samples: int = 10_000

    name: ClassVar[str] = "output"
    title: ClassVar[str] = "outputs"
    quantities: ClassVar[tuple[Quantity, ...]] = OUTPUT
    shannon: ClassVar[bool] = False
    reads: ClassVar[Reads] = "consecutive"

    def __post_init__(self) -> None:
        self._expect(self.bins >= 1, "bins of at least 1", self.bins)
        self._expect(self.max_samples >= 2, "max_samples of at least 2", self.max_samples)

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing: what is prepared is made of the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs."""
        numbers = min(n_samples, self.max_samples) * n_units
        return Cost(2e-3 + 2e-7 * numbers, 2**27 + 100 * n_units)

    def left_out(self, quantity: str) -> str:
        """Return of what there is no row."""
        if quantity == "output_divergence":
            return "the first recorded step"
        if quantity in ("output_entropy", "ixy"):
            return ""
        return "runs without labels, or logits of several positions"

    def layers_of(self, run: RunData, layers: Sequence[Slot]) -> Sequence[Slot]:
        """Return the layer of the logits.

        Raises
        ------
        NotFoundError
            If there is none among the chosen ones.
        """
        if self.layer is not None:
            return [self._named(self.layer, layers)]
        if of_role := [one for one in run.layers if "logits" in one.roles]:
            found = [one for one in layers if one.name == of_role[0].name]
            if not found:
                raise NotFoundError(
                    f"{self.name}: the layer of the logits, {of_role[0].name!r}, is not chosen",
                    hint="leave --layers out, or add it",
                )
            return found
        labels, last = run.probe.labels, run.layers[-1]
        n_classes = 1 if labels is None else int(labels.max(initial=0)) + 1
        if is_linear_type(last.type) and wide_enough(last, n_classes) and last in layers:
            return [last]
        why = (
            f"the last layer, {last.name!r}, is not chosen" if last not in layers
            else f"the last layer, {last.name!r}, is of class {last.type}"
            if not is_linear_type(last.type)
            else f"the last layer, {last.name!r}, has {last.shape[-1]} outputs for {n_classes} "
            "classes"
        )  # fmt: skip
        raise NotFoundError(
            f"{self.name}: no layer is known to hold the logits, and {why}",
            hint=f"-e {self.name}:layer=NAME, of {some_of([one.name for one in layers])}; or "
            "record the layer that the model returns",
        )

    def _named(self, wanted: str, layers: Sequence[Slot]) -> Slot:
        for one in layers:
            if one.name == wanted:
                return one
        raise NotFoundError(
            f"{self.name}: no chosen layer is called {wanted!r}, which is to hold the logits",
            hint=f"layers: {some_of([one.name for one in layers])}",
        )

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> PredictedSamples:
        """Choose the samples.

        Raises
        ------
        EstimationError
            If the network predicts real targets.
        """
        probe = run.probe
        if probe.targets is not None:
            raise EstimationError(
                "expected class ids, got real targets: their predictions are no distributions"
            )
        labels, n, rows = probe.labels, probe.n_samples, None
        if n > self.max_samples:
            classes = None if labels is None else row_symbols(labels[:, None])
            rows = stratified(classes, n, self.max_samples, rng)
            labels = None if labels is None else labels[rows]
        return PredictedSamples(n if rows is None else len(rows), rows, labels)

    def prepare_layer(
        self, shared: PredictedSamples, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> PredictedSamples:
        """Find out where outputs and positions stand, and which positions count.

        Raises
        ------
        EstimationError
            If the layer holds no logits.
        """
        how = "by its name" if self.layer is not None else "by its role"
        if self.layer is None and "logits" not in layer.roles:
            how = _GUESSED
        shape = OutputShape.of(layer)
        counts = None
        if layer.mask is not None and shape.positions > 1 and layer.reduction == "none":
            counts = _counted(layer.mask, run.probe, shape.positions)
            counts = counts if shared.rows is None else counts[shared.rows]
        return replace(shared, layer=layer, shape=shape, counts=counts, chosen=how)

    def estimate(
        self, prepared: PredictedSamples, activations: Any, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return what the outputs of one step say, or why it cannot be told what they are."""
        given = activations if isinstance(activations, Consecutive) else Consecutive(activations)
        try:
            cell = _Cell.of(prepared, rows_of(given.now, prepared.rows))
        except EstimationError as unfit:
            return self.failed(str(unfit))
        found = {
            "output_entropy": cell.entropy(),
            "ixy": cell.information(),
        }
        if prepared.labels is not None and cell.shape.positions == 1:
            found |= cell.of_labels(prepared.labels, self.bins)
        if given.before is not None:
            before = rows_of(given.before, prepared.rows)
            found["output_divergence"] = cell.divergence(before, given.step_before)
        return found


@dataclass(frozen=True, eq=False)
class _Cell:
    """The predictions of one cell, and what is to be said of all that is made of them."""

    samples: PredictedSamples
    shape: OutputShape
    values: Array  # (n, n_units)
    kind: OutputKind
    predicted: Predictions
    about: Mapping[str, Any]

    @classmethod
    def of(cls, samples: PredictedSamples, values: Array) -> _Cell:
        assert samples.shape is not None
        assert samples.layer is not None
        shape = samples.shape
        kind = kind_of(values, shape, samples.layer.type)
        predicted = predictions(values, shape, kind, samples.counts)
        about = {
            "layer": f"{samples.layer.name} {samples.chosen}",
            "values": kind,
            "outputs": predicted.shape[2],
        }
        if shape.positions > 1:
            about["positions"] = int(predicted.weights().sum())
        return cls(samples, shape, values, kind, predicted, about)

    @property
    def n(self) -> int:
        """Number of distributions."""
        return int(self.predicted.weights().sum())

    @property
    def ceiling(self) -> float:
        """Log2 of the number of outputs."""
        return math.log2(self.predicted.shape[2])

    def entropy(self) -> Estimate:
        return self._estimate(self.predicted.entropy(), (0.0, self.ceiling, "log2_k"))

    def information(self) -> Estimate:
        most = math.log2(self.n)
        bound: BoundName = "log2_n" if most < self.ceiling else "log2_k"
        found = self.predicted.information()
        saturated = is_saturated(found.value, most)
        return self._estimate(found, (0.0, min(most, self.ceiling), bound), saturated=saturated)

    def of_labels(self, labels: IntArray, bins: int) -> dict[str, Estimate]:
        """Return what the labels tell of the outputs, those of -100 passed over."""
        names = ("ixy_given_y", "ity_bound", "ece", "ece_debiased")
        known = labels != IGNORED
        if reason := unfit_labels(labels[known], self.predicted.shape[2]):
            return dict.fromkeys(names, self._without(reason))
        if known.all():
            return self._of_known(labels, bins)
        values = rows_of(self.values, np.flatnonzero(known))
        some = predictions(values, self.shape, self.kind, None)
        about = {**self.about, "ignored": int((~known).sum())}
        cell = replace(self, values=values, predicted=some, about=about)
        return cell._of_known(labels[known], bins)

    def _of_known(self, labels: IntArray, bins: int) -> dict[str, Estimate]:
        classes, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
        n, at = len(labels), at.reshape(-1)
        best, confidence = self.predicted.top()
        accuracy, matched = float((best == labels).mean()), _matched(best, at)
        strange = np.isin(best, classes, invert=True).mean() > _OTHERS
        turned = matched > _OTHERS and accuracy < matched / 2
        more = ["other_labels"] * bool(strange or turned)
        known = {"classes": len(classes), "accuracy": accuracy, "matched": matched}
        cell = replace(self, about={**self.about, **known})
        within = float(counts @ np.log2(counts)) / n
        given: tuple[float, float, BoundName] = (0.0, cell.ceiling, "log2_k")
        if within < cell.ceiling:
            given = (0.0, within, "log2_n_c")
        info = cell.predicted.information_given(at)
        h_y = math.log2(n) - within
        bound = label_bound(cell.predicted.of_labels(labels), labels)
        calibrated = calibration(confidence, best == labels, bins)
        few = ["small_n"] * bool(counts.min() == 1)
        return {
            "ixy_given_y": cell._estimate(
                info, given, [*more, *few], saturated=is_saturated(info.value, within)
            ),
            "ity_bound": cell._estimate(
                bound, (None, h_y, "h_y"), more, diagnostics={"is": "lower bound", "h_y": h_y}
            ),
            **cell._calibrated(calibrated, bins, more),
        }

    def _calibrated(
        self, found: Calibration, bins: int, flags: Sequence[str]
    ) -> dict[str, Estimate]:
        near = found.ece <= found.null + NORMAL_QUANTILE * found.null_sd
        told = {"bins": bins, "null": found.null, "null_sd": found.null_sd}
        raised = [*flags, *(["within_null"] * near)]
        return {
            "ece": self._estimate(
                Mean(found.ece, found.error), (0.0, 1.0, "none"), raised, diagnostics=told
            ),
            "ece_debiased": self._estimate(
                Mean(found.debiased, found.error), (None, 1.0, "none"), raised, diagnostics=told
            ),
        }

    def divergence(self, before: Array, step: int | None) -> Estimate:
        """Return how far the predictions are from those of the step before."""
        assert self.samples.layer is not None
        kind = kind_of(before, self.shape, self.samples.layer.type)
        other = predictions(before, self.shape, kind, self.samples.counts)
        return self._estimate(
            self.predicted.divergence(other), (0.0, 1.0, "none"), diagnostics={"from_step": step}
        )

    def _estimate(
        self,
        found: Mean,
        bounds: tuple[float | None, float, BoundName],
        flags: Sequence[str] = (),
        *,
        saturated: bool = False,
        diagnostics: Mapping[str, Any] | None = None,
    ) -> Estimate:
        n, known = self.predicted.shape[0], math.isfinite(found.error)
        reach = NORMAL_QUANTILE * found.error if known else None
        raised = [*flags, *(["saturated"] * saturated), *(["negative"] * is_negative(found.value))]
        raised += ["biased"] * (abs(found.bias) > noticeable(found.value))
        raised += ["role_unknown"] * (self.samples.chosen == _GUESSED)
        raised += ["small_n"] * (n < _FEWEST) + ["subsampled"] * (self.samples.rows is not None)
        corrected = {"bias": found.bias, "plug_in": found.value + found.bias} if found.bias else {}
        return Estimate(
            found.value,
            low=None if reach is None else found.value - reach,
            high=None if reach is None else found.value + reach,
            method="none" if reach is None else "analytic",
            level=None if reach is None else LEVEL,
            bound_low=bounds[0],
            bound_high=bounds[1],
            bound_name=bounds[2],
            n=self.samples.used,
            flags=tuple(dict.fromkeys(raised)),
            diagnostics={**self.about, **corrected, **(diagnostics or {})},
        )

    def _without(self, reason: str) -> Estimate:
        return Estimate(
            None, n=self.samples.used, flags=("failed",),
            diagnostics={**self.about, "reason": reason},
        )  # fmt: skip


def _matched(best: IntArray, labels: IntArray) -> float:
    """Return the accuracy if each output stood for the label that it is given to most often."""
    outputs, at = np.unique(best, return_inverse=True)
    counts = np.zeros((len(outputs), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (at.reshape(-1), labels), 1)
    return float(counts.max(axis=1).sum()) / len(labels)


def _counted(mask: str, probe: ProbeSet, positions: int) -> FloatArray:
    """Return 1 where a sample has a token and 0 where it has none (n_samples, n_positions).

    ``!NAME`` is a mask that marks padding; one of floats holds 0 for tokens and very low numbers.

    Raises
    ------
    EstimationError
        If the probe set has no such mask, or another number of positions.
    """
    name = mask.removeprefix("!")
    values = probe.arguments.get(name)
    if values is None:
        raise EstimationError(f"expected the mask {name!r} of the tokens in the probe set")
    additive = values.dtype.kind == "f" and bool((values < 0).any())
    real = (values == 0) if additive or mask.startswith("!") else (values != 0)
    if real.ndim > 2:
        real = real.reshape(len(real), -1, real.shape[-1]).any(axis=1)
    if real.shape[1] != positions:
        raise EstimationError(
            f"expected the mask {name!r} of {positions} positions, got {real.shape[1]}"
        )
    return np.asarray(real, dtype=np.float64)

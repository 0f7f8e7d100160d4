"""The loss log of a single pass: excess bits, sharpness, and a power law with a floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from infoplane.data import Array, FloatArray
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost, Estimator, Reads
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import LOSSES, Quantity
from infoplane.estimators.trust import LEVEL, NORMAL_QUANTILE, SMALLEST_SHARE
from infoplane.numerics.loss_curves import (
    FEWEST,
    Excess,
    PowerLawFit,
    excess,
    fit_power_law,
    sharpness,
)
from infoplane.step_record import LossLog, StepRecord

EXCESS, SHARPNESS, EXPONENT, FLOOR = (quantity.name for quantity in LOSSES)

_BITS = 1.0 / math.log(2)
_EXPLAINED = 0.9  # share of the curve's variance over log t that a power law leaves no doubt of
_LATE = 2.0  # times the distance between entries: a first one beyond that is not the beginning


@dataclass(frozen=True)
class Prequential(Estimator):
    """What a training spends beyond its final loss, and the shape of its loss curve.

    `prequential_excess_bits` is the area between the loss and its final value over the training
    tokens: the part of a prequential code of the data that is not the final loss. `loss_sharpness`
    is the largest share of the fall within a tenth of the tokens. `loss_floor` and `loss_exponent`
    are those of the fit L = floor + A t^-exponent. The value at a step is of the log up to it.

    Parameters
    ----------
    tail : float, default 0.05
        Share of the tokens at the end whose mean loss is the final one; 0 takes the last loss.

    Raises
    ------
    InputError
        If the share is not below 1.

    Warnings
    --------
    Excess bits are a code length only in the first pass over the data: a step in a later epoch is
    refused. One training gives one number, not an epiplexity. Every 0.01 nat in the final loss is
    0.014 bits for every token. Without tokens in the log each step counts as one.

    References
    ----------
    Dawid, Journal of the Royal Statistical Society A 147, 1984 (prequential). Hestness et al.:
    "Deep learning scaling is predictable, empirically", 2017 (power law with a floor).
    """

    tail: float = 0.05

    name: ClassVar[str] = "prequential"
    title: ClassVar[str] = "loss curve"
    quantities: ClassVar[tuple[Quantity, ...]] = LOSSES
    subject = "run"
    shannon: ClassVar[bool] = False
    reads: ClassVar[Reads] = "step"
    version: ClassVar[str] = "2"

    def __post_init__(self) -> None:
        self._expect(0.0 <= self.tail < 1.0, "tail from 0 to below 1", self.tail)

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs, whatever the samples are."""
        return Cost(0.1, 2**26)

    def absent(self, record: StepRecord) -> str:
        """Return how few losses were logged."""
        if len(record.log) >= FEWEST:
            return ""
        found = f"found {len(record.log)}" if len(record.log) else "none were logged"
        return (
            f"expected a log of at least {FEWEST} losses, {found}; Recorder.log or --log keeps it"
        )

    def estimate(
        self,
        prepared: None,
        activations: Array | StepRecord,
        rng: np.random.Generator,
    ) -> Mapping[str, Estimate]:
        """Return the estimates at one step; none where fewer than 10 losses are logged by then.

        Raises
        ------
        EstimationError
            If a loss is not finite, or the log ends before the step.
        """
        assert isinstance(activations, StepRecord)
        record, log = activations, activations.log
        if len(log) < FEWEST:
            return {}
        _check(log, record.step)
        counts, unit = log.counted()
        curve = excess(log.losses, counts, self.tail)
        told: dict[str, Any] = {
            "unit": unit,
            "losses": len(log),
            "first_step": int(log.steps[0]),
            "last": float(counts[-1]),
            "final": curve.final * _BITS,
            "final_error": None if curve.final_error is None else curve.final_error * _BITS,
        }
        setting = f"per {unit[:-1]}"
        fitted = fit_power_law(log.losses, counts, LEVEL)
        shape = sharpness(log.losses, counts, curve.final)
        told["missing"] = _missing(log, counts, curve)
        coarse = _is_coarse(log, told["missing"])
        return {
            EXCESS: self._excess(record, curve, counts, told, setting, coarse=coarse),
            SHARPNESS: _none("the loss does not fall")
            if shape is None
            else Estimate(
                shape,
                bound_low=0.0,
                diagnostics=told,
                setting=setting,
                flags=("coarse_log",) if coarse else (),
            ),
            **_fit(fitted, told, setting),
        }

    def _excess(
        self,
        record: StepRecord,
        curve: Excess,
        counts: FloatArray,
        told: Mapping[str, Any],
        setting: str,
        *,
        coarse: bool,
    ) -> Estimate:
        if record.epoch is not None and record.epoch > 1:
            return _none(
                f"epoch {record.epoch:g}: losses of a later pass are of samples that were seen"
            )
        log = record.log
        error = None if curve.error is None else NORMAL_QUANTILE * curve.error * _BITS
        bits = curve.area * _BITS
        every = np.union1d(np.arange(0, len(log), 2), len(log) - 1)
        half = excess(log.losses[every], counts[every], self.tail).area * _BITS
        span = float(counts[-1] - counts[0])
        of_final = NORMAL_QUANTILE * (curve.final_error or 0.0) * _BITS * span
        raised = {
            "partial_log": _begins_late(log),
            "coarse_log": coarse,
            "passes_unknown": record.epoch is None or record.epoch == 1,
            "no_tokens": told["unit"] != "tokens",
            "final_dominates": of_final > 0.5 * abs(bits),
            "negative": bits < 0,
        }
        return Estimate(
            bits,
            low=None if error is None else bits - error,
            high=None if error is None else bits + error,
            method="none" if error is None else "analytic",
            level=None if error is None else LEVEL,
            flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
            diagnostics={**told, "at_half": half, "span": span, "n_final": curve.n_final},
            setting=setting,
        )


def _check(log: LossLog, step: int) -> None:
    bad = np.flatnonzero(~np.isfinite(log.losses))
    if len(bad):
        raise EstimationError(
            f"the loss is NaN or inf at {len(bad)} of {len(log)} steps, at step "
            f"{log.steps[bad[0]]} first"
        )
    if log.has_tokens and (np.diff(log.tokens) <= 0).any():
        at = int(log.steps[1:][np.diff(log.tokens) <= 0][0])
        raise EstimationError(
            f"the tokens of the log do not rise at step {at}: expected all that were trained on so "
            "far, not those of one batch"
        )
    gap = float(np.median(np.diff(log.steps)))
    if log.steps[-1] + _LATE * gap < step:
        raise EstimationError(f"the log ends at step {log.steps[-1]}")


def _missing(log: LossLog, counts: FloatArray, curve: Excess) -> float | None:
    """Return the share of the area that lies between entries with steps missing between them."""
    middles = 0.5 * (log.losses[1:] + log.losses[:-1]) - curve.final
    areas = np.abs(np.diff(counts) * middles)
    total = float(areas.sum())
    return float(areas[np.diff(log.steps) > 1].sum()) / total if total > 0 else None


def _is_coarse(log: LossLog, missing: float | None) -> bool:
    """Tell whether steps are missing: most of them, or those of a part that counts."""
    return float(np.median(np.diff(log.steps))) > 1 or (missing or 0.0) > SMALLEST_SHARE


def _begins_late(log: LossLog) -> bool:
    """Tell whether the first steps are missing: more of them than between two entries."""
    return bool(log.steps[0] > _LATE * float(np.median(np.diff(log.steps[:FEWEST]))))


def _fit(found: PowerLawFit | None, told: Mapping[str, Any], setting: str) -> dict[str, Estimate]:
    if found is None:
        return dict.fromkeys((EXPONENT, FLOOR), _none("no falling power law fits the curve"))
    if found.at_end:
        ends = "the smallest or the largest exponent that was tried fits best"
        empty = Estimate(None, flags=("open_fit",), diagnostics={"reason": ends})
        return dict.fromkeys((EXPONENT, FLOOR), empty)
    told = {
        **told,
        "amplitude": found.amplitude * _BITS,
        "exponent": found.exponent,
        "floor": found.floor * _BITS,
        "deviation": found.deviation * _BITS,
        "explained": found.explained,
    }
    raised = {"open_fit": found.open_ended, "poor_fit": found.explained < _EXPLAINED}
    flags = tuple(flag for flag, is_raised in raised.items() if is_raised)
    return {
        name: Estimate(
            value * scale, low=low * scale, high=high * scale, method="analytic", level=LEVEL,
            flags=flags, diagnostics=told, setting=setting,
        )
        for name, value, low, high, scale in (
            (EXPONENT, found.exponent, found.exponent_low, found.exponent_high, 1.0),
            (FLOOR, found.floor, found.floor_low, found.floor_high, _BITS),
        )
    }  # fmt: skip


def _none(reason: str) -> Estimate:
    return Estimate(None, flags=("failed",), diagnostics={"reason": reason})

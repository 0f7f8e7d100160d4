"""What estimators of representations share: the samples, and a value beside its null.

The null of a measure is what it reads of data without the structure that it is about, of as many
samples and units: of independent normal units, or with shuffled labels. A rank of 50 means nothing
before one knows that noise has 93.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.data import IntArray, RunData
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.trust import LEVEL, SMALLEST_SHARE
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.intervals import CHANCE, interval_of_halves
from infoplane.numerics.kernels.mixtures import stratified

FEWEST = 3
"""Samples below which nothing of this is measured."""

FEWEST_TO_HALVE = 8
"""Samples below which a value gets no interval."""


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """The samples that all cells of a run use."""

    n: int
    rows: IntArray | None  # ascending; None for all
    labels: IntArray | None  # of these samples, 0, 1, ...
    classes: IntArray | None = None  # the ids that these stand for

    @classmethod
    def of(cls, run: RunData, most: int, rng: np.random.Generator) -> ChosenSamples:
        """Choose at most so many samples of a run, each class in its share."""
        probe, rows = run.probe, None
        classes = None if probe.labels is None else row_symbols(probe.labels[:, None])
        if probe.n_samples > most:
            rows = stratified(classes, probe.n_samples, most, rng)
        labels = ids = None
        if probe.labels is not None:
            kept = probe.labels if rows is None else probe.labels[rows]
            ids, labels = np.unique(kept, return_inverse=True)
            labels = labels.reshape(-1)
        return cls(probe.n_samples if rows is None else most, rows, labels, ids)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is to be said of every value."""
        return () if self.rows is None else ("subsampled",)

    @property
    def used(self) -> int | None:
        """Number of samples, if these are not all."""
        return None if self.rows is None else self.n


class OfRepresentation(Estimator):
    """An estimator of a layer alone, from some samples, its intervals from halves of these."""

    halves: int
    max_samples: int

    shannon: ClassVar[bool] = False

    def _check_samples(self, fewest: int = FEWEST) -> None:
        """Refuse numbers of halves and samples that are none."""
        self._expect(self.halves == 0 or self.halves >= 2, "halves of 0 or 2 and more", self.halves)
        told = f"max_samples of at least {fewest}"
        self._expect(self.max_samples >= fewest, told, self.max_samples)

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing: what is prepared is made of the probe set, or the shape of a layer."""
        return "nothing"

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> ChosenSamples:
        """Choose the samples."""
        return ChosenSamples.of(run, self.max_samples, rng)


@dataclass(frozen=True)
class Null:
    """What a measure reads without the structure it is about: mean and spread of some draws.

    That of a quotient is a geometric mean, and ``sd`` that of logarithms: shuffled labels can read
    100 or 1000.
    """

    mean: float
    sd: float
    quotient: bool = False

    @classmethod
    def of(cls, values: Iterable[float], *, quotient: bool = False) -> Null | None:
        """Return the null of values, which are above 0 for a quotient; None without any."""
        found = np.array([value for value in values if math.isfinite(value)])
        if quotient:
            found = np.log(found[found > 0.0])
        if not len(found):
            return None
        mean, sd = float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0.0
        return cls(math.exp(mean) if quotient else mean, sd, quotient)

    def is_near(self, value: float, error: float) -> bool:
        """Return whether a value is nearer than three standard errors of both."""
        if not self.quotient:
            slack = CHANCE * math.hypot(error, self.sd) + 1e-9 * abs(self.mean)
            return abs(value - self.mean) <= slack
        if value <= 0.0:
            return False
        return abs(math.log(value / self.mean)) <= CHANCE * math.hypot(error / value, self.sd)


def beside_null(
    value: float,
    halves: Iterable[float],
    null: Null | None,
    samples: ChosenSamples,
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    flags: Iterable[str] = (),
    diagnostics: Mapping[str, Any] | None = None,
    rate: float | None = None,
    error: float = 0.0,
) -> Estimate:
    """Return an estimate with the interval that random halves give, and its null.

    Parameters
    ----------
    value : float
        Of all samples.
    halves : iterable of float
        Of random halves; without two of them, or if one is NaN, there is no interval.
    null : Null or None
        A value nearer to its mean than three standard errors of both is flagged ``within_null``.
    samples : ChosenSamples
        The samples.
    bounds : tuple of (low, high)
        Which the measure cannot leave.
    flags : iterable of str
        What else is to be said.
    diagnostics : mapping, optional
        What else is to be known.
    rate : float, optional
        Power of the number of samples by which the bias falls. Where halves read so much more or
        less that it is above 5 %, and that is no chance, the value is flagged ``biased``.
    error : float
        Standard error by theory, below which that of the halves does not go.
    """
    parts = np.array(list(halves))
    interval = None
    if len(parts) > 1 and np.isfinite(parts).all():
        interval = interval_of_halves(value, parts, samples.n, least=error)
    raised = [*flags, *samples.flags]
    if interval is not None and rate is not None:
        chance = CHANCE * float(parts.std(ddof=1)) / math.sqrt(len(parts))
        least = SMALLEST_SHARE * abs(value)
        raised += ["biased"] * (abs(interval.drift) > chance and abs(interval.bias(rate)) > least)
    if null is not None:
        known = 0.0 if interval is None else interval.standard_error
        raised += ["within_null"] * null.is_near(value, known)
    return Estimate(
        value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        method="none" if interval is None else "subsample",
        level=None if interval is None else LEVEL,
        bound_low=bounds[0],
        bound_high=bounds[1],
        n=samples.used,
        flags=tuple(dict.fromkeys(raised)),
        diagnostics={
            "null": None if null is None else null.mean,
            "null_sd": None if null is None else null.sd,
            "half": None if interval is None else float(parts.mean()),
            **(diagnostics or {}),
        },
    )


def without_value(reason: str, samples: ChosenSamples, *flags: str) -> Estimate:
    """Return what stands for a value that cannot be given."""
    return Estimate(
        None,
        n=samples.used,
        flags=("failed", *flags, *samples.flags),
        diagnostics={"reason": reason},
    )

"""Fitting and compression: which layers change, from when, by how much, and how certain it is.

A layer *compresses* if its curve falls from its peak to the last checkpoint. The peak of a noisy
curve is always above the curve, so `last - max` is negative even where nothing happens: -0.24 bits
for a flat curve of 71 checkpoints with 0.1 bits of noise. The peak is therefore never chosen on the
data it is measured on:

- several runs: the peak of each run is read off at the step where the mean of the *other* runs
  peaks; the interval is Student's over runs (for two runs it comes from their jitter, and holds
  both);
- one run: the peak is chosen on every second checkpoint and measured on those between, both ways
  round; the interval comes from the jitter of the curve, or from the intervals of its cells where
  these are wider. It says nothing about other seeds;
- one run of fewer than six checkpoints: from the intervals of the cells, widened for the choice
  among the checkpoints; without them there is no interval, and no verdict.

``change`` is ``last - peak``, and the verdict is

=============  ==================================================================================
saturated      the last value, or more than half of them, is at its ceiling
compresses     the interval of the change is below 0 and reaches beyond the smallest change; with
               one or two runs the change itself is at least that
expands        the interval of last - first is above 0 and the rise at least the smallest change,
               and the layer does not fall from its peak
no_change      neither change nor rise can be more than the smallest change
inconclusive   none of these
=============  ==================================================================================

The smallest change that counts is that of the quantity (0.25 bits for information), or 5 % of the
bound where that is less; in a single run at least three times its jitter. The words are those of
I(X;T); a quantity has its own word for a fall (I(T;Y) "falls").
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from infoplane.calls import document_of
from infoplane.data import FloatArray, IntArray
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import QUANTITIES, Quantity
from infoplane.estimators.trust import SMALLEST_ERROR, SMALLEST_SHARE, UPPER
from infoplane.numerics.quantiles import normal_quantile, student_quantile
from infoplane.results.curves import CurveKey, Curves, curves
from infoplane.seeding import generator

VERDICTS = ("compresses", "no_change", "expands", "inconclusive", "saturated")
"""The verdicts on a curve, by the words for I(X;T)."""

_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Phase:
    """One verdict, on one curve: an entry of ``phases`` of the results document.

    Values are in the unit of the quantity. What an older document does not say has its default.
    """

    group: str
    layer: str
    estimator: str
    quantity: str
    unit: str = "bits"
    family: str | None = None  # of the quantity
    n_runs: int = 1
    onset_step: int | None = None  # last step of the plateau around the peak
    onset_low: int | None = None
    onset_high: int | None = None
    first: float | None = None
    peak: float | None = None  # on other data than it was chosen on
    last: float | None = None
    change: float | None = None  # last - peak
    change_low: float | None = None
    change_high: float | None = None
    verdict: str = "inconclusive"
    interval: str = "none"  # where it comes from: runs, jitter, cells or none
    score: float | None = None  # change as a share of the peak; positive: compresses
    tolerance: float = 0.25  # smallest change that counts
    agree: int = 0  # estimators that share the verdict,
    of: int = 0  # of those that are not saturated

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Phase:
        """Return an entry of ``phases``; members that are not known here are left out."""
        return cls(**{name: entry[name] for name in cls.__dataclass_fields__ if name in entry})

    @property
    def key(self) -> CurveKey:
        """The key of its curve."""
        return self.group, self.layer, self.estimator, self.quantity

    @property
    def saturated(self) -> bool:
        """Whether the curve is at the ceiling of its estimator."""
        return self.verdict == "saturated"

    @property
    def voters(self) -> str:
        """What is counted together with it: the family of its quantity, or the quantity alone."""
        known = QUANTITIES.get(self.quantity)
        return str(self.family or (known and known.family) or f"{self.quantity} alone")


def find_phases(
    results: Mapping[str, Any], *, seed: int = 0, drawn: Mapping[CurveKey, Curves] | None = None
) -> list[dict[str, Any]]:
    """Return one verdict per group, layer, estimator and quantity.

    Parameters
    ----------
    results : mapping
        A results document; ``recordings``, ``estimators`` and ``rows`` are read.
    seed : int, default 0
        Seed of the resampling that gives the interval of the onset.
    drawn : mapping, optional
        The curves of the document, if they are made already.

    Returns
    -------
    list of dict
        The ``phases`` of the results document, each with the members of a `Phase`. ``agree`` of
        ``of`` estimators that are not saturated share the verdict; settings of one estimator
        count as one, and only if they all share it.

    Examples
    --------
    >>> phases = infoplane.find_phases(infoplane.load("results.json"))
    >>> [phase["layer"] for phase in phases if phase["quantity"] == "ixt"]
    ['1', '3']
    """
    made = curves(document_of(results, "results")) if drawn is None else drawn
    phases = [_phase(curve, seed) for curve in made.values() if curve.declared.verdict]
    cells: dict[tuple[str, str, str], list[Phase]] = defaultdict(list)
    for phase in phases:
        cells[phase.group, phase.layer, phase.voters].append(phase)
    votes = {key: _votes(same) for key, same in cells.items()}
    together = [votes[phase.group, phase.layer, phase.voters] for phase in phases]
    return [
        asdict(replace(phase, agree=vote[phase.verdict], of=vote.total()))
        for phase, vote in zip(phases, together, strict=True)
    ]


@dataclass(frozen=True)
class LayerVerdict:
    """What the estimators say together about the size of a layer (I(X;T) and DSE)."""

    verdict: str
    agree: int
    of: int


def layer_verdicts(
    phases: Iterable[Mapping[str, Any] | Phase],
) -> dict[tuple[str, str], LayerVerdict]:
    """Return the joint verdict per group and layer, over I(X;T) and DSE of all estimators.

    It is the verdict of more than half of the estimators that are not saturated, and of at least
    two where there are two; else ``inconclusive``, and ``agree`` counts the largest party that
    came to a conclusion. Layers that are saturated in every estimator are ``saturated``.
    """
    cells: dict[tuple[str, str], list[Phase]] = defaultdict(list)
    for entry in phases:
        phase = entry if isinstance(entry, Phase) else Phase.of_entry(entry)
        if phase.voters == "size":
            cells[phase.group, phase.layer].append(phase)
    verdicts = {}
    for key, same in cells.items():
        votes = _votes(same)
        if not votes:
            verdicts[key] = LayerVerdict("saturated", 0, 0)
            continue
        total = votes.total()
        del votes["inconclusive"]
        verdict, agree = max(votes.items(), key=lambda vote: vote[1], default=("inconclusive", 0))
        if agree < min(2, total) or 2 * agree <= total:
            verdict = "inconclusive"
        verdicts[key] = LayerVerdict(verdict, agree, total)
    return verdicts


def run_changes(curve: Curves) -> dict[str, float]:
    """Return last - peak of each run in bits, the peak of a run chosen on the other runs.

    Runs that do not span the training are left out; there is nothing below two common checkpoints.
    """
    runs, values, steps = _comparable(curve)
    if not runs or len(steps) < 2:
        return {}
    peaks, _, _ = _held_out_peaks(curve, values, steps, 0.0)
    return dict(zip(runs, (values[:, -1] - peaks).tolist(), strict=True))


def family_of(phase: Mapping[str, Any]) -> str:
    """Return what is counted together with a phase: its family, or its quantity alone."""
    return Phase.of_entry(phase).voters


def smallest_change(
    quantity: Quantity, bound: float | None, values: FloatArray | Sequence[float] = ()
) -> float:
    """Return the smallest change of a curve that counts, in its unit.

    Parameters
    ----------
    quantity : Quantity
        What the curve is of.
    bound : float or None
        Its upper bound.
    values : array
        The curve, for a quantity that has neither a bound nor a smallest change of its own: 5 % of
        its largest absolute value count.
    """
    own = math.inf if quantity.smallest_change is None else quantity.smallest_change
    if bound is not None and bound > 0:
        return min(own, SMALLEST_SHARE * bound)
    if quantity.smallest_change is not None:
        return own
    finite = np.abs(np.asarray(values, dtype=float))
    return SMALLEST_SHARE * float(finite[np.isfinite(finite)].max(initial=0.0))


def jitter(values: FloatArray) -> float:
    """Return the noise of a curve (n_steps,) in bits, from its second differences.

    1.4826 times their median absolute value over sqrt(6): the standard deviation of independent
    noise on a curve that bends little between checkpoints. 0 below 4 checkpoints.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 4:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(finite, n=2))) / np.sqrt(6.0))


def _votes(phases: Iterable[Phase]) -> Counter[str]:
    """Count estimators per verdict; settings that disagree make their estimator inconclusive."""
    by_name: dict[str, set[str]] = defaultdict(set)
    for phase in phases:
        if not phase.saturated:
            by_name[MeasureId.read(phase.estimator).name].add(phase.verdict)
    return Counter(v.pop() if len(v) == 1 else "inconclusive" for v in by_name.values())


def _median3(values: FloatArray) -> FloatArray:
    """Running median of three along the last axis; the ends are kept."""
    if values.shape[-1] < 3:
        return values
    smooth = values.copy()
    smooth[..., 1:-1] = np.median(
        np.stack([values[..., :-2], values[..., 1:-1], values[..., 2:]]), axis=0
    )
    return smooth


def _comparable(curve: Curves) -> tuple[list[str], FloatArray, IntArray]:
    """Return runs that span the training, their values (n_runs, n_steps), and the common steps.

    A run that misses more than a tenth of the time (log scale) at either end, because it stopped
    early or its cells failed, is left out: its last value is not that of the others.
    """
    runs = [r for r, row in zip(curve.runs, curve.values, strict=True) if np.isfinite(row).any()]
    values, time = curve.filled(), curve.time
    if not runs:
        return [], values, curve.steps
    there = np.isfinite(values)
    spans = np.array([time[row][[0, -1]] for row in there])
    start, end = spans[:, 0].min(), spans[:, 1].max()
    slack = 0.1 * (end - start)
    keep = (spans[:, 0] <= start + slack) & (spans[:, 1] >= end - slack)
    if not keep.any():
        keep[:] = True
    common = there[keep].all(axis=0)
    kept = [runs[i] for i in np.flatnonzero(keep)]
    return kept, values[keep][:, common], curve.steps[common]


def _phase(curve: Curves, seed: int) -> Phase:
    runs, complete, steps = _comparable(curve)
    first = peak = last = change = None
    rise: tuple[float | None, float | None, float | None] = (None, None, None)
    low = high = None
    interval, noise = "none", 0.0
    if complete.size:
        first, last = float(complete[:, 0].mean()), float(complete[:, -1].mean())
        # of the values themselves: those interpolated over gaps have no noise of their own
        noise = float(np.mean([jitter(curve.values[curve.runs.index(run)]) for run in runs]))
        peaks, half, interval = _held_out_peaks(curve, complete, steps, noise)
        peak = float(peaks.mean())
        if complete.shape[1] > 1:
            changes, rises = complete[:, -1] - peaks, complete[:, -1] - complete[:, 0]
            change = float(changes.mean())
            if interval != "none":
                low, high = _interval(changes, half)
                rise = (float(rises.mean()), *_interval(rises, half))
    tolerance = smallest_change(curve.declared, curve.bound, curve.values)
    if len(complete) == 1:
        tolerance = max(tolerance, 3 * noise)
    reach = change if len(complete) < 3 else low
    verdict = _verdict(reach, low, high, rise, tolerance)
    if curve.is_saturated:
        verdict = "saturated"
    falls = high is not None and high < 0 and verdict in ("compresses", "inconclusive")
    onset = _onset(curve, complete, steps, noise, seed) if falls else (None, None, None)
    return Phase(
        group=curve.group,
        layer=curve.layer,
        estimator=curve.estimator,
        quantity=curve.quantity,
        unit=curve.declared.unit,
        family=curve.declared.family,
        n_runs=len(runs),
        onset_step=onset[0],
        onset_low=onset[1],
        onset_high=onset[2],
        first=first,
        peak=peak,
        last=last,
        change=change,
        change_low=low,
        change_high=high,
        verdict=verdict,
        interval=interval,
        score=-change / peak if change is not None and peak is not None and peak > 0 else None,
        tolerance=tolerance,
    )


def _held_out_peaks(
    curve: Curves, values: FloatArray, steps: IntArray, noise: float
) -> tuple[FloatArray, float, str]:
    """Return the peak of each run (n_runs,), the half width of an interval, and its origin.

    Half the width counts for one or two runs; from three runs on the interval is Student's.
    """
    n_runs, n_steps = values.shape
    time = np.log10(steps + 1.0)
    cell = _cell_noise(curve, steps)
    if n_runs > 1:
        others = (values.sum(axis=0) - values) / (n_runs - 1)
        at = _median3(others).argmax(axis=1)
        half = float(normal_quantile(UPPER) * max(noise, cell) * np.sqrt(1.5 / n_runs))
        return values[np.arange(n_runs), at], half, "runs" if n_runs > 2 else "jitter"
    if n_steps >= 6:
        halves = [np.arange(start, n_steps, 2) for start in (0, 1)]
        found = []
        for chosen, measured in (halves, halves[::-1]):
            at = chosen[_median3(values[0, chosen]).argmax()]
            found.append(np.interp(time[at], time[measured], values[0, measured]))
        half = float(student_quantile(n_steps - 2, UPPER) * max(noise, cell) * np.sqrt(1.5))
        return np.array([np.mean(found)]), half, "cells" if cell > noise else "jitter"
    half = float(normal_quantile(1 - 0.025 / n_steps) * cell * np.sqrt(2.0))
    return values.max(axis=1), half, "cells" if cell > 0 and n_steps > 1 else "none"


def _cell_noise(curve: Curves, steps: IntArray) -> float:
    """Standard error of a cell, from the median of the 95 % intervals of the cells; 0 without."""
    width = (curve.high - curve.low)[:, np.isin(curve.steps, steps)]
    width = width[np.isfinite(width)]
    return float(np.median(width) / (2 * normal_quantile(UPPER))) if width.size else 0.0


def _interval(values: FloatArray, half: float) -> tuple[float, float]:
    """Interval (95 %) of the mean of one value per run."""
    mean = float(values.mean())
    if len(values) > 2:
        error = values.std(ddof=1) / np.sqrt(len(values))
        half = float(student_quantile(len(values) - 1, UPPER) * error)
        return mean - half, mean + half
    return min(mean - half, float(values.min())), max(mean + half, float(values.max()))


def _verdict(
    reach: float | None,
    low: float | None,
    high: float | None,
    rise: tuple[float | None, float | None, float | None],
    tolerance: float,
) -> str:
    up, up_low, up_high = rise
    if reach is None or low is None or high is None:
        return "inconclusive"
    assert up is not None
    assert up_low is not None
    assert up_high is not None
    if high < 0 and reach <= -tolerance:
        return "compresses"
    if low <= -tolerance:
        return "inconclusive"
    if up_low > 0 and up >= tolerance:
        return "expands"
    return "no_change" if up_high < tolerance and high < tolerance else "inconclusive"


def _onset(
    curve: Curves, values: FloatArray, steps: IntArray, noise: float, seed: int
) -> tuple[int, int, int]:
    """Return the last step of the plateau around the peak of the mean curve, and its interval.

    The plateau is what lies within two jitters (of the mean), or 0.02 bits, of the peak; in another
    unit, within 8 % of the smallest change, which is as much. The
    interval resamples the runs, or adds the jitter to a single run.
    """
    rng = generator(seed, "onset", curve.group, curve.layer, curve.estimator, curve.quantity)
    n_runs = len(values)
    about, least = curve.declared, SMALLEST_ERROR
    if about.unit != "bits":
        least = 0.08 * smallest_change(about, curve.bound, curve.values)
    slack = max(2 * noise / np.sqrt(n_runs), least)
    if n_runs > 1:
        weights = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=_RESAMPLES) / n_runs
        again = weights @ values
    else:
        again = values + rng.normal(0.0, noise, size=(_RESAMPLES, values.shape[1]))
    smooth = _median3(np.vstack([values.mean(axis=0), again]))
    peak = smooth.argmax(axis=1)
    below = smooth < smooth.max(axis=1, keepdims=True) - slack
    below &= np.arange(len(steps)) > peak[:, None]
    ends = np.where(below.any(axis=1), below.argmax(axis=1) - 1, len(steps) - 1)
    low, high = np.percentile(ends[1:], [2.5, 97.5], method="nearest")
    return int(steps[ends[0]]), int(steps[low]), int(steps[high])

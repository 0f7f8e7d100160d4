"""What happened in each layer: segments, a sentence and a verdict per curve, and how certain it is.

A curve is told as monotone segments (`infoplane.results.segments`); the verdict, one of
`infoplane.results.verdicts`, follows from the movements that are certain and reach the smallest
change.

The smallest change that counts is that of the quantity (0.25 bits for information), or 5 % of the
bound where that is less; of a quantity without its own, 5 % of the bound or of the largest value,
whichever is less. In a single run it is at least three times the jitter.

With one or two runs a verdict is about these runs; about the network it is then inconclusive. It is
withheld where most cells carry a flag that says not to trust them, where runs were measured under
different settings, and where another noise level says the contrary.

``peak`` is the highest end of a movement, read in each run where the *other* runs have it: the
highest of many noisy values is always above the curve, so `last - max` of a flat curve of 71
checkpoints with 0.1 bits of noise is -0.24 bits. Where nothing moves it is the first value. It is
never below the first value. ``change`` is ``last - peak``, ``rise`` is ``last - first``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from infoplane.calls import document_of
from infoplane.data import FloatArray, IntArray
from infoplane.estimators.quantities import Quantity
from infoplane.estimators.trust import SMALLEST_ERROR, SMALLEST_SHARE, UPPER
from infoplane.numerics.quantiles import normal_quantile
from infoplane.results.curves import CurveKey, Curves, curves
from infoplane.results.segments import Course, Samples, Segment, amount, course, jitter, named
from infoplane.results.segments import parts as segment_parts
from infoplane.results.stages import tell_stages
from infoplane.results.verdicts import DOUBTS, Phase, votes
from infoplane.seeding import generator
from infoplane.text import printable

_PARTS = {"ixt_fixed": ("ixt", "ixt_scale")}
"""What a quantity is the sum of."""

_NARROW = 0.5  # bits between the ends of a bracket
_RESAMPLES = 400


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
    read = {key: _Read.of(curve) for key, curve in made.items()}
    pools: dict[tuple[Any, ...], list[_Read]] = defaultdict(list)
    for one in read.values():
        pools[one.pool].append(one)
    phases = [
        _phase(
            one,
            pools[one.pool],
            [read.get((*key[:3], name)) for name in _PARTS.get(key[3], ())],
            seed,
        )
        for key, one in read.items()
        if one.curve.declared.verdict
    ]
    cells: dict[tuple[str, str, str], list[Phase]] = defaultdict(list)
    for phase in phases:
        cells[phase.group, phase.layer, phase.voters].append(phase)
    counted = {key: votes(same) for key, same in cells.items()}
    together = [counted[phase.group, phase.layer, phase.voters] for phase in phases]
    entries = [
        asdict(replace(phase, agree=vote[phase.verdict], of=vote.total()))
        for phase, vote in zip(phases, together, strict=True)
    ]
    tell_stages(entries, made, results)
    return entries


def run_changes(curve: Curves) -> dict[str, float]:
    """Return last - peak of each run in bits, the peak of a run chosen on the other runs.

    Runs that do not span the training are left out; there is nothing below two common checkpoints.
    """
    read = _Read.of(curve)
    if not read.runs or len(read.steps) < 2:
        return {}
    found = course(read.samples([]))
    changes = read.values[:, -1] - found.samples.at(found.knots[_peak(found)])
    return dict(zip(read.runs, changes.tolist(), strict=True))


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
        The curve. A quantity without a smallest change of its own may have a bound far above it:
        5 % of its largest absolute value count where that is less.
    """
    finite = np.abs(np.asarray(values, dtype=float))
    largest = float(finite[np.isfinite(finite)].max(initial=0.0))
    own = SMALLEST_SHARE * largest if quantity.smallest_change is None else quantity.smallest_change
    if bound is None or bound <= 0:
        return own
    return min(own or math.inf, SMALLEST_SHARE * bound)


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


def _cell_noise(curve: Curves, steps: IntArray) -> float:
    """Standard error of a cell, from the median of the 95 % intervals of the cells; 0 without."""
    width = (curve.high - curve.low)[:, np.isin(curve.steps, steps)]
    width = width[np.isfinite(width)]
    return float(np.median(width) / (2 * normal_quantile(UPPER))) if width.size else 0.0


@dataclass(frozen=True, eq=False)
class _Read:
    """A curve, and what of it can be compared: runs, values (n_runs, n_steps), steps."""

    curve: Curves
    runs: list[str]
    values: FloatArray
    steps: IntArray
    jitter: float

    @classmethod
    def of(cls, curve: Curves) -> _Read:
        runs, values, steps = _comparable(curve)
        # of the values themselves: those interpolated over gaps have no noise of their own
        noise = jitter(curve.values[[curve.runs.index(run) for run in runs]])
        return cls(curve, runs, values, steps, noise)

    @property
    def pool(self) -> tuple[Any, ...]:
        """What curves share that are peers: all but the layer."""
        curve = self.curve
        return (
            curve.group, curve.estimator, curve.quantity, tuple(self.runs),
            tuple(self.steps.tolist()),
        )  # fmt: skip

    def samples(self, peers: Sequence[_Read]) -> Samples:
        """Return what segments are made of."""
        others = [peer.values for peer in peers if peer is not self]
        cell = _cell_noise(self.curve, self.steps)
        short = len(self.runs) == 1 and len(self.steps) < 6  # too short for a jitter
        return Samples(
            self.values,
            self.steps,
            cell=cell,
            jitter=0.0 if short else self.jitter,
            peers=np.array(others).reshape(len(others), *self.values.shape),
            tolerance=smallest_change(self.curve.declared, self.curve.bound, self.curve.values),
        )


def _phase(read: _Read, peers: Sequence[_Read], parts: Sequence[_Read | None], seed: int) -> Phase:
    """Return the phase of a curve; ``parts`` are the shape and the scale that it is the sum of."""
    curve, values, steps = read.curve, read.values, read.steps
    reason = withheld_reason(curve)
    phase = Phase(
        group=curve.group,
        layer=curve.layer,
        estimator=curve.estimator,
        quantity=curve.quantity,
        unit=curve.declared.unit,
        family=curve.declared.family,
        n_runs=len(read.runs),
        verdict="saturated" if curve.is_saturated else "inconclusive",
        withheld=None if curve.is_saturated else reason,
        about="network" if len(read.runs) > 2 else "runs",
    )
    if not values.size or curve.settings_differ:
        return replace(phase, sentence=_told(phase, None))
    samples = read.samples(peers)
    first, last = float(values[:, 0].mean()), float(values[:, -1].mean())
    phase = replace(phase, first=first, peak=first, last=last, tolerance=samples.tolerance)
    if len(steps) < 2:
        return replace(phase, sentence=_told(phase, None))
    found = course(samples)
    tolerance = samples.tolerance
    if len(values) == 1:
        tolerance = max(tolerance, 3 * found.samples.jitter)
    whole = found.movement(0, len(found.segments) - 1)
    peak = _peak(found)
    fall = samples.segment(found.knots[peak], found.knots[-1])
    top = float(samples.at(found.knots[peak]).mean())
    verdict = phase.verdict
    if verdict != "saturated" and samples.has_interval:
        verdict = _verdict(found, whole, tolerance)
        reason = reason or _contradicted(read, found, tolerance)
        phase = replace(phase, withheld=reason)
        verdict = "inconclusive" if reason else verdict
    onset: tuple[int | None, int | None, int | None] = (None, None, None)
    if verdict == "compresses":
        onset = _onset(curve, values, steps, read.jitter, seed)
    segments = []
    for i, segment in enumerate(found.segments):
        shape, scale = _parts(found, i, i, parts)
        segments.append(replace(segment, shape=shape, scale=scale))
    shape, scale = _parts(found, 0, len(segments) - 1, parts)
    phase = replace(
        phase,
        onset_step=onset[0],
        onset_low=onset[1],
        onset_high=onset[2],
        peak=top,
        change=fall.change,
        change_low=fall.low,
        change_high=fall.high,
        tolerance=tolerance,
        verdict=verdict,
        interval=_origin(samples),
        score=-fall.change / top if top > 0 else None,
        segments=[_entry(segment) for segment in segments],
        rise=whole.change,
        rise_low=whole.low,
        rise_high=whole.high,
        shape=shape,
        scale=scale,
    )
    return replace(phase, sentence=_told(phase, replace(found, segments=tuple(segments))))


def _peak(found: Course, sign: float = 1.0) -> int:
    """Return the knot with the highest value: where nothing moves the first, else an end.

    With ``sign`` -1 the lowest.
    """
    segments = found.segments
    if not found.movements():
        return 0
    ends = [
        j for j in range(len(found.knots)) if j != 1 or segments[0].certain or len(found.knots) == 2
    ]
    return max(ends, key=lambda j: sign * float(found.samples.at(found.knots[j]).mean()))


def _verdict(found: Course, whole: Segment, tolerance: float) -> str:
    moves = [(s.direction, alone) for s, alone in found.movements() if abs(s.change) >= tolerance]
    falls = [alone for direction, alone in moves if direction == "falls"]
    if falls and "rises" in [d for d, _ in moves[[d for d, _ in moves].index("falls") :]]:
        return "mixed"
    ending, samples = found.segments[-1], found.samples
    if not moves:
        ends = [end for s in (*found.segments, whole) for end in (s.low, s.high) if end is not None]
        return "no_change" if max(map(abs, ends)) < samples.tolerance else "inconclusive"
    sign = -1.0 if falls else 1.0
    open_end = not ending.certain and abs(ending.change) >= tolerance  # it may turn round
    if open_end and ending.change * sign < 0:
        return "inconclusive"
    left = samples.segment(found.knots[_peak(found, -sign)], found.knots[-1])  # of it, at the end
    if sign * left.change < tolerance:
        return "inconclusive"
    if falls:
        return "first_step" if all(falls) else "compresses"
    return "expands"


def withheld_reason(curve: Curves) -> str | None:
    """Return why a curve gets no verdict, None if nothing speaks against one."""
    if curve.settings_differ:
        return curve.settings_differ
    doubts = {flag: mask for flag, mask in curve.flags.items() if flag in DOUBTS}
    if not doubts:
        return None
    doubted = np.logical_or.reduce(list(doubts.values()))
    share = float(doubted.sum() / (doubted | np.isfinite(curve.values)).sum())
    if share <= 0.5:
        return None
    most = max(doubts, key=lambda flag: int(doubts[flag].sum()))
    return f"{share:.0%} of the values are {most}" if share < 1 else f"all values are {most}"


def _contradicted(read: _Read, found: Course, tolerance: float) -> str | None:
    """Return at which other noise level a movement has another sign, None if at no one.

    Levels count whose bracket is at most half a bit wide in most cells.
    """
    curve = read.curve
    runs = [curve.runs.index(run) for run in read.runs]
    for level, (values, low, high) in curve.by_c.items():
        width = (high - low)[np.isfinite(high - low)]
        if not width.size or (width <= _NARROW).mean() <= 0.5:
            continue
        for segment, _ in found.movements():
            ends = np.searchsorted(curve.steps, [segment.from_step, segment.to_step])
            change = values[runs, ends[1]] - values[runs, ends[0]]
            known = change[np.isfinite(change)]
            if (
                abs(segment.change) >= tolerance
                and known.size
                and known.mean() * segment.change <= 0
            ):
                return f"at c = {printable(level)} the change has another sign"
    return None


def _origin(samples: Samples) -> str:
    """Return where the intervals come from."""
    if samples.n_runs > 2:
        return "runs"
    if samples.n_runs == 1 and not samples.estimated:
        return "cells"
    return "jitter" if samples.has_interval else "none"


def _entry(segment: Segment) -> dict[str, Any]:
    """Return a segment as the document has it: parts of the change only where there are any."""
    entry = asdict(segment)
    if segment.shape is None:
        del entry["shape"], entry["scale"]
    return entry


def _parts(
    found: Course, first: int, last: int, parts: Sequence[_Read | None]
) -> tuple[float | None, float | None]:
    """Return shape and scale of the way from the start of one segment to the end of another."""
    runs, values = np.arange(found.samples.n_runs), found.samples.values
    start, end = found.knots[first], found.knots[last + 1]
    changes = []
    for part in parts:
        alike = part is not None and part.values.shape == values.shape
        if part is None or not alike or not np.array_equal(part.steps, found.samples.steps):
            return None, None
        changes.append(float((part.values[runs, end] - part.values[runs, start]).mean()))
    return (changes[0], changes[1]) if changes else (None, None)


def _told(phase: Phase, found: Course | None) -> str:
    """Return what happened in one sentence."""
    if phase.saturated:
        return "at its ceiling: it follows the samples, not the network"
    if found is None:
        alone = "no value" if phase.last is None else "one checkpoint: nothing to compare"
        return f"not averaged: {phase.withheld}" if phase.withheld else alone
    text, unit = found.sentence(phase.unit), phase.unit
    if text and phase.shape is not None and len(found.segments) > 1:
        assert phase.rise is not None
        text += f"; in total {amount(phase.rise, unit, sign=True)}"
        text += segment_parts(phase.shape, phase.scale, unit)
    if not text and phase.verdict == "no_change":
        text = f"changes by less than {amount(found.samples.tolerance, unit)}{named(unit)}"
    elif not text:
        assert phase.rise is not None
        text = f"no certain change: {amount(phase.rise, unit, sign=True)}{named(unit)}"
        if phase.rise_low is not None and phase.rise_high is not None:
            low, high = (amount(end, unit, sign=True) for end in (phase.rise_low, phase.rise_high))
            text += f", {low} to {high}"
    if phase.interval == "none":
        text += ", without an interval"
    if phase.about == "runs":
        text += " (this run)" if phase.n_runs == 1 else f" (these {phase.n_runs} runs)"
    return f"{text}; no verdict: {phase.withheld}" if phase.withheld else text


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

"""A curve as a sequence of monotone segments: "falls 0.97 bits in steps 0-1, then rises 0.38".

The first checkpoint is mostly that of the untrained network, so the way to the second is always a
segment of its own. The others end where the curve turns:

- one run: a turn counts once the curve has come back from it by more than the smallest change and
  ``2 sqrt(2 ln m) + 1`` times the noise of a checkpoint (hysteresis), m being their number;
- several runs: the mean tells how often the curve turns, and for each run the *other* runs tell
  where. It is measured on the run that had no part in the choice, so that a turn which is only
  noise, or that of a single run, comes out near 0; it is then given up.

The interval of a change is about the network from three runs on (`numerics.turning_points`); with
one or two runs it comes from their noise, and holds the values of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.quantiles import normal_quantile, student_quantile
from infoplane.numerics.turning_points import best_turns, half_width, hysteresis, turning_points
from infoplane.text import decimal

_LEAST = 0.2  # of the smallest change: what is less has no direction, however certain it is
_PRESUMED = 1.5  # smallest changes: standard deviation between runs where nothing is known
_FINE = 0.01  # smallest change, in bits, below which hundredths of a bit tell nothing
_KNOWN = 4  # degrees of freedom of a standard error that a cell gives


@dataclass(frozen=True, slots=True)
class Segment:
    """The way of a curve from one checkpoint to another, in the unit of its quantity."""

    from_step: int
    to_step: int
    change: float
    low: float | None  # 95 % interval of the change, None where there is none
    high: float | None
    direction: str  # falls, rises or flat
    turn_low: int | None = None  # interval of the turning point at its end, None without one
    turn_high: int | None = None
    shape: float | None = None  # parts of the change, of I(X;T) at fixed noise alone
    scale: float | None = None

    @property
    def certain(self) -> bool:
        """Whether it has a direction."""
        return self.direction != "flat"


@dataclass(frozen=True, eq=False)
class Samples:
    """A curve in all runs that span the training, and what is known of its noise.

    Parameters
    ----------
    values : array (n_runs, n_steps)
        Finite.
    steps : array (n_steps,)
        Ascending.
    cell : float
        Standard error of a value, 0 where it is not known.
    jitter : float
        Noise read off the curve, 0 where it is too short. The larger of the two counts.
    peers : array (n_layers, n_runs, n_steps)
        The other layers, in the same runs at the same steps.
    tolerance : float
        The smallest change that counts.
    """

    values: FloatArray
    steps: IntArray
    cell: float
    jitter: float
    peers: FloatArray
    tolerance: float

    @property
    def n_runs(self) -> int:
        """Runs."""
        return len(self.values)

    @property
    def noise(self) -> float:
        """Standard deviation of a checkpoint."""
        return max(self.cell, self.jitter)

    @property
    def estimated(self) -> bool:
        """Whether the noise was read off the curve."""
        return self.jitter >= self.cell

    @property
    def has_interval(self) -> bool:
        """Whether changes have intervals: not for one short run whose cells have none."""
        return self.n_runs > 1 or self.values.shape[1] > 5 or not self.estimated

    def fixed(self, at: int) -> IntArray:
        """Return a checkpoint, the same for each run (n_runs,)."""
        return np.full(self.n_runs, at)

    def at(self, where: IntArray) -> FloatArray:
        """Return the value of each run (n_runs,) at a checkpoint of its own."""
        found: FloatArray = self.values[np.arange(self.n_runs), where]
        return found

    def segment(self, start: IntArray, end: IntArray) -> Segment:
        """Return the change between two checkpoints, each chosen per run (n_runs,)."""
        changes = self.at(end) - self.at(start)
        change = float(changes.mean())
        first, last = _typical(start), _typical(end)
        steps = int(self.steps[first]), int(self.steps[last])
        if not self.has_interval:
            return Segment(*steps, change, None, None, self._direction(change, change, change))
        n, m = self.values.shape
        if n > 2 and first == last:  # no change; how well it is known is a matter of noise alone
            half = normal_quantile(0.975) * self.noise * math.sqrt(2 / n)
            low, high = change - half, change + half
        elif n > 2:
            peers = self.peers[:, :, last] - self.peers[:, :, first]
            half = half_width(changes, peers, _PRESUMED * self.tolerance)
            low, high = change - half, change + half
        else:
            step = last == 1 < m - 1  # as good as any of the m - 1 steps
            chosen = n == 1 and not {first, last} <= {0, 1, m - 1}  # among m, on the same values
            at = 1 - 0.025 / (m if step or chosen else 3)
            freedom = max(m - 2 if step or chosen else n * (m - 2) // 2, 1)
            half = self._half_width(freedom, at) * math.sqrt(2 / n)
            low = min(change - half, float(changes.min()))
            high = max(change + half, float(changes.max()))
        return Segment(*steps, change, low, high, self._direction(change, low, high))

    def _half_width(self, freedom: int, at: float) -> float:
        """Return the quantile of a checkpoint's noise; a jitter is that of few values.

        So the standard errors of cells weigh beside it, where there are any.
        """
        if not self.estimated:
            return normal_quantile(at) * self.cell
        known = _KNOWN if self.cell else 0
        noise = math.sqrt((known * self.cell**2 + freedom * self.jitter**2) / (known + freedom))
        return student_quantile(known + freedom, at) * noise

    def _direction(self, change: float, low: float, high: float) -> str:
        if abs(change) < _LEAST * self.tolerance or low <= 0 <= high:
            return "flat"
        return "falls" if change < 0 else "rises"


@dataclass(frozen=True, eq=False)
class Course:
    """A curve in segments; ``knots`` (n_segments + 1, n_runs) are their ends, as checkpoints."""

    segments: tuple[Segment, ...]
    knots: IntArray
    samples: Samples

    def movement(self, first: int, last: int) -> Segment:
        """Return the way from the start of one segment to the end of another."""
        return self.samples.segment(self.knots[first], self.knots[last + 1])

    def movements(self) -> list[tuple[Segment, bool]]:
        """Return what goes up or down for certain, and whether the first segment alone does.

        The first two segments are one movement if they go the same way: what is too little in
        either may be certain of both. So may the whole curve be, where no segment is certain.
        """
        found = [
            (segment, i == 0 < len(self.segments) - 1) for i, segment in enumerate(self.segments)
        ]
        if len(found) > 1:
            start, rest = (abs(s.change) >= self.samples.tolerance for s, _ in found[:2])
            alike = found[0][0].change * found[1][0].change > 0
            both, whole = self.movement(0, 1), self.movement(0, len(found) - 1)
            if alike and both.certain and not (start and found[0][0].certain):
                found[:2] = [(both, start and not rest)]
            elif whole.certain and not any(segment.certain for segment, _ in found):
                found = [(whole, start and not rest)]
        return [(segment, alone) for segment, alone in found if segment.certain]

    def sentence(self, unit: str) -> str:
        """Return what is certain in words; empty where nothing is."""
        told, joined = list(self.segments), [segment for segment, _ in self.movements()]
        if len(told) > 1 and not (told[0].certain and told[1].certain):
            if joined and joined[0].to_step == told[1].to_step and not told[0].certain:
                told[:2] = joined[:1]
            elif len(joined) == 1 and not any(segment.certain for segment in told):
                told = joined[:1]
            elif not told[0].certain:
                del told[0]
        if not any(segment.certain for segment in told):
            return ""
        words: list[str] = []
        for segment in told:
            text = segment.direction
            if not segment.certain and abs(segment.change) >= self.samples.tolerance:
                text = "uncertain"
            if segment.certain:
                fine = unit == "bits" and self.samples.tolerance < _FINE
                more = f"{abs(segment.change):.2g}" if fine else amount(abs(segment.change), unit)
                on = bool(words) and segment.direction == told[len(words) - 1].direction
                text = f"{more} more" if on else f"{text} {more}"
                if not words:
                    text += f"{named(unit)} in steps {segment.from_step:,}-{segment.to_step:,}"
                elif segment is not told[-1]:
                    text += f" to step {segment.to_step:,}"
                text += parts(segment.shape, segment.scale, unit)
            words.append(text)
        return ", then ".join(words)


def named(unit: str) -> str:
    """Return a unit after a number; ratios, shares and exponents have none."""
    return "" if unit in ("ratio", "share", "exponent") else f" {unit}"


def amount(value: float, unit: str, *, sign: bool = False) -> str:
    """Return a number of a unit as text: 0.01 of what is counted in bits or octaves."""
    if unit in ("bits", "octaves"):
        return decimal(value, sign=sign)
    return f"{value:{'+' if sign else ''}.3g}"


def parts(shape: float | None, scale: float | None, unit: str) -> str:
    """Return the parts of a change at fixed noise as text; empty where there are none."""
    if shape is None or scale is None:
        return ""
    return f" (shape {amount(shape, unit, sign=True)}, scale {amount(scale, unit, sign=True)})"


def jitter(values: FloatArray, bends: Sequence[int] = ()) -> float:
    """Return the noise of a curve (n_steps,), or of several (n_runs, n_steps), in its unit.

    1.4826 times the median absolute value of the second differences over sqrt(6): the standard
    deviation of independent noise on curves that bend little between checkpoints. Those around
    known ``bends`` are left out. 0 below 4 checkpoints.
    """
    found = [row[np.isfinite(row)] for row in np.atleast_2d(values)]
    around = [bend - 1 for bend in bends]
    second = [np.delete(np.abs(np.diff(row, n=2)), around) for row in found if len(row) > 3]
    return float(1.4826 * np.median(np.concatenate(second)) / np.sqrt(6.0)) if second else 0.0


def course(samples: Samples) -> Course:
    """Return a curve of at least two checkpoints in segments."""
    values, m = samples.values, samples.values.shape[1]
    mean = values.mean(axis=0)
    if samples.n_runs == 1 and samples.jitter > 0:  # turns are no noise
        turns, _ = turning_points(
            mean[1:], max(samples.tolerance, hysteresis(m, samples.noise) * 0.7)
        )
        calm = jitter(mean, [1, *(turn + 1 for turn in turns)])
        samples = replace(samples, jitter=min(samples.jitter, max(calm, samples.jitter / 2)))
    noise = samples.noise / math.sqrt(samples.n_runs)
    sure = hysteresis(m, noise) if samples.n_runs < 3 else 3 * noise
    turns, falls_first = turning_points(mean[1:], max(samples.tolerance, sure))
    count = len(turns)
    while True:
        knots = _knots(samples, turns if samples.n_runs == 1 else None, count, falls_first)
        segments = [samples.segment(*ends) for ends in pairwise(knots)]
        if not count:
            break
        signs = [-1.0 if falls_first == (j % 2 == 0) else 1.0 for j in range(count + 1)]
        kept = [
            segment.certain and sign * segment.change >= samples.tolerance
            for sign, segment in zip(signs, segments[1:], strict=True)
        ]
        gone = _given_up(kept, [abs(segment.change) for segment in segments[1:]])
        if not gone:
            break
        turns = [turn for j, turn in enumerate(turns) if j not in gone]
        falls_first ^= gone == [0]
        count -= len(gone)
    return Course(tuple(_with_turns(samples, segments, knots, noise)), knots, samples)


def _given_up(kept: Sequence[bool], sizes: Sequence[float]) -> list[int]:
    """Return the turns to give up around the smallest swing that is not certain; none if all stay.

    One between two others is bridged. At an end it stays beside one that is certain, which starts
    or stops where it meets it.
    """
    last = len(kept) - 1
    for j in sorted(range(len(kept)), key=lambda j: sizes[j]):
        if not kept[j] and 0 < j < last:
            return [j - 1, j]
        if not kept[j] and not kept[1 if j == 0 else last - 1]:
            return [0 if j == 0 else last - 1]
    return []


def _knots(
    samples: Samples, turns: Sequence[int] | None, count: int, falls_first: bool
) -> IntArray:
    """Return the ends of the segments (n_segments + 1, n_runs); turns are counted from the second.

    Without ``turns`` those of each run are chosen on the other runs.
    """
    n, m = samples.values.shape
    if turns is not None:
        inner = np.array([turns], dtype=np.int64)
    else:
        others = (samples.values.sum(axis=0) - samples.values) / (n - 1)
        inner = np.array(
            [best_turns(other[1:], count, falls_first=falls_first) for other in others],
            dtype=np.int64,
        ).reshape(n, count)
    ends = [0, 1, m - 1] if m > 2 else [0, m - 1]
    every = np.concatenate([np.tile(ends, (n, 1)), inner + 1], axis=1)
    return np.sort(every, axis=1).T


def _typical(where: IntArray) -> int:
    """Return the checkpoint of most runs: the lower median."""
    return int(np.sort(where)[(len(where) - 1) // 2])


def _with_turns(
    samples: Samples, segments: Sequence[Segment], knots: IntArray, noise: float
) -> list[Segment]:
    """Add the intervals of the turning points.

    They hold what was chosen on the other runs, and the checkpoints around that differ from the
    turn of the mean by no more than two standard errors.
    """
    mean, found = samples.values.mean(axis=0), list(segments)
    for j in range(1, len(found) - 1):
        before, turn, after = (_typical(knots[i]) for i in (j, j + 1, j + 2))
        near = np.abs(mean - mean[turn]) <= 2 * math.sqrt(2) * noise
        low = high = turn
        while low - 1 > before and near[low - 1]:
            low -= 1
        while high + 1 < after and near[high + 1]:
            high += 1
        low, high = min(low, int(knots[j + 1].min())), max(high, int(knots[j + 1].max()))
        ends = int(samples.steps[low]), int(samples.steps[high])
        found[j] = replace(found[j], turn_low=ends[0], turn_high=ends[1])
    return found

"""The shape of a loss curve: its excess with an error, its sharpness, and a power law with a floor.

The noise of batches, and how far it is correlated from step to step, is read from what a curve
leaves over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray
from infoplane.numerics.prequential import widths

FEWEST = 10
"""Points of a curve that is fitted."""

_FEWEST_AT_END = 8
_MOST_BINS = 1000
_EXPONENTS = np.geomspace(0.01, 6.0, 200)
_PARTS_OF_FIT = 20  # of log t, over which the means of a curve and of its fit are compared
_WINDOW = 0.1  # of the tokens, in which the steepest fall is sought
_PARTS = 50  # of the tokens, over which the loss is averaged for it


@dataclass(frozen=True)
class Excess:
    """The area of a curve above its final loss, in its own units, with standard errors."""

    area: float
    error: float | None  # None where too few losses tell their noise
    final: float
    final_error: float | None
    n_final: int  # losses that the final one is the mean of


def excess(losses: FloatArray, tokens: FloatArray, tail: float) -> Excess:
    """Return the area above the mean loss of the last ``tail`` of the tokens.

    With a ``tail`` of 0 the last loss is the final one.
    """
    span = tokens[-1] - tokens[0]
    first = int(np.searchsorted(tokens, tokens[-1] - tail * span))
    shares = np.zeros(len(tokens))
    shares[first:] = 1.0 / (len(tokens) - first)
    counts = widths(tokens)
    final = float(shares @ losses)
    noise = _noise(losses[min(first, 2 * len(losses) // 3) :])
    errors = [
        None if noise is None else math.sqrt(noise * float(weights @ weights))
        for weights in (counts - span * shares, shares)
    ]
    area = float(counts @ losses) - span * final
    return Excess(area, errors[0], final, errors[1], len(tokens) - first)


def _noise(end: FloatArray) -> float | None:
    """Return the variance of independent noise with the effect of that around a parabola."""
    if len(end) < _FEWEST_AT_END:
        return None
    x = np.linspace(-1.0, 1.0, len(end))
    left = end - np.polyval(np.polyfit(x, end, 2), x)
    return float(left @ left) / (len(end) - 3) * inflation(left)


def inflation(residuals: FloatArray) -> float:
    """Return how many times correlation from step to step raises the variance of a mean, from 1.

    The sum of autocorrelations over pairs of lags, until a pair is not above 0 (Geyer, Statistical
    Science 7, 1992).
    """
    n = len(residuals)
    power = np.abs(np.fft.rfft(residuals, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n]
    if correlation[0] <= 0:
        return 1.0
    correlation = correlation[: max(2, n // 4)] / correlation[0]
    pairs = correlation[: len(correlation) // 2 * 2].reshape(-1, 2).sum(axis=1)
    end = np.flatnonzero(pairs <= 0)
    kept = pairs[: end[0]] if len(end) else pairs
    return float(max(1.0, 2.0 * kept.sum() - 1.0))


def sharpness(losses: FloatArray, tokens: FloatArray, final: float) -> float | None:
    """Return the largest share of the fall that happens within a tenth of the tokens.

    0.1 is a straight line, 1 a sudden drop. None where the loss does not fall.
    """
    fall = float(losses[0]) - final
    if fall <= 0:
        return None
    at = (tokens - tokens[0]) / (tokens[-1] - tokens[0])
    part = np.minimum((at * _PARTS).astype(int), _PARTS - 1)
    counts = np.bincount(part, minlength=_PARTS)
    there = counts > 0
    means = np.bincount(part, losses, minlength=_PARTS)[there] / counts[there]
    middles = np.bincount(part, at, minlength=_PARTS)[there] / counts[there]
    x, y = np.append(0.0, middles), np.append(losses[0], means)
    start = np.linspace(0.0, 1.0 - _WINDOW, _PARTS + 1)
    falls = np.interp(start, x, y) - np.interp(start + _WINDOW, x, y)
    return float(falls.max()) / fall


def binned(
    losses: FloatArray, times: FloatArray, most: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a curve of times above 0, of more points their means, with how many each is of.

    The means are over parts of equal length in log t, at the mean of log t.
    """
    if len(losses) <= most:
        return losses, times, np.ones(len(losses))
    logs = np.log(times)
    parts = ((logs - logs[0]) / (logs[-1] - logs[0]) * most).astype(int).clip(max=most - 1)
    _, parts, counts = np.unique(parts, return_inverse=True, return_counts=True)
    means = np.bincount(parts, losses) / counts
    return means, np.exp(np.bincount(parts, logs) / counts), counts.astype(float)


@dataclass(frozen=True)
class PowerLawFit:
    """The least-squares fit L = floor + amplitude * (t / last t) ** -exponent.

    Intervals are those of the profile likelihood. ``open_ended`` says that the curve does not bound
    them: exponents at an end of those that were tried fit as well.
    """

    floor: float
    floor_low: float
    floor_high: float
    exponent: float
    exponent_low: float
    exponent_high: float
    amplitude: float
    deviation: float  # root mean square of what is left
    explained: float  # share of the variance of the means over 20 parts of equal length in log t
    open_ended: bool
    at_end: bool  # the best exponent is the smallest or the largest that was tried


def fit_power_law(losses: FloatArray, tokens: FloatArray, level: float) -> PowerLawFit | None:
    """Return the power law with a floor that fits a curve; None where no falling one does."""
    from scipy.optimize import minimize_scalar
    from scipy.special import stdtrit

    curve = _Binned.of(losses, tokens)
    squares = np.array([curve.fitted(b).squares for b in _EXPONENTS])
    best = int(np.argmin(squares))
    around = _EXPONENTS[[max(best - 1, 0), min(best + 1, len(_EXPONENTS) - 1)]]
    refined = minimize_scalar(
        lambda b: curve.fitted(b).squares, bounds=tuple(around), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    exponent = float(refined.x)
    found = curve.fitted(exponent)
    if found.amplitude <= 0:
        return None
    degrees = len(curve.losses) - 3
    spread = inflation(curve.residuals(exponent)) * found.squares / degrees
    most = found.squares + spread * float(stdtrit(degrees, 0.5 + 0.5 * level)) ** 2
    low, high = (_crossing(curve, exponent, most, ends) for ends in (_EXPONENTS[::-1], _EXPONENTS))
    inside = [curve.fitted(b) for b in np.geomspace(low, high, 201)]
    rooms = [math.sqrt(max(most - one.squares, 0.0) / one.stiffness) for one in inside]
    floors = [(one.floor - room, one.floor + room) for one, room in zip(inside, rooms, strict=True)]
    return PowerLawFit(
        floor=found.floor,
        floor_low=min(below for below, _ in floors),
        floor_high=max(above for _, above in floors),
        exponent=exponent,
        exponent_low=low,
        exponent_high=high,
        amplitude=found.amplitude,
        deviation=math.sqrt(found.squares / float(curve.counts.sum())),
        explained=curve.explained(exponent),
        at_end=bool(not _EXPONENTS[1] < exponent < _EXPONENTS[-2]),
        open_ended=bool(low <= _EXPONENTS[0] or high >= _EXPONENTS[-1]),
    )


@dataclass(frozen=True)
class _Line:
    """The weighted least-squares line of the losses over t ** -exponent."""

    floor: float
    amplitude: float
    squares: float  # weighted sum of what is left
    stiffness: float  # how fast that grows with the square of a change of the floor


@dataclass(frozen=True)
class _Binned:
    """A curve, of many points their means in parts of equal length in log t."""

    losses: FloatArray
    times: FloatArray  # over the last one
    counts: FloatArray

    @classmethod
    def of(cls, losses: FloatArray, tokens: FloatArray) -> _Binned:
        kept = tokens > 0
        return cls(*binned(losses[kept], tokens[kept] / tokens[-1], _MOST_BINS))

    def fitted(self, exponent: float) -> _Line:
        x, w = self.times**-exponent, self.counts
        x = x / x.max()  # t is small where the exponent is large
        total, mean_x = w.sum(), np.average(x, weights=w)
        mean_y = np.average(self.losses, weights=w)
        off = x - mean_x
        spread = w @ off**2
        slope = float((w * off) @ (self.losses - mean_y) / spread) if spread > 0 else 0.0
        left = self.losses - mean_y - slope * off
        stiffness = total * spread / (spread + total * mean_x**2)
        return _Line(
            float(mean_y - slope * mean_x),
            slope / float((self.times**-exponent).max()),
            float(w @ left**2),
            float(max(stiffness, np.finfo(float).tiny)),
        )

    def explained(self, exponent: float) -> float:
        """Return the share of the variance of the means over parts of log t that a fit explains."""
        part = np.minimum((np.log(self.times) / np.log(self.times[0]) * _PARTS_OF_FIT), 19.0)
        _, part = np.unique(part.astype(int), return_inverse=True)
        counts = np.bincount(part, self.counts)
        means, left = (
            np.bincount(part, values) / counts
            for values in (
                self.counts * self.losses,
                np.sqrt(self.counts) * self.residuals(exponent),
            )
        )
        spread = float(means.var())
        return 1.0 - float((left**2).mean()) / spread if spread > 0 else 0.0

    def residuals(self, exponent: float) -> FloatArray:
        line = self.fitted(exponent)
        left = self.losses - line.floor - line.amplitude * self.times**-exponent
        return np.asarray(np.sqrt(self.counts) * left)


def _crossing(curve: _Binned, start: float, most: float, towards: FloatArray) -> float:
    """Return the exponent nearest to ``start`` in a direction that fits no better than ``most``."""
    rising = towards[-1] > towards[0]
    beyond = towards[towards > start] if rising else towards[towards < start]
    inside, outside = start, None
    for exponent in beyond.tolist():
        if curve.fitted(exponent).squares > most:
            outside = exponent
            break
        inside = exponent
    if outside is None:
        return float(towards[-1])
    for _ in range(40):
        middle = 0.5 * (inside + outside)
        if curve.fitted(middle).squares > most:
            outside = middle
        else:
            inside = middle
    return float(0.5 * (inside + outside))

"""Turning points of a curve, and how far the mean of a few values is to be trusted."""

from __future__ import annotations

import math

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.quantiles import student_quantile

_PEERS, _PRESUMED = 8, 5
"""Degrees of freedom that other layers weigh at most beside those of a curve, and those of a
presumption in their place."""

_POOLED, _OWN = 0.99, 0.997
"""Quantiles of the interval, of the pooled variance and of that of the values alone. Above 0.975,
as a curve has several segments and the ends of some are chosen: false verdicts stay below 5 %."""


def hysteresis(n_steps: int, noise: float) -> float:
    """Return from where on a swing of a curve is more than its noise.

    ``2 sqrt(2 ln m) + 1`` times the noise: the range of m independent normal values is about
    ``2 sqrt(2 ln m)`` standard deviations, and rarely one more.
    """
    return (2 * math.sqrt(2 * math.log(max(n_steps, 2))) + 1) * noise


def turning_points(curve: FloatArray, threshold: float) -> tuple[list[int], bool]:
    """Return where a curve (n_steps,) turns, and whether it falls before the first turn.

    A highest or lowest value is a turning point once the curve has come back from it by
    ``threshold``; the ends are none.
    """
    top = bottom = 0
    falls: bool | None = None
    turns: list[int] = []
    for i, value in enumerate(curve):
        top = i if value > curve[top] else top
        bottom = i if value < curve[bottom] else bottom
        if falls is not True and curve[top] - value > threshold:
            turns.append(top)
            falls, top, bottom = True, i, i
        elif falls is not False and value - curve[bottom] > threshold:
            turns.append(bottom)
            falls, top, bottom = False, i, i
    if turns and abs(curve[turns[0]] - curve[0]) < threshold:
        del turns[0]  # what went before it was no swing
    return turns, bool(falls) == (len(turns) % 2 == 0)


def best_turns(curve: FloatArray, count: int, *, falls_first: bool) -> list[int]:
    """Return the ``count`` inner points between which a curve falls and rises the most in turn.

    They maximise the sum of all falls and rises, by dynamic programming; a curve (n_steps,) has
    room for at most ``n_steps - 2``.
    """
    if not count:
        return []
    signs = [1.0 if falls_first == bool(j % 2) else -1.0 for j in range(count)]
    inner = curve[1:-1]
    best = np.zeros(len(inner))
    back: list[IntArray] = []
    for j, sign in enumerate(signs):
        if j:
            before = np.maximum.accumulate(best)
            at = np.maximum.accumulate(np.where(best == before, np.arange(len(best)), 0))
            best = np.r_[-np.inf, before[:-1]]
            back.append(np.r_[0, at[:-1]])
        best = best + sign * inner
    turns = [int(np.argmax(best))]
    for at in reversed(back):
        turns.append(int(at[turns[-1]]))
    return [turn + 1 for turn in reversed(turns)]


def half_width(changes: FloatArray, peers: FloatArray, presumed: float) -> float:
    """Return half the width of the interval of the mean over three or more runs.

    Student's interval of three values is so wide that it sees less than two runs do. So the
    variance is pooled: that of the same change in other layers weighs up to eight degrees of
    freedom, the less, the more the layers of a run go together (or one stands out), since then
    they say nothing new. Where they have less than five, a presumption fills them up. The interval
    of the values alone holds where it is narrower.

    Parameters
    ----------
    changes : array (n_runs,)
        One value per run.
    peers : array (n_layers, n_runs)
        The same change in the other layers, for the same runs; there may be none.
    presumed : float
        Standard deviation between runs where nothing is known.

    References
    ----------
    Smyth: "Linear models and empirical Bayes methods for assessing differential expression in
    microarray experiments", 2004 (the moderated variance).
    """
    n = len(changes)
    own = float(changes.var(ddof=1))
    every = np.vstack([changes, peers])
    every = every - every.mean(axis=1, keepdims=True)
    gram = every.T @ every
    total, squares = float(np.trace(gram)), float((gram**2).sum())
    apart = (total**2 / squares - 1) / (n - 2) if squares > 0 else 0.0  # 0 together, 1 each alone
    weight = min(_PEERS, math.floor(len(peers) * (n - 1) * apart))
    missing = max(_PRESUMED - weight, 0)
    others = float(peers.var(axis=1, ddof=1).mean()) if len(peers) else 0.0
    pooled = (n - 1) * own + weight * others + missing * max(presumed**2, others)
    freedom = n - 1 + weight + missing
    return min(
        student_quantile(n - 1, _OWN) * math.sqrt(own / n),
        student_quantile(freedom, _POOLED) * math.sqrt(pooled / freedom / n),
    )

"""Paths of layers through the information plane, taken from the curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize

from infoplane.data import FloatArray, IntArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import Drawing
from infoplane.plots.view import SIZES
from infoplane.results.curves import Curves
from infoplane.results.verdicts import Phase


@dataclass(frozen=True, eq=False)
class Path:
    """One layer in the plane; coordinates in the units of its quantities."""

    layer: str
    steps: IntArray  # (n_steps,)
    mean: FloatArray  # (n_steps, 2) mean over runs
    runs: FloatArray  # (n_runs, n_steps, 2)
    cross: FloatArray | None  # (2, 2) interval of the last point: low and high of x and y
    bracket: FloatArray | None  # (2, 2) bounds on the last point, likewise
    onset: int | None  # index into steps
    saturated: bool  # throughout
    marker: str

    @property
    def time(self) -> FloatArray:
        """``log10(step + 1)`` (n_steps,)."""
        time: FloatArray = np.log10(self.steps + 1.0)
        return time


def find_paths(on: Drawing, layers: Sequence[str] | None = None) -> list[Path]:
    """Return the paths of layers that have both quantities, in order of the forward pass.

    ``layers`` are those to draw, by default those that are wanted.

    Raises
    ------
    NotFoundError
        If a wanted layer is not there.
    """
    have = on.view.layers(on.group, on.estimator)
    paths = []
    for layer in on.view.layers(on.group, on.estimator, among=layers or on.wanted):
        x, y = (on.curve(layer, quantity) for quantity in on.plane)
        if x is None or y is None:
            continue
        marker = look.LAYER_MARKERS[have.index(layer) % len(look.LAYER_MARKERS)]
        path = _path(x, y, on.phase(layer, on.plane[0]), marker)
        if path is not None:
            paths.append(path)
    if not paths:
        across, upwards = (on.view.quantity(quantity).symbol for quantity in on.plane)
        raise NotFoundError(
            f"no layer of {on.group!r} has both {across} by {on.estimator} and {upwards} by "
            f"{on.upwards or on.estimator}"
        )
    return paths


def _path(x: Curves, y: Curves, phase: Phase, marker: str) -> Path | None:
    runs = [run for run in x.runs if run in y.runs]
    steps, at_x, at_y = np.intersect1d(x.steps, y.steps, return_indices=True)
    both = np.stack(
        [
            x.values[[x.runs.index(run) for run in runs]][:, at_x],
            y.values[[y.runs.index(run) for run in runs]][:, at_y],
        ],
        axis=-1,
    )
    mean = np.column_stack([x.mean()[at_x], y.mean()[at_y]])
    there = np.isfinite(mean).all(axis=1)
    if not there.any():
        return None
    steps, mean, both = steps[there], mean[there], both[:, there]
    ends = []
    for curve, at in ((x, at_x), (y, at_y)):
        spread = curve.spread()
        if spread is not None:
            ends.append([side[at][there][-1] for side in spread])
        elif len(runs) == 1:
            ends.append([side[0][at][there][-1] for side in (curve.low, curve.high)])
    cross = np.array(ends) if len(ends) == 2 and np.isfinite(ends).all() else None
    bounds = [
        [side[at][there][-1] for side in found]
        for curve, at in ((x, at_x), (y, at_y))
        if (found := curve.bracket()) is not None
    ]
    bracket = np.array(bounds) if len(bounds) == 2 and np.isfinite(bounds).all() else None
    onset = phase.onset_step if x.quantity in SIZES else None  # the mark is that of compression
    present = np.isfinite(x.values)
    return Path(
        layer=x.layer,
        steps=steps,
        mean=mean,
        runs=both,
        cross=cross,
        bracket=bracket,
        onset=None if onset is None else int(np.abs(steps - onset).argmin()),
        saturated=bool(x.saturated[present].all()),
        marker=marker,
    )


def time_norm(paths: Sequence[Path]) -> Normalize:
    """Return the colour scale over ``log10(step + 1)`` of all paths."""
    times = np.concatenate([p.time for p in paths])
    high = times.max() if times.max() > times.min() else times.min() + 1
    return Normalize(times.min(), high)

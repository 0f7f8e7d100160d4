"""Curvature of the loss over training: the largest eigenvalue beside 2 / rate, and the trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.drawing import Drawing, Options, drawing, figure
from infoplane.plots.view import View
from infoplane.results.curves import Curves

if TYPE_CHECKING:
    from typing_extensions import Unpack

_PANELS = ("hessian_top", "hessian_trace")
_LIMIT = (0, (4, 2))


@figure(Options)
def curvature(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw the largest eigenvalue and the trace of the Hessian by training step.

    Dashed is the largest eigenvalue at which gradient descent is stable, 2 / learning rate.

    Parameters
    ----------
    results : mapping or View
        A results document of runs that were recorded with curvature.

    Raises
    ------
    NotFoundError
        If there is no curvature.
    """
    with drawing(results, **options) as on:
        found = {name: curve for name in (*_PANELS, "stability_limit") if (curve := _of(on, name))}
        names = [name for name in _PANELS if name in found]
        if not names:
            raise NotFoundError(
                f"this figure needs the curvature of the loss; {on.group!r} has none",
                hint="record with Recorder(..., curvature=loss), analyze with -e curvature",
            )
        area = on.area(3.0)
        panels = area.subplots(1, len(names), squeeze=False)[0]
        limit = found.get("stability_limit")
        for ax, name in zip(panels, names, strict=True):
            _draw(ax, found[name])
            if name == "hessian_top" and limit is not None:
                ax.plot(
                    limit.time, limit.mean(), color=look.ink(), linestyle=_LIMIT, label="_limit"
                )
            _scale(ax, [found[name], *([limit] if limit and name == "hessian_top" else [])])
            clock.step_axis(ax.xaxis, found[name].steps.tolist(), n_ticks=4)
            ax.set_xlim(*look.time_limits(found[name].steps.tolist()))
            ax.set_xlabel(clock.time_name(), labelpad=1)
            ax.set_ylabel(f"{found[name].declared.symbol}  [{found[name].declared.unit}]")
        handles = [
            Line2D([], [], color=found[name].declared.colour, label=found[name].declared.symbol)
            for name in names
        ]
        if limit is not None and "hessian_top" in names:
            handles.append(
                Line2D([], [], color=look.ink(), linestyle=_LIMIT, label="2/η: stable below")
            )
        notes = ["Shaded: error of the iteration, 95 % interval of the trace."]
        if limit is None:
            notes.append("No 2/η: no learning rate was given, or not of gradient descent.")
        on.finish(area, "Curvature of the loss", notes, handles)
        first: Axes = panels[0]
        return first


def _of(on: Drawing, quantity: str) -> Curves | None:
    if not on.view.estimators(quantity, group=on.group):
        return None
    by = on.view.choice(on.group, quantity).estimator
    return replace(on, estimator=by, quantity=quantity).curve("run", quantity)


def _draw(ax: Axes, curve: Curves) -> None:
    colour = curve.declared.colour
    for values in curve.values if len(curve.runs) > 1 else ():
        ax.plot(curve.time, values, color=colour, linewidth=0.6, alpha=0.35)
    mean = curve.mean()
    there = np.isfinite(mean)
    ax.plot(curve.time[there], mean[there], color=colour, marker=".", markersize=4, zorder=3)
    spread = curve.interval() or curve.bracket()
    if spread is not None:
        ax.fill_between(curve.time, spread[0], spread[1], color=colour, alpha=0.2, linewidth=0)


def _scale(ax: Axes, curves: Sequence[Curves]) -> None:
    """Take a logarithmic axis where all is above 0 and spans more than a decade."""
    every = [part.ravel() for curve in curves for part in (curve.values, curve.low)]
    values = look.finite(np.concatenate(every))
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")
        log_numbers(ax.yaxis)
    else:
        look.few_ticks(ax.yaxis, 5)

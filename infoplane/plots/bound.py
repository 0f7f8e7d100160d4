"""The information plane under the information bottleneck curve, where p(y|x) is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.plane.panel import draw_plane, has_bar, name_axes, plane_legend, time_bar
from infoplane.plots.plane.paths import find_paths, time_norm
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_LAYERS = 8


@figure(EstimatorOptions)
def bound(
    results: Mapping[str, Any] | View,
    *,
    seeds: str = "both",
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw the information plane and the most I(T;Y) that any T can have at its I(X;T).

    The curve is exact for the recorded inputs and labels; what lies above it is bias of the
    estimate. The region above is grey; since
    I(T;Y) cannot exceed I(X;T) it reaches down to 0 at the left.

    Parameters
    ----------
    results : mapping or View
        A results document whose recordings hold the bottleneck curve.
    seeds : {"both", "mean", "all"}, default "both"
        As for `infoplane.plots.plane.figure.plane`.
    **options
        See `infoplane.plots.drawing.EstimatorOptions`; at most 8 layers unless they are named.

    Returns
    -------
    Axes
        The axes; all quantities in bits.

    Raises
    ------
    NotFoundError
        If p(y|x) is not known, the runs of the group differ in it, or no estimator has I(X;T) and
        I(T;Y).
    """
    with drawing(results, "ixt", "ity", **options) as on:
        known = _curve(on)
        ax = on.axes(4.7)
        have = on.layers()
        shown = on.few(have, MAX_LAYERS)
        paths = find_paths(on, shown)
        norm = time_norm(paths)
        label = draw_plane(ax, on, paths, norm, seeds=seeds)
        ax.set_xlim(min(0.0, ax.get_xlim()[0]), ax.get_xlim()[1])
        _regions(ax, known)
        name_axes(ax, on)
        on.title(ax, "Information bottleneck bound", most=44)
        words = f"information bottleneck: exact for all {known['n_inputs']:,} inputs"
        if not all(known["converged"]):
            words += ", to within its iteration"
        handles = [
            Line2D([], [], color=look.ink(), linewidth=2.0, label=words),
            Patch(color=look.muted(), alpha=0.22, lw=0, label="out of reach of any T"),
            *plane_legend(paths, seeds, band=on.ceiling is not None),
        ]
        for text in left_out(shown, have, ""):
            handles.append(Line2D([], [], linestyle="none", label=text))
        look.legend_below(ax, handles, page.width(ax) - 0.8)
        if has_bar(paths):
            time_bar([ax], norm, paths)
        page.laid_out(ax, label)
        return ax


def _curve(on: Drawing) -> Mapping[str, Any]:
    """Return the curve that all runs of a group share."""
    found = [recording.get("bottleneck") for recording in on.view.recordings(on.group)]
    hint = "it is known where the inputs are every combination of discrete values, equally often"
    if any(curve is None for curve in found):
        raise NotFoundError(
            f"the bound needs p(y|x) of a discrete X; {on.group!r} does not have it", hint=hint
        )
    first: Mapping[str, Any] = found[0] or {}
    if any(curve != first for curve in found):
        raise NotFoundError(f"the runs of {on.group!r} have different bounds", hint=hint)
    return first


def _regions(ax: Axes, known: Mapping[str, Any]) -> None:
    """Draw the curve and shade what lies above it, and above I(T;Y) = I(X;T)."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x: FloatArray = np.array([0.0, *known["ixt"], max(right, max(known["ixt"]))])
    y: FloatArray = np.array([0.0, *known["ity"], known["mutual_information"]])
    order = np.argsort(x, kind="stable")
    x, y = x[order], np.maximum.accumulate(y[order])
    ax.plot(x, y, color=look.ink(), linewidth=2.0, zorder=1.9, label="_bottleneck")
    ax.fill_between(
        x, y, max(top, y.max()), color=look.muted(), alpha=0.22, linewidth=0, zorder=0.6
    )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)

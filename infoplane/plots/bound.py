"""The information plane under the information bottleneck curve, where p(y|x) is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import titled
from infoplane.plots.plane.panel import draw_plane, has_bar, plane_legend, time_bar
from infoplane.plots.plane.paths import find_paths, time_norm
from infoplane.plots.view import View, evenly, middle_cut

MAX_LAYERS = 8


def bound(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    seeds: str = "both",
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw the information plane and the most I(T;Y) that any T can have at its I(X;T).

    The curve is exact for the recorded inputs and labels; what lies above it is bias of the
    estimate. The region above is grey; since
    I(T;Y) cannot exceed I(X;T) it reaches down to 0 at the left.

    Parameters
    ----------
    results : mapping or View
        A results document whose recordings hold the bottleneck curve.
    ax : Axes, optional
        Where to draw; a new figure by default.
    layers : sequence of str, optional
        Layers to draw; of more than 8, 8 are taken evenly unless they are named here.
    estimator, group, seeds, style, size
        As for `infoplane.plots.plane.figure.plane`.

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
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        known = _curve(view, group)
        estimator = view.estimator(estimator, "ixt", "ity", group=group)
        if ax is None:
            ax = page.canvas(size, 4.7).add_subplot()
        shown = layers or evenly(view.layers(group, estimator), MAX_LAYERS)
        paths = find_paths(view, group, estimator, shown)
        norm = time_norm(paths)
        label = draw_plane(ax, view, group, estimator, paths, norm, seeds=seeds)
        ax.set_xlim(0.0 if ax.get_xlim()[0] >= 0 else ax.get_xlim()[0], ax.get_xlim()[1])
        _regions(ax, known)
        ax.set_xlabel("I(X;T)  [bits]")
        ax.set_ylabel("I(T;Y)  [bits]")
        titled(
            ax, f"Information bottleneck bound — {middle_cut(look.drawable(group), 44)}",
            view.subtitle(group, estimator),
        )  # fmt: skip
        words = f"information bottleneck: exact for all {known['n_inputs']:,} inputs"
        if not all(known["converged"]):
            words += ", to within its iteration"
        handles = [
            Line2D([], [], color=look.ink(), linewidth=2.0, label=words),
            Patch(color=look.muted(), alpha=0.22, lw=0, label="out of reach of any T"),
            *plane_legend(paths, seeds, band=view.ceiling(group, estimator) is not None),
        ]  # fmt: skip
        if layers is None and len(shown) < len(view.layers(group, estimator)):
            text = f"{len(shown)} of {len(view.layers(group, estimator))} layers shown"
            handles.append(Line2D([], [], linestyle="none", label=text))
        look.legend_below(ax, handles, page.width(ax) - 0.8)
        if has_bar(paths):
            time_bar([ax], norm, paths)
        page.laid_out(ax)
        label()
        return ax


def _curve(view: View, group: str) -> Mapping[str, Any]:
    """Return the curve that all runs of a group share."""
    found = [recording.get("bottleneck") for recording in view.recordings(group)]
    hint = "it is known where the inputs are every combination of discrete values, equally often"
    if any(curve is None for curve in found):
        raise NotFoundError(
            f"the bound needs p(y|x) of a discrete X; {group!r} does not have it", hint=hint
        )
    first: Mapping[str, Any] = found[0] or {}
    if any(curve != first for curve in found):
        raise NotFoundError(f"the runs of {group!r} have different bounds", hint=hint)
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

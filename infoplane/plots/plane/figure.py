"""The information plane, or that of any two quantities: a path per layer, coloured by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes

from infoplane.calls import text_or_none
from infoplane.errors import InputError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.drawing import EstimatorOptions, drawing, figure
from infoplane.plots.plane.facets import FACETS, plane_by_layer, planes_beside
from infoplane.plots.plane.overlay import planes_over
from infoplane.plots.plane.panel import (
    draw_plane,
    has_bar,
    name_axes,
    plane_legend,
    plane_title,
    time_bar,
)
from infoplane.plots.plane.paths import find_paths, time_norm
from infoplane.plots.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_LAYERS = 8
"""With more layers the plane is drawn by layer unless told otherwise."""


@figure(EstimatorOptions)
def plane(
    results: Mapping[str, Any] | View,
    *,
    facet: str | None = None,
    x: str | None = None,
    y: str | None = None,
    ity: str | None = None,
    seeds: str = "both",
    bounds: bool = True,
    zoom: bool = False,
    legend: bool = True,
    **options: Unpack[EstimatorOptions],
) -> Axes:
    """Draw the information plane of one estimator and one group of runs, or several beside it.

    Parameters
    ----------
    results : mapping or View
        A results document.
    facet : {"none", "layer", "estimator", "group", "overlay"}, optional
        What the panels of small multiples differ in, on the same axes; "none" is one panel.
        "overlay" draws all groups of runs into it, above 8 layers into a panel per layer. By
        layer, the others stay visible in grey; of more than 24 layers, 24 are taken evenly unless
        they are named. The default is "layer" above 8 layers, else "none", and "none" with ``ax``.
    x, y : str, optional
        Quantities across and upwards, I(X;T) and I(T;Y) by default: "effective_rank" and "probe",
        say.
    ity : str, optional
        Estimator of what is drawn upwards, e.g. "probe": ``estimator`` is then that of what is
        drawn across alone.
    seeds : {"both", "mean", "all"}, default "both"
        Mean over runs, single runs, or the mean over faint single runs.
    bounds : bool, default True
        Draw H(Y) and log2 N; the limits then contain them.
    zoom : bool, default False
        Leave saturated layers and the bounds out of the limits.
    legend : bool, default True
        Explain the marks below the axes, and colours at the right of axes that are given.

    Returns
    -------
    Axes
        The axes, of small multiples the first.

    Raises
    ------
    InputError
        If ``facet`` is none of these, or there is no such quantity.
    NotFoundError
        If no estimator of the group has both quantities, ``ity`` has none, or a layer is not there.
    """
    for argument, value in (("x", x), ("y", y), ("ity", ity)):
        text_or_none(value, argument)
    if facet not in (None, *FACETS):
        raise InputError(f"expected a facet of {', '.join(FACETS)}, got {facet!r}")
    view, wanted = View.of(results), (x or "ixt", y or "ity")
    apart = bool(ity) or _apart(view, options.get("group"), wanted)
    needs = wanted[:1] if apart else wanted
    with drawing(
        view, *(() if facet in ("estimator", "group", "overlay") else needs), **options
    ) as on:
        on = replace(on, plane=wanted)
        if apart:
            on = replace(on, upwards=view.estimator(ity, wanted[1], group=on.group))
        if facet == "overlay":
            return planes_over(
                on, most_layers=MAX_LAYERS, seeds=seeds, bounds=bounds, zoom=zoom, legend=legend
            )
        if facet in ("estimator", "group"):
            return planes_beside(on, facet, seeds=seeds, bounds=bounds, zoom=zoom, legend=legend)
        many = len(on.layers()) > MAX_LAYERS
        if facet == "layer" or (facet is None and on.ax is None and many):
            return plane_by_layer(on, seeds=seeds, bounds=bounds, legend=legend)
        paths = find_paths(on)
        ax = on.axes(4.5)
        norm = time_norm(paths)
        label = draw_plane(ax, on, paths, norm, seeds=seeds, bounds=bounds, zoom=zoom)
        name_axes(ax, on)
        below = on.about_labels
        on.title(ax, plane_title(on), more=f" · {below}" if below else "")
        if legend:
            handles = plane_legend(paths, seeds, band=bounds and on.ceiling is not None)
            look.legend_below(ax, handles, page.width(ax) - 0.8)
        if (on.ax is None or legend) and has_bar(paths):
            time_bar([ax], norm, paths)
        page.laid_out(ax, label)
        return ax


def _apart(view: View, group: str | None, wanted: tuple[str, str]) -> bool:
    """Return whether the quantities of a plane are those of two estimators.

    Raises
    ------
    InputError
        If there is no such quantity.
    """
    for quantity in wanted:
        view.vocabulary.check(quantity)
    return wanted != ("ixt", "ity") and not view.estimators(*wanted, group=view.group(group))

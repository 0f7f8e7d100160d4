"""The information plane: I(T;Y) over I(X;T), one path per layer, coloured by training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from infoplane.errors import InputError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import titled
from infoplane.plots.plane.facets import FACETS, plane_by_layer, planes_beside
from infoplane.plots.plane.panel import draw_plane, has_bar, plane_legend, time_bar
from infoplane.plots.plane.paths import find_paths, time_norm
from infoplane.plots.view import View, middle_cut

MAX_LAYERS = 8
"""With more layers the plane is drawn by layer unless told otherwise."""


def plane(
    results: Mapping[str, Any] | View,
    *,
    ax: Axes | None = None,
    facet: str | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    seeds: str = "both",
    bounds: bool = True,
    zoom: bool = False,
    legend: bool = True,
    style: str = "paper",
    size: str | float = "double",
) -> Axes:
    """Draw the information plane of one estimator and one group of runs, or several beside it.

    Parameters
    ----------
    results : mapping or View
        A results document.
    ax : Axes, optional
        Where to draw; small multiples take the place of these axes in their figure. A new figure
        by default.
    facet : {"none", "layer", "estimator", "group"}, optional
        What the panels of small multiples differ in, on the same axes; "none" is one panel. By
        layer, the others stay visible in grey; of more than 24 layers, 24 are taken evenly unless
        they are named. The default is "layer" above 8 layers, else "none", and "none" with ``ax``.
    estimator : str, optional
        Id of an estimator with I(X;T) and I(T;Y); the first by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; all by default.
    seeds : {"both", "mean", "all"}, default "both"
        Mean over runs, single runs, or the mean over faint single runs.
    bounds : bool, default True
        Draw H(Y) and log2 N; the limits then contain them.
    zoom : bool, default False
        Leave saturated layers and the bounds out of the limits.
    legend : bool, default True
        Explain the marks below the axes, and colours at the right of axes that are given.
    style, size : str
        See `infoplane.plots.canvas.style` and `infoplane.plots.canvas.page`.

    Returns
    -------
    Axes
        The axes, of small multiples the first; all quantities in bits.

    Raises
    ------
    InputError
        If ``facet`` is none of these.
    NotFoundError
        If no estimator of the group has both quantities, or a layer is not there.
    """
    if facet not in (None, *FACETS):
        raise InputError(f"expected a facet of {', '.join(FACETS)}, got {facet!r}")
    with look.context(style):
        view = View.of(results)
        group = view.group(group)
        if facet is None and ax is None:
            facet = "layer" if len(layers or view.layers(group)) > MAX_LAYERS else "none"
        if facet in ("estimator", "group"):
            return planes_beside(
                view, group, facet, estimator, layers, ax,
                seeds=seeds, bounds=bounds, zoom=zoom, legend=legend, size=size,
            )  # fmt: skip
        estimator = view.estimator(estimator, "ixt", "ity", group=group)
        if facet == "layer":
            return plane_by_layer(
                view, group, estimator, layers, ax,
                seeds=seeds, bounds=bounds, legend=legend, size=size,
            )  # fmt: skip
        own = ax is None
        paths = find_paths(view, group, estimator, layers)
        if ax is None:
            ax = page.canvas(size, 4.5).add_subplot()
        norm = time_norm(paths)
        label = draw_plane(
            ax, view, group, estimator, paths, norm, seeds=seeds, bounds=bounds, zoom=zoom
        )
        ax.set_xlabel("I(X;T)  [bits]")
        ax.set_ylabel("I(T;Y)  [bits]")
        titled(
            ax, f"Information plane — {middle_cut(look.drawable(group), 48)}",
            view.subtitle(group, estimator),
        )  # fmt: skip
        if legend:
            band = bounds and view.ceiling(group, estimator) is not None
            look.legend_below(ax, plane_legend(paths, seeds, band=band), page.width(ax) - 0.8)
        if (own or legend) and has_bar(paths):
            time_bar([ax], norm, paths)
        page.laid_out(ax)
        label()
        return ax

"""Figures by name: each is a function of its own module, loaded when it is drawn."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from infoplane.errors import InputError
from infoplane.plots.groups import chosen, side_by_side
from infoplane.plots.view import SIZES, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, str] = {
    "plane": "infoplane.plots.plane.figure:plane",
    "steps": "infoplane.plots.steps:steps",
    "compression": "infoplane.plots.compression:compression",
    "spectral": "infoplane.plots.steps:spectral",
    "representation": "infoplane.plots.measures:representation",
    "collapse": "infoplane.plots.measures:collapse",
    "output": "infoplane.plots.output:output",
    "eigenvalues": "infoplane.plots.eigenvalues:eigenvalues",
    "weights": "infoplane.plots.measures:weights",
    "attention": "infoplane.plots.attention:attention",
    "agreement": "infoplane.plots.agreement:agreement",
    "heat": "infoplane.plots.heat:heat",
    "scale": "infoplane.plots.scale:scale",
    "resolution": "infoplane.plots.resolution:resolution",
    "gap": "infoplane.plots.gap:gap",
    "bound": "infoplane.plots.bound:bound",
    "sampling": "infoplane.plots.sampling:sampling",
    "compare": "infoplane.plots.compare:compare",
    "diagnostics": "infoplane.plots.diagnostics:diagnostics",
    "gradients": "infoplane.plots.gradients:gradients",
    "losses": "infoplane.plots.losses:losses",
    "curvature": "infoplane.plots.curvature:curvature",
    "depth": "infoplane.plots.depth:depth",
    "similarity": "infoplane.plots.similarity.layers:similarity",
    "similarity-training": "infoplane.plots.similarity.training:similarity_training",
    "similarity-steps": "infoplane.plots.similarity.training:similarity_steps",
    "similarity-models": "infoplane.plots.similarity.layers:similarity_models",
}
"""Figures by name, as ``module:function``."""

_OF_ANY = ("steps", "heat", "depth")
"""Figures of any quantity: files of theirs are written for those that no other figure shows."""


def draw(
    results: Mapping[str, Any] | View, name: str, *, groups: str | None = None, **options: Any
) -> Figure:
    """Draw a figure by name.

    Parameters
    ----------
    results : mapping or View
        A results document; a `infoplane.plots.view.View` of it saves time over many figures.
    name : str
        A key of `FIGURES`.
    groups : {"beside", "overlay"}, optional
        Draw several groups of runs: a figure of each, side by side on the same axes; "overlay"
        draws their planes into one panel. ``group`` are then those to draw, all by default.
    **options : object
        Arguments of the figure function, e.g. ``ax``, ``estimator``, ``group``, ``style``,
        ``size``.

    Returns
    -------
    Figure
        The whole figure; the function itself returns the axes.

    Raises
    ------
    InputError
        If there is no figure of this name, or it has no such option.
    NotFoundError
        If the results do not hold what the figure needs; the message says what.
    """
    if not isinstance(name, str) or name not in FIGURES:
        near = difflib.get_close_matches(str(name), FIGURES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"expected a figure of {', '.join(FIGURES)}, got {name!r}{hint}")
    taken = options_of(name)
    if unfit := options.keys() - taken - {"ax"}:
        raise InputError(
            f"expected an option of the figure {name!r}, got {min(unfit)!r}",
            hint=f"options: ax, {', '.join(sorted(taken))}",
        )
    function = resolve_name(FIGURES[name])
    if groups is not None and "group" in taken:
        view = View.of(results)
        names = chosen(view, groups, options.pop("group", None))
        if name == "plane" and options.get("facet") is None:
            facet = {"beside": "group", "overlay": "overlay"}[groups]
            return draw(view.only(*names), name, facet=facet, **options)
        if len(names) > 1:
            return side_by_side(function, view, names, options)
        return draw(view.only(*names), name, **options)
    figure: Figure = function(results, **options).get_figure(root=True)
    return figure


def draw_once(view: View, name: str, **options: Any) -> Figure:
    """Return a figure like `draw`, the same object each time: for files and report in one go."""
    options = {key: value for key, value in options.items() if value is not None}
    key = (name, *sorted((key, str(value)) for key, value in options.items()))
    if key not in view.drawn:
        view.drawn[key] = draw(view, name, **options)
        view.drawn[key].final = True
    figure: Figure = view.drawn[key]
    return figure


def default_figures(
    view: View, options: Mapping[str, Any], *, every: bool
) -> list[tuple[str, str, dict[str, str]]]:
    """Return what ``infoplane plot`` draws by itself: file, figure and quantity of each.

    Figures of any quantity are drawn again for each one that no other figure shows, unless one is
    chosen. I(X;T) and DSE by depth are left out unless ``every`` figure is wanted: plane and
    compression tell of it.
    """
    if not view.curves:
        return [(name, name, {}) for name in FIGURES if name.startswith("similarity")]
    group = view.group(options.get("group"))
    chosen = "quantity" in options
    further = [] if chosen else [{"quantity": quantity} for quantity in view.further(group)]
    there = view.quantities(group)
    found: list[tuple[str, str, dict[str, str]]] = []
    for name in FIGURES:
        of = further if name in _OF_ANY else []
        if of and not any(q in there for q in (("ixt",) if name == "steps" else SIZES)):
            found.append((name, name, of[0]))
            of = of[1:]
        elif name != "depth" or every or chosen:
            found.append((name, name, {}))
        for one in of:
            file = f"{name}-{re.sub(r'[^A-Za-z0-9_]+', '-', one['quantity'])}"
            found.append((file, name, one))
    return found


def options_of(name: str) -> set[str]:
    """Return the names of the options that a figure takes."""
    return set(inspect.signature(resolve_name(FIGURES[name])).parameters) - {"results", "ax"}

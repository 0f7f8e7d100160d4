"""Where figures are drawn: a canvas of their own, or the place of axes that are given."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from infoplane.errors import InputError
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.picture import Picture
from infoplane.plots.canvas.together import Together

_TAKEN: WeakKeyDictionary[Axes, tuple[SubFigure, float]] = WeakKeyDictionary()
"""The figures of several panels that took the place of axes, and its width in inches."""

_BARS: WeakKeyDictionary[Axes, list[Colorbar]] = WeakKeyDictionary()
"""What a figure of one panel put beside axes that were given."""

SIZES = {"single": 3.5, "double": 7.0, "slide": 10.0}
"""Widths of figures, in inches."""


def canvas(size: str | float, height: float) -> Picture:
    """Return an empty figure, its width a name of `SIZES` or inches.

    ``height`` is in inches for text of 8 points and grows with the text of the style.

    Raises
    ------
    InputError
        If there is no such size.
    """
    scale = look.font_size("font.size") / 8
    return Picture(figsize=(inches(size), height * scale), layout="constrained")


def area(ax: Axes | None, size: str | float, height: float) -> Figure | SubFigure:
    """Return an empty figure; or a part of the figure of ``ax``, which it takes the place of.

    A figure without a layout gets matplotlib's constrained one: panels side by side need it.

    Raises
    ------
    InputError
        If there is no such size, or ``ax`` is not in the grid of a figure.
    """
    if ax is None:
        return canvas(size, height)
    if ax in _TAKEN:
        return emptied(_TAKEN[ax][0])
    cell = ax.get_subplotspec()
    if cell is None:
        raise InputError(
            "expected axes of a grid, as figure.subplots() makes them, got axes at a free position"
        )
    figure, whole, wide = ax.figure, root(ax), width(ax)
    _without_bars(ax)
    ax.remove()
    if isinstance(whole, Together):
        whole.ask(cell, height * look.font_size("font.size") / 8)
    if not isinstance(whole.get_layout_engine(), ConstrainedLayoutEngine):
        whole.set_layout_engine("constrained")
    part = figure.add_subfigure(cell, facecolor=look.paper())
    _TAKEN[ax] = part, wide
    return part


def axes(ax: Axes | None, size: str | float, height: float) -> Axes:
    """Return the axes of a figure of one panel: new ones, or ``ax``.

    What another figure drew there before is gone.
    """
    if ax is None:
        return canvas(size, height).add_subplot()
    if ax in _TAKEN:
        return emptied(_TAKEN[ax][0]).add_subplot()
    if ax in _BARS:
        _without_bars(ax)
        ax.clear()
    _BARS[ax] = []
    whole, cell = root(ax), ax.get_subplotspec()
    if isinstance(whole, Together) and cell is not None:
        whole.ask(cell, height * look.font_size("font.size") / 8)
    return ax


def beside(ax: Axes, bar: Colorbar) -> None:
    """Remember the scale that a figure puts beside axes, so that it goes with what is drawn."""
    if ax in _BARS:
        _BARS[ax].append(bar)


def _without_bars(ax: Axes) -> None:
    for bar in _BARS.pop(ax, ()):
        bar.remove()


def emptied(part: SubFigure) -> SubFigure:
    """Return a part of a figure without what was drawn in it."""
    part.clear()
    part.set_facecolor(look.paper())
    return part


def root(where: Axes | Figure | SubFigure) -> Figure:
    """Return the whole figure that something is in."""
    figure = where.get_figure(root=True)
    assert isinstance(figure, Figure), where
    return figure


def inches(size: str | float) -> float:
    """Return a width in inches, of a name of `SIZES` or a number.

    Raises
    ------
    InputError
        If there is no such size.
    """
    if isinstance(size, str) and size in SIZES:
        return SIZES[size]
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size < np.inf:
        expected = f"a size of {', '.join(SIZES)}, or a width in inches"
        raise InputError(f"expected {expected}, got {size!r:.60}")
    return float(size)


def width(where: Axes | Figure | SubFigure) -> float:
    """Return how wide a figure is, or the place of axes with all that stands around them."""
    if not isinstance(where, Axes):
        return float(where.bbox.width / where.dpi)
    if where in _TAKEN:
        return _TAKEN[where][1]
    cell, share = where.get_subplotspec(), 1.0
    if cell is None:
        return float(where.get_position().width) * width(where.figure)
    for part in dict.fromkeys((cell, cell.get_topmost_subplotspec())):
        ratios = np.array(part.get_gridspec().get_width_ratios(), dtype=float)
        share *= float(ratios[list(part.colspan)].sum() / ratios.sum())
    return share * width(where.figure)


def abreast(size: str | float, where: Axes | Figure | SubFigure | None, least: float) -> int:
    """Return how many panels stand side by side, each at least ``least`` inches wide.

    The width is that of ``where`` if there is something; ``least`` is for text of 8 points.
    """
    room = inches(size) if where is None else width(where)
    return max(1, int(room / least * 8 / look.font_size("font.size") + 1e-6))


def laid_out(where: Axes | Figure | SubFigure, then: Callable[[], object]) -> None:
    """Run the layout of a figure, so that positions of artists are final, and ``then`` write.

    In a figure of our own it is not run again when the figure is saved: that would cost as much as
    the drawing, and move what labels were placed around.
    """
    figure = root(where)
    if isinstance(figure, Together):
        figure.once_laid_out.append(then)
        return
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        if isinstance(figure, Picture):
            figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.apply_aspect()
    then()


def once_laid_out(where: Axes | Figure | SubFigure, then: Callable[[], object]) -> None:
    """Write what needs final positions, of a figure that was `laid_out`."""
    figure = root(where)
    if isinstance(figure, Together):
        figure.once_laid_out.append(then)
    else:
        then()


def once_drawn(where: Axes | Figure | SubFigure, then: Callable[[], object]) -> None:
    """Do what needs final limits: at once, or when the figures beside this one are drawn."""
    figure = root(where)
    if isinstance(figure, Together):
        figure.once_drawn.append(then)
    else:
        then()

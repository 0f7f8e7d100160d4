"""Small multiples: panels on the same axes, with ticks at the outer ones alone.

Most of the time that a figure of many panels takes goes into ticks; those inside say nothing that
their grid lines do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.ticker import NullLocator

from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look


def limit(axes: Iterable[Axes], x: tuple[float, float], y: tuple[float, float]) -> None:
    """Give axes these limits for good: what is drawn later does not move them."""
    for ax in axes:
        ax.set_xlim(*x)
        ax.set_ylim(*y)


def panel_room(width: float, columns: int, beside: float = 0.75) -> float:
    """Return the inches that a title may be wide above one of some panels side by side.

    ``beside`` is what labels and scales take of the width, for text of 8 points.
    """
    return (width - beside * look.font_size("font.size") / 8) / columns - 0.08


def outer_ticks(grid: Any) -> None:
    """Leave ticks to the first panel of each row and the lowest of each column.

    Parameters
    ----------
    grid : array of Axes (n_rows, n_columns)
        Panels whose limits are those of their row and column, with ticks that no layout moves.
    """
    page.once_drawn(grid.flat[0], lambda: _outer_ticks(grid))


def _outer_ticks(grid: Any) -> None:
    for row in grid:
        shown = [ax for ax in row if ax.get_visible()]
        for ax in shown[1:]:
            _lines_alone(ax, ax.yaxis, shown[0].yaxis)
    for column in grid.T:
        shown = [ax for ax in column if ax.get_visible()]
        for ax in shown[:-1]:
            _lines_alone(ax, ax.xaxis, shown[-1].xaxis)


def _lines_alone(ax: Axes, axis: Axis, like: Axis) -> None:
    """Replace the ticks of an axis by the grid lines of another with the same limits."""
    low, high = sorted(like.get_view_interval())
    at = [tick for tick in like.get_majorticklocs() if low <= tick <= high]
    ends = np.array([[[tick, 0.0], [tick, 1.0]] for tick in at]).reshape(-1, 2, 2)
    upright = axis is ax.xaxis
    axis.set_major_locator(NullLocator())
    axis.set_minor_locator(NullLocator())
    lines = LineCollection(
        list(ends if upright else ends[..., ::-1]),
        colors=look.hair(),
        linewidths=0.6,
        transform=ax.get_xaxis_transform() if upright else ax.get_yaxis_transform(),
        zorder=0.5,
    )
    lines.set_in_layout(False)
    ax.add_collection(lines, autolim=False)

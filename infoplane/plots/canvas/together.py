"""A figure made of figures side by side: laid out once, on the same axes, when all are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colorbar import Colorbar
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.ticker import FixedFormatter, NullFormatter

from infoplane.plots.canvas.picture import Picture


class Together(Picture):
    """Figures in the cells of a grid.

    What a figure does when its limits stand, or its layout, waits until all of them are drawn:
    `once_drawn` takes the former, `once_laid_out` the latter.
    """

    def __init__(self, width: float, rows: int, columns: int) -> None:
        super().__init__(figsize=(width, rows), layout="constrained")
        self.once_drawn: list[Callable[[], object]] = []
        self.once_laid_out: list[Callable[[], object]] = []
        self._heights = np.ones(rows)
        self._grid = GridSpec(rows, columns, figure=self)

    def cell(self, index: int) -> Axes:
        """Return empty axes in a cell; a figure that is drawn into them takes their place."""
        return self.add_subplot(self._grid[divmod(index, self._grid.ncols)])

    def ask(self, cell: SubplotSpec, height: float) -> None:
        """Give the row of a cell at least this height, in inches."""
        row = cell.rowspan.start
        self._heights[row] = max(self._heights[row], height)

    def complete(self) -> None:
        """Lay all figures out, and do what waited for that."""
        self.set_size_inches(self.get_figwidth(), float(self._heights.sum()))
        self._grid.set_height_ratios(self._heights.tolist())
        for act in self.once_drawn:
            act()
        engine = self.get_layout_engine()
        assert engine is not None
        engine.execute(self)
        self.set_layout_engine("none")
        for ax in self.axes:
            ax.apply_aspect()
        for act in self.once_laid_out:
            act()
        self.once_drawn, self.once_laid_out = [], []


def share_limits(parts: Sequence[Sequence[Axes]]) -> bool:
    """Give the same panels of several figures the same limits and colours.

    Axes of names (layers, steps that were recorded) keep theirs.

    Returns
    -------
    bool
        Whether the figures have the same panels.
    """
    if len({len(axes) for axes in parts}) > 1:
        return False
    for alike in zip(*parts, strict=True):
        for name in ("xaxis", "yaxis"):
            _share([getattr(ax, name) for ax in alike])
        _share_colours(alike)
    return True


def _share(axes: Sequence[Axis]) -> None:
    if any(_named(axis) for axis in axes) or len({axis.get_label_text() for axis in axes}) > 1:
        return
    ends = np.array([axis.get_view_interval() for axis in axes])
    if len({bool(low > high) for low, high in ends}) == 1 and ends[0, 0] < ends[0, 1]:
        for axis in axes:
            axis.set_view_interval(ends[:, 0].min(), ends[:, 1].max(), ignore=True)


def _named(axis: Axis) -> bool:
    return isinstance(axis.get_major_formatter(), FixedFormatter) and not isinstance(
        axis.get_major_formatter(), NullFormatter
    )


def _share_colours(alike: Sequence[Axes]) -> None:
    """Give scales of colour the same ends, if these axes are such scales."""
    bars = [getattr(ax, "_colorbar", None) for ax in alike]
    norms = [bar.norm for bar in bars if isinstance(bar, Colorbar)]
    lows = [norm.vmin for norm in norms if norm.vmin is not None]
    highs = [norm.vmax for norm in norms if norm.vmax is not None]
    if len(norms) == len(lows) == len(highs) == len(alike):
        for norm in norms:
            norm.vmin, norm.vmax = min(lows), max(highs)

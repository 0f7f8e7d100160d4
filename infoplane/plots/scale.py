"""Shape and scale: I(X;T) at relative and at fixed noise, and the size of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.drawing import OTHERS, Drawing, EstimatorOptions, drawing, figure, left_out
from infoplane.plots.labels import most_lines, panel_names
from infoplane.plots.steps import MAX_COLUMNS, NARROWEST, band_notes, draw_curve
from infoplane.plots.view import View
from infoplane.results.curves import Curves
from infoplane.results.shape_and_scale import NEEDS, Split, splits

if TYPE_CHECKING:
    from typing_extensions import Unpack

_GAP = 0.28
"""How dark the scale part is."""


@figure(EstimatorOptions)
def scale(results: Mapping[str, Any] | View, **options: Unpack[EstimatorOptions]) -> Axes:
    """Draw I(X;T) of at most 8 layers at relative and at fixed noise, and their size, over steps.

    What lies between the two is the part of scale: at one noise for all checkpoints a layer gains
    bits as it grows, whatever its shape. The size is log2 of the median distance, in octaves.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If no estimator has the three quantities, or a layer is not there.
    """
    with drawing(results, *NEEDS, **options) as on:
        have = on.layers("ixt_fixed")
        names = on.few(have, min(MAX_COLUMNS, max(2, on.abreast(NARROWEST))))
        small = look.font_size("xtick.labelsize")
        room = look.fits(panel_room(on.width, len(names)), small, bold=True)
        heads = panel_names(names, room)
        area = on.area(4.6 + 0.13 * most_lines(heads.values()))
        grid = area.subplots(2, len(names), squeeze=False, height_ratios=[1.5, 1])
        every = on.view.time(on.group)
        rows = [[on.curve(m, q) for m in names] for q in ("ixt", "ixt_fixed", "size")]
        for line, curves in zip(grid, ([*rows[0], *rows[1]], rows[2]), strict=True):
            limit(line, look.time_limits(every), _limits([c for c in curves if c is not None]))
            look.few_ticks(line[0].yaxis, 5)
        for panel, relative, fixed in zip(grid[0], rows[0], rows[1], strict=True):
            _panel(panel, on, relative, fixed)
        for panel, size in zip(grid[1], rows[2], strict=True):
            if size is not None:
                draw_curve(panel, size, on.view.quantity("size").colour)
        told = {found[0].layer: found[0] for found in _splits(on)}
        for panel, (layer, name) in zip(grid[0], heads.items(), strict=True):
            _head(panel, on, name, told.get(layer))
        for panel in grid[1]:
            n_ticks = min(5, page.abreast(on.size, area, 0.3) // len(names))
            clock.step_axis(panel.xaxis, every, n_ticks=max(2, n_ticks))
        outer_ticks(grid)
        grid[0, 0].set_ylabel(on.view.quantity("ixt").axis)
        grid[1, 0].set_ylabel(on.view.quantity("size").axis)
        shown = [c for row in rows for c in row if c is not None]
        notes = [
            f"Across: {clock.time_name()} (log scale).",
            "Numbers: change from the first to the last checkpoint.",
            *band_notes(shown),
            *left_out(names, have, OTHERS),
        ]
        on.finish(area, "Shape and scale per layer", notes, _handles(on))
        first: Axes = grid[0, 0]
        return first


def _splits(on: Drawing) -> list[list[Split]]:
    return splits(on.view.curves, on.group, on.estimator, whole=True)


def _limits(found: Sequence[Curves]) -> tuple[float, float]:
    parts = [look.finite(c.values) for c in found]
    parts += [
        look.finite(side) for c in found for both in (c.bracket(), c.interval())
        for side in both or ()
    ]  # fmt: skip
    values = np.concatenate([*parts, np.zeros(0 if any(p.size for p in parts) else 1)])
    low, high = float(values.min()), float(values.max())
    return look.padded(low, max(high, low + 0.5), 0.08)


def _panel(ax: Axes, on: Drawing, relative: Curves | None, fixed: Curves | None) -> None:
    """Draw both curves, and the part of scale between them."""
    colour = on.view.quantity("ixt").colour
    if relative is not None and fixed is not None:
        steps, at_relative, at_fixed = np.intersect1d(
            relative.steps, fixed.steps, return_indices=True
        )
        ax.fill_between(
            np.log10(steps + 1.0), relative.mean()[at_relative], fixed.mean()[at_fixed],
            color=look.muted(), alpha=_GAP, linewidth=0, zorder=1.6, label=f"_scale {fixed.layer}",
        )  # fmt: skip
    if fixed is not None:
        draw_curve(ax, fixed, look.ink(), dashed=True)
    if relative is not None:
        draw_curve(ax, relative, colour)


def _head(ax: Axes, on: Drawing, name: str, split: Split | None) -> None:
    """Write the layer, and what its change is made of, above a column."""
    small = look.font_size("xtick.labelsize")
    ax.set_title(name, loc="left", fontsize=small, pad=7 + 2.6 * small, linespacing=1.15)
    if split is None:
        return
    colours = (on.view.quantity("ixt").colour, look.muted())
    for line, (word, colour) in enumerate(zip(("shape", "scale"), colours, strict=True)):
        ax.annotate(
            f"{word} {on.view.number('ixt', getattr(split, word), sign=True)}", (0, 1),
            xycoords="axes fraction", xytext=(0, 5 + (1 - line) * 1.3 * small),
            textcoords="offset points", color=colour, va="bottom", fontsize=small,
        )  # fmt: skip


def _handles(on: Drawing) -> list[Artist]:
    colour = on.view.quantity("ixt").colour
    return [
        Line2D([], [], color=colour, label="noise relative to the layer: its shape"),
        Line2D([], [], color=look.ink(), ls="--", label="one noise for all checkpoints"),
        Patch(color=look.muted(), alpha=_GAP, lw=0, label="between them: its scale"),
    ]

"""The figure ``agreement``: the change of each layer by one estimator against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.estimators.quantities import IXT
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.drawing import Drawing, Options, drawing, figure
from infoplane.plots.labels import middle_cut, short_names
from infoplane.plots.measures import layer_colours
from infoplane.plots.view import SIZES, View
from infoplane.results.generalization import spearman
from infoplane.results.verdicts import Phase

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_ESTIMATORS = 4
_MAX_LABELS = 12


@figure(Options)
def agreement(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw the change of I(X;T) or DSE by each pair of estimators, in bits, a mark per layer.

    Shaded where the two differ in sign. Saturated layers are left out. Of more than four
    estimators the first four are drawn.

    Parameters
    ----------
    results : mapping or View
        A results document; its ``phases`` are drawn.

    Raises
    ------
    NotFoundError
        If fewer than two estimators have a change of the same layer.
    """
    with drawing(results, **options) as on:
        changes = _changes(on)
        chosen = sorted(changes, key=on.view.estimators(group=on.group).index)[:_MAX_ESTIMATORS]
        pairs = [
            (a, b) for a, b in combinations(chosen, 2) if changes[a].keys() & changes[b].keys()
        ]
        if not pairs:
            raise NotFoundError(
                f"agreement needs two estimators with a change of the same layer of {on.group!r}",
                hint="analyze with -e binning -e compressed -e dse, over two checkpoints or more",
            )
        columns = min(len(pairs), 3, on.abreast(2.2))
        rows = -(-len(pairs) // columns)
        height = min(4.0, 0.5 + 0.83 * page.inches(on.size) / columns)
        area = on.area(0.9 + height * rows)
        grid = area.subplots(rows, columns, squeeze=False)
        for panel in grid.ravel()[len(pairs) :]:
            panel.set_visible(False)
        titles = on.view.estimator_names(chosen)
        order = on.view.layers(on.group)
        pending = []
        for panel, (a, b) in zip(grid.ravel(), pairs, strict=False):
            common = [layer for layer in order if layer in changes[a] and layer in changes[b]]
            found = [(changes[a][layer], changes[b][layer]) for layer in common]
            points = np.array([[p.change, q.change] for p, q in found])
            _panel(panel, found, [order.index(layer) for layer in common], len(order))
            names = [look.drawable(middle_cut(titles[e], 30)) for e in (a, b)]
            panel.set_xlabel(f"{names[0]}  [{on.unit}]")
            panel.set_ylabel(f"{names[1]}  [{on.unit}]")
            panel.set_title(_spearman_text(points), loc="left", fontweight="normal",
                            fontsize=look.font_size("font.size"))  # fmt: skip
            pending.append((panel, common, points))
        notes = ["Change of I(X;T) or DSE, peak to last.", "Shaded: the estimators differ in sign.",
                 "Dashed: equal.", "Bars: 95 % intervals."]  # fmt: skip
        if any(len(common) > _MAX_LABELS for _, common, _ in pending):
            notes += ["Colour: depth, from dark to light.",
                      "Named: first, last, and those furthest from equal."]  # fmt: skip
        on.finish(area, "Agreement of estimators", notes)
        for one in pending:
            page.once_laid_out(area, partial(_name, *one))
        first: Axes = grid[0, 0]
        return first


def _changes(on: Drawing) -> dict[str, dict[str, Phase]]:
    """Return the phases by estimator and layer that have a change and are not saturated."""
    changes: dict[str, dict[str, Phase]] = {}
    for p in on.view.phases.values():
        if p.group != on.group or p.quantity not in SIZES or p.saturated or p.change is None:
            continue
        if on.wants(p.layer):
            changes.setdefault(p.estimator, {})[p.layer] = p
    return changes


def _panel(ax: Axes, found: Sequence[tuple[Phase, Phase]], at: Sequence[int], n: int) -> None:
    many, colours = len(found) > _MAX_LABELS, layer_colours(n)
    for (p, q), i in zip(found, at, strict=True):
        (x, *across), (y, *upwards) = np.array(
            [[s.change, s.change_low, s.change_high] for s in (p, q)], dtype=float
        )
        for bar in ((across, [y, y]), ([x, x], upwards)):
            if np.isfinite(bar).all():
                ax.plot(*bar, color=look.muted(), linewidth=0.3 if many else 0.8, zorder=2)
        marker = "o" if many else look.LAYER_MARKERS[i % len(look.LAYER_MARKERS)]
        ax.plot(
            x, y, marker, color=colours[i] if many else IXT.colour, markersize=4 if many else 6,
            markeredgecolor=look.ink(), markeredgewidth=0.3 if many else 0.8, zorder=3,
        )  # fmt: skip
    low = min(ax.dataLim.x0, ax.dataLim.y0, 0.0)
    high = max(ax.dataLim.x1, ax.dataLim.y1, 0.0)
    low, high = look.padded(low, high, 0.06)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    look.few_ticks(ax.xaxis, 5)
    look.few_ticks(ax.yaxis, 5)
    for x, y in (((low, 0), (0, high)), ((0, high), (low, 0))):
        ax.fill_between(x, *y, color="#D55E00", alpha=0.08, linewidth=0, zorder=0.3)
    ax.plot([low, high], [low, high], color=look.ink(), linewidth=0.7, linestyle=(0, (4, 2)))
    ax.axhline(0, color=look.ink(), linewidth=0.7, zorder=1)
    ax.axvline(0, color=look.ink(), linewidth=0.7, zorder=1)


def _name(ax: Axes, layers: Sequence[str], points: FloatArray) -> None:
    names = short_names(layers)
    shown_points = [(layers[i], points[i]) for i in _to_name(points)]
    reach = 3.5 * ax.figure.dpi / 72
    left, right = ax.get_xlim()
    axes = [np.array([[left, 0.0], [right, 0.0]]), np.array([[0.0, left], [0.0, right]])]
    drawn = [np.column_stack(line.get_data()) for line in ax.lines]
    place(
        ax,
        [Label(names[n], [tuple(p)], look.ink()) for n, p in shown_points],
        lines=[*axes, *(line for line in drawn if len(line) > 1)],
        boxes=[Bbox([at - reach, at + reach]) for at in ax.transData.transform(points)],
        size=look.font_size("xtick.labelsize"),
    )


def _to_name(points: FloatArray) -> list[int]:
    """Return which layers are named: all, or the first, the last and those least agreed on."""
    if len(points) <= _MAX_LABELS:
        return list(range(len(points)))
    apart = np.argsort(-np.abs(points[:, 0] - points[:, 1]), kind="stable")
    return list(dict.fromkeys([0, len(points) - 1, *apart[:2].tolist()]))


def _spearman_text(points: FloatArray) -> str:
    rho = spearman(points)
    layers = "1 layer" if len(points) == 1 else f"{len(points)} layers"
    return layers if rho is None else f"Spearman {look.bits(rho)}, {layers}"

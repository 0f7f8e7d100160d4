"""Layers against layers, of one network or of two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from infoplane.data import FloatArray
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import figure_titled
from infoplane.plots.labels import joined
from infoplane.plots.similarity.common import (
    VALUES_UP_TO,
    Chosen,
    chosen,
    colour_bar,
    colours,
    names_on,
    scale,
    write_values,
)
from infoplane.plots.view import View
from infoplane.results.similarities import Band, Row, matrix

_CELL = 0.8  # inches of the side of a cell, at most


def similarity(
    results: Mapping[str, Any] | View, *, ax: Axes | None = None, measure: str | None = None,
    group: str | None = None, layers: Sequence[str] | None = None, style: str = "paper",
    size: str | float = "double",
) -> Axes:  # fmt: skip
    """Draw how alike the layers of a network are at the last step, the mean over its runs.

    Runs of layers that are as alike as one layer in two seeds are outlined.

    Parameters
    ----------
    results : mapping or View
        A results document with similarities.
    ax : Axes, optional
        Where to draw; a new figure by default.
    measure : str, optional
        By its id or name; the first in the document by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw; all by default.
    style : {"paper", "talk", "dark"}, default "paper"
        See `infoplane.plots.canvas.style`.
    size : str or float, default "double"
        Width: a name of `infoplane.plots.canvas.page.SIZES`, or inches.

    Returns
    -------
    Axes
        The matrix; ``.figure.axes`` are this and the scale.

    Raises
    ------
    NotFoundError
        If the results hold no similarities of layers, or a name is not there.
    """
    with chosen(results, measure, group, style) as on:
        rows = [row for row in on.of("layers") if row["step_a"] == on.last]
        names = on.layers(layers)
        values = matrix(rows, names, "layer", on.identical)
        chance = _at_chance(rows, names, names, symmetric=True)
        known = on.all.ceilings(on.measure["id"], on.group)
        ceiling = Band.of([v for name in names for v in known.get((name, on.last), [])])
        wide = min(page.inches(size), 7.0)
        side = min(0.66 * wide, _CELL * len(names))
        area = page.area(ax, _narrow(size, side), side + 1.5)
        axes = area.add_subplot()
        norm = _draw(axes, values, on, rows)
        names_on(axes, names, down=True, across=True, room=side / len(names))
        if len(names) <= VALUES_UP_TO:
            write_values(axes, values, norm, colours(on))
        marks = _mark_chance(axes, chance)
        if ceiling is not None and _outline(axes, values, on, names, known):
            words = "as alike as one layer in two seeds"
            marks.append(Patch(fill=False, edgecolor=look.SATURATED, lw=1.6, label=words))
        colour_bar(area, axes, on, norm, on.null(rows), ceiling)
        title = f"How alike the layers are at step {on.last:,}: {on.measure['name']}"
        figure_titled(area, title, on.subtitle(), _notes(on, ceiling), marks)
        return axes


def similarity_models(
    results: Mapping[str, Any] | View, *, ax: Axes | None = None, measure: str | None = None,
    group: str | None = None, style: str = "paper", size: str | float = "double",
) -> Axes:  # fmt: skip
    """Draw how alike the layers of one model are to those of another, at the last step of each.

    The layer of the other model that is most alike is marked in each row.

    Parameters
    ----------
    results : mapping or View
        A results document with similarities.
    ax, measure, style, size
        As of `similarity`.
    group : str, optional
        The first of two groups of runs; the first that was compared with another by default.

    Returns
    -------
    Axes
        The matrix; ``.figure.axes`` are this and the scale.

    Raises
    ------
    NotFoundError
        If the results hold no similarities of models, or a name is not there.
    """
    with chosen(results, measure, group, style) as on:
        rows = on.of("models")
        of = {name: of_group for of_group, runs in on.all.groups.items() for name in runs}
        pairs = [(of[row["run_a"]], of[row["run_b"]]) for row in rows]
        wanted = [pair for pair in pairs if group is None or group in pair] or pairs
        a, b = wanted[0]
        rows = [row for row, pair in zip(rows, pairs, strict=True) if pair == (a, b)]
        down, across = (on.all.layers(on.all.groups[one]) for one in (a, b))
        values = _between(rows, down, across)
        wide = min(page.inches(size), 7.0)
        room = min(0.66 * wide / len(across), 0.9 * wide / len(down), _CELL)
        width = _narrow(size, room * len(across))
        area = page.area(ax, width, max(room * len(down), 1.0) + 1.7)
        axes = area.add_subplot()
        norm = _draw(axes, values, on, rows)
        names_on(axes, down, down=True, across=False, room=room)
        names_on(axes, across, down=False, across=True, room=room)
        axes.set_ylabel(a)
        axes.set_xlabel(b)
        if max(len(down), len(across)) <= VALUES_UP_TO:
            write_values(axes, values, norm, colours(on))
        marks = _mark_chance(axes, _at_chance(rows, down, across, symmetric=False))
        for i, row in enumerate(values):
            if np.isfinite(row).any():
                best = int(np.nanargmax(row) if on.identical > 0 else np.nanargmin(row))
                axes.add_patch(Rectangle((best - 0.46, i - 0.46), 0.92, 0.92, fill=False,
                                         edgecolor="white", linewidth=2.2))  # fmt: skip
                axes.add_patch(Rectangle((best - 0.46, i - 0.46), 0.92, 0.92, fill=False,
                                         edgecolor=look.SATURATED, linewidth=1.3))  # fmt: skip
        marks.append(
            Patch(fill=False, edgecolor=look.SATURATED, lw=1.6, label=f"most alike in {b}")
        )
        ceilings = [row[key] for row in rows for key in ("ceiling_low", "ceiling_high")
                    if row[key] is not None]  # fmt: skip
        ceiling = Band.of(ceilings)
        colour_bar(area, axes, on, norm, on.null(rows), ceiling)
        n_pairs = len({(row["run_a"], row["run_b"]) for row in rows})
        told = f"{a} and {b} · {n_pairs} {'pair' if n_pairs == 1 else 'pairs'} of runs"
        title = f"Which layers of two models are alike: {on.measure['name']}"
        figure_titled(area, title, told, _notes(on, ceiling), marks)
        return axes


def _narrow(size: str | float, side: float) -> str | float:
    """Return the width of a figure that a small matrix does not fill."""
    least = side + 2.6
    return size if least >= page.inches(size) else max(least, min(4.6, page.inches(size)))


def _draw(ax: Axes, values: FloatArray, on: Chosen, rows: Sequence[Row]) -> Any:
    norm = scale(on, values, rows)
    ax.imshow(np.ma.masked_invalid(values), norm=norm, cmap=colours(on), aspect="equal",
              interpolation="nearest")  # fmt: skip
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return norm


def _between(rows: Sequence[Row], down: Sequence[str], across: Sequence[str]) -> FloatArray:
    """Return the mean over pairs of runs (n_down, n_across)."""
    total, count = np.zeros((len(down), len(across))), np.zeros((len(down), len(across)))
    for row in rows:
        i, j = down.index(row["layer_a"]), across.index(row["layer_b"])
        total[i, j] += row["value"]
        count[i, j] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _at_chance(
    rows: Sequence[Row], down: Sequence[str], across: Sequence[str], *, symmetric: bool
) -> FloatArray:
    """Return the cells (row, column) that are at chance in any run."""
    found = []
    for row in rows:
        if "at_chance" in row["flags"] and row["layer_a"] in down and row["layer_b"] in across:
            i, j = down.index(row["layer_a"]), across.index(row["layer_b"])
            found += [(i, j), (j, i)] if symmetric else [(i, j)]
    return np.array(sorted(set(found)), dtype=float).reshape(-1, 2)


def _mark_chance(ax: Axes, cells: FloatArray) -> list[Any]:
    if not len(cells):
        return []
    look_of: dict[str, Any] = {"marker": "x", "color": "white", "linestyle": "none"}
    ax.plot(cells[:, 1], cells[:, 0] + 0.3, markersize=3, markeredgewidth=0.8, **look_of)
    mark = Line2D([], [], **(look_of | {"color": look.muted()}), markersize=4, label="at chance")
    return [mark]


def _outline(
    ax: Axes, values: FloatArray, on: Chosen, names: Sequence[str],
    known: Mapping[tuple[str, int], Sequence[float]],
) -> bool:  # fmt: skip
    """Outline runs of layers, each pair within the ceiling of both; tell whether there is one."""
    sign = 1 if on.identical > 0 else -1
    bars = [
        sign * min(sign * value for value in known[name, on.last])
        if (name, on.last) in known else None
        for name in names
    ]  # fmt: skip
    first, any_ = 0, False
    while first < len(names):
        end = first + 1
        while end < len(names) and all(
            (bar := _lower(bars[i], bars[end], sign)) is not None
            and sign * (values[i, end] - bar) >= 0
            for i in range(first, end)
        ):
            end += 1
        if end - first > 1:
            any_ = True
            place = (first - 0.5, first - 0.5)
            for colour, width in (("white", 2.6), (look.SATURATED, 1.4)):
                ax.add_patch(Rectangle(place, end - first, end - first, fill=False,
                                       edgecolor=colour, linewidth=width, zorder=3,
                                       clip_on=False))  # fmt: skip
        first = end
    return any_


def _lower(one: float | None, other: float | None, sign: int) -> float | None:
    """Return the bar of two layers that is easier to reach."""
    if one is None or other is None:
        return None
    return sign * min(sign * one, sign * other)


def _notes(on: Chosen, ceiling: Band | None) -> list[str]:
    notes = ["Chance: samples of one side permuted."]
    if ceiling is None:
        notes.append("No ceiling: it needs runs with other seeds.")
    else:
        notes.append("Other seeds: the same layer in two runs.")
    if on.measure["family"] == "alignment" and on.measure["id"] != "cka_without_top":
        rest = [m for m in on.all.measures if m == "cka_without_top"]
        notes.append(
            "One direction of large variance can make CKA high"
            + (f": compare {joined(rest)}." if rest else ".")
        )
    return notes

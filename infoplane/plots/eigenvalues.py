"""Eigenvalues of a layer by rank, on logarithmic axes, and the power law that was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from infoplane.errors import NotFoundError
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.canvas.multiples import limit, outer_ticks, panel_room
from infoplane.plots.depth import evenly_in_time, step_colours
from infoplane.plots.drawing import OTHERS, Drawing, QuantityOptions, drawing, figure, left_out
from infoplane.plots.labels import most_lines, panel_names
from infoplane.plots.view import View
from infoplane.results.curves import group_of_runs

if TYPE_CHECKING:
    from typing_extensions import Unpack

OF_OPERATOR = ("effective_rank", "rankme", "vne")
"""Quantities whose rows hold the eigenvalues: of covariance, second moments and directions."""

_OF = {
    "effective_rank": "covariance",
    "rankme": "second moments, not centred",
    "vne": "rows of length 1, not centred",
}
_MOST = 8
_FIT = (0, (4, 2))


@figure(QuantityOptions)
def eigenvalues(results: Mapping[str, Any] | View, **options: Unpack[QuantityOptions]) -> Axes:
    """Draw the eigenvalues of at most 8 layers, as shares of their sum, a line per checkpoint.

    ``quantity`` chooses the operator: "effective_rank" that of the covariance, "rankme" of the
    second moments, "vne" of the directions. Of several runs the first is drawn. Dashed is the power
    law of the last checkpoint, over the ranks that it was fitted on.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    InputError
        If there is no such quantity.
    NotFoundError
        If no row of it holds eigenvalues.
    """
    with drawing(results, first=OF_OPERATOR, **options) as on:
        rows = _rows(on, on.quantity)
        if not rows:
            raise NotFoundError(
                f"this figure needs eigenvalues; {on.group!r} has none of {on.about.symbol}",
                hint="analyze with -e spectrum",
            )
        have = [layer for layer in on.layers(on.quantity) if layer in rows]
        names = on.few(have, _MOST)
        fits = _rows(on, "alpha_req") if on.quantity == "effective_rank" else {}
        steps = evenly_in_time(np.unique([step for layer in names for step in rows[layer]]))
        columns = min(len(names), 4, max(1, on.abreast(1.5)))
        small = look.font_size("xtick.labelsize")
        heads = panel_names(names, look.fits(panel_room(on.width, columns), small, bold=True))
        tall = 1.75 + 0.13 * most_lines(heads.values())
        area = on.area(1.3 + tall * -(-len(names) // columns))
        grid = area.subplots(-(-len(names) // columns), columns, squeeze=False)
        panels = list(grid.ravel())
        for ax in panels[len(names) :]:
            ax.set_visible(False)
        for ax, (layer, name) in zip(panels, heads.items(), strict=False):
            _draw(ax, rows[layer], fits.get(layer, {}), steps)
            ax.set_title(name, loc="left", fontsize=small, linespacing=1.15)
        _frame(panels[: len(names)])
        outer_ticks(grid)
        for line in grid:
            line[0].set_ylabel("share of the sum")
        colours = step_colours(steps)
        handles = [
            Line2D([], [], color=colour, label=f"step {step:,}")
            for step, colour in zip(steps.tolist(), colours, strict=True)
        ]
        if fits:
            fit = "power law, last checkpoint"
            handles.append(Line2D([], [], color=look.ink(), linestyle=_FIT, label=fit))
        several = on.view.n_runs(on.group) > 1
        notes = [
            "Both axes: log scale; across: rank.",
            *([f"The run {_first_run(on)} alone."] if several else []),
            *left_out(names, have, OTHERS),
        ]
        on.finish(area, f"Eigenvalues of the {_OF[on.quantity]}", notes, handles)
        first: Axes = panels[0]
        return first


def _first_run(on: Drawing) -> str:
    return str(on.view.recordings(on.group)[0]["run"])


def _rows(on: Drawing, quantity: str) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Return the diagnostics of a quantity in the first run, by layer and step."""
    groups, run = group_of_runs(on.view.results), _first_run(on)
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in on.view.results["rows"]:
        about = row["run"], row["estimator"], row["quantity"]
        if about != (run, on.estimator, quantity) or groups.get(run) != on.group:
            continue
        told = row.get("diag") or {}
        if quantity == "alpha_req" and row["value"] is not None and told.get("ranks"):
            found.setdefault(row["layer"], {})[row["step"]] = {**told, "alpha": row["value"]}
        elif _usable(told.get("eigenvalues")):
            found.setdefault(row["layer"], {})[row["step"]] = told["eigenvalues"]
    return found


def _usable(kept: Any) -> bool:
    """Return whether a row holds eigenvalues as this release writes them."""
    return (
        isinstance(kept, Mapping)
        and kept.keys() >= {"ranks", "values", "sum"}
        and len(kept["ranks"]) == len(kept["values"]) > 0
        and kept["sum"] > 0
    )


def _draw(
    ax: Axes,
    rows: Mapping[int, Mapping[str, Any]],
    fits: Mapping[int, Mapping[str, Any]],
    steps: Any,
) -> None:
    colours = step_colours(steps)
    for i, step in enumerate(steps.tolist()):
        if step in rows:
            kept = rows[step]
            shares = np.array(kept["values"]) / kept["sum"]
            width = 1.8 if i == len(steps) - 1 else 1.0
            ax.plot(kept["ranks"], shares, color=colours[i], linewidth=width, zorder=3,
                    label=f"_step {step}")  # fmt: skip
    last = max(rows)
    if (fit := fits.get(last)) is None:
        return
    ranks = np.array(fit["ranks"], dtype=float)
    at = np.log(np.array(rows[last]["ranks"], dtype=float))
    shares = np.log(np.array(rows[last]["values"]) / rows[last]["sum"])
    inside = (at >= np.log(ranks[0])) & (at <= np.log(ranks[1]))
    weights = np.exp(-at[inside])
    height = np.average(shares[inside] + fit["alpha"] * at[inside], weights=weights)
    line = np.exp(height) * ranks ** -fit["alpha"]
    ax.plot(ranks, line, color=look.ink(), linestyle=_FIT, linewidth=1.1, zorder=4, label="_fit")
    ax.text(
        0.05, 0.06, f"α = {fit['alpha']:.2f}", transform=ax.transAxes, zorder=5,
        fontsize=look.font_size("xtick.labelsize"), path_effects=look.halo(),
    )  # fmt: skip


def _frame(panels: Sequence[Axes]) -> None:
    """Give all panels the same logarithmic axes, down to a millionth of the largest share."""
    lines = [line.get_xydata() for ax in panels for line in ax.lines]
    points = np.concatenate([np.asarray(xy, dtype=float) for xy in lines])
    high = float(points[:, 1].max())
    low = max(float(points[:, 1].min()), 1e-6 * high)
    limit(panels, (0.85, 1.2 * float(points[:, 0].max())), (0.6 * low, 1.7 * high))
    for ax in panels:
        ax.set_xscale("log")
        ax.set_yscale("log")
        log_numbers(ax.xaxis, 4)
        log_numbers(ax.yaxis, 5)

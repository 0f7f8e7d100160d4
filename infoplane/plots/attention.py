"""Attention by layer and head: a map of the last step, and of steps before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.estimators.attention import COLLAPSED, OVERLOADED
from infoplane.plots.canvas import style as look
from infoplane.plots.depth import evenly_in_time
from infoplane.plots.drawing import Drawing, Options, drawing, figure
from infoplane.plots.labels import short_names
from infoplane.plots.view import View
from infoplane.results.curves import group_of_runs

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MOST = 4  # steps
_SHARE = "attention_share"


@figure(Options)
def attention(results: Mapping[str, Any] | View, **options: Unpack[Options]) -> Axes:
    """Draw the share of the largest entropy of each head: layers downwards, heads across.

    A map for each of at most 4 steps, evenly in time, the last among them. Of several runs the
    first is drawn. Dark heads look at one token, bright ones at all alike; those beyond the
    thresholds are marked.

    Parameters
    ----------
    results : mapping or View
        A results document.

    Raises
    ------
    NotFoundError
        If no row holds heads.
    """
    with drawing(results, **options) as on:
        found = _heads(on)
        if not found:
            raise NotFoundError(
                f"this figure needs the entropy of heads; {on.group!r} has none",
                hint="record with --attention, analyze with -e attention",
            )
        names = on.among(list(found))
        every = np.unique([step for rows in found.values() for step in rows])
        steps = evenly_in_time(every)
        keep = np.unique(np.linspace(0, len(steps) - 1, min(_MOST, len(steps))).round().astype(int))
        shown = steps[keep].tolist()
        maps = [_map(found, names, step) for step in shown]
        columns = max(1, min(len(shown), on.abreast(1.4)))
        lines = -(-len(shown) // columns)
        row = 0.22 if len(names) <= 24 else 0.13
        area = on.area(0.9 + lines * (0.45 + max(row * len(names), 0.7)))
        grid = area.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        panels: list[Axes] = list(grid.ravel())
        for ax in panels[len(shown) :]:
            ax.set_visible(False)
        norm, colours = Normalize(0.0, 1.0), look.time_colours()
        for ax, step, values in zip(panels, shown, maps, strict=False):
            _draw(ax, values, norm, colours)
            ax.set_title(f"step {step:,}", loc="left", fontsize=look.font_size("xtick.labelsize"))
        for ax in grid[:, 0]:
            _rows(ax, names)
        for ax in grid[-1]:
            ax.set_xlabel("head", labelpad=1)
        mappable = mpl.cm.ScalarMappable(norm=norm, cmap=colours)
        bar = area.colorbar(mappable, ax=panels, pad=0.02, fraction=0.04, aspect=24)
        bar.set_label("share", labelpad=2)
        bar.outline.set_linewidth(0.5)
        several = on.view.n_runs(on.group) > 1
        notes = ["Share: of the largest entropy that a query could have."]
        notes += [f"The run {_first_run(on)} alone."] if several else []
        on.finish(area, "Entropy of attention by layer and head", notes, _legend(maps))
        return panels[0]


def _first_run(on: Drawing) -> str:
    return str(on.view.recordings(on.group)[0]["run"])


def _heads(on: Drawing) -> dict[str, dict[int, Sequence[float | None]]]:
    """Return the shares of the heads in the first run, by module and step."""
    groups, run = group_of_runs(on.view.results), _first_run(on)
    found: dict[str, dict[int, Sequence[float | None]]] = {}
    for row in on.view.results["rows"]:
        if (row["run"], row["quantity"]) == (run, _SHARE) and groups.get(run) == on.group:
            shares = (row.get("diag") or {}).get("shares")
            if isinstance(shares, list) and shares:
                found.setdefault(row["layer"], {})[row["step"]] = shares
    return found


def _map(
    found: Mapping[str, Mapping[int, Sequence[float | None]]], names: Sequence[str], step: int
) -> FloatArray:
    """Return the shares (n_modules, n_heads) at a step, NaN where there is none."""
    most = max(len(heads) for name in names for heads in found[name].values())
    values = np.full((len(names), most), np.nan)
    for i, name in enumerate(names):
        heads = found[name].get(step, ())
        values[i, : len(heads)] = [np.nan if head is None else head for head in heads]
    return values


def _draw(ax: Axes, values: FloatArray, norm: Normalize, colours: Any) -> None:
    shown = np.ma.masked_invalid(values)
    ax.imshow(shown, norm=norm, cmap=colours, aspect="auto", interpolation="nearest", zorder=0.5)
    ax.grid(visible=False)
    ax.set_facecolor(look.hair())
    look.few_ticks(ax.xaxis, 6)
    with np.errstate(invalid="ignore"):
        for beyond, mark, ink in _marks(values):
            rows, heads = np.nonzero(beyond)
            ax.plot(heads, rows, mark, color=ink, markersize=3.2, zorder=3, clip_on=True)
    ax.set_xlim(-0.5, values.shape[1] - 0.5)
    ax.set_ylim(len(values) - 0.5, -0.5)


def _marks(values: FloatArray) -> list[tuple[Any, str, str]]:
    return [(values > OVERLOADED, "o", look.ink()), (values < COLLAPSED, "x", look.SATURATED)]


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the modules; of many, some."""
    small = look.font_size("xtick.labelsize") if len(names) <= 24 else 6.2
    ax.set_yticks(range(len(names)), list(short_names(names, 22).values()), fontsize=small)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="y", length=0)


def _legend(maps: Sequence[FloatArray]) -> list[Any]:
    """Return the marks that occur."""
    words = (f"overloaded: above {OVERLOADED:g}", f"collapsed: below {COLLAPSED:g}")
    handles: list[Any] = []
    with np.errstate(invalid="ignore"):
        for i, word in enumerate(words):
            found = [_marks(values)[i] for values in maps]
            if any(one[0].any() for one in found):
                _, mark, ink = found[0]
                handles.append(
                    Line2D([], [], color=ink, marker=mark, linestyle="", markersize=4, label=word)
                )
        if any(np.isnan(values).any() for values in maps):
            handles.append(Patch(facecolor=look.hair(), label="no value"))
    return handles

"""What the figures of similarity share: what is drawn, colours, the scale with null and ceiling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure, SubFigure

from infoplane import layer_patterns
from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.labels import evenly, short_names
from infoplane.plots.view import View
from infoplane.results.similarities import Band, Row, Similarities
from infoplane.text import counted

VALUES_UP_TO = 12
"""Layers up to which numbers are written into the cells of a matrix."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The similarities of a document by one measure, of one group of runs."""

    all: Similarities
    measure: Mapping[str, Any]
    group: str

    @property
    def runs(self) -> list[str]:
        """Names of the runs of the group."""
        return self.all.groups[self.group]

    @property
    def last(self) -> int:
        """The last step."""
        return int(self.all.recordings[self.runs[0]]["steps"][-1])

    @property
    def identical(self) -> float:
        """The value of a layer with itself."""
        return float(self.measure["identical"])

    @property
    def label(self) -> str:
        """Symbol and unit, for an axis."""
        unit = "" if self.measure["unit"] == "ratio" else f" ({self.measure['unit']})"
        return f"{self.measure['symbol']}{unit}"

    def of(self, axis: str) -> list[Row]:
        """Return the rows along an axis.

        Raises
        ------
        NotFoundError
            If there are none.
        """
        runs = None if axis == "models" else self.runs
        rows = self.all.of(self.measure["id"], axis, runs)
        if not rows:
            option = "runs" if axis == "models" else axis
            raise NotFoundError(
                f"the results hold no similarities along {option} of {self.group}",
                hint=f"infoplane similarity --axes {option} RUN...",
                code="IP404",
            )
        return rows

    def layers(self, wanted: Sequence[str] | None, most: int | None = None) -> list[str]:
        """Return the layers that patterns want, in order; at most so many, evenly taken.

        Raises
        ------
        NotFoundError
            If one of them means none.
        """
        about = self.all.layer_names.about(self.group, self.all.layers(self.runs))
        layer_patterns.check(wanted or (), about)
        names = layer_patterns.chosen(wanted or (), about)
        each = wanted and all(name in wanted for name in names)
        return names if most is None or each else evenly(names, most)

    def subtitle(self) -> str:
        """Return the group, its runs and samples in words."""
        n = self.all.recordings[self.runs[0]]["n"]
        return f"{self.group} · {counted(len(self.runs), 'run')} · N = {n:,}"

    def null(self, rows: Iterable[Row]) -> Band | None:
        """Return the range of what permuted samples read, two standard deviations to each side."""
        rows = list(rows)
        found = [row["null"] for row in rows]
        spread = [row["null_sd"] for row in rows]
        band = Band.of(found)
        if band is None:
            return None
        ends = [n + sign * 2 * s for n, s in zip(found, spread, strict=True) for sign in (-1, 1)]
        return Band(band.mean, min(ends), max(ends))


@contextmanager
def chosen(
    results: Mapping[str, Any] | View, measure: str | None, group: str | None, style: str
) -> Iterator[Chosen]:
    """Choose what is drawn, in a style.

    Raises
    ------
    NotFoundError
        If the document has no such measure or group, or no similarities.
    """
    found = Similarities(results.results if isinstance(results, View) else results)
    if group is not None and group not in found.groups:
        raise NotFoundError(f"no group {group!r}", hint=f"groups: {', '.join(found.groups)}")
    group = group or next(iter(found.groups))
    epochs = clock.whole_epochs([*found.recordings.values()])
    with look.context(style), clock.counting(epochs):
        yield Chosen(found, found.measure(measure), group)


def colours(on: Chosen) -> Colormap:
    """Return the colours from unlike (dark) to identical (bright)."""
    scale = look.time_colours()
    return scale if on.identical > 0 else scale.reversed()


def scale(on: Chosen, values: FloatArray, rows: Iterable[Row]) -> Normalize:
    """Return the scale of values, with identity and chance on it."""
    null = on.null(rows)
    ends = [*look.finite(values), on.identical, *([] if null is None else [null.mean])]
    low, high = min(0.0, *ends), max(ends)
    return Normalize(low, high if high > low else low + 1)


def names_on(ax: Axes, names: Sequence[str], *, down: bool, across: bool, room: float) -> None:
    """Name the rows and columns of a matrix, in letters that fit ``room`` inches for each."""
    size = min(look.font_size("xtick.labelsize"), max(3.6, 72 * room * 0.88))
    short = list(short_names(names, 22).values())
    if down:
        ax.set_yticks(range(len(names)), short, fontsize=size)
    if across:
        ax.set_xticks(range(len(names)), short, fontsize=size, rotation=90)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_parse_math(False)
    ax.tick_params(length=0)


def write_values(ax: Axes, values: FloatArray, norm: Normalize, cmap: Colormap) -> None:
    """Write numbers into the cells of a matrix, light on dark and dark on light."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = cmap(norm(value))
            light = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            ax.text(j, i, look.bits(value), ha="center", va="center", fontsize=6.5,
                    color="white" if light else "#1F2328")  # fmt: skip


def colour_bar(
    area: Figure | SubFigure, ax: Any, on: Chosen, norm: Normalize,
    null: Band | None, ceiling: Band | None,
) -> None:  # fmt: skip
    """Draw the scale, with what chance and other seeds read marked beside it."""
    mappable = mpl.cm.ScalarMappable(norm=norm, cmap=colours(on))
    bar = area.colorbar(mappable, ax=ax, pad=0.02, fraction=0.05, aspect=24)
    bar.set_label(on.label, labelpad=4)
    bar.outline.set_linewidth(0.5)
    low, high = norm.vmin or 0.0, norm.vmax or 1.0
    for band, word, colour in (
        (null, "chance", look.muted()), (ceiling, "other seeds", look.SATURATED),
    ):  # fmt: skip
        if band is None:
            continue
        a, b = np.clip([band.low, band.high], low, high)
        least = 0.006 * (high - low)
        if b - a < least:
            a, b = a - least / 2, b + least / 2
        bar.ax.plot([-0.35, -0.35], [a, b], color=colour, linewidth=3, clip_on=False,
                    solid_capstyle="butt")  # fmt: skip
        bar.ax.text(-0.75, (a + b) / 2, word, color=colour, fontsize=6.5, rotation=90,
                    ha="right", va="center", clip_on=False)  # fmt: skip


def edges(steps: Sequence[int]) -> FloatArray:
    """Return cell edges half way between steps on a log scale (n + 1,)."""
    times = np.log10(np.array(steps, dtype=float) + 1)
    middle = (times[:-1] + times[1:]) / 2
    first, last = 2 * times[0] - middle[0], 2 * times[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])

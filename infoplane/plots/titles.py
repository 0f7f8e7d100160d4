"""Titles of figures: a bold first line, a quiet second one, a note at the foot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.plots import style as look
from infoplane.plots.labels import laid_out


def titled(ax: Axes, title: str, subtitle: str) -> None:
    """Write a title and its second line above an axes, flush with it."""
    size = look.font_size("legend.fontsize")
    ax.set_title(title, loc="left", pad=8 + 1.25 * size)
    ax.annotate(
        subtitle, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
        ha="left", va="bottom", fontsize=size, color=look.muted(), annotation_clip=False,
    )  # fmt: skip


def figure_titled(
    figure: Figure, title: str, subtitle: str, note: str = "", handles: Sequence[Artist] = ()
) -> None:
    """Write a title, its second line, a legend and a note at the foot of a figure of several axes.

    Call it when everything else is drawn: it runs the layout.
    """
    left = 0.008
    size = look.font_size("legend.fontsize")
    head = figure.suptitle(
        f"{title}\n ", x=left, ha="left", linespacing=1.25, fontweight="bold",
        fontsize=look.font_size("axes.titlesize"),
    )  # fmt: skip
    columns = _columns(handles, figure.get_figwidth() * 72 / size)
    rows = math.ceil(len(handles) / columns)
    foot = figure.supxlabel(
        "\n" * rows + note, x=left, ha="left", fontsize=size, color=look.muted(), linespacing=1.35
    )
    laid_out(figure)
    if handles:
        box = foot.get_window_extent().transformed(figure.transSubfigure.inverted())
        figure.legend(
            handles=list(handles), loc="upper left", bbox_to_anchor=(left, box.y1), ncols=columns,
            borderaxespad=0, borderpad=0, columnspacing=1.6, labelspacing=0.35,
        ).set_in_layout(False)  # fmt: skip
    box = head.get_window_extent().transformed(figure.transSubfigure.inverted())
    line = figure.text(left, box.y0, subtitle, va="bottom", fontsize=size, color=look.muted())
    line.set_in_layout(False)


def _columns(handles: Sequence[Artist], room: float) -> int:
    """Return how many columns of a legend fit; ``room`` in font sizes."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    return max(1, min(3, int(room / (0.55 * longest + 4.2))))


def wrapped(parts: list[str], width: int = 118) -> str:
    """Return sentences joined to lines of at most ``width`` characters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f"   {part}"
        else:
            lines.append(part)
    return "\n".join(lines)

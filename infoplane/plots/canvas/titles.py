"""Titles of figures: a bold first line, a quiet second one, a note at the foot; none of it cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.labels import middle_cut
from infoplane.text import in_lines


def titled(ax: Axes, title: str, subtitle: str) -> None:
    """Write a title and its second line above an axes, flush with it and within the figure."""
    size = look.font_size("legend.fontsize")
    room = page.width(ax) - 0.6
    lines = wrapped(subtitle.split(" · "), look.letters(room, size), " · ")
    title = middle_cut(title, look.letters(room, look.font_size("axes.titlesize"), bold=True))
    ax.set_title(title, loc="left", pad=8 + 1.25 * size * (lines.count("\n") + 1))
    ax.annotate(
        lines, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
        ha="left", va="bottom", fontsize=size, color=look.muted(), annotation_clip=False,
    )  # fmt: skip


def figure_titled(
    figure: Figure | SubFigure,
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
    handles: Sequence[Artist] = (),
) -> None:
    """Write a title, its second line, a legend and notes at the foot of a figure of several axes.

    Call it when everything else is drawn: it runs the layout.
    """
    left, width = 0.008, page.width(figure)
    size = look.font_size("legend.fontsize")
    lines = wrapped(subtitle.split(" · "), look.letters(width - 0.1, size), " · ")
    title = middle_cut(title, look.letters(width, look.font_size("axes.titlesize"), bold=True))
    head = figure.suptitle(
        title + "\n " * (lines.count("\n") + 1), x=left, ha="left", linespacing=1.25,
        fontweight="bold", fontsize=look.font_size("axes.titlesize"),
    )  # fmt: skip
    columns = look.legend_columns(handles, width)
    foot = figure.supxlabel(
        "\n" * math.ceil(len(handles) / columns) + wrapped(notes, look.letters(width, size)),
        x=left, ha="left", fontsize=size, color=look.muted(), linespacing=1.35,
    )  # fmt: skip

    def write() -> None:
        inverted = figure.transSubfigure.inverted()
        if handles:
            box = foot.get_window_extent().transformed(inverted)
            figure.legend(
                handles=list(handles), loc="upper left", bbox_to_anchor=(left, box.y1),
                ncols=columns, borderaxespad=0, borderpad=0, columnspacing=1.6, labelspacing=0.35,
            ).set_in_layout(False)  # fmt: skip
        box = head.get_window_extent().transformed(inverted)
        line = figure.text(left, box.y0, lines, va="bottom", fontsize=size, color=look.muted())
        line.set_in_layout(False)

    page.laid_out(figure, write)


def wrapped(parts: Sequence[str], width: int, between: str = "   ") -> str:
    """Return parts joined to lines of at most ``width`` characters, as far as words allow."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + len(between) <= width:
            lines[-1] += f"{between}{part}"
        else:
            lines += in_lines(part, width, break_long_words=False)
    return "\n".join(lines)

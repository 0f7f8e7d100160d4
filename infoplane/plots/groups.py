"""Any figure for several groups of runs, side by side on the same axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.calls import one_of, texts
from infoplane.errors import InputError, NotFoundError
from infoplane.plots.canvas import page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import wrapped
from infoplane.plots.canvas.together import Together, share_limits
from infoplane.plots.view import View

WAYS = ("beside", "overlay")
"""How several groups are drawn: a figure for each, or the planes of all in one panel."""

MOST = 12
"""Groups side by side; of more the first."""

_LEAST = 3.3  # inches of a figure beside others, for text of 8 points


def chosen(view: View, groups: str | None, group: Any) -> list[str]:
    """Return the groups that a figure is of: those that are named, else all.

    Raises
    ------
    InputError
        If the way to draw several is none of `WAYS`.
    NotFoundError
        If there is no such group.
    """
    if groups is not None:
        one_of(groups, "groups", *WAYS)
    names = view.groups if group is None else list(texts(group, "group"))
    return [view.group(name) for name in dict.fromkeys(names)]


def side_by_side(
    figure: Callable[..., Axes], view: View, groups: Sequence[str], options: Mapping[str, Any]
) -> Figure:
    """Return a figure of a figure per group, with the same limits wherever their panels agree.

    Parameters
    ----------
    figure : callable
        Draws the figure of one group into ``ax``.
    view, groups : View and sequence of str
        The results, and the groups of it.
    options : mapping
        Of the figure, without ``group``; ``size`` is the width of the whole.

    Raises
    ------
    NotFoundError
        If no group has what the figure needs.
    InputError
        If axes are given: there is no place for several figures in them.
    """
    if options.get("ax") is not None:
        raise InputError("groups: expected without ax; several groups make a figure of their own")
    style, size = options.get("style", "paper"), options.get("size", "double")
    shown = list(groups[:MOST])
    with look.context(style):
        columns = min(len(shown), page.abreast(size, None, _LEAST))
        whole = Together(page.inches(size), -(-len(shown) // columns), columns)
        own = {**options, "style": style, "size": page.inches(size) / columns}
        parts: list[list[Axes]] = []
        missing: list[NotFoundError] = []
        for i, group in enumerate(shown):
            before, cell = list(whole.axes), whole.cell(i)
            try:
                figure(view.only(group, of=shown), **{**own, "ax": cell, "group": group})
            except NotFoundError as error:
                missing.append(error)
                _say(cell, f"{group}: not drawn: {error}")
            else:
                parts.append([ax for ax in whole.axes if ax not in before])
        if not parts:
            raise missing[0]
        notes = []
        if not share_limits(parts):
            notes.append("The axes are those of each group, whose panels differ.")
        if len(groups) > len(shown):
            notes.append(f"{len(shown)} of {len(groups)} groups drawn.")
        if notes:
            small = look.font_size("legend.fontsize")
            text = wrapped(notes, look.letters(page.width(whole), small))
            whole.supxlabel(text, x=0.008, ha="left", fontsize=small, color=look.muted())
        whole.complete()
    return whole


def _say(ax: Axes, text: str) -> None:
    """Write why there is no figure in its place."""
    size = look.font_size("legend.fontsize")
    lines = wrapped([look.drawable(text)], look.letters(page.width(ax) - 0.2, size))
    ax.set_axis_off()
    ax.text(0, 1, lines, transform=ax.transAxes, va="top", fontsize=size, color=look.muted())

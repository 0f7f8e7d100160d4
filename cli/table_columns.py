"""Columns of text on the terminal: natural width, whole columns dropped when narrow."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infoplane.text import cut_names, middle_cut

_ENOUGH, _LEAST = 32, 8
"""Characters to which names are cut before columns go, and after that."""


@dataclass
class Column:
    """A column of text cells; the higher ``drop``, the sooner it goes when there is no room."""

    title: str
    cells: list[str]
    right: bool = False
    drop: int = 0
    called: str = ""  # where it is hidden; by default its title
    names: bool = False  # of layers, runs or the like, which may lose their middle

    @property
    def width(self) -> int:
        """Characters of the widest cell."""
        return max(map(len, [self.title, *self.cells]))

    def line(self, text: str) -> str:
        """Return a cell padded to the width of the column."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def render(columns: Sequence[Column], *, limit: int | None) -> list[str]:
    """Return the lines of a table that fits ``limit`` columns, none of no columns.

    Long names lose their middle, then whole columns are left out.
    """
    if not columns:
        return []
    kept = list(columns)

    def total() -> int:
        return sum(column.width for column in kept) + 2 * (len(kept) - 1)

    if limit is not None:
        kept = _narrowed(kept, total() - limit, _ENOUGH)
    hidden: list[Column] = []
    while limit is not None and total() > limit:
        candidates = [column for column in kept if column.drop]
        if not candidates:
            break
        dropped = max(candidates, key=lambda column: column.drop)
        kept.remove(dropped)
        hidden.append(dropped)
    if limit is not None:
        kept = _narrowed(kept, total() - limit, _LEAST)
    rows = [[column.title for column in kept], ["─" * column.width for column in kept]]
    rows += [list(row) for row in zip(*(column.cells for column in kept), strict=True)]
    lines = [
        "  ".join(column.line(text) for column, text in zip(kept, row, strict=True)).rstrip()
        for row in rows
    ]
    if hidden:
        names = [column.called or column.title for column in columns if column in hidden]
        note = f"({', '.join(names)} hidden at {limit} columns; --wide shows all)"
        lines += textwrap.wrap(note, limit or 100)
    return lines


def _narrowed(columns: Sequence[Column], excess: int, least: int) -> list[Column]:
    """Return columns that are narrower by ``excess``, or as near to it as long names allow."""
    widths = {at: column.width for at, column in enumerate(columns) if column.names}
    while excess > 0 and max(widths.values(), default=0) > least:
        widths[max(widths, key=lambda at: widths[at])] -= 1
        excess -= 1
    return [
        column
        if widths.get(at, column.width) == column.width
        else replace(
            column,
            title=middle_cut(column.title, widths[at]),
            cells=cut_names(column.cells, widths[at]),
        )
        for at, column in enumerate(columns)
    ]

"""Pieces of the report: tables, embedded figures, downloads. All text passes `html.escape`."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure

from infoplane.data import FloatArray
from infoplane.plots.canvas.picture import image, small_png
from infoplane.text import as_csv

LARGEST_SVG = 250_000
"""Characters; larger figures are embedded as PNG."""

_LARGEST_CSV = 40_000


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, or its markup, and the number it is sorted by."""

    text: str = ""
    value: float | None = None
    number: bool = False
    markup: str = ""
    wrap: bool = False
    title: str = ""

    def html(self) -> str:
        """Return the markup of the cell."""
        classes = ["number"] * self.number + ["wrap"] * self.wrap
        named = f' class="{" ".join(classes)}"' if classes else ""
        sort = "NaN" if self.value is None else f"{self.value:.7g}"
        value = f' data-value="{sort}"' if self.number else ""
        return f"<td{named}{value}>{self.markup or escape(self.text)}</td>"


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = True
) -> str:
    """Return a table; the first cell of a row is its header. ``#`` ends the heads of numbers."""
    columns = []
    for head in heads:
        number, text = head.endswith("#"), escape(head.removesuffix("#"))
        inner = f'<button type="button">{text}</button>' if sortable and text else text
        columns.append(f'<th scope="col"{" class=number" if number else ""}>{inner}</th>')
    body = []
    for first, *rest in rows:
        full = f' title="{escape(first.title)}"' if first.title else ""
        head = f'<th scope="row"{full}>{first.markup or escape(first.text)}</th>'
        body.append(f"<tr>{head}{''.join(cell.html() for cell in rest)}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{''.join(columns)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def figure(
    drawn: Figure,
    name: str,
    title: str,
    description: str,
    caption: str = "",
    *,
    vector: bool = True,
) -> str:
    """Return a figure element: SVG where that is small, else PNG of 200 dpi (100 if tall).

    Parameters
    ----------
    drawn : Figure
        What to embed.
    name : str
        Prefix of the ids in the SVG, unique in the page; letters and digits.
    title, description : str
        The text alternative.
    caption : str
        Shown below.
    vector : bool, default True
        Whether to try SVG; of many layers it would be too large anyway.
    """
    markup = _svg(drawn, name, title, description) if vector else ""
    if not 0 < len(markup) <= LARGEST_SVG:
        markup = _png(drawn, f"{title}. {description}")
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    region = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
    return f"<figure>{region}{markup}</div>{below}</figure>"


def _svg(drawn: Figure, name: str, title: str, description: str) -> str:
    svg = image(drawn, "svg", dpi=drawn.dpi).decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # its style is a rule for every element, which would reach out of the figure
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = re.sub(r' d="[^"]+"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    head = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
        'style="stroke-linejoin:round;stroke-linecap:butt" '
    )
    named = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    start, rest = svg.split(">", 1)
    start = re.sub(r' (width|height)="[^"]*"', "", start).removeprefix("<svg ")
    return f"{head}{start}>{named}{rest}".strip()


def _png(drawn: Figure, alternative: str) -> str:
    data = base64.b64encode(small_png(drawn)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'


def download(name: str, heads: Sequence[str], rows: Iterable[Sequence[object]], text: str) -> str:
    """Return a link that saves a table as CSV, gzipped where it is long."""
    data = as_csv([heads, *rows])
    if len(data) > _LARGEST_CSV:
        packed = base64.b64encode(gzip.compress(data.encode(), 9, mtime=0)).decode()
        return (
            f'<a download="{escape(name)}.csv.gz" href="data:application/gzip;base64,{packed}">'
            f"{escape(text)} (CSV, gzip)</a>"
        )
    href = f"data:text/csv;charset=utf-8,{quote(data)}"
    return f'<a download="{escape(name)}.csv" href="{href}">{escape(text)} (CSV)</a>'


def sparkline(time: FloatArray, values: FloatArray, high: float, *, saturated: bool) -> str:
    """Return a small curve on the scale 0 to ``high``; times (n,) and values (n,)."""
    there = np.isfinite(values)
    if there.sum() < 2 or high <= 0:
        return ""
    span = float(time[there][-1] - time[there][0]) or 1.0
    x = (time[there] - time[there][0]) / span * 94 + 1
    y = 20.5 - np.clip(values[there] / high, 0, 1.02) * 18
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    kind = "spark saturated" if saturated else "spark"
    return (
        f'<svg class="{kind}" viewBox="0 0 96 22" aria-hidden="true">'
        f'<line x1="0" x2="96" y1="2.5" y2="2.5"/><line x1="0" x2="96" y1="20.5" y2="20.5"/>'
        f'<polyline points="{points}"/></svg>'
    )

"""The HTML report: one file that makes no request and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from infoplane.plots.report import sections
from infoplane.plots.report.groups import chapter_anchor, group_sections, overview
from infoplane.plots.report.similarity import similarity_section
from infoplane.plots.view import View
from infoplane.results.curves import groups_of
from infoplane.runs.atomic import replace_file
from infoplane.text import shown

Chapter: TypeAlias = tuple[str, list[sections.Section]]
"""A group of runs, "" for what is of none or where there is one, and its sections."""


def render_report(
    results: Mapping[str, Any] | View,
    *,
    title: str | None = None,
    baseline: Mapping[str, Any] | View | None = None,
) -> str:
    """Return the report of a results document as one HTML page.

    Parameters
    ----------
    results : mapping or View
        A results document; a `View` keeps the figures that were drawn of it.
    title : str, optional
        Heading; the groups of runs by default.
    baseline : mapping or View, optional
        Results to compare with.

    Raises
    ------
    NotFoundError
        If the results hold no rows.
    """
    view = View.of(results)
    what = "Information plane" if view.estimators("ixt", "ity") else "Analysis"
    names = view.groups or groups_of(view.results)
    title = title or f"{what} — {', '.join(names[:4])}"
    several = len(view.groups) > 1
    before = None if baseline is None else View.of(baseline)
    chapters = [("", [overview(view)] if several else [])]
    for i, group in enumerate(view.groups):
        found = group_sections(view, group, i, baseline=before)
        chapters.append((group if several else "", found))
    chapters.append(("", [*similarity_section(view), *sections.closing_sections(view)]))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(sections.provenance_line(view))}</p>',
        _contents(chapters),
        *([sections.key_cards(view), *sections.notes(view)] if view.curves else []),
    ]
    for number, (group, parts) in enumerate(chapters):
        if group:
            body.append(_chapter(chapters, number))
        tail = f" — {group}" if group else ""
        for anchor, heading, markup in parts:
            title_of = escape(heading + tail)
            body.append(f'<section id="{anchor}"><h2>{title_of}</h2>\n{markup}</section>')
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="infoplane">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('report.css')}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )
    return shown(page)  # names may hold any character


def _contents(chapters: Sequence[Chapter]) -> str:
    """Return the table of contents: a line per group of runs, if there are several."""
    lines, loose = [], ""
    for number, (group, parts) in enumerate(chapters):
        if group:
            name = f'<a href="#{chapter_anchor(number - 1)}"><b>{escape(group)}</b></a>'
            lines.append(f"<div>{name}{_links(parts)}</div>")
        else:
            loose += _links(parts)
    if not lines:
        return f"<nav>{loose}</nav>"
    return f'<nav class="chapters" id="contents"><div>{loose}</div>{"".join(lines)}</nav>'


def _chapter(chapters: Sequence[Chapter], number: int) -> str:
    """Return the head of what is about one group: its name, its sections, and the way on."""
    group, parts = chapters[number]
    others = [n for n in (number - 1, number + 1) if chapters[n][0]]
    ways = "".join(
        f'<a href="#{chapter_anchor(n - 1)}">{"←" if n < number else "→"} '
        f"{escape(chapters[n][0])}</a>"
        for n in others
    )
    return (
        f'<header class="chapter" id="{chapter_anchor(number - 1)}"><strong>{escape(group)}'
        f'</strong><nav>{_links(parts)}{ways}<a href="#contents">↑ Contents</a></nav></header>'
    )


def _links(parts: Sequence[sections.Section]) -> str:
    return "".join(f'<a href="#{a}">{escape(h)}</a>' for a, h, _ in parts)


def write_report(
    results: Mapping[str, Any] | View,
    path: str | Path,
    *,
    title: str | None = None,
    baseline: Mapping[str, Any] | View | None = None,
) -> None:
    """Write the report of a results document to a file.

    Raises
    ------
    NotFoundError
        If the results hold no rows.
    RunFileError
        If the file cannot be written.
    """
    page = render_report(results, title=title, baseline=baseline)
    replace_file(Path(path), page.encode())


def _asset(name: str) -> str:
    return resources.files("infoplane.plots.report").joinpath(name).read_text(encoding="utf-8")

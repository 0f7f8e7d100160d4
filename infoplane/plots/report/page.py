"""The HTML report: one file that makes no request and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from infoplane.plots.report import sections
from infoplane.plots.report.groups import group_sections, overview
from infoplane.plots.report.similarity import similarity_section
from infoplane.plots.view import View
from infoplane.results.curves import groups_of
from infoplane.runs.atomic import replace_file
from infoplane.text import shown


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
    parts: list[tuple[str, str, str]] = []
    if len(view.groups) > 1:
        parts.append(overview(view))
    before = None if baseline is None else View.of(baseline)
    for i, group in enumerate(view.groups):
        parts.extend(group_sections(view, group, i, baseline=before))
    parts.extend(similarity_section(view))
    parts.extend(sections.closing_sections(view))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(sections.provenance_line(view))}</p>',
        "<nav>" + "".join(f'<a href="#{a}">{escape(h)}</a>' for a, h, _ in parts) + "</nav>",
        *([sections.key_cards(view), *sections.notes(view)] if view.curves else []),
    ]
    for anchor, heading, markup in parts:
        body.append(f'<section id="{anchor}"><h2>{escape(heading)}</h2>\n{markup}</section>')
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

"""The section of the report on similarities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infoplane.errors import NotFoundError
from infoplane.plots.figures import draw_once
from infoplane.plots.report.html import Cell, figure, table
from infoplane.plots.report.sections import Section
from infoplane.plots.view import View
from infoplane.results.similarities import Similarities
from infoplane.text import decimal

_SAYS = {
    "similarity": "Layers against layers at the last step, the mean over runs.",
    "similarity-training": "Each step to the first and to the last one, by layer.",
    "similarity-steps": "Every step against every other, by layer.",
    "similarity-models": "Layers of one model against those of another.",
}


def similarity_section(view: View) -> list[Section]:
    """Return the section, none where the results hold no similarities."""
    try:
        found = Similarities(view.results)
    except NotFoundError:
        return []
    parts = []
    for name, says in _SAYS.items():
        try:
            drawn = draw_once(view, name)
        except NotFoundError:
            continue
        parts.append(figure(drawn, name.replace("-", ""), says, says, vector=False))
    if found.settling:
        parts.append(_settling(found))
    return [("similarity", "Similarity", "\n".join(parts))]


def _settling(found: Similarities) -> str:
    rows = [
        [
            Cell(one["group"]),
            Cell(one["layer"]),
            Cell(str(found.measures[one["measure"]]["name"])),
            Cell(decimal(one["lazy"]), one["lazy"], number=True),
            Cell(_span(one["lazy_low"], one["lazy_high"])),
            Cell("" if one["step"] is None else f"{one['step']:,}"),
            Cell(_range(one)),
            Cell(one["withheld"] or "", wrap=True),
        ]
        for one in found.settling
    ]
    heads = ["Group", "Layer", "Measure", "First to last#", "95 % CI", "Settles at", "Range", ""]
    return table("How far each layer moves, and when it settles", heads, rows)


def _range(one: Mapping[str, Any]) -> str:
    if one["step"] is None:
        return ""
    high = "open" if one["step_high"] is None else f"{one['step_high']:,}"
    return f"{one['step_low']:,} … {high}"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{decimal(low)} … {decimal(high)}"

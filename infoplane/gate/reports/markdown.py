"""Markdown as GitHub renders it, in which text from files stays text.

Names stand in code spans: there, no markup, link, image, mention or HTML is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infoplane.estimators.quantities import QUANTITIES, Quantity
from infoplane.results.cautions import MOST, cautions
from infoplane.results.curves import CurveKey, Curves
from infoplane.text import printable, shortened, spark


def code(text: str, limit: int = 200) -> str:
    """Return text as a code span that also fits a table cell."""
    shown = shortened(printable(text), limit).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def quantity(declared: Quantity) -> str:
    """Return a quantity as it is written in tables, its unit with it unless it is bits."""
    if declared == QUANTITIES.get(declared.name):
        return declared.symbol.replace("|", "\\|")
    return code(f"{declared.symbol} in {declared.unit}")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a table; cells are Markdown, columns ``right`` are aligned to the right."""
    marks = ["---:" if index in right else "---" for index in range(len(titles))]
    lines = [titles, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def curve(values: Sequence[float], bound: float | None) -> str:
    """Return finite values as bars on the scale 0 to their bound, which stands beside them."""
    if not values:
        return ""
    top = bound or max(*values, 1e-9)
    return f"{spark(values, top)} of {top:.3g}"


def details(summary: str, content: str) -> str:
    """Return content that is folded away behind a line."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def warnings(results: Mapping[str, Any], known: Mapping[CurveKey, Curves]) -> str:
    """Return the warnings of results: the first as a list, all of them folded away."""
    found = cautions(results, known)
    lines = [f"- {code(text, 400)}" for text in found]
    if len(found) <= MOST:
        return "\n".join(lines)
    more = details(f"all {len(found)} warnings", "\n".join(lines))
    return "\n".join(lines[: MOST - 1]) + f"\n\n{more}"


def within(parts: Iterable[str], limit: int, unit: str = "characters") -> str:
    """Join paragraphs and cut whole lines at the end to stay within ``limit``.

    ``unit`` is ``characters`` or ``bytes``.
    """

    def size(text: str) -> int:
        return len(text.encode()) if unit == "bytes" else len(text)

    text = "\n\n".join(part for part in parts if part) + "\n"
    if size(text) <= limit:
        return text
    note = "\n\n... cut here: the whole is in the artifact\n"
    left = limit - size(note) - len("\n\n</details>")
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        left -= size(line)
        if left < 0:
            break
        kept.append(line)
    cut = "".join(kept).rstrip()
    if cut.count("<details>") > cut.count("</details>"):
        cut += "\n\n</details>"
    return cut + note

"""A comparison as the comment on a pull request: Markdown that is only text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from infoplane.gate.comparison import Comparison
from infoplane.gate.difference import Difference
from infoplane.gate.reports import markdown
from infoplane.results.curves import curves
from infoplane.text import counted, decimal

COMMENT_CHARACTERS = 60_000
"""GitHub takes 65,536; the workflow adds a line or two."""


def comment(
    sections: Sequence[tuple[str, Comparison]],
    baseline: str,
    candidates: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return comparisons as Markdown of at most `COMMENT_CHARACTERS` characters.

    Parameters
    ----------
    sections : sequence of (name, Comparison)
        A comparison for each candidate.
    baseline : str
        Name of the baseline.
    candidates : mapping of str to mapping, optional
        The results of candidates by their names: what they warn of is told.
    """
    parts = []
    for name, comparison in sections:
        parts.append(f"### infoplane: {comparison.verdict}")
        parts.append(
            f"{markdown.code(baseline)} and {markdown.code(name)}, values at the last step"
        )
        parts += [f"- paired: {markdown.code(comparison.renamed, 400)}"] * bool(comparison.renamed)
        parts += [f"- {comparison.tests}"] * bool(comparison.tests)
        parts += [f"- not alike: {markdown.code(text, 400)}" for text in comparison.mismatches]
        parts += [f"- not compared: {markdown.code(text, 400)}" for text in comparison.left_out]
        parts += [f"- note: {markdown.code(text, 400)}" for text in comparison.notes]
        apart = comparison.one_sided
        parts += [
            f"- group {markdown.code(group)} is {where}: {counted(n, 'value')} not compared"
            for group, (where, n) in apart.items()
        ]
        if comparison.suggestion:
            option = markdown.code(f"--pair {shlex.quote(comparison.suggestion)}")
            parts.append(f"- groups are paired by their names: to compare others, {option}")
        striking = [d for d in comparison.of("different", "unknown") if d.group not in apart]
        others = comparison.of("same", "saturated")
        if striking:
            parts.append(_table(comparison, striking))
        if others:
            title = f"{counted(len(others), 'value')} within the interval or the tolerance"
            parts.append(markdown.details(title, _table(comparison, others)))
        if candidates and (results := candidates.get(name)) is not None:
            parts.append(markdown.warnings(results, curves(results)))
    return markdown.within(parts, COMMENT_CHARACTERS)


def no_baseline(name: str, baseline: str) -> str:
    """Return the comment where there is nothing to compare with yet."""
    return (
        "### infoplane: no baseline yet\n\n"
        f"{markdown.code(baseline)} does not exist: {markdown.code(name)} was compared with "
        "nothing.\n"
    )


def _table(comparison: Comparison, differences: Sequence[Difference]) -> str:
    place, names = comparison.places
    named = dict(zip(comparison.differences, names, strict=True))
    titles = (
        *([place] if place else []),
        "layer",
        "quantity",
        "baseline",
        "candidate",
        "difference [95 % CI]",
        "curve",
        "",
    )
    rows = [
        (
            *([markdown.code(named[d])] if place else []),
            markdown.code(d.layer),
            f"{markdown.quantity(d.declared)}, {markdown.code(d.label)}",
            decimal(d.baseline),
            decimal(d.candidate),
            _change(d),
            markdown.curve(d.curve, d.bound),
            f"{d.result}{': ' + markdown.code(d.reason) if d.reason else ''}",
        )
        for d in differences
    ]
    return markdown.table(titles, rows, right=[titles.index("baseline"), titles.index("candidate")])


def _change(d: Difference) -> str:
    if d.difference is None:
        return ""
    text = decimal(d.difference, sign=True)
    text = f"**{text}**" if d.result == "different" else text
    if d.low is None or d.high is None:
        return text
    return f"{text} [{decimal(d.low, sign=True)}, {decimal(d.high, sign=True)}]"

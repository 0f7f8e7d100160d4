"""Globs over dotted layer names."""

from __future__ import annotations

import re


def matches(name: str, pattern: str) -> bool:
    """Tell whether a dotted name matches a glob.

    ``*`` and ``?`` stay within one component, ``**`` crosses dots, ``[ab]`` and ``[!ab]`` are
    sets; everything else is literal.
    """
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", pattern)
    wild = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    expression = "".join(
        wild.get(part)
        or (_set(part) if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in parts
    )
    return re.fullmatch(expression, name) is not None


def _set(part: str) -> str:
    """Return a set of characters as a regular expression, what is special in it made literal."""
    inner, negated = part[1:-1], part.startswith("[!")
    escaped = re.sub(r"([\\^\]&~|\[])", r"\\\1", inner[1:] if negated else inner)
    return f"[{'^' if negated else ''}{escaped}]" if escaped else re.escape(part)

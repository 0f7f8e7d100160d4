"""Globs over dotted layer names, and addresses of tensors inside a layer's output."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ADDRESS = re.compile(
    r"""(?P<base>.+?)(?P<address>
        (?:\[\d\]|\['[^']*'\]|\["[^"]*"\])   # first: one digit, as [12] is the set of 1 and 2
        (?:\[\d+\]|\['[^']*'\]|\["[^"]*"\])*
    )""",
    re.VERBOSE,
)


def matches(name: str, pattern: str) -> bool:
    """Tell whether a dotted name matches a glob.

    ``*`` and ``?`` stay within one component, ``**`` crosses dots, ``[ab]`` and ``[!ab]`` are
    sets; everything else is literal. A name matches itself. One digit or a quoted key in brackets
    at the end (``blocks.*[0]``) is an address and matches the same address alone.
    """
    base, address = split_address(pattern)
    if not address:
        return name == pattern or _glob(name, pattern)
    found, at = split_address(name)
    return name == pattern or (at == address and _glob(found, base))


def split_address(name: str) -> tuple[str, tuple[int | str, ...]]:
    """Return what stands before an address such as ``[0]['key']``, and the address.

    >>> split_address("encoder.layer.3['hidden_states'][12]")
    ('encoder.layer.3', ('hidden_states', 12))
    >>> split_address("fc[12]")
    ('fc[12]', ())
    """
    found = _ADDRESS.fullmatch(name)
    if not found:
        return name, ()
    parts = re.findall(r"\[(?:(\d+)|'([^']*)'|\"([^\"]*)\")\]", found["address"])
    return found["base"], tuple(int(n) if n else one or other for n, one, other in parts)


def written(address: Sequence[int | str]) -> str:
    """Return an address as it is written behind a name.

    >>> written((1, "key"))
    "[1]['key']"
    """
    return "".join(f"[{part!r}]" for part in address)


def _glob(name: str, pattern: str) -> bool:
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

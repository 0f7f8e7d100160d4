"""Globs over dotted layer names, and addresses of tensors inside a layer's output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

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


def is_literal(pattern: str) -> bool:
    """Tell whether a glob is a name: it has no wildcards before its address."""
    return all(part.startswith("\\") for part in _parts(split_address(pattern)[0]))


def split_address(name: str) -> tuple[str, tuple[int | str, ...]]:
    """Return what stands before an address such as ``[0]['key']``, and the address.

    >>> split_address("encoder.layer.3['hidden_states'][12]")
    ('encoder.layer.3', ('hidden_states', 12))
    >>> split_address("fc[12]")
    ('fc[12]', ())
    """
    found = _ADDRESS.fullmatch(name) if name.endswith("]") and len(name) <= _MOST else None
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
    """Tell whether a name matches; the time grows with both lengths, whatever the stars.

    Bit i of ``at`` says that what was read so far can stand before part i of the pattern. All
    bits move at once with each character.
    """
    parts = _parts(pattern)
    stars = sum(1 << i for i, part in enumerate(parts) if part in _STARS)
    takes: dict[str, tuple[int, int]] = {}
    at = 1
    for char in name:
        at |= (at & stars) << 1  # a star may take nothing
        if char not in takes:
            bits = sum(1 << i for i, part in enumerate(parts) if _takes(part, char))
            takes[char] = bits & stars, bits & ~stars
        stay, move = takes[char]
        at = (at & stay) | (at & move) << 1
    at |= (at & stars) << 1
    return bool(at >> len(parts) & 1)


_STARS = ("*", "**")
_MOST = 10_000
"""Characters of a name with an address: to look for its beginning takes long."""


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[str, ...]:
    """Return stars, ``?``, sets in brackets, and single characters with a backslash before."""
    parts: list[str] = []
    at, last_end = 0, pattern.rfind("]")
    while at < len(pattern):
        part = pattern[at]
        if part == "[" and at < last_end:
            part = pattern[at : pattern.index("]", at + 1) + 1]
        elif pattern.startswith("**", at):
            part = "**"
        at += len(part)
        if part not in ("*", "**", "?") and not _set(part):
            parts += [f"\\{char}" for char in part]
        elif part in _STARS and parts and parts[-1] in _STARS:
            parts[-1] = max(part, parts[-1])  # two stars in a row take what the wider takes
        else:
            parts.append(part)
    return tuple(parts)


def _takes(part: str, char: str) -> bool:
    """Tell whether a character is one that a part stands for."""
    if part == "**":
        return True
    if part in ("*", "?"):
        return char != "."
    if part.startswith("\\"):
        return part[1:] == char
    found = _set(part)
    return found is not None and found.fullmatch(char) is not None


@lru_cache(maxsize=256)
def _set(part: str) -> re.Pattern[str] | None:
    """Return a set of characters as a regular expression, None if it is none."""
    negated = part.startswith("[!")
    inner = part[2 if negated else 1 : -1]
    if not (part.startswith("[") and part.endswith("]") and inner):
        return None
    escaped = re.sub(r"([\\^\]&~|\[])", r"\\\1", inner)
    try:
        return re.compile(f"[{'^' if negated else ''}{escaped}]", re.DOTALL)
    except re.error:  # such as [z-a]
        return None

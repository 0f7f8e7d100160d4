"""Which layers a pattern means: one grammar for recording, analysis, figures and rules.

A pattern is a glob over names (see `infoplane.patterns`), ``type:GLOB`` over the names of classes,
``blocks``, the repeated blocks of a network, or ``head``, the layer that makes the logits. The name
of a layer means this layer alone, whatever else it could mean. Behind ``!`` a pattern excludes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from infoplane.errors import NotFoundError
from infoplane.patterns import matches, split_address
from infoplane.text import some_of

BLOCK, LOGITS = "block", "logits"
"""Roles of layers that a word stands for."""

WORDS = {"blocks": BLOCK, "head": LOGITS}
_TYPE = "type:"


class About(NamedTuple):
    """What else than its name is known of a layer: its class, and its roles."""

    type: str = ""
    roles: Collection[str] = ()


def meant(pattern: str, layers: Mapping[str, About]) -> list[str]:
    """Return the layers that a pattern means, in their order; without ``!``.

    A pattern that means none by its full name means those that it does without their address.
    """
    if pattern in layers:
        return [pattern]
    if pattern.startswith(_TYPE):
        wanted = pattern.removeprefix(_TYPE)
        return [name for name, about in layers.items() if matches(about.type, wanted)]
    if pattern in WORDS:
        return [name for name, about in layers.items() if WORDS[pattern] in about.roles]
    found = [name for name in layers if matches(name, pattern)]
    return found or [name for name in layers if matches(split_address(name)[0], pattern)]


def chosen(patterns: Iterable[str], layers: Mapping[str, About]) -> list[str]:
    """Return the layers that patterns choose, in their order; all without one that includes."""
    patterns = list(patterns)
    include = {name for p in patterns if not p.startswith("!") for name in meant(p, layers)}
    exclude = {name for p in patterns if p.startswith("!") for name in meant(p[1:], layers)}
    every = all(pattern.startswith("!") for pattern in patterns)
    return [name for name in layers if (every or name in include) and name not in exclude]


def check(patterns: Iterable[str], layers: Mapping[str, About], why: str = "") -> None:
    """Refuse a pattern that means no layer.

    Raises
    ------
    NotFoundError
        Of the first; the message ends in ``why``.
    """
    for pattern in patterns:
        if not meant(pattern.removeprefix("!"), layers):
            raise unmatched(pattern.removeprefix("!"), layers, why)


def unmatched(pattern: str, layers: Mapping[str, About], why: str = "") -> NotFoundError:
    """Return the error of a pattern that means no layer; the hint says what there is."""
    return NotFoundError(f"no layer matches {pattern!r}{why}", hint=hint_of_none(pattern, layers))


def hint_of_none(pattern: str, layers: Mapping[str, About], most: int = 20) -> str:
    """Return what there is where a pattern means nothing, and the pattern that was likely meant."""
    if pattern in WORDS:
        what = "repeated block" if pattern == "blocks" else "layer of the logits"
        return f"none is known as a {what}; there are {some_of([*layers], most)}"
    if pattern.startswith(_TYPE):
        kinds = list(dict.fromkeys(about.type for about in layers.values() if about.type))
        return f"their types are {some_of(kinds)}" if kinds else "no types of layers are known"
    hints = [*by_type(pattern, layers), *wider(pattern, layers)]
    return "; ".join([*hints, f"there are {some_of([*layers], most)}"])


def by_type(pattern: str, layers: Mapping[str, About]) -> list[str]:
    """Return a hint where a pattern matches no name, but a class."""
    found = [name for name, about in layers.items() if matches(about.type, pattern)]
    return [f"'type:{pattern}' means layers of this class: {some_of(found, 3)}"] if found else []


def wider(pattern: str, names: Collection[str]) -> list[str]:
    """Return a hint where a pattern matches nothing, mostly because ``*`` stays within dots."""
    doubled = re.sub(r"(?<!\*)\*(?!\*)", "**", pattern)
    reason = "'*' does not cross dots: " if "*" in pattern and any("." in n for n in names) else ""
    for one in dict.fromkeys((doubled, f"**.{pattern}", f"**.{doubled}", f"**{doubled}**")):
        found = [name for name in names if one != pattern and matches(name, one)]
        if found:
            more = f" and {len(found) - 1} more" if found[1:] else ""
            return [f"{reason}{one!r} matches {found[0]}{more}"]
    near = difflib.get_close_matches(pattern.strip("*."), names, n=1, cutoff=0.75)
    return [f"did you mean {near[0]!r}?"] if near else []


def numbered(name: str) -> str:
    """Return a name with its numbers left out: what repeated modules have in common.

    >>> numbered("encoder_layer_11")
    'encoder_layer_#'
    """
    return re.sub(r"\d+", "#", name)

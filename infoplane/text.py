"""Text from files, made safe to show: nothing in it is ever read as markup or as a command."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """Return text on one line, with its control characters escaped.

    A leading ``::`` and any ``##[`` are escaped too: where GitHub runs a workflow it reads lines
    with them as commands.
    """
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    shown = re.sub(r"^(\s*):(?=:)", r"\1\\x3a", shown)
    return shown.replace("##[", "#\\x23[")


def shortened(text: str, limit: int = 200) -> str:
    """Return text of at most ``limit`` characters, the middle of longer text left out."""
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def counted(number: int, word: str) -> str:
    """Return ``1 run``, ``2 runs``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"

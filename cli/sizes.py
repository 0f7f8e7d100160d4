"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

import click

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def byte_size(ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return the number of bytes of an option such as ``8GiB`` or ``500MB``; for ``callback=``.

    Raises
    ------
    click.BadParameter
        If the text is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise click.BadParameter(f"expected a size such as 8GiB or 500MB, got {text!r}")
    unit = match[2].upper()
    power = 2 ** (10 * "KMGT".index(unit) + 10) if match[3] else _UNITS[unit]
    return int(float(match[1]) * power)


def size_text(size: float) -> str:
    """Return a size as text, e.g. ``1.5 GB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"

"""Say in one line what code that is not ours reported."""

from __future__ import annotations


def one_line(error: BaseException | str, most: int = 240) -> str:
    """Return an error, or its text, in one line; a long one ends with a whole sentence or word."""
    if isinstance(error, SystemExit):
        return f"it ended the program with exit({'' if error.code is None else error.code})"
    text = " ".join(str(error).split())
    if len(text) <= most:
        return text
    head = text[:most]
    end = max(head.rfind(". "), head.rfind("; "))
    return head[:end] if end > most // 4 else f"{head.rpartition(' ')[0] or head} ..."

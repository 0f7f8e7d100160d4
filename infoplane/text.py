"""Text for people; what comes from files is never read as markup or as a command."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
_POINTS = 16  # of a sparkline


_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    r"\U000e0000-\U000e0fff\ud800-\udfff]"
)
"""Characters that control, have no width, or turn the direction of writing; not line feed and tab.

They are those of Unicode that are ignorable by default (DerivedCoreProperties.txt), and blanks that
count as letters.
"""


def shown(text: str) -> str:
    """Return text in which every character can be seen; others are escaped."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable(text: str) -> str:
    """Return text on one line, with its control characters escaped, and those that are not seen.

    A leading ``::`` and any ``##[`` are escaped too: where GitHub runs a workflow it reads lines
    with them as commands.
    """
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    line = re.sub(r"^(\s*):(?=:)", r"\1\\x3a", shown(line))
    return line.replace("##[", "#\\x23[")


def shortened(text: str, limit: int = 200) -> str:
    """Return text of at most ``limit`` characters, the middle of longer text left out."""
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def middle_cut(text: str, length: int, head: float = 0.5) -> str:
    """Return ``text`` of at most ``length`` characters, its middle replaced by an ellipsis.

    Parameters
    ----------
    text, length
        What to cut, and to how many characters.
    head : float, default 0.5
        Share of what is kept that stands before the ellipsis.
    """
    if len(text) <= length:
        return text
    before = int((length - 1) * head)
    return f"{text[:before]}…{text[len(text) - (length - 1 - before) :]}"


def cut_names(names: Sequence[str], length: int) -> list[str]:
    """Return names of at most ``length`` characters; different ones stay different.

    They are cut near their middle, at the same place; where none tells them apart they are
    numbered.
    """
    different = dict.fromkeys(names)
    middle = (length - 1) // 2
    for head in sorted(range(1, length - 1), key=lambda at: abs(at - middle)):
        share = (head + 0.5) / (length - 1)
        cut = {name: middle_cut(name, length, share) for name in different}
        if len(set(cut.values())) == len(cut):
            return [cut[name] for name in names]
    marks = {name: f"~{number}" for number, name in enumerate(different, 1)}
    return [middle_cut(name, length - len(marks[name])) + marks[name] for name in names]


def some_of(names: Sequence[str], most: int = 20, *, between: str = " ") -> str:
    """Return names as text, of many the first ``most`` and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def counted(number: int, word: str) -> str:
    """Return ``1 run``, ``2 runs``, ``3 classes``."""
    plural = "es" if word.endswith("s") else "s"
    return f"{number:,} {word}{'' if number == 1 else plural}"


def joined_words(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def spark(values: Sequence[float], top: float, levels: str = BARS) -> str:
    """Return a curve of finite values as up to 16 characters of ``levels``, from 0 to ``top``."""
    last, count = len(values) - 1, min(_POINTS, len(values))
    at = [round(i * last / max(1, count - 1)) for i in range(count)]
    return "".join(
        levels[int(min(max(values[i] / top * len(levels), 0), len(levels) - 1))] for i in at
    )


def in_lines(text: str, width: int, *, first: str = "", break_long_words: bool = True) -> list[str]:
    """Return text in lines of at most ``width`` characters, broken between words.

    ``log₂ N`` stays on one line, and what it equals. The text hangs behind ``first``.
    """
    kept = text.replace("log₂ ", "log₂\xa0").replace(" = ", "\xa0=\xa0")
    lines = textwrap.wrap(
        kept, width, initial_indent=first, subsequent_indent=" " * len(first),
        break_on_hyphens=False, break_long_words=break_long_words,
    )  # fmt: skip
    return [line.replace("\xa0", " ") for line in lines]


def decimal(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """Return a number as text; one that rounds to zero has no sign, None is an empty text."""
    if value is None:
        return ""
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def change_between(low: float | None, high: float | None, places: int = 2) -> str:
    """Return the interval of a change as text, empty where there is none."""
    ends = (decimal(end, places, sign=True) for end in (low, high))
    return "" if low is None else " .. ".join(ends)


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


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV, whose lines end with a line feed alone."""
    import csv
    import io

    text = io.StringIO(newline="")
    one = io.StringIO(newline="")
    table = csv.writer(one)  # of both ends of lines, so that fields with either are quoted
    for row in rows:
        table.writerow(row)
        text.write(one.getvalue().removesuffix("\r\n") + "\n")
        one.seek(0)
        one.truncate()
    return text.getvalue()

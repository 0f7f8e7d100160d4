"""Tell the training step of a checkpoint from its path; refuse to guess where it could be wrong."""

from __future__ import annotations

import re
from pathlib import Path

from infoplane.errors import DataError

_WORDS = (
    ("globalstep", "global_step"),
    ("step",),
    ("iteration", "iter"),
    ("checkpoint", "ckpt", "epoch", "ep"),
)
"""Words that announce a step; those of an earlier group count before those of a later one."""

_ANNOUNCED = re.compile(
    rf"(?<![a-z])({'|'.join(word for group in _WORDS for word in group)})"
    r"[-_=]?([-+]?)([0-9]+)"
)
_CONTINUED = re.compile(r"[.-][0-9]|e[-+]?[0-9]|[km](?![a-z])")
_SUFFIX = re.compile(r"\.[a-z]\w*$")


def step_in_path(path: Path) -> int | None:
    """Return the step that a path tells, or None.

    It is the number after one of the words global_step, step, iter, checkpoint, ckpt, epoch in the
    file name, else after such a word in the name of its folder, else the only integer in the file
    name.

    Raises
    ------
    DataError
        If the number is signed, fractional, scientific or a range, several could be meant, or it
        does not fit 64 bits.
    """
    name = _SUFFIX.sub("", path.name.lower())
    for text in (name, path.parent.name.lower()):
        if (step := _announced(text, path)) is not None:
            return step
    numbers = list(re.finditer(r"(?<![\d.])[0-9]+(?![\d.])", name))
    if len(numbers) != 1:
        return None
    start = numbers[0].start()
    signed = re.search(r"(?:^|[^a-z0-9])[-+]$", name[:start]) is not None
    if signed:
        raise _unclear(path, f"{name[start - 1]}{numbers[0][0]} is signed")
    return _fitting(int(numbers[0][0]), path)


def _announced(text: str, path: Path) -> int | None:
    found = list(_ANNOUNCED.finditer(text))
    for group in _WORDS:
        steps: set[int] = set()
        for match in found:
            if match[1] not in group:
                continue
            rest = _CONTINUED.match(text, match.end())
            if match[2] or rest:
                more = re.match(r"[-+.\w]*", text[match.end() :])
                whole = f"{match[2]}{match[3]}{more[0] if more else ''}"
                raise _unclear(path, f"{whole!r} after {match[1]!r} is no plain whole number")
            steps.add(int(match[3]))
        if len(steps) > 1:
            raise _unclear(path, f"it could be {' or '.join(map(str, sorted(steps)))}")
        if steps:
            return _fitting(steps.pop(), path)
    return None


def _fitting(step: int, path: Path) -> int:
    if step >= 2**63:
        raise _unclear(path, f"{step} is above 2**63 - 1")
    return step


def _unclear(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: the file name does not tell the step: {why}",
        hint="tell where it stands in the path with --step-pattern 'REGEX', "
        "for example --step-pattern 'step_([0-9]+)'",
        code="IP313",
    )

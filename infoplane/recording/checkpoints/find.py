"""Find the checkpoints of a training and tell their steps, never by a guess."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoplane.errors import DataError, InputError, NotFoundError, RunFileError
from infoplane.recording.checkpoints.read import weight_file

log = logging.getLogger("infoplane")

_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".pt2")
_BESIDES = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")
"""What training libraries save beside the weights, with a suffix of weights."""

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
_ENDING = re.compile(r"\.[a-z]\w*$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, file or folder, and its training step (None: to be read from it)."""

    path: Path
    step: int | None


def find_checkpoints(patterns: Sequence[str], step_pattern: str | None = None) -> list[Checkpoint]:
    """Return the checkpoints that match, by step; those whose name tells none come last, by name.

    ``step_in_path`` says how the step is told.

    Parameters
    ----------
    patterns : sequence of str
        Globs of files and of Hugging Face folders (``out/checkpoint-*``); or the folder that a
        training wrote, in which the checkpoints are searched.
    step_pattern : str, optional
        Regular expression, searched in the path; its first group is the step.

    Raises
    ------
    NotFoundError
        If a pattern matches no checkpoint.
    InputError
        If ``step_pattern`` is no regular expression with a group.
    DataError
        If it does not match a file, a name tells no clear step, or two files have the same step.
    """
    expression = _compiled(step_pattern)
    paths: dict[Path, None] = {}
    for pattern in patterns:
        paths.update(dict.fromkeys(sorted(_matching(pattern), key=_natural)))
    found = [Checkpoint(path, _step_of(path, expression)) for path in paths]
    by_step: dict[int, Path] = {}
    for checkpoint in found:
        if checkpoint.step is None:
            continue
        if checkpoint.step in by_step:
            raise DataError(
                f"two checkpoints of step {checkpoint.step}: {by_step[checkpoint.step]} and "
                f"{checkpoint.path}",
                hint="narrow --checkpoints, or tell the step with --step-pattern 'REGEX'",
                code="IP313",
            )
        by_step[checkpoint.step] = checkpoint.path
    return sorted(found, key=lambda c: (c.step is None, c.step or 0))


def _matching(pattern: str) -> list[Path]:
    matches = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207  - Path.glob takes no absolute pattern
    found = [path for path in matches if path.is_file() or weight_file(path) is not None]
    if not glob.has_magic(pattern) and (folder := Path(pattern)).is_dir():
        found = list(_in_folder(folder)) or found
    if found:
        return found
    if special := [path for path in matches if not path.is_file() and not path.is_dir()]:
        raise RunFileError(f"{special[0]}: expected a regular file", code="IP303")
    if distributed := [path for path in matches if (path / ".metadata").is_file()]:
        raise DataError(
            f"{distributed[0]}: a distributed checkpoint, whose index is a pickle",
            hint="make one file of it: python -m torch.distributed.checkpoint.format_utils "
            f"dcp_to_torch {distributed[0]} {distributed[0].name}.pt",
            code="IP311",
        )
    what = "holds no checkpoint" if any(path.is_dir() for path in matches) else None
    raise NotFoundError(
        f"{pattern}: the folder {what}" if what else f"no checkpoint file matches {pattern!r}",
        hint=f"checkpoints end in {', '.join(_SUFFIXES)}, or are folders of Hugging Face libraries"
        if what
        else "write the pattern in quotes; it is relative to the current folder",
        code="IP403",
    )


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints in what a training wrote: folders of Hugging Face, else files.

    Files without a step in their name (``last.ckpt``) repeat one of the others, if there are any.
    """
    inner = [path for path in folder.glob("**/") if path != folder and weight_file(path)]
    if inner:
        yield from inner
        return
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix in _SUFFIXES and path.is_file() and not path.stem.startswith(_BESIDES)
    ]
    if weight_file(folder) is not None or not files:
        return
    with_step = [path for path in files if any(c.isdecimal() for c in path.stem)]
    yield from with_step or files
    if with_step and (others := sorted(set(files) - set(with_step))):
        log.warning("left out, without a step in their name: %s", ", ".join(map(str, others)))


def _compiled(step_pattern: str | None) -> re.Pattern[str] | None:
    if step_pattern is None:
        return None
    try:
        expression = re.compile(step_pattern)
    except re.error as error:
        raise InputError(
            f"step_pattern: {step_pattern!r}: {error}", argument="step_pattern"
        ) from error
    if expression.groups < 1:
        raise InputError(
            f"step_pattern: expected a group around the step, got {step_pattern!r}",
            argument="step_pattern",
            hint="for example 'epoch_([0-9]+)'",
        )
    return expression


def _step_of(path: Path, expression: re.Pattern[str] | None) -> int | None:
    if expression is not None:
        match = expression.search(str(path))
        if match is None or not (match[1] or "").isdecimal() or int(match[1]) >= 2**63:
            raise DataError(
                f"{path}: --step-pattern {expression.pattern!r} finds no whole number in it that "
                "fits 64 bits",
                code="IP313",
            )
        return int(match[1])
    return step_in_path(path)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdecimal() else (1, part)
        for part in re.split(r"([0-9]+)", str(path))
    ]


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
    name = _ENDING.sub("", path.name.lower())
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

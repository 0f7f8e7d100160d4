"""Find the checkpoints of a training and tell their steps, never by a guess."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from infoplane.errors import DataError, InputError, NotFoundError, RunFileError, unreadable
from infoplane.recording.checkpoints.layouts import (
    SUFFIXES,
    adapter_alone,
    distributed,
    is_adapter,
    is_distributed,
    of_weights,
)
from infoplane.recording.checkpoints.read import weight_file
from infoplane.recording.checkpoints.steps import Checkpoint, told_by_names, twice

log = logging.getLogger("infoplane")


def find_checkpoints(patterns: Sequence[str], step_pattern: str | None = None) -> list[Checkpoint]:
    """Return the checkpoints that match, by step; those whose name tells none come last, by name.

    ``told_by_names`` says how a name tells it.

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
        If it does not match a file, or two files have the same step.
    """
    expression = _compiled(step_pattern)
    paths: dict[Path, None] = {}
    for pattern in patterns:
        paths.update(dict.fromkeys(sorted(_matching(pattern), key=_natural)))
    found = (
        [_by_pattern(path, expression) for path in paths]
        if expression is not None
        else told_by_names(list(paths))
    )
    by_step: dict[int, Path] = {}
    for checkpoint in found:
        if checkpoint.step is None or checkpoint.told_by in ("checkpoint", "number"):
            continue  # the file may tell another
        if checkpoint.step in by_step:
            raise twice(checkpoint.step, by_step[checkpoint.step], checkpoint)
        by_step[checkpoint.step] = checkpoint.path
    return sorted(found, key=lambda c: (c.step is None, c.step or 0))


def _matching(pattern: str) -> list[Path]:
    matches = [Path(name) for name in glob.glob(_literal_first(pattern), recursive=True)]  # noqa: PTH207  - Path.glob takes no absolute pattern
    found = [path for path in matches if path.is_file() or weight_file(path) is not None]
    folders = [path for path in matches if path.is_dir()]
    if matches == [Path(pattern)]:  # one by its name
        found = [path for folder in folders for path in _in_folder(folder)] or found
    elif found:
        found = _left_in(found)
    else:
        found = [path for folder in folders for path in _in_folder(folder)]
    for path in found:
        if path.name.startswith("adapter_model.") and is_adapter(path.parent):
            raise adapter_alone(path.parent)
    if found:
        return found
    if special := [path for path in matches if not path.is_file() and not path.is_dir()]:
        raise RunFileError(f"{special[0]}: expected a regular file", code="IP303")
    for folder in folders:
        for inner in (folder, *folder.glob("**/")):
            if is_distributed(inner):
                raise distributed(inner)
            if is_adapter(inner):
                raise adapter_alone(inner)
    for folder in folders or [_before_wildcards(pattern)]:
        _check_may_be_listed(folder)
    what = "holds no checkpoint" if folders else None
    raise NotFoundError(
        f"{pattern}: the folder {what}" if what else f"no checkpoint file matches {pattern!r}",
        hint=f"checkpoints end in {', '.join(SUFFIXES)}, or are folders of Hugging Face libraries"
        if what
        else "write the pattern in quotes; it is relative to the current folder",
        code="IP403",
    )


def _before_wildcards(pattern: str) -> Path:
    """Return the folder in which the search begins."""
    parents = Path(pattern).parents
    return next((folder for folder in parents if not glob.has_magic(str(folder))), Path())


def _check_may_be_listed(folder: Path) -> None:
    """Refuse a folder whose content is hidden from this user: globs take it for empty."""
    try:
        next(folder.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise unreadable(folder, error) from error


def _literal_first(pattern: str) -> str:
    """Return a glob in which a part that names a file or folder as it is written stands for it."""
    done: list[str] = []
    for part in pattern.replace(os.sep, "/").split("/"):
        literal = "/".join([*done, glob.escape(part)])
        there = part != "**" and glob.has_magic(part) and glob.glob(literal, recursive=True)  # noqa: PTH207
        done.append(glob.escape(part) if there else part)
    return "/".join(done)


def _left_in(found: list[Path]) -> list[Path]:
    """Return what holds weights of what a glob matches, if not all of it does."""
    files = [path for path in found if path.is_file()]
    others = set(files) - set(of_weights(files))
    if not others or len(others) == len(found):
        return found
    log.warning("left out, no weights by their name: %s", ", ".join(map(str, sorted(others))))
    return [path for path in found if path not in others]


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints in what a training wrote: folders of Hugging Face, else files.

    Files without a step in their name (``last.ckpt``) repeat one of the others, if there are any.
    """
    inner = [path for path in folder.glob("**/") if path != folder and weight_file(path)]
    if inner:
        yield from inner
        return
    files = of_weights(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.is_file() and not is_distributed(path.parent)
    )
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


def _by_pattern(path: Path, expression: re.Pattern[str]) -> Checkpoint:
    match = expression.search(str(path))
    if match is None or not (match[1] or "").isdecimal() or int(match[1]) >= 2**63:
        raise DataError(
            f"{path}: --step-pattern {expression.pattern!r} finds no whole number in it that "
            "fits 64 bits",
            code="IP313",
        )
    return Checkpoint(path, int(match[1]))


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdecimal() else (1, part)
        for part in re.split(r"([0-9]+)", str(path))
    ]

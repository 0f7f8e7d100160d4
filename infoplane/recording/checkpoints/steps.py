"""The step of a checkpoint, from its name and from its content, never by a guess.

A word counts before a bare number, wherever it stands: ``step_100.pt`` and the ``global_step`` in a
file announce a step; the 18 of ``resnet18.pt`` does not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from infoplane.errors import DataError
from infoplane.recording.checkpoints.read import Weights

ToldBy: TypeAlias = Literal["pattern", "step", "epoch", "checkpoint", "number"]
"""What tells the step in a name: a pattern of the user, a word, or a bare number in a series."""

_WORDS = (
    ("globalstep", "global_step"),
    ("step",),
    ("iteration", "iter", "itr", "it"),
    ("checkpoint", "ckpt", "epoch", "ep"),
)
"""Words that announce a step; those of an earlier group count before those of a later one."""

_EPOCH = ("epoch", "ep")
_OF_STEPS, _OF_EPOCHS = "a number of steps", "the number of an epoch"
_OTHER = (
    "seed", "fold", "run", "trial", "rank", "gpu", "worker", "part", "shard", "split", "v",
    "version", "layer", "layers", "lr",
)  # fmt: skip
"""Words that announce a number which is no step."""

_ANNOUNCED = re.compile(
    rf"(?<![a-z])({'|'.join(word for group in _WORDS for word in group)})"
    r"[-_=]?([-+]?)([0-9]+)"
)
_CONTINUED = re.compile(r"[.-][0-9]|e[-+]?[0-9]|[km](?![a-z])")
_SECOND = re.compile(r"_([0-9]+)(?![0-9.])")  # another number at once, as in checkpoint_1_500
_BARE = re.compile(r"(?<![\d.])(?<![^a-z0-9][-+])(?<!^[-+])[0-9]+(?![\d.]|[km](?![a-z])|e[-+]?\d)")
_ENDING = re.compile(r"\.[a-z]\w*$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, file or folder, and the step that its name tells (None: the file must)."""

    path: Path
    step: int | None
    told_by: ToldBy = "pattern"
    doubt: str = ""  # why the name tells no step


def told_by_names(paths: Sequence[Path]) -> list[Checkpoint]:
    """Return checkpoints with the steps that their names tell.

    That is the number after one of the words global_step, step, iter, checkpoint, ckpt, epoch in
    the file name, else after such a word in the name of its folder. A bare number counts where it
    is the whole name, or the only one in which the names of several files differ.
    """
    found = {path: _announced(path) for path in paths}
    series: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path, checkpoint in found.items():
        if checkpoint.step is None and not checkpoint.doubt:
            series[path.parent, _without_numbers(path)].append(path)
    for alike in series.values():
        found.update(_of_series(alike))
    return list(found.values())


class Steps:
    """The steps of the checkpoints of one recording, all of one kind and no two alike."""

    def __init__(self) -> None:
        self._seen: dict[int, Path] = {}
        self._kinds: dict[str, Path] = {}

    def of(self, checkpoint: Checkpoint, weights: Weights) -> int:
        """Return the step of the next checkpoint.

        Raises
        ------
        DataError
            If neither the name nor the file tells it, they contradict each other, an earlier
            checkpoint has it, or counts something else.
        """
        step, kind = _agreed(checkpoint, weights)
        if step in self._seen:
            raise twice(step, self._seen[step], checkpoint.path)
        self._seen[step] = checkpoint.path
        if step and kind:  # before the first step nothing is counted
            self._kinds.setdefault(kind, checkpoint.path)
        if len(self._kinds) > 1:
            (one, first), (other, second) = self._kinds.items()
            raise DataError(
                f"{second}: its step is {other}, that of {first} is {one}",
                hint="record checkpoints together whose steps count the same, or tell where the "
                "step stands in the path with --step-pattern 'REGEX'",
                code="IP313",
            )
        return step


def twice(step: int, one: Path, other: Path) -> DataError:
    """Return the error of two checkpoints with one step."""
    return DataError(
        f"two checkpoints of step {step}: {one} and {other}",
        hint="narrow --checkpoints, or tell the step with --step-pattern 'REGEX'",
        code="IP313",
    )


def _agreed(checkpoint: Checkpoint, weights: Weights) -> tuple[int, str]:
    """Return the step that name and file agree on, and what it counts ('' if that is open)."""
    name, told_by = checkpoint.step, checkpoint.told_by
    in_file, kind = (
        weights.step,
        "the number of an epoch" if weights.by_epoch else "one in the file",
    )
    if name is None or told_by == "number":
        if in_file is not None:
            return in_file, kind
        if name is not None:
            return name, "a bare number in its name"
        raise DataError(
            f"{checkpoint.path}: the file name does not tell the step"
            + (f": {checkpoint.doubt}" if checkpoint.doubt else "")
            + "; nor does the file",
            hint="name the file as step_100.pt, save the step in it ({'state_dict': ..., 'step': "
            "100}), or tell where it stands in the path with --step-pattern 'REGEX', for example "
            "--step-pattern 'step_([0-9]+)'",
            code="IP313",
        )
    epoch = weights.epoch
    if told_by == "step":
        if in_file not in (None, name) and not weights.by_epoch:
            raise _contradicted(checkpoint, f"step {in_file}")
        return name, _OF_STEPS
    if told_by == "epoch":
        if epoch is not None and abs(epoch - name) > 1:  # they are counted from 0, or from 1
            raise _contradicted(checkpoint, f"epoch {epoch:g}")
        return name, _OF_EPOCHS
    if told_by == "checkpoint" and in_file is not None and not weights.by_epoch:
        # A number of checkpoints, of epochs or of steps: the file has a word for the last.
        of_epochs = epoch is not None and abs(epoch - name) <= 1
        return (name, "") if of_epochs or in_file == name else (in_file, kind)
    return name, ""


def _contradicted(checkpoint: Checkpoint, found: str) -> DataError:
    return DataError(
        f"{checkpoint.path}: the file name tells {checkpoint.told_by} {checkpoint.step}, the file "
        f"{found}",
        hint="rename the file, or, if the name is right, tell where the step stands in it with "
        f"--step-pattern '{checkpoint.told_by}[-_=]?([0-9]+)'",
        code="IP313",
    )


def _announced(path: Path) -> Checkpoint:
    """Return what a word in the name of a file, or else of its folder, announces."""
    for text in (_stem(path), path.parent.name.lower()):
        found = list(_ANNOUNCED.finditer(text))
        for group in _WORDS:
            matches = [match for match in found if match[1] in group]
            if matches:
                return _after_words(path, text, matches)
    return Checkpoint(path, None, "number")


def _after_words(path: Path, text: str, matches: Sequence[re.Match[str]]) -> Checkpoint:
    words = {match[1] for match in matches}
    told_by: ToldBy = "checkpoint"
    if words & set(_EPOCH):
        told_by = "epoch"
    elif not words & set(_WORDS[-1]):
        told_by = "step"
    for match in matches:
        if match[2] or _CONTINUED.match(text, match.end()):
            more = re.match(r"[-+.\w]*", text[match.end() :])
            whole = f"{match[2]}{match[3]}{more[0] if more else ''}"
            why = f"{whole!r} after {match[1]!r} is no plain whole number"
            return Checkpoint(path, None, told_by, why)
    second = _SECOND.match(text, matches[0].end())
    if told_by == "checkpoint" and second:
        return Checkpoint(path, None, "number")
    steps = sorted({int(match[3]) for match in matches})
    if len(steps) > 1:
        return Checkpoint(path, None, told_by, f"it could be {' or '.join(map(str, steps))}")
    return _fitting(Checkpoint(path, steps[0], told_by))


def _of_series(paths: Sequence[Path]) -> dict[Path, Checkpoint]:
    """Return files whose names are alike but for bare numbers."""
    names = [_stem(path) for path in paths]
    numbers = [_BARE.findall(name) for name in names]
    varying = [
        place for place, values in enumerate(zip(*numbers, strict=True)) if len({*values}) > 1
    ]
    if len(paths) == 1 and names[0].isdecimal():
        varying = [0]
    if len(varying) != 1:
        return {
            path: Checkpoint(path, None, "number", _doubt(found))
            for path, found in zip(paths, numbers, strict=True)
        }
    (place,) = varying
    start = list(_BARE.finditer(names[0]))[place].start()
    word = re.search(r"([a-z]*)[-_=]?$", names[0][:start])
    if word is not None and word[1] in _OTHER:
        why = f"the number after {word[1]!r} is none"
        return {path: Checkpoint(path, None, "number", why) for path in paths}
    return {
        path: _fitting(Checkpoint(path, int(found[place]), "number"))
        for path, found in zip(paths, numbers, strict=True)
    }


def _doubt(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return f"no word announces {int(numbers[0])} as one"
    return f"it could be {' or '.join(str(int(n)) for n in numbers)}" if numbers else ""


def _without_numbers(path: Path) -> str:
    """Return the name of a file with its bare numbers taken out."""
    stem = _stem(path)
    return _BARE.sub("\0", stem) + path.name.lower()[len(stem) :]


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.name.lower())


def _fitting(checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.step is None or checkpoint.step < 2**63:
        return checkpoint
    return replace(checkpoint, step=None, doubt=f"{checkpoint.step} is above 2**63 - 1")

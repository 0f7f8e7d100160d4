"""The step of a checkpoint, from its name and from its content, never by a guess.

A word counts before a bare number, wherever it stands: ``step_100.pt`` and the ``global_step`` in a
file announce a step; the 18 of ``resnet18.pt`` does not.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from infoplane.errors import DataError
from infoplane.recording.checkpoints.read import Weights

ToldBy: TypeAlias = Literal["pattern", "step", "epoch", "checkpoint", "number"]
"""What tells the step in a name: a pattern of the user, a word, or a bare number in a series."""


def _not_after(*words: str) -> str:
    return "".join(rf"(?<!(?<![a-z]){word}[-_ .])" for word in words)


_NO_COUNT = _not_after(
    "n", "num", "max", "total", "warmup", "per", "every", "accum", "accumulation", "from", "resume",
    "resumed",
)  # fmt: skip
"""``max_steps`` and the like announce a setting, or an earlier training, not where this one is."""

_NO_STEP = _not_after(
    "time", "timestep", "diffusion", "denoising", "sampling", "inference", "ddim", "lr", "decay",
    "eval", "logging", "inner", "pretrained", "pretraining",
)  # fmt: skip
"""The same of steps alone: a ``diffusion_epoch_3`` is one of the training."""

_ANNOUNCED = [
    re.compile(
        rf"(?<![a-z]){_NO_COUNT}(?P<word>{words})[-_=. ]?(?P<sign>[-+]?)(?P<number>[0-9]+)",
        re.IGNORECASE | re.ASCII,
    )
    for words in (
        rf"{_NO_STEP}global[-_ ]?steps?",
        # the "it" of gemma-2-it_100 is no word
        rf"{_NO_STEP}steps?|(?:iteration|iter|itr)s?|^it|it(?==?[0-9])",
        r"checkpoint|ckpt|epochs?|ep",
    )
]
"""Words that announce a step; those of an earlier group count before those of a later one."""

_OF_STEPS, _OF_EPOCHS = "a number of steps", "the number of an epoch"
_HEADS = (
    "model", "net", "network", "weight", "weights", "param", "params", "parameters", "state",
    "dict", "snapshot", "snap", "save", "saved", "checkpoint", "ckpt", "generator",
    "discriminator", "actor", "critic", "policy", "agent",
)  # fmt: skip
"""What files of weights are called: a number after another word, as in mlp_64, is one of a kind."""

_CONTINUED = re.compile(r"[.-][0-9]|[a-z]", re.IGNORECASE)  # as in a hash, 3f2a9c1, or in 8b
_COUNTED = re.compile(r"(?:epochs?|ep|steps?|(?:iteration|iter|itr)s?|it)(?![a-z])", re.IGNORECASE)
_SECOND = re.compile(  # another number at once, as in checkpoint_1_500
    r"[_ ,]([0-9]+)(?![0-9]|\.[0-9]|(?![km](?![a-z]))[a-z])", re.IGNORECASE
)
_BARE = re.compile(
    r"(?<![\d.])(?<![^a-z0-9][-+])(?<!^[-+])[0-9]+(?![\d.]|[km](?![a-z])|e[-+]?\d)",
    re.IGNORECASE | re.ASCII,
)
_BEFORE = re.compile(r"([a-z]*)(?:[0-9.]+[-_= ])*[-_= ]?$", re.IGNORECASE)
"""The word before a number; other numbers may stand between them."""

_DATE = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[-_t ]?(?:[01][0-9]|2[0-3])([-_.]?)[0-5][0-9](?:\2[0-5][0-9])?)?"
    r"|1[4-9][0-9]{8})(?![0-9])",  # seconds since 1970
    re.IGNORECASE,
)
_ENDING = re.compile(r"\.[a-z]\w*$", re.IGNORECASE)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, file or folder, and the step that its name tells (None: the file must)."""

    path: Path
    step: int | None
    told_by: ToldBy = "pattern"
    doubt: str = ""  # why the name tells no step
    pattern: str = "step_([0-9]+)"  # of --step-pattern, which finds the number in question


def told_by_names(paths: Sequence[Path]) -> list[Checkpoint]:
    """Return checkpoints with the steps that their names tell.

    That is the number after one of the words global_step, step, iter, checkpoint, ckpt, epoch in
    the file name. A bare number counts after a usual name of such files (``model_7``) or after none
    (``7.pt``), where it is the whole name, or the only one in which the names of several files of a
    folder differ. If the file name has no number that could count, the name of its folder does.
    """
    found: dict[Path, Checkpoint] = {}
    series: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in paths:
        announced = _announced(path, _stem(path))
        found[path] = announced or Checkpoint(path, None, "number")
        if announced is None:
            series[path.parent, _without_numbers(path)].append(path)
    for alike in series.values():
        found.update(_of_series(alike))
    return _without_split(list(found.values()))


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
            raise twice(step, self._seen[step], checkpoint)
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


def twice(step: int, one: Path, other: Checkpoint) -> DataError:
    """Return the error of two checkpoints with one step."""
    in_name = other.step not in (None, step)  # the file told another
    return DataError(
        f"two checkpoints of step {step}: {one} and {other.path}",
        hint="narrow --checkpoints, or tell the step with "
        + (_by_hand(other) if in_name else "--step-pattern 'REGEX'"),
        code="IP313",
    )


def _agreed(checkpoint: Checkpoint, weights: Weights) -> tuple[int, str]:
    """Return the step that name and file agree on, and what it counts ('' if that is open)."""
    name, told_by = checkpoint.step, checkpoint.told_by
    in_file, kind = (
        weights.step,
        _OF_EPOCHS if weights.by_epoch else "one in the file",
    )
    epoch = weights.epoch
    counts_epochs = epoch is not None and name is not None and abs(epoch - name) <= 1
    if told_by == "checkpoint" and name is not None and counts_epochs:
        return name, ""
    if name is None or told_by in (
        "checkpoint",
        "number",
    ):  # the file has a word for what it counts
        if in_file is not None:
            return in_file, kind
        if name is not None:
            return name, "a bare number in its name" if told_by == "number" else ""
        raise DataError(
            f"{checkpoint.path}: the file name does not tell the step"
            + (f": {checkpoint.doubt}" if checkpoint.doubt else "")
            + "; nor does the file",
            hint="name the file as step_100.pt, save the step in it ({'state_dict': ..., 'step': "
            f"100}}), or tell where it stands in the path: {_by_hand(checkpoint)}",
            code="IP313",
        )
    if told_by == "step":
        if in_file not in (None, name) and not weights.by_epoch:
            raise _contradicted(checkpoint, f"step {in_file}")
        return name, _OF_STEPS
    if told_by == "epoch":
        if epoch is not None and not counts_epochs:  # they are counted from 0, or from 1
            raise _contradicted(checkpoint, f"epoch {epoch:g}")
        return name, _OF_EPOCHS
    return name, ""


def _contradicted(checkpoint: Checkpoint, found: str) -> DataError:
    return DataError(
        f"{checkpoint.path}: the file name tells {checkpoint.told_by} {checkpoint.step}, the file "
        f"{found}",
        hint="rename the file, or, if the name is right, tell where the step stands in it: "
        + _by_hand(checkpoint),
        code="IP313",
    )


def _by_hand(checkpoint: Checkpoint) -> str:
    return f"--step-pattern {shlex.quote(checkpoint.pattern)}"


def _announced(path: Path, text: str) -> Checkpoint | None:
    """Return what a word in the name of a file, or of its folder, announces."""
    for expression in _ANNOUNCED:
        if matches := list(expression.finditer(text)):
            return _after_words(path, text, matches)
    return None


def _after_words(path: Path, text: str, matches: Sequence[re.Match[str]]) -> Checkpoint | None:
    words = {match["word"].lower() for match in matches}
    told_by: ToldBy = "step"
    if any(word.startswith("ep") for word in words):
        told_by = "epoch"
    elif words & {"checkpoint", "ckpt"}:
        told_by = "checkpoint"
    first, pattern = matches[0], _pattern(path, text, matches[0].start("number"))
    for match in matches:
        if match["sign"] or _is_continued(text, match.end()):
            more = re.match(r"[-+.\w]*", text[match.end() :])
            whole = f"{match['sign']}{match['number']}{more[0] if more else ''}"
            why = f"{whole!r} after {match['word']!r} is no plain whole number"
            return Checkpoint(path, None, told_by, why, pattern)
    if told_by == "checkpoint" and _SECOND.match(text, first.end()):
        return None  # neither is announced
    if told_by != "step" and (why := _dated(text, first.start("number"))):
        return Checkpoint(path, None, told_by, why, pattern)
    steps = sorted({int(match["number"]) for match in matches})
    if len(steps) > 1:
        why = f"it could be {' or '.join(map(str, steps))}"
        return Checkpoint(path, None, told_by, why, pattern)
    return _fitting(Checkpoint(path, steps[0], told_by, pattern=pattern))


def _without_split(found: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Refuse announced numbers that another follows at once, as in ``step_1_000``.

    They count in a series in which all have the same, unless that could be the rest of them.
    """
    series: dict[str, list[tuple[Checkpoint, str]]] = defaultdict(list)
    for checkpoint in found:
        series[checkpoint.pattern].append((checkpoint, _second(checkpoint)))
    kept = []
    for checkpoint in found:
        alike, second = series[checkpoint.pattern], _second(checkpoint)
        steps, seconds = {one.step for one, _ in alike}, {other for _, other in alike}
        if second and (len(steps) == 1 or len(seconds) > 1 or len(second) == 3):
            why = f"it could be {checkpoint.step} or {second}"
            checkpoint = replace(checkpoint, step=None, doubt=why)
        kept.append(checkpoint)
    return kept


def _second(checkpoint: Checkpoint) -> str:
    """Return the number that follows the announced one at once, '' if none does, or a date."""
    if checkpoint.step is None or checkpoint.told_by not in ("step", "epoch"):
        return ""
    name = checkpoint.path.as_posix()
    first = re.search(checkpoint.pattern, name)
    second = _SECOND.match(name, first.end(1)) if first is not None else None
    return "" if second is None or _dated(name, second.start(1)) else second[1]


def _is_continued(text: str, at: int) -> bool:
    """Tell whether a number that ends at a place is only the beginning of something else."""
    others = any(expression.match(text, at) for expression in _ANNOUNCED)  # step500epoch3
    return _CONTINUED.match(text, at) is not None and not others


def _of_series(paths: Sequence[Path]) -> dict[Path, Checkpoint]:
    """Return files whose names have no word for the step, and are alike but for bare numbers."""
    numbers = [list(_BARE.finditer(_stem(path))) for path in paths]
    varying = [
        place
        for place, found in enumerate(zip(*numbers, strict=True))
        if len({match[0] for match in found}) > 1
    ]
    found = {}
    for path, matches in zip(paths, numbers, strict=True):
        whole = len(paths) == 1 and _stem(path).isdecimal()
        place = 0 if whole else varying[0] if len(varying) == 1 else None
        of_folder = _announced(path, path.parent.name)
        if of_folder is not None and len(paths) == 1:
            found[path] = _or_of_folder(of_folder, matches)
            continue
        found[path] = _bare(path, matches, place)
        if of_folder is not None and found[path].step is None:
            found[path] = _or_of_folder(of_folder, matches)
    return found


def _bare(path: Path, matches: Sequence[re.Match[str]], place: int | None) -> Checkpoint:
    """Return what bare numbers in a name tell, of which the one at ``place`` may be the step."""
    if not matches:
        return Checkpoint(path, None, "number")
    match = matches[-1 if place is None else place]
    stem, told = match.string, [str(int(match[0])) for match in matches]
    why = _dated(stem, match.start())
    if not why and place is None and len(matches) > 1:
        why = f"it could be {' or '.join(told)}"
    elif not why and (place is None or not _may_count(match)):
        why = f"no word announces {int(match[0])} as one"
    pattern = _pattern(path, stem, match.start())
    if why:
        return Checkpoint(path, None, "number", why, pattern)
    return _fitting(Checkpoint(path, int(match[0]), "number", pattern=pattern))


def _or_of_folder(of_folder: Checkpoint, matches: Sequence[re.Match[str]]) -> Checkpoint:
    """Return what the name of a folder tells, unless the file's has a number that could count."""
    path, own = of_folder.path, [match for match in matches if _may_count(match)]
    if not own:
        return of_folder
    numbers = [str(int(match[0])) for match in own]
    why = f"it could be {' or '.join(numbers)} or, of its folder, {path.parent.name!r}"
    return Checkpoint(path, None, "number", why, _pattern(path, own[0].string, own[0].start()))


def _may_count(match: re.Match[str]) -> bool:
    """Tell whether a bare number follows a usual name of files of weights, or no word.

    Letters at once after it, as in 7b, make it something else, unless they say what it counts.
    """
    rest = match.string[match.end() :]
    if rest[:1].isalpha() and not _COUNTED.match(rest):
        return False
    before = _BEFORE.search(match.string[: match.start()])
    word = before[1] if before is not None else ""
    return not word or word.lower() in _HEADS or word in ("G", "D")  # d_64 is a width


def _dated(text: str, at: int) -> str:
    """Say so if the number that begins at a place is one of a date or a time."""
    for match in _DATE.finditer(text):
        if match.start() <= at < match.end():
            return f"{match[0]} could be a date"
    return ""


def _pattern(path: Path, text: str, at: int) -> str:
    """Return the regular expression that finds the number at a place in the name, or the folder."""
    rest = "[^/]*$" if text == _stem(path) else "[^/]*/[^/]*$"
    return f"{re.escape(text[:at])}([0-9]+){rest}"


def _without_numbers(path: Path) -> str:
    """Return the name of a file with its bare numbers taken out."""
    stem = _stem(path)
    return (_BARE.sub("\0", stem) + path.name[len(stem) :]).lower()


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.name)


def _fitting(checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.step is None or checkpoint.step < 2**63:
        return checkpoint
    return replace(checkpoint, step=None, doubt=f"{checkpoint.step} is above 2**63 - 1")

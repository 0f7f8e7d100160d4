"""Which step and which layer an array is of, by where it lies; never by a guess.

An array has a place: the folders below the one that was named, the file, and its key in the file,
as in ``run1/step_100.npz/fc1``. A layout such as ``step_{step}/{layer}`` says what stands where.
Without one, a word such as step or epoch announces a step; what is left of the key names the
layer, or else the file, or else the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from infoplane.errors import DataError, InputError

_ANNOUNCED = [
    re.compile(
        rf"(?<![a-z])(?:{words})[-_= ]?(?P<number>[0-9]+)(?![0-9a-z]|\.[0-9])[-_. ]*", re.IGNORECASE
    )
    for words in (
        r"global[-_ ]?steps?",
        r"steps?|iterations?|iter",
        r"checkpoint|ckpt|epochs?",
    )
]
"""Words that announce a step; those of an earlier group count before those of a later one."""

_GENERIC = ("features", "activations", "activation", "acts", "layers", "data")
"""Names that say only that there are activations."""

_SPLITS = ("train", "training", "val", "valid", "validation", "test")

_PLACE = re.compile(r"\{(\w*)\}|(\*\*|\*)")


@dataclass(frozen=True)
class Place:
    """Where an array lies: folders and file, without its suffix, and the key in the file."""

    folders: tuple[str, ...]
    file: str
    key: tuple[str, ...]
    suffix: str = ""
    argument: str = ""  # what was named on the command line

    def __str__(self) -> str:
        return "/".join((*self.folders, self.file + self.suffix, *self.key))

    @property
    def written(self) -> tuple[str, ...]:
        """The ways in which a layout may write the place."""
        plain = "/".join((*self.folders, self.file, *self.key))
        found = (plain, str(self))
        above = PurePosixPath(self.argument).as_posix().strip("/")
        return (*found, *(f"{above}/{one}" for one in found)) if above else found


@dataclass(frozen=True)
class Found:
    """Step and layer of an array; the step is None where nothing tells one."""

    step: int | None
    layer: str


class Layout:
    """A pattern of places, such as ``epoch_{step}/{layer}.npy``.

    ``{step}`` stands for a whole number, ``{layer}`` for a name, ``*`` for anything within a folder
    or key, ``**`` for anything.

    Raises
    ------
    InputError
        If it names neither, one twice, or anything else.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        expression, at, known = "", 0, []
        for part in _PLACE.finditer(text):
            expression += re.escape(text[at : part.start()])
            at = part.end()
            if part[2]:
                expression += ".*" if part[2] == "**" else "[^/]*"
                continue
            known.append(part[1])
            expression += {"step": "(?P<step>[0-9]+)", "layer": "(?P<layer>.+?)"}.get(part[1], "")
        wrong = [name for name in known if name not in ("step", "layer")]
        if not known or wrong or len(set(known)) < len(known):
            raise InputError(
                f"layout: expected {{step}} and {{layer}}, each at most once, got {text!r}",
                argument="layout",
                hint="for example 'step_{step}/{layer}.npy'",
            )
        self._expression = re.compile(expression + re.escape(text[at:]))

    def found(self, place: Place) -> Found | None:
        """Return step and layer of a place that the layout fits, None of another."""
        for text in place.written:
            match = self._expression.fullmatch(text)
            if match is None:
                continue
            told = match.groupdict()
            step = int(told["step"]) if told.get("step") else None
            return Found(step, told.get("layer") or _left(place, ())[1])
        return None


def found_by_words(place: Place) -> Found:
    """Return step and layer of a place as its words tell them.

    Raises
    ------
    DataError
        If it tells several steps, or a bare number could be a step or a layer.
    """
    step, layer = _left(place, _announced(place))
    if step is None and (bare := _bare(place)):
        raise DataError(
            f"{place}: {bare!r} could be a step or a layer",
            hint=f"say which it is: --layout '{_suggested(place, bare)}'",
            code="IP313",
        )
    return Found(step, layer)


def _announced(place: Place) -> tuple[int, ...]:
    """Return the numbers that words announce, of the first group of words that has some."""
    parts = (*place.folders, place.file, *place.key)
    for expression in _ANNOUNCED:
        numbers = {int(m["number"]) for part in parts for m in expression.finditer(part)}
        if len(numbers) > 1:
            told = " or ".join(map(str, sorted(numbers)))
            raise DataError(
                f"{place}: its step could be {told}",
                hint="say where the step stands: --layout 'PATTERN with {step} and {layer}'",
                code="IP313",
            )
        if numbers:
            return tuple(numbers)
    return ()


def _left(place: Place, numbers: Sequence[int]) -> tuple[int | None, str]:
    """Return the announced step, and the name that is left for the layer."""
    key = _without_generic(_without_words(place.key))
    file = _without_generic(_without_words((place.file,)))
    folders = _without_generic(_without_words(place.folders))
    if folders and place.file.startswith("features_"):  # of thingsvision, and a suffix of the user
        file = ()
    layer = "/".join(key) or "".join(file) or "/".join(folders)
    fallback = (*place.key, place.file)[0 if place.key else -1]
    step = numbers[0] if numbers else None
    if step is None and place.key and place.file.isdecimal():
        step = int(place.file)  # 100.npz
    return step, layer or fallback


def _without_words(parts: Sequence[str]) -> tuple[str, ...]:
    """Return parts without the words that announce a step."""
    found = []
    for part in parts:
        for expression in _ANNOUNCED:
            part = expression.sub("", part)
        found.append(part.strip("-_. "))
    return tuple(filter(None, found))


def _without_generic(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if part.lower() not in _GENERIC)


def _bare(place: Place) -> str:
    """Return a number alone that stands above the name of the layer, "" if there is none.

    A file named so holds a step if it has keys: ``100.npz``; the last part is the layer.
    """
    key = _without_generic(place.key)
    above = [*key[:-1]]
    if not key:
        file = _without_generic((place.file,))
        above = [*file, *([] if not file else _without_generic(place.folders))]
    return next((part for part in above if part.isdecimal()), "")


def _suggested(place: Place, bare: str) -> str:
    """Return a layout in which a number is the step."""
    plain = place.written[0].split("/")
    at = plain.index(bare)
    rest = ["{layer}"] if plain[at + 1 :] else []
    return "/".join([*plain[:at], "{step}", *rest])


def is_split(place: Place) -> bool:
    """Tell whether a folder, a file or a key is called like a part of the data."""
    parts = (*place.folders, place.file, *place.key)
    return any(part.lower() in _SPLITS for part in _without_words(parts))


def series_layout(places: Sequence[Place]) -> str | None:
    """Return a layout that tells places apart whose names differ in one number; else None."""
    first, *others = [place.written[0] for place in places]
    numbers = [re.findall(r"[0-9]+", text) for text in (first, *others)]
    frames = {re.sub(r"[0-9]+", "\0", text) for text in (first, *others)}
    if len(frames) > 1:
        return None
    varying = [i for i, found in enumerate(zip(*numbers, strict=True)) if len(set(found)) > 1]
    if len(varying) != 1:
        return None
    spans = list(re.finditer(r"[0-9]+", first))
    start, end = spans[varying[0]].span()
    key = "/".join(places[0].key)
    text = first[:start] + "{step}" + first[end:]
    return text[: len(text) - len(key)] + "{layer}" if key and text.endswith(key) else text

"""Sort the arrays of files into layers by step, metrics, inputs and labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.errors import DataError, InputError, NotFoundError, RunFileError
from infoplane.importing.held import Held, held_in, is_held
from infoplane.importing.names import (
    Found,
    Layout,
    Place,
    found_by_words,
    is_split,
    series_layout,
)
from infoplane.importing.parts import joined_parts
from infoplane.importing.zarr_store import is_zarr
from infoplane.patterns import matches
from infoplane.text import some_of

INPUTS = ("inputs", "input", "x")
LABELS = ("labels", "label", "targets", "target", "y")
_STEPS = ("step", "global_step", "iteration")
_EPOCHS = ("epoch",)
_WEIGHTS = re.compile(r"(.*[./])?(weight|bias|running_mean|running_var|num_batches_tracked)")


@dataclass(frozen=True)
class Item:
    """An array with its place, step and layer."""

    held: Held
    place: Place
    step: int | None
    layer: str

    def __str__(self) -> str:
        return str(self.place)


@dataclass
class Collected:
    """What was found in files: layers by step, and what goes with them."""

    layers: dict[int, dict[str, Item]] = field(default_factory=dict)
    numbers: dict[int, dict[str, Item]] = field(default_factory=dict)  # metrics, by step
    roles: dict[str, list[Item]] = field(default_factory=dict)  # inputs and labels
    left_out: list[str] = field(default_factory=list)
    told: bool = True  # whether the names tell the steps


def collected(
    paths: Sequence[Path],
    *,
    layout: str | None = None,
    layers: Sequence[str] = (),
    inputs: str | None = None,
    labels: str | None = None,
) -> Collected:
    """Return what the arrays in files and folders are, none of them read.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    layout : str, optional
        As of `Layout`; arrays that it does not fit are left out.
    layers : sequence of str
        Globs of layers, in the order of the network; ``!GLOB`` excludes.
    inputs, labels : str, optional
        Names of the arrays that are these, "" for none; by default usual names.

    Raises
    ------
    DataError
        If the step or the layer of an array is unclear, or two are the same one.
    NotFoundError
        If there is no array, or none of a name.
    """
    pattern = None if layout is None else Layout(layout)
    items = [
        Item(held, place, found.step, found.layer)
        for held, place in _arrays(paths)
        if (found := _named(held, place, pattern, inputs, labels)) is not None
    ]
    if not items:
        where = " ".join(map(str, paths))
        raise NotFoundError(
            f"{where}: no array fits the layout {layout!r}" if layout else f"{where}: no arrays",
            hint="places look like "
            + some_of([str(place) for _, place in _arrays(paths)], 4, between=", ")
            if layout
            else "expected .npz, .npy, .h5, .safetensors, .pt or Zarr",
            code="IP403",
        )
    return _sorted(_stepped(items), layers, inputs, labels)


def _arrays(paths: Sequence[Path]) -> Iterator[tuple[Held, Place]]:
    """Yield all arrays of the files with their places."""
    for path in paths:
        if path.is_dir() and not is_zarr(path):
            files = [file for file in _files(path) if is_held(file)]
            if not files:
                raise NotFoundError(
                    f"{path}: the folder holds no file of arrays",
                    hint="expected .npz, .npy, .h5, .safetensors, .pt or Zarr",
                    code="IP403",
                )
            for held in joined_parts(one for file in files for one in held_in(file)):
                yield held, _place(held, held.path.relative_to(path).parts, str(path))
        else:
            for held in held_in(path):
                yield held, _place(held, (path.name,), str(path.parent))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in natural order; a store of Zarr is one."""
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not is_zarr(path):
            yield from _files(path)
        else:
            yield path


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key by which conv2 comes before conv10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _place(held: Held, parts: Sequence[str], argument: str) -> Place:
    suffix = held.path.suffix if held.path.suffix in parts[-1] else ""
    file = parts[-1].removesuffix(suffix)
    key = tuple(part for part in held.key.split("/") if part)
    return Place(tuple(parts[:-1]), file, key, suffix, argument)


def _named(
    held: Held, place: Place, layout: Layout | None, inputs: str | None, labels: str | None
) -> Found | None:
    """Return step and layer of an array, None if a layout leaves it out."""
    if layout is None:
        return found_by_words(place)
    found = layout.found(place)
    last = place.key[-1] if place.key else place.file
    if found is None and (last in (inputs, labels) or not held.shape or last in INPUTS + LABELS):
        return Found(None, last)  # goes with the layers, wherever it lies
    return found


def _stepped(items: Sequence[Item]) -> list[Item]:
    """Return arrays with the step that a number beside them tells, where their name tells none.

    Raises
    ------
    DataError
        If it is another one than that of the name.
    """
    beside: dict[Path, int] = {}
    for item in items:
        if item.layer in _STEPS and not item.held.shape and len(item.place.key) == 1:
            value = float(item.held.read())
            if value < 0 or value % 1:
                raise DataError(f"{item}: expected a step, found {value:g}", code="IP313")
            beside[item.held.path] = int(value)
    found = []
    for item in items:
        told = beside.get(item.held.path)
        if told is not None and item.step not in (None, told):
            raise DataError(
                f"{item}: the name tells step {item.step}, the file step {told}",
                hint="rename the file, or leave the number out of it",
                code="IP313",
            )
        if not (item.held.path in beside and item.layer in _STEPS):
            found.append(item if told is None else Item(item.held, item.place, told, item.layer))
    return found


def _sorted(
    items: Sequence[Item], layers: Sequence[str], inputs: str | None, labels: str | None
) -> Collected:
    made = Collected()
    roles = {"inputs": (inputs, INPUTS), "labels": (labels, LABELS)}
    taken = {role: _of_role(role, *names, items) for role, names in roles.items()}
    made.roles = {role: found for role, found in taken.items() if found}
    special = {id(item) for found in taken.values() for item in found}
    rest = [item for item in items if id(item) not in special]
    single: list[Item] = []
    for item in rest:
        if not item.held.shape and item.held.numeric:
            made.numbers.setdefault(item.step or 0, {})[item.layer] = item
        elif not item.held.numeric:
            made.left_out.append(f"{item} (of {item.held.dtype}, no numbers)")
        elif len(item.held.shape) == 1:
            made.left_out.append(
                f"{item} (shape {item.held.shape}: --labels takes labels, a layer of one unit has "
                f"shape ({item.held.shape[0]}, 1))"
            )
        else:
            single.append(item)
    _refuse_weights([*single, *rest])
    chosen = _chosen(single, layers)
    if not chosen:
        left = f"; left out: {'; '.join(made.left_out[:3])}" if made.left_out else ""
        raise DataError(f"expected arrays (n_samples, units, ...), found none{left}")
    steps = {item.step for item in chosen}
    if None in steps and len(steps) > 1:
        odd = next(item for item in chosen if item.step is None)
        even = next(item for item in chosen if item.step is not None)
        raise DataError(
            f"{odd}: its name tells no step, that of {even} does",
            hint=f"leave it out: --layers '!{odd.layer}'; or say where the steps are: --layout",
            code="IP313",
        )
    made.told = None not in steps
    by_step: dict[int, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in chosen:
        by_step[item.step or 0][item.layer].append(item)
    for step, named in sorted(by_step.items()):
        made.layers[step] = {}
        for name, several in named.items():
            if several[1:]:
                raise _clash(several, step if made.told else None)
            made.layers[step][name] = several[0]
    return made


def _of_role(
    role: str, asked: str | None, usual: Sequence[str], items: Sequence[Item]
) -> list[Item]:
    """Return the arrays of a role, one for each step at most."""
    if asked == "":
        return []
    names = [asked] if asked is not None else list(usual)
    found = [item for item in items if _is_called(item, names) and item.held.shape]
    if asked is not None and not found:
        raise NotFoundError(
            f"{role}: no array {asked!r}; there are "
            + some_of([str(item) for item in items], 8, between=", "),
        )
    called = dict.fromkeys(item.layer for item in found)
    if len(called) > 1:
        raise InputError(
            f"{role}: it could be {' or '.join(called)}",
            argument=role,
            hint=f"say which: --{role} {next(iter(called))}; --{role} none takes none of them",
        )
    return found


def _is_called(item: Item, names: Iterable[str]) -> bool:
    last = item.place.key[-1] if item.place.key else item.place.file
    return any(name in (item.layer, last, str(item)) for name in names)


def _chosen(items: Sequence[Item], layers: Sequence[str]) -> list[Item]:
    """Return the arrays of the layers that globs choose, in the order of the globs."""
    include = [glob for glob in layers if not glob.startswith("!")]
    exclude = [glob[1:] for glob in layers if glob.startswith("!")]
    names = dict.fromkeys(item.layer for item in items)
    for glob in [*include, *exclude]:
        if not any(matches(name, glob) for name in names):
            raise NotFoundError(f"no layer matches {glob!r}", hint=f"there are {some_of([*names])}")

    def rank(item: Item) -> int:
        return next(i for i, glob in enumerate(include or ["**"]) if matches(item.layer, glob))

    kept = [
        item
        for item in items
        if any(matches(item.layer, glob) for glob in include or ["**"])
        and not any(matches(item.layer, glob) for glob in exclude)
    ]
    return sorted(kept, key=rank)


def _refuse_weights(items: Sequence[Item]) -> None:
    """Refuse a state dict, whose arrays are no activations."""
    weights = [item for item in items if _WEIGHTS.fullmatch(item.layer)]
    if weights and 2 * len(weights) >= len(items):
        path = weights[0].held.path
        raise DataError(
            f"{path}: holds weights of a model ({weights[0].layer}), no activations",
            hint=f"infoplane record --model net.py:build --checkpoints {path} --data probe.npz -o "
            "RUN records them; or record --weights-only",
        )


def _clash(several: Sequence[Item], step: int | None) -> DataError:
    """Return the error of arrays that are of one layer and one step."""
    where = f" at step {step}" if step is not None else ""
    told = " and ".join(str(item) for item in several[:2])
    layout = series_layout([item.place for item in several])
    hint = "tell them apart with --layout 'PATTERN with {step} and {layer}'"
    if layout is not None and step is None:
        hint = f"if the number is the step: --layout '{layout}'"
    elif any(is_split(item.place) for item in several):
        hint = "parts of the data are runs of their own: import one at a time"
    return DataError(f"layer {several[0].layer!r}{where}: found twice, {told}", hint=hint)


def equal_at_all_steps(role: str, items: Sequence[Item]) -> Any:
    """Return the array of a role, which must be the same wherever it is.

    Raises
    ------
    DataError
        If it is another at some step: then the samples are not the same.
    """
    first = np.asarray(items[0].held.read())
    for item in items[1:]:
        other = np.asarray(item.held.read())
        if first.shape != other.shape or not np.array_equal(first, other):
            raise DataError(
                f"{role} of {item} are not those of {items[0]}: rows must be the same samples, in "
                "the same order, at every step",
                hint="save the activations of one fixed probe set, without shuffling",
            )
    return first


def read_file(role: str, path: Path, key: str) -> Any:
    """Return the array that a file holds for a role.

    Raises
    ------
    DataError
        If it is not clear which one, or the file holds none of the name.
    """
    if path.suffix == ".txt":
        return _lines(path)
    arrays = {one.key: one for one in held_in(path)}
    usual = [name for name in (INPUTS if role == "inputs" else LABELS) if name in arrays]
    name = key or (next(iter(arrays)) if len(arrays) == 1 else usual[0] if usual else "")
    if name not in arrays:
        raise DataError(
            f"{path}: expected one array, or {role}; it has {some_of([*arrays], between=', ')}",
            hint=f"name it: --{role} {path}:NAME",
            code="IP314",
        )
    return arrays[name].read()


def _lines(path: Path) -> Any:
    """Return the labels in a text, one a line; of file names, the folders that tell the classes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RunFileError(f"{path}: expected a text in UTF-8 ({error})") from error
    lines = [line.strip() for line in lines if line.strip()]
    if path.name == "file_names.txt":  # of thingsvision
        return _classes(lines, path)
    if lines and all(re.fullmatch(r"[-+]?[0-9]{1,18}", line) for line in lines):
        return np.array([int(line) for line in lines])
    return np.array(lines)


def _classes(lines: Sequence[str], path: Path) -> Any:
    """Return the folders of images, below the one that they have in common."""
    parts = [line.replace("\\", "/").split("/") for line in lines]
    shared = 0
    while len({tuple(part[: shared + 1]) for part in parts}) == 1 and parts:
        shared += 1
    if any(len(part) < shared + 2 for part in parts):
        raise DataError(
            f"{path}: expected images in a folder for each class, found {lines[0]!r:.80}",
            hint="give the labels in a file of their own, one a line: --labels labels.txt",
        )
    return np.array([part[shared] for part in parts])


def counts_of_rows(layers: Mapping[str, Item]) -> dict[int, list[str]]:
    """Return which layers have how many rows."""
    found: dict[int, list[str]] = defaultdict(list)
    for name, item in layers.items():
        found[item.held.shape[0]].append(name)
    return dict(found)

"""Turn what a user names into a probe set: a file of arrays, a folder of images, a callable."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from infoplane.data import Array, IntArray, ProbeSet
from infoplane.errors import DataError, InputError
from infoplane.recording.checkpoints.sources import called
from infoplane.recording.probes.classes import (
    warn_of_labels,
    warn_of_names,
    warn_of_splits,
)
from infoplane.recording.probes.from_arrays import (
    WITHOUT_ROWS,
    as_array,
    as_probe,
    joined,
    labels_and_targets,
    token_labels,
)
from infoplane.recording.probes.from_datasets import Returned, returned_by
from infoplane.recording.probes.from_files import images_in, is_array_file, read_arrays
from infoplane.recording.probes.next_token import NextToken
from infoplane.seeding import generator
from infoplane.system import split_reference
from infoplane.target_classes import classes_of, target_classes

log = logging.getLogger("infoplane")

LABELS = ("labels", "label", "targets", "target", "y")
"""Names under which labels are looked for; everything else is an input."""


class Rows(Protocol):
    """Samples that can be read by their row."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: IntArray) -> Array: ...


@dataclass(frozen=True)
class Source:
    """Samples of a probe set before a choice among them is made."""

    inputs: Rows | Mapping[str, Rows]
    labels: Array | None
    token_mask: Array | None = None
    of_tokens: bool = False  # whether the labels are known to be of tokens

    def __len__(self) -> int:
        rows = self.inputs
        return min(map(len, rows.values()), default=0) if isinstance(rows, Mapping) else len(rows)


def load_probe(
    reference: str,
    samples: int | None = None,
    seed: int = 0,
    *,
    labels: str | None = None,
    x: str | None = None,
    label_bins: int | None = None,
) -> ProbeSet:
    """Return the probe set that a reference names.

    Parameters
    ----------
    reference : str
        A file of arrays (``.npz``, ``.npy``, ``.h5``, ``.safetensors``, idx), with ``inputs`` and
        ``labels`` or as ``FILE:x,y``; a folder of images; or ``MODULE:CALLABLE``, of which
        ``returned_by`` tells what it may return.
    samples : int, optional
        Keep this many rows, classes in proportion; all rows if it is not smaller.
    seed : int
        Chooses the rows.
    labels : str, optional
        A file with the labels alone; or ``next-token``, ``next-token:K``: the class of the token
        after each, of K and the rest.
    x : str, optional
        Which of several inputs is X.
    label_bins : int, optional
        Make class ids of scalar targets: this many classes of as many samples, ties together.

    Raises
    ------
    DataError
        If arrays are missing, the numbers of rows differ, or values are not finite.
    RunFileError
        If a file cannot be read.
    InputError
        If the callable cannot be resolved or fails, or ``samples`` is below 2.
    """
    source = _labelled(_source(reference, seed, samples), reference, labels, x)
    made = _classes_made({reference: source}, label_bins)
    return _loaded(source, reference, samples, seed, x, made.get(reference))


def _labelled(
    source: Source | ProbeSet, reference: str, labels: str | None, x: str | None
) -> Source | ProbeSet:
    """Return a source with the labels of a file, if one is named."""
    if isinstance(source, ProbeSet):
        option = "--labels" if labels is not None else "--x"
        if labels is not None or x is not None:
            raise InputError(
                f"{option}: {reference} returns a ProbeSet, which says itself what that is",
                hint="return a mapping of arrays to choose among them",
            )
    elif labels is not None and (made := NextToken.parse(labels)) is not None:
        of_tokens = made.labels(_arrays(source), source.token_mask, x, reference)
        return replace(source, labels=of_tokens, of_tokens=True)
    elif labels is not None:
        return replace(source, labels=_single(read_arrays(Path(labels)), labels, LABELS))
    return source


def _classes_made(
    sources: Mapping[str, Source | ProbeSet], bins: int | None
) -> dict[str, IntArray]:
    """Return the classes of the targets of each source, of all together; none without ``bins``.

    Raises
    ------
    DataError
        If they are not scalar.
    """
    if bins is None:
        return {}
    numbers = {name: _numbers(source) for name, source in sources.items()}
    for name, some in numbers.items():
        try:
            target_classes(some, bins)  # its checks, by name
        except InputError as error:
            raise DataError(f"{name}: {error}", hint=error.hint) from error
    every = [some for some in numbers.values() if some is not None]
    classes = classes_of(np.concatenate(every), bins, ", ".join(numbers))
    ends = np.cumsum([len(some) for some in every])
    return dict(zip(numbers, np.split(classes, ends[:-1]), strict=True))


def _numbers(source: Source | ProbeSet) -> Array | None:
    """Return labels as the numbers that they are; class ids too."""
    if isinstance(source, ProbeSet):
        return source.numbers
    try:
        classes, targets = labels_and_targets(source.labels)
    except InputError:
        return None  # told when the probe set is made
    numbers = targets if classes is None else source.labels
    return numbers[:, 0] if numbers is not None and numbers.shape[1:] == (1,) else numbers


def _loaded(
    source: Source | ProbeSet,
    reference: str,
    samples: int | None,
    seed: int,
    x: str | None,
    made: IntArray | None,
) -> ProbeSet:
    """Return the probe set in a source, with the classes that were made of its targets."""
    if isinstance(source, ProbeSet):
        return _of_probe_set(source, reference, samples, seed, made)
    try:
        of_tokens = source.labels
        if not source.of_tokens:
            of_tokens = token_labels(source.labels, _arrays(source))
        classes, targets = labels_and_targets(None if of_tokens is not None else source.labels)
        classes = classes if made is None else made
        known = classes if classes is not None and len(classes) == len(source) else None
        rows = chosen_rows(len(source), known, samples, seed)
        probe = as_probe(_taken(source, rows), None, ids=rows, x=x)
        probe = ProbeSet(
            probe.inputs,
            None if classes is None else _rows_of(classes, rows, len(source)),
            None if targets is None else _rows_of(targets, rows, len(source)),
            probe.arguments,
            probe.ids,
            token_labels=None if of_tokens is None else _rows_of(of_tokens, rows, len(source)),
            token_mask=None
            if source.token_mask is None
            else _rows_of(source.token_mask, rows, len(source)),
        )
    except InputError as error:
        raise DataError(f"{reference}: {error}", hint=error.hint) from error
    warn_of_labels(probe, reference)
    if source.labels is not None:
        warn_of_names(_rows_of(source.labels, rows, len(source)), reference)
    if known is not None and (lost := len(np.unique(known)) - len(np.unique(known[rows]))):
        log.warning("%s: none of the %d samples is of %d rare classes", reference, len(rows), lost)
    return probe


def _of_probe_set(
    probe: ProbeSet, reference: str, samples: int | None, seed: int, made: IntArray | None
) -> ProbeSet:
    """Return ``samples`` rows of a probe set, or of each of its splits."""
    if probe.ids is None:
        probe = replace(probe, ids=np.arange(probe.n_samples))
    if made is not None:
        probe = replace(probe, labels=made)
    if samples is not None:
        parts = [probe.take(rows) for rows in probe.parts]
        kept = [
            part.take(chosen_rows(part.n_samples, part.labels, samples, seed)) for part in parts
        ]
        probe = joined(dict(zip(probe.splits, kept, strict=True))) if probe.splits else kept[0]
    warn_of_labels(probe, reference)
    warn_of_splits(probe)
    return probe


def load_splits(
    references: Mapping[str, str],
    samples: int | None = None,
    seed: int = 0,
    *,
    labels: str | None = None,
    x: str | None = None,
    label_bins: int | None = None,
) -> ProbeSet:
    """Return the probe sets that references name, as splits of one.

    Further parameters are those of ``load_probe``, and hold for each. Classes of one name have one
    id in all of them.

    Raises
    ------
    InfoplaneError
        As ``load_probe``; and ``DataError`` if the probe sets are not alike.
    """
    sources = {name: _source(where, seed, samples) for name, where in references.items()}
    if labels is not None and NextToken.parse(labels) is not None:
        raise InputError(
            f"--labels {labels}: expected one probe set, got splits, whose most "
            "frequent tokens differ"
        )
    try:
        sources = {
            name: _labelled(source, references[name], labels, x) for name, source in sources.items()
        }
        alike = _numbered_alike(sources)
        made = _classes_made(alike, label_bins)
        probe = joined(
            {
                name: _loaded(source, references[name], samples, seed, x, made.get(name))
                for name, source in alike.items()
            }
        )
    except InputError as error:
        raise DataError(str(error), hint=error.hint) from error
    warn_of_splits(probe)
    return probe


def _numbered_alike(sources: Mapping[str, Source | ProbeSet]) -> dict[str, Source | ProbeSet]:
    """Return sources in which classes that have names are numbered by all the names there are."""
    named = {
        split: source.labels
        for split, source in sources.items()
        if isinstance(source, Source)
        and source.labels is not None
        and source.labels.dtype.kind in "US"
    }
    if not named:
        return dict(sources)
    if unnamed := [split for split in sources if split not in named]:
        raise InputError(
            f"expected splits alike: classes have names in {next(iter(named))!r}, none in "
            f"{unnamed[0]!r}"
        )
    names = np.unique(np.concatenate([labels.astype(str) for labels in named.values()]))
    return {
        split: Source(source.inputs, np.searchsorted(names, named[split].astype(str)))
        for split, source in sources.items()
        if isinstance(source, Source)
    }


def chosen_rows(n: int, labels: IntArray | None, samples: int | None, seed: int) -> IntArray:
    """Return ``samples`` of ``n`` rows in ascending order, classes in proportion.

    Raises
    ------
    InputError
        If fewer than 2 are asked for.
    """
    if samples is not None and samples < 2:
        raise InputError(f"expected at least 2 samples, got {samples}")
    if samples is None or samples >= n:
        return np.arange(n)
    order = generator(seed, "samples").permutation(n)
    if labels is not None:
        # Sorted by the share of its class that lies before it, any prefix is stratified.
        rank = np.empty(n)
        for label in np.unique(labels):
            members = order[labels[order] == label]
            rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(rank[order], kind="stable")]
    rows: IntArray = np.sort(order[:samples])
    return rows


def _source(reference: str, seed: int, samples: int | None) -> Source | ProbeSet:
    path = Path(reference)
    if path.is_dir():
        images = images_in(path)
        return Source(images, images.labels)
    head, names = split_reference(reference)
    if is_array_file(path) or path.is_file():
        return _of_arrays(read_arrays(path), reference)
    if names and is_array_file(Path(head)):
        return _named(read_arrays(Path(head), names.split(",")), names, reference)
    found = called(reference, "data")
    if isinstance(found, ProbeSet):
        return found
    returned = returned_by(found, f"--data {reference}", LABELS, seed=seed, samples=samples)
    return _of_returned(returned, reference)


def _of_returned(returned: Returned, reference: str) -> Source:
    inputs = returned.inputs
    try:
        if isinstance(inputs, tuple):
            inputs = {str(index): value for index, value in enumerate(inputs)}
        arrays = (
            {str(name): _rows(value) for name, value in inputs.items()}
            if isinstance(inputs, Mapping)
            else _rows(inputs)
        )
        return Source(arrays, None if returned.labels is None else as_array(returned.labels))
    except InputError as error:
        raise DataError(f"{reference}: {error}") from error


def _rows(values: Any) -> Array:
    array = as_array(values)
    if not array.ndim:
        raise InputError(f"expected an array of samples, got {array.dtype} without axes")
    return array


def _of_arrays(arrays: dict[str, Array], reference: str) -> Source:
    """Return inputs and labels of a file by the names of its arrays."""
    if list(arrays) == [""]:
        return Source(arrays[""], None)
    label = next((name for name in LABELS if name in arrays), None)
    labels = arrays.pop(label) if label else None
    _check_rows(arrays, reference)
    if "inputs" in arrays:
        mask = _mask_of(arrays)
        if label is None and len(arrays) > 1:
            raise _missing("labels", arrays, reference)
        return Source(arrays["inputs"], labels, mask)
    inner = {
        name.removeprefix("inputs/"): array
        for name, array in arrays.items()
        if name.startswith("inputs/")
    }
    mask = arrays.pop("token_mask", None)
    named = inner or {name: array for name, array in arrays.items() if name != "ids"}
    if not named:
        raise _missing("inputs", [label] if label else [], reference)
    return Source(named, labels, mask)


def _mask_of(arrays: dict[str, Array]) -> Array | None:
    """Return, and take away, the mask of tokens beside inputs of tokens."""
    inputs, mask = arrays["inputs"], arrays.get("mask")
    if mask is not None and mask.ndim == 2:
        of_ids = inputs.ndim == 2 and inputs.dtype.kind in "iu"
        if of_ids or inputs.ndim == 3:
            arrays["token_mask"] = arrays.pop("mask")
            if mask.shape != inputs.shape[:2]:
                raise DataError(
                    f"mask: expected the shape of the tokens, {inputs.shape[:2]}, got {mask.shape}"
                )
    return arrays.pop("token_mask", None)


def _arrays(source: Source) -> dict[str, Array]:
    """Return the inputs that are arrays, by name."""
    inputs = source.inputs if isinstance(source.inputs, Mapping) else {"": source.inputs}
    return {name: one for name, one in inputs.items() if isinstance(one, np.ndarray)}


def _missing(name: str, found: Any, reference: str) -> DataError:
    return DataError(
        f"{reference}: expected arrays inputs and labels, found {', '.join(found) or 'nothing'}: "
        f"{name} is missing",
        hint="numpy.savez('probe.npz', inputs=x, labels=y); or name the arrays: --data FILE:x,y",
        code="IP314",
    )


def _named(arrays: dict[str, Array], names: str, reference: str) -> Source:
    wanted = names.split(",")
    if len(wanted) > 2 or not all(name in arrays for name in wanted):
        raise DataError(
            f"{reference}: expected FILE:INPUTS,LABELS of {', '.join(arrays) or 'no arrays'}",
            code="IP314",
        )
    _check_rows({name: arrays[name] for name in wanted}, reference)
    return Source(arrays[wanted[0]], arrays[wanted[1]] if wanted[1:] else None)


def _check_rows(arrays: Mapping[str, Array], reference: str) -> None:
    for name, array in arrays.items():
        if not array.ndim:
            raise DataError(
                f"{reference}: array {name!r}: expected samples along its first axis, found a "
                "single number",
                hint="name the arrays of inputs and labels: --data FILE:x,y",
                code="IP314",
            )


def _single(arrays: dict[str, Array], reference: str, names: tuple[str, ...]) -> Array:
    """Return the only array of a file, or the one under a usual name."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    name = next((name for name in names if name in arrays), None)
    if name is None:
        raise _missing("labels", arrays, reference)
    return arrays[name]


def _taken(source: Source, rows: IntArray) -> Array | dict[str, Array]:
    if not isinstance(source.inputs, Mapping):
        return _rows_of(source.inputs, rows, len(source))
    for name, values in source.inputs.items():
        if len(values) != len(source):
            lengths = ", ".join(f"{key} {len(one)}" for key, one in source.inputs.items())
            raise InputError(
                f"expected inputs of as many rows, got {lengths} ({name!r})", hint=WITHOUT_ROWS
            )
    return {name: _rows_of(rows_, rows, len(source)) for name, rows_ in source.inputs.items()}


def _rows_of(values: Rows, rows: IntArray, n: int) -> Array:
    """Return rows of an array; one of another length is left as it is, to be told of later."""
    if isinstance(values, np.ndarray) and (len(values) != n or len(rows) == n):
        return np.asarray(values)
    return values[rows]

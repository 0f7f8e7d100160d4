"""Collect the samples that a user's dataset, loader or function returns."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from infoplane.errors import DataError
from infoplane.recording.checkpoints.sources import user_code
from infoplane.text import one_line

log = logging.getLogger("infoplane")

_MOST, _MOST_BYTES = 2**18, 2**32
"""Samples, and bytes, after which a stream without a length is taken to have no end."""

_AHEAD = 10
"""Times as many samples as are asked for that are read of it, so that rare classes are found."""


@dataclass(frozen=True)
class Returned:
    """Inputs, one or a mapping or tuple of several, and labels."""

    inputs: Any
    labels: Any


def returned_by(
    found: Any,
    what: str,
    label_names: Sequence[str],
    *,
    seed: int = 0,
    samples: int | None = None,
) -> Returned:
    """Return inputs and labels of what a data callable returned.

    That may be a tuple ``(inputs, labels)``; a mapping with ``inputs`` and ``labels``, or of named
    inputs and labels; a dataset, iterable of samples, or ``DataLoader`` of batches, each of which
    is a tuple ``(input, label)``, a mapping, or an input alone. An input may itself be a mapping or
    tuple, for a model with several arguments.

    Random draws of a dataset or loader start from ``seed`` and leave no trace. Of a stream without
    a length, which may have no end, ten times as many ``samples`` are read at most.

    Raises
    ------
    DataError
        If it is none of these, samples have unlike shapes, or a stream does not end.
    InputError
        If its code fails.
    """
    if isinstance(found, Mapping):
        return _of_mapping(found, label_names, what)
    # A list of tuples holds samples, also if there are two of them.
    rows = isinstance(found, list) and all(isinstance(row, tuple) for row in found)
    if isinstance(found, (tuple, list)) and len(found) == 2 and not rows:
        return Returned(found[0], found[1])
    if isinstance(found, (torch.Tensor, np.ndarray)):
        return Returned(found, None)
    if isinstance(found, tuple) and not all(isinstance(row, tuple) for row in found):
        raise _not_a_pair(what, f"tuple of {len(found)}")
    batches = isinstance(found, DataLoader)
    mapped = hasattr(found, "__getitem__") and hasattr(found, "__len__") and not batches
    if isinstance(found, (str, bytes)) or not (mapped or isinstance(found, Iterable)):
        raise DataError(
            f"{what}: expected a tuple (inputs, labels), a mapping with these keys, a ProbeSet, or "
            f"a dataset of (input, label) tuples, got {type(found).__name__}"
        )
    with user_code(what), _own_randomness(seed):
        items = (
            [found[index] for index in range(len(found))]
            if mapped
            else _read(found, samples, what, batches=batches)
        )
    parts = [_of_sample(item, index, label_names, what) for index, item in enumerate(items)]
    if not parts:
        raise DataError(f"{what}: expected samples of one shape, got none")
    labels = [part.labels for part in parts]
    without = sum(label is None for label in labels)
    if without not in (0, len(labels)):
        raise DataError(f"{what}: expected labels for every sample, {without} have none")
    return Returned(
        _joined([part.inputs for part in parts], batches, what),
        None if without else _names_of_classes(labels) or _joined(labels, batches, what),
    )


def _read(found: Iterable[Any], samples: int | None, what: str, *, batches: bool) -> list[Any]:
    """Return the items of a stream; of one without a length, as many as may be enough."""
    if _has_length(found):
        return list(found)
    wanted = _MOST if samples is None else samples * _AHEAD
    items, rows, size = [], 0, 0
    for item in found:
        items.append(item)
        arrays = list(_arrays_in(item))
        rows += len(arrays[0]) if batches and arrays and arrays[0].ndim else 1
        size += sum(array.nbytes for array in arrays)
        if rows < wanted and (size < _MOST_BYTES or rows < (samples or 0)):
            continue
        if samples is None:
            raise DataError(
                f"{what}: no end after {rows:,} samples of {size:,} bytes",
                hint="say how many to take: --samples N",
            )
        log.warning(
            "%s: no end after %d samples: those of --samples %d are chosen among these",
            what, rows, samples,
        )  # fmt: skip
        break
    return items


def _has_length(found: Any) -> bool:
    try:
        len(found)
    except TypeError:
        return False
    return True


def _arrays_in(item: Any) -> Iterator[Any]:
    if isinstance(item, (torch.Tensor, np.ndarray)):
        yield item
    elif isinstance(item, (Mapping, tuple, list)):
        for part in item.values() if isinstance(item, Mapping) else item:
            yield from _arrays_in(part)


def _of_mapping(found: Mapping[Any, Any], label_names: Sequence[str], what: str) -> Returned:
    label = next((name for name in label_names if name in found), None)
    labels = None if label is None else found[label]
    if "inputs" in found:
        return Returned(found["inputs"], labels)
    inputs = {str(name): value for name, value in found.items() if name != label}
    if not inputs:
        raise DataError(f"{what}: expected inputs beside labels, found {label or 'nothing'}")
    return Returned(inputs, labels)


def _of_sample(item: Any, index: int, label_names: Sequence[str], what: str) -> Returned:
    if isinstance(item, Mapping):
        return _of_mapping(item, label_names, what)
    if isinstance(item, (tuple, list)):
        if len(item) == 1:
            return Returned(item[0], None)
        if len(item) != 2:
            raise _not_a_pair(what, f"{type(item).__name__} of {len(item)} at {index}")
        return Returned(item[0], item[1])
    if isinstance(item, (torch.Tensor, np.ndarray)):
        return Returned(item, None)
    raise _not_a_pair(what, f"{type(item).__name__} at {index}")


def _not_a_pair(what: str, found: str) -> DataError:
    return DataError(
        f"{what}: expected (input, label) tuples, got {found}",
        hint="nest several inputs: ((first, second), label)",
    )


def _joined(values: Sequence[Any], batches: bool, what: str) -> Any:
    """Return samples or batches as one; each entry of a mapping or tuple for itself."""
    first = values[0]
    try:
        if isinstance(first, Mapping):
            return {key: _joined([value[key] for value in values], batches, what) for key in first}
        if isinstance(first, tuple):
            return tuple(
                _joined([value[index] for value in values], batches, what)
                for index in range(len(first))
            )
        tensors = [torch.as_tensor(value) for value in values]
        return torch.cat(tensors) if batches else torch.stack(tensors)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        raise DataError(
            f"{what}: expected samples that are arrays of one shape: {one_line(error)}",
            hint="pad sequences to one length",
        ) from error


def _names_of_classes(labels: Sequence[Any]) -> list[str] | None:
    """Return the labels of samples, or of batches of them, if they are names."""
    each = [[label] if isinstance(label, str) else label for label in labels]
    named = all(
        isinstance(one, (list, tuple)) and all(isinstance(n, str) for n in one) for one in each
    )
    return [name for one in each for name in one] if named else None


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Draw from ``seed`` in the block; afterwards every random state is as before."""
    numpy_state = np.random.get_state()  # noqa: NPY002  - saved, not used
    python_state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002  - of the user's dataset
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

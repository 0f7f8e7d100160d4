"""Make a probe set of arrays, tensors, or mappings and tuples of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from infoplane.data import Array, IntArray, ProbeSet, class_ids
from infoplane.errors import InputError
from infoplane.recording.hooks.outputs import to_array
from infoplane.recording.probes.classes import (
    warn_of_classes,
    warn_of_names,
    warn_of_targets,
    warn_of_token_labels,
)
from infoplane.target_classes import are_numbers, classes_of, numbers_of
from infoplane.text import one_line

WITHOUT_ROWS = (
    "an input without a row for each sample, such as the edges of a graph, belongs into the model: "
    "keep it there as a buffer; and record all nodes in one batch, --batch-size of their number"
)


def as_probe(
    inputs: Any, labels: Any = None, *, ids: IntArray | None = None, x: str | None = None
) -> ProbeSet:
    """Return a probe set of inputs and labels given as arrays, tensors or sequences.

    Parameters
    ----------
    inputs : array-like, or mapping or tuple of them
        Rows are samples. The model is called with a mapping by name, with a tuple by position. X is
        then all of them side by side, flattened, unless ``x`` names one.
    labels : array-like, optional
        Class ids: integers, booleans, strings or one-hot rows; of tokens, class ids of the shape
        (n_samples, length) that an input of token ids, or of their vectors, has. Other numbers, and
        other rows, are real targets.
    ids : array of int (n_samples,), optional
        Rows of the samples in the data that they were taken from.
    x : str, optional
        The input that is X.

    Raises
    ------
    InputError
        As ``ProbeSet``; or if there is no input ``x``.
    """
    arguments: dict[str, Array] = {}
    if isinstance(inputs, tuple):
        inputs = {str(index): value for index, value in enumerate(inputs)}
    if isinstance(inputs, Mapping):
        arguments = {str(name): as_array(value) for name, value in inputs.items()}
        if not arguments:
            raise InputError("expected probe inputs, got none")
        seen = _side_by_side(arguments, x)
    else:
        seen = as_array(inputs)
        if x is not None:
            raise InputError(f"expected named inputs, among them {x!r}, got one array")
    given = None if labels is None else as_array(labels)
    of_tokens = token_labels(given, arguments or {"": seen})
    classes, targets = labels_and_targets(given if of_tokens is None else None)
    return ProbeSet(seen, classes, targets, arguments, ids, token_labels=of_tokens)


def as_probe_set(given: Any) -> ProbeSet:
    """Return a probe set, or that of a pair (inputs, labels).

    Raises
    ------
    InputError
        If it is neither, or as ``as_probe``.
    """
    if isinstance(given, ProbeSet):
        return given
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise InputError(
            f"expected a ProbeSet or a pair (inputs, labels), got {type(given).__name__}"
        )
    probe = as_probe(*given)
    if probe.token_labels is not None:
        warn_of_token_labels(probe.token_labels, "labels")
    elif probe.labels is not None:
        warn_of_classes(probe.labels, "labels")
        warn_of_names(as_array(given[1]), "labels")
    elif probe.targets is not None:
        warn_of_targets(probe.targets, "labels")
    return probe


def binned(probe: ProbeSet, bins: int, where: str) -> ProbeSet:
    """Return a probe set whose labels are classes of its targets, the same in all splits.

    Raises
    ------
    InputError
        As `numbers_of` and `classes_of`.
    """
    return replace(probe, labels=classes_of(numbers_of(probe, where), bins, where))


def joined(parts: Mapping[str, ProbeSet]) -> ProbeSet:
    """Return probe sets as the splits of one, one behind the other.

    Raises
    ------
    InputError
        If a name is not of letters, digits, ``_``, ``.`` and ``-``; one has splits already; or if
        their arrays differ in name, dtype or shape of a sample, or only some have labels.
    """
    for name, part in parts.items():
        if part.splits:
            raise InputError(f"{name!r}: expected a probe set without splits of its own")
        if not re.fullmatch(r"[\w.-]+", name):
            raise InputError(f"expected a split named by letters and digits, got {name!r}")
    kinds = {name: _kinds(part) for name, part in parts.items()}
    first = next(iter(parts))
    for name, kind in kinds.items():
        for array in {**kinds[first], **kind}:
            if kinds[first].get(array) != kind.get(array):
                raise InputError(
                    f"expected splits alike: {array} are {kinds[first].get(array, 'absent')} in "
                    f"{first!r}, {kind.get(array, 'absent')} in {name!r}"
                )

    def together(arrays: Iterable[Array | None]) -> Array | None:
        found = [array for array in arrays if array is not None]
        return np.concatenate(found) if len(found) == len(parts) else None

    probes = parts.values()
    return ProbeSet(
        np.concatenate([probe.inputs for probe in probes]),
        together(probe.labels for probe in probes),
        together(probe.targets for probe in probes),
        {
            name: np.concatenate([probe.arguments[name] for probe in probes])
            for name in parts[first].arguments
        },
        together(probe.ids for probe in probes),
        {name: probe.n_samples for name, probe in parts.items()},
        together(probe.token_labels for probe in probes),
        together(probe.token_mask for probe in probes),
    )


def _kinds(probe: ProbeSet) -> dict[str, str]:
    """Return dtype and shape of a sample of every array of a probe set but the ids."""
    arrays = {
        "inputs": probe.inputs,
        "labels": probe.labels,
        "targets": probe.targets,
        "labels of tokens": probe.token_labels,
        "masks of tokens": probe.token_mask,
        **{f"inputs {name!r}": array for name, array in probe.arguments.items()},
    }
    return {
        name: f"{array.dtype}, samples of shape {array.shape[1:]}"
        for name, array in arrays.items()
        if array is not None
    }


def token_labels(labels: Array | None, inputs: Mapping[str, Array]) -> IntArray | None:
    """Return class ids of tokens (n_samples, length); None if the labels are none of tokens.

    They are if they have the shape of an input of token ids, or the first axes of one of vectors.
    One-hot rows are classes of samples.
    """
    if labels is None or labels.ndim != 2 or labels.dtype.kind not in "iubUS":
        return None
    if not has_tokens(labels.shape, inputs) or (labels.dtype.kind in "iub" and _one_hot(labels)):
        return None
    return class_ids(labels.ravel()).reshape(labels.shape)


def has_tokens(shape: tuple[int, ...], inputs: Mapping[str, Array]) -> bool:
    """Tell whether an input has tokens in this shape (n_samples, length), by id or by vector."""
    return shape[1] > 1 and any(
        one.shape[:2] == shape and (one.ndim == 3 or (one.ndim == 2 and one.dtype.kind in "iu"))
        for one in inputs.values()
    )


def _one_hot(rows: Array) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())


def labels_and_targets(labels: Array | None) -> tuple[IntArray | None, Array | None]:
    """Return class ids, or what cannot be class ids as real targets.

    Nor are floats of so many whole numbers that there are fewer than four samples of each.

    Raises
    ------
    InputError
        If they are neither.
    """
    if labels is None:
        return None, None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1:
        whole = labels.dtype.kind != "f" or (
            bool(np.isfinite(labels).all())
            and bool((labels == np.floor(labels)).all())
            and not are_numbers(labels)
        )
        return (class_ids(labels), None) if whole else (None, labels)
    if labels.ndim != 2 or labels.dtype.kind not in "fiub" or not labels.size:
        raise InputError(
            f"expected labels of shape (n_samples,) or (n_samples, n_targets), got {labels.shape} "
            f"of {labels.dtype}"
        )
    return (labels.argmax(axis=1).astype(np.int64), None) if _one_hot(labels) else (None, labels)


def as_array(values: Any) -> Array:
    """Return values as an array; a tensor may have any dtype that NumPy can hold.

    Raises
    ------
    InputError
        If they are no array.
    """
    if isinstance(values, torch.Tensor):
        if values.layout is not torch.strided or values.is_quantized:
            raise InputError(f"expected dense probe tensors, got {values.layout} {values.dtype}")
        if not values.is_complex():  # ProbeSet refuses those
            return to_array(values, "probe").copy()
        values = values.detach().cpu().resolve_conj()
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"expected an array of numbers: {one_line(error)}") from error


def _side_by_side(arguments: Mapping[str, Array], x: str | None) -> Array:
    if x is not None and x not in arguments:
        raise InputError(f"expected an input {x!r}, found {', '.join(arguments)}")
    arrays = [arguments[x]] if x is not None else list(arguments.values())
    if len(arrays) == 1:
        return arrays[0]
    lengths = {name: array.shape[:1] for name, array in arguments.items()}
    if len(set(lengths.values())) > 1 or () in lengths.values():
        found = ", ".join(f"{name} {array.shape}" for name, array in arguments.items())
        raise InputError(f"expected inputs of as many rows, got {found}", hint=WITHOUT_ROWS)
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)

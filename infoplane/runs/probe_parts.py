"""The parts of a probe set in ``probe.h5``, and what the manifest says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from infoplane.data import Array, ProbeSet
from infoplane.errors import InputError


def probe_parts(probe: ProbeSet) -> dict[str, Array]:
    """Return the arrays of a probe set by the names of their datasets.

    A single argument of the model is the same array as the inputs and is stored once. Without
    samples there are none.
    """
    if not probe.n_samples:
        return {}
    parts = {"inputs": probe.known_inputs, "labels": probe.labels, "targets": probe.targets}
    several = len(probe.arguments) > 1
    for index, array in enumerate(probe.arguments.values() if several else ()):
        parts[f"argument_{index:04d}"] = array
    parts["token_labels"], parts["token_mask"] = probe.token_labels, probe.token_mask
    parts["ids"] = probe.ids
    return {name: array for name, array in parts.items() if array is not None}


def probe_manifest(probe: ProbeSet) -> dict[str, Any]:
    """Return what the manifest says of a probe set."""
    alone = bool(probe.n_samples) and probe.known_inputs is None
    splits = [{"name": name, "n_samples": n} for name, n in probe.splits.items()]
    return {
        "file": "probe.h5" if probe.n_samples else None,
        "n_samples": probe.n_samples,
        "n_classes": None if probe.labels is None else len(np.unique(probe.labels)),
        "arguments": list(probe.arguments),
        "sha256": probe_sha256(probe),
        **({"inputs": False} if alone else {}),
        **({"splits": splits} if splits else {}),
    }


def read_probe(
    has: Callable[[str], bool], read: Callable[[str], Array], about: Mapping[str, Any]
) -> ProbeSet:
    """Return the probe set whose datasets ``has`` knows and ``read`` returns.

    Raises
    ------
    InputError
        If the arrays do not fit each other.
    """

    def part(name: str) -> Array | None:
        return np.array(read(name)) if has(name) else None

    if about.get("inputs") is False:
        inputs = np.empty((len(read("ids")), 0), np.float32)
    else:
        inputs = np.array(read("inputs"))
    called = about.get("arguments")
    arguments = [str(name) for name in called] if isinstance(called, list) else []
    return ProbeSet(
        inputs,
        part("labels"),
        part("targets"),
        {
            name: inputs if len(arguments) == 1 else np.array(read(f"argument_{index:04d}"))
            for index, name in enumerate(arguments)
        },
        part("ids"),
        read_splits(about),
        part("token_labels"),
        part("token_mask"),
    )


def read_splits(about: Mapping[str, Any]) -> dict[str, int]:
    """Return names and lengths of the splits, as the manifest tells them of a probe set.

    Raises
    ------
    InputError
        If what it tells is no list of them.
    """
    listed = about.get("splits", [])
    try:
        splits = {entry["name"]: entry["n_samples"] for entry in listed}
    except (TypeError, KeyError) as error:
        raise InputError("expected 'splits' of a name and n_samples each") from error
    whole = all(isinstance(n, int) and n >= 2 for n in splits.values())
    if len(splits) < len(listed) or not whole or not all(isinstance(s, str) for s in splits):
        raise InputError(f"expected 'splits' of different names and 2 samples or more: {listed}")
    return splits


def probe_sha256(probe: ProbeSet) -> str:
    """Return the SHA-256 of all arrays but the ids, their dtypes and shapes, in hexadecimal.

    Without inputs the ids count too: nothing else says which samples they are.
    """
    digest = hashlib.sha256()
    for name, array in probe_parts(probe).items():
        if name != "ids" or (probe.n_samples and probe.known_inputs is None):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()

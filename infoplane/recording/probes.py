"""Turn what a user names into a probe set: a callable, or a file of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.messages import one_line
from infoplane.recording.recorder import as_probe
from infoplane.recording.sources import called, user_code
from infoplane.records import Array, ProbeSet
from infoplane.seeding import generator


def load_probe(reference: str, samples: int | None = None, seed: int = 0) -> ProbeSet:
    """Return the probe set in a ``.npz`` file, or that ``MODULE:CALLABLE`` returns.

    Parameters
    ----------
    reference : str
        A ``.npz`` file with ``inputs`` and ``labels``, or a callable that returns a tuple
        ``(inputs, labels)``, a mapping with these keys, a ``ProbeSet``, a dataset or list of
        ``(input, label)`` tuples, or a ``DataLoader`` of batches of them.
    samples : int, optional
        Keep this many rows, classes in proportion; all rows if it is not smaller.
    seed : int
        Chooses the rows.

    Raises
    ------
    DataError
        If there are no labels, the numbers of rows differ, or values are not finite.
    RunFileError
        If the file cannot be read.
    InputError
        If the callable cannot be resolved or fails, or ``samples`` is below 2.
    """
    path = Path(reference)
    if path.suffix == ".npz" or path.is_file():
        inputs, labels = _npz(path)
    else:
        inputs, labels = _pair(called(reference, "--data"), reference)
    try:
        probe = as_probe(inputs, labels)
        return probe if samples is None else _sampled(probe, samples, seed)
    except InputError as error:
        raise DataError(f"{reference}: {error}") from error


def _npz(path: Path) -> tuple[Array, Array]:
    try:
        with path.open("rb") as file:  # np.load would leave a damaged file open
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: expected a .npz file with inputs and labels")
            for name in ("inputs", "labels"):
                if name not in content:
                    raise DataError(
                        f"{path}: expected arrays inputs and labels, found "
                        f"{', '.join(content.files) or 'nothing'}: {name} is missing",
                        hint="numpy.savez('probe.npz', inputs=x, labels=y)",
                        code="IP314",
                    )
            return content["inputs"], content["labels"]
    except FileNotFoundError as error:
        raise RunFileError(f"{path}: no such file", code="IP303") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: expected plain arrays ({one_line(error)})") from error
    except Exception as error:  # damage surfaces in zipfile, zlib, tokenize, ...
        raise RunFileError(f"{path}: not a readable .npz file ({one_line(error)})") from error


def _pair(found: Any, reference: str) -> tuple[Any, Any]:
    """Return inputs and labels of what a data callable returned."""
    what = f"--data {reference}"
    if isinstance(found, ProbeSet):
        return found.inputs, found.labels
    if isinstance(found, Mapping) and {"inputs", "labels"} <= found.keys():
        return found["inputs"], found["labels"]
    # A list of tuples holds samples, also if there are two of them.
    samples = isinstance(found, list) and all(isinstance(row, tuple) for row in found)
    if isinstance(found, (tuple, list)) and len(found) == 2 and not samples:
        return found[0], found[1]
    batches = isinstance(found, DataLoader)
    mapped = hasattr(found, "__getitem__") and hasattr(found, "__len__")
    if isinstance(found, (str, bytes, Mapping, np.ndarray, torch.Tensor)) or not (
        mapped or isinstance(found, Iterable)
    ):
        raise DataError(
            f"{what}: expected a tuple (inputs, labels), a mapping with these keys, a ProbeSet, or "
            f"a dataset of (input, label) tuples, got {type(found).__name__}"
        )
    with user_code(what):
        rows = [found[i] for i in range(len(found))] if mapped and not batches else list(found)
    for index, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise DataError(
                f"{what}: expected (input, label) tuples, got {type(row).__name__} at {index}"
            )
    join = torch.cat if batches else torch.stack
    try:
        inputs, labels = (join([torch.as_tensor(row[k]) for row in rows]) for k in (0, 1))
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"{what}: expected samples that are arrays of one shape: {one_line(error)}"
        ) from error
    return inputs, labels


def _sampled(probe: ProbeSet, samples: int, seed: int) -> ProbeSet:
    """Return the probe set cut to ``samples`` rows, classes in proportion, order kept."""
    if samples < 2:
        raise InputError(f"expected at least 2 samples, got {samples}")
    if samples >= probe.n_samples:
        return probe
    order = generator(seed, "samples").permutation(probe.n_samples)
    if probe.labels is not None:
        # Sorted by the share of its class that lies before it, any prefix is stratified.
        rank = np.empty(probe.n_samples)
        for label in np.unique(probe.labels):
            members = order[probe.labels[order] == label]
            rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(rank[order], kind="stable")]
    rows = np.sort(order[:samples])
    return ProbeSet(probe.inputs[rows], None if probe.labels is None else probe.labels[rows])

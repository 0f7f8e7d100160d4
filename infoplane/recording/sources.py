"""Turn what a user names into a model and a probe set: a callable, or a ``.npz`` file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from infoplane.errors import DataError, InfoplaneError, InputError, RunFileError
from infoplane.recording.messages import one_line
from infoplane.recording.recorder import as_probe
from infoplane.records import Array, ProbeSet
from infoplane.seeding import generator


def load_model(reference: str) -> nn.Module:
    """Return the model that ``MODULE:CALLABLE`` or ``path/to/file.py:callable`` makes.

    The code that the user names is imported and run; the working directory can be imported from.

    Raises
    ------
    InputError
        If the reference cannot be resolved, the callable fails, or returns no ``nn.Module``.
    """
    made = _called(reference, "--model")
    if not isinstance(made, nn.Module):
        raise InputError(
            f"--model {reference}: expected a torch.nn.Module, got {type(made).__name__}"
        )
    return made


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
        inputs, labels = _pair(_called(reference, "--data"), reference)
    try:
        probe = as_probe(inputs, labels)
        return probe if samples is None else _sampled(probe, samples, seed)
    except InputError as error:
        raise DataError(f"{reference}: {error}") from error


def _called(reference: str, option: str) -> Any:
    """Resolve a reference and call it, unless it names an object that is no callable."""
    module_name, colon, attribute = reference.rpartition(":")
    if not colon or not attribute:
        raise InputError(
            f"{option}: expected MODULE:CALLABLE or path/to/file.py:callable, got {reference!r}"
        )
    with _user_code(f"{option} {reference}"):
        found: Any = _module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        is_model = isinstance(found, nn.Module)
        return found() if callable(found) and not is_model else found


@contextmanager
def _user_code(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises, sys.exit included, into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except (Exception, SystemExit) as error:
        ours = ("<", str(Path(__file__)), str(Path(importlib.__file__).parent))
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith(ours)
        ]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
        text = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{what}: {where}{text}") from error


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file")
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


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
    with _user_code(what):
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

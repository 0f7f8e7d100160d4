"""Turn what a user names into a model and a probe set: a callable, or a ``.npz`` file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from infoplane.errors import DataError, InfoplaneError, InputError, RunFileError
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
        A ``.npz`` file with ``inputs`` and ``labels``, or a callable that returns an
        ``(inputs, labels)`` pair, a ``ProbeSet``, or a dataset of such pairs.
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
    try:
        found: Any = _module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        is_model = isinstance(found, nn.Module)
        return found() if callable(found) and not is_model else found
    except InfoplaneError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}: " if last.filename != __file__ else ""
        text = " ".join(str(error).split())[:300]
        raise InputError(f"{option} {reference}: {where}{type(error).__name__}: {text}") from error


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
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise RunFileError(f"{path}: not a readable .npz file ({error})") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected plain arrays ({error})") from error


def _pair(found: Any, reference: str) -> tuple[Any, Any]:
    if isinstance(found, ProbeSet):
        return found.inputs, found.labels
    if isinstance(found, (tuple, list)) and len(found) == 2:
        return found[0], found[1]
    if isinstance(found, Iterable) or hasattr(found, "__getitem__"):
        rows = [row for row in found if isinstance(row, (tuple, list)) and len(row) == 2]
        if rows:
            inputs = torch.stack([torch.as_tensor(row[0]) for row in rows])
            return inputs, torch.stack([torch.as_tensor(row[1]) for row in rows])
    raise DataError(
        f"--data {reference}: expected an (inputs, labels) pair, a ProbeSet or a dataset of "
        f"(input, label) pairs, got {type(found).__name__}"
    )


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

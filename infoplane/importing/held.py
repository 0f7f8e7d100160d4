"""Arrays in files, listed before they are read: NumPy, HDF5, safetensors, torch, Zarr.

Nothing is unpickled but by ``torch.load(weights_only=True)``, whatever a file asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from infoplane.errors import DataError, RunFileError
from infoplane.importing.zarr_store import arrays_of_zarr, is_zarr, read_zarr
from infoplane.recording.checkpoints.pickles import Inert, read_pickle
from infoplane.recording.checkpoints.safetensors import read_safetensors
from infoplane.recording.probes.from_files import arrays_of_npz, read_arrays, read_as
from infoplane.recording.probes.hdf5 import datasets_of_hdf5

_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill")
_NUMBERS = "fiub"


class Held(NamedTuple):
    """An array in a file."""

    path: Path
    key: str  # in the file; empty of a file of one array
    shape: tuple[int, ...]
    dtype: str
    numeric: bool  # of numbers that may be a layer
    read: Callable[[], Any]


def is_held(path: Path) -> bool:
    """Tell by its name whether a file, or a folder of Zarr, may hold arrays."""
    known = (".npz", ".npy", ".h5", ".hdf5", ".safetensors", *_TORCH)
    return path.suffix.lower() in known or is_zarr(path) or _is_table(path)


def held_in(path: Path) -> list[Held]:
    """Return the arrays in a file, in its order.

    Raises
    ------
    RunFileError
        If the file is missing, or damaged.
    DataError
        If it is of another kind: a pickle, a table.
    """
    if not path.exists():
        raise RunFileError(f"{path}: no such file", code="IP303")
    if is_zarr(path):
        return [
            _held(path, key, shape, dtype, partial(read_zarr, path, key))
            for key, (shape, dtype) in arrays_of_zarr(path).items()
        ]
    if not path.is_file():
        raise RunFileError(f"{path}: expected a file of arrays", code="IP303")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with read_as(".npz", path):
            listed: Mapping[str, tuple[tuple[int, ...], Any]] = arrays_of_npz(path)
        return [_by_name(path, key, *about) for key, about in listed.items()]
    if suffix in (".h5", ".hdf5"):
        return [_by_name(path, key, *about) for key, about in datasets_of_hdf5(path).items()]
    if suffix == ".npy":
        array = read_arrays(path)[""]
        return [_held(path, "", array.shape, array.dtype, lambda: read_arrays(path)[""])]
    if suffix in (".safetensors", *_TORCH):
        return [_of_tensors(path, key, value) for key, value in _tensors(path).items()]
    if _is_table(path):
        rows = _table(path)
        return [_held(path, "", rows.shape, rows.dtype, lambda: _table(path))]
    raise _unknown(path)


def _is_table(path: Path) -> bool:
    """Tell whether a file is a table as thingsvision writes it."""
    return path.suffix == ".txt" and path.name.startswith("features")


def _table(path: Path) -> Any:
    with read_as("table of numbers", path):
        return np.loadtxt(path, ndmin=2)


def _held(
    path: Path, key: str, shape: tuple[int, ...], dtype: Any, read: Callable[[], Any]
) -> Held:
    known = np.dtype(dtype) if not isinstance(dtype, str) else None
    numeric = known is None or known.kind in f"{_NUMBERS}c" or known.name.startswith("bfloat16")
    return Held(path, key, tuple(shape), str(dtype), numeric, read)


def _by_name(path: Path, key: str, shape: tuple[int, ...], dtype: Any) -> Held:
    return _held(path, key, shape, dtype, lambda: read_arrays(path, [key])[key])


def _of_tensors(path: Path, key: str, value: Any) -> Held:
    """Return what a file of tensors holds under a key; it is read again when it is wanted."""
    if isinstance(value, torch.Tensor):
        shape, dtype = tuple(value.shape), str(value.dtype).removeprefix("torch.")
        return Held(path, key, shape, dtype, True, lambda: _tensors(path)[key])
    array = np.asarray(value)
    return _held(path, key, array.shape, array.dtype, lambda: _tensors(path)[key])


def _tensors(path: Path) -> dict[str, Any]:
    """Return the tensors of a file by name; the members of nested dicts are joined by ``/``."""
    status = path.stat()
    return _read_once(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _read_once(path: Path, *_: int) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return dict(read_safetensors(path)[0])
    content = read_pickle(path)
    if isinstance(content, torch.Tensor):
        return {"": content}
    if not isinstance(content, Mapping):
        raise DataError(
            f"{path}: expected a dict of tensors by layer, found {_kind(content)}",
            hint="torch.save({'fc1': tensor, ...}, 'step_100.pt')",
        )
    return dict(_flat(content, path))


def _flat(content: Mapping[Any, Any], path: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, path, f"{name}/")
        elif isinstance(value, torch.Tensor | np.ndarray | bool | int | float | np.generic):
            yield name, value
        else:
            raise DataError(
                f"{path}: {name}: expected a tensor, found {_kind(value)}",
                hint="save a dict of tensors, each of shape (n_samples, ...)",
            )


def _kind(value: object) -> str:
    unknown = isinstance(value, Inert)
    return "an object that only code could make" if unknown else type(value).__name__


def _unknown(path: Path) -> DataError:
    known = ".npz, .npy, .h5, .hdf5, .safetensors, .pt or a folder"
    if path.suffix.lower() in _PICKLES:
        return DataError(
            f"{path}: a pickle: reading it could run any code",
            hint="save the arrays themselves: numpy.savez('acts.npz', fc1=a), or torch.save of a "
            "dict of tensors",
            code="IP311",
        )
    return DataError(
        f"{path}: expected {known} of arrays, found {path.suffix or 'no suffix'}",
        hint="numpy.savez('acts.npz', fc1=a, labels=y)",
    )

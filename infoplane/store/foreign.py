"""Read arrays from an HDF5 file that another program wrote, and nothing from outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from infoplane.errors import DataError, InfoplaneError, RunFileError
from infoplane.records import Array

_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
    h5py.h5z.FILTER_SCALEOFFSET,
}
"""Filters that HDF5 brings itself; for any other it would load a plug-in."""

_LEAST, _RATIO = 2**30, 100


def grows_too_much(nbytes: int, stored: int) -> bool:
    """Tell whether compressed data would unfold to more than 1 GiB and a hundredfold."""
    return nbytes > max(_LEAST, _RATIO * stored)


def arrays_in_hdf5(path: Path) -> dict[str, Array]:
    """Return the numeric datasets at the top of a file, and of its groups as ``group/name``.

    Raises
    ------
    RunFileError
        If it is no readable HDF5 file.
    DataError
        If a dataset leads out of the file, needs a plug-in, or unfolds to far more than the file.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            found: dict[str, Array] = {}
            for name in file:
                node = _inside(file, name, path)
                if isinstance(node, h5py.Group):
                    members = ((f"{name}/{key}", _inside(node, key, path)) for key in node)
                    datasets = [one for one in members if isinstance(one[1], h5py.Dataset)]
                else:
                    datasets = [(name, node)]
                found.update({key: _read(dataset, key, path) for key, dataset in datasets})
            return found
    except InfoplaneError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        text = " ".join(str(error).split())[:160]
        raise RunFileError(f"{path}: not a readable HDF5 file ({text})") from error


def _inside(group: h5py.Group, name: str, path: Path) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"{path}: {name!r} is a link, expected data in the file itself")
    return group[name]


def _read(dataset: Any, name: str, path: Path) -> Array:
    where = f"{path}: dataset {name!r}"
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise DataError(f"{where}: expected an array")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{where}: expected data in the file itself")
    if dataset.dtype.kind not in "fiubS":
        raise DataError(f"{where}: expected plain numbers, found dtype {dataset.dtype}")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise DataError(f"{where}: expected gzip or no compression, found another filter")
    chunk = dataset.dtype.itemsize
    for length in dataset.chunks or ():
        chunk *= length
    stored = dataset.id.get_storage_size()
    if grows_too_much(dataset.nbytes, stored) or grows_too_much(chunk, stored):
        raise DataError(
            f"{where}: shape {dataset.shape} needs {dataset.nbytes:,} bytes, the file holds "
            f"{stored:,} of them"
        )
    array: Array = dataset[()]
    return array

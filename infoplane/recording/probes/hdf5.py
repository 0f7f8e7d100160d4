"""Read arrays from an HDF5 file that another program wrote, and nothing from outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from infoplane.data import Array
from infoplane.errors import DataError, InfoplaneError, RunFileError, is_of_system, unreadable

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


def arrays_in_hdf5(path: Path, wanted: Sequence[str] = ()) -> dict[str, Array]:
    """Return the numeric datasets at the top of a file, and of its groups as ``group/name``.

    Only those ``wanted``, if any are named; they may lie deeper.

    Raises
    ------
    RunFileError
        If it is no readable HDF5 file.
    DataError
        If a dataset is missing, leads out of the file, needs a plug-in, or unfolds to far more than
        the file.
    """
    with _readable(path), h5py.File(path, "r", locking=False) as file:
        datasets = _named(file, wanted, path) if wanted else _all(file, path)
        return {name: _read(dataset, name, path) for name, dataset in datasets}


def datasets_of_hdf5(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and dtype of all datasets of a file, in the order of its groups; none is read.

    Links are passed over, and groups that lie in themselves.

    Raises
    ------
    RunFileError
        If it is no readable HDF5 file.
    """
    found: dict[str, tuple[tuple[int, ...], Any]] = {}

    def visit(group: h5py.Group, prefix: str, above: tuple[int, ...]) -> None:
        above = (*above, h5py.h5o.get_info(group.id).addr)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            if isinstance(node, h5py.Dataset):
                found[f"{prefix}{name}"] = node.shape or (), node.dtype
            elif isinstance(node, h5py.Group) and h5py.h5o.get_info(node.id).addr not in above:
                visit(node, f"{prefix}{name}/", above)

    with _readable(path), h5py.File(path, "r", locking=False) as file:
        visit(file, "", ())
    return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        if is_of_system(error):
            raise unreadable(path, error) from error
        text = " ".join(str(error).split())[:160]
        raise RunFileError(f"{path}: not a readable HDF5 file ({text})") from error


def _all(file: h5py.File, path: Path) -> Iterator[tuple[str, Any]]:
    for name in file:
        node = _inside(file, name, path)
        if isinstance(node, h5py.Group):
            members = ((f"{name}/{key}", _inside(node, key, path)) for key in node)
            yield from (one for one in members if isinstance(one[1], h5py.Dataset))
        else:
            yield name, node


def _named(file: h5py.File, names: Sequence[str], path: Path) -> Iterator[tuple[str, Any]]:
    for name in names:
        node: Any = file
        for part in name.strip("/").split("/"):
            if not isinstance(node, h5py.Group) or part not in node:
                there = list(node) if isinstance(node, h5py.Group) else []
                raise DataError(
                    f"{path}: no dataset {name!r}; {node.name!r} holds "
                    f"{', '.join(there[:12]) or 'none'}",
                    code="IP314",
                )
            node = _inside(node, part, path)
        yield name, node


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
    text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.dtype.kind not in "fiubS" and not text:
        raise DataError(
            f"{where}: expected plain numbers, found dtype {dataset.dtype}",
            hint="name the datasets that are to be read: --data FILE:x,y",
        )
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
    array: Array = dataset.asstr()[()].astype(str) if text else dataset[()]
    return array

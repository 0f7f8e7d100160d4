"""Read arrays from a folder of Zarr, version 2 or 3, if the package zarr is installed.

What a folder declares is checked before the package opens it: plain numbers, codecs that only
unpack bytes (none that unpickles), no links that lead out of the folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infoplane.data import Array
from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.probes.from_files import read_as
from infoplane.recording.probes.hdf5 import grows_too_much

_CODECS = {
    "blosc", "bytes", "bz2", "crc32c", "delta", "gzip", "lz4", "lzma", "sharding_indexed",
    "shuffle", "transpose", "zlib", "zstd",
}  # fmt: skip
_PLAIN = re.compile(r"[<>|]?[fiub]\d|bool|u?int(8|16|32|64)|float(16|32|64)")
_MOST_JSON = 1 << 20


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a store of Zarr."""
    return any((path / name).is_file() for name in (".zarray", ".zgroup", "zarr.json"))


def arrays_of_zarr(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and dtype of the arrays of a store, by their path in it; none is read.

    Raises
    ------
    DataError
        If it holds a link.
    RunFileError
        If its metadata is damaged.
    """
    found = {}
    for folder in _arrays(path):
        with read_as("Zarr", folder):
            about = _metadata(folder)
            shape = tuple(int(n) for n in about["shape"])
            found[_key(path, folder)] = shape, str(about.get("dtype", about.get("data_type")))
    return found


def read_zarr(path: Path, key: str) -> Array:
    """Return an array of a store.

    Raises
    ------
    InputError
        If the package zarr is not installed.
    DataError
        If it is none of plain numbers, packed in a way that could run code, or unfolds to far more
        than the folder holds.
    RunFileError
        If it is damaged.
    """
    folder = path / key if key else path
    with read_as("Zarr", folder):
        _check(folder, _metadata(folder))
    try:
        import zarr
    except ImportError as error:
        raise InputError(
            f"{path}: reading Zarr needs the package zarr", hint="python3 -m pip install zarr"
        ) from error
    with read_as("Zarr", folder):
        opened: Any = zarr.open_array(folder, mode="r")
        stored = sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
        chunk = int(opened.dtype.itemsize)
        for length in opened.chunks:
            chunk *= int(length)
        if grows_too_much(opened.nbytes, stored) or grows_too_much(chunk, stored):
            raise DataError(
                f"{folder}: shape {opened.shape} needs {opened.nbytes:,} bytes, the folder holds "
                f"{stored:,}"
            )
        array: Array = opened[...]
    return array


def _arrays(path: Path) -> Iterator[Path]:
    """Yield the folders of arrays, by name; a link would lead out of the store."""
    for folder, inner, files in os.walk(path):
        inner.sort()
        if links := [name for name in (*inner, *files) if (Path(folder) / name).is_symlink()]:
            raise DataError(f"{Path(folder) / links[0]}: a link, expected data in the store itself")
        if ".zarray" in files or ("zarr.json" in files and _metadata(Path(folder)).get("shape")):
            inner.clear()
            yield Path(folder)


def _metadata(folder: Path) -> Mapping[str, Any]:
    names = [name for name in (".zarray", "zarr.json") if (folder / name).is_file()]
    if not names:
        raise RunFileError(f"{folder}: expected an array of Zarr", code="IP303")
    with (folder / names[0]).open("rb") as file:
        about = json.loads(file.read(_MOST_JSON))
    if not isinstance(about, dict):
        raise RunFileError(f"{folder / names[0]}: expected a JSON object")
    return about


def _check(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse anything but plain numbers that are packed by codecs of bytes."""
    dtype = about.get("dtype", about.get("data_type"))
    if not isinstance(dtype, str) or not _PLAIN.match(dtype):
        raise DataError(f"{folder}: expected plain numbers, found dtype {dtype!r:.60}")
    for codec in _codecs(about):
        if codec not in _CODECS:
            raise DataError(
                f"{folder}: expected codecs that only unpack bytes, found {codec!r:.60}",
                hint="copy the array to one with zstd or without compression",
            )


def _codecs(about: Any) -> Iterator[Any]:
    """Yield the names of all codecs, also of those inside others."""
    parts = [about.get("compressor"), *(about.get("filters") or ())]
    parts += [*(about.get("codecs") or ()), *(about.get("index_codecs") or ())]
    parts += about.get("storage_transformers") or ()
    for part in filter(None, parts):
        if not isinstance(part, dict):
            yield part
            continue
        yield part.get("id", part.get("name"))
        inner = part.get("configuration")
        if isinstance(inner, dict):
            yield from _codecs(inner)


def _key(path: Path, folder: Path) -> str:
    return "" if folder == path else folder.relative_to(path).as_posix()

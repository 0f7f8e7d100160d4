"""Read the arrays of a probe set from files: NumPy, HDF5, safetensors, idx, a folder of images.

What a file declares is compared with its size before memory is taken for it.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from infoplane.data import Array, IntArray
from infoplane.errors import (
    DataError,
    InfoplaneError,
    InputError,
    RunFileError,
    is_of_system,
    unreadable,
)
from infoplane.recording.checkpoints.safetensors import read_safetensors
from infoplane.recording.probes.from_arrays import as_array
from infoplane.recording.probes.hdf5 import arrays_in_hdf5, grows_too_much
from infoplane.text import one_line

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MOST_AXES = 8  # of an idx file


def read_arrays(path: Path, wanted: Sequence[str] = ()) -> dict[str, Array]:
    """Return the arrays of a file by name; a file of one array has it under the empty name.

    Of HDF5 and ``.npz`` files those alone that are ``wanted``, if any are named.

    Raises
    ------
    RunFileError
        If the file is missing, no regular file, or damaged.
    DataError
        If it holds anything but plain arrays, or declares far more than it holds.
    """
    if not path.exists():
        raise RunFileError(f"{path}: no such file", code="IP303")
    if not path.is_file():
        raise RunFileError(f"{path}: expected a regular file", code="IP303")
    kind, read = _reader(path, wanted)
    with read_as(kind, path):
        return read(path)


@contextmanager
def read_as(kind: str, path: Path) -> Iterator[None]:
    """Turn what a damaged file of a kind raises into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except Exception as error:  # damage surfaces in zipfile, zlib, tokenize, ...
        if is_of_system(error):
            raise unreadable(path, error) from error
        text = one_line(error, 160) or type(error).__name__
        raise RunFileError(f"{path}: not a readable {kind} file ({text})") from error


def is_array_file(path: Path) -> bool:
    """Tell by its name whether a file is of one of the kinds that are read."""
    return path.suffix in (".npz", ".npy", ".h5", ".hdf5", ".safetensors") or _is_idx(path)


def _reader(path: Path, wanted: Sequence[str]) -> tuple[str, Callable[[Path], dict[str, Array]]]:
    if path.suffix in (".h5", ".hdf5"):
        return "HDF5", lambda path: arrays_in_hdf5(path, wanted)
    if path.suffix == ".safetensors":
        return ".safetensors", _tensors
    if path.suffix == ".npz":
        return ".npz", lambda path: _npz(path, wanted)
    if path.suffix == ".npy":
        return ".npy", lambda path: {"": _npy(path)}
    if _is_idx(path):
        return "idx", lambda path: {"": _idx(path)}
    raise DataError(
        f"{path}: expected .npz, .npy, .h5, .safetensors or idx, found {path.suffix or 'no suffix'}"
    )


def _is_idx(path: Path) -> bool:
    name = path.name.removesuffix(".gz")
    return ("idx" in name and name.endswith("ubyte")) or name.endswith(".idx")


def _tensors(path: Path) -> dict[str, Array]:
    return {name: as_array(tensor) for name, tensor in read_safetensors(path)[0].items()}


def arrays_of_npz(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and dtype of the arrays of a ``.npz`` file, which are not read.

    Errors are those of ``read_arrays``; objects and records are listed with their dtype.
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                raise DataError(f"{path}: expected a .npz file of arrays, found {member.filename}")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, _, dtype, _ = _any_header(file, f"{path}: array {name!r}")
            found[name] = shape, dtype
    return found


def _npz(path: Path, wanted: Sequence[str]) -> dict[str, Array]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        names = {f"{name}.npy" for name in wanted}
        there = names <= set(archive.namelist())  # else whoever asked is told what there is
        for member in archive.infolist():
            if names and there and member.filename not in names:
                continue
            if not member.filename.endswith(".npy"):
                raise DataError(f"{path}: expected a .npz file of arrays, found {member.filename}")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, order, dtype, start = _header(file, f"{path}: array {name!r}")
            nbytes = math.prod(shape) * dtype.itemsize
            if start + nbytes != member.file_size or grows_too_much(nbytes, member.compress_size):
                raise RunFileError(
                    f"{path}: array {name!r}: shape {shape} of {dtype} needs {nbytes:,} bytes, the "
                    f"file holds {member.compress_size:,}"
                )
            with archive.open(member) as file:
                data = file.read()
            flat = np.frombuffer(data, dtype, offset=start) if nbytes else np.empty(0, dtype)
            arrays[name] = flat.reshape(shape, order=order)
    return arrays


def _npy(path: Path) -> Array:
    with path.open("rb") as file:
        shape, order, dtype, start = _header(file, str(path))
    size, nbytes = path.stat().st_size, math.prod(shape) * dtype.itemsize
    if start + nbytes != size:
        raise RunFileError(
            f"{path}: shape {shape} of {dtype} needs {start + nbytes:,} bytes, the file has "
            f"{size:,}"
        )
    if not nbytes:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, order)


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], Any, np.dtype[Any], int]:
    """Return shape, order, dtype and length of the header of a ``.npy`` file of plain numbers."""
    shape, order, dtype, start = _any_header(file, where)
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        raise DataError(f"{where}: expected plain arrays, found dtype {dtype}")
    return shape, order, dtype, start


def _any_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], Any, np.dtype[Any], int]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise DataError(f"{where}: expected plain arrays, found version {version} of the format")
    shape, fortran, dtype = read[version](file)
    return shape, "F" if fortran else "C", dtype, file.tell()


def _idx(path: Path) -> Array:
    """Return the array in an idx file, http://yann.lecun.com/exdb/mnist; also with gzip."""
    size = path.stat().st_size
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
            raise RunFileError(f"{path}: expected an idx file, found other first bytes")
        if not 1 <= head[3] <= _MOST_AXES:
            raise RunFileError(f"{path}: expected 1 to {_MOST_AXES} axes, found {head[3]}")
        shape = tuple(np.frombuffer(file.read(4 * head[3]), ">u4").tolist())
        dtype = np.dtype(_IDX_TYPES[head[2]])
        nbytes = math.prod(shape) * dtype.itemsize
        if len(shape) != head[3] or (
            grows_too_much(nbytes, size) if packed else nbytes != size - 4 - 4 * head[3]
        ):
            raise RunFileError(
                f"{path}: shape {shape} needs {nbytes:,} bytes, the file has {size:,}"
            )
        data = file.read(nbytes + 1)
    if len(data) != nbytes:
        raise RunFileError(f"{path}: shape {shape} needs {nbytes:,} bytes, found {len(data):,}")
    array = np.frombuffer(data, dtype).reshape(shape)
    if dtype == np.uint8 and array.ndim in (3, 4):
        array = array[:, None] if array.ndim == 3 else array
        return array.astype(np.float32) / np.float32(255)
    return array


@dataclass(frozen=True)
class ImageRows:
    """The images of a folder, read when they are asked for; labels are its sub-folders."""

    folder: Path
    files: Sequence[Path]
    labels: Array | None  # names of the classes

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: IntArray) -> Array:
        """Return images (n, channels, height, width) as float32 from 0 to 1."""
        try:
            from PIL import Image
        except ImportError as error:
            raise InputError(
                f"{self.folder}: reading images needs the package pillow",
                hint="python3 -m pip install pillow",
            ) from error
        images = []
        for row in rows:
            try:
                with Image.open(self.files[row]) as image:
                    found = _pixels(image)
            except Exception as error:  # what decoders raise is of many kinds
                raise RunFileError(
                    f"{self.files[row]}: not a readable image ({one_line(error)})"
                ) from error
            images.append(found[None] if found.ndim == 2 else found.transpose(2, 0, 1))
            if images[-1].shape != images[0].shape:
                raise DataError(
                    f"{self.files[row]}: expected images of one size, (channels, height, width) "
                    f"{images[0].shape} as {self.files[rows[0]].name}, found {images[-1].shape}",
                    hint="resize them, or return the probe set from a function of yours: "
                    "--data MODULE:CALLABLE",
                )
        return np.stack(images)


def _pixels(image: Any) -> Array:
    """Return the pixels of an image, (height, width) or (height, width, 3), from 0 to 1."""
    if image.mode in ("I", "F"):
        raise ValueError("expected 8 or 16 bits a pixel, found 32, whose range is not known")
    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        return np.asarray(image).astype(np.float32) / np.float32(65535)
    grey = image.mode in ("1", "L")
    found = np.asarray(image.convert("L" if grey else "RGB"), np.uint8)
    return found.astype(np.float32) / np.float32(255)


def images_in(folder: Path) -> ImageRows:
    """Return the images in a folder, or in its sub-folders, one for each class, by name.

    Hidden ones (``._1.png``, ``.ipynb_checkpoints``) are none of them.

    Raises
    ------
    DataError
        If there are none.
    """
    seen = (path for path in folder.iterdir() if not path.name.startswith("."))
    classes = sorted(path for path in seen if path.is_dir())
    files = [
        path
        for inner in classes or [folder]
        for path in sorted(inner.iterdir())
        if path.suffix.lower() in _IMAGES and path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise DataError(
            f"{folder}: expected images, or a sub-folder of images for each class, found none"
        )
    labels = np.array([path.parent.name for path in files]) if classes else None
    return ImageRows(folder, files, labels)

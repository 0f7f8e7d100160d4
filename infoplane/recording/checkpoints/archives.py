"""The zip archives of ``torch.save``: a pickle, ``data.pkl``, beside the bytes of each storage.

Checkpoints of a training differ in the bytes, and in numbers such as the epoch, but hardly in
anything else. What ``torch.load(weights_only=True)`` has accepted once, it need not parse again,
opcode by opcode in Python: a pickle of the same opcodes builds the same objects.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from infoplane import errors
from infoplane.errors import RunFileError, is_of_system
from infoplane.runs.checksum import crc32
from infoplane.text import one_line

_NUMBERS = {"BININT": 4, "BININT1": 1, "BININT2": 2, "BINFLOAT": 8}
"""Opcodes that push a number, and the bytes of it that follow."""

_BLOCK = 1 << 18  # bytes that stay in the processor's cache

_IN_RECORD = 0xFFFFFFFF
"""What the short record says of a number that the one of zip64 holds."""

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def archive_members(path: Path) -> list[zipfile.ZipInfo]:
    """Return the members of a zip archive, as ``torch.save`` writes one; none of another file.

    Raises
    ------
    RunFileError
        If the archive is damaged.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return []
        try:
            with zipfile.ZipFile(file) as archive:
                _check_directory(path, file)
                return archive.infolist()
        except RunFileError:
            raise
        except Exception as error:  # damage surfaces in many ways
            raise unreadable(path, error) from error


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Make sure that an archive has one directory, the same for every reader.

    Python looks for it before the record at the end, torch at the offset that the record tells.
    Layout: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.14 to 4.3.16.
    """
    at = file.seek(0, io.SEEK_END) - 22
    file.seek(max(at - 20 - 56, 0))
    tail = file.read()
    end, locator, record = tail[-22:], tail[-42:-22], tail[-98:-42]
    size, offset = struct.unpack("<II", end[12:20])
    whole = end[:4] == b"PK\x05\x06" and end[20:] == b"\0\0"  # torch.save writes no comment
    if locator[:4] == b"PK\x06\x07":
        at -= len(locator) + len(record)
        (told,) = struct.unpack("<Q", locator[8:16])
        whole = whole and record[:4] == b"PK\x06\x06" and told == at
        short = size, offset
        size, offset = struct.unpack("<QQ", record[40:56])
        whole = whole and short[0] in (size, _IN_RECORD) and short[1] in (offset, _IN_RECORD)
    if not whole or offset + size != at:
        raise unreadable(path, "its directory is not where its last record says")


def check_sums(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Compare members with the checksums beside them; ``torch.load`` reads flipped bits as weights.

    Raises
    ------
    RunFileError
        If one does not match, or the file does not hold it.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if sum(member.file_size for member in members) > size:
            raise unreadable(path, "its members are larger than the file")
        for member in members:
            if not member.CRC:
                continue  # empty, or saved without: torch.serialization.set_crc32_options(False)
            if not 0 <= member.header_offset < size:
                raise unreadable(path, f"{member.filename} begins outside of the file")
            start = _start(file, member)
            if start + member.file_size > size:
                raise unreadable(path, f"the file ends within {member.filename}")
            file.seek(start)
            left, found = member.file_size, 0
            while left:
                block = file.read(min(left, _BLOCK))
                left, found = left - len(block), crc32(block, found)
            if found != member.CRC:
                raise unreadable(path, f"{member.filename} does not match its checksum")


def unreadable(path: Path, error: Exception | str) -> RunFileError:
    """Return the error of a checkpoint that is damaged, or that the system does not let us read."""
    if isinstance(error, Exception) and is_of_system(error):
        return errors.unreadable(path, error)
    text = one_line(error, 160) or type(error).__name__
    return RunFileError(
        f"{path}: not a readable PyTorch checkpoint ({path.stat().st_size:,} bytes; {text})",
        hint="copy the file again from where it was saved, or leave it out of --checkpoints",
    )


class Earlier:
    """The pickle of the last checkpoint that ``torch.load(weights_only=True)`` accepted."""

    def __init__(self) -> None:
        self._form: _Form | None = None
        self._marks: object = None

    def accept(self, path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
        """Keep the pickle of an archive that ``torch.load`` has just read."""
        named = _by_name(members)
        with path.open("rb") as file:
            order, text = (_stored(file, named.get(name)) for name in ("byteorder", "data.pkl"))
        plain = order is not None and order.tobytes() == sys.byteorder.encode()
        self._form = _Form(text.tobytes()) if plain and text is not None else None
        self._marks = _marks(named)

    def read_alike(self, path: Path, members: Sequence[zipfile.ZipInfo]) -> Any:
        """Return the content of an archive that differs from the one accepted in numbers alone.

        Returns
        -------
        object
            None if it differs otherwise, is damaged, or holds more than tensors and plain values:
            ``torch.load`` can tell.
        """
        named = _by_name(members)
        if self._form is None or _marks(named) != self._marks:
            return None
        with path.open("rb") as file, suppress(Exception):  # torch.load tells it better
            text = _stored(file, named.get("data.pkl"))
            if text is not None and self._form.fits(text.tobytes()):
                return _Unpickler(text.tobytes(), file, named).load()
        return None


class _Form:
    """The opcodes of a pickle, without the numbers that they push."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def fits(self, text: bytes) -> bool:
        """Tell whether another pickle has the same opcodes and differs in numbers at most."""
        return len(text) == len(self._text) and self._bare(text) == self._bare(self._text)

    def _bare(self, text: bytes) -> bytes:
        found = np.frombuffer(text, np.uint8).copy()
        found[self._numbers] = 0
        return found.tobytes()

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        """Where the bytes of numbers stand; the same in a pickle of the same opcodes."""
        found: list[int] = []
        for opcode, argument, position in pickletools.genops(self._text):
            if opcode.name in _NUMBERS and position is not None:
                found += range(position + 1, position + 1 + _NUMBERS[opcode.name])
            # ``pickle`` sets up memory for all places below the highest that is used.
            if opcode.name == "LONG_BINPUT" and (argument is None or argument > len(self._text)):
                raise pickle.UnpicklingError(f"{argument} is no place of an object of this pickle")
        return np.array(found, np.int64)


class _Unpickler(pickle.Unpickler):
    """Builds tensors, and the containers of a state dict; it knows no other name."""

    def __init__(self, text: bytes, file: BinaryIO, named: Mapping[str, zipfile.ZipInfo]) -> None:
        super().__init__(io.BytesIO(text))
        self._file, self._named = file, named
        self._storages: dict[str, torch.UntypedStorage] = {}  # tensors may share one

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function; the class of a storage tells its dtype."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a plain state dict")

    def persistent_load(self, told: Any) -> tuple[torch.UntypedStorage, torch.dtype]:
        """Return the storage that a pickle tells of, and the dtype of its values."""
        _, dtype, key, _, n_values = told
        if key not in self._storages:
            data = _stored(self._file, self._named.get(f"data/{key}"))
            if data is None or len(data) != n_values * dtype.itemsize:
                raise pickle.UnpicklingError(f"storage {key} is not as the pickle tells")
            self._storages[key] = torch.from_numpy(data).untyped_storage()
        return self._storages[key], dtype


def _tensor(
    stored: tuple[torch.UntypedStorage, torch.dtype],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,  # always empty
) -> torch.Tensor:
    storage, dtype = stored
    tensor = torch.empty(0, dtype=dtype, device="cpu").set_(storage, offset, shape, strides)
    return tensor.requires_grad_(requires_grad)


def _by_name(members: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return members by their name in the folder that all of them stand in; none if in doubt."""
    parts = [member.filename.partition("/") for member in members]
    named = {part[2]: member for part, member in zip(parts, members, strict=True)}
    doubtful = len(named) < len(members) or len({part[0] for part in parts}) > 1
    return {} if doubtful else named


def _marks(named: Mapping[str, zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
    """Return what tells the members for version, byte order and the like from others."""
    return {
        name: (member.file_size, member.CRC)
        for name, member in named.items()
        if "/" not in name and name != "data.pkl"
    }


def _stored(file: BinaryIO, member: zipfile.ZipInfo | None) -> NDArray[np.uint8] | None:
    """Return the bytes of a member that is not compressed; None if the file does not hold them."""
    if member is None or member.compress_type != zipfile.ZIP_STORED:
        return None
    start = _start(file, member)
    if member.file_size > file.seek(0, io.SEEK_END) - start:
        return None
    file.seek(start)
    data = np.empty(member.file_size, np.uint8)
    return data if file.readinto(data) == len(data) else None  # type: ignore[attr-defined]


def _start(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin: behind its name and what fills up."""
    file.seek(member.header_offset + 26)
    lengths = file.read(4)
    name, more = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return member.header_offset + 30 + name + more

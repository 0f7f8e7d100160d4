"""Scalars of TensorBoard event files.

Records of TFRecord (length, its checksum, data, its checksum), each a protocol buffer of
tensorflow.Event. Only scalars are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from infoplane.errors import DataError

HEAD = 12
"""Bytes that tell an event file: the length of the first record, and its checksum."""

_LONGEST = 1 << 24  # bytes of an event


def is_events(head: bytes) -> bool:
    """Tell whether these are the first bytes of an event file."""
    return len(head) == HEAD and _masked(head[:8]) == struct.unpack("<I", head[8:])[0]


def events(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the scalars of each event by tag, with its step as ``step``, and where it stands.

    Raises
    ------
    DataError
        If an event is damaged; one that is cut short ends the file.
    """
    for number, data in enumerate(_records(path), 1):
        where = f"{path}: event {number}"
        step, scalars = _event(data, where)
        if scalars:
            yield where, {**scalars, "step": step}


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        number = 0
        while head := file.read(HEAD):
            number += 1
            if len(head) < HEAD:
                return  # cut short while it was written
            length = struct.unpack("<Q", head[:8])[0]
            if not is_events(head) or length > _LONGEST:
                raise DataError(f"{path}: event {number}: damaged, or no TensorBoard event")
            data, check = file.read(length), file.read(4)
            if len(check) < 4:
                return
            if _masked(data) != struct.unpack("<I", check)[0]:
                raise DataError(f"{path}: event {number}: does not match its checksum")
            yield data


def _event(data: bytes, where: str) -> tuple[int, dict[str, float]]:
    """Return the step of an event, and its scalars by tag."""
    step = 0
    scalars: dict[str, float] = {}
    for field, value in _fields(data, where):
        if field == 2 and isinstance(value, int):
            step = value - (1 << 64) * (value >> 63)
        elif field == 5 and isinstance(value, bytes):
            for inner, one in _fields(value, where):
                if inner == 1 and isinstance(one, bytes):
                    scalars |= _scalar(one, where)
    return step, scalars


def _scalar(data: bytes, where: str) -> dict[str, float]:
    """Return a Summary.Value as a tag and a number; nothing if it is another kind."""
    tag, number = "", None
    for field, value in _fields(data, where):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            number = struct.unpack("<f", value)[0]
        elif field == 8 and isinstance(value, bytes):
            number = _tensor(value, where)
    return {} if number is None else {tag: number}


def _tensor(data: bytes, where: str) -> float | None:
    """Return the number of a TensorProto without axes, of float or double."""
    kind, content = 0, b""
    for field, value in _fields(data, where):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field in (4, 5, 6) and isinstance(value, bytes):  # content, float_val, double_val
            content = value
    letter = {1: "f", 2: "d"}.get(kind)
    if letter is None or len(content) != struct.calcsize(f"<{letter}"):
        return None
    return float(struct.unpack(f"<{letter}", content)[0])


def _fields(data: bytes, where: str) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: numbers of variable length, else bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at, where)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at, where)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at, where)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise DataError(f"{where}: damaged, or no TensorBoard event")
        if at + length > len(data):
            raise DataError(f"{where}: damaged, or no TensorBoard event")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int, where: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value & (2**64 - 1), at
    raise DataError(f"{where}: damaged, or no TensorBoard event")


@cache
def _table() -> tuple[int, ...]:
    """Return the table of CRC-32C, the checksum of TFRecord."""
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        found.append(byte)
    return tuple(found)


def _masked(data: bytes) -> int:
    table, check = _table(), 0xFFFFFFFF
    for byte in data:
        check = check >> 8 ^ table[(check ^ byte) & 0xFF]
    check ^= 0xFFFFFFFF
    return ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF

"""Loss logs that trainings have written: CSV, JSON lines, TensorBoard event files.

``FILE`` or ``FILE:LOSS[,TOKENS[,STEP]]``, by the names of columns, keys or tags; an empty TOKENS
takes none.
"""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from infoplane.errors import DataError
from infoplane.runs.atomic import check_regular
from infoplane.runs.hdf5 import reading
from infoplane.step_record import LossLog
from infoplane.system import split_reference
from infoplane.text import shortened, some_of

Row: TypeAlias = Mapping[str, Any]

_NAMES = {
    "loss": (
        "train_loss", "train/loss", "loss/train", "training_loss", "train_loss_step",
        "train/loss_step", "loss",
    ),
    "tokens": (
        "tokens", "train/tokens", "tokens_seen", "n_tokens", "num_tokens",
        "num_input_tokens_seen", "train/num_input_tokens_seen",
    ),
    "step": ("step", "global_step", "trainer/global_step", "_step", "iteration", "iter"),
}  # fmt: skip
"""What a column is called where none is named; the first that there is, in any case of letters."""

_LONGEST = 1 << 24  # bytes of a line, or of an event


def read_loss_log(reference: str) -> LossLog:
    """Return the loss log that a file holds.

    Rows without a loss are passed over: logs of evaluations stand between those of training steps.

    Parameters
    ----------
    reference : str
        ``FILE`` or ``FILE:LOSS[,TOKENS[,STEP]]``.

    Raises
    ------
    RunFileError
        If the file cannot be read.
    DataError
        If it holds no losses by step, a column is not there, a value is no number, or steps or
        tokens go backwards.
    """
    path, asked = Path(reference), ""
    if not path.exists():
        head, asked = split_reference(reference)
        path = Path(head)
    check_regular(path)
    with reading(str(path), "expected CSV, JSON lines or a TensorBoard event file"):
        with path.open("rb") as file:
            head_bytes = file.read(12)
        rows = _events(path) if _is_events(head_bytes) else _texts(path)
        try:
            return _log_of(rows, _asked(asked, path), path)
        except csv.Error as error:
            raise DataError(f"{path}: not readable as CSV ({error})") from error


def _asked(names: str, path: Path) -> dict[str, str]:
    parts = [part.strip() for part in names.split(",")] if names else []
    if len(parts) > len(_NAMES):
        raise DataError(f"{path}: expected FILE:LOSS,TOKENS,STEP, got {names!r}")
    return {
        kind: name for kind, name in zip(_NAMES, parts, strict=False) if name or kind == "tokens"
    }


def _log_of(rows: Iterator[tuple[str, Row]], asked: Mapping[str, str], path: Path) -> LossLog:
    """Return the log of rows, each with the place where it stands."""
    found: list[tuple[int, float, float, str]] = []
    names: dict[str, str | None] = {}
    seen: dict[str, None] = {}
    for where, row in rows:
        seen |= dict.fromkeys(row)
        names |= {
            kind: name
            for kind in _NAMES
            if names.get(kind) is None and (name := _named(kind, asked, row)) is not None
        }
        loss = row.get(names.get("loss") or "")
        if loss is None or loss == "":
            continue
        step = _number(row.get(names.get("step") or ""), where, "step", missing=math.nan)
        if math.isnan(step) and names.get("step") is None:
            raise DataError(
                f"{where}: expected a column of steps ({', '.join(_NAMES['step'])}), found "
                f"{some_of(list(row), between=', ')}",
                hint="name the columns: FILE:LOSS,TOKENS,STEP",
            )
        if step != step // 1 or not 0 <= step < 2**63:
            raise DataError(f"{where}: expected a step that is a whole number, got {step}")
        tokens = _number(row.get(names.get("tokens") or ""), where, "tokens", missing=math.nan)
        found.append((int(step), _number(loss, where, "loss"), tokens, where))
    for name in asked.values():
        if name and name not in seen:
            raise _without(path, name, seen)
    if not found:
        raise _without(path, " or ".join(_NAMES["loss"]), seen)
    _check_ascent(found)
    steps, losses, tokens_, _ = zip(*found, strict=True)
    return LossLog(np.array(steps, dtype=np.int64), np.array(losses), np.array(tokens_))


def _without(path: Path, name: str, seen: Iterable[str]) -> DataError:
    return DataError(
        f"{path}: expected a column {name}, found {some_of(list(seen), between=', ') or 'none'}",
        hint="name the columns: FILE:LOSS,TOKENS,STEP",
    )


def _named(kind: str, asked: Mapping[str, str], row: Row) -> str | None:
    """Return the name of a column in a row, None if it is not there."""
    if kind in asked:
        return asked[kind] if asked[kind] in row else None
    folded = {name.strip().casefold(): name for name in reversed(list(row))}
    return next((folded[name] for name in _NAMES[kind] if name in folded), None)


def _number(value: Any, where: str, what: str, missing: float | None = None) -> float:
    if missing is not None and (value is None or value == ""):
        return missing
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{where}: expected a number as {what}, got {shortened(repr(value), 60)}"
        ) from None


def _check_ascent(found: list[tuple[int, float, float, str]]) -> None:
    for (step, _, tokens, _), (later, _, more, where) in pairwise(found):
        if later <= step:
            raise DataError(
                f"{where}: expected a step above {step}, got {later}: the log restarts or goes "
                "backwards",
                hint="keep the lines of one training, each step once, in a file of its own",
            )
        if more < tokens:
            raise DataError(
                f"{where}: expected at least {tokens:.15g} tokens, got {more:.15g}",
                hint="tokens are all that were trained on so far, not those of one batch; leave "
                "the column out by naming the others: FILE:LOSS,,STEP",
            )


def _texts(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a text file: JSON lines, or CSV with a line of names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = ((number, line) for number, line in enumerate(_lines(file, path), 1))
        first = next(((number, line) for number, line in lines if line.strip()), None)
        if first is None:
            return
        if first[1].lstrip().startswith("{"):
            for number, line in _chained(first, lines):
                if line.strip():
                    yield f"{path}: line {number}", _object(line, f"{path}: line {number}")
            return
        names = next(csv.reader([first[1]]))
        if len(set(names)) < len(names):
            raise DataError(f"{path}: expected columns of different names in line {first[0]}")
        reader = csv.reader(line for _, line in lines)
        for row in reader:
            where = f"{path}: line {first[0] + reader.line_num}"
            if row and len(row) != len(names):
                raise DataError(f"{where}: expected {len(names)} values, got {len(row)}")
            if row:
                yield where, dict(zip(names, row, strict=True))


def _chained(first: tuple[int, str], rest: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _lines(file: Any, path: Path) -> Iterator[str]:
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise DataError(f"{path}: expected lines of text, found one of {_LONGEST:,} bytes")
        yield line


def _object(line: str, where: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not readable as JSON ({shortened(str(error), 80)})") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(found).__name__}")
    return found


# TensorBoard: records of TFRecord (length, its checksum, data, its checksum), each a protocol
# buffer of tensorflow.Event. Only scalars are read.


def _is_events(head: bytes) -> bool:
    return len(head) == 12 and _masked(head[:8]) == struct.unpack("<I", head[8:])[0]


def _events(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the scalars of an event file, those of one step together."""
    row: dict[str, Any] = {}
    number, at = 0, None
    for number, data in enumerate(_records(path), 1):
        step, scalars = _event(data, f"{path}: event {number}")
        if scalars and step != at:
            if row:
                yield f"{path}: event {number - 1}", {"step": at, **row}
            row, at = {}, step
        row |= scalars
    if row:
        yield f"{path}: event {number}", {"step": at, **row}


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        number = 0
        while head := file.read(12):
            number += 1
            if len(head) < 12:
                return  # cut short while it was written
            length = struct.unpack("<Q", head[:8])[0]
            if not _is_events(head) or length > _LONGEST:
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

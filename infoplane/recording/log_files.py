"""Loss logs that trainings have written: CSV, JSON lines, TensorBoard event files.

``FILE`` or ``FILE:LOSS[,TOKENS[,STEP]]``, by the names of columns, keys or tags; an empty TOKENS
takes none.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from infoplane.errors import DataError, RunFileError
from infoplane.recording.event_files import HEAD, events, is_events
from infoplane.runs.atomic import check_regular
from infoplane.runs.hdf5 import reading
from infoplane.step_record import LossLog
from infoplane.system import split_reference
from infoplane.text import shortened, some_of

Row: TypeAlias = Mapping[str, Any]

log = logging.getLogger("infoplane")

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
"""What a column is called where none is named, in any case of letters; the first that all have."""

_KNOWN = {name for names in _NAMES.values() for name in names}
_LONGEST = 1 << 24  # bytes of a line
_BY_NAME = "name the columns: FILE:LOSS,TOKENS,STEP"


def read_loss_log(reference: str) -> LossLog:
    """Return the loss log that a file holds.

    Rows without a loss are passed over: logs of evaluations stand between those of training steps.
    Tokens may stand in other rows of the same steps. A last line of text that does not end is left
    out with a warning: it may be cut short.

    Parameters
    ----------
    reference : str
        ``FILE`` or ``FILE:LOSS[,TOKENS[,STEP]]``.

    Raises
    ------
    RunFileError
        If the file cannot be read.
    DataError
        If it holds no losses by step, a column is not there, losses stand under several names, a
        value is no number, a step has two losses, or steps or tokens go backwards.
    """
    path, asked = Path(reference), ""
    if not path.exists():
        head, asked = split_reference(reference)
        path = Path(head)
    _check_file(path)
    with reading(str(path), "expected CSV, JSON lines or a TensorBoard event file"):
        with path.open("rb") as file:
            head_bytes = file.read(HEAD)
        rows = events(path) if is_events(head_bytes) else _texts(path)
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


def _check_file(path: Path) -> None:
    if not path.exists():
        raise RunFileError(
            f"{path}: no such file",
            hint="expected the loss log of the training: FILE, or FILE:LOSS,TOKENS,STEP",
            code="IP303",
        )
    if path.is_dir():
        raise RunFileError(
            f"{path}: expected a file, found a folder",
            hint="name a file in it, of TensorBoard events.out.tfevents...",
            code="IP303",
        )
    check_regular(path)


@dataclass(frozen=True)
class _Entry:
    where: str
    step: int
    loss: float
    tokens: float


def _log_of(rows: Iterator[tuple[str, Row]], asked: Mapping[str, str], path: Path) -> LossLog:
    """Return the log of rows, each with the place where it stands."""
    seen: dict[str, None] = {}
    kept: list[tuple[str, Row]] = []
    for where, row in rows:
        seen |= dict.fromkeys(row)
        wanted = {
            name: value
            for name, value in row.items()
            if not (value is None or value == "")
            and (name in asked.values() or name.strip().casefold() in _KNOWN)
        }
        kept.append((where, wanted))
    for name in asked.values():
        if name and name not in seen:
            raise _without(path, name, seen)
    names = {"loss": _loss_name(asked, kept, path)}
    with_loss = [(where, row) for where, row in kept if names["loss"] in row]
    if not with_loss:
        raise _without(path, " or ".join(_NAMES["loss"]), seen)
    names["step"] = _found("step", asked, [row for _, row in with_loss])
    if not names["step"]:
        raise DataError(
            f"{with_loss[0][0]}: expected a column of steps ({', '.join(_NAMES['step'])}), found "
            f"{some_of(list(seen), between=', ')}",
            hint=_BY_NAME,
        )
    names["tokens"] = _found("tokens", asked, [row for _, row in kept])
    found = _entries(with_loss, names, _tokens_by_step(kept, names))
    _check_ascent(found)
    _tell_of_tokens(found, path)
    return LossLog(
        np.array([entry.step for entry in found], dtype=np.int64),
        np.array([entry.loss for entry in found]),
        np.array([entry.tokens for entry in found]),
    )


def _entries(
    rows: Iterable[tuple[str, Row]], names: Mapping[str, str], tokens: Mapping[int, float]
) -> list[_Entry]:
    found = []
    for where, row in rows:
        step, loss = (
            _step(row.get(names["step"]), where),
            _number(row[names["loss"]], where, "loss"),
        )
        own = row.get(names["tokens"])
        count = tokens.get(step, math.nan) if own is None else _number(own, where, "tokens")
        found.append(_Entry(where, step, loss, count))
    return found


def _tokens_by_step(rows: Iterable[tuple[str, Row]], names: Mapping[str, str]) -> dict[int, float]:
    """Return the tokens of rows that have no loss."""
    found: dict[int, float] = {}
    for where, row in rows:
        if names["loss"] in row or names["tokens"] not in row or names["step"] not in row:
            continue
        step, count = (
            _step(row[names["step"]], where),
            _number(row[names["tokens"]], where, "tokens"),
        )
        if found.setdefault(step, count) != count:
            raise DataError(
                f"{where}: expected {found[step]:.15g} tokens at step {step}, as before, got "
                f"{count:.15g}",
                hint="keep the lines of one training in a file of its own",
            )
    return found


def _tell_of_tokens(found: list[_Entry], path: Path) -> None:
    unknown = [entry for entry in found if math.isnan(entry.tokens)]
    if unknown and len(unknown) < len(found):
        log.warning(
            "%s: %d of %d losses have no tokens, at step %d first: curves will count steps, not "
            "tokens",
            path,
            len(unknown),
            len(found),
            unknown[0].step,
        )


def _without(path: Path, name: str, seen: Iterable[str]) -> DataError:
    return DataError(
        f"{path}: expected a column {name}, found {some_of(list(seen), between=', ') or 'none'}",
        hint=_BY_NAME,
    )


def _loss_name(asked: Mapping[str, str], rows: Iterable[tuple[str, Row]], path: Path) -> str:
    """Return under which name the losses stand; of several the first that has those of all steps.

    A single value beside a log of another name is a summary, as Hugging Face writes at the end.
    """
    if "loss" in asked:
        return asked["loss"]
    places: dict[str, list[object]] = {}
    for where, row in rows:
        at = next((row[name] for name in _spelled("step", asked, row)), where)
        for name in _spelled("loss", asked, row):
            places.setdefault(name, []).append(str(at))
    longest = max(map(len, places.values()), default=0)
    logs = {name: set(at) for name, at in places.items() if len(at) > 1 or longest == 1}
    everywhere = set().union(*logs.values())
    for name in sorted(logs, key=_rank("loss")):
        if logs[name] == everywhere:
            return name
    if logs:
        raise DataError(
            f"{path}: losses of different steps stand under several names: "
            + ", ".join(f"{name} ({len(at)})" for name, at in logs.items()),
            hint=_BY_NAME,
        )
    return ""


def _found(kind: str, asked: Mapping[str, str], rows: Iterable[Row]) -> str:
    """Return the name of a column, of several the first that all rows have; empty without."""
    if kind in asked:
        return asked[kind]
    counts: dict[str, int] = {}
    for row in rows:
        for name in _spelled(kind, asked, row):
            counts[name] = counts.get(name, 0) + 1
    order = sorted(counts, key=_rank(kind))
    return max(order, key=lambda name: counts[name], default="")


def _spelled(kind: str, asked: Mapping[str, str], row: Row) -> list[str]:
    """Return the names in a row that may be meant, the likeliest first."""
    if kind in asked:
        return [asked[kind]] if asked[kind] in row else []
    found = [name for name in row if name.strip().casefold() in _NAMES[kind]]
    return sorted(found, key=_rank(kind))


def _rank(kind: str) -> Callable[[str], int]:
    return lambda name: _NAMES[kind].index(name.strip().casefold())


def _step(value: Any, where: str) -> int:
    """Return a step, without rounding."""
    try:
        step: float = int(value) if isinstance(value, (int, str)) else float(value)
    except (TypeError, ValueError):
        step = _number(value, where, "step", missing=math.nan)
    if isinstance(value, bool) or step != step // 1 or not 0 <= step < 2**63:
        raise DataError(
            f"{where}: expected a step that is a whole number of at least 0, got "
            f"{shortened(str(value if isinstance(value, bool) else step), 60)}"
        )
    return int(step)


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


def _check_ascent(found: list[_Entry]) -> None:
    for one, later in pairwise(found):
        if later.step <= one.step:
            raise DataError(
                f"{later.where}: expected a step above {one.step}, got {later.step}: the log "
                "restarts or goes backwards",
                hint="keep the losses of one training, one a step, in a file of its own"
                if later.step < one.step
                else "a step has one loss: log each with its step, in TensorBoard "
                "add_scalar(tag, loss, step)",
            )
        if later.tokens <= one.tokens:
            raise DataError(
                f"{later.where}: expected more than {one.tokens:.15g} tokens, got "
                f"{later.tokens:.15g}",
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
        other = next((mark for mark in ";\t" if len(names) == 1 and mark in names[0]), None)
        if other:
            raise DataError(
                f"{path}: expected columns that are separated by commas, found {other!r} in line "
                f"{first[0]}",
                hint="write the file with commas, and numbers with decimal points",
            )
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
    """Yield the lines of a text; not a last one that may be cut short."""
    first = True
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise DataError(f"{path}: expected lines of text, found one of {_LONGEST:,} bytes")
        if not (first or line.endswith(("\n", "\r")) or _is_object(line)):
            log.warning(
                "%s: the last line does not end and is left out, it may be cut short: %s",
                path,
                shortened(repr(line), 60),
            )
            return
        first = False
        yield line


def _is_object(line: str) -> bool:
    """Tell whether a line is a whole JSON object, which shows its own end."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _object(line: str, where: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not readable as JSON ({shortened(str(error), 80)})") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(found).__name__}")
    return found

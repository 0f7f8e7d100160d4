"""The loss log of a run: blocks of steps, losses and tokens, a line of JSON each.

A line that the recording could not finish is dropped, and a block that begins at or before a known
step replaces what follows: the training was resumed there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from infoplane.data import Array
from infoplane.errors import RunFileError
from infoplane.runs.atomic import append_file
from infoplane.runs.checksum import crc32
from infoplane.runs.disk import writing
from infoplane.runs.hdf5 import json_object, reading
from infoplane.step_record import LossLog

NAME = "log.jsonl"

_COLUMNS = ("step", "train_loss", "tokens")
_BEFORE_CHECKSUM = b', "crc32": '
_REMEDY = "the steps are intact; delete the file to use them without it"


def block_of(log: LossLog) -> bytes:
    """Return the line of a block; NaN and inf are written as text, tokens unknown as null."""
    columns = {
        "step": log.steps.tolist(),
        "train_loss": [_told(value) for value in log.losses.tolist()],
        "tokens": [None if np.isnan(count) else _whole(count) for count in log.tokens.tolist()],
    }
    text = json.dumps(columns, allow_nan=False).encode()[:-1]
    return text + _BEFORE_CHECKSUM + b"%d}\n" % crc32(text)


def intact_bytes(data: bytes) -> bytes:
    """Return the lines that were finished."""
    return data[: data.rfind(b"\n") + 1]


def read_log(data: bytes | Array, where: str) -> LossLog:
    """Return the log that stands in the bytes of a file.

    Raises
    ------
    RunFileError
        If a line other than an unfinished last one is damaged.
    """
    lines = enumerate(intact_bytes(bytes(data)).splitlines(), 1)
    return LossLog.joined(_block(line, f"{where}: line {number}") for number, line in lines)


def _block(line: bytes, where: str) -> LossLog:
    found = json_object(line, where, _REMEDY)
    if found.pop("crc32", None) != crc32(line.rpartition(_BEFORE_CHECKSUM)[0]):
        raise RunFileError(
            f"{where}: does not match its checksum: it was changed or damaged after recording",
            hint=_REMEDY,
            code="IP307",
        )
    with reading(where, _REMEDY):
        steps, losses, tokens = (found[name] for name in _COLUMNS)
        log = LossLog(
            np.array(steps, dtype=np.int64).reshape(-1),
            np.array([float(value) for value in losses]),
            np.array([np.nan if count is None else float(count) for count in tokens]),
        )
        if not len(log) == len(log.losses) == len(log.tokens) > 0:
            raise ValueError("expected as many steps as losses and tokens")
        if log.steps[0] < 0 or (np.diff(log.steps) <= 0).any():
            raise ValueError("expected ascending steps")
    return log


class LogWriter:
    """Appends to the log of a run that this process writes.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[LossLog] = []
        self._checked = False

    def add(self, log: LossLog) -> None:
        """Take entries that the next ``flush`` writes."""
        if len(log):
            self._waiting.append(log)

    def flush(self) -> None:
        """Write what waits, a line each; what cannot be written waits on.

        Raises
        ------
        RunFileError
            If it cannot be written.
        """
        if self._waiting:
            self._cut()
            append_file(self.path, b"".join(map(block_of, self._waiting)))
            self._waiting.clear()

    def _cut(self) -> None:
        """Remove the line that an earlier recording could not finish."""
        if self._checked:
            return
        with writing(self.path):
            if self.path.exists():
                os.truncate(self.path, len(intact_bytes(self.path.read_bytes())))
        self._checked = True


def _told(loss: float) -> float | str:
    return loss if np.isfinite(loss) else str(loss)


def _whole(count: float) -> float | int:
    return int(count) if count == int(count) else count

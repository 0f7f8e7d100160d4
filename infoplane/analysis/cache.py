"""Finished cells by content address, in one SQLite file.

A cache may be deleted at any time, and may be shared by several analyses at once. It never decides
about an analysis: what cannot be read is computed again, and a cache that cannot be written to is
left alone, with a warning.

Nor is it trusted: it may have come with an archive or a repository. A file of another user, or one
that others may write to, is not used. One with other tables, views or triggers than ours, or with a
journal that would make SQLite touch other files, begins anew. No statement runs for long. What the
values mean, `infoplane.analysis.remembered` checks.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from infoplane.owners import TRUST, writers

log = logging.getLogger("infoplane")

_FILE = "cells-1.sqlite"  # the number is the version of the format
_TABLE = "TABLE cells (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_SCHEMA = {
    ("table", "cells", "cells", f"CREATE {_TABLE}"),
    ("index", "sqlite_autoindex_cells_1", "cells", None),
}
_GET = (
    "SELECT CASE WHEN typeof(value) = 'text' AND length(CAST(value AS BLOB)) <= ? THEN value END "
    "FROM cells WHERE key = ?"
)
_BESIDE = ("-journal", "-wal", "-shm")
# At the end of a journal whose transaction spans several files: a name comes before it, and SQLite
# deletes what it names. https://www.sqlite.org/fileformat.html#the_rollback_journal
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
_MOST_BYTES = 1 << 26  # of a value: the clusters of millions of samples
_MOST_LEVELS = 32  # of lists in lists
_LOCKED_SECONDS = 10
_OPERATIONS, _MOST_OPERATIONS = 10_000, 1_000_000  # a statement of ours takes less than a hundred


class CellCache:
    """Keeps JSON values by key.

    Parameters
    ----------
    folder : Path
        Made if it is not there, for this user alone.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        self._connection: sqlite3.Connection | None = None
        self._operations = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if why := self._unsafe(folder):
                self._give_up(f"{why}; delete it, or name it in {TRUST}")
            else:
                self._open()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _unsafe(self, folder: Path) -> str | None:
        """Return why the folder or the file is not used; make the file if it is not there."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if not _is_plain_file(self.path):
            return "expected a regular file of one name"
        return writers(folder) or writers(self.path)

    def _open(self) -> None:
        if _endangers_others(self.path):
            self._begin_anew("its journal concerns other files")
        self._connection = sqlite3.connect(self.path, timeout=_LOCKED_SECONDS, isolation_level=None)
        self._connection.set_progress_handler(self._is_enough, _OPERATIONS)
        try:
            # A killed process loses nothing; after a power cut the file may be damaged, see below.
            self._run("PRAGMA synchronous=OFF")
            self._run("PRAGMA trusted_schema=OFF")
            found = set(self._run("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 3"))
            if found - _SCHEMA:
                self._start_over("made by another program")
                return
            self._run("PRAGMA journal_mode=TRUNCATE")
            self._run(f"CREATE {_TABLE.replace('TABLE', 'TABLE IF NOT EXISTS', 1)}")
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full
                raise
            self._start_over(error)

    def _start_over(self, why: object) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        self._begin_anew(why)
        self._open()

    def _begin_anew(self, why: object) -> None:
        log.warning("%s: damaged (%s); it begins anew", self.path, why)
        for path in [self.path, *_files_beside(self.path)]:
            path.unlink(missing_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        self._operations = 0
        return self._connection.execute(statement, values).fetchall()

    def _is_enough(self) -> bool:
        """Tell SQLite to give up a statement that does not end; signals arrive meanwhile."""
        self._operations += _OPERATIONS
        return self._operations > _MOST_OPERATIONS

    def get(self, key: str) -> Any:
        """Return the value of a key, None if there is none that a cache of ours can hold."""
        if self._connection is None:
            return None
        try:
            found = self._run(_GET, _MOST_BYTES, key)
            if found and found[0][0] is None:
                self._start_over("a value that none of ours is")
                return None
            return _loaded(found[0][0]) if found else None
        except (ValueError, RecursionError):
            return None
        except (OSError, sqlite3.Error) as error:
            if "decode" not in str(error):  # a text that is not UTF-8
                self._give_up(error)
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value, at once."""
        if self._connection is None:
            return
        try:
            text = json.dumps(value, separators=(",", ":"))
            if len(text) <= _MOST_BYTES:
                self._run("INSERT OR REPLACE INTO cells VALUES (?, ?)", key, text)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> CellCache:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _give_up(self, why: object) -> None:
        log.warning("%s: the cache is not used (%s)", self.path, why)
        self.close()


def _is_plain_file(path: Path) -> bool:
    """Tell whether a path is a regular file with no other name, and no link."""
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _files_beside(path: Path) -> list[Path]:
    found = (path.with_name(path.name + suffix) for suffix in _BESIDE)
    return [beside for beside in found if os.path.lexists(beside)]


def _endangers_others(path: Path) -> bool:
    """Tell whether a file beside the cache would make SQLite touch another file.

    Only a rollback journal is ours, of an analysis that is at work or was killed.
    """
    for beside in _files_beside(path):
        if not beside.name.endswith("-journal") or not _is_plain_file(beside):
            return True
        with beside.open("rb") as file:
            file.seek(max(0, beside.stat().st_size - len(_NAMES_ANOTHER)))
            if file.read(len(_NAMES_ANOTHER)) == _NAMES_ANOTHER:
                return True
    return False


def _loaded(text: str) -> Any:
    """Return a JSON value of numbers and texts that results can hold.

    Raises
    ------
    ValueError
        If it is none.
    """
    value = json.loads(text)
    if not _is_sound([value], _MOST_LEVELS):
        raise ValueError("a number or a depth that no result has")
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # half a pair is no character
    return value


def _is_sound(values: Iterable[Any], levels: int) -> bool:
    for value in values:
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            if levels == 0 or not _is_sound(inner, levels - 1):
                return False
        elif isinstance(value, float):
            if not math.isfinite(value):
                return False
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return False
    return True

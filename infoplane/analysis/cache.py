"""Finished cells by content address, in one SQLite file.

A cache may be deleted at any time, and may be shared by several analyses at once. It never decides
about an analysis: what cannot be read is computed again, and a cache that cannot be written to is
left alone, with a warning.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

log = logging.getLogger("infoplane")

_FILE = "cells-1.sqlite"  # the number is the version of the format


class CellCache:
    """Keeps JSON values by key.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        self._connection: sqlite3.Connection | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            # A killed process loses nothing; after a power cut the file may be damaged, see below.
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("PRAGMA journal_mode=TRUNCATE")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full
                raise
            log.warning("%s: damaged (%s); it begins anew", self.path, error)
            self._connection.close()
            self.path.unlink()
            self._connection = None
            self._open()

    def get(self, key: str) -> Any:
        """Return the value of a key, None if there is none."""
        if self._connection is None:
            return None
        try:
            found = self._connection.execute("SELECT value FROM cells WHERE key = ?", (key,))
            row = found.fetchone()
            return None if row is None else json.loads(row[0])
        except (sqlite3.Error, ValueError) as error:
            self._give_up(error)
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value, at once."""
        if self._connection is None:
            return
        try:
            text = json.dumps(value, separators=(",", ":"))
            self._connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?)", (key, text))
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

    def _give_up(self, error: Exception) -> None:
        log.warning("%s: the cache is not used (%s)", self.path, error)
        self._connection = None

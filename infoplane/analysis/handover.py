"""Handover of shared data to workers, through files that each of them reads once.

The parent keeps every prepared state in a file named by its hash, and sends the address with the
work. A worker remembers what it read last; one that does not see the folder says so, and gets the
state itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import tempfile
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from infoplane.errors import WorkerError

_SMALL = 2048  # bytes; not worth a file
_REMEMBERED = 4  # states in a worker: of two estimators, those of the run and of a layer


class OutOfReachError(WorkerError):
    """What was handed over cannot be read."""


@dataclass(frozen=True)
class Address:
    """Where a state is, and the hash of its bytes."""

    path: str
    sha256: str


class Handover:
    """The side of the parent: a context, whose files last as long as something refers to them.

    Parameters
    ----------
    folder : Path, optional
        Where all workers see files; the folder for temporary files of this machine unless given.

    Attributes
    ----------
    in_full : bool
        Whether states are given as they are from now on, since a worker does not see the folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.in_full = False
        self._parent = folder
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._known: weakref.WeakValueDictionary[str, Address] = weakref.WeakValueDictionary()

    def __enter__(self) -> Handover:
        with contextlib.suppress(OSError):  # e.g. a folder that is read-only
            if self._parent is not None:
                self._parent.mkdir(parents=True, exist_ok=True)
            self._files = tempfile.TemporaryDirectory(prefix="infoplane-", dir=self._parent)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._files is not None:
            self._files.cleanup()

    def give(self, state: Any) -> Any:
        """Return the address of a state, or itself if it is small or cannot be kept."""
        if self._files is None or self.in_full:
            return state
        data = pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL)
        if len(data) < _SMALL:
            return state
        sha256 = hashlib.sha256(data).hexdigest()
        address = self._known.get(sha256)
        if address is None:
            path = Path(self._files.name) / sha256
            try:
                path.write_bytes(data)
            except OSError:
                return state
            address = self._known[sha256] = Address(str(path), sha256)
            weakref.finalize(address, path.unlink, missing_ok=True)
        return address


def taken(state: Any) -> Any:
    """Return the state at an address; anything else is a state itself.

    Raises
    ------
    OutOfReachError
        If the file is not seen here, or is another.
    """
    return _read(state.path, state.sha256) if isinstance(state, Address) else state


@lru_cache(maxsize=_REMEMBERED)
def _read(path: str, sha256: str) -> Any:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise OutOfReachError(f"{path}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:  # before anything is unpickled
        raise OutOfReachError(f"{path}: another file")
    return pickle.loads(data)  # noqa: S301  - the parent of this very analysis wrote it

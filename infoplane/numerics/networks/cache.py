"""Trained encoders on disk, by the hash of what they were trained on.

Plain arrays in the user's cache folder, ``$XDG_CACHE_HOME/infoplane/encoders`` or
``~/.cache/infoplane/encoders``: nothing is unpickled, an entry that cannot be read is none, and
writers replace entries whole. Deleting the folder costs nothing but time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from infoplane.data import Array

_KEPT = 64  # entries; the oldest go


def cache_folder() -> Path:
    """Return where encoders are kept; the folder need not exist."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    base = Path(told) if Path(told).is_absolute() else Path("~/.cache").expanduser()
    return base / "infoplane" / "encoders"


def read_encoder(content_hash: str) -> dict[str, Array] | None:
    """Return the arrays of an entry, or None if there is none that can be read."""
    try:
        # Opened here: NumPy leaves a damaged archive open.
        with (
            (cache_folder() / f"{content_hash}.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as entry,
        ):
            arrays = {name: entry[name] for name in entry.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        return None
    # A renamed file is another encoder.
    return arrays if str(arrays.pop("content_hash", "")) == content_hash else None


def write_encoder(content_hash: str, arrays: Mapping[str, Array]) -> None:
    """Keep the arrays of an entry; do nothing where the folder cannot be written."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                # The stub takes any keyword for ``allow_pickle``.
                np.savez(file, content_hash=np.array(content_hash), **arrays)  # type: ignore[arg-type]
            Path(name).replace(folder / f"{content_hash}.npz")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _drop_oldest(folder)


def _drop_oldest(folder: Path) -> None:
    entries = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    for path in entries[:-_KEPT]:
        path.unlink(missing_ok=True)

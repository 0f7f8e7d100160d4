"""Whose files are trusted with more than being data.

As git has it: files of this user and of root, and for root those of the user who called sudo. Where
the system has no user ids (Windows), all are. In a container with mapped ids, or on a share where
everything belongs to somebody else, ``INFOPLANE_TRUST`` names the folders to trust, or ``*``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

TRUST = "INFOPLANE_TRUST"


def stranger(path: Path, *statuses: os.stat_result) -> str | None:
    """Return, in words, who else a file or folder belongs to; None if it is trusted.

    A link counts as well as what it leads to. ``statuses`` are those of files that are open.

    Raises
    ------
    OSError
        If it cannot be seen.
    """
    owners = _trusted_owners()
    if owners is None or _is_named(path):
        return None
    for status in (path.lstat(), *(statuses or (path.stat(),))):
        if status.st_uid not in owners:
            return f"user {_name(status.st_uid)}"
    return None


def writers(path: Path) -> str | None:
    """Return, in words, who else may have written a file or folder; None if nobody.

    The group counts unless it is the user's own, which has the same number by custom.

    Raises
    ------
    OSError
        If it cannot be seen.
    """
    other = stranger(path)
    if other or _trusted_owners() is None or _is_named(path):
        return other and f"it belongs to {other}"
    status = path.stat()
    group = status.st_mode & stat.S_IWGRP and status.st_gid not in (0, status.st_uid)
    return "others may write to it" if group or status.st_mode & stat.S_IWOTH else None


def _trusted_owners() -> frozenset[int] | None:
    if not hasattr(os, "geteuid"):
        return None
    user, caller = os.geteuid(), os.environ.get("SUDO_UID", "")
    owners = {0, user}
    if user == 0 and caller.isdecimal() and len(caller) <= 10:
        owners.add(int(caller))
    return frozenset(owners)


def _is_named(path: Path) -> bool:
    """Tell whether a path lies in a folder that the environment trusts."""
    named = [name for name in os.environ.get(TRUST, "").split(os.pathsep) if name]
    place = path.absolute()
    return "*" in named or any(place.is_relative_to(Path(name).absolute()) for name in named)


def _name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)

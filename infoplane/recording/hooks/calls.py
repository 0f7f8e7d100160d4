"""Name what layers return in several calls of a forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from infoplane.errors import DataError
from infoplane.patterns import split_address, written
from infoplane.recording.hooks.outputs import Key


def call_names(keys: Iterable[Key]) -> dict[Key, str]:
    """Return a name for each layer and call: ``name#0``, ``name#1[0]``, ... of several calls.

    Raises
    ------
    DataError
        If two would have the same.
    """
    keys = list(keys)
    counts = Counter(name for name, _ in keys)
    names = {}
    for name, call in keys:
        names[name, call] = name
        if counts[name] > 1:
            base, address = split_address(name)
            names[name, call] = f"{base}#{call}{written(address)}"
    if len(set(names.values())) < len(names):
        twice = next(name for name, n in Counter(names.values()).items() if n > 1)
        raise DataError(
            f"two layers would have the name {twice!r}: a module of that name, and a call of "
            f"{twice.rpartition('#')[0]!r}",
            hint=f"leave one of them out: --layers '!{twice}'",
        )
    return names

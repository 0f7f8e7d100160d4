"""Which layers of results a pattern means, of each group of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from infoplane.layer_patterns import About, meant


class LayerNames:
    """The layers of groups of runs, with their types and roles.

    Parameters
    ----------
    recordings : iterable of (group, recording)
        The recordings of a results document.
    """

    def __init__(self, recordings: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self._of: dict[str, dict[str, About]] = defaultdict(dict)
        self._found: dict[tuple[str, str], set[str]] = {}
        for group, recording in recordings:
            for layer in recording["layers"]:
                about = About(layer.get("type") or "", layer.get("roles") or ())
                self._of[group].setdefault(layer["name"], about)

    def about(self, group: str, names: Iterable[str]) -> dict[str, About]:
        """Return what is known of layers of a group."""
        return {name: self._of[group].get(name, About()) for name in names}

    def means(self, pattern: str, group: str, layer: str) -> bool:
        """Tell whether a pattern means a layer of a group."""
        known = self._of[group]
        if layer not in known:  # a weight, or what a script has added
            return bool(meant(pattern, {layer: About()}))
        if (pattern, group) not in self._found:
            self._found[pattern, group] = {*meant(pattern, known)}
        return layer in self._found[pattern, group]

"""The quantities and flags of a results document, as it declares them or as the register does.

A document may come from another release, or hold the quantities of a plug-in that is not installed
here. What it says is taken as it is; what it does not say stands under its own name.
"""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from infoplane.errors import DataError, InputError
from infoplane.estimators.base import Estimator
from infoplane.estimators.flags import FLAGS, Flag
from infoplane.estimators.quantities import COLOUR, QUANTITIES, Quantity, contradiction
from infoplane.estimators.registry import estimator_class, estimator_names
from infoplane.text import printable, shortened

_LONGEST = 40  # characters of a symbol or unit


@dataclass(frozen=True)
class Vocabulary:
    """Quantities and flags by name, those of the register first."""

    quantities: Mapping[str, Quantity]
    flags: Mapping[str, Flag]

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> Vocabulary:
        """Return what the rows of a document can hold: the register, and what it says itself."""
        quantities, flags = dict(QUANTITIES), dict(FLAGS)
        told = results.get("quantities")
        for name, entry in told.items() if isinstance(told, Mapping) else ():
            quantities[name] = _quantity(name, entry)
        told = results.get("flags")
        for name, entry in told.items() if isinstance(told, Mapping) else ():
            flags.setdefault(name, _flag(name, entry))
        units = {row["quantity"]: row.get("unit") for row in results["rows"]}
        for name, unit in units.items():
            known = quantities.get(name) or _quantity(name, {"unit": unit})
            quantities[name] = replace(known, unit=_word(unit, known.unit))
        return cls(quantities, flags)

    @classmethod
    def declared(cls, estimators: Iterable[Estimator | type[Estimator]]) -> Vocabulary:
        """Return the register with what estimators declare.

        Raises
        ------
        DataError
            If two declare one name in different ways.
        """
        quantities, flags = dict(QUANTITIES), dict(FLAGS)
        for estimator in estimators:
            for quantity in estimator.quantities:
                known = quantities.setdefault(quantity.name, quantity)
                if difference := contradiction(quantity, known):
                    raise DataError(
                        f"estimator {estimator.name}: quantity {quantity.name}: {difference} in "
                        "another estimator",
                        hint="analyze them apart, or rename the quantity in one of the plug-ins",
                        code="IP112",
                    )
            for flag in estimator.flags:
                flags.setdefault(flag.name, flag)
        return cls(quantities, flags)

    def quantity(self, name: str) -> Quantity:
        """Return a quantity; an unknown one is written by its name."""
        return self.quantities.get(name) or _quantity(name, {})

    def check(self, name: str) -> None:
        """Refuse what is no quantity, with those that are called alike.

        Raises
        ------
        InputError
            With the names that are nearest.
        """
        if name not in self.quantities:
            near = difflib.get_close_matches(name, self.quantities, n=3, cutoff=0.5)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            some = ", ".join([*self.quantities][:8])
            raise InputError(
                f"expected a quantity, got {name!r:.60}{meant}",
                hint=f"{some} and {len(self.quantities) - 8} more: infoplane estimators",
            )

    def symbol(self, name: str) -> str:
        """Return how tables and figures write a quantity."""
        return self.quantity(name).symbol

    def order(self, name: str) -> int:
        """Return the place of a quantity in tables and figures."""
        names = list(self.quantities)
        return names.index(name) if name in self.quantities else len(names)

    def written(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the ``quantities`` and ``flags`` of a document that holds these rows.

        Flags of plug-ins are told even if none was raised: rules name them where all is well.
        """
        rows = list(rows)
        used = {row["quantity"] for row in rows}
        raised = {flag for row in rows for flag in row["flags"]}
        return {
            "quantities": {k: _entry(v) for k, v in self.quantities.items() if k in used},
            "flags": {k: _entry(v) for k, v in self.flags.items() if k in raised or k not in FLAGS},
        }


def installed_vocabulary() -> Vocabulary:
    """Return the register with what the plug-ins declare that can be loaded here.

    Of two that contradict each other the first is taken: each can be used without the other.
    """
    classes: list[type[Estimator]] = []
    known = Vocabulary.declared(classes)
    for name in estimator_names():
        with contextlib.suppress(InputError, DataError):
            known = Vocabulary.declared([*classes, found := estimator_class(name)])
            classes.append(found)
    return known


def contradictory(documents: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return how documents, by name, contradict one another about a quantity, or None."""
    known: dict[str, tuple[Quantity, str]] = {}
    for where, document in documents.items():
        told = document.get("quantities")
        own = {*(told if isinstance(told, Mapping) else ()), *_names(document)}
        for name, quantity in Vocabulary.of(document).quantities.items():
            if name not in own:
                continue  # the register knows it, the document does not speak of it
            other, first = known.setdefault(name, (quantity, where))
            if difference := contradiction(quantity, other):
                return f"{where}: quantity {printable(name)}: {difference} in {first}"
    return None


def _names(document: Mapping[str, Any]) -> set[str]:
    return {row["quantity"] for row in document["rows"]}


def _entry(declared: Quantity | Flag) -> dict[str, Any]:
    entry = asdict(declared)
    del entry["name"]
    return entry


def _quantity(name: str, entry: object) -> Quantity:
    """Return a quantity as a document tells it; what is unfit is as if it were not told."""
    told = entry if isinstance(entry, Mapping) else {}
    change, colour = told.get("smallest_change"), told.get("colour")
    family = told.get("family")
    usable = isinstance(change, (int, float)) and 0 < change < math.inf
    return Quantity(
        name,
        symbol=_word(told.get("symbol"), name),
        unit=_word(told.get("unit"), "unknown unit"),
        family=family if isinstance(family, str) else None,
        smallest_change=float(change) if usable and change is not None else None,
        falls=_word(told.get("falls"), "falls"),
        colour=colour if isinstance(colour, str) and COLOUR.fullmatch(colour) else "#5A5A5A",
        verdict=told.get("verdict", True) is not False,
    )


def _flag(name: str, entry: object) -> Flag:
    told = entry if isinstance(entry, Mapping) else {}
    code = told.get("code")
    return Flag(
        name,
        code if isinstance(code, str) else None,
        _word(told.get("meaning"), name, 400),
        _word(told.get("remedy"), "see the plug-in that gave it", 400),
    )


def _word(text: object, otherwise: str, longest: int = _LONGEST) -> str:
    """Return a text of a document, in one line that can be printed anywhere."""
    found = text if isinstance(text, str) and text.strip() else otherwise
    return shortened(printable(found), longest)

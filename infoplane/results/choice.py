"""Which estimator is shown where none is named: the one that says most.

That is the one with the fewest layers that say nothing: at a ceiling, without a value at most
checkpoints, or with flags that withhold the verdict. Among those with as many: one that gives a
bracket, and the narrowest. Brackets narrower than the smallest change that counts are alike; the
first in the document is taken, which of several resolutions is the finest.

Estimators that say nothing of any layer are not drawn beside it, and one sentence tells of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infoplane.estimators.trust import WIDE_BRACKET
from infoplane.results.curves import CurveKey, Curves
from infoplane.results.names import names_of_estimators
from infoplane.results.phases import withheld_reason

SIZES = ("ixt", "dse")
"""What tells the size of a layer, the first that there is where one quantity is shown."""

_CEILINGS = {
    "log2_n": "log₂ N",
    "log2_bins": "log₂ of their bins",
    "log2_k": "log₂ k",
    "capacity": "their capacity",
}
_ALIKE = 0.25  # bits: narrower brackets say the same


@dataclass(frozen=True)
class Choice:
    """The estimator that is shown, and what is said of it and of those that are not."""

    estimator: str
    status: str
    """What is said of the one that is shown, e.g. ``no layer saturated``."""
    folded: Mapping[str, str]
    """Those that are not drawn, by id, each with what is said of it."""
    names: Mapping[str, str]
    says_nothing: bool = False
    """Whether all its layers are at a ceiling, as nothing says more."""

    @property
    def sentence(self) -> str:
        """The whole of it in one sentence, without an end."""
        shown = f"shown: {self.names[self.estimator]} ({self.status})"
        return "; ".join([shown, *self.folded.values()])


@dataclass(eq=False)
class _Told:
    """What an estimator tells of the layers of a group."""

    asked: dict[str, list[Curves]] = field(default_factory=lambda: defaultdict(list))  # by layer
    quantities: set[str] = field(default_factory=set)
    ceilings: dict[str, str] = field(default_factory=dict)  # of layers that are at one

    @property
    def everywhere(self) -> bool:
        """Whether all layers are at a ceiling."""
        return len(self.ceilings) == len(self.asked) > 0

    @property
    def silent(self) -> int:
        """Layers that say nothing: at a ceiling, mostly without a value, or not to be trusted."""
        return sum(
            layer in self.ceilings
            or np.mean([np.isfinite(c.values).mean() for c in found]) < 0.5
            or all(withheld_reason(c) is not None for c in found)
            for layer, found in self.asked.items()
        )

    @property
    def gaps(self) -> Any:
        """Widths of all brackets (n,), in bits."""
        every = [c.bracket_high - c.bracket_low for found in self.asked.values() for c in found]
        gaps = np.concatenate([np.ravel(gap) for gap in every])
        return gaps[np.isfinite(gaps)]

    @property
    def width(self) -> float:
        """The middle width of its brackets, infinite without any."""
        return float(np.median(self.gaps)) if self.gaps.size else math.inf


def best_estimator(
    results: Mapping[str, Any],
    curves: Mapping[CurveKey, Curves],
    group: str,
    *quantities: str,
    among: Iterable[str] | None = None,
) -> Choice | None:
    """Return the estimator that says most about all of these quantities, None where none does.

    Parameters
    ----------
    results : mapping
        A results document, for the order and the names of estimators.
    curves : mapping
        Its curves, see `infoplane.results.curves.curves`.
    group : str
        Group of runs.
    *quantities : str
        What the estimator must have.
    among : iterable of str, optional
        Ids to choose from; all by default.
    """
    told = _told(curves, group, quantities)
    able = [e for e, found in told.items() if found.quantities.issuperset(quantities)]
    if among is not None:
        able = [e for e in able if e in set(among)]
    if not able:
        return None
    order = {entry["id"]: i for i, entry in enumerate(results["estimators"])}

    def rank(estimator: str) -> tuple[float, ...]:
        found = told[estimator]
        wide = float((found.gaps > WIDE_BRACKET).mean()) if found.gaps.size else 0.0
        return (
            found.silent,
            found.width == math.inf,
            round(wide, 2),
            max(found.width, _ALIKE),
            order.get(estimator, len(order)),
        )

    chosen = min(able, key=lambda e: (rank(e), e))
    aside = [e for e, found in told.items() if found.everywhere and e != chosen]
    aside = sorted(aside, key=lambda e: (order.get(e, len(order)), e))
    names = names_of_estimators(results, told)
    folded = {}
    if not told[chosen].everywhere:
        folded = {e: f"{names[e]}: {_at_ceiling(told[e])}, not drawn" for e in aside}
    return Choice(chosen, _status(told[chosen]), folded, names, told[chosen].everywhere)


def silent_estimators(
    results: Mapping[str, Any], curves: Mapping[CurveKey, Curves], group: str, *quantities: str
) -> dict[str, str]:
    """Return the estimators of which every layer is at a ceiling, by id, with a text that says so.

    None, where no other estimator has one of the quantities.
    """
    for quantity in quantities:
        choice = best_estimator(results, curves, group, quantity)
        if choice is not None and choice.folded:
            return dict(choice.folded)
    return {}


def _told(
    curves: Mapping[CurveKey, Curves], group: str, quantities: tuple[str, ...]
) -> dict[str, _Told]:
    """Return what the estimators tell that have one of the quantities or the size of layers."""
    told: dict[str, _Told] = defaultdict(_Told)
    for (of, layer, estimator, quantity), curve in curves.items():
        if of != group or not curve.says_something:
            continue
        if quantity in quantities or quantity in SIZES:
            found = told[estimator]
            found.asked[layer].append(curve)
            found.quantities.add(quantity)
            if curve.is_saturated and curve.bound_name != "h_y":  # knowing the label is no fault
                found.ceilings[layer] = curve.bound_name
    return told


def _at_ceiling(found: _Told) -> str:
    """Say at what all layers are."""
    n = len(found.asked)
    layers = "the layer" if n == 1 else f"all {n} layers"
    names = dict.fromkeys(_CEILINGS.get(name, "their ceiling") for name in found.ceilings.values())
    if n == 1:
        return f"{layers} at {next(iter(names)).replace('their', 'its')}"
    return f"{layers} at {' or '.join(names)}"


def _status(found: _Told) -> str:
    """Say what the one that is shown is worth."""
    n, at_ceiling = len(found.asked), len(found.ceilings)
    parts = ["no layer saturated"]
    if at_ceiling:
        parts = [
            _at_ceiling(found) if found.everywhere else f"{at_ceiling} of {n} layers saturated"
        ]
    if (gaps := found.gaps).size:
        widest = math.ceil(100 * float(gaps.max()) - 1e-9) / 100
        parts.append(f"brackets at most {widest:.2f} bits wide")
    every = [c for curves in found.asked.values() for c in curves]
    alone = sum(int((np.isfinite(c.bracket_low) & ~np.isfinite(c.values)).sum()) for c in every)
    if alone:
        cells = sum(int((np.isfinite(c.bracket_low) | np.isfinite(c.values)).sum()) for c in every)
        parts.append(f"bounds alone in {alone:,} of {cells:,} values")
    return ", ".join(parts)

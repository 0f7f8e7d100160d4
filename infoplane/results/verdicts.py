"""Verdicts on curves, and what several of them say together.

The verdict on a curve (`infoplane.results.phases`) follows from the movements that are certain and
reach the smallest change:

=============  ==================================================================================
compresses     it falls, by more than what it does in the first segment alone, and does not rise
               again
expands        it rises, and does not fall
first_step     it falls from the first checkpoint to the second, and not after
mixed          it rises again after a fall: the sentence tells the sequence
no_change      no segment can be more than the smallest change
inconclusive   none of these, or the verdict is withheld
saturated      the last value, or more than half of them, is at its ceiling
=============  ==================================================================================

The words are those of I(X;T); a quantity has its own word for a fall (I(T;Y) "falls").
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import QUANTITIES
from infoplane.results.curves import CurveKey

VERDICTS = (
    "compresses", "no_change", "expands", "inconclusive", "saturated", "mixed", "first_step",
)  # fmt: skip
"""The verdicts on a curve, by the words for I(X;T)."""

DOUBTS = (
    "wide_bracket", "finite_population", "degenerate_manifold", "large_compression_loss",
)  # fmt: skip
"""Flags that withhold the verdict from a curve if more than half of its cells carry one."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One verdict, on one curve: an entry of ``phases`` of the results document.

    Values are in the unit of the quantity. What an older document does not say has its default.
    """

    group: str
    layer: str
    estimator: str
    quantity: str
    unit: str = "bits"
    family: str | None = None  # of the quantity
    n_runs: int = 1
    onset_step: int | None = None  # last step of the plateau around the peak
    onset_low: int | None = None
    onset_high: int | None = None
    first: float | None = None
    peak: float | None = None  # on other data than it was chosen on
    last: float | None = None
    change: float | None = None  # last - peak
    change_low: float | None = None
    change_high: float | None = None
    verdict: str = "inconclusive"
    interval: str = "none"  # where it comes from: runs, jitter, cells or none
    score: float | None = None  # change as a share of the peak; positive: compresses
    tolerance: float = 0.25  # smallest change that counts
    agree: int = 0  # estimators that share the verdict,
    of: int = 0  # of those that are not saturated
    segments: Sequence[Mapping[str, Any]] = ()  # members of `infoplane.results.segments.Segment`
    sentence: str = ""  # what happened, in words
    rise: float | None = None  # last - first
    rise_low: float | None = None
    rise_high: float | None = None
    shape: float | None = None  # the parts of the rise, of I(X;T) at fixed noise
    scale: float | None = None
    about: str = "runs"  # what the verdict is about: these runs, or the network
    withheld: str | None = None  # why there is no verdict
    stages: Sequence[Mapping[str, Any]] = ()  # of a rank, see `infoplane.results.stages`

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Phase:
        """Return an entry of ``phases``; members that are not known here are left out."""
        known = {name: entry[name] for name in cls.__dataclass_fields__ if name in entry}
        told = known.get("segments", ())
        usable = isinstance(told, Sequence) and all(
            isinstance(s, Mapping) and s.keys() >= {"from_step", "to_step", "change", "direction"}
            for s in told
        )
        return cls(**{**known, "segments": told if usable else ()})

    @property
    def key(self) -> CurveKey:
        """The key of its curve."""
        return self.group, self.layer, self.estimator, self.quantity

    @property
    def turns(self) -> list[tuple[int, float]]:
        """Step and value where the curve changes its direction."""
        if self.first is None:
            return []
        values = np.cumsum([self.first, *(float(s["change"]) for s in self.segments)])[1:-1]
        ends = zip(self.segments, self.segments[1:], values, strict=False)
        return [
            (int(one["to_step"]), float(value))
            for i, (one, other, value) in enumerate(ends)
            if one["direction"] != other["direction"] and (i or one["direction"] != "flat")
        ]

    @property
    def saturated(self) -> bool:
        """Whether the curve is at the ceiling of its estimator."""
        return self.verdict == "saturated"

    @property
    def voters(self) -> str:
        """What is counted together with it: the family of its quantity, or the quantity alone."""
        known = QUANTITIES.get(self.quantity)
        return str(self.family or (known and known.family) or f"{self.quantity} alone")


@dataclass(frozen=True)
class LayerVerdict:
    """What the estimators say together about the size of a layer (I(X;T) and DSE)."""

    verdict: str
    agree: int
    of: int


def layer_verdicts(
    phases: Iterable[Mapping[str, Any] | Phase],
) -> dict[tuple[str, str], LayerVerdict]:
    """Return the joint verdict per group and layer, over I(X;T) and DSE of all estimators.

    It is the verdict of more than half of the estimators that are not saturated, and of at least
    two where there are two; else ``inconclusive``, and ``agree`` counts the largest party that
    came to a conclusion. Layers that are saturated in every estimator are ``saturated``.
    """
    cells: dict[tuple[str, str], list[Phase]] = defaultdict(list)
    for entry in phases:
        phase = entry if isinstance(entry, Phase) else Phase.of_entry(entry)
        if phase.voters == "size":
            cells[phase.group, phase.layer].append(phase)
    verdicts = {}
    for key, same in cells.items():
        counted = votes(same)
        if not counted:
            verdicts[key] = LayerVerdict("saturated", 0, 0)
            continue
        total = counted.total()
        del counted["inconclusive"]
        verdict, agree = max(counted.items(), key=lambda vote: vote[1], default=("inconclusive", 0))
        if agree < min(2, total) or 2 * agree <= total:
            verdict = "inconclusive"
        verdicts[key] = LayerVerdict(verdict, agree, total)
    return verdicts


def family_of(phase: Mapping[str, Any]) -> str:
    """Return what is counted together with a phase: its family, or its quantity alone."""
    return Phase.of_entry(phase).voters


def votes(phases: Iterable[Phase]) -> Counter[str]:
    """Count estimators per verdict; settings that disagree make their estimator inconclusive."""
    by_name: dict[str, set[str]] = defaultdict(set)
    for phase in phases:
        if not phase.saturated:
            by_name[MeasureId.read(phase.estimator).name].add(phase.verdict)
    return Counter(v.pop() if len(v) == 1 else "inconclusive" for v in by_name.values())

"""An estimate: the number, its interval, its bounds, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from infoplane.data import Slot, Subject, plain
from infoplane.numerics.intervals import IntervalMethod

BoundName: TypeAlias = Literal[
    "log2_n", "log2_bins", "h_y", "log2_k", "log2_n_c", "capacity", "bracket", "none"
]


@dataclass(frozen=True)
class Estimate:
    """An estimated quantity, its interval, its bounds and what to know before trusting it.

    ``bits`` is never clipped or rounded; ``None`` means that no number can be given, and a flag
    says why. ``low`` and ``high`` are an interval of kind ``method``: sampling uncertainty at
    ``level``, or for ``bracket`` bounds between which the quantity lies. Two values are only
    averaged, drawn as one curve or compared if their ``setting`` is the same.

    Examples
    --------
    >>> estimate = Estimate(2.9, low=2.7, high=3.1, method="jackknife", level=0.95, bound_high=12.0)
    >>> estimate.bits
    2.9
    >>> Estimate(None, flags=("failed",), diagnostics={"reason": "one class"}).bits is None
    True
    """

    bits: float | None
    low: float | None = None
    high: float | None = None
    method: IntervalMethod = "none"
    level: float | None = None
    bound_low: float | None = None
    bound_high: float | None = None
    bound_name: BoundName = "none"
    n: int | None = None  # samples used, if not all of them
    flags: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    setting: str | None = None  # what it depends on beyond the estimator's id, e.g. "c=0.25"

    @property
    def bounds_alone(self) -> bool:
        """Whether two bounds stand for a value that the sample cannot give."""
        return self.bits is None and self.bound_name == "bracket"


@dataclass(frozen=True)
class Measurement:
    """The estimates of one cell; ``error`` says why there are none."""

    run: str
    step: int
    layer: Slot  # or weight; the first one of several
    estimator: str
    estimates: Mapping[str, Estimate]  # by quantity, as Estimator.estimate returns them
    seconds: float  # CPU time
    error: str | None = None
    cached: bool = False
    repeatable: bool = True  # the same data would give the same again, an error included
    subject: Subject | None = None  # what it is about, if that is not the layer

    @property
    def label(self) -> str:
        """Name of the layer, or the text of another subject."""
        return self.layer.name if self.subject is None else str(self.subject)

    def content(self) -> dict[str, Any]:
        """Return what was measured, without the name of the cell, as plain JSON values."""
        estimates = {key: _told(found) for key, found in self.estimates.items()}
        return {"estimates": estimates, "seconds": self.seconds, "error": self.error}

    @classmethod
    def restored(
        cls,
        run: str,
        step: int,
        layer: Slot,
        estimator: str,
        content: Mapping[str, Any],
        subject: Subject | None = None,
    ) -> Measurement:
        """Return the measurement of a cell from its ``content``."""
        estimates = {
            key: Estimate(**found | {"flags": tuple(found.get("flags", ()))})
            for key, found in content["estimates"].items()
        }
        seconds, error = content["seconds"], content["error"]
        return cls(
            run, step, layer, estimator, estimates, seconds, error, cached=True, subject=subject
        )


_UNTOLD = {name: value for name, value in asdict(Estimate(None)).items() if name != "bits"}


def _told(estimate: Estimate) -> dict[str, Any]:
    """Return the value of an estimate and what is not at its default, as plain JSON values."""
    fields = vars(estimate).items()
    return {name: plain(told) for name, told in fields if name == "bits" or told != _UNTOLD[name]}

"""Findings: an estimate compared with the truth; right, wrong with a flag, or wrong without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from infoplane.estimators.estimate import Estimate

Status: TypeAlias = Literal["PASS", "KNOWN-LIMIT", "SILENT-FAIL", "ERROR"]

TOLERANCE_BITS = 0.05
TOLERANCE_SHARE = 0.1
NO_WARNING = frozenset({"subsampled"})
"""Flags that say nothing about the value."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Finding:
    """One estimate beside the truth.

    Parameters
    ----------
    estimator, case, quantity : str
        What was estimated on what.
    truth : float or None
        In bits, ``inf`` where nothing finite is right; of a self-consistency test, what follows
        from the estimator's own value of the unchanged data. None if there is no estimate.
    estimate, low, high : float or None
        The value and its interval.
    allowed : float
        The error that passes.
    covers : bool or None
        Whether the interval holds the truth; None without an interval.
    flags : tuple of str
        What the estimator said of the value.
    status : str
        ``PASS``: within ``allowed``, or the interval holds the truth. ``KNOWN-LIMIT``: wrong, and
        a flag says so, or refused with a reason. ``SILENT-FAIL``: wrong without a flag, or outside
        the bounds of the quantity. ``ERROR``: no number and no reason.
    message : str
        What went wrong, if something did.
    seconds : float
        CPU time.
    verdict : str or None
        What the estimator itself says of the value, e.g. ``reliable``, if it has such a word.
    """

    estimator: str
    case: str
    quantity: str
    truth: float | None
    estimate: float | None
    low: float | None
    high: float | None
    allowed: float
    covers: bool | None
    flags: tuple[str, ...]
    status: Status
    message: str = ""
    seconds: float = 0.0
    verdict: str | None = None

    @property
    def error(self) -> float | None:
        """Estimate minus truth; None where one is missing or infinite."""
        if self.truth is None or self.estimate is None or math.isinf(self.truth):
            return None
        return self.estimate - self.truth

    @property
    def warned(self) -> bool:
        """Whether a flag says that the value may be wrong."""
        return bool(set(self.flags) - NO_WARNING)

    def as_row(self) -> dict[str, Any]:
        """Return the finding for JSON, which has no infinity: an infinite truth is a string."""
        row = asdict(self) | {"error": self.error}
        if self.truth is not None and math.isinf(self.truth):
            row["truth"] = "inf"
        return row


def allowed_error(truth: float) -> float:
    """Return the error that passes: 10 % of the truth, at least 0.05 bits."""
    share = 0.0 if math.isinf(truth) else TOLERANCE_SHARE * abs(truth)
    return max(share, TOLERANCE_BITS)


def judged(
    name: tuple[str, str, str],
    truth: float,
    estimate: Estimate,
    *,
    allowed: float | None = None,
    one_sided: bool = False,
    seconds: float = 0.0,
) -> Finding:
    """Return an estimate beside the truth with its status.

    Parameters
    ----------
    name : tuple of str
        Estimator, case and quantity.
    truth : float
        In bits; with ``one_sided`` the estimate may be below it.
    estimate : Estimate
        What the estimator says.
    allowed : float, optional
        The error that passes; ``allowed_error`` of the truth unless given.
    one_sided : bool, default False
        Whether only an excess is wrong.
    seconds : float, default 0
        CPU time.
    """
    if estimate.bits is None:
        return refused(name, estimate, seconds)
    bits, low, high = estimate.bits, estimate.low, estimate.high
    allowed = allowed_error(truth) if allowed is None else allowed
    covers = None
    if low is not None and high is not None and not math.isinf(truth):
        covers = low - _ROUNDING <= truth <= high + _ROUNDING
    warned = bool(set(estimate.flags) - NO_WARNING)
    excess = bits - truth
    right = bool(covers) or (excess if one_sided else abs(excess)) <= allowed + _ROUNDING
    outside = _outside(estimate)
    status: Status = "PASS"
    if not math.isfinite(bits):
        status, outside = "ERROR", f"expected a finite number or none, got {bits}"
    elif not right or outside:
        status = "KNOWN-LIMIT" if warned else "SILENT-FAIL"
    return Finding(
        *name, truth, bits, low, high, allowed, covers, estimate.flags, status, outside, seconds,
        estimate.diagnostics.get("verdict"),
    )  # fmt: skip


def refused(name: tuple[str, str, str], estimate: Estimate, seconds: float = 0.0) -> Finding:
    """Return the finding of an estimate without a value: fine with a reason, else an error."""
    said = bool(set(estimate.flags) - NO_WARNING)
    reason = str(estimate.diagnostics.get("reason", "no value"))
    status: Status = "KNOWN-LIMIT" if said else "ERROR"
    return Finding(
        *name, None, None, None, None, 0.0, None, estimate.flags, status, reason, seconds
    )


def broken(name: tuple[str, str, str], error: Exception) -> Finding:
    """Return the finding of an estimator that raised what it should not."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Finding(*name, None, None, None, None, 0.0, None, (), "ERROR", text)


def _outside(estimate: Estimate) -> str:
    """Return what is wrong with an estimate beside its own bounds, or nothing."""
    bits, low, high = estimate.bits, estimate.bound_low, estimate.bound_high
    assert bits is not None
    slack = allowed_error(bits)
    if low is not None and bits < low - slack:
        return f"below its bound {low:.3f}"
    if high is not None and bits > high + slack:
        return f"above its bound {high:.3f}"
    return ""


def summary(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """Return counts by status, errors and coverage of each estimator."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.estimator, []).append(finding)
    result: dict[str, dict[str, Any]] = {}
    for name, group in by_name.items():
        counts = Counter(finding.status for finding in group)
        errors = sorted(abs(f.error) for f in group if f.error is not None)
        covered = [f.covers for f in group if f.covers is not None]
        result[name] = {
            "findings": len(group),
            "pass": counts["PASS"],
            "known_limit": counts["KNOWN-LIMIT"],
            "silent_fail": counts["SILENT-FAIL"],
            "error": counts["ERROR"],
            "median_abs_error": errors[len(errors) // 2] if errors else None,
            "intervals": len(covered),
            "covering": sum(covered),
            "flagged_though_right": sum(f.warned for f in group if f.status == "PASS"),
        }
    return result

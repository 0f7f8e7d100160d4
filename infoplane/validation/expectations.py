"""Bias, spread and coverage of an estimator, from many draws of one problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from infoplane.validation.findings import Finding, Status, allowed_error


@dataclass(frozen=True)
class Expectation:
    """What to expect of an estimator on a problem.

    Parameters
    ----------
    estimator, problem, quantity : str
        What was estimated, and on what: a layer or a case.
    units, n : int
        Shape of the layer.
    truth, mean, bias, spread : float or None
        Mean over the draws of truth, estimate and their difference, and standard deviation of the
        estimates, in bits; None if no draw gave a number.
    draws, intervals : int
        Draws, and those that have an interval.
    covering, covering_mean : int
        Intervals that hold the truth, and those that hold what is to be expected of the estimate:
        the truth plus the bias, or the mean where estimates do not follow the truth of the draw.
        An interval of sampling error promises the latter alone.
    flagged : int
        Draws with a flag that warns.
    flags : tuple of str
        Flags of any draw.
    status : str
        As of a finding; SILENT-FAIL if most draws are wrong without a flag.
    seconds : float
        CPU time of one estimate.
    """

    estimator: str
    problem: str
    quantity: str
    units: int
    n: int
    truth: float | None
    mean: float | None
    bias: float | None
    spread: float | None
    draws: int
    intervals: int
    covering: int
    covering_mean: int
    flagged: int
    flags: tuple[str, ...]
    status: Status
    seconds: float

    def as_row(self, kind: Literal["layer", "case"]) -> dict[str, Any]:
        """Return the expectation as it is written to JSON, the problem under its kind."""
        row = asdict(self)
        return {"estimator": row.pop("estimator"), kind: row.pop("problem"), **row}


def pooled(findings: Sequence[Finding], units: int, n: int) -> Expectation:
    """Return what findings on draws of one problem have in common; at least one finding.

    Parameters
    ----------
    findings : sequence of Finding
        Of one estimator and quantity.
    units, n : int
        Shape of the layer.
    """
    errors = [f.error for f in findings if f.error is not None]
    values = [f.estimate for f in findings if f.estimate is not None]
    truths = [f.truth for f in findings if f.truth is not None]
    truth = float(np.mean(truths)) if truths else None
    bias = float(np.mean(errors)) if errors else None
    statuses = Counter(f.status for f in findings)
    status: Status = statuses.most_common(1)[0][0]
    if statuses["ERROR"]:
        status = "ERROR"
    elif status == "SILENT-FAIL" and truth is not None and bias is not None:
        # Draws that miss to both sides are spread, not bias: the table shows it as such.
        status = "SILENT-FAIL" if abs(bias) > allowed_error(truth) else "PASS"
    aimed = [
        f.low <= aim <= f.high
        for f, aim in zip(findings, _expected(findings), strict=True)
        if f.low is not None and f.high is not None and aim is not None
    ]
    return Expectation(
        estimator=findings[0].estimator,
        problem=findings[0].case,
        quantity=findings[0].quantity,
        units=units,
        n=n,
        truth=truth,
        mean=float(np.mean(values)) if values else None,
        bias=bias,
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        draws=len(findings),
        intervals=len(aimed),
        covering=sum(bool(f.covers) for f in findings),
        covering_mean=sum(aimed),
        flagged=sum(f.warned for f in findings),
        flags=tuple(dict.fromkeys(flag for f in findings for flag in f.flags)),
        status=status,
        seconds=float(np.mean([f.seconds for f in findings])),
    )


def _expected(findings: Sequence[Finding]) -> list[float | None]:
    """Return what to expect of each estimate; None without a truth."""
    known = [f for f in findings if f.error is not None and f.estimate is not None]
    errors, values = ([getattr(f, name) for f in known] for name in ("error", "estimate"))
    follows = bool(known) and np.std(errors) <= np.std(values) * (1 + 1e-9)
    return [
        None
        if f.truth is None or not known
        else f.truth + float(np.mean(errors))
        if follows
        else float(np.mean(values))
        for f in findings
    ]

"""What was measured of the training itself: the last value of each quantity, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from infoplane.cli.output import printable
from infoplane.cli.table_columns import Column, render
from infoplane.estimators.quantities import TRAINING
from infoplane.results.curves import CurveKey, Curves


def training_table(drawn: Mapping[CurveKey, Curves], group: str, limit: int | None) -> list[str]:
    """Return the lines of the table, a row per quantity and estimator; none without such."""
    found = [
        (curve, at)
        for key, curve in drawn.items()
        if key[0] == group and key[3] in TRAINING
        if (at := np.flatnonzero(np.isfinite(curve.mean()))).size
    ]
    if not found:
        return []
    found.sort(key=lambda item: TRAINING.index(item[0].quantity))
    layers = {curve.layer for curve, _ in found}
    several = len({(curve.estimator, curve.quantity) for curve, _ in found}) > len(
        {curve.quantity for curve, _ in found}
    )
    spans = [_interval(curve, int(at[-1])) for curve, at in found]
    bounds = any(span.startswith("[") for span in spans)
    columns = [
        Column("training", [printable(curve.declared.symbol) for curve, _ in found]),
        Column("last", [_number(float(curve.mean()[at[-1]])) for curve, at in found], right=True),
        Column("95% CI" + " [or bounds]" * bounds, spans, right=True),
        Column("unit", [printable(curve.declared.unit) for curve, _ in found]),
        Column("step", [f"{curve.steps[at[-1]]:,}" for curve, at in found], right=True, drop=1),
        Column("flags", [_flags(curve, int(at[-1])) for curve, at in found]),
    ]
    if layers != {"run"}:
        of = ["" if curve.layer == "run" else printable(curve.layer) for curve, _ in found]
        columns.insert(1, Column("layer", of, names=True))
    if several:
        by = [printable(curve.estimator) for curve, _ in found]
        columns.insert(1, Column("by", by, names=True))
    return ["", *render(columns, limit=limit)]


def _interval(curve: Curves, at: int) -> str:
    """Return an interval, or bounds in brackets; empty without."""
    found = interval = curve.interval()
    if interval is None:
        found = curve.bracket()
    ends = [math.nan] if found is None else [float(end[at]) for end in found]
    if not np.isfinite(ends).all():
        return ""
    text = " .. ".join(map(_number, ends))
    return f"[{text}]" if interval is None else text


def _flags(curve: Curves, at: int) -> str:
    return ", ".join(flag for flag, raised in curve.flags.items() if raised[:, at].any())


def _number(value: float) -> str:
    """Return a number to four digits; no exponent where six digits tell it."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

"""What a network predicts: a row per measure of its outputs, first and last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from infoplane.cli.output import bars, printable
from infoplane.cli.table_columns import Column, render
from infoplane.estimators.quantities import OUTPUT
from infoplane.results.choice import best_estimator
from infoplane.results.curves import CurveKey, Curves, mean_over_runs
from infoplane.text import in_lines, spark

_PLACES = 3


def output_table(
    results: Mapping[str, object], drawn: Mapping[CurveKey, Curves], group: str, limit: int | None
) -> list[str]:
    """Return the lines of the table; none without measures of outputs."""
    found: list[Curves] = []
    for about in OUTPUT:
        choice = best_estimator(results, drawn, group, about.name)
        found += [
            curve
            for (of, _, estimator, quantity), curve in drawn.items()
            if choice is not None
            and (of, estimator, quantity) == (group, choice.estimator, about.name)
            and curve.says_something
        ]
    if not found:
        return []
    layers = list(dict.fromkeys(curve.layer for curve in found))
    titles = [_titled(curve) + (f", {curve.layer}" if layers[1:] else "") for curve in found]
    columns = [
        Column(f"outputs of {', '.join(layers)}", list(map(printable, titles)), names=True),
        Column("curve", [_spark(curve) for curve in found], drop=3),
        Column("first", [_at(curve, 0) for curve in found], right=True),
        Column("last", [_at(curve, -1) for curve in found], right=True),
        Column("95% CI", [_interval(curve) for curve in found], drop=1),
        Column("of at most", [_number(curve.bound) for curve in found], right=True, drop=2),
        Column("flags", [_flags(curve) for curve in found], drop=4),
    ]
    if not any(columns[-1].cells):
        columns.pop()
    caption = "first and last checkpoint; Ŷ is drawn from the soft-max"
    if any(curve.quantity == "ity_bound" for curve in found):
        caption += (
            "; H(Y) − CE is a lower bound of I(T;Y) of every layer if the samples were not trained "
            "on; in brackets the ECE that chance makes of right confidences"
        )
    return ["", *render(columns, limit=limit), *in_lines(caption, limit or 100)]


def _titled(curve: Curves) -> str:
    about = curve.declared
    return about.symbol if about.unit == "bits" else f"{about.symbol}, {about.unit}"


def _spark(curve: Curves) -> str:
    mean = curve.mean()
    finite = mean[np.isfinite(mean)]
    top = float(finite.max(initial=0.0))
    return spark(finite.tolist(), top or 1.0, bars())


def _at(curve: Curves, end: int) -> str:
    """Return the first or the last value, with what chance reads of it."""
    mean = curve.mean()
    there = np.flatnonzero(np.isfinite(mean))
    if not len(there):
        return ""
    null = mean_over_runs(curve.null)[there[end]] if curve.quantity == "ece" else np.nan
    text = _number(float(mean[there[end]]))
    return text if np.isnan(null) else f"{text} ({_number(float(null))})"


def _interval(curve: Curves) -> str:
    spread = curve.interval()
    if spread is None or not np.isfinite(spread[0][-1]):
        return ""
    return f"{_number(float(spread[0][-1]))} .. {_number(float(spread[1][-1]))}"


def _flags(curve: Curves) -> str:
    return " ".join(name for name, raised in curve.flags.items() if raised[:, -1].any())


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if 0 < abs(value) < 0.5 * 10.0**-_PLACES else f"{value:.{_PLACES}f}"

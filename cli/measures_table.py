"""The measures of a representation side by side, at the last checkpoint, beside their nulls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from infoplane.cli.output import printable
from infoplane.cli.table_columns import Column, render
from infoplane.estimators.quantities import REPRESENTATION
from infoplane.results.choice import best_estimator
from infoplane.results.curves import CurveKey, Curves, mean_over_runs
from infoplane.text import in_lines

_FIRST = (
    "effective_rank", "alpha_req", "nc1", "label_alignment", "probe", "intrinsic_dimension",
    "rankme", "vne_centred", "cdnv", "nc2_equiangle", "nc2_equinorm", "knn", "probe_r2",
)  # fmt: skip
"""The order in which measures stay where there is no room for all; others go before these."""


def measures_table(
    results: Mapping[str, object], drawn: Mapping[CurveKey, Curves], group: str, limit: int | None
) -> list[str]:
    """Return the lines of the table; none with fewer than two of these measures."""
    by_quantity: dict[str, dict[str, Curves]] = {}
    for quantity in REPRESENTATION:
        choice = best_estimator(results, drawn, group, quantity)
        if choice is not None:
            by_quantity[quantity] = {
                key[1]: curve
                for key, curve in drawn.items()
                if (key[0], key[2], key[3]) == (group, choice.estimator, quantity)
            }
    if len(by_quantity) < 2:
        return []
    ranked = [*_FIRST, *(name for name in by_quantity if name not in _FIRST)]
    layers = sorted(
        {
            layer: c.layer_index for found in by_quantity.values() for layer, c in found.items()
        }.items(),
        key=lambda item: item[1],
    )
    columns = [Column("layer", [printable(layer) for layer, _ in layers])]
    for quantity in sorted(by_quantity, key=ranked.index):
        found = by_quantity[quantity]
        cells = [_beside_null(found[layer]) if layer in found else "" for layer, _ in layers]
        symbol = next(iter(found.values())).declared.symbol
        drop = ranked.index(quantity)
        columns.append(Column(printable(symbol), cells, right=True, drop=drop))
    caption = (
        "last checkpoint; in brackets the null: what independent units of this shape, or shuffled "
        "labels, read; ~ within it"
    )
    return ["", *render(columns, limit=limit), *in_lines(caption, limit or 100)]


def _beside_null(curve: Curves) -> str:
    """Return the last value that there is, its null in brackets, and whether it is within it."""
    mean, null = curve.mean(), mean_over_runs(curve.null)
    there = np.flatnonzero(np.isfinite(mean))
    if not len(there):
        return ""
    last = there[-1]
    within = curve.flags.get("within_null")
    mark = "~" if within is not None and within[:, last].mean() > 0.5 else ""
    text = f"{mark}{_number(mean[last])}"
    return text if np.isnan(null[last]) else f"{text} ({_number(null[last])})"


def _number(value: float) -> str:
    """Return three digits, without an exponent where that is as short."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.3g}"

"""Measures of layers, and of weights, side by side at the last checkpoint, beside their nulls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from infoplane.cli.output import printable
from infoplane.cli.table_columns import Column, render
from infoplane.estimators.quantities import (
    COLLAPSE,
    OF_HEAD,
    RDM_STABILITY,
    REPRESENTATION,
    SPECTRAL,
    WEIGHTS,
)
from infoplane.results.choice import best_estimator
from infoplane.results.curves import CurveKey, Curves, mean_over_runs
from infoplane.text import in_lines

_FIRST = (
    "effective_rank", "alpha_req", "nc1", "label_alignment", "probe", "intrinsic_dimension",
    "rankme", "vne_centred", "cdnv", "nc2_equiangle", "nc2_equinorm", "nc3", "nc4", "knn",
    "probe_r2",
    "condition_number", "weight_alpha", "weight_distance", "weight_stable_rank", "frobenius_norm",
    "log_volume", "spectral_norm",
)  # fmt: skip
"""The order in which measures stay where there is no room for all; others go before these."""

_BLOCKS = (
    frozenset(quantity.name for quantity in SPECTRAL),
    frozenset(quantity.name for quantity in (*COLLAPSE, *OF_HEAD, RDM_STABILITY)),
)
"""Measures that stand in one table; all others are another."""

_KINDS = (
    ("layer", REPRESENTATION, "independent units of this shape, or shuffled labels"),
    ("weight", tuple(one.name for one in WEIGHTS), "independent normal numbers, in this shape"),
)
"""What measures are about, which they are, and what their nulls are of."""

_MOST_PLACES = 3

_FEW = 12
"""Layers up to which there is a table for each of these; of more layers where all is wanted."""


def measures_table(
    results: Mapping[str, object], drawn: Mapping[CurveKey, Curves], group: str, limit: int | None
) -> list[str]:
    """Return the lines of the tables; none with fewer than two measures of layers, or weights."""
    lines = []
    for kind, quantities, null in _KINDS:
        lines += _table_of(results, drawn, group, limit, kind, quantities, null)
    return lines


def _table_of(
    results: Mapping[str, object],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    limit: int | None,
    kind: str,
    quantities: Sequence[str],
    null: str,
) -> list[str]:
    by_quantity: dict[str, dict[str, Curves]] = {}
    for quantity in quantities:
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
    names = [layer for layer, _ in layers]
    left_out = 0
    if kind == "weight" and limit is not None and len(names) > _FEW:
        matrices = [name for name in names if name in by_quantity.get("weight_stable_rank", {})]
        left_out, names = (len(names) - len(matrices), matrices) if matrices else (0, names)
    ordered = sorted(by_quantity, key=ranked.index)
    blocks: dict[int, list[Column]] = {}
    apart = limit is None or len(layers) <= _FEW
    for quantity in ordered:
        found = by_quantity[quantity]
        symbol = next(iter(found.values())).declared.symbol
        column = Column(
            printable(symbol), _cells(found, names), right=True, drop=ranked.index(quantity)
        )
        block = next((i for i, of in enumerate(_BLOCKS) if quantity in of), len(_BLOCKS))
        blocks.setdefault(block if apart else 0, []).append(column)
    lines: list[str] = []
    for _, columns in sorted(blocks.items()):
        told = [printable(name.removeprefix("weights ")) for name in names]
        first = Column(kind, told, names=True)
        lines += ["", *render([first, *columns], limit=limit)]
    caption = f"last checkpoint; in brackets the null: what {null}, read; ~ within it"
    caption += f"; {left_out} weights of one axis: --wide shows them" if left_out else ""
    return [*lines, *in_lines(caption, limit or 100)]


def _cells(found: Mapping[str, Curves], layers: Sequence[str]) -> list[str]:
    """Return the last value of each layer, its null in brackets, all with as many decimals.

    A mark stands before values that are within their null; a layer without a value at the last
    checkpoint has an empty cell.
    """
    last = {name: (c.mean()[-1], mean_over_runs(c.null)[-1]) for name, c in found.items()}
    sizes = [abs(value) for value, _ in last.values() if np.isfinite(value) and value]
    places = 2 - math.floor(math.log10(min(sizes))) if sizes else 0
    places = min(max(places, 0), _MOST_PLACES)
    cells = []
    for layer in layers:
        value, null = last.get(layer, (math.nan, math.nan))
        if not np.isfinite(value):
            cells.append("")
            continue
        within = found[layer].flags.get("within_null")
        mark = "~" if within is not None and within[:, -1].mean() > 0.5 else ""
        text = mark + _number(value, places)
        cells.append(text if np.isnan(null) else f"{text} ({_number(null, places)})")
    return cells


def _number(value: float, places: int) -> str:
    """Return a number; from 100 on whole, and with an exponent where nothing would be left."""
    if abs(value) >= 1e5 or 0 < abs(value) < 0.5 * 10.0**-places:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{places}f}"

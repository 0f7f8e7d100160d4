"""The per-layer summary on the terminal: natural width, whole columns dropped when narrow."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infoplane.cli.output import bars, plain, printable, width
from infoplane.data import FloatArray
from infoplane.estimators.quantities import QUANTITIES, Quantity
from infoplane.results.curves import CurveKey, Curves, curves, group_of, groups_of
from infoplane.text import change_between, counted, decimal, spark


@dataclass
class Column:
    """A column of text cells; the higher ``drop``, the sooner it goes when there is no room."""

    title: str
    cells: list[str]
    right: bool = False
    drop: int = 0

    @property
    def width(self) -> int:
        """Characters of the widest cell."""
        return max(map(len, [self.title, *self.cells]))

    def line(self, text: str) -> str:
        """Return a cell padded to the width of the column."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def render(columns: Sequence[Column], *, limit: int | None) -> list[str]:
    """Return the lines of a table that fits ``limit`` columns by leaving out whole columns."""
    kept = list(columns)

    def total() -> int:
        return sum(column.width for column in kept) + 2 * (len(kept) - 1)

    hidden: list[str] = []
    while limit is not None and total() > limit:
        candidates = [column for column in kept if column.drop]
        if not candidates:
            break
        dropped = max(candidates, key=lambda column: column.drop)
        kept.remove(dropped)
        hidden.append(dropped.title)
    rows = [[column.title for column in kept], ["─" * column.width for column in kept]]
    rows += [list(row) for row in zip(*(column.cells for column in kept), strict=True)]
    lines = [
        "  ".join(column.line(text) for column, text in zip(kept, row, strict=True)).rstrip()
        for row in rows
    ]
    if hidden:
        order = [column.title for column in columns if column.title in hidden]
        note = f"({', '.join(order)} hidden at {limit} columns; --wide shows all)"
        lines += textwrap.wrap(note, limit or 100)
    return lines


def summary(
    results: Mapping[str, Any],
    *,
    wide: bool = False,
    known: Mapping[CurveKey, Curves] | None = None,
) -> str:
    """Return what was measured: a header, one table per group of runs, notes on warnings.

    ``known`` are the curves of the results, where they have been found.
    """
    limit = None if wide else width()
    drawn = curves(results) if known is None else known
    lines = [part for line in _header(results) for part in textwrap.wrap(line, limit or 200)]
    groups = groups_of(results)
    for group in groups:
        for estimator, *quantities in _tables(results, drawn, group):
            lines += ["", *([printable(group)] if len(groups) > 1 else [])]
            followed = len(quantities) == 1 and _phases(results, group, estimator, quantities[0])
            table = _group_table if followed else _last_values
            lines += render(table(results, drawn, group, estimator, *quantities), limit=limit)
            caption = _caption(results, drawn, group, estimator, quantities)
            lines += textwrap.wrap(caption, limit or 100, break_on_hyphens=False)
    for number, warning in enumerate(results["warnings"], 1):
        names = [printable(str(name)) for name in warning.get("layers", [])]
        layers = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "")
        text = f"{warning['code']} {warning['message']}: {warning['count']:,} values ({layers})"
        for part in (text, warning.get("hint")):
            if part:
                mark = f"[{number}] " if part is text else "    "
                filled = textwrap.wrap(
                    part, limit or 100, initial_indent=mark, subsequent_indent="    "
                )
                lines += filled
    return plain("\n".join(lines))


def _header(results: Mapping[str, Any]) -> list[str]:
    lines = []
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for recording in results["recordings"]:
        by_group.setdefault(group_of(recording), []).append(recording)
    for group, recordings in by_group.items():
        first = recordings[0]
        steps = first["steps"]
        entropy = f", H(Y) = {first['h_y']:.2f} bits" if first["h_y"] is not None else ""
        runs = counted(len(recordings), "run")
        span = f"{len(steps)} steps {steps[0]:,}..{steps[-1]:,}" if len(steps) > 1 else "1 step"
        lines.append(
            f"{printable(group)}: {runs}, {span}, {counted(len(first['layers']), 'layer')}, "
            f"N = {first['n']:,}{entropy}, log₂ N = {first['log2_n']:.2f} bits"
        )
    return lines


def _caption(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    quantities: Sequence[str],
) -> str:
    entry = next(e for e in results["estimators"] if e["id"] == estimator)
    runs = sum(group_of(recording) == group for recording in results["recordings"])
    over = f"mean of {runs} runs" if runs > 1 else "one run: the interval is not about other seeds"
    units = {
        curve.declared.unit
        for key, curve in drawn.items()
        if (key[0], key[2]) == (group, estimator) and key[3] in quantities
    }
    return (
        f"{', '.join(sorted(units))}, {printable(entry['name'])} ({printable(estimator)}), {over}; "
        "change = last - peak, the peak "
        "chosen on other data (docs/figures-and-report.md); n/m: estimators that agree"
    )


def _tables(
    results: Mapping[str, Any], drawn: Mapping[CurveKey, Curves], group: str
) -> list[tuple[str, ...]]:
    """Return what to tabulate: each an estimator id, and its quantities.

    I(X;T) before DSE, the least saturated first, or whatever else was measured; then, apart, what
    estimators measure beyond the register, and what gets no verdict of estimators without any.
    """
    found: dict[tuple[str, str], int] = {}
    own: dict[str, dict[str, None]] = {}
    for phase in results["phases"]:
        if phase["group"] != group:
            continue
        estimator, quantity = phase["estimator"], phase["quantity"]
        if quantity in QUANTITIES:
            key = estimator, quantity
            found[key] = found.get(key, 0) + (phase["verdict"] == "saturated")
        else:
            own.setdefault(estimator, {})[quantity] = None
    judged = {estimator for estimator, _ in found} | own.keys()
    for of, _, estimator, quantity in drawn:
        if of == group and estimator not in judged:
            own.setdefault(estimator, {})[quantity] = None
    layers = len({phase["layer"] for phase in results["phases"] if phase["group"] == group})
    order = list(QUANTITIES)

    def rank(key: tuple[str, str]) -> tuple[int, bool, int]:
        size = key[1] in ("ixt", "dse")
        return not size, size and found[key] == layers, order.index(key[1])

    main = [min(found, key=rank)] if found else []
    return [*main, *((estimator, *quantities) for estimator, quantities in own.items())]


def _group_table(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    quantity: str,
) -> list[Column]:
    phases = _phases(results, group, estimator, quantity)
    units = {
        layer["name"]: _units(layer)
        for recording in results["recordings"]
        if group_of(recording) == group
        for layer in recording["layers"]
    }
    layers = [name for name in units if name in phases]
    layers += [name for name in phases if name not in units]  # pairs, weights, runs
    found = {name: drawn[group, name, estimator, quantity] for name in layers}
    means = {name: curve.mean() for name, curve in found.items()}
    finite = [value for mean in means.values() for value in mean[np.isfinite(mean)].tolist()]
    bounds = [curve.bound for curve in found.values() if curve.bound is not None]
    top = max([*bounds, *finite, 1e-9])
    about = next((curve.declared for curve in found.values()), QUANTITIES["ixt"])
    columns = [
        Column("layer", [printable(layer) for layer in layers]),
        Column("units", [units.get(layer, "") for layer in layers], right=True, drop=3),
        Column(
            f"{printable(about.symbol)}, 0 to {top:.3g} {printable(about.unit)}",
            [_spark(means[layer], top) for layer in layers],
            drop=4,
        ),
    ]
    chosen = [phases[layer] for layer in layers]
    for key in ("first", "peak", "last"):
        cells = [decimal(phase[key]) for phase in chosen]
        columns.append(Column(key, cells, right=True, drop=3 if key == "first" else 0))
    columns.append(Column("change", [decimal(p["change"], sign=True) for p in chosen], right=True))
    columns.append(
        Column(
            "95% CI", [change_between(p["change_low"], p["change_high"]) for p in chosen], drop=2
        )
    )
    onsets = ["" if phase["onset_step"] is None else f"{phase['onset_step']:,}" for phase in chosen]
    columns.append(Column("onset", onsets, right=True, drop=1))
    label = _phases(results, group, estimator, "ity")
    if label and quantity in ("ixt", "dse"):
        last = [decimal(label[layer]["last"]) if layer in label else "" for layer in layers]
        columns.append(Column(QUANTITIES["ity"].symbol, last, right=True))
    columns.append(Column("verdict", [_verdict(phase, about) for phase in chosen]))
    return columns


def _last_values(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    *quantities: str,
) -> list[Column]:
    """Return the last value and the change of several quantities by layer."""
    phases = {
        (phase["layer"], phase["quantity"]): phase
        for phase in results["phases"]
        if (phase["group"], phase["estimator"]) == (group, estimator)
    }
    curves_of = {
        (key[1], key[3]): curve
        for key, curve in drawn.items()
        if (key[0], key[2]) == (group, estimator) and key[3] in quantities
    }
    layers = list(dict.fromkeys(layer for layer, _ in curves_of))
    columns = [Column("layer", [printable(layer) for layer in layers])]
    for number, quantity in enumerate(quantities):
        about = next(c.declared for (_, name), c in curves_of.items() if name == quantity)
        last = [_last(curves_of.get((layer, quantity))) for layer in layers]
        title = about.symbol if about.unit == "bits" else f"{about.symbol}, {about.unit}"
        columns.append(Column(printable(title), last, right=True, drop=2 * number))
        found = [phases.get((layer, quantity)) for layer in layers]
        if any(found):
            change = [decimal(phase["change"], sign=True) if phase else "" for phase in found]
            columns.append(Column("change", change, right=True, drop=2 * number + 1))
    return columns


def _last(curve: Curves | None) -> str:
    """Return the mean over runs at the last step that has one."""
    mean = np.empty(0) if curve is None else curve.mean()
    finite = mean[np.isfinite(mean)]
    return decimal(float(finite[-1])) if finite.size else ""


def _phases(
    results: Mapping[str, Any], group: str, estimator: str, quantity: str
) -> dict[str, Mapping[str, Any]]:
    """Return the phases of a quantity by layer."""
    key = group, estimator, quantity
    return {
        phase["layer"]: phase
        for phase in results["phases"]
        if (phase["group"], phase["estimator"], phase["quantity"]) == key
    }


def _units(layer: Mapping[str, Any]) -> str:
    """Return the units of a layer, and how they were made of more when it was recorded."""
    reduction = layer.get("reduction") or "none"
    return str(layer["units"]) if reduction == "none" else f"{layer['units']} ({reduction})"


def _spark(mean: FloatArray, top: float) -> str:
    """Return a curve (n_steps,) as bars on the scale 0 to ``top``, the same for every row."""
    return spark(mean[np.isfinite(mean)].tolist(), top, bars())


def _verdict(phase: Mapping[str, Any], about: Quantity) -> str:
    if phase["last"] is None and phase["peak"] is None:
        return "no value"
    text = about.word(str(phase["verdict"]))
    if phase["verdict"] == "saturated" or phase.get("agree") is None:
        return text
    return f"{text} {phase['agree']}/{phase['of']}"

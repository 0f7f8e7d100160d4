"""Similarities as a table: a line per layer, with its neighbour, its ceiling and its training."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infoplane.cli.output import plain, width
from infoplane.cli.table_columns import Column, render
from infoplane.results.similarities import Band, Row, Similarities, mean_and_interval
from infoplane.text import counted, decimal, printable


def similarity_lines(results: Mapping[str, Any], *, wide: bool) -> Iterator[str]:
    """Yield a table per measure and group, and one of models, then what to read with care."""
    found = Similarities(results)
    limit = None if wide else width()
    for group, runs in found.groups.items():
        recording = found.recordings[runs[0]]
        steps, layers = recording["steps"], recording["layers"]
        yield (
            f"{printable(group)}: {counted(len(runs), 'run')}, {counted(len(steps), 'step')} "
            f"{steps[0]:,}..{steps[-1]:,}, {counted(len(layers), 'layer')}, "
            f"N = {recording['n']:,}"
        )
        for measure in found.measures.values():
            lines = render(_columns(found, measure, group), limit=limit)
            if lines:
                yield ""
                yield plain(_heading(found, measure))
                yield from map(plain, lines)
        yield ""
    yield from map(plain, _models(found, limit))
    yield from _cautions(results)


def _heading(found: Similarities, measure: Mapping[str, Any]) -> str:
    rows = [r for r in found.rows if r["measure"] == measure["id"] and r["value"] is not None]
    unit = "" if measure["unit"] == "ratio" else f", {measure['unit']}"
    used = {row["n"] for row in rows}
    recorded = {recording["n"] for recording in found.recordings.values()}
    samples = "" if used <= recorded else f"; {min(used):,} of {max(recorded):,} samples"
    nulls = [row["null"] for row in rows]
    spread = max((row["null_sd"] for row in rows), default=0.0)
    chance = ""
    if nulls:
        low, high = decimal(min(nulls)), decimal(max(nulls))
        chance = low if low == high else f"{low} .. {high}"
        chance = f": {chance} by chance (sd {spread:.2g})"
    identical = decimal(measure["identical"], 0)
    return f"{printable(measure['name'])}{unit}{chance}, {identical} if identical{samples}"


def _columns(found: Similarities, measure: Mapping[str, Any], group: str) -> list[Column]:
    runs, name = found.groups[group], measure["id"]
    recording = found.recordings[runs[0]]
    last = recording["steps"][-1]
    layers = found.layers(runs)
    at_end = [r for r in found.of(name, "layers", runs) if r["step_a"] == last]
    between = {
        (a, b): [r for r in at_end if (r["layer_a"], r["layer_b"]) == (a, b)]
        for a, b in itertools.pairwise(layers)
    }
    after = [between.get(pair, []) for pair in zip(layers, [*layers[1:], ""], strict=True)]
    ceilings = found.ceilings(name, group)
    bands = [Band.of(ceilings.get((layer, last), [])) for layer in layers]
    settled = {
        s["layer"]: s for s in found.settling if s["group"] == group and s["measure"] == name
    }
    told = [settled.get(layer, {}) for layer in layers]
    columns = [
        Column("layer", [printable(layer) for layer in layers], names=True),
        Column("next layer", [_value(rows) for rows in after], right=True),
        Column("95% CI", [_interval(rows) for rows in after], drop=3),
        Column("other seeds", [_band(band) for band in bands]),
        Column("first to last", [decimal(s.get("lazy")) for s in told], right=True),
        Column("95% CI ", [_range(s.get("lazy_low"), s.get("lazy_high")) for s in told], drop=2),
        Column("settles at", [_step(s) for s in told]),
    ]
    columns = [columns[0], *(c for c in columns[1:] if any(c.cells))]
    return columns if len(columns) > 1 else []


def _models(found: Similarities, limit: int | None) -> Iterator[str]:
    """Yield, for each pair of models, which layer of one is most like each of the other."""
    for name, measure in found.measures.items():
        rows = found.of(name, "models")
        pairs = dict.fromkeys((row["run_a"], row["run_b"]) for row in rows)
        sign = 1 if measure["identical"] > 0 else -1
        for a, b in pairs:
            of_pair = [r for r in rows if (r["run_a"], r["run_b"]) == (a, b)]
            best: dict[str, Row] = {}
            for row in of_pair:
                known = best.get(row["layer_a"])
                if known is None or sign * row["value"] > sign * known["value"]:
                    best[row["layer_a"]] = row
            yield f"{printable(a)} and {printable(b)}: {printable(measure['name'])}"
            shown = list(best.values())
            yield from render(
                [
                    Column(printable(a), [printable(row["layer_a"]) for row in shown], names=True),
                    Column(f"most like, in {printable(b)}",
                           [printable(row["layer_b"]) for row in shown], names=True),
                    Column("value", [decimal(row["value"]) for row in shown], right=True),
                    Column("95% CI", [_interval([row]) for row in shown], drop=2),
                    Column("other seeds", [_ceiling(row) for row in shown]),
                    Column("", ["by chance" * ("at_chance" in row["flags"]) for row in shown]),
                ],
                limit=limit,
            )  # fmt: skip
            yield ""


def _cautions(results: Mapping[str, Any]) -> Iterator[str]:
    of_pairs = {flag for row in results["similarities"]["rows"] for flag in row["flags"]}
    for warning in (w for w in results["warnings"] if w.get("flag") in of_pairs):
        word, _, rest = warning["message"].partition(" ")
        one = warning["count"] == 1 and word in ("pairs", "cells", "values")
        what = f"{word[:-1] if one else word} {rest}"
        text = f"{warning['code']}: {warning['count']:,} {what}: {warning['hint']}"
        yield from textwrap.wrap(plain(printable(text)), width() or 100)
    found = Similarities(results)
    if len({m["family"] for m in found.measures.values()}) < 2:
        yield "one family of measures alone: a verdict needs two, e.g. -m cka -m procrustes"
    if all(s["ceiling"] is None for s in found.settling) and found.settling:
        yield f"no layer is said to settle: {found.settling[0]['withheld']}"


def _value(rows: Sequence[Row]) -> str:
    return decimal(mean_and_interval(rows)[0]) if rows else ""


def _interval(rows: Sequence[Row]) -> str:
    return _range(*mean_and_interval(rows)[1:]) if rows else ""


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{decimal(low)} .. {decimal(high)}"


def _band(band: Band | None) -> str:
    return "" if band is None else _range(band.low, band.high)


def _ceiling(row: Row) -> str:
    return _range(row["ceiling_low"], row["ceiling_high"])


def _step(settled: Mapping[str, Any]) -> str:
    if settled.get("ceiling") is None:
        return ""
    if settled["step"] is None:
        return f"not before {settled['last_step']:,}"
    low, high = settled["step_low"], settled["step_high"]
    if low == high:
        return f"{settled['step']:,}"
    return f"{settled['step']:,} ({low:,} .. {'open' if high is None else f'{high:,}'})"

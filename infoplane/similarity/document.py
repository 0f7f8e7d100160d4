"""The similarities of a results document: rows, ceilings beside them, and when layers settle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from infoplane.data import plain
from infoplane.numerics.quantiles import student_quantile
from infoplane.numerics.similarity.samples import CHANCE
from infoplane.results.similarities import add_ceilings, settling
from infoplane.runs.run import Run
from infoplane.similarity.engine import Pair
from infoplane.similarity.measure import PairMeasure

LEVEL = 0.95


def similarities(
    found: Iterable[tuple[Pair, Mapping[str, Any]]],
    measures: Sequence[PairMeasure],
    recordings: Sequence[Mapping[str, Any]],
    names: Mapping[Run, str],
) -> dict[str, Any]:
    """Return the member ``similarities`` of a document."""
    by_id = {measure.id: measure for measure in measures}
    order = {recording["run"]: index for index, recording in enumerate(recordings)}
    n_samples = {recording["run"]: recording["n"] for recording in recordings}
    rows = [_row(pair, value, by_id[pair.measure], n_samples, names) for pair, value in found]
    ids = list(by_id)
    rows.sort(key=lambda row: (ids.index(row["measure"]), row["axis"], *_places(row, order)))
    member = {"measures": [_described(measure) for measure in measures], "rows": rows}
    add_ceilings(member, recordings)
    member["settling"] = settling(member, recordings)
    return member


def _described(measure: PairMeasure) -> dict[str, Any]:
    return {
        "id": measure.id,
        "name": measure.title,
        "symbol": measure.symbol,
        "unit": measure.unit,
        "family": measure.family,
        "identical": measure.identical,
        "version": measure.version,
        "params": plain(asdict(measure)),
    }


def _row(
    pair: Pair,
    found: Mapping[str, Any],
    measure: PairMeasure,
    n_samples: Mapping[str, int],
    names: Mapping[Run, str],
) -> dict[str, Any]:
    value, error = found["value"], found.get("standard_error")
    low = high = None
    if error is not None:
        half = student_quantile(found["groups"] - 1, (1 + LEVEL) / 2) * error
        low, high = value - half, value + half
    flags = [] if value is not None else ["failed"]
    if value is not None:
        away = (value - found["null"]) * (1 if measure.identical > found["null"] else -1)
        if away <= CHANCE * found["null_sd"]:
            flags.append("at_chance")
        if found["few"]:
            flags.append("small_n")
        if found["n"] < n_samples[names[pair.a.run]]:
            flags.append("subsampled")
    a, b = pair.a, pair.b
    return {
        "axis": pair.axis,
        "measure": pair.measure,
        "run_a": names[a.run], "step_a": a.step, "layer_a": a.layer.name, "index_a": a.layer.index,
        "run_b": names[b.run], "step_b": b.step, "layer_b": b.layer.name, "index_b": b.layer.index,
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "ci_level": None if low is None else LEVEL,
        "null": found.get("null"),
        "null_sd": found.get("null_sd"),
        "ceiling": None,
        "ceiling_low": None,
        "ceiling_high": None,
        "n": found.get("n") or n_samples[names[a.run]],
        "flags": flags,
        "seconds": found["seconds"],
        "cached": bool(found.get("cached")),
        **({"reason": found["reason"]} if value is None else {}),
    }  # fmt: skip


def _places(row: Mapping[str, Any], order: Mapping[str, int]) -> tuple[Any, ...]:
    return tuple(
        (order[row[f"run_{side}"]], row[f"step_{side}"], row[f"index_{side}"]) for side in "ab"
    )

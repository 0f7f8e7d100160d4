"""What a cache says of earlier work, as far as it can be such work; anything else is done anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from infoplane.analysis.selection import Part
from infoplane.errors import EstimationError
from infoplane.estimators.base import Estimator, check_estimates
from infoplane.estimators.estimate import Estimate, Measurement
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.registry import estimator_id
from infoplane.results.schema import compile_schema

_NUMBERS = ("bits", "low", "high", "level", "bound_low", "bound_high")
_MEMBERS: dict[str, dict[str, Any]] = {
    **{name: {"type": ["number", "null"]} for name in _NUMBERS},
    "method": {"type": "string"},
    "bound_name": {"type": "string"},
    "n": {"type": ["integer", "null"]},
    "flags": {"type": "array", "items": {"type": "string"}},
    "diagnostics": {"type": "object"},
    "setting": {"type": ["string", "null"]},
}
assert set(_MEMBERS) == {field.name for field in fields(Estimate)}
_cell = compile_schema(
    {
        "type": "object",
        "required": ["estimates", "seconds", "error"],
        "properties": {
            "estimates": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["bits"],
                    "properties": _MEMBERS,
                },
            },
            "seconds": {"type": "number"},
            "error": {"type": ["string", "null"]},
        },
    }
)
_artifacts = compile_schema(
    {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["content"],
            "properties": {"content": {"type": "string"}},
        },
    }
)
_scale = compile_schema(
    {
        "type": "object",
        "required": ["scale", "cells"],
        "properties": {"scale": {"type": "number"}, "cells": {"type": "integer"}},
    }
)
_MOST = 1e100  # results hold no larger number
_MOST_TIMES = 1e6  # by which a machine can differ from the law of costs


def measurement(
    found: Any, run: str, step: int, part: Part, estimator: Estimator
) -> Measurement | None:
    """Return the measurement of a cell from its ``content``; None if it is none of this one."""
    if _cell(found) or found["seconds"] < 0 or not found["estimates"]:
        return None
    name = estimator_id(estimator)
    rows = set()
    for key, estimate in found["estimates"].items():
        if not estimate.keys() <= _MEMBERS.keys() or not _is_in_range(estimate):
            return None
        measured = MeasureId.read(key)
        rows.add((measured.name, str(MeasureId.read(name).at(measured.point))))
    if len(rows) < len(found["estimates"]):  # two would be one row
        return None
    restored = Measurement.restored(run, step, part.slots[0], name, found, part.subject)
    try:
        check_estimates(estimator, restored.estimates)
    except EstimationError:
        return None
    return restored


def artifacts(found: Any) -> dict[str, dict[str, Any]] | None:
    """Return what an estimator kept of a run; None if it is nothing of the kind."""
    if found is None or _artifacts(found):
        return None
    named = all(re.fullmatch("[0-9a-f]{64}", name) for name in found)
    return dict(found) if named else None


def costs(found: Any) -> dict[str, dict[str, Any]]:
    """Return what cells cost on a machine, by estimator id; entries that cannot be are left out."""
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if _is_scale(entry)}


def _is_scale(entry: Any) -> bool:
    return not _scale(entry) and 1 / _MOST_TIMES <= entry["scale"] <= _MOST_TIMES


def _is_in_range(estimate: Mapping[str, Any]) -> bool:
    numbers = (estimate.get(name) or 0 for name in _NUMBERS)
    n = estimate.get("n")
    return all(abs(number) <= _MOST for number in numbers) and (n is None or n >= 1)

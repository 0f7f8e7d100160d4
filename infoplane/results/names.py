"""How estimators are called in tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infoplane.estimators.measure_id import MeasureId

_MODES = {"ebab": "adaptive", "adaptive": "adaptive"}


def name_of_estimator(entry: Mapping[str, Any]) -> str:
    """Return the name of an entry of ``estimators``, with the kind of bins for binning."""
    name = str(entry["name"])
    mode = _MODES.get(str((entry.get("params") or {}).get("mode")))
    return f"{mode} {name}" if name == "binning" and mode is not None else name


def title_of_estimator(entry: Mapping[str, Any]) -> str:
    """Return the name of an entry of ``estimators`` with the settings of its id."""
    params = dict(entry.get("params") or {})
    written = MeasureId.read(entry["id"])
    settings = [
        f"{key} {value}".replace("_", " ")
        for key, value in (*written.settings, *written.point)
        if value is not None and key != "max_samples"  # N is written anyway
    ]
    bins = params.get("bins")
    if isinstance(bins, list) and len(bins) == 1:
        bins = bins[0]
    if isinstance(bins, int | float) and not any(s.startswith("bins") for s in settings):
        settings.insert(0, f"{bins:g} bins")
    return ", ".join([name_of_estimator(entry), *settings])


def names_of_estimators(results: Mapping[str, Any], estimators: Iterable[str]) -> dict[str, str]:
    """Return short names of estimators by id, as long as they differ; else their titles."""
    entries = {entry["id"]: entry for entry in results["estimators"]}
    estimators = list(estimators)
    names = {}
    for written in (name_of_estimator, title_of_estimator):
        names = {e: written(entries[e]) if e in entries else e for e in estimators}
        if len(set(names.values())) == len(names):
            break
    return names

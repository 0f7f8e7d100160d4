"""A results document, arranged for rules and comparisons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from infoplane.estimators.measure_id import MeasureId
from infoplane.gate.statistics import Cell, Statistic, cell, curve_statistic
from infoplane.results.choice import SIZES, silent_estimators
from infoplane.results.curves import CurveKey, curves, group_of_runs, groups_of
from infoplane.results.layer_names import LayerNames
from infoplane.results.phases import find_phases
from infoplane.results.vocabulary import Vocabulary


class Evidence:
    """Curves, rows and phases of a document by group, layer, estimator and quantity."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results
        self.group_of_run = group_of_runs(results)
        self.groups = groups_of(results)
        self.layer_names = LayerNames(
            (self.group_of_run[one["run"]], one) for one in results["recordings"]
        )
        self.vocabulary = Vocabulary.of(results)
        self.curves = curves(results)
        self.rows: dict[CurveKey, list[Mapping[str, Any]]] = defaultdict(list)
        self._at_ceiling: set[Cell] = set()
        for row in results["rows"]:
            group = self.group_of_run[row["run"]]
            self.rows[group, row["layer"], row["estimator"], row["quantity"]].append(row)
            if "saturated" in row["flags"] and row.get("bound_name") != "h_y":
                self._at_ceiling.add(cell(row))

    @cached_property
    def labels(self) -> dict[str, str]:
        """Short names of the estimators: without parameters where that is clear."""
        ids = list(dict.fromkeys(key[2] for key in self.curves))
        names = [MeasureId.read(identifier).name for identifier in ids]
        return {i: n if names.count(n) == 1 else i for i, n in zip(ids, names, strict=True)}

    @cached_property
    def silent(self) -> set[tuple[str, str]]:
        """Groups and estimators of which every layer is at a ceiling, where another tells more."""
        return {
            (group, estimator)
            for group in self.groups
            for estimator in silent_estimators(self.results, self.curves, group, *SIZES, "ity")
        }

    @cached_property
    def phases(self) -> dict[CurveKey, dict[str, Any]]:
        """The phases, found anew from the rows."""
        analyze = self.results["config"].get("analyze")
        seed = analyze.get("seed", 0) if isinstance(analyze, Mapping) else 0
        usable = isinstance(seed, int) and seed >= 0  # the document may be of another's making
        found = find_phases(self.results, seed=seed if usable else 0, drawn=self.curves)
        return {(p["group"], p["layer"], p["estimator"], p["quantity"]): p for p in found}

    def statistic(self, name: str, key: CurveKey, step: int | None = None) -> Statistic:
        """Return a statistic of a curve; see `infoplane.gate.statistics.curve_statistic`."""
        phase = self.phases.get(key) if name in ("peak", "change", "onset") else None
        return curve_statistic(
            name, step, self.curves[key], phase, self.rows[key], self._at_ceiling
        )

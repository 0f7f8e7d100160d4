"""Build the results document: rows of estimates with all that is needed to trust them.

The document is described by ``infoplane/schemas/results.schema.json``. ``rows`` is long and tidy:
one row per run, step, layer, estimator and quantity. A value that cannot be given is ``null``,
never NaN, and a flag says why.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import numpy as np

from infoplane.data import Slot, Subject, plain
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate, Measurement
from infoplane.estimators.from_file import home_of, version_of
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.registry import DEFAULT, estimator_id
from infoplane.results.file import SCHEMA
from infoplane.results.ordering import flag_below_bounds, flag_rises
from infoplane.results.phases import find_phases
from infoplane.results.vocabulary import Vocabulary

log = logging.getLogger("infoplane")


def result_rows(
    run: str,
    step: int,
    layer: Slot,
    estimator: str,
    estimates: Mapping[str, Estimate],
    seconds: float,
    n_samples: int,
    epoch: float | None = None,
    *,
    vocabulary: Vocabulary,
    cached: bool = False,
    subject: Subject | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of one cell, each in the unit of its quantity.

    A key ``quantity@parameter=value`` becomes a row of the estimator with that parameter. Where the
    rows are about another ``subject`` than the layer, its text is their layer.
    """
    rows = []
    for key, estimate in estimates.items():
        measured = MeasureId.read(key)
        quantity = measured.name
        bits = _number(estimate.bits)
        flags = list(dict.fromkeys(estimate.flags))
        if bits is None and "failed" not in flags and not estimate.bounds_alone:
            flags.append("failed")
        rows.append(
            {
                "run": run,
                "step": step,
                "epoch": epoch,
                "layer": layer.name if subject is None else str(subject),
                "layer_index": layer.index,
                **({} if subject is None else {"subject": str(subject)}),
                "estimator": str(MeasureId.read(estimator).at(measured.point)),
                "quantity": quantity,
                "value": bits,
                "ci_low": _number(estimate.low),
                "ci_high": _number(estimate.high),
                "ci_level": estimate.level,
                "ci_method": estimate.method,
                "unit": vocabulary.quantity(quantity).unit,
                "n": estimate.n or n_samples,
                "bound_low": _number(estimate.bound_low),
                "bound_high": _number(estimate.bound_high),
                "bound_name": estimate.bound_name,
                "flags": flags,
                "seconds": seconds,
                "cached": cached,
                **({} if estimate.setting is None else {"setting": estimate.setting}),
                "diag": estimate.diagnostics if cached else plain(estimate.diagnostics),
            }
        )
    return rows


@dataclass
class Document:
    """Collects the cells of an analysis; a document can be made of it at any time."""

    recordings: list[dict[str, Any]]
    estimators: Sequence[Estimator]
    config: Mapping[str, Any]
    jobs: int
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)
    sampling: list[dict[str, Any]] = field(default_factory=list)
    costs: dict[str, Any] = field(default_factory=dict)  # ``CostModel.fitted``

    def __post_init__(self) -> None:
        self._start = time.monotonic()
        self._about = {recording["run"]: recording for recording in self.recordings}
        self._vocabulary = Vocabulary.declared(self.estimators)

    def add(self, measured: Measurement) -> bool:
        """Take in the rows of a cell; tell whether one of them has no number."""
        recording = self._about[measured.run]
        rows = result_rows(
            measured.run,
            measured.step,
            measured.layer,
            measured.estimator,
            measured.estimates,
            measured.seconds,
            recording["n"],
            recording["epochs"][recording["steps"].index(measured.step)],
            vocabulary=self._vocabulary,
            cached=measured.cached,
            subject=measured.subject,
        )
        self.rows += rows
        return any("failed" in row["flags"] for row in rows)

    def results(self, status: str) -> dict[str, Any]:
        """Return the document, its phases found."""
        of_tokens = {one["run"] for one in self.recordings if one.get("n_sequences")}
        flag_rises(self.rows, self.estimators, of_tokens)
        flag_below_bounds(self.rows, self.estimators)
        if status != "interrupted":
            self._tell_of_silence()
        results = build_results(
            self.rows,
            self.recordings,
            self.estimators,
            self.config,
            artifacts=self.artifacts,
            status=status,
            wall_seconds=time.monotonic() - self._start,
            jobs=self.jobs,
        )
        results["sampling"] = self.sampling
        results["timing"]["costs"] = self.costs
        results["phases"] = find_phases(results, seed=self.seed)
        return results

    def _tell_of_silence(self) -> None:
        """Warn of estimators that returned nothing at all: no row says so."""
        heard = {MeasureId.read(row["estimator"]).name for row in self.rows}
        for estimator in self.estimators:
            if estimator.name not in heard:
                unlabelled = self.recordings[0]["h_y"] is None
                if unlabelled and heard and estimator_id(estimator) in DEFAULT:
                    continue  # nobody has asked for it by name
                hint = " (there are no labels)" if unlabelled else ""
                log.warning("%s: returned no estimate of any cell%s", estimator.name, hint)


def build_results(
    rows: list[dict[str, Any]],
    recordings: list[dict[str, Any]],
    estimators: Sequence[Estimator],
    config: Mapping[str, Any],
    *,
    artifacts: Mapping[str, Any] | None = None,
    status: str,
    wall_seconds: float,
    jobs: int,
) -> dict[str, Any]:
    """Return the results document of an analysis; ``phases`` and ``checks`` are left empty."""
    vocabulary = Vocabulary.declared(estimators)
    order = {recording["run"]: index for index, recording in enumerate(recordings)}
    rows = sorted(
        rows,
        key=lambda row: (
            order[row["run"]],
            row["layer_index"],
            row["layer"],
            row["step"],
            row["estimator"],
            row["quantity"],
        ),
    )
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    failed = [row for row in rows if "failed" in row["flags"]]
    seconds = {_cell(row): row["seconds"] for row in rows}
    cached = {_cell(row) for row in rows if row["cached"]}
    return {
        "schema": SCHEMA,
        "tool": {"name": "infoplane", "version": metadata.version("infoplane")},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "status": status,
        "config": dict(config),
        "config_hash": "sha256:" + hashlib.sha256(canonical.encode()).hexdigest(),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count() or 1,
            "jobs": jobs,
            "blas_threads": 1,
            "packages": {
                name: metadata.version(name)
                for name in ("infoplane", "numpy", "scipy", "scikit-learn", "torch", "h5py")
            },
        },
        "recordings": recordings,
        "estimators": _estimators(rows, estimators),
        "artifacts": dict(sorted((artifacts or {}).items())),
        **vocabulary.written(rows),
        "rows": rows,
        "phases": [],
        "checks": [],
        "warnings": list(_warnings(rows, vocabulary)),
        "timing": {
            "wall_seconds": wall_seconds,
            "cpu_seconds": float(sum(s for cell, s in seconds.items() if cell not in cached)),
            "cells": len(seconds),
            "cached": len(cached),
            "failed": len({_cell(row) for row in failed}),
        },
    }


def _cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["run"], row["step"], row["layer"], row["estimator"]


def _estimators(
    rows: Iterable[Mapping[str, Any]], estimators: Sequence[Estimator]
) -> list[dict[str, Any]]:
    """Describe every estimator id that occurs in the rows."""
    quantities: dict[str, dict[str, None]] = {}
    for row in rows:
        quantities.setdefault(row["estimator"], {})[row["quantity"]] = None
    described = []
    for identifier, found in quantities.items():
        written = MeasureId.read(identifier)
        matches = [e for e in estimators if estimator_id(e) == identifier] or [
            e for e in estimators if e.name == written.name
        ]
        estimator = matches[0]
        params = plain(estimator.parameters())
        if estimator_id(estimator) != identifier:
            params |= {key: _written_back(value or "") for key, value in written.settings}
        described.append(
            {
                "id": identifier,
                "name": estimator.title,
                "version": version_of(estimator),
                "params": params,
                "quantities": list(found),
                "plugin": home_of(type(estimator)),
            }
        )
    return described


def _warnings(
    rows: Iterable[Mapping[str, Any]], vocabulary: Vocabulary
) -> Iterable[dict[str, Any]]:
    """Count flags: one warning per kind, not one per cell."""
    counts: Counter[str] = Counter()
    layers: dict[str, dict[str, None]] = {}
    reasons: Counter[str] = Counter()
    for row in rows:
        if "failed" in row["flags"] and "reason" in row["diag"]:
            reasons[str(row["diag"]["reason"])] += 1
        for flag in row["flags"]:
            counts[flag] += 1
            layers.setdefault(flag, {})[row["layer"]] = None
    for name, flag in vocabulary.flags.items():
        if not counts[name] or flag.code is None:
            continue
        hint = flag.remedy.replace("`", "")
        if name == "failed" and reasons:
            (hint, _), *others = reasons.most_common()
            hint += "; others in diag of each row" if others else ""
        yield {
            "code": flag.code,
            "flag": name,
            "message": flag.meaning,
            "count": counts[name],
            "layers": list(layers[name]),
            "hint": hint,
        }


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _written_back(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

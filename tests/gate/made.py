"""Results documents with chosen numbers, for the tests of the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoplane.results.phases import find_phases


def row(run: str, step: int, layer: str, value: float | None, **changed: Any) -> dict[str, Any]:
    return {
        "run": run,
        "step": step,
        "epoch": None,
        "layer": layer,
        "layer_index": int(layer[2:]) if layer[2:].isdecimal() else 0,
        "estimator": "binning",
        "quantity": "ixt",
        "value": value,
        "ci_low": None,
        "ci_high": None,
        "ci_level": None,
        "ci_method": "none",
        "unit": "bits",
        "n": 4096,
        "bound_low": 0.0,
        "bound_high": 12.0,
        "bound_name": "log2_n",
        "flags": [],
        "seconds": 0.1,
        "cached": False,
        "diag": {},
        **changed,
    }


def document(rows: Sequence[Mapping[str, Any]], *, group: str | None = "net") -> dict[str, Any]:
    """Return a complete results document of these rows."""
    runs = list(dict.fromkeys(r["run"] for r in rows))
    layers = dict.fromkeys((r["layer"], r["layer_index"]) for r in rows)
    ids = list(dict.fromkeys(r["estimator"] for r in rows))
    results = {
        "schema": "infoplane.results/1",
        "tool": {"name": "infoplane", "version": "0.1.0"},
        "created": "2026-11-21T20:47:03+00:00",
        "status": "complete",
        "config": {"analyze": {"seed": 0}},
        "config_hash": "sha256:" + "0" * 64,
        "environment": {"python": "3.11", "platform": "Linux", "packages": {}},
        "recordings": [
            {
                "run": run,
                "group": group,
                "path": f"runs/{run}",
                "content_hash": "sha256:00",
                "format": "infoplane.recording/1",
                "split": "probe",
                "seed": 0,
                "n": 4096,
                "n_dropped": 0,
                "n_classes": 10,
                "h_y": 3.3212,
                "log2_n": 12.0,
                "steps": sorted({r["step"] for r in rows if r["run"] == run}),
                "epochs": [None for _ in {r["step"] for r in rows if r["run"] == run}],
                "layers": [
                    {"name": name, "index": index, "type": "Tanh", "units": 10, "dtype": "float32"}
                    for name, index in layers
                ],
                "metrics": {},
                "gradients": {},
            }
            for run in runs
        ],
        "estimators": [
            {
                "id": name,
                "name": name.partition(":")[0],
                "version": "1",
                "params": {},
                "quantities": sorted({r["quantity"] for r in rows if r["estimator"] == name}),
                "plugin": None,
            }
            for name in ids
        ],
        "artifacts": {},
        "rows": [dict(r) for r in rows],
        "phases": [],
        "checks": [],
        "warnings": [],
        "timing": {"wall_seconds": 1.0, "cpu_seconds": 1.0, "cells": len(rows)},
    }
    results["phases"] = find_phases(results)
    return results


def compressing(
    *,
    last: float = 4.5,
    peak: float = 8.0,
    layers: Sequence[str] = ("fc4", "fc5"),
    runs: int = 3,
    spread: float = 0.02,
    estimators: Sequence[str] = ("binning",),
    name: str = "net",
) -> dict[str, Any]:
    """Return a document of curves that rise to ``peak``, stay, and fall to ``last``."""
    rng = np.random.default_rng(0)
    curve = [5.0, 6.5, peak, peak, peak, 7.0, 6.0, 5.0, last, last]
    rows = []
    for r in range(runs):
        shift = (r - (runs - 1) / 2) * spread
        for layer in layers:
            for estimator in estimators:
                for step, value in enumerate(curve):
                    noise = rng.normal(0, spread / 10)
                    rows.append(
                        row(f"{name}-s{r}", 10 * step, layer, value + shift + noise * (step < 9),
                            estimator=estimator)
                    )  # fmt: skip
    return document(rows, group=name)

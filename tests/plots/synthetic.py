"""Made-up results documents of known shape, for the tests of figures and report."""

from __future__ import annotations

from typing import Any

import numpy as np

ESTIMATORS: dict[str, dict[str, Any]] = {
    "binning": {
        "id": "binning",
        "name": "adaptive binning",
        "version": "1",
        "params": {"bins": 30, "mode": "adaptive"},
        "quantities": ["ixt", "ity"],
        "plugin": None,
    },
    "compressed": {
        "id": "compressed",
        "name": "compressed",
        "version": "1",
        "params": {"dims": 4, "method": "pca"},
        "quantities": ["ixt", "ity"],
        "plugin": None,
    },
    "dse": {
        "id": "dse",
        "name": "diffusion spectral",
        "version": "1",
        "params": {"sigma": "median", "max_samples": 2000},
        "quantities": ["dse", "dsmi_y", "dsmi_x"],
        "plugin": None,
    },
}


def results(
    *,
    n_layers: int = 5,
    n_steps: int = 71,
    n_seeds: int = 8,
    last_step: int = 20000,
    estimators: tuple[str, ...] = ("binning", "compressed", "dse"),
    names: list[str] | None = None,
    group: str | None = "tanh",
    n: int = 4096,
    h_y: float = 3.3212,
    saturated_layers: int = 1,
    on_one_point: int = 0,
    missing: float = 0.0,
    noise: float = 0.06,
    wiggle: float = 0.0,
    metrics: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a results document: fit, then compress more the deeper the layer.

    The first ``saturated_layers`` stay at log2 N; the last ``on_one_point`` share one curve;
    ``missing`` is the share of cells without a value; ``wiggle`` is a random walk.
    """
    rng = np.random.default_rng(seed)
    names = names or [f"fc{i + 1}" for i in range(n_layers)]
    n_layers = len(names)
    units = [max(3, round(1024 * 0.5**i)) if i < 8 else 10 for i in range(n_layers)]
    steps = np.unique(np.round(np.geomspace(1, last_step + 1, n_steps)).astype(int) - 1)
    if n_steps == 1:
        steps = np.array([last_step])
    u = np.log10(steps + 1.0)
    log2_n = float(np.log2(n))
    rows: list[dict[str, Any]] = []
    recordings = []
    for s in range(n_seeds):
        run = f"{group or 'run'}-s{s}"
        ability = rng.normal(0, 0.15)
        recordings.append(
            {
                "run": run,
                "group": group,
                "path": f"runs/{run}",
                "content_hash": f"sha256:{s:064x}",
                "format": "infoplane.recording/1",
                "split": "validation",
                "seed": s,
                "n": n,
                "n_classes": 10,
                "h_y": h_y,
                "log2_n": log2_n,
                "steps": [int(step) for step in steps],
                "layers": [
                    {"name": m, "index": i, "type": "Tanh", "units": k, "dtype": "float32"}
                    for i, (m, k) in enumerate(zip(names, units, strict=True))
                ],
                "metrics": {
                    "train_loss": [float(2.3 * np.exp(-0.7 * v)) for v in u],
                    "test_loss": [float(2.3 * np.exp(-0.6 * v) + 0.1 + 0.1 * ability) for v in u],
                }
                if metrics
                else {},
            }
        )
        for i, name in enumerate(names):
            depth = min(i, n_layers - on_one_point) / max(n_layers - 1, 1)
            walk = wiggle * np.cumsum(rng.normal(0, 1, len(u))) / np.sqrt(len(u))
            fit = 1 / (1 + np.exp(-4.0 * (u - 1.9 + 0.35 * depth + 0.1 * ability)))
            fall = np.clip(u - 2.9 + 0.7 * depth, 0, None) / 2.0
            for e, scale in zip(("binning", "compressed", "dse"), (1.0, 0.82, 0.6), strict=True):
                if e not in estimators:
                    continue
                flags: list[str] = []
                start = log2_n * (0.75 - 0.4 * depth)
                top = log2_n * (0.96 - 0.28 * depth)
                size = start + (top - start) * fit - fall * (0.6 + 4.0 * depth + ability)
                size = np.minimum(size, log2_n - 0.05) * scale + walk
                label = h_y * (0.45 - 0.33 * depth) + h_y * (0.53 - 0.03 * depth + 0.33 * depth) * (
                    1 / (1 + np.exp(-4.0 * (u - 2.0 + 0.1 * depth)))
                )
                if i < saturated_layers and e == "binning":
                    size = log2_n - 0.09 * np.exp(-u) - 0.002
                    label = h_y - 0.3 * np.exp(-u)
                    flags = ["saturated"]
                offset = 0.0 if n_seeds == 1 else rng.normal(0, 0.12)
                size = size + (0 if flags else offset + rng.normal(0, noise, len(u)))
                size = np.minimum(size, log2_n)
                label = np.minimum(label + rng.normal(0, noise / 5, len(u)) + walk / 6, h_y)
                if e == "dse":
                    quantities = {
                        "dse": (size, float(np.log2(2000)), "log2_n"),
                        "dsmi_y": (label * 0.7 - 0.4, h_y, "h_y"),
                        "dsmi_x": (size * 0.3 - 0.5, 4.0, "log2_k"),
                    }
                else:
                    quantities = {"ixt": (size, log2_n, "log2_n"), "ity": (label, h_y, "h_y")}
                for q, (values, bound, bound_name) in quantities.items():
                    for step, value in zip(steps, values, strict=True):
                        gone = rng.random() < missing
                        own = ["failed"] if gone else list(flags)
                        if not gone and value < 0:
                            own.append("negative")
                        rows.append(
                            {
                                "run": run,
                                "step": int(step),
                                "epoch": float(step) / 400,
                                "layer": name,
                                "layer_index": i,
                                "estimator": e,
                                "quantity": q,
                                "value": None if gone else float(value),
                                "ci_low": None if gone else float(value) - 0.12,
                                "ci_high": None if gone else float(value) + 0.12,
                                "ci_level": 0.95,
                                "ci_method": "subsample",
                                "unit": "bits",
                                "n": 2000 if e == "dse" else n,
                                "bound_low": 0.0,
                                "bound_high": bound,
                                "bound_name": bound_name,
                                "flags": own,
                                "seconds": 0.01,
                                "cached": False,
                                "diag": {"singleton_fraction": float(value / log2_n) ** 2}
                                if q == "ixt" and e == "binning"
                                else {},
                            }
                        )
    document: dict[str, Any] = {
        "schema": "infoplane.results/1",
        "tool": {"name": "infoplane", "version": "0.1.0"},
        "created": "2026-11-21T20:47:03Z",
        "status": "complete",
        "config": {"analyze": {"estimator": list(estimators), "seed": 0, "ci": 0.95}},
        "config_hash": "sha256:" + "9f" * 32,
        "environment": {
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "cpus": 2,
            "jobs": 2,
            "packages": {"infoplane": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"},
        },
        "recordings": recordings,
        "estimators": [ESTIMATORS[e] for e in estimators],
        "rows": rows,
        "phases": [],
        "checks": [],
        "warnings": [
            {
                "code": "IP201",
                "message": "estimates at the log2(N) ceiling",
                "count": n_steps,
                "layers": [names[0]],
                "hint": "record more samples, or use fewer bins",
            }
        ]
        if saturated_layers
        else [],
        "timing": {
            "costs": {"binning": {"scale": 1.0, "cells": 5}},
            "wall_seconds": 41.2,
            "cpu_seconds": 78.9,
            "cells": 1065,
            "cached": 355,
        },
    }
    from infoplane.results.phases import find_phases

    document["phases"] = find_phases(document)
    return document


def bracketed(
    *, wide_layers: int = 0, recorded: bool = False, width: float = 0.12, **shape: Any
) -> dict[str, Any]:
    """Return results of which ``binning`` is at log2 N in all layers, and ``compressed`` brackets.

    Noise is 0.25 median distances. The first ``wide_layers`` have bounds alone at the first half of
    the checkpoints. A layer grows by an octave per decade of steps, and holds a bit more at fixed
    noise for each octave. ``recorded`` inputs need no bracket: then log2 N bounds the values.
    """
    shape = {"n_layers": 7, "n_seeds": 1, "n_steps": 10, "last_step": 9, **shape}
    document = results(**{**shape, "estimators": ("binning", "compressed"), "saturated_layers": 99})
    rows: list[dict[str, Any]] = []
    last = max(row["step"] for row in document["rows"])
    h_y, n_layers = document["recordings"][0]["h_y"], len(document["recordings"][0]["layers"])
    for row in document["rows"]:
        if row["estimator"] == "binning":
            rows.append({**row, "flags": [*row["flags"], "sparse"]})
            continue
        time, deep = float(np.log10(row["step"] + 1)), row["layer_index"] / n_layers
        octaves = time - float(np.log10(last + 1))
        alone = row["layer_index"] < wide_layers and row["step"] < last / 2
        gap = None if recorded else 1.4 if alone else width
        if row["quantity"] == "ity":
            rows.append(_told(row, 0.4 * h_y * (1 + min(time, 1.0) * deep), gap))
            continue
        ixt = 5.2 - 2 * deep - min(time, 0.5) * (0.4 + deep) + 0.2 * max(time - 0.5, 0)
        ixt += 0.02 * int(row["run"][-1])
        rows.append(_told(row, ixt, gap))
        fixed = {**row, "quantity": "ixt_fixed"}
        scale = {**row, "quantity": "ixt_scale", "bound_high": None, "bound_name": "none"}
        rows += [_told(fixed, ixt + octaves, gap), _told(scale, octaves, None)]
        rows.append(_told({**scale, "quantity": "size", "unit": "octaves"}, octaves, None))
    document["rows"] = rows
    document["estimators"] = [
        document["estimators"][0],
        {**document["estimators"][1], "name": "lossy compression", "params": {}},
    ]
    from infoplane.results.phases import find_phases

    document["phases"] = find_phases(document)
    return document


def _told(row: dict[str, Any], value: float, gap: float | None) -> dict[str, Any]:
    """Return a row of a value, between two bounds if there is a gap; if it is wide, those alone."""
    around, alone = 0.5 * (gap or 0.0), gap is not None and gap > 1
    told = {
        **row, "setting": "c=0.25", "value": None if alone else value,
        "ci_low": None if alone else value - 0.03, "ci_high": None if alone else value + 0.03,
        "ci_method": "analytic", "flags": ["wide_bracket"] if alone else [], "diag": {},
    }  # fmt: skip
    if gap is not None:
        bounds = {"bound_low": value - around, "bound_high": value + around}
        told |= {**bounds, "bound_name": "bracket"}
    if row["quantity"] == "ixt":
        by_c = {
            str(c): [value + more, value + more - around, value + more + around]
            for c, more in ((0.2, 1.0), (0.25, 0.0), (0.35, -1.2))
        }
        told["diag"] = {"c": 0.25, "by_c": by_c}
    return told


PARTICIPATION = {"symbol": "PR", "unit": "dimensions"}
"""What a plug-in declares of its ``spread_ratio``."""


def of_a_plugin(alone: bool = True, **shape: Any) -> dict[str, Any]:
    """Return results of a plug-in that measures dimensions, bounded by the units of each layer.

    They fall as I(X;T) of `results` does; unless they stand ``alone``, that is there as well.
    """
    document = results(**{"estimators": ("binning",), "saturated_layers": 0, **shape})
    units = {layer["name"]: layer["units"] for layer in document["recordings"][0]["layers"]}
    measured = [
        {
            **row,
            "estimator": "dimension",
            "quantity": "spread_ratio",
            "unit": "dimensions",
            "value": row["value"] and min(2.0 ** (row["value"] / 4), units[row["layer"]]),
            "ci_low": None,
            "ci_high": None,
            "bound_high": float(units[row["layer"]]),
            "bound_name": "none",
            "diag": {},
        }
        for row in document["rows"]
        if row["quantity"] == "ixt"
    ]
    entry = {**ESTIMATORS["binning"], "id": "dimension", "name": "spread ratio",
             "params": {}, "quantities": ["spread_ratio"]}  # fmt: skip
    document["estimators"] = [*([] if alone else document["estimators"]), entry]
    document["rows"] = [*([] if alone else document["rows"]), *measured]
    document["quantities"] = {"spread_ratio": PARTICIPATION}
    from infoplane.results.phases import find_phases

    document["phases"] = find_phases(document)
    return document


def sampled(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with estimates on parts of the samples, gradients, and a known bottleneck.

    The first layer follows log2 N, the others grow by a tenth of a bit per doubling.
    """
    entries = []
    last = max(row["step"] for row in document["rows"])
    for row in document["rows"]:
        if row["step"] != last or row["quantity"] not in ("ixt", "dse") or row["value"] is None:
            continue
        for halving in range(1, 5):
            n = row["n"] >> halving
            slope = 1.0 if row["layer_index"] == 0 else 0.1
            keys = ("run", "step", "layer", "layer_index", "estimator", "quantity")
            entries.append(
                {
                    **{key: row[key] for key in keys},
                    "n": n,
                    "values": [row["value"] - slope * halving + d for d in (-0.05, 0.0, 0.05)],
                    "bound_high": float(np.log2(n)),
                }
            )
    h_y = document["recordings"][0]["h_y"]
    curve = {
        "n_inputs": document["recordings"][0]["n"],
        "deterministic": True,
        "mutual_information": h_y,
        "h_sufficient": h_y,
        "ixt": [0.0, h_y],
        "ity": [0.0, h_y],
        "converged": [True, True],
    }
    recordings = [
        {**recording, "bottleneck": curve, "gradients": gradients(recording)}
        for recording in document["recordings"]
    ]
    return {**document, "recordings": recordings, "sampling": entries}


def gradients(recording: dict[str, Any]) -> dict[str, Any]:
    """Return gradient statistics of the layers of a recording: the mean falls below the spread."""
    steps = recording["steps"]
    time = np.log10(np.array(steps) + 1.0)
    return {
        layer["name"]: {
            "steps": steps,
            "snr": (5 * 10 ** (-time * 0.3)).tolist(),
            "relative_mean": (0.1 * 10 ** (-time * (0.5 + 0.05 * recording["seed"]))).tolist(),
            "relative_spread": (0.02 * 10 ** (-time * 0.2)).tolist(),
            "transition": {"epoch": steps[len(steps) // 2]} if len(steps) > 4 else None,
        }
        for layer in recording["layers"]
    }


def shapes() -> dict[str, dict[str, Any]]:
    """Return the data shapes that figures have to survive, by name."""
    long_names = [
        f"module.backbone.layer{b + 1}.{i}.conv{c + 1}.activation_post_process"
        for b in range(4)
        for i in range(5)
        for c in range(3)
    ]
    shaped = {
        "five": results(),
        "single": results(n_seeds=1, group=None, noise=0.1, wiggle=0.6, n_steps=35),
        "one_checkpoint": results(n_steps=1),
        "three": results(n_layers=3, n_seeds=3, saturated_layers=0, n_steps=10, last_step=10),
        "sixty": results(names=long_names, n_seeds=2, n_steps=30, saturated_layers=6),
        "saturated": results(n_layers=4, n_seeds=2, saturated_layers=4, n_steps=20),
        "missing": results(missing=0.3, n_seeds=2, n_steps=25),
        "one_point": results(n_layers=7, on_one_point=4, n_seeds=1, noise=0.0, n_steps=30),
        "binning_only": results(estimators=("binning",), n_seeds=4, h_y=1.0, n_steps=35),
        "bracketed": bracketed(wide_layers=2),
        "odd_names": results(
            names=["$x_1$", "a_b^c", "<script>alert(1)</script>", "層.ReLU", "-"],
            n_seeds=2,
            n_steps=20,
        ),
    }
    return {name: sampled(document) for name, document in shaped.items()}


def of_representations(
    *, n_layers: int = 3, n_steps: int = 8, n_seeds: int = 1, names: list[str] | None = None
) -> dict[str, Any]:
    """Return results of a network whose layers warm up, spread, and lose rank again.

    The exponent moves against the rank, NC1 falls by 10 with each decade of steps, and the training
    error is 0 from the middle checkpoint on. Eigenvalues fall as a power of rank.
    """
    shape = {"n_layers": n_layers, "n_steps": n_steps, "n_seeds": n_seeds, "names": names}
    document = results(**{**shape, "estimators": ("binning",), "saturated_layers": 0})
    steps = document["recordings"][0]["steps"]
    for recording in document["recordings"]:
        right = [0.5 if step < steps[len(steps) // 2] else 1.0 for step in steps]
        recording["metrics"] = {"train_accuracy": right}
    rows = []
    for row in document["rows"]:
        if row["quantity"] != "ixt":
            continue
        at, deep = steps.index(row["step"]) / (len(steps) - 1), row["layer_index"] / n_layers
        course = np.interp(at, [0.0, 1 / (len(steps) - 1), 0.6, 1.0], [1.0, 0.4, 1.4, 0.5])
        alpha = 2.0 - course
        eigenvalues = {
            "ranks": list(range(1, 61)),
            "values": (np.arange(1, 61) ** -alpha).tolist(),
            "sum": float((np.arange(1, 61) ** -alpha).sum()),
            "floor": 0.0,
        }
        measured = {
            "effective_rank": (40.0 * course * (1 - 0.5 * deep), "dimensions", 90.0),
            "alpha_req": (alpha, "exponent", 0.2),
            "nc1": (10.0 / (row["step"] + 1.0), "ratio", 100.0),
            "cdnv": (4.0 / (row["step"] + 1.0), "ratio", 80.0),
            "label_alignment": (0.1 + 0.8 * at * deep, "ratio", 0.01),
        }
        for quantity, (value, unit, null) in measured.items():
            estimator = "spectrum" if unit in ("dimensions", "exponent") else "collapse"
            diag: dict[str, Any] = {"null": null}
            if quantity == "effective_rank":
                diag["eigenvalues"] = eigenvalues
            if quantity == "alpha_req":
                diag["ranks"] = [12, 60]
            rows.append(
                {
                    **row, "estimator": estimator, "quantity": quantity, "unit": unit,
                    "value": value, "ci_low": value * 0.99, "ci_high": value * 1.01,
                    "bound_high": None, "bound_name": "none", "flags": [], "diag": diag,
                }
            )  # fmt: skip
    document["rows"] = rows
    document["estimators"] = [
        {**ESTIMATORS["binning"], "id": one, "name": name, "params": {}, "quantities": []}
        for one, name in (("spectrum", "spectrum"), ("collapse", "class geometry"))
    ]
    from infoplane.results.phases import find_phases

    document["phases"] = find_phases(document)
    return document

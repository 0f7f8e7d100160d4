"""Compression and generalisation: how the change of a layer goes with the gap of its run.

A correlation over runs of one group is not a cause, and runs of different groups differ in more
than chance: they are never pooled.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from infoplane.data import FloatArray
from infoplane.numerics.holm import holm
from infoplane.results.curves import CurveKey, Curves, curves, group_of_runs
from infoplane.results.phases import run_changes

FEWEST_RUNS = 5
"""Below this many runs nothing is said."""

_RESAMPLES = 2000
_HELD_OUT = ("test", "val", "valid", "validation")


def generalization_gaps(results: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Return what the gap is made of, and the gap per run at its last step.

    Held-out loss minus training loss, or training accuracy minus held-out accuracy where no losses
    are recorded; runs without either are left out.
    """
    for quantity, sign in (("loss", 1.0), ("accuracy", -1.0), ("acc", -1.0)):
        gaps = {}
        for recording in results["recordings"]:
            metrics = recording.get("metrics") or {}
            held_out = next((m for h in _HELD_OUT if (m := metrics.get(f"{h}_{quantity}"))), None)
            train = metrics.get(f"train_{quantity}")
            if train and held_out and None not in (train[-1], held_out[-1]):
                gaps[recording["run"]] = sign * (held_out[-1] - train[-1])
        if gaps:
            words = "test − train loss" if sign > 0 else "train − test accuracy"
            return words, gaps
    return "", {}


def gap_correlations(
    results: Mapping[str, Any],
    *,
    group: str | None = None,
    estimator: str | None = None,
    seed: int = 0,
    known: Mapping[CurveKey, Curves] | None = None,
) -> list[dict[str, Any]]:
    """Return the rank correlation of change and generalisation gap over runs.

    Parameters
    ----------
    results : mapping
        A results document with metrics of at least 5 runs of a group.
    group, estimator : str, optional
        Only this group, only this estimator; all by default.
    seed : int, default 0
        Seed of the bootstrap and of the permutations.
    known : mapping, optional
        `infoplane.results.curves.curves` of the results, where they have been found.

    Returns
    -------
    list of dict
        Per group, layer, estimator and quantity (I(X;T) or DSE) that is not saturated: ``gap``
        (what it is made of), ``runs``, ``changes`` (last - peak per run, bits; the peak is chosen
        on the other runs), ``gaps``, ``n``, ``spearman`` with a percentile bootstrap interval
        ``low`` and ``high``, the permutation p-value ``p`` (two-sided), and ``p_holm``, corrected
        over the layers of one estimator. Empty without metrics of 5 runs.
    """
    words, gaps = generalization_gaps(results)
    groups = group_of_runs(results)
    found: list[dict[str, Any]] = []
    for curve in (curves(results) if known is None else known).values():
        runs = [run for run in curve.runs if run in gaps and groups.get(run) == curve.group]
        if curve.quantity not in ("ixt", "dse") or curve.is_saturated or len(runs) < FEWEST_RUNS:
            continue
        if curve.group != (group or curve.group) or curve.estimator != (
            estimator or curve.estimator
        ):
            continue
        changes = run_changes(curve)
        runs = [run for run in runs if run in changes]
        if len(runs) < FEWEST_RUNS:
            continue
        points = np.array([[changes[run], gaps[run]] for run in runs])
        key = "\x1f".join((curve.group, curve.layer, curve.estimator, curve.quantity))
        rng = np.random.default_rng(
            [seed, zlib.crc32(key.encode("utf-8", "surrogatepass"))]
        )  # whatever else is there
        found.append(
            {
                "group": curve.group,
                "layer": curve.layer,
                "estimator": curve.estimator,
                "quantity": curve.quantity,
                "gap": words,
                "runs": runs,
                "changes": points[:, 0].tolist(),
                "gaps": points[:, 1].tolist(),
                "n": len(runs),
                **_correlation(points, rng),
            }
        )
    _holm(found)
    return found


def spearman(points: FloatArray) -> float | None:
    """Return the rank correlation of points (n, 2); None below 3 points or without spread."""
    if len(points) < 3:
        return None
    rho = float(_rank_correlation(points[:, 0], points[:, 1]))
    return rho if np.isfinite(rho) else None


def _rank_correlation(x: FloatArray, y: FloatArray) -> FloatArray:
    """Rank correlation over the last axis of x and y (..., n); NaN where one does not vary."""
    a, b = _centred_ranks(x), _centred_ranks(y)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho: FloatArray = np.where(scale > 0, (a * b).sum(axis=-1) / scale, np.nan)
    return rho


def _centred_ranks(values: FloatArray) -> FloatArray:
    """Return ranks over the last axis (..., n), ties at their mean rank, less the mean."""
    own, other = values[..., :, None], values[..., None, :]
    ranks = (other < own).sum(axis=-1) + 0.5 * (other == own).sum(axis=-1)
    centred: FloatArray = ranks - ranks.mean(axis=-1, keepdims=True)
    return centred


def _correlation(points: FloatArray, rng: np.random.Generator) -> dict[str, float | None]:
    rho = spearman(points)
    if rho is None:
        return {"spearman": None, "low": None, "high": None, "p": None}
    n = len(points)
    again = points[rng.integers(0, n, (_RESAMPLES, n))]
    resampled = _rank_correlation(again[..., 0], again[..., 1])
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    shuffled = rng.permuted(np.tile(points[:, 1], (_RESAMPLES, 1)), axis=1)
    chance = _rank_correlation(np.broadcast_to(points[:, 0], shuffled.shape), shuffled)
    as_large = int((np.abs(chance) >= abs(rho) - 1e-12).sum())
    return {
        "spearman": rho,
        "low": float(low),
        "high": float(high),
        "p": (1 + as_large) / (1 + _RESAMPLES),
    }


def _holm(found: list[dict[str, Any]]) -> None:
    """Add ``p_holm``, corrected over the layers of one group, estimator and quantity."""
    families: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for entry in found:
        entry["p_holm"] = None
        if entry["p"] is not None:
            key = entry["group"], entry["estimator"], entry["quantity"]
            families.setdefault(key, []).append(entry)
    for family in families.values():
        for entry, corrected in zip(family, holm([e["p"] for e in family]), strict=True):
            entry["p_holm"] = corrected

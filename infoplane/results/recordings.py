"""Entries of the analyzed runs in results: samples, layers, metrics, losses, gradients, bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoplane.data import IntArray, LayerInfo, ProbeSet, plain
from infoplane.numerics.discrete.bottleneck import (
    information_bottleneck_curve,
    recorded_distribution,
)
from infoplane.numerics.gradients import transition_if_any
from infoplane.numerics.loss_curves import binned
from infoplane.results.file import check_recordings
from infoplane.results.merging import separate_unlike
from infoplane.runs.run import Run
from infoplane.runs.step_info import StepInfo
from infoplane.step_record import LossLog

_MOST_LOSSES = 400  # points of a loss curve that results keep


def describe_recordings(
    runs: Mapping[Run, tuple[Sequence[LayerInfo], Sequence[int]]],
) -> list[dict[str, Any]]:
    """Return the ``recordings`` of the document: what is analyzed of each run.

    Runs of one group whose layers or numbers of samples differ are no repetitions of one another:
    they become groups of their own, with a warning.
    """
    recordings = [_recording(run, *chosen) for run, chosen in runs.items()]
    bounds: dict[tuple[Any, ...], dict[str, Any] | None] = {}
    for run, recording in zip(runs, recordings, strict=True):
        key = run.manifest["probe"].get("sha256"), run.dropped, run.split, run.label_bins
        if key[0] is None or key not in bounds:
            bounds[key] = _bottleneck(run.probe)
        recording["bottleneck"] = bounds[key]
    separate_unlike(recordings)
    for run, recording in zip(runs, recordings, strict=True):
        check_recordings([recording], f"{run.path}: ")
    return recordings


def label_entropy(labels: IntArray | None) -> float | None:
    """Return H(Y) of the recorded labels, in bits."""
    if labels is None:
        return None
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log2(share)).sum()) + 0.0


def _targets(probe: ProbeSet) -> int:
    """Return the number of real targets that stand for labels, 0 if there are labels or none."""
    if probe.labels is not None or probe.targets is None:
        return 0
    return int(probe.targets[0].size)


def _sequences(probe: ProbeSet) -> int:
    """Return the number of sequences that the rows are tokens of; 0 if they are samples."""
    return 0 if probe.sequences is None else len(np.unique(probe.sequences))


def _recording(run: Run, layers: Sequence[LayerInfo], steps: Sequence[int]) -> dict[str, Any]:
    manifest, probe = run.manifest, run.probe
    infos = [run.step_info(step) for step in steps]
    names = sorted({name for info in infos for name in info.metrics})
    return {
        "run": run.name,
        "group": run.group,
        "path": str(run.path),
        "content_hash": run.content_hash(),
        "format": "infoplane.recording/1",
        "split": run.split or str(manifest.get("split") or "probe"),
        "seed": manifest.get("seed"),
        "n": probe.n_samples,
        "n_dropped": len(run.dropped),
        **({"n_sequences": n} if (n := _sequences(probe)) else {}),
        **({"inputs": False} if probe.n_samples and probe.known_inputs is None else {}),
        "n_classes": None if probe.labels is None else len(np.unique(probe.labels)),
        "h_y": label_entropy(probe.labels),
        **({"label_bins": run.label_bins} if run.label_bins is not None else {}),
        **({"n_targets": n_targets} if (n_targets := _targets(probe)) else {}),
        "log2_n": float(np.log2(max(probe.n_samples, 1))),
        "steps": list(steps),
        "epochs": [info.epoch for info in infos],
        "layers": [
            {
                "name": layer.name,
                "index": layer.index,
                "type": layer.type,
                "units": layer.n_units,
                "dtype": layer.encoding or layer.dtype,
                "reduction": layer.reduction,
                "noise": layer.noise,
                **({"roles": list(layer.roles)} if layer.roles else {}),
            }
            for layer in layers
        ],
        "metrics": {name: [info.metrics.get(name) for info in infos] for name in names},
        **({"losses": _losses(run.losses)} if len(run.losses) else {}),
        "gradients": _gradients(infos) if run.split in (None, *list(run.splits)[:1]) else {},
    }


def _bottleneck(probe: ProbeSet) -> dict[str, Any] | None:
    """Return the information bottleneck curve where p(y|x) of a discrete X is known, in bits."""
    if probe.labels is None or probe.known_inputs is None:
        return None
    joint = recorded_distribution(probe.inputs, probe.labels)
    if joint is None:
        return None
    curve = information_bottleneck_curve(joint, max_iterations=2000)
    order = np.argsort(curve.ixt)
    found: dict[str, Any] = plain(
        {
            "n_inputs": len(joint),
            "deterministic": curve.deterministic,
            "mutual_information": curve.mutual_information,
            "h_sufficient": curve.h_sufficient,
            "ixt": curve.ixt[order],
            "ity": curve.ity[order],
            "converged": curve.converged[order],
        }
    )
    return found


def _losses(log: LossLog) -> dict[str, Any]:
    """Return the loss curve in nats; of many losses, means over parts of equal length in log t."""
    times, unit = log.counted()
    if (np.diff(times) <= 0).any():
        times, unit = log.steps.astype(np.float64) + 1.0, "steps"
    kept = np.isfinite(log.losses) & (times > 0)
    losses, times, counts = binned(log.losses[kept], times[kept], _MOST_LOSSES)
    told = {"unit": unit, "n": len(log), "at": times, "loss": losses, "counts": counts}
    found: dict[str, Any] = plain(told)
    return found


def _gradients(infos: Sequence[StepInfo]) -> dict[str, Any]:
    """Return gradient statistics by layer, with the drop of their signal-to-noise ratio."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for info in infos for name in info.gradients):
        steps = [info.step for info in infos if name in info.gradients]
        kept = [info.gradients[name] for info in infos if name in info.gradients]
        mean, spread, weight = (
            np.array([one[key] for one in kept]) for key in ("mean_norm", "spread", "weight_norm")
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = mean / spread
            relative_mean, relative_spread = mean / weight, spread / weight
        found[name] = plain(
            {
                "steps": steps,
                "snr": snr,
                "relative_mean": relative_mean,
                "relative_spread": relative_spread,
                "transition": transition_if_any(steps, snr),
            }
        )
    return found

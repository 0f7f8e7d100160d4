"""Inspection of a recorded run or a results document, as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.data import Array, Slot, plain
from infoplane.errors import InfoplaneError
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.results.file import read_results
from infoplane.runs.files import RunFiles
from infoplane.runs.run import Run
from infoplane.runs.verify import Finding, verify

SCHEMA = "infoplane.results.inspection/1"
_MOST_VALUES = 2**26  # of a layer whose rows are compared for being distinct
_ROWS = 65_536  # read at a time


def describe(path: Path, *, every_step: bool = False) -> dict[str, Any]:
    """Return what a run folder, a packed run or a results document holds.

    Parameters
    ----------
    path : Path
        Of any of them.
    every_step : bool, default False
        Whether the numbers of the layers are given at every step, not at the last one alone.

    Raises
    ------
    InfoplaneError
        If it is none of them, or damaged beyond its steps.
    """
    if path.is_file() and not _is_hdf5(path):
        return describe_results(path)
    return describe_run(Run(path), every_step=every_step)


def damage(path: Path) -> list[Finding]:
    """Return what is wrong with a run; a results document is read, which tells its damage.

    Raises
    ------
    InfoplaneError
        If it is a results document that cannot be read.
    """
    if path.is_file() and not _is_hdf5(path):
        read_results(path)
        return []
    return verify(Run(path))


def is_empty(path: Path) -> bool:
    """Tell whether this is a run without a complete step."""
    return not (path.is_file() and not _is_hdf5(path)) and not Run(path).steps


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x89HDF"
    except OSError:
        return False  # the reader of results says what is wrong


def describe_run(run: Run, *, every_step: bool = False) -> dict[str, Any]:
    """Return what a run holds; steps that cannot be read are listed with the reason."""
    infos, damaged = {}, {}
    for step in run.steps:
        try:
            infos[step] = run.step_info(step)
        except InfoplaneError as error:
            damaged[step] = str(error)
    labels = run.probe.labels
    counts = None if labels is None else np.unique(labels, return_counts=True)[1]
    manifest = run.manifest
    shown = list(infos) if every_step else list(infos)[-1:]
    return {
        "path": str(run.path),
        "kind": _kind(run),
        "format": f"{manifest['format']}/{manifest['version']}",
        "bytes": sum(part.stat().st_size for part in files_of(run)),
        "status": "damaged" if damaged else "empty" if not infos else "complete",
        "damaged": [{"step": step, "reason": why} for step, why in damaged.items()],
        "unfinished": 0 if run.packed else len(list(run.path.rglob("step_*.h5.tmp"))),
        "incomplete": [{"step": step, "reason": why} for step, why in run.incomplete.items()],
        "run": run.name,
        "manifest": {key: plain(value) for key, value in manifest.items()},
        "n": run.n_samples,
        "passes": max((len(run.slots_of_passes(one)) for one in run.layers), default=1),
        "splits": dict(run.splits),
        "inputs": None if run.probe.known_inputs is None else list(run.probe.inputs.shape[1:]),
        "classes": None if counts is None else counts.tolist(),
        "h_y": None if counts is None else _entropy(counts),
        "log2_n": float(np.log2(max(run.n_samples, 1))),
        "steps": list(run.steps),
        "metrics": sorted({name for info in infos.values() for name in info.metrics}),
        "gradients": any(info.gradients for info in infos.values()),
        "curvature": any(info.curvature for info in infos.values()),
        "losses": _losses(run),
        "layers": [
            {
                "step": step,
                "name": layer.name,
                "index": layer.index,
                "type": layer.type,
                "shape": list(layer.shape),
                "units": layer.n_units,
                "dtype": layer.dtype,
                "reduction": layer.reduction,
                "noise": layer.noise,
                "noise_in": layer.noise_in,
                "random": layer.random,
                "nonfinite": layer.nonfinite,
                "roles": list(layer.roles),
                "head": layer.head,
                **_numbers(run, step, layer),
            }
            for step in shown
            for layer in infos[step].layers
        ],
        "weights": [
            {
                "step": step,
                "name": weight.name,
                "type": weight.type,
                "shape": list((weight.summary or weight).shape),
                "dtype": weight.summary.dtype
                if weight.summary
                else weight.encoding or weight.dtype,
                "kept": "whole" if weight.summary is None else weight.reduction,
                "roles": list(weight.roles),
                "tied": list(weight.tied),
                "nonfinite": weight.nonfinite,
            }
            for step in shown
            for weight in infos[step].weights
        ],
    }


def _losses(run: Run) -> dict[str, Any] | None:
    """Return what the loss log holds, None if there is none."""
    try:
        log = run.losses
    except InfoplaneError as error:
        return {"n": None, "error": str(error)}
    if not len(log):
        return None
    bad = ~np.isfinite(log.losses)
    return {
        "n": len(log),
        "first_step": int(log.steps[0]),
        "last_step": int(log.steps[-1]),
        "tokens": float(log.tokens[-1]) if log.has_tokens else None,
        "nonfinite": int(bad.sum()),
        "first_nonfinite": int(log.steps[bad][0]) if bad.any() else None,
        "error": None,
    }


def _kind(run: Run) -> str:
    if run.shards:
        return f"run of {len(run.shards)} processes"
    return "packed run" if run.packed else "run"


def _entropy(counts: Array) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _numbers(run: Run, step: int, layer: Slot) -> dict[str, Any]:
    """Return range, zeros, dead units and distinct rows of a layer, read in blocks."""
    try:
        return _numbers_of(_blocks(run, step, layer), run.n_samples * layer.n_units)
    except InfoplaneError as error:
        return {"min": None, "max": None, "zeros": None, "distinct": None, "error": str(error)}


def _blocks(run: Run, step: int, layer: Slot) -> Iterator[Array]:
    for block in run.blocks(step, layer, _ROWS):
        yield run.values_of(block.reshape(len(block), -1), layer)


def _numbers_of(blocks: Iterable[Array], size: int) -> dict[str, Any]:
    low, high, zeros, all_finite = np.inf, -np.inf, 0, True
    first, varies, kept = None, np.False_, []
    for block in blocks:
        first = block[0] if first is None else first
        finite = block[np.isfinite(block)] if block.dtype.kind == "f" else block
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        zeros += block.size - int(np.count_nonzero(block))
        varies = varies | (block != first).any(axis=0)
        all_finite &= finite.size == block.size
        kept += [block] if size <= _MOST_VALUES and all_finite else []
    return {
        "min": low if low <= high else None,
        "max": high if low <= high else None,
        "zeros": zeros / size,
        "constant_units": int((~varies).sum()),
        "distinct": row_symbols(np.concatenate(kept)).n_states
        if len(kept) and all_finite
        else None,
    }


def files_of(run: RunFiles) -> Iterator[Path]:
    """Yield the files of a run."""
    if run.packed:
        yield run.path
        return
    for shard in run.shards:
        yield from files_of(shard)
    if run.shards:
        return
    yield run.path / "manifest.json"
    if run.has_samples:
        yield run.path / "probe.h5"
    if run.log_bytes:
        yield run.log_file
    yield from (run.step_file(step) for step in run.steps)


def contents(run: Run) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """Yield what is stored: name, shape, dtype and bytes of every array, step by step."""
    for name, array in (
        ("probe/inputs", run.probe.known_inputs),
        ("probe/labels", run.probe.labels),
    ):
        if array is not None:
            yield name, array.shape, str(array.dtype), array.nbytes
    for step in run.steps:
        for slot in run.step_info(step).slots:
            values = run.stored(step, slot)
            yield f"step {step}/{slot.name}", values.shape, slot.dtype, values.nbytes


def describe_results(path: Path) -> dict[str, Any]:
    """Return what a results document holds."""
    document = read_results(path)
    rows = document["rows"]
    flags = Counter(flag for row in rows for flag in row.get("flags", ()))
    return {
        "path": str(path),
        "kind": "results",
        "format": document["schema"],
        "bytes": path.stat().st_size,
        "status": document.get("status"),
        "created": document.get("created"),
        "tool": document.get("tool"),
        "environment": document.get("environment"),
        "recordings": [_recording(recording) for recording in document["recordings"]],
        "estimators": [
            {key: estimator.get(key) for key in ("id", "name", "version", "params")}
            for estimator in document["estimators"]
        ],
        "rows": len(rows),
        "without_value": sum(row.get("value") is None for row in rows),
        "quantities": sorted({str(row.get("quantity")) for row in rows}),
        "flags": dict(flags.most_common()),
        "verdicts": dict(Counter(str(phase["verdict"]) for phase in document["phases"])),
        "warnings": document.get("warnings", []),
        "checks": len(document.get("checks", [])),
        "similarities": _similarities(document.get("similarities")),
    }


def _similarities(member: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the measures, the number of pairs by axis, and the flags of similarities."""
    if not member:
        return None
    rows = member["rows"]
    return {
        "measures": [measure["id"] for measure in member["measures"]],
        "pairs": dict(Counter(row["axis"] for row in rows)),
        "without_value": sum(row["value"] is None for row in rows),
        "flags": dict(Counter(flag for row in rows for flag in row["flags"]).most_common()),
    }


def _recording(recording: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("run", "group", "path", "seed", "split", "n", "n_classes", "h_y", "content_hash")
    return {key: recording.get(key) for key in kept} | {
        "steps": len(recording["steps"]),
        "layers": [str(layer.get("name")) for layer in recording["layers"]],
    }

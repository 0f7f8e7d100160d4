"""Runs that several processes record together, each a block of the rows of the probe set.

::

    RUN/
      shard-0001-of-0004/    a run of the first rows, written by the first process
      shard-0002-of-0004/    a run of the rows behind them
      ...

A shard is a run like any other, with a writer, a lock and complete steps of its own. Its manifest
says under ``shard`` which of how many it is, and what the whole probe set is. Nothing is shared
between the processes but the folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.arrays import collected
from infoplane.data import Array, ProbeSet
from infoplane.errors import InputError, RunFileError
from infoplane.runs.checksum import joined_crc32
from infoplane.runs.layout import KINDS
from infoplane.runs.probe_parts import probe_manifest, probe_parts, read_probe

_NAME = re.compile(r"shard-(\d{4,6})-of-(\d{4,6})")
_OF_ROWS = ("crc32", "n_nonfinite", "n_zero", "min", "max")
"""What the metadata tell of the values of a layer; everything else is the same in all shards."""

_OWN = ("created", "shard", "probe", "provenance")
"""Members of the manifest in which shards may differ."""


def shard_rows(n_samples: int, index: int, count: int) -> slice:
    """Return the rows of the probe set that a shard holds; ``index`` counts from 0.

    Raises
    ------
    InputError
        If there is no such shard, or one would have fewer than 2 rows.
    """
    if not 0 <= index < count:
        raise InputError(f"shard: expected an index from 0 to {count - 1}, got {index}")
    if n_samples < 2 * count:
        raise InputError(
            f"expected at least 2 probe samples for each of {count} processes, got {n_samples}"
        )
    return slice(n_samples * index // count, n_samples * (index + 1) // count)


def shard_folder(path: Path, index: int, count: int) -> Path:
    """Return the folder of a shard of the run ``path``; ``index`` counts from 0.

    Raises
    ------
    RunFileError
        If the folder holds a run of one process, or of another number of processes.
    """
    if (path / "manifest.json").exists():
        raise RunFileError(
            f"{path}: holds a run that was recorded by one process",
            hint="choose another folder",
            code="IP302",
        )
    for _, other in _found(path):
        if other != count:
            raise RunFileError(
                f"{path}: holds a run that was recorded by {other} processes, expected {count}",
                hint="choose another folder",
                code="IP302",
            )
    return path / f"shard-{index + 1:04d}-of-{count:04d}"


def shard_manifest(probe: ProbeSet, index: int, count: int) -> dict[str, Any]:
    """Return what the manifest of a shard says besides that of a run."""
    return {"shard": {"index": index + 1, "count": count, "probe": probe_manifest(probe)}}


def shard_folders(path: Path) -> list[Path]:
    """Return the folders of all shards of a run in their order; none if it has no shards.

    Raises
    ------
    RunFileError
        If one is missing, or they are of different numbers of processes.
    """
    found = _found(path)
    if not found:
        return []
    counts = sorted({count for _, count in found})
    if len(counts) > 1:
        raise RunFileError(
            f"{path}: expected the shards of one recording, found some of {counts[0]} and some of "
            f"{counts[1]} processes",
            hint="remove those that do not belong to it",
        )
    indices = {index for index, _ in found}
    if missing := [index for index in range(1, counts[0] + 1) if index not in indices]:
        more = f" and {len(missing) - 1} more are" if missing[1:] else " is"
        raise RunFileError(
            f"{path}: shard {missing[0]} of {counts[0]}{more} missing or has no complete step, so "
            "no step of the run is complete",
            hint="put it there; or record all of them again, each process its own",
            code="IP303",
        )
    return [path / f"shard-{index:04d}-of-{counts[0]:04d}" for index in sorted(indices)]


def present_shards(path: Path) -> list[Path]:
    """Return the folders of those shards of a run that hold a step, in their order."""
    return [path / f"shard-{index:04d}-of-{count:04d}" for index, count in sorted(_found(path))]


def _found(path: Path) -> list[tuple[int, int]]:
    """Return index, from 1, and count of every shard that has begun."""
    try:
        names = [entry.parent.name for entry in path.glob("shard-*-of-*/manifest.json")]
    except OSError:
        return []
    return [(int(name[1]), int(name[2])) for name in map(_NAME.fullmatch, names) if name]


def joined_manifest(manifests: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """Return the manifest of a run, of those of its shards.

    Raises
    ------
    RunFileError
        If the shards were recorded with different settings or of different probe sets.
    """
    first = manifests[0]
    whole = first.get("shard")
    if not isinstance(whole, dict) or not isinstance(whole.get("probe"), dict):
        raise RunFileError(f"{path}: expected an object under 'shard' in the manifests of shards")
    for number, other in enumerate(manifests[1:], 2):
        for key in sorted({*first, *other} - set(_OWN)):
            if first.get(key) != other.get(key):
                raise RunFileError(
                    f"{path}: the processes recorded otherwise: {key} is {first.get(key)!r} in the "
                    f"manifest of shard 1, {other.get(key)!r} in that of shard {number}",
                    hint="record again, with the same arguments in every process",
                )
        theirs = other.get("shard")
        if not isinstance(theirs, dict) or theirs.get("probe") != whole["probe"]:
            raise RunFileError(
                f"{path}: shards 1 and {number} are of different probe sets",
                hint="record again, with the same probe set in every process",
            )
    joined = {key: value for key, value in first.items() if key != "shard"}
    return {**joined, "probe": whole["probe"]}


def joined_probe(probes: Sequence[ProbeSet], about: Mapping[str, Any]) -> ProbeSet:
    """Return the whole probe set, that the manifest tells ``about``, of those of the shards.

    Raises
    ------
    InputError
        If the arrays do not fit each other.
    """
    parts = [probe_parts(probe) for probe in probes]
    try:
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except (KeyError, ValueError) as error:
        raise InputError(f"the probe sets of the shards do not fit each other: {error}") from error
    return read_probe(whole.__contains__, whole.__getitem__, about)


def joined_meta(
    metas: Sequence[Mapping[str, Any]], about: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the metadata of a step, of those in its shards.

    What has no rows of samples (weights, metrics, provenance, ...) is that of the first shard.

    Parameters
    ----------
    metas : sequence of mapping
        The checked metadata of the step in the shards, in their order.
    about : mapping
        What the manifest says of the whole probe set.
    where : str
        The run and the step, for messages.

    Raises
    ------
    RunFileError
        If the shards do not have the same layers, computed with the same weights.
    """
    first = metas[0]
    kinds = {
        about.member: (kind, [dict(entry) for entry in first[about.member]])
        for kind, about in KINDS.items()
        if about.by_sample and about.member in first
    }
    for number, meta in enumerate(metas[1:], 2):
        for member, (kind, joined) in kinds.items():
            others = meta.get(member, ())
            if len(others) != len(joined):
                raise _disagreeing(where, number, member, len(joined), len(others))
            for one, other in zip(joined, others, strict=True):
                for key in ("name", *sorted({*one, *other} - set(_OF_ROWS))):
                    if one.get(key) != other.get(key):
                        what = f"{key} of {kind} {one['name']!r}"
                        raise _disagreeing(where, number, what, one.get(key), other.get(key))
                _add(one, other, int(meta["n_samples"]))
        weights = [found["provenance"].get("parameters_hash") for found in (first, meta)]
        if weights[0] != weights[1]:
            raise RunFileError(
                f"{where}: shards 1 and {number} were recorded with different weights",
                hint="buffers such as those of BatchNorm differ between processes: use "
                "SyncBatchNorm, or record in the first process alone (shard=False)",
            )
    return {
        **first,
        "n_samples": about["n_samples"],
        "probe_sha256": about.get("sha256"),
        **{member: joined for member, (_, joined) in kinds.items()},
    }


def _add(layer: dict[str, Any], more: Mapping[str, Any], rows: int) -> None:
    """Add to what is known of a layer what is known of the rows behind it."""
    size = rows * math.prod(layer["shape"]) * np.dtype(layer["dtype"]).itemsize
    layer["crc32"] = joined_crc32(layer["crc32"], more["crc32"], size)
    for key in ("n_nonfinite", "n_zero"):
        layer[key] += more[key]
    for key, choose in (("min", min), ("max", max)):
        known = [value for value in (layer[key], more[key]) if value is not None]
        layer[key] = choose(known) if known else None


def _disagreeing(where: str, number: int, what: str, one: object, other: object) -> RunFileError:
    return RunFileError(
        f"{where}: the processes disagree: {what}: {one!r} in shard 1, {other!r} in shard {number}",
        hint="record again, with the same model and layers in every process",
    )


def joined_rows(parts: Sequence[Array]) -> Array:
    """Return the rows of all shards, one behind the other; read-only."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    joined = collected(shape, parts[0].dtype, parts)
    joined.flags.writeable = False
    return joined

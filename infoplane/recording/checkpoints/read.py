"""Read the weights of a checkpoint, in whatever format it was saved; never run code of it.

The content decides, not the suffix: an archive or pickle of ``torch.save`` (Lightning's ``.ckpt``
is one), ``.safetensors``, an index of shards, a Hugging Face folder.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from infoplane.errors import DataError, RunFileError, is_of_system, unreadable
from infoplane.recording.checkpoints.archives import Earlier, archive_members
from infoplane.recording.checkpoints.exported import is_exported, load_exported
from infoplane.recording.checkpoints.pickles import Inert, read_pickle
from infoplane.recording.checkpoints.safetensors import is_safetensors, read_safetensors
from infoplane.recording.checkpoints.states import (
    StateDict,
    chosen,
    is_weight,
    none_found,
    rivals,
    tensors_in,
    usual,
)

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""What a Hugging Face folder holds; an index goes before the file."""
_OF_FOLDERS = (*INDEXES, *WEIGHT_FILES)

_STEP_KEYS = (
    ("global_step", "global_steps", "global_iteration", "global_iter"),
    ("step", "iteration", "iter", "iter_num", "current_step", "cur_step", "train_step"),
    ("epoch", "current_epoch", "cur_epoch", "epoch_num"),
)
"""Words for the step; those of an earlier group count before those of a later one."""

_PROGRESS = ("meta", "metadata", "train_state", "trainer_state", "training_state", "extra_state")
"""Under what a checkpoint may hold them, beside the weights."""

_SHARD = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.")
_LFS = b"version https://git-lfs"
_MOST_JSON = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Weights:
    """What a checkpoint holds."""

    state: StateDict
    step: int | None
    epoch: float | None
    metrics: dict[str, float]
    by_epoch: bool = False  # the step is that of the epoch
    taken: str = ""  # the key of the weights
    rivals: tuple[str, ...] = ()  # other keys, whose weights are of the same names


def load_weights(
    path: Path,
    key: str | None = None,
    *,
    trust_model: bool = False,
    earlier: Earlier | None = None,
) -> Weights:
    """Read a checkpoint; only tensors and plain values, never code.

    Parameters
    ----------
    path : Path
        A file of ``torch.save``, a ``.safetensors`` file, an index of shards, or a folder with one
        of the files that Hugging Face libraries write.
    key : str, optional
        Dotted path to the state dict, or a prefix of the names in it, where there are several.
    trust_model : bool, default False
        Load ``.pt2`` files, which run code.
    earlier : Earlier, optional
        What was read before: checkpoints like it are read faster.

    Raises
    ------
    RunFileError
        If the file cannot be read or is damaged.
    DataError
        If it needs objects other than tensors and plain values, or holds no state dict.
    """
    try:
        if path.is_dir():
            return _folder(path, key, earlier)
        weights = _file(path, key, earlier, trust_model)
        return _trained(weights, path.parent) if path.name in _OF_FOLDERS else weights
    except FileNotFoundError as error:
        raise RunFileError(f"{error.filename or path}: no such file", code="IP303") from error
    except OSError as error:
        if isinstance(error, RunFileError) or not is_of_system(error):
            raise
        raise unreadable(error.filename or path, error) from error


def _file(
    path: Path, key: str | None, earlier: Earlier | None, trust_model: bool = False
) -> Weights:
    if not path.is_file():
        if not path.exists():
            raise RunFileError(f"{path}: no such file", code="IP303")
        raise RunFileError(f"{path}: expected a regular file", code="IP303")
    if _SHARD.search(path.name):
        raise DataError(
            f"{path}: one shard of a checkpoint",
            hint="name the folder, or the index (*.index.json), with --checkpoints",
            code="IP312",
        )
    if path.suffix == ".json":
        return _weights(_shards(path), key, path)
    if is_safetensors(path):
        state, metadata = read_safetensors(path)
        numbers = {name: text for name, text in metadata.items() if _is_number(text)}
        found = {**{name: float(text) for name, text in numbers.items()}, "state_dict": state}
        return _weights(found, key, path)
    members = archive_members(path)
    if is_exported(member.filename for member in members):
        program = load_exported(path, trust_model=trust_model)
        return _weights({"state_dict": dict(program.state_dict)}, key, path)
    if not members:
        _check_head(path)
    return _weights(read_pickle(path, members, earlier), key, path)


def _check_head(path: Path) -> None:
    """Refuse a file that begins neither as a pickle nor as a zip archive."""
    head = _head(path)
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return
    what = "an HDF5 file, as Keras writes" if head[:8] == b"\x89HDF\r\n\x1a\n" else None
    raise RunFileError(
        f"{path}: not a PyTorch checkpoint ("
        + (what or f"{path.stat().st_size:,} bytes that are neither a zip archive nor a pickle")
        + ")"
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, if they are there."""
    with path.open("rb") as file:
        head = file.read(len(_LFS))
    if not head:
        raise RunFileError(f"{path}: an empty file", hint="save it again, or copy it once more")
    if head == _LFS:
        raise RunFileError(
            f"{path}: a pointer of git lfs, which stands for a file that was not fetched",
            hint=f"in its folder: git lfs pull --include {shlex.quote(path.name)}",
        )
    return head


def _folder(path: Path, key: str | None, earlier: Earlier | None) -> Weights:
    """Read a Hugging Face folder."""
    name = weight_file(path)
    if name is None:
        raise RunFileError(
            f"{path}: expected one of {', '.join(_OF_FOLDERS)} in the folder",
            code="IP303",
        )
    return _trained(_file(path / name, key, earlier), path)


def _trained(weights: Weights, folder: Path) -> Weights:
    """Return weights with what ``trainer_state.json`` beside them tells, if it is there."""
    if not (folder / "trainer_state.json").is_file():
        return weights
    state = read_json(folder / "trainer_state.json")
    step, epoch = _number(state.get("global_step")), _number(state.get("epoch"))
    history = state.get("log_history")
    entries = [
        entry
        for entry in (history if isinstance(history, list) else [])
        if isinstance(entry, dict) and entry.get("step") == step
    ]
    metrics = {
        str(name): value
        for entry in entries
        for name, value in entry.items()
        if not _is_progress(name)
    }
    return Weights(weights.state, _step(step), _finite(epoch), _metrics(metrics))


def weight_file(folder: Path) -> str | None:
    """Return the name of the weights in a Hugging Face folder, or None."""
    return next((name for name in _OF_FOLDERS if (folder / name).is_file()), None)


def _shards(index: Path) -> dict[str, Any]:
    """Return the state dict whose parts an index names; they must lie beside it."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(name, str) for name in weight_map.values()
    ):
        raise RunFileError(f"{index}: expected an object 'weight_map' of tensor and file names")
    state: dict[str, Any] = {}
    for name in dict.fromkeys(weight_map.values()):
        if name != Path(name).name or name in ("", ".", ".."):
            raise RunFileError(f"{index}: expected shards beside the index, found {name!r:.80}")
        shard = index.parent / name
        if not shard.is_file():
            raise RunFileError(f"{shard}: no such file, though {index.name} names it", code="IP303")
        _head(shard)
        part = read_safetensors(shard)[0] if is_safetensors(shard) else read_pickle(shard)
        if not isinstance(part, Mapping):
            raise DataError(f"{shard}: expected a state dict", code="IP312")
        state.update(part)
    if missing := [name for name in weight_map if name not in state]:
        raise RunFileError(f"{index}: {missing[0]!r:.80} is in none of the shards")
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of at most 64 MiB.

    Raises
    ------
    RunFileError
        If the file holds anything else.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise RunFileError(f"{path}: expected at most 64 MiB of JSON")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, RunFileError):
            raise
        if is_of_system(error):
            raise unreadable(path, error) from error
        text = " ".join(str(error).split())[:120]
        raise RunFileError(f"{path}: not readable as JSON ({text})") from error
    if not isinstance(content, dict):
        raise RunFileError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _weights(content: Any, key: str | None, path: Path) -> Weights:
    if not isinstance(content, Mapping):
        whole = isinstance(content, Inert)
        raise DataError(
            f"{path}: expected a state dict, found "
            + ("a whole pickled model or object" if whole else type(content).__name__),
            hint="save model.state_dict(), which holds tensors alone",
            code="IP311" if whole else "IP312",
        )
    found = (key, chosen(content, key, path)) if key else usual(content)
    if found is None:
        _refuse_code(content, path)
        raise none_found(content, path)
    taken, state = found
    beside = {} if tensors_in(content) is not None else content  # buffers are no metrics
    numbers = {**_metrics(beside.get("metrics")), **_metrics(beside)}
    progress = [numbers, *(_metrics(beside.get(name)) for name in _PROGRESS)]
    overall, inner, epoch = (_told(progress, keys) for keys in _STEP_KEYS)
    step = _step(inner) if _step(overall) is None else _step(overall)
    return Weights(
        state=state,
        step=_step(epoch) if step is None else step,
        epoch=_finite(epoch),
        metrics={name: value for name, value in numbers.items() if not _is_progress(name)},
        by_epoch=step is None,
        taken=taken,
        rivals=() if key or not taken else tuple(rivals(content, taken)),
    )


def _refuse_code(content: Mapping[Any, Any], path: Path) -> None:
    """Refuse weights that only their own code can unpack, as of quantised recurrent layers."""
    for name, value in content.items():
        if isinstance(value, Inert) and any(is_weight(other) for other in content.values()):
            raise DataError(
                f"{path}: expected tensors, found an object under {name!r:.80}, which only code "
                "could unpack; quantised recurrent layers are saved so",
                hint="if you trust the file, load it yourself with torch.load(FILE, "
                "weights_only=False), and record with infoplane.Recorder",
                code="IP312",
            )


def _told(progress: Sequence[Mapping[str, float]], keys: Sequence[str]) -> float | None:
    """Return the number under one of the keys; None if there are several, which differ."""
    for numbers in progress:
        if found := {numbers[key] for key in keys if key in numbers}:
            return found.pop() if len(found) == 1 else None
    return None


def _is_progress(name: str) -> bool:
    return any(name in keys for keys in _STEP_KEYS)


def _metrics(found: Any) -> dict[str, float]:
    """Return the numbers of a mapping."""
    if not isinstance(found, Mapping):
        return {}
    numbers = ((str(key), _number(value)) for key, value in found.items())
    return {key: value for key, value in numbers if value is not None}


def _number(value: Any) -> float | None:
    """Return a number, also of NumPy or in a tensor without axes; None for anything else."""
    if isinstance(value, (torch.Tensor, np.generic)) and value.ndim == 0:
        try:
            value = None if isinstance(value, torch.Tensor) and is_lazy(value) else value.item()
        except (RuntimeError, NotImplementedError):  # on the device "meta" it has no value
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, float) or abs(value) < 2**1023 else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _step(number: float | None) -> int | None:
    whole = number is not None and 0 <= number < 2**63 and number % 1 == 0
    return int(number) if whole and number is not None else None


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None

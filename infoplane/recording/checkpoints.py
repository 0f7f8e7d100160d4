"""Find training checkpoints, tell their steps, and load their weights without running code."""

from __future__ import annotations

import glob
import json
import math
import pickle
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from infoplane.errors import DataError, InfoplaneError, InputError, NotFoundError, RunFileError
from infoplane.recording.messages import one_line
from infoplane.recording.step_names import step_in_path

_STEP_KEYS = ("step", "global_step", "iteration", "epoch")
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net", "module", "weights", "params")
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_forward_module)\.")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file and its training step (None: to be read from the file)."""

    path: Path
    step: int | None


@dataclass(frozen=True)
class Weights:
    """What a checkpoint file holds."""

    state: dict[str, torch.Tensor]
    step: int | None
    epoch: float | None
    metrics: dict[str, float]


def find_checkpoints(patterns: Sequence[str], step_pattern: str | None = None) -> list[Checkpoint]:
    """Return the files that match, by step; files whose name tells no step come last, by name.

    ``step_in_path`` says how the step is told.

    Parameters
    ----------
    patterns : sequence of str
        Globs of files.
    step_pattern : str, optional
        Regular expression, searched in the path; its first group is the step.

    Raises
    ------
    NotFoundError
        If a pattern matches no file.
    InputError
        If ``step_pattern`` is no regular expression with a group.
    DataError
        If it does not match a file, a name tells no clear step, or two files have the same step.
    """
    expression = _compiled(step_pattern)
    paths: dict[Path, None] = {}
    for pattern in patterns:
        matches = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207  - Path.glob takes no absolute pattern
        files = [path for path in matches if path.is_file()]
        if not files:
            raise NotFoundError(f"no checkpoint file matches {pattern!r}", code="IP403")
        paths.update(dict.fromkeys(sorted(files, key=_natural)))
    found = [Checkpoint(path, _step_of(path, expression)) for path in paths]
    by_step: dict[int, Path] = {}
    for checkpoint in found:
        if checkpoint.step is None:
            continue
        if checkpoint.step in by_step:
            raise DataError(
                f"two checkpoints of step {checkpoint.step}: {by_step[checkpoint.step]} and "
                f"{checkpoint.path}",
                hint="narrow --checkpoints, or tell the step with --step-pattern 'REGEX'",
                code="IP313",
            )
        by_step[checkpoint.step] = checkpoint.path
    return sorted(found, key=lambda c: (c.step is None, c.step or 0))


def load_weights(path: Path) -> Weights:
    """Read a checkpoint file; only tensors and plain values, never code.

    Raises
    ------
    RunFileError
        If the file cannot be read or is damaged.
    DataError
        If it holds objects other than tensors and plain values, or no state dict.
    """
    content = _content(path)
    if not isinstance(content, Mapping):
        raise DataError(
            f"{path}: expected a state dict, found {type(content).__name__}",
            hint="save model.state_dict()",
            code="IP312",
        )
    state = _state_dict(content)
    if state is None:
        raise DataError(
            f"{path}: expected a state dict, alone or under one of {', '.join(_WEIGHT_KEYS)}; "
            f"found keys {', '.join(map(str, list(content)[:6]))}",
            hint="save model.state_dict()",
            code="IP312",
        )
    numbers = {
        str(key): number
        for source in (content, content.get("metrics"))
        if isinstance(source, Mapping)
        for key, value in source.items()
        if (number := _number(value)) is not None
    }
    step = next((numbers[key] for key in _STEP_KEYS if key in numbers), None)
    epoch = numbers.get("epoch")
    return Weights(
        state=state,
        step=int(step) if step is not None and 0 <= step < 2**63 and step % 1 == 0 else None,
        epoch=float(epoch) if epoch is not None and math.isfinite(epoch) else None,
        metrics={k: float(v) for k, v in numbers.items() if k not in _STEP_KEYS},
    )


def load_into(model: nn.Module, weights: Weights, path: Path) -> None:
    """Load weights into a model; every key must fit.

    Raises
    ------
    DataError
        If keys are missing or unexpected, or shapes differ; the first ones are named.
    """
    expected = model.state_dict()
    state = _fitting(weights.state, expected)
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    if missing or unexpected:
        parts = [
            f"{word} {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if keys[3:] else "")
            for word, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise DataError(
            f"{path}: the weights do not fit the model: {'; '.join(parts)}",
            hint="check that --model builds the model that was trained",
            code="IP312",
        )
    for key, value in expected.items():
        found = state[key]
        if is_lazy(found):
            raise DataError(f"{path}: {key} was saved before it was initialised", code="IP312")
        if not isinstance(value, torch.Tensor) or is_lazy(value):
            continue  # a lazy parameter takes the shape of what is loaded
        if value.shape != found.shape:
            raise DataError(
                f"{path}: the weights do not fit the model: {key}: expected shape "
                f"{tuple(value.shape)}, found {tuple(found.shape)}",
                hint="check that --model builds the model that was trained",
                code="IP312",
            )
        if value.is_complex() != found.is_complex():
            raise DataError(
                f"{path}: {key}: expected {value.dtype}, found {found.dtype}", code="IP312"
            )
    try:
        model.load_state_dict(state)
    except Exception as error:  # the model's own code takes part
        raise DataError(
            f"{path}: the weights do not fit the model: {one_line(error)}", code="IP312"
        ) from error


def _compiled(step_pattern: str | None) -> re.Pattern[str] | None:
    if step_pattern is None:
        return None
    try:
        expression = re.compile(step_pattern)
    except re.error as error:
        raise InputError(f"--step-pattern: {step_pattern!r}: {error}") from error
    if expression.groups < 1:
        raise InputError(
            f"--step-pattern: expected a group around the step, got {step_pattern!r}",
            hint="for example 'epoch_([0-9]+)'",
        )
    return expression


def _step_of(path: Path, expression: re.Pattern[str] | None) -> int | None:
    if expression is not None:
        match = expression.search(str(path))
        if match is None or not (match[1] or "").isdecimal() or int(match[1]) >= 2**63:
            raise DataError(
                f"{path}: --step-pattern {expression.pattern!r} finds no whole number in it that "
                "fits 64 bits",
                code="IP313",
            )
        return int(match[1])
    return step_in_path(path)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdecimal() else (1, part)
        for part in re.split(r"([0-9]+)", str(path))
    ]


def _content(path: Path) -> Any:
    """Unpickle tensors, plain values and NumPy numbers."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
        if head[:1] != b"\x80" and head != b"PK":  # neither a pickle nor a zip archive
            raise RunFileError(
                f"{path}: not a PyTorch checkpoint ({path.stat().st_size:,} bytes that are neither "
                "a zip archive nor a pickle)"
            )
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_numbers()):
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                raise _refused(path, error) from error
    except FileNotFoundError as error:
        raise RunFileError(f"{path}: no such file", code="IP303") from error
    except InfoplaneError:
        raise
    except Exception as error:  # damage surfaces in many ways
        text = one_line(error, 160) or type(error).__name__
        raise RunFileError(
            f"{path}: not a readable PyTorch checkpoint ({path.stat().st_size:,} bytes; {text})"
        ) from error


def _numpy_numbers() -> list[Any]:
    """Return what unpickling NumPy scalars needs; none of it runs code of the file.

    Left out are the dtypes of objects and records, whose pickled state is trusted by NumPy.
    """
    codes = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?US"
    dtypes = {type(np.dtype(code)) for code in codes}
    scalar = np.float64(0).__reduce__()[0]
    # NumPy 1 and 2 write the same function under different names.
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return [*((scalar, name) for name in names), np.dtype, *dtypes]


def _refused(path: Path, error: Exception) -> DataError:
    other = path.with_suffix(".weights")
    code = (
        f"import torch; c = torch.load({json.dumps(str(path))}, weights_only=False); "
        f'torch.save(c["model"], {json.dumps(str(other))})'
    )
    return DataError(
        f"{path}: refused: it is a pickle that needs {_unsafe_names(path, error)}; "
        "loading it could run code",
        hint="save model.state_dict() instead, which holds tensors alone; or, if you trust the "
        f"file, take the weights out of it: python -c {shlex.quote(code)}",
        code="IP311",
    )


def _number(value: Any) -> float | None:
    """Return a number, also of NumPy or in a tensor without axes; None for anything else."""
    if isinstance(value, (torch.Tensor, np.generic)) and value.ndim == 0:
        value = value.item() if not isinstance(value, torch.Tensor) or not is_lazy(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 2**1023 or isinstance(value, float) else None


def _state_dict(content: Mapping[Any, Any]) -> dict[str, torch.Tensor] | None:
    """Return the state dict in a checkpoint: the content itself, or under a usual key."""
    candidates = [
        candidate
        for candidate in (content, *(content.get(key) for key in _WEIGHT_KEYS))
        if isinstance(candidate, Mapping)
        and all(isinstance(key, str) for key in candidate)
        and all(isinstance(value, torch.Tensor) for value in candidate.values())
    ]
    # A model without parameters has an empty state dict.
    return next((dict(found) for found in candidates if found), {} if candidates else None)


def _fitting(
    state: dict[str, torch.Tensor], expected: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the state dict without wrapper prefixes, if that makes it fit better."""
    bare = {_WRAPPERS.sub("", key): value for key, value in state.items()}
    bare.pop("n_averaged", None)
    fits = [len(expected.keys() & candidate.keys()) for candidate in (state, bare)]
    return bare if fits[1] > fits[0] and len(bare) <= len(state) else state


def _unsafe_names(path: Path, error: Exception) -> str:
    """Return the names of the objects that a refused pickle asks for."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except (RuntimeError, ValueError, OSError, EOFError, KeyError, pickle.UnpicklingError):
        names = re.findall(r"GLOBAL ([\w.]+)", str(error))
    return ", ".join(sorted(set(names))[:4]) or "Python objects"

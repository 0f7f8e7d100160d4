"""The manifest of a run: its name, what was recorded, with what, and the numbers of a step."""

from __future__ import annotations

import json
import math
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import torch
from torch import nn

from infoplane.errors import InputError
from infoplane.recording.hashes import arithmetic, model_hash


def run_manifest(
    model: nn.Module,
    name: str,
    *,
    group: str | None,
    seed: int | None,
    layers: Sequence[str],
    at: str,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a run; a name such as ``tanh-s0`` tells its group and seed.

    What ``settings`` hold must be the same for a run to be resumed; ``provenance`` may differ.

    Raises
    ------
    InputError
        If ``provenance`` holds anything that JSON does not.
    """
    return {
        **named_run(name, group, seed),
        "layers": list(layers),
        "at": at,
        "settings": {**settings, "model_sha256": model_hash(model), **arithmetic(model)},
        "provenance": {
            "model_class": f"{type(model).__module__}.{type(model).__qualname__}",
            **of_process(),
            **json_values(provenance),
        },
    }


def named_run(name: str, group: str | None, seed: int | None) -> dict[str, Any]:
    """Return name, group and seed of a run, and when it began; ``tanh-s0`` tells all of them."""
    found = re.fullmatch(r"(.+)[-_.]s(?:eed)?[-_]?(\d+)", name)
    return {
        "run": name,
        "group": group or (found[1] if found else name),
        "seed": int(seed) if seed is not None else (int(found[2]) if found else None),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def of_process() -> dict[str, Any]:
    """Return what a manifest keeps of the process that records: command line and versions."""
    return {
        "argv": without_secrets(sys.argv),
        "python": platform.python_version(),
        "packages": {
            package: metadata.version(package)
            for package in ("infoplane", "torch", "numpy", "h5py")
        },
    }


_SECRET = re.compile(
    r"secret|token(?![a-z])|passw|pwd|passphrase|credential|(api|access|private|auth|account|signing)[-_.]?key"
    r"|(^|[-_.])(auth|pass|key|bearer)$",
    re.IGNORECASE,
)
_LOOKS_SECRET = re.compile(
    r"(sk|pk|rk|hf|ghp|gho|ghs|glpat|npm|pypi|dop_v1|github_pat|xox[abprs]|AKIA|ASIA|AIza|eyJ)"
    r"[-_A-Za-z0-9.]{16,}"
)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MASK = "***"


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return the words of a command line; values that look like secrets are ``***``.

    These are the values of arguments whose names say so (``--api-key X``, ``wandb.token=X``),
    logins in addresses, and tokens in the forms of well-known services. A secret without any name
    cannot be told.
    """
    found: list[str] = []
    masked = False  # whether the next word is the value of a secret
    for word in map(str, words):
        name, equals, value = word.partition("=")
        named = _SECRET.search(name.lstrip("-+")) is not None and not re.search(r"[/\s]", name)
        if masked and not word.startswith("--"):
            found.append(_MASK)
            masked = False
            continue
        masked = named and not equals and word.startswith("-")
        if equals and named:
            value = _MASK
        found.append(_LOOKS_SECRET.sub(_MASK, _LOGIN.sub(_MASK, name + equals + value)))
    return found


def number(value: Any, name: str) -> float:
    """Return a number of Python, NumPy or in a tensor without axes as float.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError("text")
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{name}: expected a number, got {type(value).__name__}") from error


def finite_epoch(epoch: Any) -> float | None:
    """Return an epoch as float, None as it is.

    Raises
    ------
    InputError
        If it is no finite number.
    """
    if epoch is None:
        return None
    value = number(epoch, "epoch")
    if not math.isfinite(value):
        raise InputError(f"epoch: expected a finite number, got {value}")
    return value


def json_values(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of provenance as it will be read back.

    Raises
    ------
    InputError
        If it holds anything that JSON does not, NaN and infinity included.
    """
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"provenance: expected JSON values: {error}") from error
    return copied

"""What a run says of itself: its name, what was recorded, and with what."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from torch import nn

from infoplane.recording.arithmetic import arithmetic
from infoplane.recording.hashes import model_hash
from infoplane.recording.values import json_values


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
    found = re.fullmatch(r"(.+)[-_.]s(?:eed)?[-_]?(\d+)", name)
    return {
        "run": name,
        "group": group or (found[1] if found else name),
        "seed": int(seed) if seed is not None else (int(found[2]) if found else None),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "layers": list(layers),
        "at": at,
        "settings": {**settings, "model_sha256": model_hash(model), **arithmetic(model)},
        "provenance": {
            "model_class": f"{type(model).__module__}.{type(model).__qualname__}",
            "argv": sys.argv,
            "python": platform.python_version(),
            "packages": {
                package: metadata.version(package)
                for package in ("infoplane", "torch", "numpy", "h5py")
            },
            **json_values(provenance),
        },
    }

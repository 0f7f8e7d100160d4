"""Arrays that were saved in parts of rows, as thingsvision saves them, as one.

``extract_features`` of thingsvision writes ``LAYER/features_0-512.npy``, ``features_512-1000.npy``
and so on, ``save_features`` also ``features_01.npy``, ``features_02.npy``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoplane.errors import DataError
from infoplane.importing.held import Held

_ROWS = re.compile(r"(.+)_([0-9]+)-([0-9]+)")
_NUMBERED = re.compile(r"(features.*)_([0-9]{2})")


def joined_parts(arrays: Iterable[Held]) -> list[Held]:
    """Return arrays, those in parts of rows joined under the name of the first without its rows.

    Raises
    ------
    DataError
        If a part is missing, or not of the rows that its name tells.
    """
    found: list[Held] = []
    parts: dict[Path, list[tuple[int, int, Held]]] = defaultdict(list)
    for held in arrays:
        stem = held.path.stem
        if held.key or not (rows := _ROWS.fullmatch(stem)):
            numbered = None if held.key else _NUMBERED.fullmatch(stem)
            if numbered:
                parts[held.path.with_stem(numbered[1])].append((int(numbered[2]), -1, held))
            else:
                found.append(held)
            continue
        parts[held.path.with_stem(rows[1])].append((int(rows[2]), int(rows[3]), held))
    for path, several in parts.items():
        several.sort(key=lambda part: part[:2])
        _check(several)
        found.append(_joined(path, [held for *_, held in several]))
    return found


def _check(parts: Sequence[tuple[int, int, Held]]) -> None:
    """Refuse parts that do not follow one another."""
    expected = 0 if parts[0][1] >= 0 else 1
    for start, end, held in parts:
        rows = held.shape[0] if held.shape else 0
        if start != expected or (end >= 0 and end - start != rows):
            raise DataError(
                f"{held.path}: expected the part that begins at {expected}"
                + (f" with {end - start} rows, found {rows} rows" if start == expected else ""),
                hint="put all parts there, of one extraction",
            )
        if held.shape[1:] != parts[0][2].shape[1:] or held.dtype != parts[0][2].dtype:
            raise DataError(
                f"{held.path}: {held.shape} of {held.dtype}, expected rows as those of "
                f"{parts[0][2].path}"
            )
        expected = end if end >= 0 else start + 1


def _joined(path: Path, parts: Sequence[Held]) -> Held:
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])

    def read() -> Any:
        arrays = [part.read() for part in parts]
        tensors = all(isinstance(array, torch.Tensor) for array in arrays)
        return torch.cat(arrays) if tensors else np.concatenate(arrays)

    return Held(path, "", shape, parts[0].dtype, parts[0].numeric, read)

"""Read ``.safetensors`` files: a JSON header that says where each tensor lies, then the bytes.

Format: https://github.com/huggingface/safetensors#format. The header is checked in full before a
byte of a tensor is touched: the tensors must cover the rest of the file without gap or overlap.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoplane.errors import InfoplaneError, RunFileError, is_of_system, unreadable

_MOST_HEADER = 32 * 2**20  # bytes; a model of 100,000 tensors needs a third of it
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


def is_safetensors(path: Path) -> bool:
    """Tell by its first bytes whether a file is one: a length, then a JSON object."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and head[:2] != b"PK"


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of a file, mapped and not read, and its metadata.

    Raises
    ------
    RunFileError
        If the header does not describe the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise _unreadable(path, f"its header of {length:,} bytes ends beyond the file")
            if length > _MOST_HEADER:
                raise _unreadable(path, f"its header has {length:,} bytes, at most 32 MiB fit")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise _unreadable(path, "its header is no JSON object")
        metadata = header.pop("__metadata__", None) or {}
        spans = {name: _span(path, name, entry) for name, entry in header.items()}
        _check_cover(path, [(start, end) for start, end, *_ in spans.values()], size - 8 - length)
    except InfoplaneError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        if is_of_system(error):
            raise unreadable(path, error) from error
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise _unreadable(path, text) from error
    data = np.memmap(path, mode="c", offset=8 + length) if size > 8 + length else None
    tensors = {}
    for name, (start, end, dtype, shape) in spans.items():
        if data is None or start == end:
            tensors[name] = torch.empty(shape, dtype=dtype)
        else:
            flat = torch.from_numpy(np.asarray(data[start:end]))
            aligned = flat if flat.data_ptr() % dtype.itemsize == 0 else flat.clone()
            tensors[name] = aligned.view(dtype).reshape(shape)
    if not isinstance(metadata, dict):
        metadata = {}
    return tensors, {str(key): str(value) for key, value in metadata.items()}


def _span(path: Path, name: str, entry: Any) -> tuple[int, int, torch.dtype, tuple[int, ...]]:
    """Return start, end, dtype and shape of a tensor as its header entry says."""
    if not isinstance(entry, dict):
        raise _unreadable(path, f"tensor {name!r:.80} is not described by an object")
    dtype: Any
    shape: Any
    span: Any
    dtype, shape, span = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _unreadable(path, f"tensor {name!r:.80} has the unknown dtype {dtype!r:.40}")
    whole = all(
        isinstance(part, list) and all(type(n) is int and 0 <= n < 2**63 for n in part)
        for part in (shape, span)
    )
    if not whole or len(span) != 2 or len(shape) > 64:
        raise _unreadable(path, f"tensor {name!r:.80} has no proper shape and data_offsets")
    start, end = span
    expected = math.prod(shape) * _DTYPES[dtype].itemsize
    if end - start != expected:
        raise _unreadable(
            path,
            f"tensor {name!r:.80} of shape {shape} and dtype {dtype} needs {expected:,} bytes, its "
            f"data_offsets hold {end - start:,}",
        )
    if math.prod(max(n, 1) for n in shape) * _DTYPES[dtype].itemsize >= 2**63:
        # torch multiplies the lengths in 64 bits, also where one is zero
        raise _unreadable(path, f"tensor {name!r:.80} of shape {shape} is too large")
    return start, end, _DTYPES[dtype], tuple(shape)


def _check_cover(path: Path, spans: list[tuple[int, int]], size: int) -> None:
    at = 0
    for start, end in sorted(spans):
        if start != at:
            raise _unreadable(path, f"gap or overlap of tensors at byte {min(at, start):,}")
        at = end
    if at != size:
        raise _unreadable(path, f"its tensors take {at:,} bytes, the file holds {size:,}")


def _unreadable(path: Path, why: str) -> RunFileError:
    return RunFileError(f"{path}: not a readable .safetensors file: {why}")

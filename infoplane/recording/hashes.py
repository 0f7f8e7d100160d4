"""Hashes that tell models apart: structure, weights, and what else numbers depend on."""

from __future__ import annotations

import hashlib
import inspect
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_ROW = 1 << 14  # bytes


def model_hash(model: nn.Module) -> str:
    """Return the SHA-256 of a model's structure, in hexadecimal.

    It covers names, classes and settings of all modules, and the source of classes that are not
    part of torch, as far as it can be had; not the weights.
    """
    digest = hashlib.sha256()
    classes: dict[type[nn.Module], None] = {}
    for name, module in model.named_modules():
        classes[type(module)] = None
        settings = re.sub(r" at 0x[0-9a-f]+", "", module.extra_repr())
        digest.update(
            f"{name} {type(module).__qualname__} {settings}\n".encode(errors="backslashreplace")
        )
    for cls in classes:
        if not cls.__module__.startswith("torch."):
            with suppress(OSError, TypeError):  # no source: built-in, or typed at a prompt
                digest.update(inspect.getsource(cls).encode())
    return digest.hexdigest()


def parameter_hash(model: nn.Module) -> str:
    """Return a hash of a model's parameters and buffers, in hexadecimal."""
    return state_hash(model.state_dict())


def state_hash(state: Mapping[str, Any]) -> str:
    """Return a hash of a state dict, in hexadecimal.

    It tells whether weights are the same as before, at the speed of memory: of large tensors,
    taken as tables of 64-bit words, SHA-256 covers the sums of rows and of columns.
    """
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode(errors="backslashreplace"))
        if isinstance(value, torch.Tensor) and _is_plain(value):
            digest.update(repr((value.dtype, tuple(value.shape))).encode())
            raw = _raw(value)
            whole = len(raw) // _ROW * _ROW
            if whole:
                table = raw[:whole].view(np.uint64).reshape(-1, _ROW // 8)
                for row in range(0, len(table), 64):  # they fit the processor's cache
                    digest.update(np.add.reduce(table[row : row + 64], axis=0).data)
                    digest.update(np.add.reduce(table[row : row + 64], axis=1).data)
            digest.update(raw[whole:].data)
        else:  # quantised, sparse, packed, or a state of the module's own
            with suppress(Exception):  # what cannot be saved is in no checkpoint
                torch.save(value, saved := io.BytesIO())
                digest.update(saved.getbuffer())
    return digest.hexdigest()


def _raw(value: torch.Tensor) -> NDArray[np.uint8]:
    """Return the bytes of a tensor, in the order of its values."""
    try:
        array = np.ascontiguousarray(value.numpy(force=True))
    except TypeError:  # a dtype that NumPy lacks
        array = value.reshape(-1).view(torch.uint8).numpy(force=True)
    return array.reshape(-1).view(np.uint8)


def _is_plain(value: torch.Tensor) -> bool:
    """Tell whether the bytes of a tensor are its values."""
    strided = value.layout is torch.strided and not value.is_meta
    return strided and not (value.is_quantized or value.is_conj() or value.is_neg())


def arithmetic(model: nn.Module) -> dict[str, str]:
    """Return release of torch, device, dtypes of the parameters and precision of products.

    Where one of them differs, the same weights give other activations, if only in the last digits.
    """
    parameters = list(model.parameters())
    devices = sorted({_device(parameter.device) for parameter in parameters})
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters})
    return {
        "torch": str(torch.__version__),
        "device": ", ".join(devices),
        "dtype": ", ".join(dtypes),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

"""Hashes of a model: of its weights, and of what it computes with them."""

from __future__ import annotations

import hashlib
import inspect
import re
from contextlib import suppress

import torch
from torch import nn


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
        digest.update(f"{name} {type(module).__qualname__} {settings}\n".encode())
    for cls in classes:
        if not cls.__module__.startswith("torch."):
            with suppress(OSError, TypeError):  # no source: built-in, or typed at a prompt
                digest.update(inspect.getsource(cls).encode())
    return digest.hexdigest()


def parameter_hash(model: nn.Module) -> str:
    """Return the SHA-256 of a model's parameters and buffers, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor) and value.layout is torch.strided:
            raw = value.detach().cpu().contiguous().flatten()
            with suppress(RuntimeError, TypeError):  # quantised values have no plain bytes
                digest.update(raw.view(torch.uint8).numpy().data)
    return digest.hexdigest()

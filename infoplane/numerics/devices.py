"""Where an estimator computes: on the processor, or on a GPU through torch."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from infoplane.calls import unfit
from infoplane.errors import InputError

if TYPE_CHECKING:
    import torch

    from infoplane.data import Array

FASTER_FROM: Mapping[str, int] = {}
"""Samples from which an estimator was measured to be faster on a GPU, by name; none has been."""

_LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


def check_device(text: str) -> str:
    """Return ``text`` if it is ``auto``, ``cpu``, ``cuda`` or ``cuda:K``.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if not isinstance(text, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise unfit("device", "auto, cpu, cuda or cuda:K", text, code="IP104")
    return text


def device_for(wanted: str, name: str, n_samples: int) -> str | None:
    """Return the GPU that an estimator is to use, ``cuda`` or ``cuda:K``; None is the processor.

    Parameters
    ----------
    wanted : str
        As ``check_device`` takes it; ``auto`` is a GPU where there is one and ``FASTER_FROM`` says
        that it pays.
    name : str
        Name of an estimator that can use a GPU.
    n_samples : int
        Samples of a cell.
    """
    if wanted == "cpu":
        return None
    if wanted != "auto":
        return wanted
    least = FASTER_FROM.get(name)
    return "cuda" if least is not None and n_samples >= least and count_gpus() else None


def count_gpus() -> int:
    """Return the number of GPUs that torch can use here; loads torch."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def own_gpu(wanted: str) -> str:
    """Return the GPU of this worker, for a ``wanted`` of ``cuda`` or ``cuda:K``.

    Raises
    ------
    InputError
        If there is none, or no such one.
    """
    return assigned(wanted, count_gpus(), worker_number())


def assigned(wanted: str, count: int, worker: int) -> str:
    """Return the GPU of a worker: workers take the ``count`` GPUs of their machine in turn.

    Raises
    ------
    InputError
        If there is none, or no such one.
    """
    number = worker % count if count and wanted == "cuda" else int(wanted.partition(":")[2] or 0)
    if number >= count:
        there = ", ".join(f"cuda:{k}" for k in range(count)) or "no GPU"
        raise InputError(
            f"device {wanted}: expected a GPU that torch can use, found {there}",
            argument="device",
            hint="compute on the device cpu, or install a build of torch for your GPU",
            code="IP111",
        )
    return f"cuda:{number}"


def worker_number() -> int:
    """Return a number of this process that differs among the workers of a machine."""
    numbers = getattr(multiprocessing.current_process(), "_identity", ())  # as its parent counts
    if numbers:
        return int(numbers[-1])
    return next((int(os.environ[name]) for name in _LOCAL_RANK if name in os.environ), 0)


def on_device(array: Array, device: str) -> torch.Tensor:
    """Return a copy of an array, which may be a memory map, on a device."""
    import torch

    return torch.tensor(array, device=device)


def device_name(device: str) -> str:
    """Return what a device calls itself, e.g. ``NVIDIA H200``."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device

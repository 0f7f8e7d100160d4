"""Tensors of other kinds in a pickle: what DTensor and NumPy wrote, read without their code.

A stand-in keeps the plain values that the pickle holds for an object; ``as_tensors`` puts tensors
in their place.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoplane.errors import DataError

_DISTRIBUTED = "torch.distributed.tensor"
_DTENSORS = (f"{_DISTRIBUTED}.DTensor", "torch.distributed._tensor.api.DTensor")
_LAYOUT = [
    "torch.distributed.device_mesh.DeviceMesh",
    *(f"{_DISTRIBUTED}._dtensor_spec.{name}" for name in ("DTensorSpec", "TensorMeta")),
    *(f"{_DISTRIBUTED}.placement_types.{name}" for name in ("Replicate", "Shard")),
]
"""What says of a DTensor which process has which part of it."""

SUM = "a DTensor that is a sum over processes"
"""What is refused of one: the file has the part of one process."""

_ARRAYS = [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")]  # NumPy 1 and 2


class _Distributed(torch.Tensor):
    """Stands for a tensor that lies on several processes; of its shape, without values."""

    def __setstate__(self, state: Any) -> None:
        """Keep the part of one process."""
        self._local_tensor = state[1]["_local_tensor"]

    @classmethod
    def __torch_dispatch__(cls, *_: Any, **__: Any) -> Any:
        """Compute nothing."""
        return NotImplemented


class _Ignored:
    """Stands for what says where the parts of a tensor are; it keeps nothing."""

    def __new__(cls, *_: Any) -> _Ignored:
        """Return an empty object."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Drop the pickled state."""


class _Sum(_Ignored):
    """Stands for the word that a tensor is the sum of what the processes have."""

    def __new__(cls, *_: Any) -> _Sum:
        """Refuse it: the values of one process are not those of the tensor."""
        raise pickle.UnpicklingError(SUM)


class _Array:
    """Stands for an array of NumPy; of other values than numbers it keeps nothing."""

    values: Any = None

    def __setstate__(self, state: Any) -> None:
        """Take shape, dtype and bytes."""
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, np.dtype) or dtype.kind not in "fiubc":
            return
        size = math.prod(shape) * dtype.itemsize
        if not size:
            self.values = np.empty(shape, dtype)
        elif isinstance(data, bytes) and len(data) == size:
            self.values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _empty_array(*_: Any) -> _Array:
    return _Array()


def tensors_of_others() -> list[Any]:
    """Return what stands for their classes, as torch takes the names that it may load."""
    return [
        *((_Distributed, name) for name in _DTENSORS),
        *((_Ignored, name) for name in _LAYOUT),
        (_Sum, f"{_DISTRIBUTED}.placement_types.Partial"),
        *((_empty_array, name) for name in _ARRAYS),
        (_Array, "numpy.ndarray"),
    ]


def as_tensors(content: Any, path: Path) -> Any:
    """Return the content of a pickle with plain tensors in place of what stands for them.

    Raises
    ------
    DataError
        If the file holds only the part of a tensor that one process had.
    """
    seen: set[int] = set()  # a pickle may hold itself

    def converted(value: Any, name: str) -> Any:
        if isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            for key, inner in value.items():
                value[key] = converted(inner, str(key))
        elif isinstance(value, (_Array, np.ndarray)):
            return _tensor(value.values if isinstance(value, _Array) else value, value)
        elif isinstance(value, _Distributed) or hasattr(value, "_local_tensor"):
            return _whole(value, name, path)
        return value

    return converted(content, "")


def _tensor(array: Any, otherwise: Any) -> Any:
    """Return an array as a tensor; what no tensor can hold stays as it is."""
    try:
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))
    except (TypeError, AttributeError):
        return otherwise


def _whole(tensor: Any, name: str, path: Path) -> torch.Tensor:
    local: torch.Tensor = tensor._local_tensor.detach()
    if local.shape == tensor.shape:
        return local
    raise DataError(
        f"{path}: {name}: expected a whole tensor of shape {tuple(tensor.shape)}, found the part "
        f"{tuple(local.shape)} that one process had (a DTensor of FSDP)",
        hint="save whole tensors: from torch.distributed.checkpoint.state_dict import "
        "StateDictOptions, get_model_state_dict; every process calls state = get_model_state_dict("
        "model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)), and the first "
        "torch.save(state, 'step_100.pt')",
        code="IP312",
    )

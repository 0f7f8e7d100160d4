"""Arrays that may be NumPy's or torch's: the same code then runs on the processor and on a GPU."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from infoplane.records import Array

Tensor: TypeAlias = Any  # numpy.ndarray or torch.Tensor


def array_module(array: Tensor) -> Any:
    """Return the module that computes on ``array``: numpy or torch."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def is_tensor(array: Tensor) -> bool:
    """Tell whether ``array`` is a torch tensor; loads nothing."""
    return type(array).__module__.partition(".")[0] == "torch"


def place_of(array: Tensor) -> dict[str, Any]:
    """Return where to make arrays that go with ``array``."""
    return {} if isinstance(array, np.ndarray) else {"device": array.device}


def double(array: Tensor) -> Tensor:
    """Return a float64 copy, where the array is."""
    return array.astype(np.float64) if isinstance(array, np.ndarray) else array.double()


def beside(array: Array, other: Tensor) -> Tensor:
    """Return a NumPy array where ``other`` is, on its device."""
    if isinstance(other, np.ndarray):
        return array
    return sys.modules["torch"].as_tensor(array, device=other.device)


def fetched(array: Tensor) -> Array:
    """Return a NumPy array of the same values; bfloat16, which NumPy lacks, becomes float32."""
    if isinstance(array, np.ndarray):
        return array
    array = array.detach().cpu()
    found: Array = (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()
    return found

"""Arrays that may be NumPy's or torch's: the same code then runs on the processor and on a GPU."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from infoplane.data import Array
from infoplane.errors import InputError

Tensor: TypeAlias = Any  # numpy.ndarray or torch.Tensor

_SMALLEST = 1e-140  # numbers whose squares neither vanish nor, above the inverse, overflow


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


def checked_squares(array: Array, name: str) -> Array:
    """Return an array whose squares neither overflow nor vanish in double precision.

    Raises
    ------
    InputError
        If the largest of its numbers is above 1e140, or below 1e-140 but not 0.
    """
    if array.dtype == np.float64:  # those of narrower numbers do not
        largest = max(float(array.max()), -float(array.min()))  # absolute values were a copy
        if largest > 0.0 and not _SMALLEST < largest < 1.0 / _SMALLEST:
            raise InputError(
                f"expected {name} whose largest number is between {_SMALLEST:g} and"
                f" {1.0 / _SMALLEST:g}, got {largest:.3g}: rescale them"
            )
    return array

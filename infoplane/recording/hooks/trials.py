"""Tell whether a layer depends on nothing but the sample: the same samples in another pass.

Rounding differs between batches of two sizes, for they are computed by other kernels. It stays far
below half of the digits of a dtype, and what a layer takes from other samples, from chance or from
an earlier pass is seldom that small. So two values of a sample are held to be alike if they differ
by no more than sqrt(eps) of the largest value of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from infoplane.data import Array, FloatArray
from infoplane.recording.hooks.outputs import Key, to_array

_MOST_ROWS, _MOST_UNITS = 8, 4096
"""Of a layer that are compared."""


@dataclass
class Trial:
    """Some values of every layer, of the samples ``rows``."""

    rows: Sequence[int]
    values: dict[Key, Array] = field(default_factory=dict)
    eps: dict[Key, float] = field(default_factory=dict)  # relative spacing of the dtype

    def add(self, key: Key, tensor: torch.Tensor) -> None:
        """Keep the first units of the first rows of a layer (n_samples, ...)."""
        values = to_array(tensor, key[0])[:_MOST_ROWS]
        self.values[key] = values.reshape(len(values), -1)[:, :_MOST_UNITS].copy()
        real = tensor.is_floating_point() or tensor.is_complex()
        self.eps[key] = torch.finfo(tensor.dtype).eps if real else 0.0

    def unlike(self, other: Trial) -> list[str]:
        """Return the layers in which a sample of both trials has other values, in order."""
        places = {row: place for place, row in enumerate(other.rows)}
        both = [
            (place, places[row])
            for place, row in enumerate(self.rows[:_MOST_ROWS])
            if places.get(row, _MOST_ROWS) < _MOST_ROWS
        ]
        mine, theirs = map(list, zip(*both, strict=True)) if both else ([], [])
        return list(
            dict.fromkeys(
                key[0]
                for key, values in self.values.items()
                if (others := other.values.get(key)) is not None
                and others.shape[1:] == values.shape[1:]
                and len(values) > max(mine, default=0)
                and len(others) > max(theirs, default=0)
                and not _alike(values[mine], others[theirs], math.sqrt(self.eps[key]))
            )
        )


def _alike(one: Array, other: Array, relative: float) -> bool:
    if np.array_equal(one, other):
        return True
    a, b = _float64(one), _float64(other)
    scale = float(np.max(np.abs(a), where=np.isfinite(a), initial=0.0))
    return bool(np.allclose(a, b, rtol=0.0, atol=relative * scale, equal_nan=True))


def _float64(values: Array) -> FloatArray:
    return values.astype(np.float64)

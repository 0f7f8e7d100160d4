"""bfloat16 as it is stored: its own 16 bits, which are the upper half of a float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import collected, row_blocks
from infoplane.data import Array

BFLOAT16 = "bfloat16"


def bfloat16_values(bits: Array) -> NDArray[np.float32]:
    """Return the values of bfloat16 numbers given by their bits (uint16), exactly."""
    parts = ((bits[rows].astype(np.uint32) << 16).view(np.float32) for rows in row_blocks(bits))
    return collected(bits.shape, np.float32, parts)

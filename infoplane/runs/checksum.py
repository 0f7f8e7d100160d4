"""CRC-32 as zlib computes it; with the processor's own instructions where isal is installed."""

from __future__ import annotations

import importlib
import zlib
from functools import lru_cache
from typing import Any


def _fastest() -> Any:
    try:
        return importlib.import_module("isal.isal_zlib").crc32  # five times as fast
    except ImportError:
        return zlib.crc32


_crc32 = _fastest()


def crc32(data: memoryview | bytes, before: int = 0) -> int:
    """Return the CRC-32 of contiguous data that follows data of checksum ``before``."""
    return int(_crc32(data, before))


def joined_crc32(before: int, after: int, n_bytes: int) -> int:
    """Return the CRC-32 of two pieces of data, of their checksums and the length of the second.

    A checksum is a polynomial over GF(2) modulo that of CRC-32; n bytes behind it multiply it with
    x**(8 n) (Brown, Adler: ``crc32_combine`` of zlib).
    """
    return _product(_shift(n_bytes), before) ^ after


@lru_cache(maxsize=1024)
def _shift(n_bytes: int) -> int:
    """Return x**(8 n_bytes)."""
    power, square, exponent = 1 << 31, 1 << 30, 8 * n_bytes  # 1 and x: the highest bit is x**0
    while exponent:
        if exponent & 1:
            power = _product(power, square)
        square = _product(square, square)
        exponent >>= 1
    return power


def _product(one: int, other: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = (other >> 1) ^ (0xEDB88320 if other & 1 else 0)
    return product

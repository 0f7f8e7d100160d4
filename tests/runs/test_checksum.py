import zlib

import numpy as np

from infoplane.runs.checksum import crc32


def test_checksum_is_that_of_zlib_in_pieces():
    data = np.random.default_rng(0).integers(0, 256, 100_003, dtype=np.uint8)
    assert crc32(data.data) == zlib.crc32(data.data)
    assert crc32(data[777:].data, crc32(data[:777].data)) == zlib.crc32(data.data)
    assert crc32(b"123456789") == 0xCBF43926  # the check value of CRC-32/ISO-HDLC

"""The 12-bit task: all inputs, and labels whose information is known exactly."""

from __future__ import annotations

import numpy as np

from infoplane.data import FloatArray, IntArray

_NEIGHBOURS = (
    (1, 3, 5, 10, 11),
    (0, 2, 3, 4, 11),
    (1, 3, 4, 8, 9),
    (0, 1, 2, 8, 10),
    (1, 2, 6, 9, 11),
    (0, 6, 7, 10, 11),
    (4, 5, 7, 9, 11),
    (5, 6, 8, 9, 10),
    (2, 3, 7, 9, 10),
    (2, 4, 6, 7, 8),
    (0, 3, 5, 7, 8),
    (0, 1, 4, 5, 6),
)
"""The bits that neighbour each of the 12 bits, placed on the vertices of an icosahedron."""


def toy12() -> tuple[FloatArray, IntArray]:
    """Return the 12-bit task: all 4096 binary patterns and their labels.

    The bits sit on the vertices of an icosahedron. With k active bits, and e1, e2, e3 pairs of
    active bits that are adjacent, two edges apart, and opposite, the label is
    1 if 23 k + e1 - 5 e2 - 8 e3 >= 99. It is invariant under the 120 symmetries of the solid;
    P(y = 1) = 0.5171, H(Y) = 0.99916 bits.

    Returns
    -------
    inputs : float64 array (4096, 12)
        Patterns of 0 and 1 in counting order, the first bit most significant.
    labels : int64 array (4096,)
        Class ids 0 and 1.

    References
    ----------
    Task: Shwartz-Ziv, Tishby: "Opening the black box of deep neural networks via information",
    arXiv 1703.00810, section 3. The integer rule reproduces all 4096 published labels.

    Examples
    --------
    >>> inputs, labels = toy12()
    >>> inputs.shape, labels.shape
    ((4096, 12), (4096,))
    >>> float(labels.mean().round(4))
    0.5171
    """
    bits = (np.arange(4096)[:, None] >> np.arange(11, -1, -1)) & 1
    adjacent = np.zeros((12, 12), dtype=np.int64)
    for bit, others in enumerate(_NEIGHBOURS):
        adjacent[bit, list(others)] = 1
    itself = np.eye(12, dtype=np.int64)
    two_apart = ((adjacent @ adjacent > 0) & (adjacent + itself == 0)).astype(np.int64)
    opposite = 1 - adjacent - two_apart - itself

    def active_pairs(relation: IntArray) -> IntArray:
        pairs: IntArray = ((bits @ relation) * bits).sum(axis=1) // 2
        return pairs

    k = bits.sum(axis=1)
    score = 23 * k + active_pairs(adjacent) - 5 * active_pairs(two_apart)
    score -= 8 * active_pairs(opposite)
    return bits.astype(np.float64), (score >= 99).astype(np.int64)

"""The random stream of a named piece of work.

A stream is derived from the seed and from *what* is computed, never from the order of the work, so
that results do not depend on the number of workers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *key: object) -> np.random.Generator:
    """Return the random generator of the work named by ``key``.

    Parameters
    ----------
    seed : int
        The seed of the whole analysis, at least 0.
    *key : object
        What is computed, e.g. run, step, layer and estimator; ``str`` of each part counts.
    """
    text = "\x1f".join(str(part) for part in key)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # names of any bytes
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))

"""Time and memory of the compressed estimator; sections of ``compressed.py``."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from compressed_tasks import gaussian_pair
from scipy.spatial import cKDTree

from infoplane.numerics.intervals import disjoint_folds
from infoplane.numerics.neighbors.estimates import shuffle_difference
from infoplane.numerics.neighbors.noise_channel import noise_information
from infoplane.numerics.projection import principal_basis, row_chunks


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(name: str, work: Callable[[], object], base: Callable[[], object], rounds: int) -> None:
    work(), base()
    pairs = [(timed(work), timed(base)) for _ in range(rounds)]
    print(f"{name:62s} {np.median([a / b for a, b in pairs]):5.2f}")


def speed(quick: bool, first_seed: int) -> None:
    """Ratios of CPU time."""
    import torch

    torch.set_num_threads(1)
    rounds, n = (1, 1500) if quick else (9, 10_000)
    rng = np.random.default_rng(first_seed)
    code = rng.normal(size=(n, 4))
    ratio("noise-mode value, q = 4 : tree build and query k = 20",
          lambda: noise_information(code, 0.1),
          lambda: cKDTree(code).query(code, 21), rounds)  # fmt: skip
    seen = code + 0.1 * rng.normal(size=code.shape)
    ratio("the same between its bounds",
          lambda: noise_information(seen, 0.1, clean=code),
          lambda: cKDTree(code).query(code, 21), rounds)  # fmt: skip
    few = disjoint_folds(n, 10, rng)[: max(2, 20_000 // n)]
    ratio("the same with its interval and drift",
          lambda: noise_information(seen, 0.1, None, few, code).error,
          lambda: cKDTree(code).query(code, 21), rounds)  # fmt: skip
    a, b = gaussian_pair(2.0, 2, n, rng)
    joint = np.hstack([a, b])
    ratio("shuffle difference 2+2, 2 permutations : one joint query k = 20",
          lambda: shuffle_difference(a, b),
          lambda: cKDTree(joint).query(joint, 21), rounds)  # fmt: skip
    ratio("shuffle difference 2+2, 1 permutation",
          lambda: shuffle_difference(a, b, permutations=1),
          lambda: cKDTree(joint).query(joint, 21), rounds)  # fmt: skip
    for width in (256, 1500) if quick else (256, 784, 1500, 3072):
        wide = rng.normal(size=(n, width)).astype(np.float32) * (1 / np.arange(1, width + 1))
        wide = wide.astype(np.float32)
        exact = wide.astype(np.float64)
        ratio(f"8 components of {width} units : product of the centred array",
              lambda wide=wide: principal_basis(wide, 8),
              lambda exact=exact: exact.T @ exact, min(rounds, 5))  # fmt: skip


def memory(quick: bool, first_seed: int) -> None:
    """Largest memory of a streamed basis beside one chunk and one square matrix."""
    rng = np.random.default_rng(first_seed)
    n = 3000 if quick else 10_000
    for width in (256, 784) if quick else (256, 784, 1500, 3072):
        wide = rng.normal(size=(n, width)).astype(np.float32)
        chunk = 8 * next(iter(row_chunks(wide))).size
        square = 8 * width**2
        principal_basis(wide[:500], 8)
        tracemalloc.start()
        principal_basis(wide, 8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{width:5d} units: peak {peak / 1e6:5.1f} MB; a chunk in double precision"
              f" {chunk / 1e6:.1f} MB, D x D {square / 1e6:5.1f} MB;"
              f" peak / both {peak / (chunk + square):.2f}")  # fmt: skip

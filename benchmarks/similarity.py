"""Time and memory of a layer by layer CKA matrix, beside the pairwise textbook loop.

    OMP_NUM_THREADS=1 python benchmarks/similarity.py            # 20 layers, n = 2000
    OMP_NUM_THREADS=1 python benchmarks/similarity.py --layers 8 --loop-pairs 5

The textbook loop forms and centres both kernel matrices for each pair. Of ``--loop-pairs`` pairs
its time is measured, and scaled to all. The matrix made here has its intervals and nulls in it.
"""

from __future__ import annotations

import argparse
import itertools
import time
import tracemalloc

import numpy as np

import infoplane
from infoplane.numerics.similarity.samples import dealt
from infoplane.similarity.measure import Cka


def textbook(x: np.ndarray, y: np.ndarray) -> float:
    """Return biased linear CKA by its definition."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, other = centre @ (x @ x.T) @ centre, centre @ (y @ y.T) @ centre
    return float((k * other).sum() / np.linalg.norm(k) / np.linalg.norm(other))


def matrix(layers: list[np.ndarray]) -> dict[tuple[int, int], float]:
    """Return the debiased CKA of all pairs."""
    measure, rng = Cka(), np.random.default_rng(0)
    views = [measure.view(layer, dealt(len(layer))) for layer in layers]
    return {
        (i, j): measure.compare(views[i], views[j], rng).value
        for i, j in itertools.combinations(range(len(layers)), 2)
    }


def made(n: int, widths: list[int]) -> list[np.ndarray]:
    """Return layers of one random network."""
    rng = np.random.default_rng(0)
    x, found = rng.normal(size=(n, 32)), []
    for width in widths:
        x = np.maximum(x @ rng.normal(size=(x.shape[1], width)) / np.sqrt(x.shape[1]), 0)
        found.append(x.astype(np.float32))
    return found


def timed(work, *of):
    start = time.perf_counter()
    return work(*of), time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--loop-pairs", type=int, default=5)
    chosen = parser.parse_args()
    widths = np.geomspace(64, 4096, chosen.layers).round().astype(int).tolist()
    layers = made(chosen.n, widths)
    found, ours = timed(matrix, layers)
    pairs = list(found)
    picked = np.linspace(0, len(pairs) - 1, min(chosen.loop_pairs, len(pairs))).astype(int)
    seconds = []
    for i, j in (pairs[p] for p in picked):
        value, took = timed(textbook, layers[i], layers[j])
        exact = infoplane.cka(layers[i], layers[j], debiased=False)
        assert abs(value - exact) < 1e-5, (value, exact)
        seconds.append(took)
    loop = float(np.mean(seconds)) * len(pairs)
    print(f"{chosen.layers} layers of {widths[0]} .. {widths[-1]} units, n = {chosen.n:,}")
    print(f"  here           {ours:8.1f} s, with intervals and nulls")
    print(
        f"  textbook loop  {loop:8.1f} s, of {len(picked)} pairs; {loop / ours:.0f} times as long"
    )
    print("growth of one view and one comparison:")
    for n, d in ((500, 64), (1000, 64), (2000, 64), (2000, 256), (2000, 1024)):
        rng, measure = np.random.default_rng(0), Cka()
        x, y = rng.normal(size=(2, n, d))
        tracemalloc.start()
        view, first = timed(measure.view, x, dealt(n))
        kept = tracemalloc.get_traced_memory()[0] / 2**20
        other = measure.view(y, dealt(n))
        _, second = timed(measure.compare, view, other, rng)
        most = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        print(f"  n {n:5,}  d {d:5,}  view {first:6.3f} s {kept:6.1f} MiB  "
              f"compare {second:6.3f} s  peak {most:6.1f} MiB")  # fmt: skip


if __name__ == "__main__":
    main()

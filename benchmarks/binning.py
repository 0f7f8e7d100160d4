"""Speed of the binned and kernel-density estimators against the plain textbook pipeline.

Ratios of CPU time, both sides in this process on one thread, interleaved; the best of some rounds.
The textbook pipeline is np.unique + np.digitize + np.unique on void rows, with a loop over the
inputs for H(T|X), and the full matrix of distances in float32 for the kernel-density bounds.

    python benchmarks/binning.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - threads are limited before the first import
from scipy.special import logsumexp  # noqa: E402

from infoplane import binned_information, kde_information  # noqa: E402
from infoplane.estimators.layers.renyi_information import renyi_information  # noqa: E402
from infoplane.numerics.discrete.binned import (  # noqa: E402
    partition_information,
    probe_symbols,
)
from infoplane.numerics.discrete.edges import bin_labels  # noqa: E402
from infoplane.numerics.discrete.partitions import partitioned  # noqa: E402
from infoplane.numerics.discrete.symbols import row_symbols  # noqa: E402


def entropy(counts: np.ndarray) -> float:
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def void_rows(rows: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)


def textbook_binning(
    t: np.ndarray, y: np.ndarray, x: np.ndarray, bins: int = 30, *, loop: bool
) -> tuple[float, float]:
    """Return I(X;T) and I(T;Y), bins at equal numbers of distinct values."""
    distinct = np.unique(t)
    edges = [distinct[int(k * (len(distinct) / bins))] for k in range(bins)] + [distinct[-1]]
    digitized = np.asarray(edges)[np.digitize(t, edges) - 1]
    rows = void_rows(digitized)
    _, _, counts = np.unique(rows, return_inverse=True, return_counts=True)
    h_t = entropy(counts)
    h_t_x = 0.0
    if loop:
        _, x_inverse, x_counts = np.unique(void_rows(x), return_inverse=True, return_counts=True)
        for i in range(len(x_counts)):
            same = void_rows(digitized[x_inverse == i])
            _, _, c = np.unique(same, return_inverse=True, return_counts=True)
            h_t_x += x_counts[i] / len(x) * entropy(c)
    h_t_y = 0.0
    for label in np.unique(y):
        _, c = np.unique(rows[y == label], return_counts=True)
        h_t_y += (y == label).mean() * entropy(c)
    return h_t - h_t_x, h_t - h_t_y


def textbook_kde(t: np.ndarray, y: np.ndarray, variance: float) -> tuple[float, ...]:
    """Return upper and lower bound of I(X;T), and their differences for I(T;Y), float32."""

    def information(rows: np.ndarray, scale: float) -> float:
        squares = (rows * rows).sum(axis=1)
        distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        sums = logsumexp(-distances / np.float32(scale), axis=1)
        return float(-(sums - np.log(np.float32(len(rows)))).mean() / np.log(2))

    found = []
    for scale in (2 * variance, 8 * variance):
        whole = information(t, scale)
        within = sum((y == c).mean() * information(t[y == c], scale) for c in np.unique(y))
        found += [whole, whole - within]
    return tuple(found)


def kernel_floor(t: np.ndarray) -> Callable[[], None]:
    """Return the matrix product and one exponential per pair i <= j: what cannot be saved."""
    left = np.hstack([t, t[:, :2]]).astype(np.float32)
    out = np.empty((256, 256), dtype=np.float32)
    scaled = left / np.float32(np.abs(left).max() * left.shape[1])

    def run() -> None:
        for i in range(0, len(t), 256):
            for j in range(i, len(t), 256):
                part = out[: min(256, len(t) - i), : min(256, len(t) - j)]
                np.matmul(scaled[i : i + 256], scaled[j : j + 256].T, out=part)
                np.exp2(part, out=part)

    return run


def cpu(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each function, interleaved, each after a call untimed."""
    best = dict.fromkeys(functions, np.inf)
    for _ in range(rounds):
        for name, function in functions.items():
            function()
            started = time.process_time()
            function()
            best[name] = min(best[name], time.process_time() - started)
    return best


def layer(n: int, d: int, kind: str = "tanh") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + d)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    t = x @ rng.normal(size=(12, d)).astype(np.float32) / np.float32(3)
    t = np.tanh(t) if kind == "tanh" else np.maximum(t, 0)
    return t.astype(np.float32), (x[:, 0] * x[:, 1] > 0).astype(np.int64), x


def clusters(n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a layer of 40 tight clusters, whose samples mostly share a state."""
    rng = np.random.default_rng(n + d)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    centres = np.tanh(rng.normal(size=(40, d)))[rng.integers(0, 40, n)]
    t = centres + 1e-3 * rng.normal(size=(n, d))
    return t.astype(np.float32), (x[:, 0] * x[:, 1] > 0).astype(np.int64), x


def binning_table(quick: bool) -> None:
    print("Adaptive binning (30 bins), I(X;T) and I(T;Y); CPU ms, and ratios to ours")
    print(
        f"{'layer':8} {'n':>6} {'d':>4} {'ours':>9} {'loop':>7} {'no loop':>8} {'/ sort':>7} "
        f"{'4 bins/1':>9} {'with null':>10}"
    )
    sizes = (
        [(4096, 10), (4096, 64)]
        if quick
        else [(4096, 10), (4096, 64), (4096, 256), (60_000, 10), (60_000, 64), (60_000, 256)]
    )
    made = [(layer, n, d) for n, d in sizes]
    made += [(clusters, n, d) for n, d in (sizes[:1] if quick else [(4096, 10), (60_000, 64)])]
    for make, n, d in made:
        t, y, x = make(n, d)
        probe = probe_symbols(n, y, x, permutations=0)
        null = probe_symbols(n, y, x, permutations=5)

        def ours(bins=(30,), probe=probe, t=t):
            for partition in partitioned(t, "ebab", bins):
                partition_information(partition, probe)

        functions = {
            "ours": ours,
            "sweep": lambda ours=ours: ours((15, 30, 60, 100)),
            "null": lambda ours=ours, null=null: ours(probe=null),
            "sort": lambda t=t: np.sort(t, axis=None),
            "no loop": lambda t=t, y=y, x=x: textbook_binning(t, y, x, loop=False),
        }
        best = cpu(functions, 40 if n * d < 1e6 else 4)
        if n <= 4096:
            best |= cpu({"loop": lambda t=t, y=y, x=x: textbook_binning(t, y, x, loop=True)}, 2)
        info, plain = binned_information(t, y, x), textbook_binning(t, y, x, loop=False)
        assert abs(info.ixt - plain[0]) < 1e-9
        assert abs(info.ity - plain[1]) < 1e-9
        one = best["ours"]
        loop = f"{best['loop'] / one:7.0f}" if "loop" in best else f"{'-':>7}"
        kind = "spread" if make is layer else "clusters"
        print(
            f"{kind:8} {n:6d} {d:4d} {one * 1e3:9.2f} {loop} {best['no loop'] / one:8.1f} "
            f"{one / best['sort']:7.2f} {best['sweep'] / one:9.2f} {best['null'] / one:10.2f}"
        )


def parts_table(quick: bool) -> None:
    print("\nParts; CPU ms, and ratios to ours")
    sizes = [(4096, 10)] if quick else [(4096, 10), (60_000, 10), (60_000, 64), (60_000, 256)]
    for n, d in sizes:
        t, _, _ = layer(n, d)
        edges = np.linspace(-1, 1, 31).astype(np.float32)
        labels = bin_labels(t, edges)
        rows = labels.astype(np.float32)
        functions = {
            "digitise": lambda t=t, e=edges: bin_labels(t, e),
            "np.digitize": lambda t=t, e=edges: np.digitize(t, e),
            "rows": lambda r=labels: row_symbols(r),
            "np.unique(void)": lambda r=rows: np.unique(void_rows(r), return_inverse=True),
        }
        best = cpu(functions, 3)
        print(
            f"{n:6d} {d:4d}  digitise {best['digitise'] * 1e3:8.2f} "
            f"({best['np.digitize'] / best['digitise']:.1f}x)   rows {best['rows'] * 1e3:8.2f} "
            f"({best['np.unique(void)'] / best['rows']:.1f}x)"
        )


def kde_table(quick: bool) -> None:
    print("\nKernel density, both bounds of I(X;T) and I(T;Y), variance 1e-3; CPU ms and ratios")
    print(
        f"{'n':>6} {'d':>5} {'auto':>9} {'precision':>9} {'auto':>7} {'float32':>8} {'mixed':>7} "
        f"{'float64':>8} {'/ floor':>8}"
    )
    sizes = [(2048, 10)] if quick else [(4096, 10), (8192, 10), (4096, 128), (4096, 1024)]
    for n, d in sizes:
        t, y, _ = layer(n, d)
        functions = {
            precision: lambda t=t, y=y, p=precision: kde_information(t, y, precision=p)
            for precision in ("auto", "float32", "mixed", "float64")
        }
        functions |= {"plain": lambda t=t, y=y: textbook_kde(t, y, 1e-3), "floor": kernel_floor(t)}
        best = cpu(functions, 2 if n > 5000 else 4)
        used = kde_information(t, y, precision="auto").precision
        ratio = {name: best["plain"] / seconds for name, seconds in best.items()}
        print(
            f"{n:6d} {d:5d} {best['auto'] * 1e3:9.1f} {used:>9} {ratio['auto']:7.1f} "
            f"{ratio['float32']:8.1f} {ratio['mixed']:7.1f} {ratio['float64']:8.1f} "
            f"{best['float32'] / best['floor']:8.2f}"
        )
    n = 10_000 if quick else 60_000
    t, y, _ = layer(n, 10)
    tracemalloc.start()
    started = time.process_time()
    kde_information(t, y, precision="auto")
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{n:6d}    10 {seconds:9.1f} s, peak memory {peak / 2**20:.0f} MiB")


def renyi_table(quick: bool) -> None:
    print("\nMatrix-based Renyi entropy, alpha 1.01 over alpha 2; CPU ms and ratio")
    for n in (500,) if quick else (500, 1500):
        t, _, x = layer(n, 10)
        best = cpu(
            {
                str(a): lambda t=t, x=x, a=a: renyi_information(t, x, a, shuffles=0)
                for a in (1.01, 2)
            },
            2,
        )
        print(
            f"{n:6d} {best['1.01'] * 1e3:9.1f} {best['2'] * 1e3:9.1f} "
            f"{best['1.01'] / best['2']:7.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of binned and kernel-density estimators")
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer rounds")
    quick = parser.parse_args().quick
    binning_table(quick)
    parts_table(quick)
    kde_table(quick)
    renyi_table(quick)


if __name__ == "__main__":
    main()

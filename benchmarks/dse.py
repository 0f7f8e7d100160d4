"""Speed, accuracy and memory of diffusion spectral entropy against the textbook pipeline.

The baseline is what is written down in an afternoon: distances by scikit-learn, two products with
diagonal matrices, ``numpy.linalg.eigvalsh``. All run in one process, interleaved, on one thread;
times are CPU seconds, ratios baseline / method. Usage::

    python benchmarks/dse.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch
from sklearn.metrics import pairwise_distances

from infoplane import diffusion_spectral_entropy, diffusion_spectral_mutual_information
from infoplane.data import ProbeSet
from infoplane.estimators.layers.diffusion import DiffusionSpectral

N_UNITS = 256
TIMES = (1, 2, 5)


def textbook_kernel(x: np.ndarray, sigma: float) -> np.ndarray:
    distances = pairwise_distances(x)
    gaussian = np.exp(-(distances**2) / (2 * sigma**2))
    scaling = np.diag(gaussian.sum(axis=1) ** -0.5)
    return scaling @ gaussian @ scaling


def textbook_entropy(x: np.ndarray, sigma: float, t: float = 1) -> float:
    spectrum = np.abs(np.linalg.eigvalsh(textbook_kernel(x, sigma))) ** t
    shares = spectrum / spectrum.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def textbook_information(x: np.ndarray, labels: np.ndarray, sigma: float) -> float:
    rng = np.random.default_rng(0)
    total = 0.0
    for label in np.unique(labels):
        own = x[labels == label]
        subsets = [
            textbook_entropy(x[rng.choice(len(x), len(own), replace=False)], sigma)
            for _ in range(5)
        ]
        total += len(own) / len(x) * (np.mean(subsets) - textbook_entropy(own, sigma))
    return total


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(methods: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each method, run in turn."""
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, work in methods.items():
            spent[name].append(cpu_seconds(work))
    return {name: median(times) for name, times in spent.items()}


def clusters(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), n // 10)
    centres = rng.normal(size=(10, N_UNITS))
    return centres[labels] + rng.normal(size=(n, N_UNITS)), labels


def speed_of_entropy(sizes: list[int], rounds: int) -> None:
    print("DSE, CPU seconds (median) and speed relative to the textbook pipeline")
    print(f"{'n':>6} {'method':28} {'seconds':>9} {'ratio':>7} {'/ bare torch eigvalsh':>22}")
    for n in sizes:
        x, _ = clusters(n)
        sigma = 16.0
        square = torch.from_numpy(textbook_kernel(x, sigma))

        def entropy(x: np.ndarray = x, sigma: float | str = sigma, **options: object) -> object:
            return diffusion_spectral_entropy(x, sigma=sigma, **options)

        methods: dict[str, Callable[[], object]] = {
            "textbook": lambda x=x, sigma=sigma: textbook_entropy(x, sigma),
            "torch.linalg.eigvalsh alone": lambda square=square: torch.linalg.eigvalsh(square),
            "exact float64": lambda entropy=entropy: entropy(method="exact"),
            "exact float64, 4 times t": lambda entropy=entropy: entropy(
                method="exact", t=[1, 2, 3, 5]
            ),
            "exact float64, sigma=median": lambda entropy=entropy: entropy(
                method="exact", sigma="median"
            ),
            "exact float32": lambda entropy=entropy: entropy(method="exact", dtype="float32"),
            "slq": lambda entropy=entropy: entropy(method="slq", dtype="float32"),
            "slq, 4 times t": lambda entropy=entropy: entropy(
                method="slq", dtype="float32", t=[1, 2, 3, 5]
            ),
        }
        if n > 4000:
            methods = {name: methods[name] for name in ("textbook", "slq", "exact float32")}
        spent = compared(methods, rounds if n <= 4000 else 1)
        for name, seconds in spent.items():
            bare = spent.get("torch.linalg.eigvalsh alone")
            relative = f"{seconds / bare:22.2f}" if bare else ""
            print(f"{n:6} {name:28} {seconds:9.3f} {spent['textbook'] / seconds:7.1f} {relative}")
        sys.stdout.flush()


def speed_of_information(n: int, rounds: int) -> None:
    x, labels = clusters(n)
    unequal = np.sort(np.random.default_rng(2).choice(10, n, p=np.arange(1, 11) / 55))
    print(f"\nDSMI, n = {n}")
    for title, reference in (("10 equal classes", labels), ("10 unequal classes", unequal)):
        spent = compared(
            {
                "textbook": lambda r=reference: textbook_information(x, r, 16.0),
                "here": lambda r=reference: diffusion_spectral_mutual_information(x, r, sigma=16.0),
                "four": lambda r=reference: diffusion_spectral_mutual_information(
                    x, r, sigma=16.0, t=[1, 2, 3, 5]
                ),
            },
            rounds,
        )
        ratio = spent["textbook"] / spent["here"]
        more = spent["four"] / spent["here"]
        print(f"{title:20} {spent['here']:7.3f} s   ratio {ratio:5.1f}   4 times t: x {more:.2f}")


def speed_of_cells(n: int, rounds: int) -> None:
    """Print what a cell of an analysis costs, and how far it is from all eigenvalues."""
    print(f"\ncells of an analysis, n = {n}, 10 unequal classes, 10 clusters of the inputs")
    print(
        f"{'units':>6} {'quick':>8} {'plain':>8} {'ratio':>6}   difference of DSE, DSMI_Y, DSMI_X"
    )
    rng = np.random.default_rng(4)
    labels = np.sort(rng.choice(10, n, p=np.arange(6, 16) / 105))
    inputs = rng.normal(size=(10, 20))[labels] + rng.normal(size=(n, 20))
    run = SimpleNamespace(probe=ProbeSet(inputs, labels))
    plain = DiffusionSpectral(method="exact", subsets="official", repetitions=5)
    quick = DiffusionSpectral()
    prepared = quick.prepare_run(run, rng)
    for n_units in (10, 128, 1568):
        layer = np.maximum(inputs @ rng.normal(size=(20, n_units)), 0).astype(np.float32)
        found: dict[str, object] = {}

        def work(name: str, estimator: DiffusionSpectral, layer=layer, found=found) -> None:
            found[name] = estimator.estimate(prepared, layer, rng)

        spent = compared(
            {"quick": lambda: work("quick", quick), "plain": lambda: work("plain", plain)}, rounds
        )
        differences = [found["quick"][q].bits - found["plain"][q].bits for q in found["quick"]]
        told = " ".join(f"{one:+.4f}" for one in differences)
        ratio = spent["plain"] / spent["quick"]
        print(f"{n_units:6} {spent['quick']:8.3f} {spent['plain']:8.3f} {ratio:6.1f}   {told}")


def kernels(n: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return points and the factor on the median rule, from narrow to wide."""
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(8, N_UNITS)) / 8**0.5
    isotropic = rng.normal(size=(n, N_UNITS))
    flat = rng.normal(size=(n, 8)) @ mixing
    heavy = rng.standard_t(2, size=(n, 8)) @ mixing
    clustered = clusters(n)[0]
    return {
        "narrow, isotropic": (isotropic, 0.3),
        "median, isotropic": (isotropic, 1.0),
        "very wide, isotropic": (isotropic, 10.0),
        "narrow, 8-dimensional": (flat, 0.5),
        "median, 8-dimensional": (flat, 1.0),
        "median, clustered": (clustered, 1.0),
        "narrow, clustered": (clustered, 0.5),
        "narrow, heavy-tailed": (heavy, 0.5),
        "median, heavy-tailed": (heavy, 1.0),
        "very wide, heavy-tailed": (heavy, 10.0),
    }


def accuracy(n: int, seeds: int) -> None:
    print(f"\nslq less exact float64, n = {n}: largest of {seeds} seeds, t = 1, 2, 5")
    print(f"{'kernel':26} {'|error| in bits':>26} {'largest |error| / reported':>28}")
    worst = 0.0
    for name, (x, factor) in kernels(n).items():
        sigma = diffusion_spectral_entropy(x[:50]).sigma * factor
        exact = diffusion_spectral_entropy(x, sigma=sigma, t=TIMES, method="exact").bits
        errors, ratios = [], []
        for seed in range(seeds):
            found = diffusion_spectral_entropy(x, sigma=sigma, t=TIMES, method="slq", seed=seed)
            errors.append(np.abs(found.bits - exact))
            ratios.append((errors[-1] / found.standard_error).max())
        largest = np.max(errors, axis=0)
        worst = max(worst, float(largest.max()))
        print(f"{name:26} {' '.join(f'{e:8.5f}' for e in largest):>26} {max(ratios):28.2f}")
    print(f"largest error {worst:.4f} bits")


def memory(n: int) -> None:
    """Print peak memory above that of a small set, in processes of their own (Linux only)."""
    if not Path("/proc/self/status").exists():
        return
    script = (
        "import sys, numpy as np, torch\n"
        "from infoplane import diffusion_spectral_entropy as dse\n"
        "torch.linalg.eigvalsh(torch.eye(1200, dtype=torch.float64))\n"
        "x = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 256))\n"
        "dse(x[:600], sigma=16.0)\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: 1024 * int(status().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "dse(x, sigma=16.0, method=sys.argv[2], dtype=sys.argv[3])\n"
        "print((peak() - before) / (8 * len(x) ** 2))\n"
    )
    print(f"\npeak memory in units of 8 n² bytes, n = {n}")
    for method, dtype in (("exact", "float64"), ("exact", "float32"), ("slq", "float32")):
        command = [sys.executable, "-c", script, str(n), method, dtype]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"{method} {dtype}: {float(found):.2f}")


def speed_on_cuda(sizes: list[int]) -> None:
    """Print wall seconds and peak device memory of tensors on a GPU, where there is one."""
    if not torch.cuda.is_available():
        return
    print(f"\nDSE on {torch.cuda.get_device_name()}: wall seconds, peak memory in GiB")
    for n in sizes:
        x = torch.from_numpy(clusters(n)[0]).cuda()
        for method, dtype in (("exact", "float64"), ("exact", "float32"), ("slq", "float32")):
            if method == "exact" and n > 20_000:
                continue
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            start = time.perf_counter()
            found = diffusion_spectral_entropy(
                x, sigma=16.0, method=method, dtype=dtype, max_samples=n
            )
            torch.cuda.synchronize()
            seconds, peak = time.perf_counter() - start, torch.cuda.max_memory_allocated() / 2**30
            print(f"{n:6} {method:6} {dtype:8} {seconds:9.3f} {peak:7.2f}   {found.bits:.4f} bits")


def limits(n: int) -> None:
    """Print how far the exact solver is from the speed of matrix products."""
    for kind in (torch.float64, torch.float32):
        a = torch.randn(n, n, dtype=kind)
        a = a + a.T
        product = 2 * n**3 / median(cpu_seconds(lambda a=a: a @ a) for _ in range(3))
        solver = 4 / 3 * n**3 / cpu_seconds(lambda a=a: torch.linalg.eigvalsh(a))
        print(
            f"{kind}: product {product / 1e9:.0f} GF/s, eigvalsh {solver / 1e9:.0f} GF/s "
            f"({100 * solver / product:.0f} %)"
        )


def on_one_thread() -> None:
    """Start again with one thread, which the libraries take only before they are loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    if any(os.environ.get(name) != "1" for name in names):
        os.execve(
            sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(names, "1")
        )


def main() -> None:
    on_one_thread()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    diffusion_spectral_entropy(clusters(1500)[0])  # loads the solvers
    speed_of_entropy([300, 800] if quick else [500, 1000, 2000, 4000, 8000], 1 if quick else 3)
    speed_of_information(300 if quick else 2000, 1 if quick else 3)
    speed_of_cells(300 if quick else 2000, 1 if quick else 3)
    accuracy(300 if quick else 2000, 1 if quick else 4)
    memory(1200 if quick else 4000)
    speed_on_cuda([1000] if quick else [2000, 4000, 8000, 20_000, 50_000])
    print()
    limits(600 if quick else 4000)


if __name__ == "__main__":
    main()

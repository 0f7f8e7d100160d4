"""Cost of the spectra of a layer, and of its class geometry, against textbook routines.

Ratios in one process, on one thread: each textbook routine decomposes for itself, as the packages
do that compute one measure. ``--quick`` takes the two smallest sizes.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from infoplane.estimators.registry import parse_estimator  # noqa: E402
from infoplane.numerics.spectra import OPERATORS, moments  # noqa: E402
from infoplane.numerics.spectral_measures import MEASURES  # noqa: E402
from infoplane.validation.problems import Problem, ProblemRun  # noqa: E402

SIZES = ((1000, 256), (2000, 512), (512, 2048))
REPEATS = 3


def seconds(work: Callable[[], Any]) -> float:
    """Return the least CPU time of some repeats."""
    best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return float(best)


def entropy(shares: np.ndarray) -> float:
    used = shares[shares > 0]
    return float(-(used * np.log(used)).sum())


def textbook(x: np.ndarray) -> dict[str, Callable[[], float]]:
    """Return the eight measures as each is published on its own.

    The published code of the effective rank and of alpha takes them from scikit-learn's PCA.
    """
    from sklearn.decomposition import PCA

    def covariance() -> np.ndarray:
        return np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1].clip(0.0)

    def centred() -> np.ndarray:
        return PCA(svd_solver="full").fit(x).explained_variance_

    def rankme() -> float:
        s = np.linalg.svd(x, compute_uv=False)
        return float(np.exp(entropy(s / s.sum())))

    def effective_rank() -> float:
        values = centred()
        return float(np.exp(entropy(values / values.sum())))

    def participation() -> float:
        values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
        return float(values.sum() ** 2 / (values**2).sum())

    def stable_rank() -> float:
        about = x - x.mean(axis=0)
        return float(np.linalg.norm(about) ** 2 / np.linalg.norm(about, 2) ** 2)

    def alpha() -> float:
        values = centred()[11:100]
        ranks = np.arange(12, 12 + len(values))
        return float(-np.polyfit(np.log(ranks), np.log(values), 1, w=ranks**-0.5)[0])

    def vne() -> float:
        z = x / np.linalg.norm(x, axis=1, keepdims=True)
        return entropy(np.linalg.eigvalsh(z.T @ z / len(z)).clip(0.0)) / np.log(2)

    def vne_centred() -> float:
        values = covariance()
        return entropy(values / values.sum()) / np.log(2)

    def saturation() -> float:
        values = covariance()
        return float(np.searchsorted(np.cumsum(values) / values.sum(), 0.99) + 1) / x.shape[1]

    return {
        "rankme": rankme, "effective_rank": effective_rank, "participation_ratio": participation,
        "stable_rank": stable_rank, "alpha_req": alpha, "vne": vne, "vne_centred": vne_centred,
        "saturation": saturation,
    }  # fmt: skip


def shared(x: np.ndarray) -> dict[str, float]:
    """Return the same from one decomposition of each operator."""
    of = moments(x)
    spectra = {operator: of.spectrum(operator) for operator in OPERATORS}
    return {name: one.of(spectra[one.operator]) for name, one in MEASURES.items()}


def cell(spec: str, x: np.ndarray, labels: np.ndarray) -> float:
    """Return the seconds of a cell, what is prepared once left out."""
    estimator = parse_estimator(spec).seeded(0)
    run = ProblemRun(Problem(np.zeros((len(x), 1)), x, labels))
    rng = np.random.default_rng(0)
    layer = run.layers[0]
    prepared = estimator.prepare_layer(estimator.prepare_member(None, run, rng), run, layer, rng)
    return seconds(lambda: estimator.estimate(prepared, x, np.random.default_rng(0)))


def made(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 10
    x = rng.standard_normal((n, 20)) @ rng.standard_normal((20, d)) + rng.standard_normal((n, d))
    x += rng.standard_normal((10, d))[labels]
    return np.maximum(x, 0.0).astype(np.float32), labels


def large(spec: str, n: int, d: int) -> None:
    """Print the cost of a cell of a layer that is a file."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        rng = np.random.default_rng(0)
        for start in range(0, n, 100):
            file.write(rng.standard_normal((min(100, n - start), d), np.float32))
        x = np.memmap(file, np.float32, "r", shape=(n, d))
        run = ProblemRun(Problem(np.zeros((n, 1)), x, np.arange(n) % 10))
        estimator, layer = parse_estimator(spec).seeded(0), run.layers[0]
        peaks: list[int] = []
        watch = threading.Thread(target=lambda: watched(peaks), daemon=True)
        watch.start()
        start = time.process_time()
        shared = estimator.prepare_member(None, run, rng)
        prepared = estimator.prepare_layer(shared, run, layer, rng)
        found = estimator.estimate(prepared, x, rng)
        took = time.process_time() - start
        print(f"{spec} of {n} x {d}: {took:.0f} s, {max(peaks)} MiB held at most;", end=" ")
        print(", ".join(f"{name} {one.bits:.4g}" for name, one in found.items() if one.bits))


def watched(peaks: list[int]) -> None:
    """Note the memory of this process, in MiB, which no file stands for, again and again."""
    while True:
        status = Path("/proc/self/status").read_text()
        peaks.append(int(re.search(r"RssAnon:\s+(\d+)", status)[1]) // 1024)
        time.sleep(0.02)


def beside_others(python: str, n: int, d: int) -> None:
    """Print what other packages read of an array, in another environment, beside ours."""
    import subprocess
    import sys
    import tempfile

    import infoplane

    x, labels = made(n, d)
    x = x.astype(np.float64)
    ours: dict[str, Callable[[], float]] = {
        "effective_rank": lambda: infoplane.effective_rank(x),
        "stable_rank": lambda: infoplane.stable_rank(x),
        "alpha_req": lambda: infoplane.alpha_req(x).alpha,
        "intrinsic_dimension": lambda: infoplane.intrinsic_dimension(x, method="twonn"),
        "intrinsic_dimension_mle": lambda: infoplane.intrinsic_dimension(x, k=20),
        "nc1": lambda: infoplane.neural_collapse(x, labels).nc1,
        "rankme": lambda: infoplane.rankme(x),
    }
    sys.path.insert(0, str(Path(__file__).parent))
    from other_packages import apart

    print(f"{n} x {d}, float64, one thread; each in a process of its own")
    for name, work in ours.items():
        work()  # imports
        print(_row("infoplane", name, apart(work)))
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, x=x, labels=labels)
        file.flush()
        script = str(Path(__file__).with_name("other_packages.py"))
        done = subprocess.run([python, script, file.name], capture_output=True, text=True)
    for line in done.stdout.splitlines():
        told = json.loads(line)
        name = told.get("name", "")
        print(_row(told["package"], f"{name} ~ {told.get('ours', '')}", told))


def _row(package: str, name: str, told: dict[str, Any]) -> str:
    cost = told.get("error") or (
        f"{told['value']:12.5g}  {1e3 * told['seconds']:7.0f} ms  {told['MiB']:6.0f} MiB"
    )
    return f"{package:17s}  {name:50s}  {cost}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--large", nargs=3, metavar=("ESTIMATOR", "N", "D"))
    parser.add_argument("--others", metavar="PYTHON", help="of an environment with other packages")
    options = parser.parse_args()
    if options.others:
        for n, d in ((1000, 256), (2000, 512)):
            beside_others(options.others, n, d)
        return
    if options.large:
        spec, n, d = options.large
        large(spec, int(n), int(d))
        return
    specs = ("spectrum:halves=0", "spectrum", "collapse:splits=0", "dimension", "probe", "dse")
    print("  n x d       textbook  shared  ratio   " + "  ".join(specs))
    for n, d in SIZES[: 2 if options.quick else None]:
        x, labels = made(n, d)
        apart, together = compared(x.astype(np.float64))
        cells = "  ".join(f"{cell(spec, x, labels):{len(spec)}.3f}" for spec in specs)
        ratio = f"{apart / together:5.1f}"
        print(f"{n:5d} x {d:4d}  {apart:8.3f}  {together:6.3f}  {ratio}   {cells}", flush=True)


def compared(x: np.ndarray) -> tuple[float, float]:
    """Return the seconds of the separate routines and of the shared one, which must agree."""
    separate = textbook(x)
    one, other = {name: of() for name, of in separate.items()}, shared(x)
    for name, value in one.items():
        assert abs(value - other[name]) <= 1e-3 * abs(value) + 1e-9, (name, value, other[name])
    return seconds(lambda: [of() for of in separate.values()]), seconds(lambda: shared(x))


if __name__ == "__main__":
    main()

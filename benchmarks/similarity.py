"""Time and memory of a layer by layer CKA matrix, beside the pairwise textbook loop.

    OMP_NUM_THREADS=1 python benchmarks/similarity.py            # 20 layers, n = 2000
    OMP_NUM_THREADS=1 python benchmarks/similarity.py --layers 8 --loop-pairs 5
    python benchmarks/similarity.py --quick                      # 3 layers, n = 300

The textbook loop forms and centres both kernel matrices for each pair. Of ``--loop-pairs`` pairs
its time is measured, and scaled to all. The matrix made here has its intervals and nulls in it.

Other packages are in the table where they can be imported: pytorch-cka (debiased CKA), repsim
(biased CKA), rsatoolbox (RSA) and netrep (Procrustes angle). ``--others PYTHON`` runs them with the
interpreter of an environment of their own. Each gets the same layers, and compares all pairs; time
and growth of the peak memory are of that alone, in a process of its own. Values are those of the
first and the last layer.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

Layers = list[np.ndarray]


def textbook(x: np.ndarray, y: np.ndarray) -> float:
    """Return biased linear CKA by its definition."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, other = centre @ (x @ x.T) @ centre, centre @ (y @ y.T) @ centre
    return float((k * other).sum() / np.linalg.norm(k) / np.linalg.norm(other))


def matrix(layers: Layers, name: str = "cka") -> dict[tuple[int, int], float]:
    """Return a measure of all pairs."""
    from infoplane.numerics.similarity.samples import dealt
    from infoplane.similarity.registry import parse_measure

    measure, rng = parse_measure(name), np.random.default_rng(0)
    layers = [layer[: measure.most_samples] for layer in layers]
    views = [measure.view(layer, dealt(len(layer))) for layer in layers]
    return {
        (i, j): measure.compare(views[i], views[j], rng).value
        for i, j in itertools.combinations(range(len(layers)), 2)
    }


def of_pytorch_cka(layers: Layers) -> float:
    """Return debiased CKA by pytorch-cka, all layers at once."""
    import torch
    from cka import cka_from_features

    features = [torch.from_numpy(layer.astype(np.float64)) for layer in layers]
    return float(cka_from_features(features, features)[0, -1])


def of_repsim(layers: Layers) -> float:
    """Return biased CKA by repsim, all layers at once."""
    import repsim

    return float(repsim.cka(layers, kernel_type="linear", estimator="gretton")[0, -1])


def of_rsatoolbox(layers: Layers) -> float:
    """Return RSA by rsatoolbox on 1,000 samples, all pairs of matrices of distances at once."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare, concat

    made = [calc_rdm(Dataset(layer[:1000].astype(float)), method="euclidean") for layer in layers]
    every = concat(made)
    return float(compare(every, every, method="spearman")[0, -1])


def of_netrep(layers: Layers) -> float:
    """Return the angular Procrustes distance by netrep, pair by pair."""
    from netrep.metrics import LinearMetric

    metric, found = LinearMetric(alpha=1.0, center_columns=True), 0.0
    for x, y in itertools.combinations(layers, 2):
        found = metric.fit(x, y).score(x, y)
    ends = layers[0], layers[-1]
    return float(metric.fit(*ends).score(*ends)) if found else 0.0


OTHERS: dict[str, tuple[str, str, Callable[[Layers], float]]] = {  # module, our measure, what it is
    "pytorch-cka": ("cka", "cka", of_pytorch_cka),
    "repsim": ("repsim", "cka_biased", of_repsim),
    "rsatoolbox": ("rsatoolbox", "rsa", of_rsatoolbox),
    "netrep": ("netrep", "procrustes", of_netrep),
}


def of_ours(name: str) -> Callable[[Layers], float]:
    """Return what compares all pairs by one of the measures of infoplane."""
    return lambda layers: matrix(layers, name)[0, len(layers) - 1]


def alone(name: str, path: str) -> None:
    """Print value, seconds and the growth of the peak memory of one comparison, as JSON."""
    module, _, work = OTHERS.get(name) or ("infoplane", name, of_ours(name))
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    work([np.random.default_rng(i).normal(size=(40, 8)) for i in range(3)])  # imports are no work
    layers = [array for _, array in sorted(np.load(path).items())]
    _peak()
    before = _peak()
    value, took = timed(work, layers)
    most = _peak() - before
    print(json.dumps({"value": value, "seconds": took, "mib": most}))


def _peak() -> float:
    """Return the peak of the memory in MiB since this was last called; Linux alone resets it."""
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    Path("/proc/self/clear_refs").write_text("5")
    return peak


def others(layers: Layers, python: str) -> None:
    """Print the table of other packages, each beside the measure here that does the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "layers.npz")
        np.savez(path, **{f"{i:03}": layer for i, layer in enumerate(layers)})
        for name, (_, measure, _) in OTHERS.items():
            for interpreter, which in ((python, name), (sys.executable, measure)):
                told = _told([interpreter, __file__, "--alone", which, path])
                print(f"  {which:22}", "no value: " + told["missing"] if "missing" in told else
                      f"{told['seconds']:8.2f} s  {told['mib']:7.0f} MiB  {told['value']:.4f}",
                      flush=True)  # fmt: skip
                if "missing" in told:
                    break


def _told(command: list[str]) -> dict[str, float]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        return {"missing": "not done after 15 min"}
    if done.returncode:
        return {"missing": (done.stderr.splitlines() or ["it died"])[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


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
    parser.add_argument("--others", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.layers, chosen.n = 3, 300
    if chosen.alone:
        alone(*chosen.alone)
    else:
        tables(chosen)


def tables(chosen: argparse.Namespace) -> None:
    """Print the tables; what others run here has not imported infoplane."""
    import infoplane
    from infoplane.numerics.similarity.samples import dealt
    from infoplane.similarity.measure import Cka

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
    print("other packages, all pairs, each with what does the same here:")
    others(layers, chosen.others)
    print("growth of one view and one comparison:")
    sizes = ((500, 64), (1000, 64), (2000, 64), (2000, 256), (2000, 1024))
    for n, d in sizes[:1] if chosen.quick else sizes:
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

"""Error and time of `neural_information`, beside a textbook MINE and other packages.

    OMP_NUM_THREADS=1 python benchmarks/neural.py                     # 18 tasks, N = 5000
    OMP_NUM_THREADS=1 python benchmarks/neural.py --tasks 'rep-*' --n 2000
    python benchmarks/neural.py --coverage 25                         # 5 families, 25 samples each
    python benchmarks/neural.py --others PYTHON                       # packages of an environment
    python benchmarks/neural.py --device cuda
    python benchmarks/neural.py --quick                               # 2 tasks, N = 500

Times are CPU time of one thread, the estimates of a task one after another in turn. ``fit`` is one
estimate without parts of the sample, ``protocol`` the default, with its verdict. MINE is the
textbook form (Belghazi et al. 2018): a joint critic of two layers of 128 rectified units on
standardised columns, batches of 256 pairs and as many shuffled ones, Adam at 0.001, the gradient
corrected by a running mean of exp T, 5000 steps, read on 20 % held-out samples where these are
best, every 250 steps. Class labels are indicator columns there.

``--others`` runs torch-mist (InfoNCE, its defaults), infomeasure (KSG), ennemi and scikit-learn,
where they can be imported, with the interpreter of an environment of their own.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

NATS = math.log(2)
Sample = tuple[np.ndarray, np.ndarray]


def drawn(task: str, n: int, seed: int) -> tuple[Sample, float]:
    """Return a fresh sample of a task, labels as one column of whole numbers, and its nats."""
    from infoplane.validation.known_mi import MI_TASKS

    pair = MI_TASKS[task](n, np.random.default_rng(seed))
    y = pair.y if pair.labels is None else pair.labels
    return (pair.x if pair.labels is None else pair.y, y), pair.bits * NATS


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Return a value and the CPU time of this thread that it took."""
    start = time.thread_time()
    value = work()
    return value, time.thread_time() - start


def columns(y: np.ndarray) -> np.ndarray:
    """Return columns; labels as their indicators."""
    return y if y.ndim == 2 else (y[:, None] == np.unique(y)).astype(float)


def textbook_mine(x: np.ndarray, y: np.ndarray, steps: int = 5000) -> float:
    """Return the held-out value of a joint critic, in nats."""
    import torch

    torch.manual_seed(0)
    sides = [columns(np.asarray(side)) for side in (x, y)]
    both = np.hstack([(side - side.mean(0)) / (side.std(0) + 1e-12) for side in sides])
    data, cut = torch.from_numpy(both).float(), sides[0].shape[1]
    held = len(data) // 5
    order = torch.randperm(len(data))
    test, train = order[:held], order[held:]
    net = torch.nn.Sequential(
        torch.nn.Linear(data.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, 128),
        torch.nn.ReLU(), torch.nn.Linear(128, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def terms(own: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mixed = torch.cat([data[own, :cut], data[other, cut:]], dim=1)
        return net(data[own])[:, 0], net(mixed)[:, 0]

    best, mean = -math.inf, None
    for step in range(1, steps + 1):
        rows, others = (train[torch.randint(len(train), (256,))] for _ in range(2))
        told, raised = terms(rows, others)
        now = raised.exp().mean()
        mean = now.detach() if mean is None else 0.99 * mean + 0.01 * now.detach()
        loss = now / mean - told.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % min(250, steps) == 0:
            with torch.no_grad():
                told, raised = terms(test, test[torch.randperm(held)])
                best = max(best, float(told.mean() - raised.logsumexp(0) + math.log(held)))
    return best


def table(tasks: list[str], n: int, device: str, steps: int) -> None:
    """Print error and time of each task, ours and MINE in turn."""
    from infoplane import neural_information

    print(f"N = {n}, nats; error of the value, CPU seconds of one thread")
    print(f"{'task':42}{'true':>7}{'bits':>7}{'held':>7}{'error':>8}{'fit':>7}{'protocol':>9}"
          f"{'MINE':>8}{'error':>8}{'time':>7}  verdict, flags")  # fmt: skip
    warm = np.random.default_rng(0).normal(size=(2, 300, 2))  # libraries are loaded, untimed
    neural_information(*warm, device=device)
    textbook_mine(*warm, steps=10)
    errors, faster, within = [], [], 0
    for task in tasks:
        (x, y), truth = drawn(task, n, 1)
        kept = {}

        def ours(x=x, y=y, kept=kept, **more) -> float:
            kept["found"] = neural_information(x, y, device=device, **more)
            return kept["found"].bits * NATS

        _, fit = timed(lambda ours=ours: ours(protocol=False))
        mine, slow = timed(lambda x=x, y=y: textbook_mine(x, y, steps))
        value, whole = timed(ours)
        found = kept["found"]
        print(f"{task:42}{truth:7.3f}{value:7.3f}{found.diagnostics['test'] * NATS:7.3f}"
              f"{value - truth:+8.3f}{fit:7.1f}{whole:9.1f}{mine:8.3f}{mine - truth:+8.3f}"
              f"{slow:7.1f}  {found.verdict}, {', '.join(found.flags) or 'no flag'}",
              flush=True)  # fmt: skip
        if truth < 4:
            errors.append((abs(value - truth), abs(mine - truth)))
            within += abs(value - truth) <= max(0.1 * truth, 0.02)
        faster.append((slow / fit, slow / whole))
    own, other = np.mean(errors, axis=0)
    fit, whole = np.median(faster, axis=0)
    print(f"below 4 nats: mean error {own:.3f}, of MINE {other:.3f}; within 10 % (or 0.02): "
          f"{within} of {len(errors)}")  # fmt: skip
    print(f"MINE takes {fit:.1f} times a fit, {whole:.1f} times the protocol (median)")


def coverage(count: int, n: int) -> None:
    """Print how often the interval, and the lower bound, hold the truth on fresh samples."""
    from infoplane import neural_information
    from infoplane.validation import known_mi as known

    families = {
        "sparse 5+5": lambda rng: known.sparse_normal(n, rng, 5),
        "sparse 25+25": lambda rng: known.sparse_normal(n, rng, 25),
        "dense 10+10": lambda rng: known.dense_normal(n, rng, 10),
        "independent 10+10": lambda rng: known.independent_normals(n, rng, 10),
        "low rank 3 in 50": lambda rng: known.low_rank(n, rng, 3, 50, 2.0),
    }
    print(f"N = {n}, {count} fresh samples each, nats")
    held = 0
    for name, draw in families.items():
        rows = []
        for seed in range(count):
            pair = draw(np.random.default_rng([seed, n]))
            found = neural_information(pair.x, pair.y, protocol=False)
            inside = found.low <= pair.bits <= found.high
            rows.append((found.bits - pair.bits, inside, found.lower > pair.bits))
        bias, inside, above = np.array(rows, dtype=float).T
        held += int(inside.sum())
        print(f"  {name:20} truth {pair.bits * NATS:.3f}  error {bias.mean() * NATS:+.3f} "
              f"± {bias.std() * NATS:.3f}  held {int(inside.sum())}  lower bound above the truth "
              f"{int(above.sum())}", flush=True)  # fmt: skip
    print(f"the interval holds the truth in {held} of {count * len(families)}")


def of_torch_mist(x: np.ndarray, y: np.ndarray) -> float:
    """Return the value of torch-mist's InfoNCE, at its defaults."""
    from torch_mist import estimate_mi

    data = {"x": x.astype(np.float32), "y": columns(y).astype(np.float32)}
    return float(estimate_mi(data, estimator="infonce", verbose=False)[0])


def of_ennemi(x: np.ndarray, y: np.ndarray) -> float:
    """Return ennemi's estimate, which takes one column a side."""
    from ennemi import estimate_mi

    return float(np.squeeze(estimate_mi(y[:, 0], x[:, 0], k=5)))


def of_infomeasure(x: np.ndarray, y: np.ndarray) -> float:
    """Return the neighbour counts of infomeasure."""
    from infomeasure import mutual_information

    return float(mutual_information(x, columns(y), approach="ksg", k=5, base="e"))


def of_sklearn(x: np.ndarray, y: np.ndarray) -> float:
    """Return scikit-learn's estimate, which takes one column a side."""
    from sklearn.feature_selection import mutual_info_regression

    return float(mutual_info_regression(x, y[:, 0], random_state=0, n_neighbors=5)[0])


OTHERS = {
    "torch-mist": of_torch_mist,
    "infomeasure": of_infomeasure,
    "ennemi": of_ennemi,
    "scikit-learn": of_sklearn,
}
ONE_COLUMN = ("ennemi", "scikit-learn")


def others(tasks: list[str], n: int, python: str) -> None:
    """Print value and time of each package beside ours."""
    from infoplane import neural_information

    for task in tasks:
        (x, y), truth = drawn(task, n, 1)
        value, took = timed(lambda x=x, y=y: neural_information(x, y).bits * NATS)
        line = f"{task:42} true {truth:.3f}  ours {value:.3f} in {took:.1f} s"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sample.npz"
            np.savez(path, x=x, y=y)
            for name in OTHERS:
                if name in ONE_COLUMN and (y.ndim == 1 or x.shape[1] + y.shape[1] > 2):
                    continue
                done = subprocess.run(
                    [python, __file__, "--alone", name, str(path)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                told = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
                line += f";  {name} " + (f"{told[0]:.3f} in {told[1]:.1f} s" if told else "none")
        print(line, flush=True)


def alone(name: str, path: str) -> None:
    """Print value and CPU time of the process of one package, as JSON."""
    sample = np.load(path)
    start = time.process_time()
    value = OTHERS[name](sample["x"], sample["y"])
    print(json.dumps([value, time.process_time() - start]))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--tasks", default="*", help="names, with * and ?")
    parser.add_argument("--coverage", type=int, metavar="COUNT")
    parser.add_argument("--others", metavar="PYTHON")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--alone", nargs=2, metavar=("NAME", "PATH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        alone(*chosen.alone)
        return
    import torch

    from infoplane.validation.known_mi import MI_TASKS

    torch.set_num_threads(1)
    tasks = [task for task in MI_TASKS if fnmatch.fnmatch(task, chosen.tasks)]
    if chosen.coverage:
        coverage(chosen.coverage, min(chosen.n, 2000))
    elif chosen.others:
        others(tasks, chosen.n, chosen.others)
    elif chosen.quick:
        table(["1v1-normal-0.75", "multinormal-sparse-5-5-2-2.0"], 500, chosen.device, 200)
    else:
        table(tasks, chosen.n, chosen.device, 5000)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        sys.path.pop(0)  # this folder, whose coverage.py is not the package of that name
    else:
        sys.path.insert(0, str(Path(__file__).parents[1]))
    main()

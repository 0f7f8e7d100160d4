"""Error, coverage and cost of the two-sided bracket of I(X; T + noise).

Layers are normal, so that the truth is known: 1/2 sum log2(1 + lambda / sigma^2), for flat spectra
and spectra that fall like 1/j. The first table sorts cells by the distance of the bounds; then the
standard error that is reported is compared with the spread of fresh samples. The last tables
compare CPU time with a plain prototype in NumPy, interleaved in this process; with ``--run`` on the
layers of a recorded run, with the noise at which its bounds are 0.1 bit apart.

    python benchmarks/bracket.py                          # about 5 minutes on one core
    python benchmarks/bracket.py --quick                  # seconds
    python benchmarks/bracket.py --run runs/cnn-s0        # the last table alone
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from statistics import median

import numpy as np

from infoplane.data import FloatArray
from infoplane.estimators.layers.compressed.bracket_estimates import (
    BracketOptions,
    Noise,
    bracket_cell,
)
from infoplane.runs.run import Run
from infoplane.seeding import generator

GAPS = (0.0, 0.1, 0.3, 1.0, 3.0, math.inf)
SIZES = tuple(Noise(c, relative=True) for c in (0.25, 0.2, 0.35, 0.15, 0.3, 0.4, 0.5))
"""The first one is that which compression is made for."""
FINE = tuple(Noise(c, relative=True) for c in (0.1, 0.13, 0.16, 0.2, 0.24, 0.28, 0.33, 0.4))
SWEEP = SIZES[:3]


def normal_layer(
    n: int, d: int, flat: bool, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a normal layer (n, d) and the variances of its units."""
    variances = np.ones(d) if flat else 1.0 / np.arange(1, d + 1)
    return rng.standard_normal((n, d)) * np.sqrt(variances), variances


def errors(n: int, d: int, flat: bool, repeat: int) -> list[tuple[float, float, float, float]]:
    """Return both bounds, their standard error and the truth, by size of noise."""
    rng = generator(repeat, "bracket", d, n, flat)
    layer, variances = normal_layer(n, d, flat, rng)
    cell = bracket_cell(layer, None, SIZES, BracketOptions(), rng)
    assert not isinstance(cell, dict)
    found = []
    for noise in SIZES:
        told = cell.by_noise[noise].ixt
        sigma = noise.sigma(cell.layer.median)
        truth = 0.5 * float(np.log2(1.0 + variances / sigma**2).sum())
        loss = cell.points.loss(sigma / cell.layer.median)
        found.append((told.lower, told.upper + loss, told.error, truth))
    return found


def accuracy(dims: list[int], sizes: list[int], repeats: int) -> None:
    """Print the error of the midpoint by gap, and how often the truth is within the bounds.

    Errors are means over ``repeats`` samples, without the fluctuation of a single one.
    """
    shapes = [(n, d, flat) for d in dims for n in sizes for flat in (True, False)]
    drawn = [[errors(*shape, repeat) for repeat in range(repeats)] for shape in shapes]
    low, high, error, truth = np.moveaxis(np.array(drawn), -1, 0)  # (shape, repeat, size)
    off, gap = 0.5 * (low + high) - truth, high - low
    inside = (low - 1.96 * error <= truth) & (truth <= high + 1.96 * error)
    strictly = (low <= truth) & (truth <= high)
    means = {
        "off": np.abs(off.mean(axis=1)), "low": (truth - low).mean(axis=1),
        "inside": inside.mean(axis=1), "error": error.mean(axis=1) / math.sqrt(repeats),
    }  # fmt: skip
    print(
        "| U - L | cells | largest error of the midpoint | (its standard error) | mean error of L "
        "| truth within 1.96 se |\n| --- | --- | --- | --- | --- | --- |"
    )
    for least, most in pairwise(GAPS):
        of = (gap.mean(axis=1) >= least) & (gap.mean(axis=1) < most)
        if of.any():
            worst = int(np.argmax(np.where(of, means["off"], -1.0)))
            print(
                f"| {least:g} - {most:g} | {of.sum()} | {means['off'].flat[worst]:.2f} "
                f"| {means['error'].flat[worst]:.2f} | {means['low'][of].mean():.2f} "
                f"| {100 * means['inside'][of].mean():.1f} % |"
            )
    print(
        f"{repeats} samples of each cell: truth between the bounds {100 * strictly.mean():.0f} %, "
        f"with 1.96 standard errors {100 * inside.mean():.1f} % of {truth.size}"
    )


def spread(repeats: int) -> None:
    """Print the standard error that is reported over the real one, where bounds are close."""
    ratios, covered = [], []
    for n, d, flat in product((500, 2000), (4, 64), (True, False)):
        cells = np.array([errors(n, d, flat, 1000 + repeat) for repeat in range(repeats)])
        low, high, error, truth = np.moveaxis(cells, -1, 0)
        off = 0.5 * (low + high) - truth
        close = (high - low).mean(axis=0) < 0.5
        ratios.append((error.mean(axis=0) / off.std(axis=0, ddof=1))[close])
        inside = (low - 1.96 * error <= truth) & (truth <= high + 1.96 * error)
        covered.append(inside.mean(axis=0)[close])
    found, held = np.concatenate(ratios), np.concatenate(covered)
    print(
        f"\n{repeats} fresh samples of each of {len(found)} cells with bounds closer than 0.5 bit: "
        f"standard error reported over real {found.min():.2f} to {found.max():.2f}, median "
        f"{np.median(found):.2f}; truth within 1.96 of them: {100 * held.mean():.1f} %, "
        f"in the worst cell {100 * held.min():.0f} %"
    )


def prototype(
    layer: FloatArray, sigmas: list[float], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return L and U as one would write them down: all units, a pass for each noise and sign."""
    n = len(layer)
    noise = rng.standard_normal(layer.shape)
    norms = (layer**2).sum(axis=1)
    squares = norms[:, None] + norms - 2.0 * layer @ layer.T
    crossed = (noise * layer).sum(axis=1)[:, None] - noise @ layer.T
    found = []
    for sigma in sigmas:
        lower, upper = [], []
        for sign in (1.0, -1.0):
            exponents = -(squares + 2.0 * sigma * sign * crossed) / (2.0 * sigma**2)
            largest = exponents.max(axis=1)
            lower.append(np.log(np.exp(exponents - largest[:, None]).sum(axis=1)) + largest)
            np.fill_diagonal(exponents, -np.inf)
            largest = exponents.max(axis=1)
            upper.append(np.log(np.exp(exponents - largest[:, None]).sum(axis=1)) + largest)
        found.append(
            (
                (math.log(n) - float(np.mean(lower))) / math.log(2.0),
                (math.log(n - 1) - float(np.mean(upper))) / math.log(2.0),
            )
        )
    return found


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(name: str, layer: FloatArray, repeats: int) -> str:
    """Return a line of CPU seconds of the bracket and of the prototype at three c."""
    n, d = layer.shape
    rng = generator(0, "cost", n, d)
    cell = bracket_cell(layer, None, SWEEP, BracketOptions(), rng)
    assert not isinstance(cell, dict)
    sigmas = [noise.sigma(cell.layer.median) for noise in SWEEP]
    exact = layer.astype(float)
    exact -= exact.mean(axis=0)
    work = (
        partial(bracket_cell, layer, None, SWEEP, BracketOptions(), rng),
        partial(prototype, exact, sigmas, rng),
    )
    seconds = [[timed(one) for one in work] for _ in range(repeats)]
    ours, plain = map(min, zip(*seconds, strict=True))
    ratio = median(plain / ours for ours, plain in seconds)
    directions = cell.points.scores.shape[1]
    return f"| {name} | {n} | {d} | {directions} | {ours:.2f} | {plain:.2f} | {ratio:.1f} |"


HEAD = """
| layer | n | units | directions | bracket, CPU s | prototype, CPU s | ratio |
| --- | --- | --- | --- | --- | --- | --- |"""


def cost(n: int, d: int, repeats: int) -> None:
    """Print CPU seconds of both on layers whose spectrum falls like that of trained ones."""
    print(HEAD)
    for name, power in (("trained: variances like j^-2", 2.0), ("untrained: like j^-1", 1.0)):
        rng = generator(0, "layer", n, d)
        spectrum = np.arange(1, d + 1) ** (-power / 2)
        layer = (rng.standard_normal((n, d)) * spectrum).astype(np.float32)
        print(compared(name, layer, repeats))


def recorded(folder: str, repeats: int) -> None:
    """Print the same for the layers of a run, and the c at which bounds are 0.1 bit apart."""
    run = Run(folder)
    samples = generator(0, "samples").permutation(run.probe.n_samples)
    print(HEAD)
    for step in (run.steps[0], run.steps[-1]):
        for slot in run.layers:
            rows = np.sort(samples[:3000])
            layer = np.ascontiguousarray(run.activations(step, slot.name)[rows])
            print(compared(f"{slot.name}, step {step}", layer, repeats), flush=True)
    sizes = [n for n in (1000, 2000, 5000, 10_000) if n <= len(samples)]
    print("\n| c of bounds 0.1 bit apart (I there) | " + " | ".join(map(str, sizes)) + " |")
    print("| --- |" + " --- |" * len(sizes))
    for slot in run.layers:
        line = []
        for n in sizes:
            rows = np.sort(samples[:n])
            layer = np.ascontiguousarray(run.activations(run.steps[-1], slot.name)[rows])
            rng = generator(0, "narrow", n)
            cell = bracket_cell(layer, None, FINE, BracketOptions(), rng)
            assert not isinstance(cell, dict)
            told = [cell.by_noise[noise].ixt for noise in FINE]
            # The gap falls like a power of c, the information like its logarithm.
            gaps = np.log([one.gap for one in told])
            logs = np.log([noise.size for noise in FINE])
            at = float(np.interp(-math.log(0.1), -gaps, logs))
            bits = float(np.interp(at, logs, [one.middle for one in told]))
            line.append(f"{math.exp(at):.3f} ({bits:.1f})")
        print(f"| {slot.name} | " + " | ".join(line) + " |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and small cells")
    parser.add_argument("--run", help="folder of a recorded run; its layers alone")
    options = parser.parse_args()
    if options.run:
        recorded(options.run, 1 if options.quick else 3)
    elif options.quick:
        accuracy([4, 64], [500, 1000], 2)
        cost(1000, 400, 2)
    else:
        accuracy([4, 16, 64, 256, 1024], [500, 1000, 2000, 4000], 8)
        spread(50)
        cost(3000, 1568, 3)


if __name__ == "__main__":
    main()

"""Error, coverage and cost of the two-sided bracket of I(X; T + noise).

Layers are normal, so that the truth is known: 1/2 sum log2(1 + lambda / sigma^2), for flat spectra
and spectra that fall like 1/j. The first table sorts cells by the distance of the bounds. The
second compares CPU time with a plain prototype in NumPy, interleaved in this process.

    python benchmarks/bracket.py            # about 3 minutes on one core
    python benchmarks/bracket.py --quick    # seconds
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
from itertools import pairwise

import numpy as np

from infoplane.data import FloatArray
from infoplane.estimators.layers.compressed.bracket_estimates import (
    BracketOptions,
    Noise,
    bracket_cell,
)
from infoplane.seeding import generator

GAPS = (0.0, 0.1, 0.3, 1.0, 3.0, math.inf)
SIZES = tuple(Noise(c, relative=True) for c in (0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15))
SWEEP = SIZES[2:6:2] + SIZES[5:6]  # three c: 0.35, 0.25, 0.2


def normal_layer(
    n: int, d: int, flat: bool, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a normal layer (n, d) and the variances of its units."""
    variances = np.ones(d) if flat else 1.0 / np.arange(1, d + 1)
    return rng.standard_normal((n, d)) * np.sqrt(variances), variances


def accuracy(dims: list[int], sizes: list[int], repeats: int) -> None:
    """Print error by gap, coverage and standard errors over fresh samples."""
    cells = []
    spreads = []
    for d in dims:
        for n in sizes:
            for flat in (True, False):
                drawn = []
                for repeat in range(repeats):
                    rng = generator(repeat, "bracket", d, n, flat)
                    layer, variances = normal_layer(n, d, flat, rng)
                    cell = bracket_cell(layer, None, SIZES, BracketOptions(), rng)
                    assert not isinstance(cell, dict)
                    row = []
                    for noise in SIZES:
                        sigma = noise.sigma(cell.layer.median)
                        truth = 0.5 * float(np.log2(1.0 + variances / sigma**2).sum())
                        found = cell.by_noise[noise].ixt
                        loss = cell.points.loss(sigma / cell.layer.median)
                        cells.append((found.lower, found.upper + loss, found.error, truth))
                        row.append((found.middle - truth, found.error))
                    drawn.append(row)
                if repeats > 2:
                    errors = np.array(drawn)
                    spreads.append(
                        errors[:, :, 1].mean(axis=0) / errors[:, :, 0].std(axis=0, ddof=1)
                    )
    low, high, error, truth = np.array(cells).T
    middle, gap = 0.5 * (low + high), high - low
    inside = (low - 1.96 * error <= truth) & (truth <= high + 1.96 * error)
    strictly = (low <= truth) & (truth <= high)
    print(
        "| U - L | cells | largest error of the midpoint | mean error of L | truth within 1.96 se |"
    )
    print("| --- | --- | --- | --- | --- |")
    for least, most in pairwise(GAPS):
        of = (gap >= least) & (gap < most)
        if of.any():
            print(
                f"| {least:g} - {most:g} | {of.sum()} | {np.abs(middle - truth)[of].max():.2f} "
                f"| {(truth - low)[of].mean():.2f} | {100 * inside[of].mean():.0f} % |"
            )
    print(
        f"truth between the bounds alone: {100 * strictly.mean():.0f} %, "
        f"with 1.96 standard errors: {100 * inside.mean():.1f} % of {len(truth)} cells"
    )
    if spreads:
        ratios = np.concatenate(spreads)
        print(
            f"standard error reported over real: median {np.median(ratios):.2f}, "
            f"{ratios.min():.2f} to {ratios.max():.2f} ({repeats} samples each)"
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


def cost(n: int, d: int, repeats: int) -> None:
    """Print CPU seconds of both on layers whose spectrum falls like that of trained ones."""
    print("\n| layer | n | d | directions | bracket, CPU s | prototype, CPU s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, power in (("trained: variances like j^-2", 2.0), ("untrained: like j^-1", 1.0)):
        rng = generator(0, "cost", n, d)
        layer = (rng.standard_normal((n, d)) * np.arange(1, d + 1) ** (-power / 2)).astype(
            np.float32
        )
        cell = bracket_cell(layer, None, SWEEP, BracketOptions(), rng)
        assert not isinstance(cell, dict)
        sigmas = [noise.sigma(cell.layer.median) for noise in SWEEP]
        work = (
            partial(bracket_cell, layer, None, SWEEP, BracketOptions(), rng),
            partial(prototype, layer.astype(float), sigmas, rng),
        )
        seconds = [[timed(one) for one in work] for _ in range(repeats)]
        ours, plain = map(min, zip(*seconds, strict=True))
        print(
            f"| {name} | {n} | {d} | {cell.points.scores.shape[1]} | {ours:.2f} "
            f"| {plain:.2f} | {plain / ours:.1f} |"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and small cells")
    quick = parser.parse_args().quick
    if quick:
        accuracy([4, 64], [500, 1000], 2)
        cost(1000, 400, 2)
    else:
        accuracy([4, 16, 64, 256, 1024], [500, 1000, 2000, 4000], 3)
        cost(3000, 1568, 3)


if __name__ == "__main__":
    main()

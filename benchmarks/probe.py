"""The held-out probe: its null, its bound beside known truths, what it sees, and its cost.

``python benchmarks/probe.py [SECTION ...] [--quick]``; the tables of ``docs/estimators/probe.md``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import xlogy
from scipy.stats import norm
from sklearn.datasets import load_digits

from infoplane.data import Array, FloatArray, IntArray
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.problems import Problem
from infoplane.validation.trials import estimate_problem
from infoplane.validation.truths import label_information

Draw = Callable[[np.random.Generator], tuple[Array, IntArray]]


def probed(values: Array, labels: IntArray, seed: int, spec: str = "probe"):
    """Return the estimate of one cell; every sample has an input of its own."""
    inputs = np.arange(len(values))[:, None]
    return estimate_problem(parse_estimator(spec), Problem(inputs, values, labels), seed)["ity"]


def normal_classes(n: int, units: int, classes: int, distance: float) -> tuple[Draw, float]:
    """Return draws of classes that are normal around means at ``distance`` from 0, and I(T;Y)."""
    means = np.random.default_rng(1).standard_normal((classes, units))
    means *= distance / np.linalg.norm(means, axis=1, keepdims=True)

    def draw(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
        labels = rng.integers(0, classes, n)
        return means[labels] + rng.standard_normal((n, units)), labels

    return draw, label_information(means, np.full(classes, 1 / classes))


def null(quick: bool) -> None:
    """Values for labels that mean nothing."""
    repeats = 3 if quick else 100
    digits, classes = load_digits(return_X_y=True)
    draws: dict[str, Draw] = {
        "digits, permuted, n = 1,797": lambda rng: (digits, rng.permutation(classes))
    }
    sizes = (
        (1000, 10, 2),
        (1000, 64, 10),
        (3000, 20, 10),
        (200, 10, 2),
        (1000, 300, 2),
        (1000, 20, 100),
    )
    for n, units, number in sizes[:1] if quick else sizes:
        name = f"normal, {units} units, {number} classes, n = {n:,}"
        draws[name] = normal_classes(n, units, number, 0.0)[0]
    print(f"{'':44s}    mean      sd  lowest highest  above 0 by 1.96 se")
    for name, draw in draws.items():
        found = []
        for seed in range(repeats):
            values, labels = draw(np.random.default_rng(seed))
            found.append(probed(values, labels, seed, "probe:permutations=0"))
        bits = np.array([one.bits for one in found])
        above = sum(one.low > 1e-9 for one in found)
        print(
            f"{name:44s} {bits.mean():+7.3f} {bits.std():7.3f} {bits.min():+7.3f} "
            f"{bits.max():+7.3f}  {above} of {repeats}",
            flush=True,
        )


def bound(quick: bool) -> None:
    """Values beside the truth of normal classes."""
    repeats = 2 if quick else 20
    cells = [(1000, 20, 5, 1.0), (1000, 20, 5, 2.5)]
    if not quick:
        cells += [(1000, 2, 2, 1.0), (1000, 64, 10, 2.0), (1000, 64, 10, 4.0), (4000, 64, 10, 2.0)]
        cells += [(4000, 512, 10, 4.0), (200, 5, 3, 2.0), (4000, 20, 100, 4.0)]
    print(f"{'n':>6s} units classes   truth  value (mean)   low above the truth")
    total = violated = 0
    for n, units, classes, distance in cells:
        draw, truth = normal_classes(n, units, classes, distance)
        found = [
            probed(*draw(np.random.default_rng(seed)), seed, "probe:permutations=0")
            for seed in range(repeats)
        ]
        above = sum(one.low > truth for one in found)
        total, violated = total + repeats, violated + above
        mean = np.mean([one.bits for one in found])
        print(f"{n:6,} {units:5d} {classes:7d} {truth:7.3f} {mean:13.3f}   {above} of {repeats}",
              flush=True)  # fmt: skip
    print(f"low end of the interval above the truth: {violated} of {total}")


def structures(n: int, rng: np.random.Generator) -> Iterator[tuple[str, float, Array, IntArray]]:
    """Yield layers of labels that no straight line tells: name, I(T;Y), layer, labels."""

    def signs(values: FloatArray) -> IntArray:
        return (values[:, 0] > 0).astype(int) ^ (values[:, 1] > 0)

    for units in (2, 10, 30, 300):
        values = rng.standard_normal((n, units))
        yield f"XOR of two of {units} units", 1.0, values, signs(values)
    values = rng.standard_normal((n, 10))
    labels = signs(values)
    values += 0.1 * rng.standard_normal((n, 10))
    # A unit t was x > 0 with the probability of N(t / 1.01, 0.01 / 1.01).
    positive = norm.cdf(norm.ppf((np.arange(500) + 0.5) / 500) / 0.1)
    same = np.outer(positive - 0.5, positive - 0.5) * 2 + 0.5
    truth = 1 + float((xlogy(same, same) + xlogy(1 - same, 1 - same)).mean()) / np.log(2)
    yield "the same, noise of 0.1", truth, values, labels
    for units in (3, 6):
        values = rng.standard_normal((n, units))
        name = f"XOR of three of {units} units"
        yield name, 1.0, values, signs(values) ^ (values[:, 2] > 0)
    for units, shells in ((2, 2), (10, 2), (2, 4), (5, 4), (10, 4), (30, 2)):
        shell = rng.integers(0, shells, n)
        ball = rng.standard_normal((n, units))
        ball /= np.linalg.norm(ball, axis=1, keepdims=True)
        radius = 1 + shell + rng.uniform(-0.4, 0.4, n)
        name = f"{shells} shells in {units} dimensions"
        yield name, 1.0, ball * radius[:, None], shell % 2
    values = 3 * rng.random((n, 2))
    colours = values.astype(int).sum(axis=1) % 2
    yield "3 x 3 board", 1.0 - 0.0089, values, colours  # H(4/9)
    labels = rng.integers(0, 2, n)
    values = rng.standard_normal((n, 500))
    values[:, 137] += 3 * labels
    means = np.array([[0.0], [3.0]])
    yield "one unit of 500", label_information(means, np.full(2, 0.5)), values, labels
    values = rng.standard_normal((n, 20))
    values[:, :1] = means[labels] + rng.standard_normal((n, 1))
    values[:, 7] *= 1e6
    truth = label_information(means, np.full(2, 0.5))
    yield "one unit beside one of 10^6", truth, values, labels


def seen(quick: bool) -> None:
    """What the three probes see."""
    n = 300 if quick else 1000
    print(f"{f'n = {n:,}':30s}  truth  linear nonlinear screened  value  flags")
    for name, truth, values, labels in structures(n, np.random.default_rng(0)):
        found = probed(values, labels, 0, "probe:permutations=0")
        told = [found.diagnostics[kind] for kind in ("linear", "nonlinear", "screened")]
        read = " ".join(f"{one['bits']:8.2f}" if one else f"{'':8s}" for one in told)
        print(f"{name:30s} {truth:6.2f} {read} {found.bits:7.2f}  {', '.join(found.flags)}",
              flush=True)  # fmt: skip


def cost(quick: bool) -> None:
    """CPU seconds of a cell, two permutations included."""
    digits, classes = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    sizes = ((1000, 64), (2000, 512), (3000, 64), (3000, 1568), (10_000, 1568))
    print(f"{'n':>7s} units  CPU s  value  linear  nonlinear")
    for n, units in sizes[:2] if quick else sizes:
        which = rng.integers(0, len(digits), n)
        seen = digits[which] / 8 + 0.3 * rng.standard_normal((n, 64))
        layer = np.maximum(seen @ rng.standard_normal((64, units)) / 8, 0).astype(np.float32)
        start = time.process_time()
        found = probed(layer, classes[which], 0)
        seconds = time.process_time() - start
        one, other = (found.diagnostics[kind]["bits"] for kind in ("linear", "nonlinear"))
        print(f"{n:7,} {units:5d} {seconds:6.2f} {found.bits:6.2f} {one:7.2f} {other:10.2f}",
              flush=True)  # fmt: skip


SECTIONS = {"null": null, "bound": bound, "seen": seen, "cost": cost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for name in options.sections or SECTIONS:
        print(f"\n== {name}")
        SECTIONS[name](options.quick)


if __name__ == "__main__":
    main()

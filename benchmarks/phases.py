"""Error rates of verdicts and segments on simulated curves whose truth is known.

Usage: python benchmarks/phases.py [--quick] [--layers N]

Each number is a share of simulated curves in percent (10 checkpoints, the first at step 0), through
`infoplane.find_phases`. A network has six layers that behave alike, whose seeds vary
independently; `--layers 1` is the hard case, a curve with nothing to pool its variance with.

What is false
    "compresses" and "expands" of a network whose mean over all seeds does not move. With one run
    or two a verdict is about these runs, never about the network; there it is false if the runs
    themselves, without the noise of their checkpoints, do not move on average by half the smallest
    change in that direction. (A random walk of one run that came to lie lower did fall, in this
    run.) The share of such verdicts that are true of the runs stands beside it.
Power
    "compresses" of curves that fall.
Described right
    The directions of all segments in their order, and each turning point within one checkpoint.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from infoplane.results.phases import find_phases

N_STEPS = 10
RUNS = (1, 2, 3, 5)
U = np.linspace(0, 1, N_STEPS)
LATE = np.clip((U - 0.3) / 0.7, 0, None)
SMALLEST = 0.25

Curve = Callable[[np.random.Generator, int], np.ndarray]  # (n_runs, n_steps), without noise


def scaled(shape: np.ndarray, spread: float) -> Curve:
    """Return curves whose size varies between seeds, by a share of it."""
    return lambda rng, n: 6 + rng.normal(1, spread, (n, 1)) * shape


def walk(sd: float) -> Curve:
    """Return random walks that end with a standard deviation."""
    step = sd / np.sqrt(N_STEPS - 1)

    def curve(rng: np.random.Generator, n: int) -> np.ndarray:
        return 6 + np.cumsum(rng.normal(0, step, (n, N_STEPS)), axis=1)

    return curve


def drift(sd: float) -> Curve:
    """Return seeds that drift by a normal amount of mean 0."""
    return lambda rng, n: 6 + rng.normal(0, sd, (n, 1)) * U


FIRST = np.r_[1.9, np.zeros(N_STEPS - 1)]
STILL: dict[str, tuple[Curve, float]] = {  # name: curves, noise of a checkpoint
    "flat, jitter .15": (scaled(0 * U, 0), 0.15),
    "random walk, sd .25 at the end": (walk(0.25), 0.0),
    "random walk, sd .25 a step": (walk(0.75), 0.0),
    "seeds drift by +-.5, mean 0": (drift(0.5), 0.05),
    "the same, jitter .15": (drift(0.5), 0.15),
    "one high first value": (scaled(FIRST, 0.2), 0.05),
    "the same, then drift by +-.5": (
        lambda rng, n: scaled(FIRST, 0.2)(rng, n) + drift(0.5)(rng, n),
        0.05,
    ),
}
FALLS: dict[str, tuple[Curve, float]] = {
    "fall of .5 (seeds vary by 40 %)": (scaled(-0.5 * U, 0.4), 0.05),
    "fall of 1.0 (seeds vary by 40 %)": (scaled(-U, 0.4), 0.05),
    "the same, after a rise of 1.0": (scaled(np.clip(U / 0.3, 0, 1) - LATE, 0.4), 0.05),
    "fall of 1.0, jitter .15": (scaled(-U, 0.4), 0.15),
}


def through(*knots: tuple[int, float]) -> np.ndarray:
    """Return the line through values at checkpoints."""
    at, values = zip(*knots, strict=True)
    line: np.ndarray = np.interp(np.arange(N_STEPS), at, values)
    return line


TURNS: dict[str, tuple[np.ndarray, tuple[str, ...], tuple[int, ...]]] = {
    "falls 1.9 at first, rises .6": (
        through((0, 1.9), (1, 0), (9, 0.6)), ("falls", "rises"), (1,),
    ),
    "falls 1, rises 1, falls 1": (
        through((0, 1), (3, 0), (6, 1), (9, 0)), ("falls", "rises", "falls"), (3, 6),
    ),
    "rises 1, falls 1, rises 1": (
        through((0, 0), (3, 1), (6, 0), (9, 1)), ("rises", "falls", "rises"), (3, 6),
    ),
    "falls 2, rises 1.7": (through((0, 2), (4, 0), (9, 1.7)), ("falls", "rises"), (4,)),
    "one high first value, 1.9": (FIRST, ("falls", "flat"), (1,)),
}  # fmt: skip


def document(values: np.ndarray) -> dict[str, Any]:
    """Return results of curves (n_layers, n_runs, n_steps)."""
    rows = [
        {
            "run": f"s{run}",
            "step": step,
            "layer": str(layer),
            "layer_index": layer,
            "estimator": "e",
            "quantity": "ixt",
            "value": float(values[layer, run, step]),
            "ci_low": None,
            "ci_high": None,
            "n": 4096,
            "bound_high": 12.0,
            "bound_name": "log2_n",
            "flags": [],
        }
        for layer, run, step in np.ndindex(values.shape)
    ]
    recordings = [{"run": f"s{run}", "group": "g"} for run in range(values.shape[1])]
    return {"recordings": recordings, "estimators": [{"id": "e", "name": "e"}], "rows": rows}


def simulated(
    curve: Curve, noise: float, n_runs: int, n_layers: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the curves of the layers without their noise, and their phases."""
    truth = np.array([curve(rng, n_runs) for _ in range(n_layers)])
    return truth, find_phases(document(truth + rng.normal(0, noise, truth.shape)))


def rates(curve: Curve, noise: float, n_layers: int, repeats: int, rng: Any) -> list[np.ndarray]:
    """Return per number of runs: shares of false verdicts, of those true of the runs, and power."""
    found = []
    for n_runs in RUNS:
        counts, total = np.zeros(3), 0
        for _ in range(-(-repeats // n_layers)):
            truths, phases = simulated(curve, noise, n_runs, n_layers, rng)
            for truth, phase in zip(truths, phases, strict=True):
                total += 1
                sign = {"compresses": -1, "expands": 1}.get(phase["verdict"], 0)
                counts[2] += sign < 0
                if sign:
                    own = phase["about"] == "runs" and moved(truth, sign)
                    counts[int(own)] += 1
        found.append(100 * counts / total)
    return found


def moved(truth: np.ndarray, sign: int) -> bool:
    """Return whether runs (n_runs, n_steps) move in a direction on average, between any steps."""
    mean = sign * truth.mean(axis=0)
    return bool((mean - np.minimum.accumulate(mean)).max() >= SMALLEST / 2)


def told(phase: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """Return the directions of a phase in their order, and where they change."""
    alike = [
        (direction, list(segments))
        for direction, segments in groupby(phase["segments"], lambda s: str(s["direction"]))
    ]
    if len(alike) > 1 and alike[0][0] == "flat":
        del alike[0]  # nothing is said of it
    return [direction for direction, _ in alike], [s[-1]["to_step"] for _, s in alike[:-1]]


def right(phase: Mapping[str, Any], directions: tuple[str, ...], turns: tuple[int, ...]) -> bool:
    """Return whether a phase tells the truth."""
    words, at = told(phase)
    return tuple(words) == directions and all(
        abs(found - turn) <= 1 for found, turn in zip(at, turns, strict=True)
    )


def line(name: str, cells: list[str]) -> None:
    """Print a line of a table."""
    print(f"{name:<34}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer simulations")
    parser.add_argument("--layers", type=int, default=6, help="layers of a network")
    options = parser.parse_args()
    repeats, rng = 24 if options.quick else 200, np.random.default_rng(0)
    print(f"{repeats} simulations a cell, {N_STEPS} checkpoints, {options.layers} layers\n")
    start = time.process_time()
    heads = ["1 run", *(f"{n} runs" for n in RUNS[1:])]
    line("false in % (true of the runs)", heads)
    for name, (curve, noise) in STILL.items():
        found = rates(curve, noise, options.layers, repeats, rng)
        line(name, [f"{f:.1f} ({own:.0f})" if own else f"{f:.1f}" for f, own, _ in found])
    print()
    line("found to compress in %", heads)
    for name, (curve, noise) in FALLS.items():
        found = rates(curve, noise, options.layers, repeats, rng)
        line(name, [f"{power:.1f}" for *_, power in found])
    print()
    line("described right in %", heads)
    for name, (shape, directions, turns) in TURNS.items():
        shares = []
        for n_runs in RUNS:
            phases: list[dict[str, Any]] = []
            while len(phases) < repeats:
                curve = scaled(shape, 0.2)
                phases += simulated(curve, 0.05, n_runs, options.layers, rng)[1]
            shares.append(100 * np.mean([right(p, directions, turns) for p in phases]))
        line(name, [f"{share:.1f}" for share in shares])
    print(f"\n{time.process_time() - start:.1f} s CPU")


if __name__ == "__main__":
    main()

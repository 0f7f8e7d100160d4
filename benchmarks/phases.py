"""Error rates of the phase verdicts on simulated curves whose truth is known.

Usage: python benchmarks/phases.py [--quick]

Each line is a kind of curve (71 log-spaced checkpoints, independent noise per checkpoint, an
offset per run) judged many times. For curves that do not compress, "compresses" is an error and
has to stay below 5 %; a fall of three noise standard deviations over eight runs has to be found in
90 %.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from infoplane.results.phases import find_phases

STEPS = np.unique(np.round(np.geomspace(1, 20001, 71)).astype(int) - 1)
U = np.log10(STEPS + 1.0) / np.log10(20001.0)
Shape = Callable[[float], np.ndarray]


def fit(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-30 * (u - 0.3)))


SHAPES: dict[str, tuple[Shape, str]] = {
    "flat": (lambda fall: np.full(len(U), 8.0), "no_change"),
    "monotone": (lambda fall: 5 + 3 * fit(U), "expands"),
    "fit, then compress": (
        lambda fall: 5 + 3 * fit(U) - fall * np.clip((U - 0.6) / 0.4, 0, None),
        "compresses",
    ),
    "compress from the start": (lambda fall: 8 - fall * U, "compresses"),
    "late expansion": (lambda fall: 6 + np.where(U > 0.8, 5 * (U - 0.8), 0), "expands"),
    "saturated": (lambda fall: np.full(len(U), 11.95), "saturated"),
}


def document(
    shape: np.ndarray, noise: float, runs: int, repeats: int, rng: np.random.Generator, flag: bool
) -> dict[str, Any]:
    """Return results in which each layer is one repetition."""
    rows = []
    steps = STEPS.tolist()
    for layer in range(repeats):
        for run in range(runs):
            values = shape + rng.normal(0, noise, len(shape)) + rng.normal(0, 0.2)
            rows += [
                {
                    "run": f"s{run}",
                    "step": step,
                    "layer": str(layer),
                    "layer_index": layer,
                    "estimator": "e",
                    "quantity": "ixt",
                    "value": value,
                    "ci_low": None,
                    "ci_high": None,
                    "n": 4096,
                    "bound_high": 12.0,
                    "bound_name": "log2_n",
                    "flags": ["saturated"] if flag else [],
                }
                for step, value in zip(steps, values.tolist(), strict=True)
            ]
    recordings = [{"run": f"s{run}", "group": "g"} for run in range(runs)]
    return {"recordings": recordings, "estimators": [{"id": "e", "name": "e"}], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repeats = 25 if parser.parse_args().quick else 600
    rng = np.random.default_rng(0)
    print(f"{repeats} repetitions per line; change is the mean of last - peak, in bits\n")
    head = f"{'curve':<24} {'noise':>5} {'fall':>5} {'runs':>4} {'change':>7}  verdicts in %"
    print(head)
    start = time.process_time()
    for name, (shape, truth) in SHAPES.items():
        falls = (0.3, 0.6) if truth == "compresses" else (0.0,)
        for fall in falls:
            for runs in (1, 2, 3, 8):
                noise = 0.1 if fall != 0.6 else 0.2
                doc = document(shape(fall), noise, runs, repeats, rng, name == "saturated")
                phases = find_phases(doc)
                counts = Counter(p["verdict"] for p in phases)
                change = np.mean([p["change"] for p in phases])
                shares = "  ".join(f"{v} {100 * n / repeats:.1f}" for v, n in counts.most_common())
                print(f"{name:<24} {noise:>5} {fall:>5} {runs:>4} {change:>+7.3f}  {shares}")
    print(f"\nnaive last - max of a flat curve, noise 0.1: {naive(rng):+.3f} bits")
    print(f"{time.process_time() - start:.1f} s CPU")


def naive(rng: np.random.Generator) -> float:
    """Return the mean of last - max on flat curves of one run."""
    curves = rng.normal(0, 0.1, (4000, len(U)))
    return float(np.mean(curves[:, -1] - curves.max(axis=1)))


if __name__ == "__main__":
    main()

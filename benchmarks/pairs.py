"""How often the pair functions are right, flagged or silently wrong where the truth is known.

Usage: python benchmarks/pairs.py [--quick] [--seeds N] [--samples N]... [-f FUNCTION]... [--all]

Every situation of ``pairs_tasks.py`` is drawn afresh. "right" is within 15 % or 0.1 bits of the
truth, and "unflagged" the share of the right ones without a flag. "flagged" is wrong with a flag,
or refused with a reason. "silent" is wrong without a flag; of these "held" have the truth in their
95 % interval. The flag ``negative`` says nothing of the value and counts as none. Below the table
stand the silent ones, with ``--all`` every line.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from dataclasses import dataclass

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - threads are limited before the first import
from pairs_tasks import LABELLED, PAIRS  # noqa: E402

from infoplane import ksg_information, mixed_information, shuffle_information  # noqa: E402
from infoplane.estimators.estimate import Estimate  # noqa: E402

FUNCTIONS = {"ksg": ksg_information, "shuffle": shuffle_information, "mixed": mixed_information}
WIDE = 20  # joint dimensions; in more a call on 5000 samples takes up to minutes: 1000 are taken
QUICK = {
    "1v1-normal-0.75", "independent 1+1", "fifth power 1+1", "sparse 10+10", "all rows twice",
    "3 classes in 2", "noise in 1", "parity of 2 in 10", "small unit",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One estimate beside the truth."""

    function: str
    name: str
    n: int
    truth: float
    found: Estimate

    @property
    def flags(self) -> tuple[str, ...]:
        """What warns of the value."""
        return tuple(flag for flag in self.found.flags if flag != "negative")

    @property
    def status(self) -> str:
        """Whether it is right, flagged, silent, or held by its interval."""
        bits, low, high = self.found.bits, self.found.low, self.found.high
        allowed = max(0.1, 0.15 * self.truth) if math.isfinite(self.truth) else 0.0
        if bits is not None and abs(bits - self.truth) <= allowed:
            return "right, flagged" if self.flags else "right"
        if self.flags:
            return "flagged"
        return "held" if low is not None and low <= self.truth <= high else "silent"

    def __str__(self) -> str:
        bits, low, high = (
            "none" if value is None else f"{value:.2f}"
            for value in (self.found.bits, self.found.low, self.found.high)
        )
        return (
            f"{self.function:<8} {self.name:<42} {self.n:5d} {self.truth:6.2f} {bits:>6} "
            f"[{low}, {high}] {self.status}: {' '.join(self.flags)}"
        )


def lines(function: str, n: int, seed: int, quick: bool = False) -> list[Line]:
    """Return the estimates of all situations of a function."""
    found = []
    for name, draw in (LABELLED if function == "mixed" else PAIRS).items():
        if quick and name not in QUICK:
            continue
        pair = draw(n, np.random.default_rng([seed, n]))
        kept = slice(1000 if pair.x.shape[1] + pair.y.shape[1] > WIDE else n)
        x, other = pair.x[kept], (pair.labels if function == "mixed" else pair.y)[kept]
        estimate = FUNCTIONS[function](x, other, seed=seed)
        found.append(Line(function, name, len(x), pair.bits, estimate))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--samples", type=int, action="append")
    parser.add_argument("-f", choices=FUNCTIONS, action="append", dest="functions")
    given = parser.parse_args()
    sizes = given.samples or ([200, 1000] if given.quick else [200, 1000, 5000])
    seeds = range(given.first_seed, given.first_seed + (1 if given.quick else given.seeds))
    heads = ("function", "n", "all", "right", "unflagged", "flagged", "silent", "held")
    print("{:<8} {:>5} {:>5} {:>6} {:>9} {:>8} {:>7} {:>5}".format(*heads))
    shown = []
    for function in given.functions or FUNCTIONS:
        for n in sizes:
            found = [line for seed in seeds for line in lines(function, n, seed, given.quick)]
            count = Counter(line.status for line in found)
            right = count["right"] + count["right, flagged"]
            silent = count["silent"] + count["held"]
            print(
                f"{function:<8} {n:5d} {len(found):5d} {right:6d} "
                f"{count['right'] / max(right, 1):9.0%} {count['flagged']:8d} {silent:7d} "
                f"{count['held']:5d}",
                flush=True,
            )
            shown += [x for x in found if given.all or x.status in ("silent", "held")]
    print(*shown, sep="\n")


if __name__ == "__main__":
    main()

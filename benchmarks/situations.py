"""How often default estimators are right, flagged or wrong in silence on layers that mislead.

The situations are the traps of ``infoplane validate``, drawn afresh: wide layers, copies, tails,
saturated units, far clusters, many classes, and labels that hang on the XOR of two units, on one
unit of 500, or on all units but a huge one. ``compressed`` is compared with the truth at its noise.
The best bound of I(T;Y), the larger one of the probe and of the lower end of ``compressed``, is
compared with the truth without noise, of which 15 % may be missing.

Four draws of the labels of ``benchmarks/probe.py seen`` follow, at 1,000 samples, for the best
bound: XOR of two of 2 to 300 units and of three, shells, a board, one unit of 500.

    python benchmarks/situations.py [--quick] [--seed N]
"""

from __future__ import annotations

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from collections import Counter  # noqa: E402 - threads are limited before the first import
from collections.abc import Iterator  # noqa: E402

import numpy as np  # noqa: E402
from probe import structures  # noqa: E402

from infoplane.estimators.registry import parse_estimator  # noqa: E402
from infoplane.seeding import generator  # noqa: E402
from infoplane.validation.findings import Finding  # noqa: E402
from infoplane.validation.problems import Problem, Resolution  # noqa: E402
from infoplane.validation.traps import TRAPS  # noqa: E402
from infoplane.validation.trials import estimate_problem, trial  # noqa: E402

COMPRESSED, PROBE = parse_estimator("compressed"), parse_estimator("probe")
_MISSING = 0.15  # share of the truth that a bound may be below it
WORDS = {"PASS": "right", "KNOWN-LIMIT": "flagged", "SILENT-FAIL": "SILENT", "ERROR": "SILENT"}


def told(finding: Finding) -> str:
    """Return a cell of the table: estimate, truth and what it amounts to."""
    word = WORDS[finding.status]
    if finding.estimate is None or finding.truth is None:
        return f"none, {word}: {', '.join(finding.flags)}"
    flags = f": {', '.join(finding.flags)}" if word != "right" else ""
    return f"{finding.estimate:.2f} of {finding.truth:.2f}, {word}{flags}"


def hidden(n: int, seed: int) -> Iterator[tuple[str, Problem]]:
    """Yield problems whose labels no straight line tells, with I(T;Y) without noise."""
    for name, truth, layer, labels in structures(n, generator(seed, "structures")):
        yield name, Problem(np.arange(n)[:, None], layer, labels, truths={"ity": truth})


def best_bound(problem: Problem, seed: int) -> tuple[str, str] | None:
    """Return the best lower bound of I(T;Y) beside the truth without noise, and its class."""
    truth = problem.truths.get("ity")
    if truth is None:
        return None
    bits = truth(Resolution({}, 0.0, {})) if callable(truth) else truth
    assert bits is not None
    ity = estimate_problem(COMPRESSED, problem, seed, "best")["ity"]
    probe = estimate_problem(PROBE, problem, seed, "best")["ity"]
    bounds = [b for b in (ity.bound_low, probe.bits) if b is not None]
    best = max(bounds, default=0.0)
    flags = [flag for flag in (*ity.flags, *probe.flags) if flag != "subsampled"]
    # What results flag: a probe that reads more than the value says.
    if None not in (ity.bits, probe.bits) and probe.bits > ity.bits + 0.05:
        flags.append("below_probe")
    right = (1.0 - _MISSING) * bits - 0.05 <= best <= 1.05 * bits + 0.05
    word = "right" if right else "flagged" if flags else "SILENT"
    return (
        f"{best:.2f} of {bits:.2f}, {word}{': ' + ', '.join(flags) if word == 'flagged' else ''}",
        word,
    )


def main() -> None:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 samples alone")
    parser.add_argument("--seed", type=int, default=2718)
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {"compressed": Counter(), "best bound": Counter()}
    print("| situation | n | I(X;T) at its noise | I(T;Y) at its noise | best bound of I(T;Y) |")
    print("| --- | --- | --- | --- | --- |")
    situations = 0
    for n in (200,) if options.quick else (200, 1000, 5000):
        for case in TRAPS:
            if options.quick and not case.quick:
                continue
            situations += 1
            found = {f.quantity: f for f in trial(COMPRESSED, case.name, n, options.seed)}
            counts["compressed"].update(WORDS[f.status] for f in found.values())
            cells = [told(found[key]) if key in found else "" for key in ("ixt", "ity")]
            problem = case.make(n, generator(options.seed, case.name))
            bound = best_bound(problem, options.seed)
            if bound is not None:
                counts["best bound"][bound[1]] += 1
            cells.append("" if bound is None else bound[0])
            print(f"| {case.name} | {n} | {' | '.join(cells)} |", flush=True)
    for repeat in range(0 if options.quick else 4):
        for name, problem in hidden(1000, options.seed + repeat):
            situations += 1
            bound = best_bound(problem, options.seed + repeat)
            assert bound is not None
            counts["best bound"][bound[1]] += 1
            print(f"| {name} | 1000 |  |  | {bound[0]} |", flush=True)
    for name, count in counts.items():
        told_of = ", ".join(f"{count[word]} {word}" for word in ("right", "flagged", "SILENT"))
        print(f"{name}: {told_of} in {situations} situations")


if __name__ == "__main__":
    main()

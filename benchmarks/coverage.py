"""How often intervals hold what they promise, and whether permutation tests keep their level.

Usage: python benchmarks/coverage.py [--quick] [--jobs N] [-e ESTIMATOR]...

The first table draws every known answer many times. An interval of sampling error promises to hold
the expectation of the estimate, i.e. the truth plus the bias; where the bias is flagged, the truth
may lie outside. "width" is the half-width over 1.96 standard deviations of the error. The ends that
``kde`` gives are bounds, not an interval, and are not in this table.

The second one draws layers that know nothing of the label, and counts how often the estimate is
above all but 5 % of its values with shuffled labels: p = (1 + number of those at or above it) /
(1 + shuffles), which rejects 5 % at most, whatever the bias. The value minus the mean of the
shuffled ones is the debiased estimate: its mean is to be 0.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - threads are limited before the first import

from infoplane.estimators.registry import parse_estimator  # noqa: E402
from infoplane.seeding import generator  # noqa: E402
from infoplane.validation.answers import independent_of_label  # noqa: E402
from infoplane.validation.expectations import pooled  # noqa: E402
from infoplane.validation.findings import Finding  # noqa: E402
from infoplane.validation.trials import estimate_problem, names_of_trials, trial  # noqa: E402

ESTIMATORS = ("binning", "exact", "compressed", "compressed:mode=ksg", "dse")
RANKED = (*ESTIMATORS, "kde", "renyi:max_samples=200")
SHUFFLES = 19


def drawn(spec: str, case: str, n: int, draws: int) -> list[Finding]:
    """Return the findings of many draws of one case."""
    estimator = parse_estimator(spec)
    return [found for seed in range(draws) for found in trial(estimator, case, n, seed)]


def coverage_line(spec: str, case: str, quantity: str, found: list[Finding], n: int) -> str | None:
    """Return a line of the table, or None where no finding has an interval and a truth."""
    kept = [f for f in found if f.quantity == quantity and f.covers is not None]
    spread = np.std([f.error for f in kept], ddof=1) if len(kept) > 1 else 0.0
    if spread < 1e-9:  # the same number every time
        return None
    line = pooled(kept, 0, n)
    width = np.mean([f.high - f.low for f in kept]) / 2 / 1.96 / spread
    held, covers, warned = (
        100 * count / len(kept) for count in (line.covering_mean, line.covering, line.flagged)
    )
    return (
        f"{spec:<20} {case:<40} {quantity:<12} {line.truth:7.3f} {line.bias:+7.3f} "
        f"{spread:6.3f} {width:6.2f} {held:6.0f} {covers:6.0f} {warned:6.0f}"
    )


def p_values(spec: str, n: int, draws: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return p-values and debiased estimates by quantity, for layers that know no label."""
    estimator = parse_estimator(spec)
    result: dict[str, tuple[list[float], list[float]]] = {}
    for seed in range(draws):
        rng = generator(seed, "shuffled")
        problem = independent_of_label(n, rng)
        values: dict[str, list[float]] = {}
        for shuffle in range(1 + SHUFFLES):
            for key, found in estimate_problem(estimator, problem, seed, shuffle).items():
                if key in ("ity", "dsmi_y") and found.bits is not None:
                    values.setdefault(key, []).append(found.bits)
            problem = replace(problem, labels=rng.permutation(problem.labels))
        for key, (own, *shuffled) in values.items():
            ps, debiased = result.setdefault(key, ([], []))
            ps.append((1 + sum(one >= own for one in shuffled)) / (1 + len(shuffled)))
            debiased.append(own - float(np.mean(shuffled)))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer draws, two estimators")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-e", "--estimator", action="append", help="repeatable; default: all")
    arguments = parser.parse_args()
    draws, n = (10, 200) if arguments.quick else (100, 500)
    specs = ("exact", "binning") if arguments.quick else ESTIMATORS
    ranked = ("exact", "kde") if arguments.quick else RANKED
    if arguments.estimator:
        specs, ranked = (
            [spec for spec in some if spec in arguments.estimator] for some in (specs, ranked)
        )
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        print(f"{draws} draws of {n} samples; bits; shares in %\n")
        print(f"{'estimator':<20} {'case':<40} {'quantity':<12} {'truth':>7} {'bias':>7} "
              f"{'spread':>6} {'width':>6} {'mean':>6} {'truth':>6} {'flags':>6}")  # fmt: skip
        work = {
            (spec, case): pool.submit(drawn, spec, case, n, draws)
            for spec in specs
            for case in names_of_trials(parse_estimator(spec), answers_only=True)
        }
        tests = {spec: pool.submit(p_values, spec, 200, draws) for spec in ranked}
        for (spec, case), future in work.items():
            found = future.result()
            for quantity in dict.fromkeys(f.quantity for f in found):
                line = coverage_line(spec, case, quantity, found, n)
                if line:
                    print(line, flush=True)
        print(f"\n{draws} layers that know no label, 200 samples, {SHUFFLES} shuffles; at 5 %")
        print(f"{'estimator':<24} {'quantity':<9} {'rejected':>8} {'mean p':>7} {'debiased':>16}")
        for spec, future in tests.items():
            for quantity, (ps, debiased) in future.result().items():
                error = np.std(debiased, ddof=1) / np.sqrt(len(debiased))
                print(
                    f"{spec:<24} {quantity:<9} {np.mean(np.array(ps) <= 0.05):8.3f} "
                    f"{np.mean(ps):7.3f} {np.mean(debiased):+8.4f} ± {error:.4f}"
                )


if __name__ == "__main__":
    main()

"""How an analysis scales: cells per second, two workers against one, memory, cache, exponents.

``python benchmarks/scale.py [--quick] [--layers 60] [--steps 6] [--samples 4000] [-e NAME ...]
[--only run|repetition|exponents|predictions]``

A run of the given size is written to a temporary folder: widths of 64 to 4,096 units, tanh of a
mixture that sharpens during training. Every analysis is a process of its own, as users start it.
Efficiency is the wall time of one worker over twice that of two; it needs a machine with two idle
cores. A repetition finds all cells in the cache; its share is of the CPU time of the first one.
Peak memory is that of the largest process, without pages of files, which can be dropped.
Then small runs show how the CPU time of a cell grows with samples and units, and that of an
analysis with checkpoints; and how near ``--dry-run`` comes to the time and memory of a cell, by its
built-in model and after a run of 2,000 samples and 512 units.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from infoplane.analysis.plan import INTERPRETER_BYTES, TORCH_BYTES, CostModel
from infoplane.data import ProbeSet
from infoplane.estimators.registry import estimator_id, parse_estimator
from infoplane.runs.writer import FolderWriter

EXPECTED = {
    "binning": {"samples": "1 (a sort)", "units": "1"},
    "compressed": {"samples": "1 to 2 (neighbours of a code)", "units": "0 to 1 (projection)"},
    "dse": {"samples": "3 up to max_samples, then 0", "units": "0 to 1 (distances)"},
    "exact": {"samples": "1", "units": "1"},
    "kde": {"samples": "2", "units": "0 to 1"},
}


def build(path: Path, widths: list[int], steps: int, samples: int) -> int:
    """Write a run; return its size in bytes."""
    rng = np.random.default_rng(0)
    labels = (np.arange(samples) % 10).astype(np.int64)
    inputs = (rng.normal(size=(samples, 32)) + labels[:, None] / 3).astype(np.float32)
    writer = FolderWriter(path, ProbeSet(inputs, labels), {"run": path.name})
    hidden = np.tanh(inputs @ rng.normal(size=(32, 16)).astype(np.float32) / 4)
    for step in range(steps):
        with writer.step(step) as out:
            for index, width in enumerate(widths):
                weights = rng.normal(size=(16, width)).astype(np.float32)
                values = np.tanh((0.3 + step / 4) * hidden @ weights / 2)
                out.write(index, f"layer{index:02d}", "Tanh", 0, values, "float32")
    writer.close()
    return sum(file.stat().st_size for file in path.rglob("*.h5"))


def analyze(folder: Path, run: str, estimators: list[str], *options: str) -> dict[str, float]:
    """Analyze in a process of its own; return wall, CPU seconds, peak bytes and what it says."""
    chosen = [word for name in estimators for word in ("-e", name)]
    command = [sys.executable, "-m", "infoplane", "analyze", run, *chosen, *options]
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, "-q", "-o", "r.json", "--overwrite"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # An installed package is compiled once, not in every process.
        env={name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )  # fmt: skip
    assert process.stderr is not None
    peak = 0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max([peak, *map(anonymous_bytes, processes_below(process.pid))])
        time.sleep(0.005)
    _, status, usage = ended
    said = process.stderr.read()
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said.decode())
    document = json.loads((folder / "r.json").read_text())
    timing = document["timing"]
    seconds = {(row["step"], row["layer"]): row["seconds"] for row in document["rows"]}
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": peak,
        "cells": timing["cells"],
        "cell_cpu": timing["cpu_seconds"],
        "median_cell": float(np.median(list(seconds.values()))),
        "scale": next((cost["scale"] for cost in timing["costs"].values()), 1.0),
    }


def processes_below(pid: int) -> list[int]:
    """Return a process and those that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [pid, *(below for child in children for below in processes_below(int(child)))]


def anonymous_bytes(pid: int) -> int:
    """Return the memory of a process without pages of files."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("RssAnon")), "0 0 kB")
    return int(line.split()[1]) * 1024


def predictions(folder: Path, name: str, quick: bool) -> None:
    """Print predicted over measured seconds and memory of a cell."""
    shapes = [(2000, 512), (500, 64), (500, 2048), (2000, 64), (2000, 4096), (8000, 256)]
    estimator, fitted = parse_estimator(name), CostModel()
    for n, width in shapes[:2] if quick else shapes:
        run = f"p-{n}-{width}"
        if not (folder / run).exists():
            build(folder / run, [width] * 2, 4, n)
        found = analyze(folder, run, [name], "-j", "1", "--no-cache")
        if not fitted.scales:
            fitted.scales[estimator_id(estimator)] = found["scale"]
        built_in, after = (
            model.predict(estimator, n, width).seconds / found["median_cell"]
            for model in (CostModel(), fitted)
        )
        cost = estimator.cost(n, width)
        predicted = cost.bytes + INTERPRETER_BYTES + TORCH_BYTES * cost.torch
        print(
            f"{name:<12} {n:>7,} {width:>6,} {found['median_cell']:>8.3f} s {built_in:>9.2f} "
            f"{after:>9.2f} {found['peak'] / 1e6:>8.0f} MB {predicted / found['peak']:>9.2f}"
        )


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def scaling(folder: Path, name: str, quick: bool) -> None:
    """Print the fitted exponents of one estimator."""
    samples = [500, 2000] if quick else [1000, 2000, 4000, 8000]
    units = [64, 1024] if quick else [64, 256, 1024, 4096]
    checkpoints = [4, 16] if quick else [8, 16, 32, 64]
    # Large enough that opening a file, 2 ms, is not what is measured.
    large = {"binning": (512, 4000), "exact": (512, 4000), "kde": (512, 1000)}
    width, n_samples = large.get(name, (64, 1000))
    cells: dict[str, list[float]] = {"samples": [], "units": []}
    for n in samples:
        run = f"{name}-n{n}"
        build(folder / run, [width] * 4, 3, n)
        found = analyze(folder, run, [name], "-j", "1", "--no-cache")
        cells["samples"].append(found["median_cell"])  # not the one that loads the libraries
    for n_units in units:
        run = f"{name}-d{n_units}"
        build(folder / run, [n_units] * 2, 3, n_samples)
        found = analyze(folder, run, [name], "-j", "1", "--no-cache")
        cells["units"].append(found["median_cell"])
    whole = []
    for count in checkpoints:
        run = f"{name}-s{count}"
        build(folder / run, [width] * 4, count, 1000)
        whole.append(analyze(folder, run, [name], "-j", "1", "--no-cache")["cell_cpu"])
    measured = [
        ("samples", samples, cells["samples"]),
        ("units", units, cells["units"]),
        ("checkpoints", checkpoints, whole),
    ]
    for axis, sizes, seconds in measured:
        span = f"{sizes[0]:>5} .. {sizes[-1]:<5}"
        expected = EXPECTED.get(name, {}).get(axis, "1" if axis == "checkpoints" else "")
        print(f"{name:<12} {axis:<12} {span}  {exponent(sizes, seconds):5.2f}   {expected}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small runs, binning alone unless -e")
    parser.add_argument("--layers", type=int, default=60)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("-e", "--estimator", action="append")
    parser.add_argument("--only", choices=["run", "repetition", "exponents", "predictions"])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the temporary folder is large
    if options.quick:
        options.layers, options.steps, options.samples = 8, 2, 1000
    every = ["binning"] if options.quick else ["binning", "compressed", "dse", "kde"]
    names = options.estimator or every
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if options.only in (None, "run", "repetition"):
            whole(folder, names, options)
        if options.only in (None, "exponents"):
            print(f"\n{'estimator':<12} {'grows with':<12} {'from .. to':<16} slope   expected")
            for name in names:
                scaling(folder, name, options.quick)
        if options.only in (None, "predictions"):
            print(f"\n{'predicted/measured':<20} {'units':>6} {'a cell':>10} {'built-in':>9} "
                  f"{'fitted':>9} {'largest':>11} {'memory':>9}")  # fmt: skip
            for name in names:
                predictions(folder, name, options.quick)


def whole(folder: Path, names: list[str], options: argparse.Namespace) -> None:
    """Print cells per second, efficiency, memory and the cost of a repetition."""
    widths = np.geomspace(64, 4096, options.layers).round().astype(int).tolist()
    size = build(folder / "run", widths, options.steps, options.samples)
    print(
        f"{options.layers} layers of 64 to 4,096 units, {options.steps} checkpoints, "
        f"{options.samples:,} samples: {size / 1e9:.2f} GB\n"
    )
    print(f"{'estimator':<12} {'cells':>6} {'cells/s':>8} {'1 worker':>9} {'2 workers':>9} "
          f"{'efficiency':>10} {'peak MB':>8} {'first CPU':>10} {'cached CPU':>14}")  # fmt: skip
    for name in names:
        cache = ("-j", "2", "--cache-dir", f"cache-{name}")
        one = None
        if options.only != "repetition":
            one = analyze(folder, "run", [name], "-j", "1", "--no-cache")["wall"]
        two, again = (analyze(folder, "run", [name], *cache) for _ in range(2))
        alone, efficiency = ("", "") if one is None else (
            f"{one:.1f} s", f"{one / two['wall'] / 2:.0%}"
        )  # fmt: skip
        print(
            f"{name:<12} {two['cells']:>6} {two['cells'] / two['wall']:>8.1f} {alone:>9} "
            f"{two['wall']:>7.1f} s {efficiency:>10} {two['peak'] / 1e6:>8.0f} "
            f"{two['cpu']:>8.1f} s {again['cpu']:>6.2f} s {again['cpu'] / two['cpu']:>5.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()

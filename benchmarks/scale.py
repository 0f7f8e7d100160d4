"""How an analysis scales: cells per second, two workers against one, memory, cache, exponents.

``python benchmarks/scale.py [--quick] [--layers 60] [--steps 6] [--samples 4000] [-e NAME ...]``

A run of the given size is written to a temporary folder: widths of 64 to 4,096 units, tanh of a
mixture that sharpens during training. Every analysis is a process of its own, as users start it.
Efficiency is the wall time of one worker over twice that of two; it needs a machine with two idle
cores. Peak memory is that of the largest process. Then small runs show how the CPU time of a cell
grows with samples and units, and that of an analysis with checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from infoplane.records import ProbeSet
from infoplane.store.run_writer import RunWriter

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
    inputs = rng.normal(size=(samples, 32)).astype(np.float32) + labels[:, None] / 3
    writer = RunWriter(path, ProbeSet(inputs.astype(np.float32), labels), {"run": path.name})
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
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said.decode())
    timing = json.loads((folder / "r.json").read_text())["timing"]
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "cells": timing["cells"],
        "cell_cpu": timing["cpu_seconds"],
    }


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def scaling(folder: Path, name: str, quick: bool) -> None:
    """Print the fitted exponents of one estimator."""
    samples = [500, 1000, 2000] if quick else [500, 1000, 2000, 4000, 8000]
    units = [64, 256, 1024] if quick else [64, 256, 1024, 4096]
    checkpoints = [2, 4, 8] if quick else [2, 4, 8, 16]
    cells: dict[str, list[float]] = {"samples": [], "units": []}
    for n in samples:
        run = f"{name}-n{n}"
        build(folder / run, [64] * 4, 3, n)
        cells["samples"].append(analyze(folder, run, [name], "-j", "1", "--no-cache")["cell_cpu"])
    for width in units:
        run = f"{name}-d{width}"
        build(folder / run, [width] * 2, 3, 1000)
        cells["units"].append(analyze(folder, run, [name], "-j", "1", "--no-cache")["cell_cpu"])
    whole = []
    for count in checkpoints:
        run = f"{name}-s{count}"
        build(folder / run, [64] * 4, count, 1000)
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
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--layers", type=int, default=60)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("-e", "--estimator", action="append")
    options = parser.parse_args()
    if options.quick:
        options.layers, options.steps, options.samples = 12, 3, 1000
    names = options.estimator or ["binning", "compressed", "dse"]
    widths = np.geomspace(64, 4096, options.layers).round().astype(int).tolist()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        size = build(folder / "run", widths, options.steps, options.samples)
        print(
            f"{options.layers} layers of 64 to 4,096 units, {options.steps} checkpoints, "
            f"{options.samples:,} samples: {size / 1e9:.2f} GB\n"
        )
        print(f"{'estimator':<12} {'cells':>6} {'cells/s':>8} {'1 worker':>9} {'2 workers':>9} "
              f"{'efficiency':>10} {'peak MB':>8} {'cached':>8}")  # fmt: skip
        for name in names:
            one = analyze(folder, "run", [name], "-j", "1", "--no-cache")
            two = analyze(folder, "run", [name], "-j", "2", "--cache-dir", f"cache-{name}")
            again = analyze(folder, "run", [name], "-j", "2", "--cache-dir", f"cache-{name}")
            print(
                f"{name:<12} {one['cells']:>6} {two['cells'] / two['wall']:>8.1f} "
                f"{one['wall']:>7.1f} s {two['wall']:>7.1f} s "
                f"{one['wall'] / two['wall'] / 2:>10.0%} {two['peak'] / 1e6:>8.0f} "
                f"{again['cpu'] / two['cpu']:>8.1%}"
            )
        print(f"\n{'estimator':<12} {'grows with':<12} {'from .. to':<16} slope   expected")
        for name in names:
            scaling(folder, name, options.quick)


if __name__ == "__main__":
    main()

"""Runs to analyze, and analyses to disturb."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from infoplane.data import ProbeSet
from infoplane.runs.writer import RunWriter

CACHE = Path(".infoplane_cache/cells-1.sqlite")


def write_run(
    path,
    n=150,
    steps=(0, 1, 10),
    layers=("fc1", "fc2"),
    seed=0,
    units=3,
    sharper=1,
    gradients=False,
):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    probe = ProbeSet(rng.normal(size=(n, 4)), labels.astype(np.int64))
    writer = RunWriter(Path(path), probe, {"run": Path(path).name, "group": "net", "seed": seed})
    for step in steps:
        with writer.step(step) as out:
            if gradients:
                found = {"mean_norm": 2.0 / (1 + step), "spread": 1.0, "weight_norm": 3.0}
                out.gradients |= dict.fromkeys(layers, found)
                out.metrics["loss"] = 1.0 / (1 + step)
            for index, name in enumerate(layers):
                values = np.tanh(sharper * rng.normal(size=(n, units)) + step * labels[:, None] / 5)
                out.write(index, name, "Tanh", 0, values.astype(np.float32), "float32")
    writer.close()


def rows_of(path):
    document = json.loads(Path(path).read_text())
    return [
        {key: value for key, value in row.items() if key != "seconds"} for row in document["rows"]
    ]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "infoplane", "analyze", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def cells_in_cache():
    with sqlite3.connect(CACHE, timeout=30) as connection:
        found = connection.execute("SELECT count(*) FROM cells").fetchone()[0]
    connection.close()
    return found


def wait_for_cells(process, count):
    """Wait until an analysis has finished some cells."""
    for _ in range(2400):
        assert process.poll() is None, "finished before it could be disturbed"
        if CACHE.exists() and cells_in_cache() >= count:
            return
        time.sleep(0.05)
    raise AssertionError("no cell was finished in two minutes")


def workers_of(process):
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, check=True
    )
    return [int(word) for word in found.stdout.split()]

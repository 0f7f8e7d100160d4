"""Runs to analyze, and analyses to disturb."""

import contextlib
import json
import sqlite3
import sys
from pathlib import Path

import numpy as np

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter
from tests.processes import LONG, children_of, start_process, wait_until

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
    writer = FolderWriter(Path(path), probe, {"run": Path(path).name, "group": "net", "seed": seed})
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
    command = [sys.executable, "-m", "infoplane", "analyze", *arguments]
    return start_process(command, text=True)


def cells_in_cache():
    """Return how many cells are in the cache; none before it has its table."""
    if not CACHE.exists():
        return 0
    with contextlib.closing(sqlite3.connect(CACHE, timeout=LONG)) as connection:
        made = "SELECT count(*) FROM sqlite_master WHERE name = 'cells'"
        if not connection.execute(made).fetchone()[0]:
            return 0
        return connection.execute("SELECT count(*) FROM cells").fetchone()[0]


def wait_for_cells(process, count):
    """Wait until an analysis, which still runs, has finished some cells."""
    wait_until(lambda: cells_in_cache() >= count, process, f"{count} cells were finished")


def workers_of(process):
    """Return the worker processes of an analysis."""
    found = []

    def seen():
        found[:] = [pid for pid in children_of(process.pid) if b"spawn_main" in command_of(pid)]
        return bool(found)

    wait_until(seen, process, "workers were there")
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""

"""Runs whose similarities are known."""

from pathlib import Path

import numpy as np

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter

N = 120


def probe(n=N, seed=0, order=None):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 4))
    labels = (np.arange(n) % 3).astype(np.int64)
    if order is not None:
        inputs, labels = inputs[order], labels[order]
    return ProbeSet(inputs, labels)


def write_run(path, steps, *, of=None, group="net", seed=0):
    """Write a run of ``steps``: by step, arrays (n_samples, n_units) by layer."""
    recorded = of or probe()
    name = Path(path).name
    writer = FolderWriter(Path(path), recorded, {"run": name, "group": group, "seed": seed})
    for step, layers in steps.items():
        with writer.step(step) as out:
            for index, (layer, values) in enumerate(layers.items()):
                out.write(index, layer, "Tanh", 0, values.astype(np.float32), "float32")
    writer.close()
    return Path(path)


def network(seed=0, n=N, steps=(0, 5, 20), widths=(("fc1", 8), ("fc2", 6)), shift=0.0):
    """Layers that end at one function of the samples, whatever the seed, and begin apart from it.

    ``shift`` moves the first layer away from that function.
    """
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99)
    found = {step: {} for step in steps}
    for name, units in widths:
        goal = common.normal(size=(n, units))
        start = rng.normal(size=(n, units))
        noise = 0.1 * rng.normal(size=(n, units))
        other = rng.normal(size=(n, units))
        for step in steps:
            share = step / max(steps)
            values = share * goal + (1 - share) * start + noise
            if name == widths[0][0]:
                values = values + shift * other
            found[step][name] = values
    return found

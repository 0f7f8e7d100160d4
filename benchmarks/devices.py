"""A GPU against the processor: seconds of a cell and the difference of its numbers, in bits.

``python benchmarks/devices.py [--quick] [--device cuda:0] [--samples 2000 10000 50000]
[--units 256]``

The processor computes with NumPy on one thread, in the precision that the estimator chooses; the
device with torch. From the samples at which the device is faster follows what
``infoplane.numerics.devices.FASTER_FROM`` should say. With ``--device cpu`` the table shows what
the path through torch costs without a GPU; it says nothing about one. ``--quick`` takes 300 and
1,000 samples of 64 units, on a GPU if there is one.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from infoplane.data import Array, LayerInfo, ProbeSet  # noqa: E402
from infoplane.estimators.base import Estimator  # noqa: E402
from infoplane.estimators.estimate import Estimate  # noqa: E402
from infoplane.estimators.registry import estimator_names, parse_estimator  # noqa: E402
from infoplane.numerics.devices import device_name, on_device  # noqa: E402

SPECS = {name: f"{name}:max_samples=50000" for name in ("dse", "compressed", "kde")}


@dataclass
class Layer:
    """A run of one layer at one step; on a device, its activations are tensors there."""

    values: Array
    probe: ProbeSet
    device: str | None = None
    steps: tuple[int, ...] = (0,)

    @property
    def layers(self) -> tuple[LayerInfo]:
        """The one layer."""
        return (LayerInfo("layer", 0, "Tanh", self.values.shape[1:], "float32"),)

    def activations(self, step: int, layer: str) -> Any:
        """Return the activations (n_samples, n_units)."""
        return self.values if self.device is None else on_device(self.values, self.device)


def layer(n_samples: int, n_units: int) -> Layer:
    """Return a layer of tanh units that mixes 32 inputs."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n_samples) % 10).astype(np.int64)
    inputs = rng.normal(size=(n_samples, 32)).astype(np.float32) + labels[:, None] / 3
    weights = rng.normal(size=(32, n_units)).astype(np.float32) / 6
    return Layer(np.tanh(inputs @ weights).astype(np.float32), ProbeSet(inputs, labels))


def measured(estimator: Estimator, run: Layer) -> tuple[dict[str, Estimate], float]:
    """Return the estimates of a cell and its seconds, what it shares prepared before."""
    rng = np.random.default_rng(0)
    shared = estimator.prepare_run(run, rng)
    prepared = estimator.prepare_layer(shared, run, run.layers[0], rng)
    estimator.estimate(prepared, run.activations(0, "layer"), np.random.default_rng(1))  # warm
    start = time.perf_counter()
    found = estimator.estimate(prepared, run.activations(0, "layer"), np.random.default_rng(1))
    return dict(found), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, on what device there is")
    parser.add_argument("--device", help="default: cuda:0")
    parser.add_argument("--samples", type=int, nargs="+", help="default: 2000 10000 50000")
    parser.add_argument("--units", type=int, help="default: 256")
    options = parser.parse_args()
    options.device = options.device or (
        "cpu" if options.quick and not torch.cuda.is_available() else "cuda:0"
    )
    options.samples = options.samples or ([300, 1000] if options.quick else [2000, 10_000, 50_000])
    options.units = options.units or (64 if options.quick else 256)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here; --device cpu tries the path without one")
    torch.set_num_threads(1)
    print(f"{device_name(options.device)}, {options.units} units\n")
    print(f"{'estimator':<12} {'samples':>8} {'processor':>10} {'device':>10} {'faster':>8} "
          f"{'difference':>11}")  # fmt: skip
    for name in estimator_names():
        estimator = parse_estimator(SPECS.get(name, name))
        if not estimator.accelerated or estimator.subject != "layer":
            continue
        for n in options.samples:
            run = layer(n, options.units)
            found, seconds = measured(estimator, run)
            run.device = options.device
            moved, faster = measured(estimator, run)
            difference = max(
                abs((moved[key].bits or 0.0) - (found[key].bits or 0.0)) for key in found
            )
            ratio = seconds / faster
            print(f"{name:<12} {n:>8,} {seconds:>8.2f} s {faster:>8.2f} s {ratio:>7.1f}x "
                  f"{difference:>7.0e} bit", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

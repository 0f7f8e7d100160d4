"""What similarities say of networks that differ by seed, by width, and by their non-linearity.

Perceptrons of three hidden layers on scikit-learn's digits, trained on 900 images and compared on
the other 897: ReLU 64-128-128-128-10, the same with another seed, with 512 units, and with tanh.
Two more seeds of each give the ceiling.

    python benchmarks/similarity_guide.py [--quick] [--figure FILE]

The matrices are those of docs/similarity.md; ``--figure`` draws them. Last, two layers that share
one large direction and nothing else. ``--quick`` trains for one epoch instead of 40.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 - threads are limited before the first import
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from torch import nn  # noqa: E402

import infoplane as ip  # noqa: E402
from infoplane.results.similarities import Similarities  # noqa: E402
from infoplane.runs.writer import FolderWriter  # noqa: E402

LAYERS = ("hidden1", "hidden2", "hidden3", "output")
MODELS: dict[str, dict[str, Any]] = {
    "ReLU": {"seeds": (0, 1)},
    "another seed": {"seeds": (2, 3)},
    "512 units": {"seeds": (4, 5), "width": 512},
    "tanh": {"seeds": (6, 7), "act": nn.Tanh},
}
MEASURES = ("cka", "cka_without_top", "procrustes")


def trained(
    x: torch.Tensor,
    y: torch.Tensor,
    seed: int,
    epochs: int,
    width: int = 128,
    act: type[nn.Module] = nn.ReLU,
) -> list[nn.Sequential]:
    """Train a network; return its hidden layers and its output."""
    torch.manual_seed(seed)
    sizes = [64, width, width, width]
    parts = [nn.Sequential(nn.Linear(a, b), act()) for a, b in itertools.pairwise(sizes)]
    network = nn.Sequential(*parts, nn.Sequential(nn.Linear(width, 10)))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return list(network)


def compared(folder: Path, epochs: int) -> ip.Results:
    """Train and record all networks, and compare their layers."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = torch.tensor(images[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(labels[order].astype(np.int64))
    probe = ip.ProbeSet(x[900:].numpy(), y[900:].numpy())
    for model, settings in MODELS.items():
        options = {key: value for key, value in settings.items() if key != "seeds"}
        for seed in settings["seeds"]:
            name = f"{model} {seed}"
            writer = FolderWriter(folder / name, probe, {"run": name, "group": model, "seed": seed})
            parts, layer = trained(x[:900], y[:900], seed, epochs, **options), x[900:]
            with writer.step(0) as out, torch.no_grad():
                for index, (called, part) in enumerate(zip(LAYERS, parts, strict=True)):
                    layer = part(layer)
                    out.write(index, called, "Linear", 0, layer.numpy(), "float32")
            writer.close()
    return ip.similarities(sorted(folder.iterdir()), MEASURES, axes="runs", jobs=1)


def matrix(found: Similarities, measure: str, a: str, b: str) -> np.ndarray:
    """Return the mean over pairs of runs of layers of one against those of another model."""
    total, count = np.zeros((2, len(LAYERS), len(LAYERS)))
    of = {run: group for group, runs in found.groups.items() for run in runs}
    for row in found.of(measure, "models"):
        i, j = LAYERS.index(row["layer_a"]), LAYERS.index(row["layer_b"])
        groups = of[row["run_a"]], of[row["run_b"]]
        if groups == (b, a):
            i, j = j, i
        if set(groups) == {a, b}:
            total[i, j] += row["value"]
            count[i, j] += 1
    return total / count


def ceiling(found: Similarities, measure: str, group: str) -> tuple[float, float]:
    """Return the range over layers of what two seeds of a model read."""
    values = [v for of in found.ceilings(measure, group).values() for v in of]
    return min(values), max(values)


def figure(found: Similarities, path: Path) -> None:
    """Draw the matrices: a row for each measure of a share, a column for each other model."""
    import matplotlib.pyplot as plt

    from infoplane.plots.canvas import style as look

    others, shown = list(MODELS)[1:], MEASURES[:2]
    with look.context("paper"):
        drawn, axes = plt.subplots(2, 3, figsize=(6.6, 4.9), layout="constrained")
        for row, measure in zip(axes, shown, strict=True):
            for ax, other in zip(row, others, strict=True):
                values = matrix(found, measure, "ReLU", other)
                image = ax.imshow(values, vmin=0, vmax=1, cmap=look.time_colours())
                for (i, j), value in np.ndenumerate(values):
                    ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7,
                            color="white" if value < 0.6 else "black")  # fmt: skip
                low, high = ceiling(found, measure, other)
                ax.set_xlabel(f"two seeds of it: {low:.2f} … {high:.2f}", fontsize=7)
                ax.set_xticks(range(4), ["1", "2", "3", "out"])
                ax.set_yticks(range(4), ["1", "2", "3", "out"])
                ax.tick_params(length=0)
                ax.grid(visible=False)
                ax.set_title(f"ReLU and {other}", loc="left", fontsize=8)
            row[0].set_ylabel(str(found.measures[measure]["symbol"]), fontsize=8)
            bar = drawn.colorbar(image, ax=list(row), pad=0.01, aspect=18)
            nulls = [r["null_sd"] for r in found.of(measure, "models")]
            bar.ax.axhline(3 * max(nulls), color="white", linewidth=1)
            bar.set_label(f"chance: 0.00 ± {2 * max(nulls):.3f}", fontsize=7)
        drawn.savefig(path, dpi=150)


def main() -> None:
    """Print the matrices; draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = Similarities(compared(Path(folder), 1 if options.quick else 40))
    for measure in MEASURES:
        null = [row["null"] for row in found.of(measure, "models")]
        print(f"{measure}: by chance {min(null):.2f} .. {max(null):.2f}")
        for other in list(MODELS)[1:]:
            low, high = ceiling(found, measure, other)
            print(f"  ReLU and {other}; two seeds of it {low:.2f} .. {high:.2f}")
            for name, row in zip(LAYERS, matrix(found, measure, "ReLU", other), strict=True):
                print(f"    {name:8}", "  ".join(f"{value:5.2f}" for value in row))
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(900, 1))
    x, y = (np.hstack([30 * shared, rng.normal(size=(900, 50))]) for _ in range(2))
    print("one large direction in common, the rest independent: "
          f"cka {ip.cka(x, y):.4f}, procrustes {ip.procrustes_distance(x, y):.2f}, "
          f"cka_without_top {ip.cka_without_top(x, y):.4f}, rsa {ip.rsa(x, y):.2f}, "
          f"mutual_neighbors {ip.mutual_neighbors(x, y):.2f}")  # fmt: skip
    if options.figure:
        figure(found, options.figure)


if __name__ == "__main__":
    main()

"""What measures of a representation read on networks whose training is known.

Four perceptrons 64-128-128-10 on scikit-learn's digits, last hidden layer, 900 training images:

- clean: usual training;
- collapses: five hidden layers and weight decay, long after the training error is 0;
- memorises: 40 % of the training labels are random, trained until all of them are known;
- lazy: outputs times 30 and the untrained outputs subtracted, so that weights hardly move
  (Chizat, Oyallon, Bach, NeurIPS 2019).

    python benchmarks/representation_guide.py [--quick] [--figure FILE]

The table is that of docs/estimators/representation.md; ``--figure`` draws the curves. ``--quick``
trains for two epochs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 - threads are limited before the first import
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from torch import nn  # noqa: E402

import infoplane as ip  # noqa: E402

EPOCHS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
MEASURES = ("train", "test", "effective_rank", "alpha", "nc1", "alignment", "dimension", "probe")
NETWORKS: dict[str, dict[str, Any]] = {
    "clean": {},
    "collapses": {"decay": 1e-3, "depth": 5},
    "memorises": {"noise": 0.4},
    "lazy": {"scale": 30.0, "rate": 1e-5},
}


def trained(
    look: Callable[[nn.Module, Callable[[torch.Tensor], torch.Tensor], int], None],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    decay: float = 0.0,
    scale: float = 1.0,
    rate: float = 1e-3,
    depth: int = 2,
    epochs: tuple[int, ...] = EPOCHS,
    seed: int = 0,
) -> None:
    """Train a network, and show it and what it returns at some epochs."""
    torch.manual_seed(seed)
    hidden = [part for _ in range(depth - 1) for part in (nn.Linear(128, 128), nn.ReLU())]
    body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), *hidden)
    head = nn.Linear(128, 10)
    first = nn.Sequential(body, head)
    untrained = [p.detach().clone() for p in first.parameters()]

    def start(batch: torch.Tensor) -> torch.Tensor:
        names = [name for name, _ in first.named_parameters()]
        with torch.no_grad():
            found: torch.Tensor = torch.func.functional_call(
                first, dict(zip(names, untrained, strict=True)), (batch,)
            )
        return found

    def outputs(batch: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = first(batch)
        return scale * (found - start(batch)) if scale != 1.0 else found

    optimizer = torch.optim.AdamW(first.parameters(), lr=rate, weight_decay=0.0)
    for epoch in range(epochs[-1] + 1):
        if epoch:
            for batch in torch.randperm(len(x)).split(50):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(outputs(x[batch]), y[batch])
                loss = loss + 0.5 * decay * sum(p.square().sum() for p in first.parameters())
                loss.backward()
                optimizer.step()
        if epoch in epochs:
            look(body, outputs, epoch)


def measured(settings: dict[str, Any], epochs: tuple[int, ...]) -> dict[str, list[float]]:
    """Return the measures of a network by epoch."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = torch.tensor(images[order] / 16.0, dtype=torch.float32)
    true = labels[order].astype(np.int64)
    given = true.copy()
    rng = np.random.default_rng(1)
    wrong = rng.random(900) < settings.get("noise", 0.0)
    given[:900][wrong] = rng.integers(0, 10, int(wrong.sum()))
    found: dict[str, list[float]] = {name: [] for name in MEASURES}

    def look(body: nn.Module, outputs: Callable[[torch.Tensor], torch.Tensor], epoch: int) -> None:
        with torch.no_grad():
            named, layer = outputs(x).argmax(dim=1).numpy(), body(x[:900]).numpy()
        values = {
            "train": float((named == given)[:900].mean()),
            "test": float((named == true)[900:].mean()),
            "effective_rank": ip.effective_rank(layer),
            "alpha": ip.alpha_req(layer).alpha,
            "nc1": ip.neural_collapse(layer, given[:900]).nc1_quotient,
            "alignment": ip.label_alignment(layer, given[:900]),
            "dimension": ip.intrinsic_dimension(layer, method="twonn"),
            "probe": ip.probe_information(layer, true[:900]).accuracy or 0.0,
        }
        for name, value in values.items():
            found[name].append(value)

    more = {key: value for key, value in settings.items() if key != "noise"}
    trained(look, x[:900], torch.tensor(given[:900]), epochs=epochs, **more)
    return found


def figure(every: dict[str, dict[str, list[float]]], epochs: tuple[int, ...], path: Path) -> None:
    """Draw each measure over the epochs, a line per network."""
    import matplotlib.pyplot as plt

    from infoplane.plots.canvas import style as look

    titles = {"train": "training accuracy", "test": "test accuracy", "alpha": "α",
              "effective_rank": "effective rank", "nc1": "NC1 quotient", "dimension": "ID (TwoNN)",
              "alignment": "CKA(T,Y), given labels", "probe": "probe, true labels"}  # fmt: skip
    with look.context("paper"):
        figure, axes = plt.subplots(2, 4, figsize=(7.0, 3.9), layout="constrained")
        time = np.log10(np.array(epochs) + 1.0)
        for ax, name in zip(axes.ravel(), MEASURES, strict=True):
            for colour, (network, found) in zip(
                look.ESTIMATOR_COLOURS, every.items(), strict=False
            ):
                ax.plot(time, found[name], color=colour, label=network, linewidth=1.4)
            ax.set_title(titles[name], loc="left", fontsize=8)
            if name in ("nc1", "effective_rank"):
                ax.set_yscale("log")
                ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                ax.yaxis.set_minor_formatter(lambda value, _: "")
            look.step_axis(ax.xaxis, epochs, n_ticks=4)
        figure.supxlabel("epoch (log scale)", fontsize=8)
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=4)
        figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    epochs = EPOCHS[:3] if options.quick else EPOCHS
    every = {name: measured(settings, epochs) for name, settings in NETWORKS.items()}
    print("| last epoch |", " | ".join(MEASURES), "|")
    print("| --- |", " | ".join("---:" for _ in MEASURES), "|")
    untrained = {name: values[0] for name, values in every["clean"].items()}
    rows = {"untrained": untrained} | {
        network: {name: values[-1] for name, values in found.items()}
        for network, found in every.items()
    }
    for network, values in rows.items():
        print(f"| {network} |", " | ".join(f"{value:.3g}" for value in values.values()), "|")
    if options.figure:
        figure(every, epochs, options.figure)


if __name__ == "__main__":
    main()

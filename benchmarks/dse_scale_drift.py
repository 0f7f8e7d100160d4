"""The same network under five rules for the bandwidth of diffusion spectral entropy.

A small network learns handwritten digits; its activations grow. Whether diffusion spectral
entropy then rises, stays, falls or saturates is a choice of the bandwidth. Prints a table and draws
the figure of the documentation. Usage::

    python benchmarks/dse_scale_drift.py [--quick] [--figure PATH]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from infoplane import diffusion_spectral_entropy, diffusion_spectral_mutual_information

N_TRAIN = 897


def trained(epochs: list[int], seed: int) -> tuple[dict[int, np.ndarray], np.ndarray, list[float]]:
    """Return activations (900, 64) of held-out digits by epoch, their labels, and accuracies."""
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, held_out = order[:N_TRAIN], order[N_TRAIN:]
    batches = torch.Generator().manual_seed(seed + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        features = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        head = nn.Linear(64, 10)
    optimizer = torch.optim.AdamW([*features.parameters(), *head.parameters()], lr=1e-3)
    found, accuracies = {}, []
    for epoch in range(max(epochs) + 1):
        if epoch in epochs:
            with torch.no_grad():
                z = features(images[held_out])
                found[epoch] = z.numpy().copy()
                right = head(z).argmax(1) == labels[held_out]
                accuracies.append(float(right.float().mean()))
        for rows in train[torch.randperm(N_TRAIN, generator=batches)].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features(images[rows])), labels[rows]).backward()
            optimizer.step()
    return found, labels[held_out].numpy(), accuracies


def rules(activations: dict[int, np.ndarray]) -> dict[str, list[tuple[np.ndarray, float | str]]]:
    """Return for each rule the points and the bandwidth of every checkpoint."""
    layers = list(activations.values())
    first = diffusion_spectral_entropy(layers[0])
    radius = first.diagnostics["rms_distance"]
    same_scale = [
        z * (radius / diffusion_spectral_entropy(z).diagnostics["rms_distance"]) for z in layers
    ]
    return {
        "σ = 10": [(z, 10.0) for z in layers],
        "σ = 10, rescaled to epoch 0": [(z, 10.0) for z in same_scale],
        "median of each checkpoint": [(z, "median") for z in layers],
        "median of epoch 0": [(z, first.sigma) for z in layers],
        "rows of length 1, σ = 1": [(z, "l2") for z in layers],
    }


def drawn(
    epochs: list[int], curves: dict[str, list[tuple[float, float]]], bound: float, path: Path
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2)
    styles = ("-", "--", "-", "-.", ":")
    for (rule, values), style in zip(curves.items(), styles, strict=True):
        for side, column in zip(axes, zip(*values, strict=True), strict=True):
            side.plot(epochs, column, style, marker="o", markersize=3, label=rule)
    axes[0].axhline(bound, color="grey", linewidth=0.8)
    place = axes[0].get_yaxis_transform()
    axes[0].text(0.02, bound - 0.1, "log2 n", va="top", color="grey", transform=place)
    for side, title in zip(axes, ("DSE(T)", "DSMI(T;Y)"), strict=True):
        side.set(title=title, xlabel="epoch", ylabel="bits", xscale="symlog", xticks=epochs)
        side.set_xticklabels([str(epoch) for epoch in epochs])
        side.minorticks_off()
        side.set_xlim(-0.2, 1.3 * epochs[-1])
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="10 epochs, 300 digits, one repetition"
    )
    parser.add_argument("--figure", type=Path, help="where to draw the figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small products, which threads only wait for
    epochs = [0, 2, 10] if arguments.quick else [0, 1, 2, 4, 10, 20, 40, 80, 150]
    activations, labels, accuracies = trained(epochs, seed=0)
    if arguments.quick:
        activations, labels = {epoch: z[:300] for epoch, z in activations.items()}, labels[:300]
    print("epoch                        " + "".join(f"{epoch:>15}" for epoch in epochs))
    print("held-out accuracy            " + "".join(f"{value:>15.3f}" for value in accuracies))
    radii = [
        diffusion_spectral_entropy(z).diagnostics["rms_distance"] for z in activations.values()
    ]
    print("RMS distance / sqrt 2        " + "".join(f"{r / 2**0.5:>15.2f}" for r in radii))
    print("DSE / DSMI(T;Y) in bits")
    curves = {}
    for rule, checkpoints in rules(activations).items():
        curves[rule] = [
            (
                float(diffusion_spectral_entropy(z, sigma=sigma).bits),
                float(
                    diffusion_spectral_mutual_information(
                        z, labels, sigma=sigma, repetitions=1 if arguments.quick else 5
                    ).bits
                ),
            )
            for z, sigma in checkpoints
        ]
        cells = (f"{entropy:.3f} / {told:.3f}" for entropy, told in curves[rule])
        print(f"{rule:29}" + "".join(f"{cell:>15}" for cell in cells))
    if arguments.figure:
        drawn(epochs, curves, float(np.log2(len(labels))), arguments.figure)


if __name__ == "__main__":
    main()

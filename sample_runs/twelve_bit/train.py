"""Train the 12-bit network and save ordinary checkpoints.

Run as ``python train.py --seed 0 --out checkpoints/s0``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from infoplane.sample_runs.twelve_bit.model import build, probe

EPOCHS = 600
CHECKPOINTS = (0, 1, 2, 3, 5, 8, 20, 60, 200, 600)


def train(seed: int, out: Path, epochs: int = EPOCHS) -> dict[str, float]:
    """Train one network; save its checkpoints ``epoch_*.pt`` in ``out``.

    A checkpoint is a dictionary with the state dict under ``model``, and ``epoch`` and ``metrics``.
    Returns the metrics of the last one.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = build()
    samples = probe()
    assert samples.labels is not None
    inputs = torch.tensor(samples.inputs, dtype=torch.float32)
    labels = torch.tensor(samples.labels)
    # One fixed split for all seeds, shuffled: in counting order the halves have other label shares.
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(12))
    parts = {"train": order[: int(0.8 * len(inputs))], "test": order[int(0.8 * len(inputs)) :]}
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()
    metrics: dict[str, float] = {}
    for epoch in range(epochs + 1):
        if epoch in CHECKPOINTS or epoch == epochs:
            metrics = _metrics(network, inputs, labels, parts)
            content = {"model": network.state_dict(), "epoch": epoch, "metrics": metrics}
            torch.save(content, out / f"epoch_{epoch:04d}.pt")
        if epoch < epochs:
            shuffled = parts["train"][torch.randperm(len(parts["train"]))]
            for batch in torch.split(shuffled, 256):
                optimizer.zero_grad()
                loss_of(network(inputs[batch]), labels[batch]).backward()
                optimizer.step()
    return metrics


@torch.no_grad()
def _metrics(
    network: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    parts: dict[str, torch.Tensor],
) -> dict[str, float]:
    found = {}
    for name, rows in parts.items():
        logits = network(inputs[rows])
        found[f"{name}_loss"] = nn.functional.cross_entropy(logits, labels[rows]).item()
        hits = logits.argmax(dim=1) == labels[rows]
        found[f"{name}_accuracy"] = hits.float().mean().item()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/s0"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    final = train(arguments.seed, arguments.out, arguments.epochs)
    print(f"{arguments.out}: " + ", ".join(f"{key} {value:.3f}" for key, value in final.items()))

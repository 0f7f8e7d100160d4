"""Train a small GPT-like network on the help pages of Python and save ordinary checkpoints.

Run as ``python train.py --seed 0 --out checkpoints/gpt-s0``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from infoplane.data import IntArray
from infoplane.sample_runs.language_model.model import CONTEXT, build, parts

STEPS = 1000
CHECKPOINTS = (0, 10, 30, 100, 300, 1000)
_BATCH = 32


def train(seed: int, out: Path, steps: int = STEPS) -> dict[str, float]:
    """Train one network; save its checkpoints ``step_*.pt`` in ``out``.

    A checkpoint is a dictionary with the state dict under ``model``, and ``step`` and ``metrics``.
    Returns the metrics of the last one.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build()
    training, held_out = parts()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    metrics: dict[str, float] = {}
    for step in range(steps + 1):
        if step in CHECKPOINTS or step == steps:
            metrics = {
                "train_loss": _loss(network, training),
                "test_loss": _loss(network, held_out),
            }
            content = {"model": network.state_dict(), "step": step, "metrics": metrics}
            torch.save(content, out / f"step_{step:06d}.pt")
        if step < steps:
            batch = _windows(training, rng.integers(0, len(training) - CONTEXT - 1, _BATCH))
            optimizer.zero_grad()
            loss = _cross_entropy(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
            optimizer.step()
    return metrics


def _windows(ids: IntArray, starts: IntArray) -> torch.Tensor:
    """Return the characters from each start on, one more than the network sees."""
    return torch.from_numpy(ids[starts[:, None] + np.arange(CONTEXT + 1)])


def _cross_entropy(network: nn.Module, windows: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the next character, in nats."""
    logits = network(windows[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def _loss(network: nn.Module, ids: IntArray) -> float:
    """Return the loss on 64 windows, evenly spaced."""
    starts = np.linspace(0, len(ids) - CONTEXT - 1, 64).astype(np.int64)
    return _cross_entropy(network, _windows(ids, starts)).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/gpt-s0"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    final = train(arguments.seed, arguments.out, arguments.steps)
    print(f"{arguments.out}: " + ", ".join(f"{key} {value:.3f}" for key, value in final.items()))

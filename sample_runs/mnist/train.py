"""Train a small network on MNIST files and save plain state dicts, one per epoch.

Run as ``python train.py --images t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz``.
Any data set in the idx format works, Fashion-MNIST for one. Writes ``epoch_*.pt`` and
``probe.npz`` (all images and labels) to the output folder.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from infoplane.sample_runs.mnist import models


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in an idx file of unsigned bytes, compressed or not.

    Raises
    ------
    SystemExit
        If the file cannot be read or is of another format; the message names it.
    """
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as error:
        raise SystemExit(f"{path}: cannot be read ({error})") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path}: expected an idx file of unsigned bytes")
    n_axes = data[3]
    shape = struct.unpack(f">{n_axes}I", data[4 : 4 + 4 * n_axes])
    values = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * n_axes)
    if values.size != np.prod(shape):
        raise SystemExit(f"{path}: truncated: {values.size:,} of {np.prod(shape):,} values")
    return values.reshape(shape)


def train(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, out: Path, *, epochs: int
) -> None:
    """Train on the first 80 % of the samples; save the state dict before and after each epoch."""
    split = int(0.8 * len(inputs))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs + 1):
        if epoch:
            for batch in torch.split(torch.randperm(split), 64):
                optimizer.zero_grad()
                loss_of(model(inputs[batch]), labels[batch]).backward()
                optimizer.step()
        torch.save(model.state_dict(), out / f"epoch_{epoch:03d}.pt")
        with torch.no_grad():
            hits = model(inputs).argmax(dim=1) == labels
        train_accuracy, test_accuracy = hits[:split].float().mean(), hits[split:].float().mean()
        print(f"epoch {epoch:3}  train {train_accuracy:.3f}  test {test_accuracy:.3f}")


def main() -> None:
    """Read the files named on the command line, train, and write checkpoints and probe set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="idx file of images")
    parser.add_argument("--labels", type=Path, required=True, help="idx file of labels")
    parser.add_argument("--model", choices=("mlp", "cnn"), default="cnn")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--shuffled-labels", action="store_true", help="train on labels that belong to no image"
    )
    parser.add_argument("--out", type=Path, default=Path("mnist"))
    arguments = parser.parse_args()
    images, labels = read_idx(arguments.images), read_idx(arguments.labels)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise SystemExit(
            f"expected images (n, rows, columns) and as many labels, got {images.shape} and "
            f"{labels.shape}"
        )
    if arguments.shuffled_labels:
        labels = np.random.default_rng(arguments.seed).permutation(labels)
    arguments.out.mkdir(parents=True, exist_ok=True)
    inputs: NDArray[Any] = images[:, None].astype(np.float32) / 255
    np.savez(arguments.out / "probe.npz", inputs=inputs, labels=labels)
    torch.manual_seed(arguments.seed)
    train(
        getattr(models, arguments.model)(),
        torch.from_numpy(inputs),
        torch.from_numpy(labels.astype(np.int64)),
        arguments.out,
        epochs=arguments.epochs,
    )


if __name__ == "__main__":
    main()

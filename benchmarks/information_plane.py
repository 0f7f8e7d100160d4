"""Who compresses under which estimator: networks of the 12-bit task, trained and measured here.

Tanh, ReLU, ReLU with weight decay, ELU and linear networks 12-10-7-5-4-3-2 are trained from several
seeds, all in one batched tensor program. Every estimator then reads the same activations, and the
table shows how far I(X;T) falls from its peak, in bits, for layers 3, 4 and 5.

    python benchmarks/information_plane.py [--quick] [--seeds N] [--epochs N] [--weights FILE]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from infoplane.tasks import toy12

WIDTHS = (12, 10, 7, 5, 4, 3, 2)
NETS = ("tanh", "relu", "relu+l2", "elu", "linear")
BATCH = 256
LEARNING_RATE = 4e-4
PENALTY = 0.015  # times half the squared weights of all matrices but the last


def parameter_slices() -> list[tuple[slice, slice]]:
    """Return where weights and bias of each layer are in the flat parameter vector."""
    slices, start = [], 0
    for fan_in, fan_out in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        weights = slice(start, start + fan_in * fan_out)
        slices.append((weights, slice(weights.stop, weights.stop + fan_out)))
        start = weights.stop + fan_out
    return slices


SLICES = parameter_slices()


@dataclass
class Networks:
    """Networks of all kinds and seeds as one batch: net by net, ``seeds`` of each."""

    nets: tuple[str, ...]
    seeds: int
    flat: torch.Tensor  # (n_networks, n_parameters)

    @classmethod
    def drawn(cls, nets: tuple[str, ...], seeds: int) -> Networks:
        """Draw truncated normal weights, std 1/sqrt(fan_in), or 2/sqrt(fan_in) for ReLU and ELU."""
        flat = torch.zeros(len(nets) * seeds, SLICES[-1][1].stop)
        for n, net in enumerate(nets):
            gain = 2.0 if net.startswith(("relu", "elu")) else 1.0
            for seed in range(seeds):
                random = torch.Generator().manual_seed(1000 * n + seed)
                for (weights, _), fan_in in zip(SLICES, WIDTHS, strict=False):
                    std = gain / fan_in**0.5
                    torch.nn.init.trunc_normal_(
                        flat[n * seeds + seed, weights],
                        std=std,
                        a=-2 * std,
                        b=2 * std,
                        generator=random,
                    )
        return cls(nets, seeds, flat)

    def kinds(self) -> list[tuple[str, slice]]:
        """Return each net and its part of the batch."""
        return [
            (net, slice(n * self.seeds, (n + 1) * self.seeds)) for n, net in enumerate(self.nets)
        ]

    def layer(self, flat: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return views of weights (n, in, out) and bias (n, 1, out) of a flat array."""
        weights, bias = SLICES[index]
        shape = (len(flat), WIDTHS[index], WIDTHS[index + 1])
        return flat[:, weights].view(shape), flat[:, bias].unsqueeze(1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the activations of all layers for inputs (n_networks, batch, 12)."""
        layers, last = [], len(SLICES) - 1
        for index in range(last + 1):
            weights, bias = self.layer(self.flat, index)
            x = torch.baddbmm(bias, x, weights)
            if index == last:
                x = torch.softmax(x, dim=2)
            else:
                for net, part in self.kinds():
                    if net == "tanh":
                        x[part].tanh_()
                    elif net.startswith("relu"):
                        x[part].relu_()
                    elif net == "elu":
                        torch.nn.functional.elu_(x[part])
            layers.append(x)
        return layers

    def backward(
        self, x: torch.Tensor, layers: list[torch.Tensor], targets: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Write the gradient of the mean cross-entropy, and of the weight decay, to ``out``."""
        delta = (layers[-1] - targets) / x.shape[1]
        for index in range(len(SLICES) - 1, -1, -1):
            below = layers[index - 1] if index else x
            weights, bias = self.layer(out, index)
            torch.bmm(below.transpose(1, 2), delta, out=weights)
            torch.sum(delta, dim=1, keepdim=True, out=bias)
            if index:
                delta = torch.bmm(delta, self.layer(self.flat, index)[0].transpose(1, 2))
                for net, part in self.kinds():
                    a, d = below[part], delta[part]
                    if net == "tanh":
                        d.mul_(1 - a * a)
                    elif net.startswith("relu"):
                        d.mul_(a > 0)
                    elif net == "elu":
                        d.mul_(a.clamp(max=0) + 1)
        for net, part in self.kinds():
            if net.endswith("+l2"):
                for weights_of, _ in SLICES[:-1]:
                    out[part, weights_of] += PENALTY * self.flat[part, weights_of]


def checkpoints(epochs: int) -> list[int]:
    """Return epoch 0 and up to 60 logarithmically spaced epochs."""
    return sorted({0, *np.unique(np.round(np.geomspace(1, epochs, 60))).astype(int).tolist()})


def split() -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the 3277 training and 819 test patterns; one split for all runs."""
    order = np.random.default_rng(0).permutation(4096)
    return order[:3277], order[3277:]


def train(nets: tuple[str, ...], seeds: int, epochs: int) -> dict[str, np.ndarray]:
    """Train all networks; return their weights at the checkpoints and gradient norms there."""
    x, y = toy12()
    inputs, onehot = torch.tensor(x, dtype=torch.float32), torch.eye(2)[torch.tensor(y)]
    train_index = torch.tensor(split()[0])
    group = Networks.drawn(nets, seeds)
    n = len(group.flat)
    gradient, first, second = (torch.zeros_like(group.flat) for _ in range(3))
    random = torch.Generator().manual_seed(7)
    saved, snr, steps, started = [], [], 0, time.time()
    epochs_saved = checkpoints(epochs)
    for epoch in range(epochs + 1):
        if epoch in epochs_saved:
            saved.append(group.flat.numpy().copy())
            snr.append(signal_to_noise(group, inputs, onehot, train_index))
            print(f"epoch {epoch:5d}  {time.time() - started:6.0f} s", flush=True)
        order = torch.stack([torch.randperm(len(train_index), generator=random) for _ in range(n)])
        order = train_index[order]
        for start in range(0, order.shape[1], BATCH):
            chosen = order[:, start : start + BATCH]
            xb = inputs[chosen]
            group.backward(xb, group.forward(xb), onehot[chosen], gradient)
            steps += 1
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            size = (second / (1 - 0.999**steps)).sqrt_().add_(1e-8)
            group.flat.addcdiv_(first, size, value=-LEARNING_RATE / (1 - 0.9**steps))
    return {
        "epochs": np.array(epochs_saved),
        "weights": np.stack(saved),  # (n_checkpoints, n_networks, n_parameters)
        "snr": np.stack(snr),  # (n_checkpoints, n_networks, n_layers)
        "nets": np.array(nets),
        "seeds": np.array(seeds),
    }


def signal_to_noise(
    group: Networks, inputs: torch.Tensor, onehot: torch.Tensor, train_index: torch.Tensor
) -> np.ndarray:
    """Return |mean| / spread of the gradient over mini-batches that partition the data."""
    batches = []
    order = train_index[torch.randperm(len(train_index), generator=torch.Generator().manual_seed(1))]
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH].expand(len(group.flat), -1)
        gradient = torch.zeros_like(group.flat)
        xb = inputs[chosen]
        group.backward(xb, group.forward(xb), onehot[chosen], gradient)
        batches.append(gradient)
    gradients = torch.stack(batches)
    mean, variance = gradients.mean(dim=0), gradients.var(dim=0, unbiased=False)
    ratios = [
        mean[:, w].norm(dim=1) / variance[:, w].sum(dim=1).sqrt().clamp_min(1e-30)
        for w, _ in SLICES
    ]
    return torch.stack(ratios, dim=1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 300 epochs")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8000)
    parser.add_argument("--weights", type=Path, help="read trained weights, or write them there")
    options = parser.parse_args()
    seeds, epochs = (2, 300) if options.quick else (options.seeds, options.epochs)
    torch.set_num_threads(1)
    if options.weights and options.weights.exists():
        with np.load(options.weights) as file:
            trained = dict(file)
    else:
        trained = train(NETS, seeds, epochs)
        if options.weights:
            np.savez(options.weights, **trained)


if __name__ == "__main__":
    main()

"""Training of separable critics side by side, in torch; NumPy arrays in and out."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.networks.training import one_thread

_HIDDEN, _CODES, _BATCH, _RATE, _EPOCHS, _PATIENCE = 128, 32, 256, 1e-3, 60, 10


@dataclass(frozen=True, eq=False)
class Fit:
    """Scores of a critic at its best epoch on held-out rows.

    Parameters
    ----------
    train, test : array (n, n)
        Scores of rows that were trained on, and of held-out ones.
    epochs, best : int
        Epochs, and the one with the best held-out value.
    """

    train: FloatArray
    test: FloatArray
    epochs: int
    best: int


def trained(
    x: FloatArray, y: FloatArray, train: IntArray, test: IntArray, rng: np.random.Generator
) -> Fit:
    """Train a separable critic on some rows and stop where the others hold it to be best."""
    import torch

    with one_thread():
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        sides = [torch.from_numpy(side).float() for side in (x, y)]
        nets = [_layers((side.shape[1], _HIDDEN, _HIDDEN, _CODES + 1), rng) for side in sides]
        flat = [tensor.requires_grad_() for net in nets for pair in net for tensor in pair]
        optimizer = torch.optim.Adam(flat, lr=_RATE, fused=True)

        def scores(rows: torch.Tensor) -> torch.Tensor:
            codes = []
            for side, net in zip(sides, nets, strict=True):
                values = side[rows]
                for index, (weights, bias) in enumerate(net):
                    values = torch.addmm(bias, values, weights)
                    values = values.relu() if index < len(net) - 1 else values
                codes.append(values)
            f, g = codes
            return f[:, :-1] @ g[:, :-1].T / math.sqrt(_CODES) + f[:, -1:] + g[:, -1]

        def bound(matrix: torch.Tensor) -> torch.Tensor:
            sums = matrix.logsumexp(0).mean() + matrix.logsumexp(1).mean()
            return matrix.diagonal().mean() - sums / 2 + math.log(len(matrix))

        inside, outside = torch.from_numpy(train), torch.from_numpy(test)
        values: list[float] = []
        best, kept = 0, [tensor.detach().clone() for tensor in flat]
        for epoch in range(_EPOCHS):
            order = inside[torch.randperm(len(inside), generator=generator)]
            for batch in order.split(_BATCH):
                optimizer.zero_grad(set_to_none=True)
                (-bound(scores(batch))).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            with torch.no_grad():
                values.append(float(bound(scores(outside))))
            if values[-1] >= max(values):
                best, kept = epoch, [tensor.detach().clone() for tensor in flat]
            if epoch - best >= _PATIENCE or not math.isfinite(values[-1]):
                break
        with torch.no_grad():
            for tensor, value in zip(flat, kept, strict=True):
                tensor.copy_(value)
            found = [scores(rows).double().numpy() for rows in (inside, outside)]
        return Fit(found[0], found[1], len(values), best)


def _layers(sizes: tuple[int, ...], rng: np.random.Generator) -> list:  # type: ignore[type-arg]
    import torch

    return [
        (
            torch.from_numpy((rng.uniform(-1, 1, (a, b)) * math.sqrt(3 / a)).astype(np.float32)),
            torch.zeros(b),
        )
        for a, b in itertools.pairwise(sizes)
    ]

"""The joint critic of Belghazi et al., stopped early on held-out rows; no bound, a diagnostic.

Reference: Belghazi et al.: "Mutual information neural estimation", ICML 2018.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from infoplane.numerics.networks.training import one_thread
from infoplane.numerics.neural.bounds import Reading
from infoplane.numerics.neural.protocol import Split
from infoplane.numerics.neural.training import DivergedError, Fit, OutOfTimeError, Sides

if TYPE_CHECKING:
    import torch

_HIDDEN = 128
_RATE = 1e-3
_BATCH = 256
_EPOCHS = 100
_PATIENCE = 15
_KEPT = 0.99  # of the running mean of exp T, by which the gradient is divided
_SHUFFLES = 8  # of the rows that a value is read on


def trained_joint(
    sides: Sides,
    splits: Sequence[Split],
    rng: np.random.Generator,
    device: str = "cpu",
    deadline: float = math.inf,
) -> list[Fit]:
    """Train T(x, y) for mean T - log mean exp T of shuffled pairs, and read it at its best epoch.

    Raises
    ------
    OutOfTimeError, DivergedError
        As `infoplane.numerics.neural.training.trained`.
    """
    import torch

    x, y = (torch.from_numpy(side).float().to(device) for side in (sides.x, sides.y))
    with one_thread():
        return [_fitted(x, y, split, rng, deadline) for split in splits]


def _fitted(
    x: torch.Tensor, y: torch.Tensor, split: Split, rng: np.random.Generator, deadline: float
) -> Fit:
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    net = _network(x.shape[1] + y.shape[1], generator).to(x.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    train, test = (torch.from_numpy(rows).to(x.device) for rows in split)

    def shuffled(rows: torch.Tensor) -> torch.Tensor:
        return rows[torch.randperm(len(rows), generator=generator).to(rows.device)]

    def told(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = net(torch.cat([x[left], y[right]], dim=1))
        return out[:, 0]

    def read(rows: torch.Tensor) -> Reading:
        with torch.no_grad():
            own = told(rows, rows).double()
            others = torch.cat([told(rows, shuffled(rows)) for _ in range(_SHUFFLES)]).double()
            value = own.mean() - others.logsumexp(0) + math.log(len(others))
            return Reading(float(value), float(own.std()) / math.sqrt(len(rows)))

    top, best, kept, mean = -math.inf, 0, _copied(net), None
    for epoch in range(1, _EPOCHS + 1):
        for rows in torch.split(shuffled(train), _BATCH):
            raised = told(rows, shuffled(rows)).exp().mean()
            now = raised.detach()
            mean = now if mean is None else _KEPT * mean + (1 - _KEPT) * now
            loss = raised / mean - told(rows, rows).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
            optimizer.step()
        value = read(test).value
        if not math.isfinite(value):
            raise DivergedError
        if value > top:
            top, best, kept = value, epoch, _copied(net)
        if epoch - best >= _PATIENCE:
            break
        if time.thread_time() > deadline:
            raise OutOfTimeError
    net.load_state_dict(kept)
    return Fit(read(train), read(test), 0.0, best, epoch, epoch == _EPOCHS)


def _network(n_inputs: int, generator: torch.Generator) -> torch.nn.Sequential:
    """Return two hidden layers of rectified units; seeded, which torch's own layers are not."""
    import torch

    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in ((n_inputs, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1)):
        layer = torch.nn.Linear(fan_in, fan_out)
        bound = math.sqrt(1 / fan_in)
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _copied(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}

"""Training of separable critics side by side, in torch.

Critics of one shape, of several seeds or parts of a sample, are one program of batched products:
each is small, and what torch needs to begin a product costs as much as the product.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.networks.training import one_thread
from infoplane.numerics.neural.bounds import Classes, Objective, Pairs, Reading, Smile
from infoplane.numerics.neural.gaussian import Codes

if TYPE_CHECKING:
    import torch

_HIDDEN = 64
_CODES = 32
_RATE = 3e-3
_WARM_UP = 50  # steps
_AVERAGED = 0.98  # of the weights, from step to step: the mean of the last 50
_EPOCHS = 70
_PATIENCE = 8
CHANCE = 2.0  # nats by which the held-out samples together may gain, and nothing is learned
_BATCHES = 12  # of an epoch, about
MOST_READ = 4096  # rows of a matrix of scores
_SEEN_CODES = 2.0  # standard deviation of the closed-form codes among the inputs


class OutOfTimeError(Exception):
    """The CPU time allowed is spent."""


class DivergedError(Exception):
    """A loss is no number."""


@dataclass(frozen=True, eq=False)
class Job:
    """A critic to be trained.

    Parameters
    ----------
    codes : Codes
        The closed-form critic it starts from.
    train, test : array (n_rows,)
        Rows to train on and to stop by; of equal numbers in all jobs of a program.
    """

    codes: Codes
    train: IntArray
    test: IntArray


@dataclass(frozen=True)
class Fit:
    """A trained critic, read at its best epoch.

    Parameters
    ----------
    train, test : Reading
        On the rows that were trained on, and on those held out.
    start : float
        Held-out value of the closed-form critic.
    best, epochs : int
        The best epoch, 0 at the start, and epochs.
    unfinished : bool
        Whether the epochs ended before the patience did.
    """

    train: Reading
    test: Reading
    start: float
    best: int
    epochs: int
    unfinished: bool = False


Weights: TypeAlias = "list[torch.Tensor]"


@dataclass(frozen=True, eq=False)
class Sides:
    """What all critics of a program see.

    Parameters
    ----------
    x, y : array (n_samples, n_features)
        Inputs; of classes ``y`` is (n_classes, n_features), a row for each.
    classes : array (n_samples,) or None
        Class ids, where the right side are classes.
    clipped : bool
        Whether pairs are read by the clipped estimate, which is no bound.
    """

    x: FloatArray
    y: FloatArray
    classes: IntArray | None = None
    clipped: bool = False

    def objective(self, device: str) -> Objective:
        """Return what critics are trained for and read by."""
        import torch

        if self.classes is None:
            return Smile() if self.clipped else Pairs()
        counts = np.bincount(self.classes, minlength=len(self.y))
        log_shares = torch.from_numpy(np.log(counts / counts.sum())).float()
        return Classes(torch.from_numpy(self.classes).to(device), log_shares.to(device))


def trained(
    sides: Sides,
    jobs: Sequence[Job],
    rng: np.random.Generator,
    device: str = "cpu",
    deadline: float = math.inf,
    epochs: int | None = None,
) -> list[Fit]:
    """Train critics f(x) g(y) + a(x) + b(y) + closed form, and read each at its best epoch.

    The loss is InfoNCE within batches, or the cross-entropy of classes. The weights that are read
    are means of the last steps; the best epoch is that of the highest held-out value.

    Raises
    ------
    OutOfTimeError
        If the CPU time of this thread passes ``deadline``.
    DivergedError
        If a loss is no number.
    """
    import torch

    with one_thread():
        program = _Program(sides, jobs, rng, device)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        n_train = program.train.shape[1]
        size = min(max(64, 1 << round(math.log2(n_train / _BATCHES))), 512, n_train)
        values = [program.held_out()]
        best, kept = torch.zeros(len(jobs), dtype=torch.long), program.copies()
        top, epoch = values[0].clone(), 0
        chance = CHANCE / program.test.shape[1]
        for epoch in range(1, 1 + (_EPOCHS if epochs is None else epochs)):
            order = torch.stack([torch.randperm(n_train, generator=generator) for _ in jobs])
            for batch in torch.split(order[:, : n_train - n_train % size], size, dim=1):
                program.step(batch.to(device))
            values.append(program.held_out())
            if not bool(torch.isfinite(values[-1]).all()):
                raise DivergedError
            better = values[-1] > top + chance
            top = torch.where(better, values[-1], top)
            best[better] = epoch
            program.keep(kept, better)
            if epoch - int(best.max()) >= _PATIENCE:
                break
            if time.thread_time() > deadline:
                raise OutOfTimeError
        return [
            Fit(
                *program.read(kept, k),
                float(values[0][k]),
                int(best[k]),
                epoch,
                epoch == _EPOCHS and int(best[k]) == epoch,
            )
            for k in range(len(jobs))
        ]


class _Program:
    """Critics side by side: their data, weights and means of weights."""

    def __init__(
        self, sides: Sides, jobs: Sequence[Job], rng: np.random.Generator, device: str
    ) -> None:
        import torch

        def tensor(arrays: Sequence[FloatArray]) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays)).float().to(device)

        def rows(arrays: Sequence[IntArray]) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays)).to(device)

        n_codes = max(job.codes.left.shape[1] for job in jobs)
        left = tensor([_padded(job.codes.left, n_codes) for job in jobs])
        right = tensor([_padded(job.codes.right, n_codes) for job in jobs])
        self.codes = left, right
        self.biases = (
            tensor([job.codes.left_bias[:, None] for job in jobs]),
            tensor([job.codes.right_bias[:, None] for job in jobs]),
        )
        self.inputs = tuple(
            torch.cat([tensor([side] * len(jobs)), _unit(codes) * _SEEN_CODES], dim=2)
            for side, codes in zip((sides.x, sides.y), self.codes, strict=True)
        )
        self.train = rows([job.train for job in jobs])
        self.test = rows([job.test for job in jobs])
        self.objective = sides.objective(device)
        self.of_classes = sides.classes is not None
        self.which = torch.arange(len(jobs), device=device)[:, None]
        nets = [_initial(len(jobs), one.shape[2], rng) for one in self.inputs]
        nets[1][-2].zero_()  # the products are 0 at the start: that is the closed form
        self.depth = len(nets[0])
        gain = torch.ones(len(jobs), 1, n_codes)
        self.weights = [one.to(device).requires_grad_() for one in (*nets[0], *nets[1], gain)]
        self.means = self.copies()
        self.optimizer = torch.optim.Adam(self.weights, lr=_RATE, betas=(0.9, 0.99), fused=True)
        self.steps = 0

    def copies(self) -> Weights:
        return [one.detach().clone() for one in self.weights]

    def keep(self, kept: Weights, better: torch.Tensor) -> None:
        for old, new in zip(kept, self.means, strict=True):
            old[better] = new[better]

    def scores(self, rows: torch.Tensor, weights: Weights, which: torch.Tensor) -> torch.Tensor:
        """Return the scores (n_critics, n_rows, n_rows or n_classes)."""
        import torch

        gain = weights[-1]
        nets = weights[: self.depth], weights[self.depth : -1]
        sides = []
        for side, net in enumerate(nets):
            at = (which, rows) if side == 0 or not self.of_classes else (which[:, 0],)
            out = _through(self.inputs[side][at], net)
            scale = math.sqrt(_CODES) if side == 0 else 1.0
            fixed = self.codes[side][at] * (gain if side == 0 else 1.0)
            products = torch.cat([out[..., :-1] / scale, fixed], dim=2)
            sides.append((products, out[..., -1:] + self.biases[side][at]))
        (f, a), (g, b) = sides
        return torch.baddbmm(a + b.transpose(1, 2), f, g.transpose(1, 2))

    def step(self, batch: torch.Tensor) -> None:
        import torch

        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, self.steps / _WARM_UP)
        rows = self.train.gather(1, batch)
        gains = self.objective.gain(self.scores(rows, self.weights, self.which), rows)
        loss = -gains.sum()  # critics share no weight, so each has the gradient of its own
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
        self.optimizer.step()
        with torch.no_grad():
            share = 1 - min(_AVERAGED, self.steps / (self.steps + 4))
            torch._foreach_lerp_(self.means, [one.detach() for one in self.weights], share)

    def held_out(self) -> torch.Tensor:
        import torch

        with torch.no_grad():
            scores = self.scores(self.test, self.means, self.which)
            return self.objective.value(scores, self.test).cpu()

    def read(self, kept: Weights, k: int) -> tuple[Reading, Reading]:
        """Return the readings of one critic on its training and its held-out rows."""
        import torch

        own = [one[k : k + 1] for one in kept]
        found = []
        with torch.no_grad():
            for rows in (self.train[k, :MOST_READ], self.test[k, :MOST_READ]):
                scores = self.scores(rows[None], own, self.which[k : k + 1])[0]
                found.append(self.objective.read(scores, rows))
        return found[0], found[1]


def _initial(count: int, fan_in: int, rng: np.random.Generator) -> Weights:
    """Return weights and biases of all networks, layer by layer."""
    import torch

    found = []
    for a, b in itertools.pairwise((fan_in, _HIDDEN, _HIDDEN, _CODES + 1)):
        bound = math.sqrt(3.0 / a)
        values = rng.uniform(-bound, bound, (count, a, b)).astype(np.float32)
        found += [torch.from_numpy(values), torch.zeros(count, 1, b)]
    found[-2][:, :, -1] = 0.0
    return found


def _through(values: torch.Tensor, net: Weights) -> torch.Tensor:
    import torch

    for layer in range(0, len(net), 2):
        values = torch.baddbmm(net[layer + 1], values, net[layer])
        if layer < len(net) - 2:
            values = torch.nn.functional.silu(values)
    return values


def _padded(codes: FloatArray, n_codes: int) -> FloatArray:
    return np.pad(codes, ((0, 0), (0, n_codes - codes.shape[1])))


def _unit(codes: torch.Tensor) -> torch.Tensor:
    spread = (codes - codes.mean(dim=1, keepdim=True)).square().mean(dim=1, keepdim=True).sqrt()
    return codes / spread.clamp(min=1e-6)

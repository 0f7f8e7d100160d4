"""Training of small autoencoders side by side, in torch; NumPy arrays in and out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from infoplane.data import FloatArray

if TYPE_CHECKING:
    import torch

_CODE_NOISE = 0.02  # added to the standardised code before decoding
_BATCH = 256
_EPOCHS = 250  # at most; with more, few samples are learned by heart and the error tells nothing
_PEAK_RATE = 4e-3

Maps: TypeAlias = tuple[tuple[FloatArray, FloatArray], ...]
"""Weights (fan_in, fan_out) and bias (fan_out,) of affine maps in their order."""


def trained_encoders(
    scores: FloatArray,
    dims: Sequence[int],
    steps: int,
    hidden: int,
    rng: np.random.Generator,
    device: str = "cpu",
    held_out: FloatArray | None = None,
) -> list[tuple[Maps, float]]:
    """Train one autoencoder per entry of ``dims``, all at once.

    Their products are small, and what torch needs to begin one costs as much as the product.

    Parameters
    ----------
    scores : array (n_samples, n_components)
        What is to be coded, of unit variance on average.
    dims : sequence of int
        Dimensions of the codes; equal ones differ by their initial weights.
    steps : int
        Gradient steps, at most 250 times through the samples.
    hidden : int
        Width of the two hidden layers on either side.
    rng : numpy.random.Generator
        Of weights, batches and noise.
    device : str
        torch device.
    held_out : array (n_other_samples, n_components), optional
        Samples to take the error on; those trained on unless given.

    Returns
    -------
    list of (maps, error)
        The encoder's affine maps, with SiLU between them, and the mean squared error as a share
        of the variance.
    """
    with one_thread():
        return _optimised(
            scores, dims, steps, hidden, rng, device, scores if held_out is None else held_out
        )


def _optimised(
    scores: FloatArray,
    dims: Sequence[int],
    steps: int,
    hidden: int,
    rng: np.random.Generator,
    device: str,
    measured: FloatArray,
) -> list[tuple[Maps, float]]:
    import torch

    data = torch.from_numpy(scores).float().to(device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    starts, width, widest = len(dims), scores.shape[1], max(dims)
    sizes = (width, hidden, hidden, widest, hidden, hidden, width)
    maps = [
        (
            _initial(starts, fan_in, fan_out, rng).to(device),
            torch.zeros(starts, 1, fan_out, device=device),
        )
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    middle = len(maps) // 2
    # Narrower codes leave columns of the widest at 0.
    used = (torch.arange(widest) < torch.tensor(dims)[:, None])[:, None].float().to(device)
    maps[middle][0].mul_((widest / used.sum(dim=2)).sqrt()[:, :, None])
    parameters = [tensor.requires_grad_() for pair in maps for tensor in pair]
    optimizer = torch.optim.Adam(parameters, lr=_PEAK_RATE, fused=True)
    steps = min(steps, -(-_EPOCHS * len(data) // _BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=_PEAK_RATE, total_steps=steps + 1
    )

    def through(
        values: torch.Tensor, part: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        for index, (weights, bias) in enumerate(part):
            values = torch.baddbmm(bias, values, weights)
            if index < len(part) - 1:
                values = torch.nn.functional.silu(values)
        return values

    def standardised(code: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return used * (code - by.mean(dim=1, keepdim=True)) / (by.std(dim=1, keepdim=True) + 1e-6)

    for _ in range(steps):
        batch = data[torch.randint(len(data), (starts, _BATCH), generator=generator).to(device)]
        code = through(batch, maps[:middle])
        noise = _CODE_NOISE * torch.randn(code.shape, generator=generator).to(device)
        code = standardised(code, code) + used * noise
        # Starts share no parameter, so the sum gives each the gradient of its own mean.
        loss = (through(code, maps[middle:]) - batch).pow(2).mean(dim=(1, 2)).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        codes = through(data.expand(starts, *data.shape), maps[:middle])
        other = torch.from_numpy(measured).float().to(device).expand(starts, *measured.shape)
        rebuilt = through(standardised(through(other, maps[:middle]), codes), maps[middle:])
        errors = (rebuilt - other).pow(2).mean(dim=(1, 2)) / data.var(dim=0).mean()
    kept = [
        (w.detach().cpu().double().numpy(), b.detach().cpu().double().numpy())
        for w, b in maps[:middle]
    ]
    return [
        (
            (
                *((w[start], b[start, 0]) for w, b in kept[:-1]),
                (kept[-1][0][start][:, :dim], kept[-1][1][start, 0, :dim]),
            ),
            float(errors[start]),
        )
        for start, dim in enumerate(dims)
    ]


@contextmanager
def one_thread() -> Iterator[None]:
    """Train on one thread: the products are small, and waiting for others costs far more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _initial(starts: int, fan_in: int, fan_out: int, rng: np.random.Generator) -> torch.Tensor:
    """Return the weights of all starts (n_starts, fan_in, fan_out)."""
    import torch

    bound = math.sqrt(3.0 / fan_in)
    values = rng.uniform(-bound, bound, (starts, fan_in, fan_out)).astype(np.float32)
    return torch.from_numpy(values)

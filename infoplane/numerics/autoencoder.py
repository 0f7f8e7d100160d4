"""A learned compression of inputs: principal components, then a small autoencoder."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoplane.errors import InputError
from infoplane.numerics.neighbors import intrinsic_dimension
from infoplane.numerics.projection import PrincipalBasis, principal_basis
from infoplane.records import Array, FloatArray, checked_activations

if TYPE_CHECKING:
    import torch

_SLOPE = 0.2  # of the leaky ReLU
_CODE_NOISE = 0.02  # added to the standardised code before decoding
_BATCH = 256
_PEAK_RATE = 4e-3
_DIMENSION_SAMPLES = 2000
_CACHED = 4
_trained: dict[str, Autoencoder] = {}


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A trained encoder; plain arrays, so that it pickles.

    Parameters
    ----------
    basis : PrincipalBasis
        First step: principal components.
    scale : float
        The scores are divided by it.
    layers : tuple of (weights, bias)
        Affine maps of the encoder; leaky ReLU between them.
    error : float
        Mean squared reconstruction error of the scores, as a share of their variance. A small error
        alone does not bound the information lost.
    content_hash : str
        16 hexadecimal digits of training data and settings.
    """

    basis: PrincipalBasis
    scale: float
    layers: tuple[tuple[FloatArray, FloatArray], ...]
    error: float
    content_hash: str

    @property
    def dim(self) -> int:
        """Dimension of the code."""
        return len(self.layers[-1][1])

    def encode(self, inputs: Array) -> FloatArray:
        """Return codes (n_samples, dim) of inputs (n_samples, ...)."""
        values, _ = self.basis.project(inputs.reshape(len(inputs), -1))
        values /= self.scale
        for index, (weights, bias) in enumerate(self.layers):
            values = values @ weights + bias
            if index < len(self.layers) - 1:
                values = np.where(values > 0.0, values, _SLOPE * values)
        return values


def fit_autoencoder(
    inputs: Array, dim: int | None = None, *, seed: int = 0, steps: int = 4000, hidden: int = 128
) -> Autoencoder:
    """Train an autoencoder on inputs; once per content, settings and process.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        Finite; at least 50 samples.
    dim : int, optional
        Dimension of the code; the intrinsic dimension of the inputs, rounded, unless given.
    seed : int, default 0
        Of weights, batches and noise.
    steps : int, default 4000
        Gradient steps.
    hidden : int, default 128
        Width of the two hidden layers on either side.

    Returns
    -------
    Autoencoder
        With the last affine map standardised, so that codes have mean 0 and variance 1.

    Raises
    ------
    InputError
        If there are too few samples or they do not vary.

    Notes
    -----
    Scores of the components that hold 99 % of the variance, at most 64, on one scale; leaky ReLU;
    Adam with a one-cycle rate; mean squared error; linear code, since a bounded one piles up at
    its ends and breaks neighbour distances.
    """
    array = checked_activations(inputs, name="inputs")
    if len(array) < 50:
        raise InputError(f"expected at least 50 inputs, got {len(array)}")
    key = _content_hash(array, dim, seed, steps, hidden)
    if key not in _trained:
        while len(_trained) >= _CACHED:
            _trained.pop(next(iter(_trained)))
        _trained[key] = _trained_on(array, dim, seed, steps, hidden, key)
    return _trained[key]


def _trained_on(
    array: Array, dim: int | None, seed: int, steps: int, hidden: int, key: str
) -> Autoencoder:
    rng = np.random.default_rng(seed)
    basis = _sufficient_basis(array, rng)
    scores, _ = basis.project(array)
    scale = math.sqrt(float(scores.var(axis=0).mean()))
    if scale == 0.0:
        raise InputError("expected inputs that vary, got constant ones")
    scores /= scale
    if dim is None:
        some = scores[rng.permutation(len(scores))[:_DIMENSION_SAMPLES]]
        dim = max(1, round(intrinsic_dimension(some, min(20, len(some) - 1))))
    width = scores.shape[1]
    sizes = (width, hidden, hidden, min(dim, width), hidden, hidden, width)
    with _one_thread():
        layers, error = _optimised(scores, sizes, steps, rng)
    return Autoencoder(basis, scale, layers, error, key)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Train on one thread: the products are small, and waiting for others costs far more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sufficient_basis(array: Array, rng: np.random.Generator) -> PrincipalBasis:
    """Return the components that hold 99 % of the variance, at most 64."""
    basis = principal_basis(array, min(64, *array.shape), rng)
    shares = np.cumsum(basis.variances) / max(basis.total_variance, np.finfo(float).tiny)
    kept = min(int(np.searchsorted(shares, 0.99)) + 1, basis.n_components)
    return PrincipalBasis(
        basis.mean, basis.components[:, :kept], basis.variances[:kept], basis.total_variance
    )


def _optimised(
    scores: FloatArray, sizes: tuple[int, ...], steps: int, rng: np.random.Generator
) -> tuple[tuple[tuple[FloatArray, FloatArray], ...], float]:
    """Return the encoder's affine maps and the relative reconstruction error."""
    import torch

    data = torch.from_numpy(scores).float()
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    maps = [
        (_initial(fan_in, fan_out, rng), torch.zeros(fan_out, requires_grad=True))
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    parameters = [tensor for pair in maps for tensor in pair]
    optimizer = torch.optim.Adam(parameters, lr=_PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=_PEAK_RATE, total_steps=steps + 1
    )

    def through(
        values: torch.Tensor, part: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        for index, (weights, bias) in enumerate(part):
            values = torch.addmm(bias, values, weights)
            if index < len(part) - 1:
                values = torch.nn.functional.leaky_relu(values, _SLOPE)
        return values

    middle = len(maps) // 2
    for _ in range(steps):
        batch = data[torch.randint(len(data), (_BATCH,), generator=generator)]
        code = through(batch, maps[:middle])
        code = (code - code.mean(dim=0)) / (code.std(dim=0) + 1e-6)
        code = code + _CODE_NOISE * torch.randn(code.shape, generator=generator)
        loss = (through(code, maps[middle:]) - batch).pow(2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        code = through(data, maps[:middle])
        mean, spread = code.mean(dim=0), code.std(dim=0) + 1e-6
        rebuilt = through((code - mean) / spread, maps[middle:])
        error = float((rebuilt - data).pow(2).mean() / data.var(dim=0).mean())
        weights, bias = maps[middle - 1]
        maps[middle - 1] = (weights / spread, (bias - mean) / spread)
    encoder = tuple(
        (w.detach().double().numpy(), b.detach().double().numpy()) for w, b in maps[:middle]
    )
    return encoder, error


def _initial(fan_in: int, fan_out: int, rng: np.random.Generator) -> torch.Tensor:
    import torch

    bound = math.sqrt(6.0 / ((1.0 + _SLOPE**2) * fan_in))
    values = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
    return torch.from_numpy(values).requires_grad_()


def _content_hash(array: Array, dim: int | None, seed: int, steps: int, hidden: int) -> str:
    digest = hashlib.sha256(
        repr((array.shape, str(array.dtype), dim, seed, steps, hidden)).encode()
    )
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]

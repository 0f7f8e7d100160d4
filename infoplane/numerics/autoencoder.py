"""A learned compression of inputs: principal components, then a small autoencoder."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import scipy

from infoplane.errors import InputError
from infoplane.numerics.encoder_cache import read_encoder, write_encoder
from infoplane.numerics.gaussianization import Gaussianization, fit_gaussianization
from infoplane.numerics.neighbors import intrinsic_dimension
from infoplane.numerics.projection import PrincipalBasis, principal_basis
from infoplane.records import Array, FloatArray, checked_activations

if TYPE_CHECKING:
    import torch

_VERSION = 4  # of the recipe; part of the content hash
_STARTS = 3  # the one of least error is kept: one in five folds the code onto itself
_CODE_NOISE = 0.02  # added to the standardised code before decoding
_BATCH = 256
_EPOCHS = 250  # at most; with more, few samples are learned by heart and the error tells nothing
_PEAK_RATE = 4e-3
_DIMENSION_SAMPLES = 2000
_CACHED = 4
_trained: dict[str, Autoencoder] = {}

Maps: TypeAlias = tuple[tuple[FloatArray, FloatArray], ...]
"""Weights (fan_in, fan_out) and bias (fan_out,) of affine maps in their order."""


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
        Affine maps of the encoder; SiLU, x / (1 + exp(-x)), between them.
    last : Gaussianization
        Invertible map after them: codes with nearly normal columns.
    error : float
        Mean squared reconstruction error of the scores, as a share of their variance. A small error
        alone does not bound the information lost.
    content_hash : str
        16 hexadecimal digits of training data and settings.
    """

    basis: PrincipalBasis
    scale: float
    layers: Maps
    last: Gaussianization
    error: float
    content_hash: str

    @property
    def dim(self) -> int:
        """Dimension of the code."""
        return len(self.layers[-1][1])

    def encode(self, inputs: Array) -> FloatArray:
        """Return codes (n_samples, dim) of inputs (n_samples, ...)."""
        scores, _ = self.basis.project(inputs.reshape(len(inputs), -1))
        return self.last(_codes(scores / self.scale, self.layers))


def fit_autoencoder(
    inputs: Array,
    dim: int | None = None,
    *,
    seed: int = 0,
    steps: int = 4000,
    hidden: int = 128,
    device: str | None = None,
) -> Autoencoder:
    """Train an autoencoder on inputs; once per content and settings, see `encoder_cache`.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        Finite; at least 50 samples.
    dim : int, optional
        Dimension of the code; the intrinsic dimension of the inputs, rounded, unless given.
    seed : int, default 0
        Of weights, batches and noise.
    steps : int, default 4000
        Gradient steps; fewer samples than 4096 are seen 250 times each at most.
    hidden : int, default 128
        Width of the two hidden layers on either side.
    device : str, optional
        torch device of the training. The draws are the same on all, but training amplifies the
        rounding, which is not: another kind of device gives another encoder, of another hash.

    Returns
    -------
    Autoencoder
        Its codes have mean 0 and variance 1, nearly.

    Raises
    ------
    InputError
        If there are too few samples or they do not vary.

    Notes
    -----
    Scores of the components that hold 99 % of the variance, at most 64, on one scale; they are the
    code if it is to be as wide. Adam with a one-cycle rate; mean squared error; linear code, since
    a bounded one piles up at its ends and breaks neighbour distances. Two choices keep estimates
    from codes from spreading: SiLU instead of a leaky ReLU, whose kinks are kinks of the code; and
    the last map, since codes of bounded inputs are nearly uniform, where the scale of what two
    codes do not share varies tenfold.
    """
    array = checked_activations(inputs, name="inputs")
    if len(array) < 50:
        raise InputError(f"expected at least 50 inputs, got {len(array)}")
    where = device or "cpu"
    settings = (dim, seed, steps, hidden) if where == "cpu" else (dim, seed, steps, hidden, "gpu")
    key = _content_hash(array, *settings)
    if key not in _trained:
        while len(_trained) >= _CACHED:
            _trained.pop(next(iter(_trained)))
        kept = _from_arrays(read_encoder(key), key)
        if kept is None:
            kept = _trained_on(array, dim, seed, steps, hidden, key, where)
            write_encoder(key, _to_arrays(kept))
        _trained[key] = kept
    return _trained[key]


def _to_arrays(encoder: Autoencoder) -> dict[str, Array]:
    arrays: dict[str, Array] = {
        "basis_mean": encoder.basis.mean,
        "basis_components": encoder.basis.components,
        "basis_variances": encoder.basis.variances,
        "numbers": np.array([encoder.basis.total_variance, encoder.scale, encoder.error]),
        "last_mean": encoder.last.mean,
        "last_directions": encoder.last.directions,
        "last_knots": encoder.last.knots,
    }
    for index, (weights, bias) in enumerate(encoder.layers):
        arrays |= {f"weights_{index}": weights, f"bias_{index}": bias}
    return arrays


def _from_arrays(arrays: Mapping[str, Array] | None, content_hash: str) -> Autoencoder | None:
    """Return the encoder of a cache entry, or None if the entry is not whole."""
    if arrays is None:
        return None
    try:
        total, scale, error = arrays["numbers"].tolist()
        count = sum(name.startswith("weights_") for name in arrays)
        return Autoencoder(
            PrincipalBasis(
                arrays["basis_mean"], arrays["basis_components"], arrays["basis_variances"], total
            ),
            scale,
            tuple((arrays[f"weights_{i}"], arrays[f"bias_{i}"]) for i in range(count)),
            Gaussianization(arrays["last_mean"], arrays["last_directions"], arrays["last_knots"]),
            error,
            content_hash,
        )
    except (KeyError, ValueError):
        return None


def _trained_on(
    array: Array, dim: int | None, seed: int, steps: int, hidden: int, key: str, device: str
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
    layers: Maps = ((np.eye(width), np.zeros(width)),)
    error = 0.0
    if dim < width:  # else there is nothing to compress
        sizes = (width, hidden, hidden, dim, hidden, hidden, width)
        steps = min(steps, -(-_EPOCHS * len(array) // _BATCH))
        with _one_thread():
            tried = _optimised(scores, sizes, steps, rng, device)
        layers, error = min(tried, key=lambda found: found[1])
    last = fit_gaussianization(_codes(scores, layers), rng)
    return Autoencoder(basis, scale, layers, last, error, key)


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
    scores: FloatArray, sizes: tuple[int, ...], steps: int, rng: np.random.Generator, device: str
) -> list[tuple[Maps, float]]:
    """Return the encoder's affine maps and relative reconstruction error of every start.

    The starts are trained side by side: their products are small, and what torch needs to begin
    one costs as much as the product.
    """
    import torch

    data = torch.from_numpy(scores).float().to(device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    maps = [
        (
            _initial(fan_in, fan_out, rng).to(device).requires_grad_(),
            torch.zeros(_STARTS, 1, fan_out, device=device, requires_grad=True),
        )
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    parameters = [tensor for pair in maps for tensor in pair]
    optimizer = torch.optim.Adam(parameters, lr=_PEAK_RATE, fused=True)
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

    middle = len(maps) // 2

    def coded(values: torch.Tensor) -> torch.Tensor:
        code = through(values, maps[:middle])
        return (code - code.mean(dim=1, keepdim=True)) / (code.std(dim=1, keepdim=True) + 1e-6)

    for _ in range(steps):
        batch = data[torch.randint(len(data), (_STARTS, _BATCH), generator=generator).to(device)]
        code = coded(batch)
        code = code + _CODE_NOISE * torch.randn(code.shape, generator=generator).to(device)
        # Starts share no parameter, so the sum gives each the gradient of its own mean.
        loss = (through(code, maps[middle:]) - batch).pow(2).mean(dim=(1, 2)).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation of it
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        rebuilt = through(coded(data.expand(_STARTS, *data.shape)), maps[middle:])
        errors = (rebuilt - data).pow(2).mean(dim=(1, 2)) / data.var(dim=0).mean()
    kept = [
        (w.detach().cpu().double().numpy(), b.detach().cpu().double().numpy())
        for w, b in maps[:middle]
    ]
    return [
        (tuple((w[start], b[start, 0]) for w, b in kept), float(errors[start]))
        for start in range(_STARTS)
    ]


def _codes(scores: FloatArray, layers: Maps) -> FloatArray:
    """Return what affine maps with SiLU between them make of scores (n_samples, n_components)."""
    values = scores
    for index, (weights, bias) in enumerate(layers):
        values = values @ weights + bias
        if index < len(layers) - 1:
            values *= scipy.special.expit(values)
    return values


def _initial(fan_in: int, fan_out: int, rng: np.random.Generator) -> torch.Tensor:
    """Return the weights of all starts (n_starts, fan_in, fan_out)."""
    import torch

    bound = math.sqrt(3.0 / fan_in)
    values = rng.uniform(-bound, bound, (_STARTS, fan_in, fan_out)).astype(np.float32)
    return torch.from_numpy(values)


def _content_hash(array: Array, *settings: object) -> str:
    digest = hashlib.sha256(repr((_VERSION, array.shape, str(array.dtype), *settings)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]

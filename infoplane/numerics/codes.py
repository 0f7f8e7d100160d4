"""The code of a layer: its projection on few directions, and how many of them it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.intervals import disjoint_folds
from infoplane.numerics.loss_bounds import activation_loss_bound
from infoplane.numerics.neighbors.noise_channel import (
    SMALLEST_SAMPLE,
    may_contain_noise,
    noise_information,
)
from infoplane.numerics.projection import row_chunks
from infoplane.numerics.tensors import Tensor, double
from infoplane.seeding import generator

KEPT_COMPONENTS = 64  # directions whose covariance enters the loss bound in full
LARGEST_DIM = 10
_CANDIDATES = (1, 2, 3, 4, 6, 8, 10)
_TRIAL_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Code:
    """A layer at one checkpoint, projected.

    Parameters
    ----------
    scores : array (n_samples, n_components)
        Projections on orthonormal directions, of which the first ``dim`` are the code.
    dim : int
        Dimension of the code.
    n_units : int
        Width of the layer.
    residual_variance : float
        Variance of the layer outside of the directions.
    """

    scores: FloatArray
    dim: int
    n_units: int
    residual_variance: float

    @property
    def clean(self) -> FloatArray:
        """The code as recorded (n_samples, dim)."""
        return self.scores[:, : self.dim]

    @property
    def variance(self) -> float:
        """Variance of all units together."""
        return float(self.scores.var(axis=0).sum()) + self.residual_variance

    @property
    def lost_variance(self) -> float:
        """Share of the variance that the code leaves out; 0 of a layer that does not vary."""
        total = self.variance
        return 1.0 - float(self.clean.var(axis=0).sum()) / total if total else 0.0


def folds_of(n: int, folds: int, rng: np.random.Generator) -> list[IntArray]:
    """Return folds of at least 50 samples, or none if not even 3 fit."""
    wanted = min(folds, n // SMALLEST_SAMPLE)
    return disjoint_folds(n, wanted, rng) if wanted >= 3 else []


def root_mean_square(activations: Tensor) -> float:
    """Return the root mean square over samples and units, read in chunks."""
    total = sum(float((double(chunk) ** 2).sum()) for chunk in row_chunks(activations))
    return math.sqrt(total / math.prod(activations.shape))


def largest_dim(n: int, n_components: int) -> int:
    """Return the largest dimension that ``n`` samples support: n >= 200 * 2^(q/2), at most 10."""
    supported = int(2.0 * math.log2(max(n, 1) / 200.0)) if n > 200 else 1
    return max(1, min(LARGEST_DIM, supported, n_components))


def holds_noise(codes: list[Code], noise: float, noisy: bool | None = None) -> bool:
    """Return whether a layer contains the noise at every checkpoint, by its data unless ``noisy``.

    Too few samples for an estimate do not tell.
    """
    if noisy is not None:
        return noisy
    return all(
        len(code.scores) >= SMALLEST_SAMPLE and may_contain_noise(code.scores, noise)
        for code in codes
    )


def choose_dim(
    codes: list[Code], noise: float, n: int, contained: bool = False, *, share: float
) -> int:
    """Return the smallest dimension that loses little of I(X;T) at every checkpoint.

    Parameters
    ----------
    codes : list of Code
        The layer at a few checkpoints, on one basis; their ``dim`` does not matter.
    noise : float
        Standard deviation of the noise of each unit.
    n : int
        Samples that the estimates will have; the codes may hold fewer.
    contained : bool, default False
        Whether the codes contain the noise already.
    share : float
        Of I(X;T), that may be lost.
    """
    trial, components = codes[0].scores.shape
    cap = largest_dim(n, components)
    varied = [code for code in codes if code.variance > 0.0]
    if trial < SMALLEST_SAMPLE:
        return cap
    for dim in _CANDIDATES:
        if dim >= cap:
            break
        if all(
            loss_bound(code, dim, noise, contained) <= share * _trial(code, dim, noise, contained)
            for code in varied
        ):
            return dim
    return cap


def stability(
    codes: list[Code], dim: int, noise: float, contained: bool = False
) -> dict[str, list[float]]:
    """Return trial estimates of I(X;T_c) in bits at half, the chosen and twice the dimension.

    Keys are the dimensions, values one estimate per code, each from at most 1000 samples.
    """
    n, components = codes[0].scores.shape
    if n < SMALLEST_SAMPLE:
        return {}
    dims = sorted({max(1, dim // 2), dim, min(2 * dim, components)})
    varied = [code for code in codes if code.variance > 0.0]
    return {str(d): [_trial(code, d, noise, contained) for code in varied] for d in dims}


def loss_bound(code: Code, dim: int, noise: float, contained: bool) -> float:
    """Return how many bits of I(X;T) the first ``dim`` directions lose at most."""
    return activation_loss_bound(
        code.scores,
        dim,
        noise,
        n_units=code.n_units,
        residual_variance=code.residual_variance,
        contained=contained,
    )


def _trial(code: Code, dim: int, noise: float, contained: bool) -> float:
    """Return I(X;T_c) at one dimension from a part of the samples."""
    some = code.scores[:: max(1, len(code.scores) // _TRIAL_SAMPLES), :dim]
    if contained:
        return noise_information(some, noise).bits
    draw = generator(0, "trial dimension").standard_normal(some.shape)
    return noise_information(some + noise * draw, noise, clean=some).bits

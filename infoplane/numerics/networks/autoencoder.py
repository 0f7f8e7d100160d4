"""A learned compression of inputs: principal components, then a small autoencoder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import scipy

from infoplane.data import Array, FloatArray, checked_activations
from infoplane.errors import InputError
from infoplane.numerics.networks.dimension import Surface, scores_dimension, surface_of
from infoplane.numerics.networks.gaussianization import Gaussianization, fit_gaussianization
from infoplane.numerics.networks.training import Maps, trained_encoders
from infoplane.numerics.projection import PrincipalBasis, principal_basis

_VERSION = 5  # of the recipe; part of the content hash
_STARTS = 3  # the one of least error is kept: one in five folds the code onto itself
_KEPT = 16  # encoders and surfaces that a process remembers; the oldest go
_kept: dict[str, Any] = {}
_Kept = TypeVar("_Kept")


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
    """Train an autoencoder on inputs; once per process, content and settings.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        Finite; at least 50 samples.
    dim : int, optional
        Dimension of the code. Unless given, that of the surface that the inputs lie on, see
        `surface_of`; where there is none, the intrinsic dimension of the inputs, rounded.
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
    array = _checked(inputs)
    where = device or "cpu"
    settings = (dim, seed, steps, hidden) if where == "cpu" else (dim, seed, steps, hidden, "gpu")
    key = _content_hash(array, *settings)
    return _remembered(key, lambda: _trained_on(array, dim, seed, steps, hidden, key, where))


def learned_surface(inputs: Array, *, seed: int = 0, device: str | None = None) -> Surface | None:
    """Return the surface that inputs lie on, see `surface_of`; found once per process."""
    array = _checked(inputs)
    key = _content_hash(array, "surface", seed)

    def found() -> Surface | None:
        return surface_of(_scores(array, np.random.default_rng(seed))[1], seed, device or "cpu")

    return _remembered(key, found)


def _remembered(key: str, make: Callable[[], _Kept]) -> _Kept:
    """Return what this process has made under a key before, or make it."""
    if key not in _kept:
        made = make()
        while len(_kept) >= _KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = made
    return cast("_Kept", _kept[key])


def _checked(inputs: Array) -> Array:
    array = checked_activations(inputs, name="inputs")
    if len(array) < 50:
        raise InputError(f"expected at least 50 inputs, got {len(array)}")
    return array


def _scores(array: Array, rng: np.random.Generator) -> tuple[PrincipalBasis, FloatArray, float]:
    """Return the first step, its scores on one scale, and the scale."""
    basis = _sufficient_basis(array, rng)
    scores, _ = basis.project(array)
    scale = math.sqrt(float(scores.var(axis=0).mean()))
    if scale == 0.0:
        raise InputError("expected inputs that vary, got constant ones")
    return basis, scores / scale, scale


def _trained_on(
    array: Array, dim: int | None, seed: int, steps: int, hidden: int, key: str, device: str
) -> Autoencoder:
    rng = np.random.default_rng(seed)
    basis, scores, scale = _scores(array, rng)
    if dim is None:
        surface = learned_surface(array, seed=seed, device=device)
        dim = surface.dim if surface else max(1, round(scores_dimension(scores, rng)))
    width = scores.shape[1]
    layers: Maps = ((np.eye(width), np.zeros(width)),)
    error = 0.0
    if dim < width:  # else there is nothing to compress
        tried = trained_encoders(scores, [dim] * _STARTS, steps, hidden, rng, device)
        layers, error = min(tried, key=lambda found: found[1])
    last = fit_gaussianization(_codes(scores, layers), rng)
    return Autoencoder(basis, scale, layers, last, error, key)


def _sufficient_basis(array: Array, rng: np.random.Generator) -> PrincipalBasis:
    """Return the components that hold 99 % of the variance, at most 64."""
    basis = principal_basis(array, min(64, *array.shape), rng)
    shares = np.cumsum(basis.variances) / max(basis.total_variance, np.finfo(float).tiny)
    kept = min(int(np.searchsorted(shares, 0.99)) + 1, basis.n_components)
    return PrincipalBasis(
        basis.mean, basis.components[:, :kept], basis.variances[:kept], basis.total_variance
    )


def _codes(scores: FloatArray, layers: Maps) -> FloatArray:
    """Return what affine maps with SiLU between them make of scores (n_samples, n_components)."""
    values = scores
    for index, (weights, bias) in enumerate(layers):
        values = values @ weights + bias
        if index < len(layers) - 1:
            values *= scipy.special.expit(values)
    return values


def _content_hash(array: Array, *settings: object) -> str:
    digest = hashlib.sha256(repr((_VERSION, array.shape, str(array.dtype), *settings)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]

"""Codes of the two views of the modes without noise: principal components, or learned ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infoplane.data import Array, FloatArray, checked_activations
from infoplane.errors import EstimationError
from infoplane.numerics.codes import Code
from infoplane.numerics.neighbors.estimates import intrinsic_dimension
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.neighbors.terms import whitened
from infoplane.numerics.networks.autoencoder import fit_autoencoder, learned_surface
from infoplane.numerics.projection import PrincipalBasis
from infoplane.numerics.tensors import checked_squares

LOST_VARIANCE = 0.05
"""Share of the variance of layer or inputs that a code may leave out without a flag."""

_NARROW = 4  # dimension up to which a view is its own code, and largest of principal components
_TRIED_DIMS = 10
_DIMENSION_SAMPLES = 2000
_ROUNDING = 1e-13  # share of the variance that rounding to single precision leaves at most
_STRAIGHT = 2.0  # times what an autoencoder leaves out is as good, without its training


@dataclass(frozen=True, eq=False)
class InputCode:
    """The code of the inputs, hash of its encoder, share of the variance that it does not give."""

    values: FloatArray  # (n_samples, n_dims)
    encoder: str | None = None
    lost: float = 0.0


def layer_code(
    layer: Array, basis: PrincipalBasis, dim: int | None, seed: int
) -> tuple[Code, str | None]:
    """Return the code of a layer that is compared with inputs, and the hash of its autoencoder.

    Principal components are the code as long as they leave out at most 5 % of the variance, and all
    of them are that of a layer of up to 4 units unless ``dim`` is given. A wider layer on a surface
    that they would fold goes through an autoencoder, as the inputs do; one that fills more
    dimensions than a code can have, or than ``dim``, stays with its principal components.

    Parameters
    ----------
    layer : array (n_samples, n_units)
        Activations.
    basis : PrincipalBasis
        Principal components of the layer.
    dim : int, optional
        Dimension of the code.
    seed : int
        Of the training.
    """
    scores, residual = basis.project(layer)
    width = layer.shape[1]
    code = Code(scores, min(dim or view_dim(scores), scores.shape[1]), width, residual)
    if code.lost_variance <= LOST_VARIANCE or len(layer) < SMALLEST_SAMPLE:
        return code, None
    if dim is None and width <= _NARROW:
        return replace(code, dim=scores.shape[1]), None
    surface = learned_surface(layer, seed=seed)
    if surface is None or (dim is not None and dim < surface.dim):
        return code, None  # a line through a surface would run to and fro
    wanted = replace(code, dim=min(dim or surface.dim, scores.shape[1]))
    if dim is None and wanted.lost_variance <= _STRAIGHT * surface.error:
        return wanted, None
    return learned_code(layer, seed, wanted.dim)


def learned_code(layer: Array, seed: int, dim: int | None) -> tuple[Code, str | None]:
    """Return the code of a layer by an autoencoder, and the hash of that."""
    learned = compressed_inputs(layer, seed, dim=dim)
    values = learned.values
    left_out = float(values.var(axis=0).sum()) * learned.lost / max(1 - learned.lost, 1e-12)
    return Code(values, values.shape[1], layer.shape[1], left_out), learned.encoder


def compressed_inputs(
    inputs: Array, seed: int, device: str | None = None, dim: int | None = None
) -> InputCode:
    """Return the code of the inputs, of the dimension they have unless ``dim`` is given.

    Inputs of up to 4 numbers are their own code, unless a smaller ``dim`` is given; wider ones go
    through an autoencoder, which is trained on the torch ``device`` if one is given. Too few
    samples, or samples that do not vary, stay as they are: they have no estimate to be coded for.
    """
    flat = checked_activations(inputs.reshape(len(inputs), -1), name="inputs")
    flat = checked_squares(flat, "inputs")
    narrow = flat.shape[1] <= (_NARROW if dim is None else dim)
    if narrow or len(flat) < SMALLEST_SAMPLE or not np.ptp(flat, axis=0).any():
        return InputCode(np.asarray(flat, dtype=np.float64))
    encoder = fit_autoencoder(flat, dim, seed=seed, device=device)
    return InputCode(encoder.encode(flat), encoder.content_hash, encoder.error)


def view_dim(scores: FloatArray) -> int:
    """Return the dimension of a layer's code: its intrinsic dimension rounded, at most 4."""
    some = full_rank(scores[:_DIMENSION_SAMPLES, :_TRIED_DIMS])
    if some.shape[1] == 0 or len(some) < SMALLEST_SAMPLE:
        return 1
    try:
        found = intrinsic_dimension(some, min(20, len(some) - 1))
    except EstimationError:
        found = 1.0
    return int(max(1, min(_NARROW, round(found), scores.shape[1])))


def spanned(scores: FloatArray) -> FloatArray:
    """Return principal scores without directions that hold below 1e-13 of the largest variance.

    They are rounding errors of a layer that lies in fewer dimensions, and would count as much as
    the others once all are on one scale. Units a million times smaller than others hold more.
    """
    variances = scores.var(axis=0)
    kept = variances >= _ROUNDING * variances.max()
    return scores if kept.all() else scores[:, kept]


def full_rank(code: FloatArray) -> FloatArray:
    """Return the code without directions that hold below 1e-10 of the largest variance."""
    centred = code - code.mean(axis=0)
    spread = centred.std(axis=0)
    # An offset leaves rounding errors of its own size behind; they are no variance.
    varied = spread > 1e-12 * np.abs(code).max(axis=0)
    if not varied.any():
        return np.empty((len(code), 0))
    kept = centred[:, varied]
    try:
        whitened(kept)
    except EstimationError:
        values, vectors = np.linalg.eigh(kept.T @ kept / len(kept))
        return np.asarray(kept @ vectors[:, values > 1e-10 * values[-1]])
    return np.asarray(kept)

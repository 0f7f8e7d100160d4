"""The dimension of the surface that wide arrays lie on, by what autoencoders of them leave out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import EstimationError
from infoplane.numerics.neighbors.estimates import intrinsic_dimension
from infoplane.numerics.networks.training import trained_encoders

_SAMPLES = 5000
_DIMENSION_SAMPLES = 2000
_LARGEST = 10
_STARTS = 3  # of each dimension: one in ten folds its code, and errs for want of it
_STEPS = 1000
_HIDDEN = 128
_HELD_OUT = 5  # one sample in so many
_GAIN = 0.7  # share of the error that is left by a column which belongs to the surface
_NEGLIGIBLE = 0.01  # error, as a share of the variance, below which there is nothing more to find
_LARGEST_ERROR = 0.3  # beyond, there is no surface of so few dimensions


@dataclass(frozen=True)
class Surface:
    """Dimension of a surface, and the share of the variance that codes of it left out."""

    dim: int
    error: float


def scores_dimension(scores: FloatArray, rng: np.random.Generator) -> float:
    """Return the intrinsic dimension of principal scores (n_samples, n_components)."""
    some = scores[rng.permutation(len(scores))[:_DIMENSION_SAMPLES]]
    return intrinsic_dimension(some, min(20, len(some) - 1))


def surface_of(scores: FloatArray, seed: int, device: str = "cpu") -> Surface | None:
    """Return the surface that samples lie on, or None if they fill their dimensions.

    Distances overrate the dimension of images: an edge that moves by a pixel goes a way as long as
    one that moves by ten, at right angles. What an autoencoder leaves out of samples that it was
    not trained on falls with every column of its code, but falls steeply up to the dimension of
    the surface alone. That is the last column which removes 30 % of what was left, up to an error
    of 1 % and one dimension above the intrinsic one.

    Parameters
    ----------
    scores : array (n_samples, n_components)
        Principal scores, of unit variance on average.
    seed : int
        Of the choice of samples and the training.
    device : str
        torch device.
    """
    rng = np.random.default_rng([seed, 1])
    try:
        highest = round(scores_dimension(scores, rng)) + 1
    except EstimationError:
        return None
    dims = range(1, min(highest, _LARGEST, scores.shape[1]) + 1)
    some = scores[rng.permutation(len(scores))[:_SAMPLES]]
    held_out = len(some) // _HELD_OUT
    starts = [dim for dim in dims for _ in range(_STARTS)]
    tried = trained_encoders(some[held_out:], starts, _STEPS, _HIDDEN, rng, device, some[:held_out])
    least = np.array([error for _, error in tried]).reshape(len(dims), _STARTS).min(axis=1)
    errors = [1.0, *least.tolist()]
    found = 0
    for dim, (before, after) in enumerate(pairwise(errors), start=1):
        if before <= _NEGLIGIBLE:
            break
        if after < _GAIN * before:
            found = dim
    return Surface(found, errors[found]) if errors[found] <= _LARGEST_ERROR else None

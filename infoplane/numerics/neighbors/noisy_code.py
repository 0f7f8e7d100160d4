"""A code with Gaussian noise: draws of it, and I(X;T_c) of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.codes import Code, folds_of
from infoplane.numerics.neighbors.estimates import kozachenko_leonenko_entropy
from infoplane.numerics.neighbors.noise_channel import (
    SMALLEST_SAMPLE,
    NoiseInformation,
    averaged,
    default_neighbors,
    noise_entropy,
    noise_information,
    recorded_information,
    reference_bias,
)
from infoplane.numerics.neighbors.terms import LOG2_E

_DRIFT_SAMPLES = 2000  # in the folds that tell how far the estimate moves with n


@dataclass(frozen=True, eq=False)
class NoisyCode:
    """A code with noise, and what it tells about the input.

    Parameters
    ----------
    draws : list of arrays (n_samples, q)
        The code with each draw of the noise, or as recorded if that contains it.
    folds : list of arrays
        Indices of disjoint folds of the samples.
    information : NoiseInformation
        I(X;T_c), averaged over the draws.
    """

    draws: list[FloatArray]
    folds: list[IntArray]
    information: NoiseInformation


def noisy_code(
    code: Code,
    noise: float,
    rng: np.random.Generator,
    *,
    contained: bool,
    draws: int,
    folds: int,
    k: int | None = None,
    device: str | None = None,
) -> NoisyCode:
    """Return a code with noise, and its I(X;T_c).

    Parameters
    ----------
    code : Code
        The projected layer.
    noise : float
        Standard deviation of the noise of each unit, above 0.
    rng : numpy.random.Generator
        Draws the noise and the folds.
    contained : bool
        Whether the code contains the noise already.
    draws, folds : int
        Draws of the noise, where it is added, and folds.
    k : int, optional
        Neighbours.
    device : str, optional
        torch device that searches for them.

    Raises
    ------
    EstimationError
        If the code is degenerate.
    """
    clean, added = (None, 0.0) if contained else (code.clean, noise)

    def noisy() -> FloatArray:
        return code.clean + added * rng.standard_normal(code.clean.shape)

    made = [noisy()]
    parts = folds_of(len(code.scores), folds, rng)
    made += [noisy() for _ in range(0 if contained else draws - 1)]
    few = parts[: max(2, _DRIFT_SAMPLES * len(parts) // len(code.scores))]
    each = [noise_information(one, noise, k, few, clean, rng, device) for one in made]
    return NoisyCode(made, parts, averaged(each))


def mean_recorded_information(
    code: Code, draws: list[FloatArray], noise: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return I(X;T_c) in bits, if X takes the recorded values only, and its standard error."""
    each = [recorded_information(code.clean, one, noise, rng) for one in draws]
    bits, error = np.mean(each, axis=0).tolist()
    return bits, error


def conditional_information(code: FloatArray, noise: float, labels: IntArray) -> float | None:
    """Return I(X;T_c|Y) = sum_y p(y) h(T_c|y) - h(noise) in bits, or None if a class is too small.

    Y is a function of X here: given the input, the code varies by its noise alone.
    """
    n, q = code.shape
    total = 0.0
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        k = default_neighbors(int(size), q)
        if size < max(5 * k, 20 * q, SMALLEST_SAMPLE):
            return None
        bias = reference_bias(int(size), k, q) * LOG2_E
        members = code[labels == label]
        total += size / n * (kozachenko_leonenko_entropy(members, k, whiten=True) - bias)
    return float(total) - noise_entropy(q, noise) * LOG2_E

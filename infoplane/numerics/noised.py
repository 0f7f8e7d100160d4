"""A layer with and without Gaussian noise, in few columns, as estimators from samples read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import EstimationError
from infoplane.numerics.compression import MOST_LOSS, Layer
from infoplane.numerics.kernels.bracket import support
from infoplane.numerics.projection import principal_basis
from infoplane.numerics.tensors import Tensor, fetched

RESOLVED = 4.0
"""Rounding steps that a layer must vary by."""


@dataclass(frozen=True, eq=False)
class NoisyLayer:
    """A layer, and the same with noise, in units of its median distance.

    Parameters
    ----------
    clean, noisy : array (n_samples, n_columns)
        Without and with noise.
    sigma : float
        Standard deviation of the noise of each unit, in the units of the layer.
    c : float
        The same in median distances.
    lost : float
        Bits that the columns may have lost of any information of the noisy layer.
    """

    clean: FloatArray
    noisy: FloatArray
    sigma: float
    c: float
    lost: float


def noisy_layer(
    activations: Tensor, noise: float, most: int, rng: np.random.Generator, *, relative: bool
) -> NoisyLayer:
    """Add noise to a layer that varies.

    It is projected first on the fewest directions that lose next to nothing at this noise, on
    ``most`` of them at most. White noise of the units is white noise of such scores.

    Parameters
    ----------
    activations : array or tensor (n_samples, n_units)
        The layer.
    noise : float
        Standard deviation of the noise of each unit; in median distances if ``relative``.
    most : int
        Columns at most.
    rng : numpy.random.Generator
        Draws the noise, and directions.
    relative : bool
        What the noise is counted in.

    Raises
    ------
    EstimationError
        If what varies is rounding error.
    """
    found = support(fetched(activations))
    layer = Layer(activations, found)
    if layer.median <= RESOLVED * layer.spacing:
        raise EstimationError(
            f"the layer varies by {layer.median:.2g}, next to the spacing {layer.spacing:.2g} of "
            "its numbers: it is rounding error"
        )
    c = noise if relative else noise / layer.median
    points = layer.points(c, rng)
    scores, lost = np.asarray(fetched(points.scores), dtype=np.float64), points.loss(c)
    if scores.shape[1] > 1:
        scores, more = _leading(scores, c, most, rng)
        lost += more
    clean = scores[found.entries]
    noisy = clean + c * rng.standard_normal(clean.shape)
    return NoisyLayer(clean, noisy, c * layer.median, c, lost)


def _leading(
    scores: FloatArray, c: float, most: int, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """Return the leading components of scores, and the bits that the others may hold."""
    width = scores.shape[1]
    basis = principal_basis(scores, width, rng)
    held = 0.5 * np.log2(1.0 + basis.variances / c**2)
    left = np.append(np.cumsum(held[::-1])[::-1], 0.0)  # by the number of those that are kept
    kept = min(most, int(np.argmax(left <= MOST_LOSS)))
    kept = max(kept, 1)
    return basis.project(scores)[0][:, :kept], float(left[kept])

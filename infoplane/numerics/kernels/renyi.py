"""Matrix-based Renyi information: entropies of the eigenvalues of normalised Gram matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy

from infoplane.arrays import magnitude
from infoplane.data import Array, FloatArray, IntArray, checked_activations
from infoplane.errors import InputError
from infoplane.numerics.kernels.gram import (
    class_gram,
    exponents,
    resolved_distances,
    square_distances,
)

Width: TypeAlias = float | Literal["silverman", "median", "alignment"]

MOST_SAMPLES = 2000  # eigenvalues cost n^3
GRID = 300  # widths that are tried for the alignment
_NEAR_ONE = 0.1  # orders whose power sum is 1 but for a little
NARROWEST = 0.3  # of them, whatever the scale of the data; the widest is 10 mean distances


@dataclass(frozen=True, eq=False)
class Reference:
    """One side of an information, prepared for many others.

    Parameters
    ----------
    gram : float array (n_samples, n_samples)
        Its Gram matrix.
    width : float
        Kernel width.
    entropy : float
        Its entropy in bits.
    orders : tuple of int arrays (n_samples,)
        Shuffles for the null.
    """

    gram: FloatArray
    width: float
    entropy: float
    orders: tuple[IntArray, ...]


def renyi_reference(
    b: Array,
    alpha: float,
    *,
    width: Width = "silverman",
    half: bool = True,
    shuffles: int = 5,
    rng: np.random.Generator,
) -> Reference:
    """Return inputs or labels prepared for ``information_with``; see ``renyi_information``."""
    if not 0 < alpha < np.inf:
        raise InputError(f"expected alpha > 0, and finite, got {alpha}")
    b = np.asarray(b)
    if len(b) > MOST_SAMPLES and alpha != 2:
        raise InputError(
            f"expected at most {MOST_SAMPLES} samples, got {len(b)}",
            hint="use a subsample, or alpha=2",
        )
    gram, used = gram_matrix(b, width, half=half)
    orders = tuple(rng.permutation(len(b)) for _ in range(shuffles))
    return Reference(gram, used, matrix_entropy(gram, alpha), orders)


def matrix_entropy(gram: FloatArray, alpha: float) -> float:
    """Return the Renyi entropy of order ``alpha``, in bits, of ``gram`` (n, n) over its trace."""
    trace = float(np.trace(gram))
    if alpha == 2:
        return float(-np.log2(np.square(gram / trace).sum()))
    eigenvalues = np.linalg.eigvalsh(gram / trace)
    shares = eigenvalues[eigenvalues > len(gram) * np.finfo(np.float64).eps]  # no rounding errors
    logs = np.log(shares)
    if alpha == 1:
        return float(-(shares @ logs) / math.log(2))
    if abs(alpha - 1) < _NEAR_ONE:  # what the sum of powers is beyond 1, with all its digits
        rest = np.log1p(shares / shares.sum() @ np.expm1((alpha - 1) * logs))
    else:
        rest = scipy.special.logsumexp(alpha * logs)
    return float(rest / (1 - alpha) / math.log(2))


def gram_matrix(x: Array, width: Width, *, half: bool = True) -> tuple[FloatArray, float]:
    """Return the Gaussian Gram matrix (n, n) of ``x`` and the width used; 0 for class ids."""
    x = np.asarray(x)
    if x.ndim == 1:
        if x.dtype.kind not in "iub":
            raise InputError(f"expected class ids or shape (n_samples, n_units), got {x.dtype}")
        return class_gram(x), 0.0
    points = checked_activations(x).astype(np.float64)
    points, unit = points / magnitude(points), magnitude(points)
    own: float | None = None
    if width == "silverman":
        (n, d), spread = points.shape, points.std(axis=0)
        points, unit = points / np.where(spread > 0, spread, 1.0), 1.0
        own = float(np.sqrt(d) * n ** (-1 / (4 + d)))
    elif width != "median":
        if isinstance(width, str) or not 0 < width < np.inf:
            raise InputError(f"expected a width above 0, 'silverman' or 'median', got {width!r}")
        own = float(width) / unit
    squares, used = resolved_distances(points, own)
    return np.exp((2 - half) * exponents(squares, used)), used * unit


def aligned_width(x: Array, target: FloatArray, *, half: bool = True) -> float:
    """Return the width whose Gram matrix of ``x`` is best aligned with ``target`` (n, n).

    The alignment is <K, target> / (|K| |target|) with the Frobenius inner product; the widths tried
    are 300 equally spaced ones from 0.3, whatever the scale of ``x``, to 10 mean distances.

    Raises
    ------
    InputError
        If all rows of ``x`` are equal.
    """
    distances = square_distances(checked_activations(x).astype(np.float64))
    mean = float(np.sqrt(distances).mean())
    if mean == 0:
        raise InputError("expected rows that differ, for a width by alignment; all are equal")
    n = len(distances)
    pairs = np.triu_indices(n, 1)
    apart, wanted, own = distances[pairs], target[pairs], float(np.trace(target))
    scores = []
    widths = np.linspace(NARROWEST, 10 * mean, GRID)
    for width in widths:
        kernel = np.exp(apart / (-(1 + half) * width**2))
        scores.append((own + 2 * float(kernel @ wanted)) / np.sqrt(n + 2 * float(kernel @ kernel)))
    return float(widths[int(np.argmax(scores))])

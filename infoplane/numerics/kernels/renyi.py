"""Matrix-based Renyi information: entropies of the eigenvalues of normalised Gram matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import logsumexp

from infoplane.arrays import magnitude
from infoplane.data import Array, FloatArray, IntArray, checked_activations
from infoplane.errors import InputError
from infoplane.numerics.kernels.gram import (
    class_gram,
    exponents,
    kernel_flags,
    resolved_distances,
    square_distances,
)
from infoplane.numerics.nulls import Null

Width: TypeAlias = float | Literal["silverman", "median", "alignment"]

MOST_SAMPLES = 2000  # eigenvalues cost n^3
GRID = 300  # widths that are tried for the alignment
_NEAR_ONE = 0.1  # orders whose power sum is 1 but for a little
NARROWEST = 0.3  # of them, whatever the scale of the data; the widest is 10 mean distances


@dataclass(frozen=True)
class RenyiInformation:
    """Matrix-based information of two representations of the same samples, in bits.

    Parameters
    ----------
    information : float
        S(A) + S(B) - S(A o B).
    permuted : Null
        Its values of shuffled pairs. Only the excess over their mean says that A and B share
        something.
    entropy_a, entropy_b : float
        S(A) and S(B).
    width_a, width_b : float
        Kernel widths that were used.
    alpha : float
        Order of the entropy.
    n_samples : int
        Number of samples.
    flags : tuple of str
        What to know before it is trusted: ``constant``; ``degenerate``, a kernel so wide that all
        samples are alike; ``sparse``, one so narrow that most are alone; ``small_n``, below 20
        samples; ``null_dominates``, shuffled pairs give more than half of ``information``;
        ``within_null``, the excess is one of shuffled pairs.
    """

    information: float
    permuted: Null
    entropy_a: float
    entropy_b: float
    width_a: float
    width_b: float
    alpha: float
    n_samples: int
    flags: tuple[str, ...] = ()

    @property
    def null(self) -> float | None:
        """Mean over shuffled pairs; None without any."""
        return self.permuted.mean

    @property
    def null_sd(self) -> float | None:
        """Standard deviation over shuffled pairs; None of fewer than two."""
        return self.permuted.sd

    @property
    def excess(self) -> float | None:
        """``information - null``."""
        return self.permuted.excess(self.information)


def renyi_information(
    a: Array,
    b: Array,
    alpha: float = 1.01,
    *,
    width: Width = "silverman",
    width_b: Width | None = None,
    half: bool = True,
    shuffles: int = 5,
    rng: np.random.Generator | None = None,
) -> RenyiInformation:
    """Return the matrix-based Renyi information of order ``alpha`` of ``a`` and ``b``, in bits.

    K_ij = exp(-|x_i - x_j|^2 / 2 w^2), A = K / trace K, S(A) = log2(sum eigenvalue^alpha) /
    (1 - alpha), and the joint entropy is that of the element-wise product, normalised likewise.

    Parameters
    ----------
    a, b : array (n_samples, ...)
        Two representations of the same samples, e.g. activations and inputs. One-dimensional
        integers are class ids: their kernel is 1 within a class and 0 between classes.
    alpha : float, default 1.01
        Order, positive. 1 is the von Neumann entropy; 2 needs no eigenvalues and is much faster.
    width : float or str, default "silverman"
        Kernel width w of ``a``, and of ``b`` unless ``width_b`` is given. ``silverman``: units are
        scaled to standard deviation 1 and w = sqrt(d) n^(-1/(4+d)); ``median``: the median distance
        of two rows that differ; ``alignment``: the one of 300
        widths from 0.3 to 10 mean distances whose kernel is closest to that of ``b``.
    width_b : float or str, optional
        Kernel width of ``b``; ``alignment`` is for ``a`` alone.
    half : bool, default True
        Whether the exponent is -d^2 / 2w^2; False means -d^2 / w^2, as in part of the literature.
        The numbers differ: state which was used.
    shuffles : int, default 5
        Shuffles of the pairs for ``null``; 0 leaves it out.
    rng : numpy.random.Generator, optional
        Source of the shuffles; by default a generator with seed 0.

    Raises
    ------
    InputError
        If shapes, alpha or widths do not fit, or there are more than 2000 samples and alpha is not
        2: the cost grows with their cube.

    References
    ----------
    Giraldo, Rao, Principe: "Measures of entropy from data using infinitely divisible kernels",
    IEEE Trans. Information Theory 61, 2015. Width by alignment: Wickstrom et al.: "Information
    plane analysis of deep neural networks via matrix-based Renyi's entropy and tensor kernels",
    2019.

    Examples
    --------
    Four classes of equal size, known exactly, hold two bits at every order:

    >>> import numpy as np
    >>> labels = np.arange(100) % 4
    >>> round(renyi_information(labels, labels, alpha=2).information, 9)
    2.0
    """
    a = np.asarray(a)
    rng = np.random.default_rng(0) if rng is None else rng
    reference = renyi_reference(
        b,
        alpha,
        width=("silverman" if width == "alignment" else width) if width_b is None else width_b,
        half=half,
        shuffles=shuffles,
        rng=rng,
    )
    if len(a) != len(reference.gram):
        raise InputError(f"expected as many rows of b as of a, {len(a)}, got {len(b)}")
    if width == "alignment":
        width = aligned_width(a, reference.gram, half=half)
    return information_with(*gram_matrix(a, width, half=half), reference, alpha)


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


def information_with(
    gram: FloatArray, width: float, reference: Reference, alpha: float
) -> RenyiInformation:
    """Return the information between a Gram matrix (n, n) of this width and a reference."""
    entropy = matrix_entropy(gram, alpha)
    total = entropy + reference.entropy
    null = Null(
        tuple(
            total - matrix_entropy(gram * reference.gram[np.ix_(order, order)], alpha)
            for order in reference.orders
        )
    )
    information = total - matrix_entropy(gram * reference.gram, alpha)
    kernels = (gram, width), (reference.gram, reference.width)
    return RenyiInformation(
        information,
        null,
        entropy,
        reference.entropy,
        width,
        reference.width,
        alpha,
        len(gram),
        kernel_flags(kernels, null.flags(information)),
    )


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
        rest = logsumexp(alpha * logs)
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

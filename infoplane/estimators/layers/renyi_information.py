"""Matrix-based Renyi information of two samples, its null, and what to know before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.estimators.kernel_flags import kernel_flags
from infoplane.numerics.kernels.renyi import (
    Reference,
    Width,
    aligned_width,
    gram_matrix,
    matrix_entropy,
    renyi_reference,
)
from infoplane.numerics.nulls import Null


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
        kernel_flags(kernels, information, null),
    )

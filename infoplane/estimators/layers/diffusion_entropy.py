"""Diffusion spectral entropy of a set of points, with what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import InputError
from infoplane.estimators.trust import SMALLEST_BITS, is_saturated
from infoplane.numerics.diffusion.bandwidth import Sigma, check_sigma
from infoplane.numerics.diffusion.kernel import Normalization
from infoplane.numerics.diffusion.points import checked_points, mean_squared_cosine
from infoplane.numerics.diffusion.space import (
    DiffusionOptions,
    DiffusionSpace,
    Method,
    SpectrumOfSet,
    diffusion_space,
    diffusion_times,
    subset,
)

SMALL_N = 30
"""Points, or samples of a class, below which an entropy is not relied on."""

FEWEST_NEIGHBORS = 1.5
"""Mean degree, the point itself included, below which points hardly have neighbours."""

SMALLEST_TRACE = 0.05
"""Sum of the eigenvalues but the first below which nothing is left of the spectrum."""


@dataclass(frozen=True, eq=False)
class DiffusionEntropy:
    """Diffusion spectral entropy of one set of points.

    Attributes
    ----------
    bits : float or array (n_times,)
        The entropy; an array if several diffusion times were asked for.
    standard_error : float or array (n_times,)
        Numerical uncertainty of the method (0 if exact), not of the sample.
    sigma : float
        Bandwidth that was used.
    diagnostics : mapping
        Scale, degree, trace, leading eigenvalues, how it was computed.
    flags : tuple of str
        ``saturated``: hardly any neighbours, the value is log2 n whatever the data;
        ``degenerate``: the bandwidth is so wide, or the points so equal, that nothing is left;
        ``constant``: all points are equal; ``small_n``, ``subsampled``; ``atoms``: the median
        distance is 0; ``out_of_range``: the bandwidth was too small to resolve and was raised.
    """

    bits: float | FloatArray
    standard_error: float | FloatArray
    sigma: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def diffusion_spectral_entropy(
    x: Any,
    *,
    sigma: Sigma = "median",
    t: float | Sequence[float] = 1,
    normalization: Normalization = "official",
    alpha: float = 0.5,
    method: Method = "auto",
    dtype: str | None = None,
    max_samples: int = 10_000,
    seed: int = 0,
) -> DiffusionEntropy:
    """Diffusion spectral entropy of a set of points, in bits.

    The eigenvalues λ of the diffusion kernel, taken to the power t and divided by their sum, have
    a Shannon entropy between 0 (one cluster at this bandwidth) and log2 n (no two points are
    neighbours). It depends on the bandwidth and, until n is large, on n: compare values at one n
    and one rule for sigma only.

    Parameters
    ----------
    x : array or torch.Tensor (n_samples, n_units)
        Real and finite. A CUDA tensor is computed on its device.
    sigma : float or {"median", "rms", "sqrtd", "l2"}
        Bandwidth of the Gaussian kernel. ``median`` and ``rms`` follow the scale of the data
        (distance / sqrt 2), ``sqrtd`` is the root of the number of units, ``l2`` brings rows to
        length 1 and takes 1. The paper takes 10.
    t : float or sequence of float
        Diffusion time, above 0; one spectrum serves all.
    normalization : {"official", "rowstochastic"}
        ``official`` is what the published numbers were computed with; ``rowstochastic`` with
        ``alpha`` 1/2 is the operator the paper defines.
    alpha : float
        Exponent of the density for ``rowstochastic``, in [0, 1].
    method : {"auto", "quick", "exact", "slq"}
        ``exact`` takes all eigenvalues, ``slq`` stochastic Lanczos quadrature (about 0.01 bit);
        ``auto`` is exact up to 4000 samples, in float64 up to 2000, ``quick`` up to 1000 and 512.
    dtype : {"float64", "float32"}, optional
        Of kernel and spectrum; None is float64 for ``exact`` and float32 for ``slq``, unless the
        kernel is so wide that float32 would not do.
    max_samples : int
        Larger sets are subsampled, and flagged.
    seed : int
        Draws the subsample and the probes of ``slq``.

    Returns
    -------
    DiffusionEntropy

    Raises
    ------
    InputError
        If an argument is unfit.
    EstimationError
        If the spectrum cannot be computed.

    References
    ----------
    Liao et al.: "Assessing Neural Network Representations During Training Using Noise-Resilient
    Diffusion Spectral Entropy", arXiv 2312.04823, definition IV.1.

    Examples
    --------
    >>> import numpy as np
    >>> far_apart = 100.0 * np.eye(8)
    >>> round(diffusion_spectral_entropy(far_apart, sigma=1.0).bits, 6)
    3.0
    """
    times, several = diffusion_times(t)
    options = DiffusionOptions(times, normalization, alpha, method, dtype, seed)
    if max_samples < 1:
        raise InputError(f"expected max_samples of at least 1, got {max_samples}")
    check_sigma(sigma)
    x = checked_points(x)
    n_given = len(x)
    if n_given > max_samples:
        x = x[sorted(subset(n_given, max_samples, seed))]
    space = diffusion_space(x, sigma, options)
    found = space.entropy()
    flags = set_flags(space, found, 0)
    if n_given > max_samples:
        flags = (*flags, "subsampled")
    bits, errors = found.spectral.bits, found.spectral.errors
    return DiffusionEntropy(
        bits=bits if several else float(bits[0]),
        standard_error=errors if several else float(errors[0]),
        sigma=space.width.sigma,
        diagnostics={
            **set_diagnostics(space, found, 0),
            "mean_squared_cosine": mean_squared_cosine(x),
            "n_given": n_given,
        },
        flags=flags,
    )


def set_flags(space: DiffusionSpace, found: SpectrumOfSet, which: int) -> tuple[str, ...]:
    """Return the flags of the entropy at the diffusion time number ``which``."""
    bits, n, width = float(found.bits[which]), found.n, space.width
    lonely = n > 1 and found.mean_degree < FEWEST_NEIGHBORS
    raised = {
        "constant": width.rms_distance == 0,
        "saturated": lonely or is_saturated(bits, float(np.log2(n))),
        "degenerate": bits < SMALLEST_BITS or found.spectral.trace - 1 < SMALLEST_TRACE,
        "small_n": n < SMALL_N,
        "atoms": width.rms_distance > 0 and width.median_distance == 0,
        "out_of_range": width.requested is not None,
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def set_diagnostics(space: DiffusionSpace, found: SpectrumOfSet, which: int) -> dict[str, Any]:
    """Return what to know of an entropy: scale, degree, spectrum and method."""
    options, width, spectral = space.options, space.width, found.spectral
    bits, n = float(found.bits[which]), found.n
    return {
        "sigma": width.sigma,
        "sigma_rule": width.rule,
        "sigma_requested": width.requested,
        "median_distance": width.median_distance,
        "rms_distance": width.rms_distance,
        "mean_degree": found.mean_degree,
        "trace": spectral.trace,
        "leading_eigenvalues": list(spectral.leading),
        "n_eigenvalues_above_0.01": spectral.n_above,
        "fraction_of_log2_n": bits / float(np.log2(n)) if n > 1 else None,
        "t": list(options.times),
        "normalization": options.normalization,
        "alpha": options.alpha if options.normalization == "rowstochastic" else None,
        "method": found.method,
        "dtype": found.dtype,
        "n": n,
        "matrix_size": found.n_points,
        "n_units": space.cloud.n_units,
        "zero_rows": space.cloud.n_zero_rows,
    }

"""Points at one bandwidth, and the entropies of their diffusion spectra."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import InputError
from infoplane.numerics.diffusion.bandwidth import (
    Bandwidth,
    Sigma,
    bandwidth,
    check_sigma,
    median_of_squares,
)
from infoplane.numerics.diffusion.kernel import (
    NEAR_ENOUGH,
    Normalization,
    check_normalization,
    diffusion_kernel,
    gaussian_kernel,
    half_squares,
    kernel_of_squares,
    unweighted_kernel,
)
from infoplane.numerics.diffusion.points import PointCloud, point_cloud
from infoplane.numerics.diffusion.spectrum import (
    TORCH_FROM,
    SpectralEntropies,
    exact_entropies,
    stochastic_entropies,
)
from infoplane.numerics.discrete.symbols import Symbols, row_symbols
from infoplane.numerics.tensors import Tensor

Method: TypeAlias = Literal["auto", "quick", "exact", "slq"]

_EXACT_DOUBLE = {"auto": 2000, "quick": 512}  # samples up to which all is in float64
_EXACT_SINGLE = {"auto": 4000, "quick": 1000}  # and exact
_WIDE = 0.5  # mean entry from which small eigenvalues drown in the rounding of float32


@dataclass(frozen=True)
class DiffusionOptions:
    """How a spectrum is computed and which entropies are taken of it.

    Raises
    ------
    InputError
        If an option is unknown, a diffusion time not above 0, or the seed no whole number.
    """

    times: tuple[float, ...] = (1.0,)
    normalization: Normalization = "official"
    alpha: float = 0.5
    method: Method = "auto"
    dtype: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_normalization(self.normalization, self.alpha)
        if not self.times or not all(np.isfinite(t) and t > 0 for t in self.times):
            raise InputError(f"expected diffusion times t above 0, got {list(self.times)}")
        if self.method not in get_args(Method):
            raise InputError(f"expected method auto, quick, exact or slq, got {self.method!r}")
        if self.dtype not in (None, "float32", "float64"):
            raise InputError(f"expected dtype float32 or float64, got {self.dtype!r}")
        seed: Any = self.seed
        if not isinstance(seed, Integral):
            raise InputError(f"expected a whole number as seed, got {seed!r}")

    def dtype_of_kernel(self, n: int) -> str:
        """Return the type of a kernel of ``n`` points that is held for all of their subsets."""
        single = self.method == "quick" and n > _EXACT_DOUBLE["quick"]
        return self.dtype or "float32" if single else "float64"


def diffusion_times(t: float | Sequence[float]) -> tuple[tuple[float, ...], bool]:
    """Return diffusion times as a tuple, and whether several could have been asked for.

    Raises
    ------
    InputError
        If they are not numbers.
    """
    try:
        values = np.asarray(t, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected diffusion times t above 0, got {t!r}") from error
    return tuple(values.ravel().tolist()), values.ndim > 0


def subset(n: int, size: int, seed: int) -> list[int]:
    """Return ``size`` of ``n`` row numbers, drawn as the reference implementation draws them."""
    return random.Random(seed).sample(range(n), size)  # noqa: S311


@dataclass(frozen=True, eq=False)
class DiffusionSpace:
    """Points at one bandwidth, from which entropies of the set and of its subsets are taken.

    Parameters
    ----------
    cloud : PointCloud
        The whole set in units of the bandwidth; of equal points one, if there is ``repeats``.
    width : Bandwidth
        Shared by the set and all subsets; differences of entropies at other bandwidths mean
        nothing.
    options : DiffusionOptions
        Shared as well.
    repeats : Symbols, optional
        Which point of the cloud each sample is.
    gaussian : array (n, n), optional
        Kernel of the whole cloud, of which subsets take a slice; without it each subset computes
        its own distances.
    """

    cloud: PointCloud
    width: Bandwidth
    options: DiffusionOptions
    repeats: Symbols | None = None
    gaussian: Tensor | None = None

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.cloud.n if self.repeats is None else len(self.repeats.ids)

    def with_kernel(self) -> DiffusionSpace:
        """Return this space holding the kernel of the whole cloud."""
        dtype = self.options.dtype_of_kernel(self.cloud.n)
        return replace(self, gaussian=gaussian_kernel(self.cloud, dtype))

    def entropy(self, rows: Any = None, *, rough: bool = False) -> SpectrumOfSet:
        """Return the entropies of the samples ``rows`` (ascending index), or of all.

        ``rough`` is the ``slq`` of fewer probes, within about 0.01 bit.
        """
        n = self.n if rows is None else len(rows)
        options = self.options
        points, weights = self._points(rows)
        n_points = self.cloud.n if points is None else len(points)
        method, dtype = _method_for(n_points, options, self.cloud.n)
        method = "slq" if rough else method
        if n_points == 1 or self.width.rms_distance == 0:  # one eigenvalue 1, exactly
            none = np.zeros(len(options.times))
            single = SpectralEntropies(none, none, (1.0,), 1.0, 1)
            return SpectrumOfSet(single, float(n), "exact", dtype, n, 1)
        lower = method == "exact" and isinstance(self.cloud.points, np.ndarray)

        def normalized(dtype: str) -> tuple[Tensor, Tensor, float]:
            gaussian, weight = self._gaussian(points, weights, dtype, lower)
            how = options.normalization, options.alpha
            return diffusion_kernel(gaussian, *how, weights=weight, n=n, lower=lower)

        kernel, top, degree = normalized(dtype)
        exact = method == "exact" and options.method == "quick"  # then off by less than 1e-4 bit
        if dtype == "float32" and options.dtype is None and degree > _WIDE * n and not exact:
            dtype = "float64"
            kernel, top, degree = normalized(dtype)
        if method == "slq":
            effort: dict[str, Any] = {}
            if rough:
                effort = {"n_probes": 12, "n_leading": 16, "tolerance": np.inf}
            spectral = stochastic_entropies(kernel, top, options.times, seed=options.seed, **effort)
        else:
            spectral = exact_entropies(kernel, options.times, by_torch=self.n >= TORCH_FROM)
        return SpectrumOfSet(spectral, degree, method, dtype, n, n_points)

    def _points(self, rows: Any) -> tuple[Any, Tensor | None]:
        """Return the points that samples ``rows`` are, None for all, and how often each is."""
        if self.repeats is None:
            return rows, None
        if rows is None:
            return None, self.repeats.counts.astype(np.float64)
        counts = np.bincount(self.repeats.ids[rows], minlength=self.cloud.n)
        points = np.flatnonzero(counts)
        return points, counts[points].astype(np.float64)

    def _gaussian(
        self, points: Any, weights: Tensor | None, dtype: str, lower: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return a kernel of some of the points, or of all, that may be overwritten, and weights.

        It is the Gaussian kernel, or has the same diffusion kernel with these weights.
        """
        if self.gaussian is None or not str(self.gaussian.dtype).endswith(dtype):
            cloud = self.cloud if points is None else self.cloud.rows(points)
            if lower and dtype == "float64" and self.options.normalization == "official":
                factors = unweighted_kernel(cloud)
                if factors is not None:
                    return factors[0], factors[1] if weights is None else factors[1] * weights
            return gaussian_kernel(cloud, dtype, lower=lower), weights
        if points is not None:
            return self.gaussian[points][:, points], weights
        on_cpu = isinstance(self.gaussian, np.ndarray)
        return self.gaussian.copy() if on_cpu else self.gaussian.clone(), weights


@dataclass(frozen=True, eq=False)
class SpectrumOfSet:
    """Entropies of one set of points and what is known of its spectrum."""

    spectral: SpectralEntropies
    mean_degree: float
    method: str
    dtype: str
    n: int  # samples
    n_points: int  # different ones

    @property
    def bits(self) -> FloatArray:
        """Entropies (n_times,)."""
        return self.spectral.bits


def _method_for(n: int, options: DiffusionOptions, n_whole: int) -> tuple[str, str]:
    """Return how the spectrum of ``n`` of ``n_whole`` points is computed, and in what type."""
    method: str = options.method
    dtype = options.dtype
    if method in _EXACT_DOUBLE:
        judged = n_whole if method == "quick" else n
        if dtype is None:
            dtype = "float64" if judged <= _EXACT_DOUBLE[method] else "float32"
        method = "exact" if n <= _EXACT_SINGLE[method] else "slq"
    if dtype is None:
        dtype = "float64" if method == "exact" else "float32"
    return method, dtype


def diffusion_space(x: Tensor, sigma: Sigma, options: DiffusionOptions) -> DiffusionSpace:
    """Return the space of checked points ``x`` (n_samples, n_units) at bandwidth ``sigma``.

    Raises
    ------
    InputError
        If ``sigma`` is unfit.
    """
    ((_, space),) = diffusion_spaces(x, [sigma], options)
    return space


def diffusion_spaces(
    x: Tensor, sigmas: Sequence[Sigma], options: DiffusionOptions, *, kernel_rows: int = 0
) -> Iterator[tuple[Sigma, DiffusionSpace]]:
    """Yield bandwidths and the space at each, valid until the next one is asked for.

    Parameters
    ----------
    x : array or torch.Tensor (n_samples, n_units)
        The points.
    sigmas : sequence of float or str
        Bandwidths or their rules.
    options : DiffusionOptions
        Shared by all.
    kernel_rows : int
        Different points up to which the spaces hold their kernel; the distances behind them are
        then computed once for all bandwidths.

    Raises
    ------
    InputError
        If a bandwidth is unfit.
    """
    for sigma in sigmas:
        check_sigma(sigma)
    for unit_length in (False, True):
        alike = [sigma for sigma in sigmas if (sigma == "l2") == unit_length]
        if not alike:
            continue
        whole = cloud = point_cloud(x, unit_length=unit_length)
        repeats = _repeats(whole.points)
        if repeats is not None:
            cloud = whole.rows(repeats.examples)
        held, squares = cloud.n <= kernel_rows, None
        single = held and options.dtype_of_kernel(cloud.n) == "float32"
        if single and cloud.rms_distance:
            if not 1e-9 < cloud.rms_distance / cloud.unit < 1e9:  # float32 must hold the squares
                cloud.rescale(cloud.rms_distance)
            squares = half_squares(cloud.in_single_precision())
        elif held and len(alike) > 1:
            squares = half_squares(cloud)
        unit, median = cloud.unit, None
        if squares is not None and repeats is None and "median" in alike:
            median = median_of_squares(squares, cloud)
        for sigma in alike:
            width = bandwidth(whole, sigma, seed=options.seed, median=median)
            cloud.rescale(width.sigma)
            space = DiffusionSpace(cloud, width, options, repeats)
            near = not single or float(cloud.square_norms.max()) < NEAR_ENOUGH
            if squares is not None and near:
                last = len(alike) == 1
                kernel = kernel_of_squares(squares, unit / width.sigma, overwrite=last)
                space = replace(space, gaussian=kernel)
            yield sigma, space if space.gaussian is not None or not held else space.with_kernel()


def _repeats(points: Tensor) -> Symbols | None:
    """Return which rows are equal, if that saves a fair share of the work.

    One of each and how often it occurs have the spectrum of all, but for eigenvalues of 0.
    """
    if not isinstance(points, np.ndarray):
        return None
    few = slice(None, None, -(-points.shape[1] // 8))
    for columns in (slice(1), few, slice(None)):  # the first unit tells most, a few the rest
        found = row_symbols(points[:, columns])
        if found.n_states > 0.9 * len(points):
            return None
    return found

"""Numbers that sum up the spectrum of a layer: ranks, entropies, and the exponent of its decay.

Several numbers go by one name in papers and code. Here each says which eigenvalues it is about:

==================  ==================================================================
rankme              exp H of the *singular values* of the raw layer (Garrido et al. 2023)
effective_rank      exp H of the eigenvalues of its covariance (Roy, Vetterli 2007)
participation_ratio (sum of the eigenvalues of the covariance)^2 / sum of their squares
stable_rank         sum of the eigenvalues of the covariance / largest
alpha_req           exponent of the eigenvalues of the covariance against their rank
vne                 entropy of rows of length 1, not centred (Kim et al. 2023), in bits
vne_centred         entropy of the eigenvalues of the covariance, in bits
==================  ==================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infoplane.calls import unfit, whole
from infoplane.data import Array, FloatArray, checked_activations
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.spectra import Operator, Spectrum, moments

RANKS = (12, 100)
"""Ranks between which the exponent is fitted unless others are given."""

FEWEST_RANKS = 20
"""Ranks above the noise that a fit takes."""

EPSILON = 1e-7
"""Added to every share by RankMe and its centred relative, as in the published code."""

SATURATION = 0.99
"""Share of the variance that the components of the saturation explain."""


@dataclass(frozen=True)
class PowerLaw:
    """The decay of a spectrum, as rank^(-alpha).

    Attributes
    ----------
    alpha : float
        The exponent; NaN where fewer than 20 ranks are above the noise.
    r2 : float
        Share of the variance of log eigenvalues that the line explains, weighted as the fit is.
    ranks : tuple of int
        First and last rank that it was fitted on; without a fit those that are above the noise,
        the last being one below the first if there is none.
    """

    alpha: float
    r2: float
    ranks: tuple[int, int]


def exponential_entropy(shares: FloatArray, epsilon: float = 0.0) -> float:
    """Return exp of the entropy of shares, ``epsilon`` added to each of them."""
    added = shares + epsilon
    used = added[added > 0.0]
    return float(np.exp(-(used @ np.log(used))))


def renyi_entropy(shares: FloatArray, order: float) -> float:
    """Return the Renyi entropy of shares, in bits; of order 1 it is Shannon's, of inf the least.

    Parameters
    ----------
    shares : array (n,)
        Of sum 1.
    order : float
        At least 0.
    """
    used = shares[shares > 0.0]
    if order == 1.0:
        return float(-(used @ np.log2(used))) + 0.0
    if math.isinf(order):
        return -math.log2(float(used.max()))
    largest = float(used.max())  # powers of shares alone would underflow at high orders
    total = float(((used / largest) ** order).sum())
    return (math.log2(total) + order * math.log2(largest)) / (1.0 - order)


def power_law(spectrum: Spectrum, ranks: tuple[int, int] = RANKS) -> PowerLaw:
    """Return the exponent of eigenvalues against rank, by least squares of logarithms.

    Each rank i counts with weight 1 / i, so that the many last ones do not decide.
    """
    first, last = ranks
    last = min(last, len(spectrum.resolved))
    if last - first + 1 < FEWEST_RANKS:
        return PowerLaw(math.nan, math.nan, (first, max(last, first - 1)))
    rank = np.arange(first, last + 1)
    x, y, weights = np.log(rank), np.log(spectrum.values[first - 1 : last]), 1.0 / rank
    weights /= weights.sum()
    x, y = x - weights @ x, y - weights @ y
    slope = float(weights @ (x * y) / (weights @ x**2))
    spread = float(weights @ y**2)
    rest = float(weights @ (y - slope * x) ** 2)
    r2 = 1.0 - rest / spread if spread > 1e-24 else math.nan
    return PowerLaw(-slope, r2, (first, last))


def components_of(spectrum: Spectrum, share: float = SATURATION) -> int:
    """Return how many leading eigenvalues make up a share of their sum."""
    return int(np.searchsorted(np.cumsum(spectrum.shares), share * (1.0 - 1e-12))) + 1


class Measure(NamedTuple):
    """A number that is made of one spectrum."""

    operator: Operator
    of: Callable[[Spectrum], float]


MEASURES: dict[str, Measure] = {
    "rankme": Measure("second", lambda s: exponential_entropy(_singular(s), EPSILON)),
    "effective_rank": Measure("covariance", lambda s: exponential_entropy(s.shares, EPSILON)),
    "participation_ratio": Measure("covariance", lambda s: 1.0 / float(s.shares @ s.shares)),
    "stable_rank": Measure("covariance", lambda s: 1.0 / float(s.shares[0])),
    "alpha_req": Measure("covariance", lambda s: power_law(s).alpha),
    "vne": Measure("cosine", lambda s: renyi_entropy(s.shares, 1.0)),
    "vne_centred": Measure("covariance", lambda s: renyi_entropy(s.shares, 1.0)),
    "saturation": Measure("covariance", lambda s: components_of(s) / s.d),
}
"""The measures by the names of their quantities."""


def _singular(spectrum: Spectrum) -> FloatArray:
    """Return the shares of the singular values."""
    roots = np.sqrt(spectrum.values)
    return np.asarray(roots / roots.sum())


def rankme(x: Array, *, epsilon: float = EPSILON) -> float:
    """Return RankMe: exp of the entropy of the singular values of a layer, not centred.

    A common mean of the units is a direction of its own, so shifting the layer changes the value;
    `effective_rank` is that of the centred layer, of squared singular values.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples.
    epsilon : float, default 1e-7
        Added to every share, as published; 0 gives the exact entropy.

    Returns
    -------
    float
        Between 1 and min(n_samples, n_units), up to a few ``epsilon`` for each singular value: one
        direction alone reads 0.9999999, as shares no longer sum up to 1. It grows with the number
        of samples until there are some four times as many as units.

    Raises
    ------
    InputError
        If ``x`` is not finite, or has fewer than 3 samples.
    EstimationError
        If the layer is 0 everywhere.

    References
    ----------
    Garrido et al.: "RankMe: assessing the downstream performance of pretrained self-supervised
    representations by their rank", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> round(rankme(np.vstack([np.eye(4), -np.eye(4)])), 3)
    4.0
    """
    _check_epsilon(epsilon)
    return exponential_entropy(_singular(_spectrum(x, "second")), epsilon)


def effective_rank(x: Array, *, epsilon: float = EPSILON) -> float:
    """Return exp of the entropy of the eigenvalues of the covariance of a layer.

    Parameters, bounds and errors are those of `rankme`; a constant layer has none.

    References
    ----------
    Roy, Vetterli: "The effective rank", EUSIPCO 2007.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.vstack([np.eye(4), -np.eye(4)])
    >>> round(effective_rank(x + 100.0), 3)
    4.0
    """
    _check_epsilon(epsilon)
    return exponential_entropy(_spectrum(x, "covariance").shares, epsilon)


def participation_ratio(x: Array) -> float:
    """Return (sum of eigenvalues)^2 / sum of their squares, of the covariance of a layer.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples.

    Returns
    -------
    float
        Between 1 and min(n_samples - 1, n_units).

    Raises
    ------
    InputError
        If ``x`` is not finite, or has fewer than 3 samples.
    EstimationError
        If the layer is constant.

    Examples
    --------
    >>> import numpy as np
    >>> round(participation_ratio(np.vstack([np.eye(3), -np.eye(3)])), 3)
    3.0
    """
    return MEASURES["participation_ratio"].of(_spectrum(x, "covariance"))


def stable_rank(x: Array) -> float:
    """Return the variance of a layer divided by that along its first principal component.

    Parameters, bounds and errors are those of `participation_ratio`.

    Examples
    --------
    >>> import numpy as np
    >>> round(stable_rank(np.vstack([np.eye(3), -np.eye(3)])), 3)
    3.0
    """
    return MEASURES["stable_rank"].of(_spectrum(x, "covariance"))


def alpha_req(x: Array, ranks: tuple[int, int] = RANKS) -> PowerLaw:
    """Return the exponent alpha of the eigenvalues of the covariance, rank^(-alpha).

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples.
    ranks : tuple of int, default (12, 100)
        First and last rank of the fit, from 1. It ends at the last eigenvalue that rounding does
        not hide.

    Returns
    -------
    PowerLaw
        With NaN where fewer than 20 of the ranks are resolved.

    Raises
    ------
    InputError
        If ``x`` is not finite, has fewer than 3 samples, or the ranks are no two whole numbers that
        ascend from 1.
    EstimationError
        If the layer is constant.

    References
    ----------
    Agrawal et al.: "alpha-ReQ: assessing representation quality in self-supervised learning by
    measuring eigenspectrum decay", NeurIPS 2022. Stringer et al., Nature 571 (2019): the fit.

    Examples
    --------
    >>> import numpy as np
    >>> spread = np.arange(1, 129) ** -0.5
    >>> x = np.vstack([np.diag(spread), -np.diag(spread)])
    >>> found = alpha_req(x)
    >>> round(found.alpha, 3), round(found.r2, 3), found.ranks
    (1.0, 1.0, (12, 100))
    """
    expected = "two whole numbers (first, last) with 1 <= first < last"
    if not isinstance(ranks, (tuple, list, np.ndarray)) or len(ranks) != 2:
        raise unfit("ranks", expected, ranks)
    first, last = (whole(rank, "ranks", 1) for rank in ranks)
    if first >= last:
        raise unfit("ranks", expected, ranks)
    return power_law(_spectrum(x, "covariance"), (first, last))


def von_neumann_entropy(x: Array, *, centred: bool = False) -> float:
    """Return the von Neumann entropy of a layer, in bits.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Finite, at least 3 samples.
    centred : bool, default False
        False: of Z'Z / n, the rows scaled to length 1 and not centred (Kim et al.); rows of zeros
        are left out. True: of the covariance, divided by its trace, nothing added to it.

    Returns
    -------
    float
        At most log2(min(n_samples, n_units)).

    Raises
    ------
    InputError
        If ``x`` is not finite, or has fewer than 3 samples.
    EstimationError
        If the layer is constant, or 0 everywhere.

    References
    ----------
    Kim et al.: "VNE: an effective method for improving deep representation by manipulating
    eigenvalue distribution", CVPR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.vstack([np.eye(4), -np.eye(4)])
    >>> round(von_neumann_entropy(x), 3), round(von_neumann_entropy(x, centred=True), 3)
    (2.0, 2.0)
    """
    return renyi_entropy(_spectrum(x, "covariance" if centred else "cosine").shares, 1.0)


def _spectrum(x: Array, operator: Operator) -> Spectrum:
    """Return a spectrum of an array that was given.

    Raises
    ------
    InputError
        If the array is unfit.
    EstimationError
        If nothing in it is above rounding.
    """
    values = checked_activations(x, name="x")
    if len(values) < 3:
        raise InputError(f"expected at least 3 samples, got {len(values)}")
    found = moments(values, (operator,)).spectrum(operator)
    if not len(found.resolved):
        what = "a constant layer" if operator == "covariance" else "zeros alone"
        raise EstimationError(f"expected a layer with a spectrum, got {what}")
    return found


def _check_epsilon(epsilon: float) -> None:
    if not 0.0 <= epsilon < 1.0:
        raise InputError(f"expected epsilon from 0 to below 1, got {epsilon}")

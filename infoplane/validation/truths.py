"""Information in closed form, by quadrature, or by Monte Carlo on an exact density; in bits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from scipy.integrate import quad, trapezoid
from scipy.special import gammaln, log_ndtr, logsumexp, ndtr, psi

from infoplane.data import FloatArray, IntArray
from infoplane.validation.problems import Resolution, Truth

LOG2_E = math.log2(math.e)
_DRAWS = 100_000  # of Monte Carlo; the error is some 0.003 bits


def entropy_of(shares: FloatArray) -> float:
    """Return the entropy of a distribution, zeros allowed."""
    used = shares[shares > 0]
    return float(-(used * np.log2(used)).sum()) + 0.0


def table_information(joint: FloatArray) -> float:
    """Return the mutual information of a joint distribution (n_a, n_b)."""
    return entropy_of(joint.sum(axis=0)) + entropy_of(joint.sum(axis=1)) - entropy_of(joint.ravel())


def gaussian_information(covariance: FloatArray, dim_x: int) -> float:
    """Return I(X;Y) of a joint normal vector whose first ``dim_x`` components are X."""
    x, y = covariance[:dim_x, :dim_x], covariance[dim_x:, dim_x:]
    parts = [np.linalg.slogdet(part)[1] for part in (x, y, covariance)]
    return float(0.5 * (parts[0] + parts[1] - parts[2]) * LOG2_E)


def channel_information(covariance: FloatArray, noise: float) -> float:
    """Return I(S; S + noise) of a normal S (n_units) with white noise: 1/2 log det(1 + C/s^2)."""
    values = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    return float(0.5 * np.log1p(values / noise**2).sum() * LOG2_E)


def student_information(dim_x: int, dim_y: int, freedom: float) -> float:
    """Return I(X;Y) of a multivariate Student distribution with identity dispersion.

    It is above 0: the common scale is what the parts know of each other.
    """

    def entropy(k: int) -> float:
        half = (freedom + k) / 2
        return float(
            gammaln(freedom / 2)
            - gammaln(half)
            + 0.5 * k * math.log(freedom * math.pi)
            + half * (psi(half) - psi(freedom / 2))
        )

    return (entropy(dim_x) + entropy(dim_y) - entropy(dim_x + dim_y)) * LOG2_E


def uniform_noise_information(width: float) -> float:
    """Return I(X; X + U(-width, width)) of X uniform on [0, 1]."""
    nats = 1 / (4 * width) if width > 0.5 else width - math.log(2 * width)
    return nats * LOG2_E


def rectified_information(correlation: float) -> float:
    """Return I(X; max(0, r X + sqrt(1 - r^2) E)) of standard normal X and E, by quadrature.

    The output is 0 half of the time, else it has a density.
    """
    spread = math.sqrt(1 - correlation**2)

    def normal(z: float) -> float:
        return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    def of_input(x: float) -> float:
        mean = correlation * x
        log_atom = float(log_ndtr(-mean / spread))
        atom = math.exp(log_atom) * (log_atom + math.log(2))

        def positive(y: float) -> float:
            z = (y - mean) / spread
            density = normal(z) / spread
            return density * (0.5 * y * y - 0.5 * z * z - math.log(spread))

        low, high = max(0.0, mean - 9 * spread), max(0.0, mean + 9 * spread)
        return atom + (quad(positive, low, high)[0] if high > low else 0.0)

    return float(quad(lambda x: normal(x) * of_input(x), -9, 9)[0] * LOG2_E)


def label_information(means: FloatArray, shares: FloatArray, seed: int = 0) -> float:
    """Return I(T;Y) of T given Y = c normal with mean ``means[c]`` and unit covariance.

    Only the span of the means matters. Monte Carlo on the exact density.

    Parameters
    ----------
    means : array (n_classes, n_units)
        Class means in units of the standard deviation within a class.
    shares : array (n_classes,)
        Probabilities of the classes.
    seed : int, default 0
        Of the draws.
    """
    centred = means - means.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    kept = scale > 1e-9 * max(float(scale[0]), 1e-300)
    places = (left * scale)[:, kept] if scale[0] > 0 else np.zeros((len(means), 1))
    rng = np.random.default_rng(seed)
    labels = drawn_labels(shares, _DRAWS, rng)
    points = places[labels] + rng.standard_normal((_DRAWS, places.shape[1]))
    logs = points @ places.T - 0.5 * (places**2).sum(axis=1)
    with np.errstate(divide="ignore"):
        joint = logs + np.log(shares)
    own = logs[np.arange(_DRAWS), labels]
    return float((own - logsumexp(joint, axis=1)).mean() * LOG2_E)


def drawn_labels(shares: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Return ``n`` labels in shuffled order whose counts follow ``shares`` as closely as can be."""
    ends = np.floor(np.cumsum(shares) / shares.sum() * n + 0.5).astype(np.int64)
    return rng.permutation(np.searchsorted(ends, np.arange(n), side="right")).astype(np.int64)


def rectified_label_information(means: FloatArray, noise: float) -> float:
    """Return I(max(0, m_Y + E) + noise; Y) of equally likely classes, E standard normal.

    One unit; by quadrature. Without noise the unit has an atom at 0.

    Parameters
    ----------
    means : array (n_classes,)
        Means of the classes before the unit.
    noise : float
        Standard deviation of noise added after the unit, 0 for none.
    """
    n = len(means)
    if noise == 0:
        atoms = ndtr(-means)

        def density(t: float) -> FloatArray:
            return np.asarray(np.exp(-0.5 * (t - means) ** 2) / math.sqrt(2 * math.pi))

        mean_atom = float(atoms.mean())
        total = float((atoms * np.log2(atoms / mean_atom)).mean())
        low = 0.0
    else:
        atom_share = ndtr(-means)
        variance = 1 + noise**2

        def density(t: float) -> FloatArray:
            below = atom_share * math.exp(-0.5 * (t / noise) ** 2) / noise
            centre = (means * noise**2 + t) / variance
            above = np.exp(-0.5 * (t - means) ** 2 / variance) / math.sqrt(variance)
            above = above * ndtr(centre * math.sqrt(variance) / noise)
            return np.asarray((below + above) / math.sqrt(2 * math.pi))

        total, low = 0.0, -9 * noise
    high = float(means.max()) + 9 * math.sqrt(1 + noise**2)

    def integrand(t: float) -> float:
        values = density(t)
        mean = float(values.mean())
        used = values > 0
        return float((values[used] * np.log2(values[used] / mean)).sum() / n)

    ends = [low, *([9 * noise] if noise else []), high]
    for a, b in itertools.pairwise(ends):
        total += float(quad(integrand, a, b, limit=200)[0])
    return total


def scalar_channel_information(
    density: Callable[[FloatArray], FloatArray], noise: float, reach: float
) -> float:
    """Return I(S; S + noise) of a number S with a smooth density, by quadrature.

    Parameters
    ----------
    density : callable
        Of S.
    noise : float
        Standard deviation of the normal noise.
    reach : float
        Beyond it to either side is next to nothing of S.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    # Evenly within a few noises, then ever more widely.
    places = noise * np.sinh(np.linspace(-1.0, 1.0, 8001) * math.asinh(reach / noise))
    values = density(places[:, None] - noise * nodes) @ weights / math.sqrt(2.0 * math.pi)
    return _channel_entropy(places, values) - 0.5 * math.log2(2.0 * math.pi * math.e * noise**2)


def spread_channel_information(values: FloatArray, noise: float) -> float:
    """Return I(S; S + noise) of a number that takes these values (n,) equally often."""
    low, high = values.min() - 9.0 * noise, values.max() + 9.0 * noise
    places = np.linspace(low, high, 2001)
    densities = np.zeros(len(places))
    for part in np.array_split(values, max(1, len(values) // 500)):
        densities += np.exp(-0.5 * ((places[:, None] - part) / noise) ** 2).sum(axis=1)
    densities /= len(values) * noise * math.sqrt(2.0 * math.pi)
    return _channel_entropy(places, densities) - 0.5 * math.log2(2.0 * math.pi * math.e * noise**2)


def _channel_entropy(places: FloatArray, densities: FloatArray) -> float:
    terms = np.where(densities > 0.0, -densities * np.log2(np.maximum(densities, 1e-300)), 0.0)
    return float(trapezoid(terms, places))


def state_truths(places: FloatArray, joint: FloatArray) -> Mapping[str, Truth]:
    """Return the truths about a layer of a few states that labels are read from.

    Parameters
    ----------
    places : array (n_states, n_units)
        The layer in each state.
    joint : array (n_classes, n_states)
        Joint distribution of label and state.
    """
    shares, of_labels = joint.sum(axis=0), joint.sum(axis=1)

    @lru_cache
    def of_states(noise: float) -> float:
        return label_information(places / noise, shares) if noise else entropy_of(shares)

    @lru_cache
    def given_labels(noise: float) -> float:
        within = [
            (weight, own[own > 0.0] / weight, places[own > 0.0])
            for weight, own in zip(of_labels, joint, strict=True)
        ]
        return float(
            sum(
                weight * (label_information(at / noise, own) if noise else entropy_of(own))
                for weight, own, at in within
            )
        )

    return {
        "ixt": lambda at: of_states(at.noise),
        "ity": lambda at: of_states(at.noise) - given_labels(at.noise),
        "ixt_given_y": lambda at: given_labels(at.noise),
    }


def mixture_truths(
    means: FloatArray, variances: FloatArray, shares: FloatArray, *, scale: float = 1.0
) -> Mapping[str, Truth]:
    """Return the truths about a layer whose classes are normal around their means.

    Parameters
    ----------
    means : array (n_classes, n_units)
        Class means along the principal directions within the classes.
    variances : array (n_units,)
        Variances within the classes along those directions.
    shares : array (n_classes,)
        Of the classes.
    scale : float, default 1
        Factor on the layer.
    """

    @lru_cache
    def of_labels(noise: float) -> float:
        spread = np.sqrt(variances + (noise / scale) ** 2)
        return label_information(means / spread, shares)

    def given_labels(noise: float) -> float | None:
        return channel_information(np.diag(variances) * scale**2, noise) if noise else None

    def of_inputs(at: Resolution) -> float | None:
        within = given_labels(at.noise)
        return None if within is None else within + of_labels(at.noise)

    return {
        "ity": lambda at: of_labels(at.noise),
        "ixt": of_inputs,
        "ixt_given_y": lambda at: given_labels(at.noise),
    }

"""Information of a network that really has Gaussian noise in its layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, FloatArray, checked_activations, class_ids
from infoplane.errors import InputError
from infoplane.numerics.discrete.symbols import row_symbols

BLOCK = 1 << 20  # pairs that are held at a time


@dataclass(frozen=True)
class NoisyInformation:
    """Information of a noisy layer, in bits, with the standard errors of the Monte Carlo draws.

    The errors do not cover the choice of the inputs: the information is that of the recorded ones.
    """

    ixt: float
    ixt_error: float
    ity: float | None
    ity_error: float | None
    std: float
    n_draws: int


def noisy_network_information(
    activations: Array,
    labels: Array | None = None,
    *,
    std: float,
    draws: int = 50,
    rng: np.random.Generator | None = None,
) -> NoisyInformation:
    """Return I(X;T) and I(T;Y) of a layer T = f(X) + Z with Gaussian noise Z, in bits.

    The noise must be part of the network, in training and afterwards: only then is I(X;T) a
    property of the network. T is a mixture of Gaussians around the f(x_i); I(X;T) =
    h(T) - h(Z) is the mean over inputs i and draws z of -log2 mean_j exp((|z|^2 - |f(x_i) + z -
    f(x_j)|^2) / 2 std^2). The length of the draws, whose mean is known, serves as control variate.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        f(x_i): the layer before its noise is added.
    labels : array (n_samples,), optional
        Class ids.
    std : float
        Standard deviation of the noise, per unit.
    draws : int, default 50
        Draws of the noise per input, at least 2; the error falls with their square root.
    rng : numpy.random.Generator, optional
        Source of the noise; by default a generator with seed 0.

    Raises
    ------
    InputError
        If shapes or values do not fit.

    Notes
    -----
    Time grows with draws * n_samples^2 * n_units.

    References
    ----------
    Goldfeld et al.: "Estimating information flow in deep neural networks", ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> far_apart = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> round(noisy_network_information(far_apart, std=0.01, draws=2).ixt, 6)
    2.0
    """
    values = checked_activations(activations).astype(np.float64)
    n = len(values)
    if not std > 0:
        raise InputError(f"expected std > 0, got {std}")
    if draws < 2:
        raise InputError(f"expected at least 2 draws, got {draws}")
    rng = np.random.default_rng(0) if rng is None else rng
    ids, sizes = np.zeros(n, dtype=np.int64), np.array([n])
    if labels is not None:
        given = class_ids(labels)
        if len(given) != n:
            raise InputError(f"expected {n} labels, one per sample, got {len(given)}")
        classes = row_symbols(given[:, None])
        order = np.argsort(classes.ids, kind="stable")
        values, ids, sizes = values[order], classes.ids[order], classes.counts
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    centres = (values - values.mean(axis=0)) / std
    ixt, ity, lengths = np.empty(draws), np.empty(draws), np.empty(draws)
    product = square = 0.0
    for draw in range(draws):
        noise = rng.standard_normal(centres.shape)
        own, everyone = _densities(centres, noise, ids, starts)
        length = 0.5 * np.log2(np.e) * (np.einsum("ij,ij->i", noise, noise) - noise.shape[1])
        product += float(everyone @ length)
        square += float(length @ length)
        ixt[draw] = np.log2(n) - everyone.mean()
        ity[draw] = np.log2(n) - np.log2(sizes[ids]).mean() + (own - everyone).mean()
        lengths[draw] = length.mean()
    ixt += product / square * lengths  # |z|^2 has a known mean: its error is taken off
    error = np.sqrt(draws)
    return NoisyInformation(
        float(ixt.mean()),
        float(ixt.std(ddof=1) / error),
        None if labels is None else float(ity.mean()),
        None if labels is None else float(ity.std(ddof=1) / error),
        std,
        draws,
    )


def _densities(
    centres: FloatArray, noise: FloatArray, ids: Array, starts: Array
) -> tuple[FloatArray, FloatArray]:
    """Return log2 of the summed densities at centre + noise, of the own class and of all.

    Densities are relative to that of the noise, so that the sample's own centre counts 1. Centres
    are sorted by class, in units of the standard deviation.
    """
    n = len(centres)
    squares = np.einsum("ij,ij->i", centres, centres)
    own, everyone = np.empty(n), np.empty(n)
    rows = max(1, BLOCK // n)
    for a in range(0, n, rows):
        b = min(a + rows, n)
        points = centres[a:b] + noise[a:b]
        exponents = points @ centres.T - squares / 2
        exponents -= (points * centres[a:b]).sum(axis=1)[:, None] - squares[a:b, None] / 2
        exponents[np.arange(b - a), np.arange(a, b)] = 0
        peak = exponents.max(axis=1)
        np.exp(exponents - peak[:, None], out=exponents)
        classes = np.add.reduceat(exponents, starts, axis=1)
        everyone[a:b] = np.log2(classes.sum(axis=1)) + peak * np.log2(np.e)
        with np.errstate(divide="ignore"):
            own[a:b] = np.log2(classes[np.arange(b - a), ids[a:b]]) + peak * np.log2(np.e)
    return own, everyone

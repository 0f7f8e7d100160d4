"""Principal components of some of the samples, along which all samples are seen.

A probe that is read on held-out samples must not have fitted anything to them, nor its features:
of a layer that is wider than there are samples, each sample has a direction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from infoplane.data import Array, FloatArray, IntArray
from infoplane.numerics.projection import COVARIANCE_UNITS, covariance_of, row_chunks, signed

_OVERSAMPLING = 8
_POWER_ITERATIONS = 3  # over all samples; one more is over those that are not held out
_SAFE = 1e-100  # smaller numbers, and larger than its inverse, have squares beyond all numbers
_ROUNDED = 0.25  # standard deviation of rounding, in relative steps between numbers, and more
_COMPUTED = 100  # of what double precision makes of them


def components_without(
    activations: Array,
    fold: IntArray,
    held: Sequence[Sequence[int]],
    n_components: int,
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Return all samples along the principal directions of those that are not held out.

    The directions are those of power iterations. The first ones are over all samples, and find
    where to start; the last one is over the samples that are not held out alone, so that every
    direction is a combination of these. Where variances fall slowly, the last directions mix with
    those that are left out. Directions along which the samples vary no more than the rounding of
    their numbers lets them are left out.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        Finite.
    fold : array (n_samples,)
        Fold of each sample; each occurs.
    held : sequence of sequences of int
        The folds that are held out, of each result. Two samples at least are in the others.
    n_components : int
        Directions wanted.
    rng : numpy.random.Generator
        For the random start.

    Returns
    -------
    list of arrays (n_samples, n_kept)
        In the order of falling variance, and uncorrelated, over the samples that are not held out,
        whose mean is 0.

    References
    ----------
    Halko, Martinsson, Tropp, SIAM Review 53 (2011), algorithms 4.4 and 5.3.
    """
    n, n_units = activations.shape
    largest = max(float(activations.max()), -float(activations.min()))
    if largest > 0 and not _SAFE < largest < 1 / _SAFE:
        activations = activations / largest
    kept = min(n_components, n_units)
    mean, frame = _start(activations, kept, rng)
    n_folds, size = int(fold.max()) + 1, frame.shape[1]
    images, sums = np.zeros((n_folds, n_units, size)), np.zeros((n_folds, n_units))
    squares = np.zeros(n_units)
    for rows, centred in _centred_chunks(activations, mean):
        along = centred @ frame
        for part in range(n_folds):
            members = np.flatnonzero(fold[rows] == part)
            some = centred[members]
            images[part] += some.T @ along[members]
            sums[part] += some.sum(axis=0)
        squares += np.square(centred).sum(axis=0)
    squares = squares / n + np.square(mean)
    kind = activations.dtype if activations.dtype.kind == "f" else np.dtype(np.float64)
    highest = 1 + np.sqrt(n_units / n)  # of the directions of noise: Marchenko and Pastur
    least = highest * _ROUNDED * np.finfo(kind).eps + _COMPUTED * np.finfo(np.float64).eps
    bases = []
    for of in held:
        seen = np.delete(np.arange(n_folds), list(of))
        total = sums[seen].sum(axis=0)
        image = images[seen].sum(axis=0)
        image -= np.outer(total, total @ frame / np.isin(fold, seen).sum())
        bases.append(frame if size == n_units else np.linalg.qr(image)[0])
    every = np.empty((n, len(held) * size))
    together = np.hstack(bases)
    for rows, centred in _centred_chunks(activations, mean):
        every[rows] = centred @ together
    found = []
    for which, (of, basis) in enumerate(zip(held, bases, strict=True)):
        inside = ~np.isin(fold, of)
        scores = every[:, which * size : (which + 1) * size]
        scores = scores - scores[inside].mean(axis=0)
        some = scores[inside]
        _, turned = np.linalg.eigh(some.T @ some)
        turned = turned[:, ::-1][:, :kept]
        directions, signs = signed(basis @ turned)
        scores = scores @ (turned * signs)
        sizes = np.sqrt(np.square(directions).T @ squares)
        found.append(scores[:, scores[inside].std(axis=0) > least * sizes])
    return found


def _start(
    activations: Array, kept: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the mean of all samples, and directions among which most of their variance is."""
    from scipy.linalg.blas import dsymm

    n_units = activations.shape[1]
    size = kept + _OVERSAMPLING
    if size < n_units <= COVARIANCE_UNITS:
        mean, covariance = covariance_of(lambda: row_chunks(activations), n_units)

        def image(frame: FloatArray) -> FloatArray:
            return np.asarray(dsymm(1.0, covariance, frame))

    else:
        mean = np.zeros(n_units)
        for chunk in row_chunks(activations):
            mean += np.asarray(chunk).sum(axis=0, dtype=np.float64)
        mean /= len(activations)
        if size >= n_units:
            return mean, np.eye(n_units)

        def image(frame: FloatArray) -> FloatArray:
            found = np.zeros_like(frame)
            for _, centred in _centred_chunks(activations, mean):
                found += centred.T @ (centred @ frame)
            return found

    frame = np.linalg.qr(rng.standard_normal((n_units, size)))[0]
    for _ in range(_POWER_ITERATIONS):
        frame = np.linalg.qr(image(frame))[0]
    return mean, frame


def _centred_chunks(activations: Array, mean: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield blocks of rows, and these in double precision less the mean."""
    start = 0
    for chunk in row_chunks(activations):
        centred = np.array(chunk, dtype=np.float64)
        centred -= mean
        yield slice(start, start + len(centred)), centred
        start += len(centred)

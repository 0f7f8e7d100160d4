"""Procrustes distance: the angle between two shapes after the best rotation.

With X and Y centred and of unit Frobenius norm, the angle is arccos of the nuclear norm of X'Y
(Williams et al. 2021, angular shape metric; 2 - 2 cos is the squared distance of Ding et al. 2021).
It is a metric: 0 for equal shapes, at most pi / 2.

When the samples of one side are permuted, the nuclear norm follows from the two spectra: the
kernel matrices XX' and YY' are then free of one another, and the S-transform of their product is
the product of theirs (Voiculescu 1987). With psi(c) = sum_k c a_k / (1 + c a_k) / (n - 1) over the
eigenvalues a of XX', and s_x(u) = 1 / sqrt(c) where psi(c) = u, the singular values sum to

    2 (n - 1) / pi times the integral over 0 < u < 1 of sqrt(u / (1 - u)) s_x(u) s_y(u)

"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from infoplane.data import FloatArray, IntArray
from infoplane.numerics.similarity.samples import Compared, few_parts, groups_of, spread

_SMALL = 0.01  # radians; the cosine of less has lost half of its digits
_LEADING = 64  # components in which the spread of the value and of its null is found
_DRAWS = 12  # permutations of these components
_ROUNDING = 1e-14  # of the eigenvalues of a matrix, relative to the largest
_DIGITS = 1e-7  # of a nuclear norm

_ROOTS = (np.arange(400) + 0.5) / 400
_NODES = _ROOTS**4  # of the integral over u, dense at 0 where small layers are
_WEIGHTS = 8 / math.pi * _ROOTS**3 / len(_ROOTS) * np.sqrt(_NODES / (1 - _NODES))


@dataclass(frozen=True, slots=True)
class ShapeView:
    """Centred activations of no more units than samples, and their leading components."""

    bounds: IntArray
    values: FloatArray  # (n_samples, at most n_samples)
    norm: float  # Frobenius norm
    leading: FloatArray  # (n_samples, at most _LEADING)
    transform: FloatArray  # s at _NODES
    of_leading: FloatArray  # likewise, of the leading components
    least: float  # of the larger eigenvalues, relative to the largest


def shape_view(centred: FloatArray, bounds: IntArray) -> ShapeView:
    """Return the view of centred activations; a rotation takes them to as many units as samples."""
    values, n = centred[:, centred.any(axis=0)], len(centred)
    if values.shape[1] > n:
        values = scipy.linalg.qr(values.T, mode="r")[0][:n].T
    covariance = values.T @ values
    spectrum, leading = scipy.linalg.eigvalsh(covariance), values
    size = len(spectrum)
    if size > _LEADING:
        onto = scipy.linalg.eigh(covariance, subset_by_index=[size - _LEADING, size - 1])[1]
        leading = values @ onto
    return ShapeView(
        bounds, values, float(np.linalg.norm(values)), leading,
        transform=_transform(spectrum, n),
        of_leading=_transform(spectrum[-leading.shape[1] :], n),
        least=float(spectrum[size // 20] / spectrum[-1]),
    )  # fmt: skip


def angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle between two shapes, in radians."""
    norm = _nuclear_norm(x.values.T @ y.values, by_squares=x.least * y.least > _ROUNDING)
    found = math.acos(min(norm / (x.norm * y.norm), 1.0))
    return _small_angle(x, y) if found < _SMALL else found


def compared(x: ShapeView, y: ShapeView, rng: np.random.Generator) -> Compared:
    """Return the angle of two views of the same samples, with its error and its null.

    Halves and permutations are taken in the leading components. What the others add to a
    permutation hardly varies, and is that of the spectra.
    """
    value, n, norm = angle(x, y), len(x.values), x.norm * y.norm
    permuted = [x.leading.T @ y.leading[rng.permutation(n)] for _ in range(_DRAWS)]
    cosines = _rough_norms(np.array(permuted)) / norm
    rest = x.transform @ (_WEIGHTS * y.transform) - x.of_leading @ (_WEIGHTS * y.of_leading)
    null = math.acos(min(float(cosines.mean()) + (n - 1) * float(rest) / norm, 1.0))
    null_sd = float(cosines.std(ddof=1)) / max(math.sin(null), 1e-6)
    return Compared(value, spread(_halves(x, y, value)), null, null_sd)


def _transform(spectrum: FloatArray, n: int) -> FloatArray:
    """Return s at the nodes, of ascending eigenvalues; 0 beyond the rank."""
    spectrum = spectrum[spectrum > _ROUNDING * spectrum[-1]]
    at = np.geomspace(1e-4 / spectrum[-1], 1e4 / spectrum[0], 600)
    share = at[:, None] * spectrum
    psi = (share / (1 + share)).sum(axis=1) / (n - 1)
    found = np.interp(_NODES, psi, np.log(at), right=np.inf)
    few = psi[0] > _NODES  # there psi is a line
    found[few] = np.log(_NODES[few] * (n - 1) / spectrum.sum())
    return np.asarray(np.exp(found / -2))


def _halves(x: ShapeView, y: ShapeView, value: float) -> FloatArray:
    """Return the value, then that of each half: its cosine moved as that of the components."""
    groups = groups_of(x.bounds)
    chosen = few_parts(len(groups)).astype(float)
    n = chosen @ np.diff(x.bounds)
    means = [
        chosen @ np.array([side[rows].sum(axis=0) for rows in groups]) / n[:, None]
        for side in (x.leading, y.leading)
    ]
    between = np.array([(x.leading[rows].T @ y.leading[rows]).ravel() for rows in groups])
    crossed = (chosen @ between).reshape(len(n), x.leading.shape[1], -1)
    crossed -= n[:, None, None] * means[0][:, :, None] * means[1][:, None, :]
    norms = [
        chosen @ [np.vdot(side[rows], side[rows]) for rows in groups] - n * (mean**2).sum(axis=1)
        for side, mean in zip((x.leading, y.leading), means, strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):  # a half that is constant has no value
        cosines = _rough_norms(crossed) / np.sqrt(norms[0] * norms[1])
    return np.asarray(np.arccos(np.clip(math.cos(value) + cosines - cosines[0], -1.0, 1.0)))


def _nuclear_norm(between: FloatArray, *, by_squares: bool) -> float:
    """Return the sum of the singular values.

    Of a large matrix those of its square take half as long; they serve where no digits are lost.
    """
    if by_squares and min(between.shape) > _LEADING:
        side = between.T if between.shape[0] < between.shape[1] else between
        squares = scipy.linalg.eigvalsh(side.T @ side)
        found = np.sqrt(np.maximum(squares, 0.0))
        largest = _ROUNDING * squares[-1]
        lost = np.minimum(largest / np.maximum(2 * found, 1e-300), math.sqrt(largest)).sum()
        if lost <= _DIGITS * found.sum():
            return float(found.sum())
    return float(np.linalg.svd(between, compute_uv=False).sum())


def _rough_norms(between: FloatArray) -> FloatArray:
    """Return the nuclear norms of some matrices (m, d_x, d_y) to six digits."""
    if between.shape[1] < between.shape[2]:
        between = between.transpose(0, 2, 1)
    squares = np.linalg.eigvalsh(between.transpose(0, 2, 1) @ between)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)).sum(axis=1))


def _small_angle(x: ShapeView, y: ShapeView) -> float:
    """Return the angle by the distance after the best rotation."""
    left, right = x.values / x.norm, y.values / y.norm
    if left.shape[1] < right.shape[1]:
        left, right = right, left
    onto, _, turned = np.linalg.svd(left.T @ right, full_matrices=False)
    # The larger side is turned as a whole: what lies beyond the smaller one counts as distance.
    inside = np.linalg.norm(left @ onto @ turned - right)
    beyond = np.linalg.norm(left - (left @ onto) @ onto.T)
    return 2 * math.asin(min(math.hypot(inside, beyond) / 2, 1.0))

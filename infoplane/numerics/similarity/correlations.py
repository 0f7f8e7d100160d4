"""Canonical correlations of two representations: their mean (SVCCA), or weighted (PWCCA).

The canonical correlations are those between the best pairs of directions, each side whitened. With
no more samples than units of both sides together, at least one of them is 1 whatever the data: such
a comparison is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError
from infoplane.numerics.similarity.samples import Compared, few_parts, spread

_DRAWS = 5  # permutations of the null


@dataclass(frozen=True, slots=True)
class CorrelationView:
    """Centred activations in their principal components, those that are kept."""

    bounds: IntArray
    scores: FloatArray  # (n_samples, n_components)
    basis: FloatArray  # (n_components, n_units): scores @ basis are the activations kept
    kind: Literal["svcca", "pwcca"]


def correlation_view(
    centred: FloatArray, bounds: IntArray, *, variance: float, kind: Literal["svcca", "pwcca"]
) -> CorrelationView:
    """Return the view of the first components that hold a share of the variance.

    ``kind`` says which summary it is for. Components below rounding are left out in any case.
    """
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    resolved = int((sizes > sizes[0] * max(centred.shape) * np.finfo(float).eps).sum())
    share = np.cumsum(sizes**2) / (sizes**2).sum()
    kept = min(resolved, int(np.searchsorted(share, variance * (1 - 1e-12))) + 1)
    return CorrelationView(bounds, left[:, :kept] * sizes[:kept], right[:kept], kind)


def correlation(x: CorrelationView, y: CorrelationView) -> float:
    """Return the mean canonical correlation, weighted if the views are for PWCCA.

    Raises
    ------
    EstimationError
        If there are no more samples than components of both sides.
    """
    needed = x.scores.shape[1] + y.scores.shape[1]
    if len(x.scores) <= needed:
        raise EstimationError(
            f"{x.kind}: expected more than {needed} samples for {x.scores.shape[1]} and "
            f"{y.scores.shape[1]} dimensions, got {len(x.scores)}",
            hint="with fewer, any data correlate; record more samples, or use cka",
        )
    return _summary(x, y, x.scores, y.scores)


def compared(x: CorrelationView, y: CorrelationView, rng: np.random.Generator) -> Compared:
    """Return the correlation of two views of the same samples, with its error and its null."""
    value = correlation(x, y)
    group = np.repeat(np.arange(len(x.bounds) - 1), np.diff(x.bounds))
    needed = x.scores.shape[1] + y.scores.shape[1]
    values = [value]
    for part in few_parts(len(x.bounds) - 1)[1:]:
        rows = part[group]
        enough = rows.sum() > needed
        values.append(_summary(x, y, x.scores[rows], y.scores[rows]) if enough else np.nan)
    null = np.array([_summary(x, y, x.scores, rng.permutation(y.scores)) for _ in range(_DRAWS)])
    return Compared(value, spread(np.array(values)), float(null.mean()), float(null.std(ddof=1)))


def _summary(x: CorrelationView, y: CorrelationView, of_x: FloatArray, of_y: FloatArray) -> float:
    """Return the summary of scores (n_samples, n_components) of the two views."""
    of_x, of_y = of_x - of_x.mean(axis=0), of_y - of_y.mean(axis=0)
    left, right = np.linalg.qr(of_x)[0], np.linalg.qr(of_y)[0]
    from_x, found, from_y = np.linalg.svd(left.T @ right, full_matrices=False)
    found = np.minimum(found, 1.0)  # a cosine, up to rounding
    if x.kind == "svcca":
        return float(found.mean())
    # Morcos et al. 2018: a variate weighs as much as the units that it projects on.
    of_sides = [
        _weighted(left @ from_x, of_x @ x.basis, found),
        _weighted(right @ from_y.T, of_y @ y.basis, found),
    ]
    return sum(of_sides) / 2


def _weighted(variates: FloatArray, units: FloatArray, found: FloatArray) -> float:
    weights = np.abs(variates.T @ units).sum(axis=1)
    return float(weights @ found / weights.sum())

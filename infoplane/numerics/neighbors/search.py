"""Nearest-neighbour search: the engine that is fastest for the size and dimension at hand.

Measured on one thread: sorting wins in one dimension, a k-d tree up to 8 or so, and above that a
blocked matrix product in single precision whose candidates are measured again in double precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoplane.data import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_TREE_DIMENSIONS = 8  # a k-d tree is fastest up to here
_BLOCK_DIMENSIONS = 12  # blocked products are fastest from here on
_LEAF_SIZE = 32  # 5 to 25 % faster than the default of 16 where 20 neighbours are asked for
_BLOCK_VALUES = 4_000_000  # distances held at once by the blocked engine
_BLOCK_VALUES_ON_GPU = 64_000_000
_SPARE = 8  # candidates beyond k that the single-precision pass keeps
_LARGEST_ROUNDING = 1e-6  # share of a squared radius; points that far outside are not counted


def neighbor_distances(points: FloatArray, k: int, device: str | None = None) -> FloatArray:
    """Return the distances of `nearest_neighbors` alone."""
    return nearest_neighbors(points, k, device)[0]


def nearest_neighbors(
    points: FloatArray, k: int, device: str | None = None
) -> tuple[FloatArray, IntArray]:
    """Return Euclidean distances and indices of the ``k`` nearest other points, ascending.

    Parameters
    ----------
    points : array (n_samples, n_dims)
        Finite float64.
    k : int
        Neighbours, below ``n_samples``.
    device : str, optional
        torch device that computes the blocked products; they are then used from 2 dimensions on.

    Returns
    -------
    float64 array (n_samples, k)
        Distances, exact in double precision, whatever the engine.
    int64 array (n_samples, k)
        Rows of the neighbours. A point with duplicates may stand in for one of them.
    """
    n, d = points.shape
    if d == 1:
        return _sorted_neighbors(points[:, 0], k)
    if device is not None:
        return _blocked_neighbors(points, k, device)
    if d <= _TREE_DIMENSIONS or (d < _BLOCK_DIMENSIONS and n > 20_000) or n < 1000:
        return _tree_neighbors(points, k)
    return _blocked_neighbors(points, k)


def joint_radius(x: FloatArray, y: FloatArray, k: int) -> FloatArray:
    """Return the maximum-norm distances (n_samples,) to the ``k``-th joint neighbours."""
    from scipy.spatial import cKDTree

    joint = np.hstack([x, y])
    distances, _ = cKDTree(joint, leafsize=_LEAF_SIZE).query(joint, k=[k + 1], p=np.inf)
    return np.asarray(distances[:, 0], dtype=np.float64)


def count_closer(points: FloatArray, radius: FloatArray, *, norm: str) -> IntArray:
    """Count the points, itself included, that are strictly closer than ``radius`` to each point.

    Parameters
    ----------
    points : array (n_samples, n_dims)
        Finite float64.
    radius : array (n_samples,)
        One radius per point.
    norm : {"maximum", "euclidean"}
        How distances are measured.

    Returns
    -------
    int64 array (n_samples,)
        At least 1 each.
    """
    n, d = points.shape
    if d == 1:
        counts = _sorted_counts(points[:, 0], radius)
    elif norm == "maximum":
        from sklearn.neighbors import KDTree

        # Maximum norms have no rounding error: the next smaller number leaves out the boundary.
        tree = KDTree(points, metric="chebyshev")
        counts = tree.query_radius(points, np.nextafter(radius, 0.0), count_only=True)
    else:
        # Engines add squares in different orders, hence the margin below the boundary.
        reach = radius * (1.0 - 1e-12)
        blocked = d >= 3 if n <= 1500 else d >= 6 if n <= 20_000 else d >= 9
        counts = _blocked_counts(points, reach) if blocked else _tree_counts(points, points, reach)
    return np.where(radius == 0.0, 1, np.maximum(np.asarray(counts, dtype=np.int64), 1))


def _tree_counts(points: FloatArray, centers: FloatArray, radius: FloatArray) -> IntArray:
    from scipy.spatial import cKDTree

    counts = cKDTree(points).query_ball_point(centers, radius, return_length=True)
    return np.asarray(counts, dtype=np.int64)


def _blocked_counts(points: FloatArray, radius: FloatArray) -> IntArray:
    n = len(points)
    centred = points - np.median(points, axis=0)  # outliers do not move the others away from 0
    squares = (centred * centred).sum(axis=1)
    # A sum of squares and a product loses this much of the squares of its two points.
    rounding = 8.0 * float(np.finfo(np.float64).eps) * squares
    counts = np.empty(n, dtype=np.int64)
    rows = max(1, _BLOCK_VALUES // (2 * n))
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        scores = centred[block] @ centred.T
        scores *= -2.0
        scores += squares + rounding
        limit = radius[block] ** 2 - squares[block] - rounding[block]
        counts[block] = (scores <= limit[:, None]).sum(axis=1)
    lost = rounding > _LARGEST_ROUNDING * radius**2
    if lost.any():
        counts[lost] = _tree_counts(points, points[lost], radius[lost])
    return counts


def _sorted_neighbors(values: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    padded = np.concatenate([np.full(k, -np.inf), ranked, np.full(k, np.inf)])
    window = np.lib.stride_tricks.sliding_window_view(padded, 2 * k + 1)
    candidates = np.abs(np.delete(window, k, axis=1) - ranked[:, None])
    nearest = np.argpartition(candidates, k - 1, axis=1)[:, :k]
    gaps = np.take_along_axis(candidates, nearest, axis=1)
    ascending = np.argsort(gaps, axis=1)
    nearest = np.take_along_axis(nearest, ascending, axis=1)
    # Column c of the window is c - k places away; the point's own column was taken out.
    places = np.arange(len(values))[:, None] + nearest - k + (nearest >= k)
    distances, indices = np.empty_like(gaps), np.empty_like(places)
    distances[order] = np.take_along_axis(gaps, ascending, axis=1)
    indices[order] = order[places]
    return distances, indices


def _tree_neighbors(points: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    from scipy.spatial import cKDTree

    distances, indices = cKDTree(points, leafsize=_LEAF_SIZE).query(points, k=k + 1)
    # The first column is the point itself, or a duplicate of it at the same distance 0.
    return np.asarray(distances[:, 1:], dtype=np.float64), np.asarray(indices[:, 1:])


def _blocked_neighbors(
    points: FloatArray, k: int, device: str = "cpu"
) -> tuple[FloatArray, IntArray]:
    """Candidates by |a|^2 + |b|^2 - 2ab in single precision, then exact distances."""
    import torch

    n = len(points)
    centred = torch.from_numpy(points - points.mean(axis=0)).to(device)
    size = float(centred.abs().max()) or 1.0  # squares overflow in single precision
    single = (centred / size).float()
    squares = (single * single).sum(dim=1)
    kept = min(k + 1 + _SPARE, n)
    # |a|^2 + |b|^2 - 2ab loses this much, relative to the largest square, to cancellation.
    slack = 8.0 * float(np.finfo(np.float32).eps) * float(squares.max())
    distances = np.empty((n, k))
    indices = np.empty((n, k), dtype=np.int64)
    rows = max(1, (_BLOCK_VALUES if device == "cpu" else _BLOCK_VALUES_ON_GPU) // n)
    with torch.no_grad():
        for start in range(0, n, rows):
            block = slice(start, min(start + rows, n))
            scores = torch.addmm(squares[None, :], single[block], single.T, alpha=-2.0)
            worst, found = torch.topk(scores, kept, dim=1, largest=False)
            exact, found = _measured(centred, block, found)
            missed = torch.zeros(len(exact), dtype=torch.bool, device=device)
            if kept < n:  # a point left out could be nearer than the k-th one found
                outside = worst[:, -1].double() + squares[block].double() - slack
                missed = (exact[:, k] / size) ** 2 > outside
            distances[block] = exact[:, 1 : k + 1].cpu().numpy()
            indices[block] = found[:, 1 : k + 1].cpu().numpy()
            for row in torch.nonzero(missed)[:, 0].tolist():
                gaps = np.linalg.norm(points - points[start + row], axis=1)
                nearest = np.argpartition(gaps, k)[: k + 1]
                nearest = nearest[np.argsort(gaps[nearest])][1:]
                distances[start + row], indices[start + row] = gaps[nearest], nearest
    return distances, indices


def _measured(
    centred: torch.Tensor, block: slice, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sorted double-precision distances of a block of points, and those candidates."""
    import torch

    gaps = centred[index.reshape(-1)].reshape(*index.shape, -1) - centred[block][:, None, :]
    distances, order = torch.sort(gaps.pow(2).sum(dim=2).sqrt(), dim=1)
    return distances, torch.gather(index, 1, order)


def _sorted_counts(values: FloatArray, radius: FloatArray) -> IntArray:
    ranked = np.sort(values)
    n = len(ranked)
    padded = np.concatenate([[-np.inf], ranked, [np.inf]])
    left = np.searchsorted(ranked, values - radius)
    right = np.searchsorted(ranked, values + radius)
    # values ± radius are rounded: move both ends until the differences themselves agree.
    while (move := (left > 0) & (values - padded[left] < radius)).any():
        left = left - move
    while (move := (left < n) & (values - padded[left + 1] >= radius)).any():
        left = left + move
    while (move := (right < n) & (padded[right + 1] - values < radius)).any():
        right = right + move
    while (move := (right > 0) & (padded[right] - values >= radius)).any():
        right = right - move
    return (right - left).astype(np.int64)

"""Categories of a reference: labels, values in bins, or vectors in spectral clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from infoplane.data import Array, FloatArray, IntArray, class_ids
from infoplane.errors import InputError

Kind: TypeAlias = Literal["auto", "labels", "scalar", "vector", "clusters"]
KINDS = ("auto", "labels", "scalar", "vector", "clusters")
_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class Clusters:
    """Category of each sample.

    Attributes
    ----------
    labels : int64 array (n,)
        Category ids; bins count from 1, spectral clusters from 0.
    kind : str
        How the reference was read: ``labels``, ``scalar``, ``vector`` or ``clusters``.
    sizes : tuple of int
        Samples of each category, in order of the ids.
    n_components : int or None
        Connected parts of the neighbour graph; with more than one, spectral clusters are partly
        arbitrary.
    """

    labels: IntArray
    kind: str
    sizes: tuple[int, ...]
    n_components: int | None = None


def cluster_reference(reference: Any, *, kind: Kind = "auto", n_clusters: int = 10) -> Clusters:
    """Return the categories of a reference.

    Parameters
    ----------
    reference : array (n,) or (n, n_features)
        Class labels (integers, booleans, strings, whole floats, or one-hot rows), one real number
        per sample, or a vector per sample.
    kind : {"auto", "labels", "scalar", "vector", "clusters"}
        How to read it; ``clusters`` are labels made before. ``auto`` takes one column of whole
        numbers, booleans or strings and one-hot rows as labels, one column of other numbers as
        scalar, several columns as vectors.
    n_clusters : int, default 10
        Bins of a scalar (equal width), or clusters of vectors.

    Raises
    ------
    InputError
        If the shape, type or values do not fit the kind, or there are fewer samples than clusters.

    References
    ----------
    Liao et al., arXiv 2312.04823, section IV; cluster assignment by pivoted QR: Damle, Minden,
    Ying: "Simple, direct and efficient multi-way spectral clustering", 2019.
    """
    if kind not in KINDS:
        raise InputError(f"expected kind as one of {', '.join(KINDS)}, got {kind!r}")
    if n_clusters < 1:
        raise InputError(f"expected n_clusters of at least 1, got {n_clusters}")
    values = _checked(reference)
    if kind == "auto":
        kind = _kind_of(values)
    if kind in ("labels", "clusters"):
        return _counted(class_ids(_label_column(values)), kind)
    if values.dtype.kind not in "fiub":
        raise InputError(f"expected a reference of numbers for kind {kind!r}, got {values.dtype}")
    if kind == "scalar":
        if values.ndim == 2 and values.shape[1] != 1:
            raise InputError(f"expected one number per sample, got shape {values.shape}")
        return _counted(_bins(values.reshape(-1).astype(np.float64), n_clusters), kind)
    return _spectral(values.reshape(len(values), -1), n_clusters)


def _checked(reference: Any) -> Array:
    if hasattr(reference, "detach"):
        reference = reference.detach().cpu().numpy()
    values = np.asarray(reference)
    if values.dtype.kind == "O":
        values = np.array(values.tolist())
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise InputError(f"expected a reference (n,) or (n, n_features), got {values.shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).sum())
        raise InputError(f"expected a finite reference, got NaN or inf in {bad} of {len(values)}")
    return values


def _kind_of(values: Array) -> Kind:
    if _is_one_hot(values):
        return "labels"
    if values.ndim == 2 and values.shape[1] > 1:
        return "vector"
    whole = values.dtype.kind != "f" or bool((values == np.floor(values)).all())
    return "labels" if whole else "scalar"


def _is_one_hot(values: Array) -> bool:
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiub":
        return False
    return bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())


def _label_column(values: Array) -> Array:
    if values.ndim == 1:
        return values
    if values.shape[1] == 1:
        return np.asarray(values[:, 0])
    if _is_one_hot(values):
        return np.asarray(values.argmax(axis=1))
    raise InputError(f"expected one label per sample or one-hot rows, got shape {values.shape}")


def _counted(labels: IntArray, kind: str, n_components: int | None = None) -> Clusters:
    sizes = np.unique(labels, return_counts=True)[1]
    return Clusters(labels, kind, tuple(int(size) for size in sizes), n_components)


def _bins(values: Array, n_bins: int) -> IntArray:
    """Return bins 1..n_bins of equal width; the greatest value is in the last one."""
    low, high = values.min(), values.max()
    if low == high:
        return np.ones(len(values), dtype=np.int64)
    edges = np.linspace(0, 1, n_bins + 1)[:-1]
    return np.asarray(np.digitize((values - low) / (high - low), edges), dtype=np.int64)


def _spectral(values: Array, n_clusters: int) -> Clusters:
    """Return spectral clusters on the symmetrised graph of 10 nearest neighbours."""
    n = len(values)
    if (values == values[0]).all():  # the neighbours of equal rows are arbitrary
        return _counted(np.zeros(n, dtype=np.int64), "vector", 1)
    if n_clusters >= n:
        raise InputError(f"expected more than n_clusters = {n_clusters} samples, got {n}")
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    neighbours = min(_NEIGHBOURS, n - 1)
    graph = kneighbors_graph(values, n_neighbors=neighbours, include_self=True)
    affinity = 0.5 * (graph + graph.T)
    n_components = int(connected_components(affinity, directed=False)[0])
    labels = _assigned(_embedding(affinity, n_clusters))
    return _counted(labels.astype(np.int64), "vector", n_components)


def _embedding(affinity: Any, size: int) -> FloatArray:
    """Return the lowest eigenvectors of a graph's Laplacian, over the roots of degrees (n, size).

    The Laplacian has the eigenvalue 0 once for every component. At a shift of 0, as scikit-learn
    before 1.9 took it, ARPACK misses some of their vectors; just below 0 it finds all.
    """
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import eigsh

    matrix, roots = laplacian(affinity, normed=True, return_diag=True)
    start = np.random.default_rng(0).uniform(-1, 1, matrix.shape[0])  # else one of its own
    _, vectors = eigsh(matrix, k=size, sigma=-1e-5, which="LM", v0=start)
    return np.asarray(vectors / roots[:, None])


def _assigned(embedding: FloatArray) -> IntArray:
    """Return the cluster of every row, by a QR decomposition with pivots."""
    from scipy.linalg import qr, svd

    pivots = qr(embedding.T, mode="r", pivoting=True)[1][: embedding.shape[1]]
    left, _, right = svd(embedding[pivots].T)
    return np.asarray(np.abs(embedding @ (left @ right)).argmax(axis=1))

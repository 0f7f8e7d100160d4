"""Relatives of diffusion spectral entropy that its paper compares it with.

Entropies of the adjacency spectrum and of matrix entries, and the plug-in entropy of binned
coordinates; and their mutual informations by the same subset scheme.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.numerics.diffusion.bandwidth import Sigma, bandwidth
from infoplane.numerics.diffusion.clusters import Kind, cluster_reference
from infoplane.numerics.diffusion.kernel import diffusion_kernel, gaussian_kernel
from infoplane.numerics.diffusion.points import checked_points, point_cloud
from infoplane.numerics.diffusion.spectrum import eigenvalues, spectral_entropy
from infoplane.numerics.tensors import fetched


def adjacency_spectral_entropy(
    x: Any, *, sigma: Sigma = "median", anisotropic: bool = False, n_neighbors: int | None = None
) -> float:
    """Return the entropy in bits of the eigenvalues of an adjacency matrix.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Real and finite.
    sigma : float or str
        Bandwidth, as for diffusion spectral entropy.
    anisotropic : bool
        Take the diffusion kernel instead of the Gaussian one; the result is then the diffusion
        spectral entropy at t = 1.
    n_neighbors : int, optional
        Take the graph of nearest neighbours, each point its own first, ties included. The matrix
        is not symmetric and its spectrum ill-conditioned: a permutation of the rows may move the
        value by 1e-5 bits.

    Raises
    ------
    InputError
        If ``x`` or ``sigma`` is unfit, or there are fewer samples than neighbours.

    References
    ----------
    Liao et al., arXiv 2312.04823.

    Examples
    --------
    Eight points without neighbours are eight eigenvalues of 1:

    >>> import numpy as np
    >>> round(adjacency_spectral_entropy(100.0 * np.eye(8), sigma=1.0), 6)
    3.0
    """
    points = checked_points(x)
    if n_neighbors is not None:
        graph = _neighbour_graph(fetched(points), n_neighbors)
        return spectral_entropy(np.abs(np.linalg.eigvals(graph)))
    cloud = point_cloud(points, unit_length=sigma == "l2")
    cloud.rescale(bandwidth(cloud, sigma).sigma)
    kernel = gaussian_kernel(cloud)
    if anisotropic:
        kernel, _, _ = diffusion_kernel(kernel, "official", 0.5)
    return spectral_entropy(eigenvalues(kernel))


def matrix_entry_entropy(x: Any, *, sigma: Sigma = "median") -> float:
    """Return the entropy in bits of the n² entries of the diffusion operator, over their sum.

    The operator is the row-stochastic one with density exponent 1/2; the value is at most
    2 log2 n.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Real and finite.
    sigma : float or str
        Bandwidth, as for diffusion spectral entropy.

    References
    ----------
    Liao et al., arXiv 2312.04823.

    Examples
    --------
    The operator of eight points without neighbours has eight entries of 1:

    >>> import numpy as np
    >>> round(matrix_entry_entropy(100.0 * np.eye(8), sigma=1.0), 6)
    3.0
    """
    cloud = point_cloud(checked_points(x), unit_length=sigma == "l2")
    cloud.rescale(bandwidth(cloud, sigma).sigma)
    kernel = fetched(gaussian_kernel(cloud))
    root = kernel.sum(axis=1) ** 0.5
    kernel /= root[:, None] * root
    kernel /= kernel.sum(axis=1, keepdims=True)
    return float(scipy.special.entr(kernel / len(kernel)).sum() / np.log(2)) + 0.0


def coordinate_binned_entropy(x: Any, *, n_bins: int = 2) -> float:
    """Return the plug-in entropy in bits of rows binned per unit over the range of that unit.

    It nears log2 n as soon as there are about log2 n units, whatever the data.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Real and finite.
    n_bins : int, default 2
        Bins of equal width per unit.

    Raises
    ------
    InputError
        If ``x`` or ``n_bins`` is unfit.

    References
    ----------
    Liao et al., arXiv 2312.04823, there called classic Shannon entropy.

    Examples
    --------
    >>> import numpy as np
    >>> coordinate_binned_entropy(np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]]))
    1.0
    """
    if n_bins < 1:
        raise InputError(f"expected n_bins of at least 1, got {n_bins}")
    points = fetched(checked_points(x)).astype(np.float64)
    low, spread = points.min(axis=0), np.ptp(points, axis=0)
    spread[spread == 0] = 1.0
    edges = np.linspace(0, 1, n_bins + 1)[:-1]
    bins = np.ascontiguousarray(np.digitize((points - low) / spread, edges))
    counts = np.unique(bins, axis=0, return_counts=True)[1]
    return float(scipy.special.entr(counts / counts.sum()).sum() / np.log(2)) + 0.0


def subset_mutual_information(
    x: Any,
    reference: Any,
    entropy: Callable[[Array], float],
    *,
    kind: Kind = "auto",
    n_clusters: int = 10,
    repetitions: int = 5,
    seed: int = 0,
) -> float:
    """Return the entropy of random subsets of the sizes of the classes less that of the classes.

    This is how diffusion spectral mutual information is made of its entropy, for any other one.
    An entropy that scales its bins or its bandwidth to each subset gives no information in the
    usual sense; values far below 0 occur.

    Parameters
    ----------
    x : array (n_samples, n_units)
        Real and finite.
    reference : array (n_samples,) or (n_samples, n_features)
        As for diffusion spectral mutual information.
    entropy : callable
        From points (n, n_units) to bits.
    kind, n_clusters, repetitions, seed
        As for diffusion spectral mutual information; all classes count.

    Raises
    ------
    InputError
        If lengths differ or an argument is unfit.

    Examples
    --------
    All of one class is no random subset:

    >>> import numpy as np
    >>> labels = np.arange(60) % 2
    >>> x = np.column_stack([labels, 1.0 - labels])
    >>> subset_mutual_information(x, labels, coordinate_binned_entropy) > 0.9
    True
    """
    points = fetched(checked_points(x))
    labels = cluster_reference(reference, kind=kind, n_clusters=n_clusters).labels
    if len(labels) != len(points):
        raise InputError(f"expected one reference per sample, {len(points)}, got {len(labels)}")
    if repetitions < 1:
        raise InputError(f"expected repetitions of at least 1, got {repetitions}")
    classes, counts = np.unique(labels, return_counts=True)
    subsets: dict[int, float] = {}
    total = 0.0
    for one, size in zip(classes, counts.tolist(), strict=True):
        if size not in subsets:
            draw = random.Random(seed)  # noqa: S311
            rows = [draw.sample(range(len(points)), size) for _ in range(repetitions)]
            subsets[size] = float(np.mean([entropy(points[row]) for row in rows]))
        total += size / len(points) * (subsets[size] - entropy(points[labels == one]))
    return total


def _neighbour_graph(points: Array, n_neighbors: int) -> FloatArray:
    """Return the 0/1 matrix (n, n) of the nearest neighbours of each row, itself one of them."""
    n = len(points)
    if not 1 <= n_neighbors <= n:
        raise InputError(f"expected n_neighbors from 1 to {n} samples, got {n_neighbors}")
    from scipy.spatial.distance import cdist

    distances = cdist(points, points)
    reach = np.partition(distances, n_neighbors - 1, axis=1)[:, n_neighbors - 1]
    return np.asarray(distances <= reach[:, None], dtype=np.float64)

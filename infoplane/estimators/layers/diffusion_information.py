"""Diffusion spectral mutual information, with what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.layers.diffusion_entropy import SMALL_N
from infoplane.estimators.trust import SMALLEST_BITS, is_negative, is_saturated
from infoplane.numerics.diffusion.bandwidth import Sigma
from infoplane.numerics.diffusion.clusters import Clusters, Kind, cluster_reference
from infoplane.numerics.diffusion.information import (
    SubsetInformation,
    Subsets,
    subset_information,
)
from infoplane.numerics.diffusion.kernel import Normalization
from infoplane.numerics.diffusion.points import checked_points
from infoplane.numerics.diffusion.space import (
    DiffusionOptions,
    DiffusionSpace,
    Method,
    diffusion_space,
    diffusion_times,
)

NULL_DEVIATIONS = 2.0
"""Standard deviations above the mean of the permutation null up to which a value is part of it."""

_BY_TIME = ("t", "subset_entropy", "class_entropy", "sd_over_repetitions")


@dataclass(frozen=True, eq=False)
class DiffusionInformation:
    """Diffusion spectral mutual information of points and a reference.

    With several diffusion times, ``bits``, ``standard_error``, ``null_mean`` and ``null_sd`` are
    arrays (n_times,) and ``per_class`` is (n_times, n_classes).

    Attributes
    ----------
    bits : float or array
        May be negative; never clipped.
    per_class : array (n_classes,)
        Entropy of random subsets of the size of a class less that of the class; NaN for classes
        that are too small and left out.
    counts : int64 array (n_classes,)
        Samples of each class, in order of the class ids, including those left out.
    bound : float
        Sum of p_c log2 n_c, which no value exceeds. The entropy of the labels is no bound.
    null_mean, null_sd : float or array or None
        Of the same quantity with permuted labels; None without permutations.
    standard_error : float or array or None
        From the spread over repetitions of the subset draws, and the method's own error; it says
        nothing on the sampling of the points. None for one repetition.
    clusters : int64 array (n,)
        Class of each sample.
    sigma : float
        Bandwidth of the set and of all subsets.
    flags : tuple of str
        ``negative``; ``saturated`` and ``degenerate`` as for the entropy, of the subsets;
        ``small_n``: classes below 30 samples, or left out; ``null_dominates``: not above the
        permutation null by two of its standard deviations; ``not_converged``: the neighbour graph
        of a vector reference falls into parts, its clusters are partly arbitrary.
    """

    bits: float | FloatArray
    per_class: FloatArray
    counts: IntArray
    bound: float
    null_mean: float | FloatArray | None
    null_sd: float | FloatArray | None
    standard_error: float | FloatArray | None
    clusters: IntArray
    sigma: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def diffusion_spectral_mutual_information(
    x: Any,
    reference: Any,
    *,
    kind: Kind = "auto",
    n_clusters: int = 10,
    repetitions: int = 5,
    min_class_size: int = 10,
    permutations: int = 0,
    subsets: Subsets = "official",
    sigma: Sigma = "median",
    t: float | Sequence[float] = 1,
    normalization: Normalization = "official",
    alpha: float = 0.5,
    method: Method = "auto",
    dtype: str | None = None,
    seed: int = 0,
) -> DiffusionInformation:
    """Diffusion spectral mutual information of points with a reference, in bits.

    The mean over classes of how much the entropy of a random subset of the size of the class
    exceeds the entropy of the class. It is 0 for labels that have nothing to do with the points
    and for one class; it is not symmetric, and knows no data-processing inequality.

    Parameters
    ----------
    x : array or torch.Tensor (n_samples, n_units)
        Real and finite.
    reference : array (n_samples,) or (n_samples, n_features)
        Labels, a number per sample, or vectors (e.g. the inputs of the network).
    kind : {"auto", "labels", "scalar", "vector", "clusters"}
        How to read the reference; ``clusters`` are labels made before, e.g. of the inputs.
    n_clusters : int, default 10
        Bins of a scalar or clusters of vectors.
    repetitions : int, default 5
        Random subsets per class size.
    min_class_size : int, default 10
        Smaller classes are left out, together with their points, and the rest re-weighted: a
        class of one point would count as 0. 1 keeps all, as the paper does.
    permutations : int, default 0
        Permutations of the labels for the null distribution.
    subsets : {"official", "disjoint"}
        ``official`` draws each subset on its own, as the reference implementation does;
        ``disjoint`` shares all points out among subsets of the sizes of the classes, which has the
        same mean and a fraction of the spread (a third to a twentieth).
    sigma, t, normalization, alpha, method, dtype
        As for :func:`~infoplane.diffusion_spectral_entropy`; one
        bandwidth, that of the whole set.
    seed : int
        Draws the subsets and the permutations.

    Returns
    -------
    DiffusionInformation

    Raises
    ------
    InputError
        If an argument is unfit or lengths differ.
    EstimationError
        If no class has ``min_class_size`` samples.

    References
    ----------
    Liao et al., arXiv 2312.04823, definition IV.2; here, as in the authors' experiments, the
    entropy of the whole set is replaced by that of subsets of the size of the class, which removes
    its dependence on n.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> diffusion_spectral_mutual_information(x, labels).bits > 0.1
    True
    """
    times, several = diffusion_times(t)
    options = DiffusionOptions(times, normalization, alpha, method, dtype, seed)
    space = diffusion_space(checked_points(x), sigma, options)
    clusters = cluster_reference(reference, kind=kind, n_clusters=n_clusters)
    found = at_each_time(
        space,
        clusters,
        repetitions=repetitions,
        min_class_size=min_class_size,
        permutations=permutations,
        subsets=subsets,
    )
    return _merged(found) if several else found[0]


def _merged(found: list[DiffusionInformation]) -> DiffusionInformation:
    """Return one record with arrays over diffusion times."""

    def stacked(name: str) -> FloatArray | None:
        values = [getattr(one, name) for one in found]
        return None if values[0] is None else np.array(values)

    names = ("bits", "per_class", "null_mean", "null_sd", "standard_error")
    diagnostics = {
        key: [one.diagnostics[key] for one in found] if key in _BY_TIME else value
        for key, value in found[0].diagnostics.items()
    }
    flags = tuple(dict.fromkeys(flag for one in found for flag in one.flags))
    arrays: dict[str, Any] = {name: stacked(name) for name in names}
    return replace(found[0], diagnostics=diagnostics, flags=flags, **arrays)


def at_each_time(
    space: DiffusionSpace,
    clusters: Clusters,
    *,
    repetitions: int = 5,
    min_class_size: int = 10,
    permutations: int = 0,
    subsets: Subsets = "official",
) -> list[DiffusionInformation]:
    """Return the information of a prepared space and clusters, one record per diffusion time.

    Raises
    ------
    InputError
        If lengths differ or a count is too small.
    EstimationError
        If no class has ``min_class_size`` samples.
    """
    found = subset_information(
        space,
        clusters,
        repetitions=repetitions,
        min_class_size=min_class_size,
        permutations=permutations,
        subsets=subsets,
    )
    null = found.null
    shared = {
        "sigma": space.width.sigma,
        "sigma_rule": space.width.rule,
        "kind": clusters.kind,
        "n_components": clusters.n_components,
        "n_classes_used": int(found.used.sum()),
        "n_used": int(found.counts[found.used].sum()),
        "repetitions": repetitions,
        "subsets": subsets,
        "seed": space.options.seed,
        "entropy_of_labels": found.entropy_of_labels,
    }
    return [
        DiffusionInformation(
            bits=float(found.bits[at]),
            per_class=found.per_class[at],
            counts=found.counts,
            bound=found.bound,
            null_mean=None if null is None else float(null[:, at].mean()),
            null_sd=None if null is None or len(null) < 2 else float(null[:, at].std(ddof=1)),
            standard_error=_one(found.standard_error, at),
            clusters=clusters.labels,
            sigma=space.width.sigma,
            diagnostics={
                **shared,
                "t": t,
                "sd_over_repetitions": _one(found.spread, at),
                "subset_entropy": float(found.subset_entropy[at]),
                "class_entropy": float(found.class_entropy[at]),
            },
            flags=_flags(space, clusters, found, at),
        )
        for at, t in enumerate(space.options.times)
    ]


def _one(values: FloatArray | None, at: int) -> float | None:
    return None if values is None else float(values[at])


def _flags(
    space: DiffusionSpace, clusters: Clusters, found: SubsetInformation, at: int
) -> tuple[str, ...]:
    """Return what to know before trusting the value at diffusion time number ``at``."""
    bits, of_subsets = float(found.bits[at]), float(found.subset_entropy[at])
    null = None if found.null is None or len(found.null) < 2 else found.null[:, at]
    raised = {
        "constant": space.width.rms_distance == 0,
        "small_n": found.counts[found.used].min() < SMALL_N or not found.used.all(),
        "not_converged": clusters.kind == "vector" and (clusters.n_components or 1) > 1,
        "out_of_range": space.width.requested is not None,
        "saturated": is_saturated(of_subsets, found.bound),
        "degenerate": of_subsets < SMALLEST_BITS,
        "negative": is_negative(bits),
        "null_dominates": null is not None
        and bits <= null.mean() + NULL_DEVIATIONS * null.std(ddof=1),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)

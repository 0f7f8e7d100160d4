"""Diffusion spectral mutual information: entropy of random subsets less that of the classes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.diffusion.bandwidth import Sigma
from infoplane.numerics.diffusion.clusters import Clusters, Kind, cluster_reference
from infoplane.numerics.diffusion.entropy import SMALL_N, diffusion_times
from infoplane.numerics.diffusion.kernel import Normalization
from infoplane.numerics.diffusion.points import checked_points
from infoplane.numerics.diffusion.space import (
    DiffusionOptions,
    DiffusionSpace,
    Method,
    diffusion_space,
)
from infoplane.numerics.intervals import ROUNDING
from infoplane.seeding import generator

_SHARED_KERNEL_ROWS = 10_000  # 800 MB in float64
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
    sigma, t, normalization, alpha, method, dtype
        As for :func:`~infoplane.numerics.diffusion.entropy.diffusion_spectral_entropy`; one
        bandwidth, that of the whole set.
    seed : int
        Draws the subsets, as the reference implementation does, and the permutations.

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
    found = information_of_space(
        space,
        clusters,
        repetitions=repetitions,
        min_class_size=min_class_size,
        permutations=permutations,
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


def information_of_space(
    space: DiffusionSpace,
    clusters: Clusters,
    *,
    repetitions: int = 5,
    min_class_size: int = 10,
    permutations: int = 0,
) -> list[DiffusionInformation]:
    """Return the information of a prepared space and clusters, one record per diffusion time.

    Raises
    ------
    InputError
        If lengths differ or a count is too small.
    EstimationError
        If no class has ``min_class_size`` samples.
    """
    labels = clusters.labels
    if len(labels) != space.n:
        raise InputError(f"expected one reference per sample, {space.n}, got {len(labels)}")
    if repetitions < 1 or min_class_size < 1 or permutations < 0:
        raise InputError(
            "expected repetitions and min_class_size of at least 1 and permutations of at least 0, "
            f"got {repetitions}, {min_class_size}, {permutations}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    used = counts >= min_class_size
    if not used.any():
        raise EstimationError(
            f"expected a class of at least {min_class_size} samples, the largest has {counts.max()}"
        )
    kept = np.flatnonzero(np.isin(labels, classes[used]))
    sizes = counts[used]
    space = _with_kernel_if_cheaper(space, sizes, repetitions, permutations)

    stars, star_errors = _subset_entropies(space, kept, sizes, repetitions)
    bits, errors = _class_entropies(space, kept, labels[kept], classes[used])
    weights = sizes / sizes.sum()
    star = np.stack([stars[size] for size in sizes], axis=-1)  # (repetitions, n_times, n_used)
    per_used = star.mean(axis=0) - bits
    value = per_used @ weights
    bound = float(weights @ np.log2(sizes))

    null = None
    if permutations:
        draw = generator(space.options.seed, "dse", "permutation")
        shuffled = labels[kept].copy()
        values = []
        for _ in range(permutations):
            draw.shuffle(shuffled)
            permuted, _ = _class_entropies(space, kept, shuffled, classes[used])
            values.append((star.mean(axis=0) - permuted) @ weights)
        null = np.array(values)

    star_error = np.stack([star_errors[size] for size in sizes], axis=-1)
    numerical = ((errors**2 + star_error**2) @ weights**2) ** 0.5
    totals = star @ weights  # (repetitions, n_times)
    sd = standard_error = None
    if repetitions > 1:
        sd = totals.std(axis=0, ddof=1)
        standard_error = np.sqrt(sd**2 / repetitions + numerical**2)
    subset_bits, class_bits = totals.mean(axis=0), bits @ weights
    results = []
    for which, t in enumerate(space.options.times):
        per_class = np.full(len(classes), np.nan)
        per_class[used] = per_used[which]
        at_t = None if null is None else null[:, which]
        results.append(
            DiffusionInformation(
                bits=float(value[which]),
                per_class=per_class,
                counts=counts.astype(np.int64),
                bound=bound,
                null_mean=None if at_t is None else float(at_t.mean()),
                null_sd=None if at_t is None or permutations < 2 else float(at_t.std(ddof=1)),
                standard_error=None if standard_error is None else float(standard_error[which]),
                clusters=labels,
                sigma=space.width.sigma,
                diagnostics={
                    "sigma": space.width.sigma,
                    "sigma_rule": space.width.rule,
                    "t": t,
                    "kind": clusters.kind,
                    "n_components": clusters.n_components,
                    "n_classes_used": int(used.sum()),
                    "n_used": len(kept),
                    "repetitions": repetitions,
                    "sd_over_repetitions": None if sd is None else float(sd[which]),
                    "seed": space.options.seed,
                    "subset_entropy": float(subset_bits[which]),
                    "class_entropy": float(class_bits[which]),
                    "entropy_of_labels": float(-weights @ np.log2(weights)) + 0.0,
                },
                flags=(
                    *_set_flags(space, clusters, sizes, all_used=bool(used.all())),
                    *_value_flags(float(value[which]), float(subset_bits[which]), bound, at_t),
                ),
            )
        )
    return results


def _with_kernel_if_cheaper(
    space: DiffusionSpace, sizes: IntArray, repetitions: int, permutations: int
) -> DiffusionSpace:
    """Hold the kernel of the whole set if the subsets together have more pairs than it."""
    n = space.cloud.n
    pairs = repetitions * (np.unique(sizes) ** 2).sum() + (1 + permutations) * (sizes**2).sum()
    if space.gaussian is not None or n > _SHARED_KERNEL_ROWS or pairs <= n * n:
        return space
    return space.with_kernel()


def _subset_entropies(
    space: DiffusionSpace, kept: IntArray, sizes: IntArray, repetitions: int
) -> tuple[dict[int, FloatArray], dict[int, FloatArray]]:
    """Return entropies (repetitions, n_times) of random subsets and their errors, by size.

    Each size starts from the seed again, as in the reference implementation, so that classes of
    one size share their subsets.
    """
    stars, errors = {}, {}
    for size in np.unique(sizes).tolist():
        draws = repetitions if size < len(kept) else 1
        found = [
            space.entropy(kept[chosen]).spectral
            for chosen in _subsets(len(kept), size, draws, space.options.seed)
        ]
        stars[size] = np.array([one.bits for one in found])
        if len(found) < repetitions:  # all points: every draw is the same set
            stars[size] = np.repeat(stars[size], repetitions, axis=0)
        squares = np.array([one.errors for one in found]) ** 2
        errors[size] = squares.mean(axis=0) ** 0.5 / len(found) ** 0.5
    return stars, errors


@lru_cache(maxsize=32)
def _subsets(n: int, size: int, draws: int, seed: int) -> list[IntArray]:
    """Return random subsets of ``size`` of ``n`` samples, ascending; the same for every layer."""
    draw = random.Random(seed)  # noqa: S311
    return [np.sort(draw.sample(range(n), size)) for _ in range(draws)]


def _class_entropies(
    space: DiffusionSpace, kept: IntArray, labels: IntArray, classes: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return entropies of the classes and their errors, each (n_times, n_classes)."""
    found = [space.entropy(kept[labels == one]).spectral for one in classes]
    return (
        np.stack([one.bits for one in found], axis=-1),
        np.stack([one.errors for one in found], axis=-1),
    )


def _set_flags(
    space: DiffusionSpace, clusters: Clusters, sizes: IntArray, *, all_used: bool
) -> list[str]:
    flags = []
    if space.width.rms_distance == 0:
        flags.append("constant")
    if sizes.min() < SMALL_N or not all_used:
        flags.append("small_n")
    if clusters.kind == "vector" and (clusters.n_components or 1) > 1:
        flags.append("not_converged")
    if space.width.requested is not None:
        flags.append("out_of_range")
    return flags


def _value_flags(
    bits: float, subset_bits: float, bound: float, null: FloatArray | None
) -> list[str]:
    flags = []
    if bound > 0 and subset_bits > 0.98 * bound:
        flags.append("saturated")
    if subset_bits < 0.05:
        flags.append("degenerate")
    if bits < -ROUNDING:
        flags.append("negative")
    if null is not None and len(null) > 1 and bits <= null.mean() + 2 * null.std(ddof=1):
        flags.append("null_dominates")
    return flags

"""Entropy of random subsets of the size of the classes, less that of the classes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from infoplane.data import FloatArray, IntArray
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.diffusion.clusters import Clusters
from infoplane.numerics.diffusion.space import DiffusionSpace
from infoplane.seeding import generator

Subsets: TypeAlias = Literal["official", "disjoint"]

_SHARED_KERNEL_ROWS = 10_000  # 800 MB in float64


@dataclass(frozen=True, eq=False)
class SubsetInformation:
    """What points tell about classes, at several diffusion times; in bits.

    Attributes
    ----------
    bits : array (n_times,)
        Mean over classes of ``per_class``, weighted by size.
    per_class : array (n_times, n_classes)
        Entropy of random subsets of the size of a class less that of the class; NaN for classes
        that are left out.
    counts : int64 array (n_classes,)
        Samples of each class.
    used : bool array (n_classes,)
        Classes that are not left out.
    subset_entropy, class_entropy : array (n_times,)
        Means of which ``bits`` is the difference.
    bound : float
        Sum of p_c log2 n_c.
    entropy_of_labels : float
        Of the classes that are used.
    null : array (n_permutations, n_times) or None
        ``bits`` with permuted labels.
    spread, standard_error : array (n_times,) or None
        Standard deviation over repetitions of the subset draws, and the standard error that comes
        of it and of the method; None for one repetition. Of ``disjoint`` subsets it is that of
        independent ones, which is too large: the spread of few repetitions would be too uncertain.
    """

    bits: FloatArray
    per_class: FloatArray
    counts: IntArray
    used: NDArray[np.bool_]
    subset_entropy: FloatArray
    class_entropy: FloatArray
    bound: float
    entropy_of_labels: float
    null: FloatArray | None
    spread: FloatArray | None
    standard_error: FloatArray | None


def subset_information(
    space: DiffusionSpace,
    clusters: Clusters,
    *,
    repetitions: int = 5,
    min_class_size: int = 10,
    permutations: int = 0,
    subsets: Subsets = "official",
) -> SubsetInformation:
    """Return what the points of a space tell about clusters of them.

    Parameters
    ----------
    space : DiffusionSpace
        Points and bandwidth.
    clusters : Clusters
        Class of each sample.
    repetitions : int, default 5
        Random subsets per class size.
    min_class_size : int, default 10
        Smaller classes are left out.
    permutations : int, default 0
        Permutations of the labels behind ``null``.
    subsets : {"official", "disjoint"}
        How the random subsets are drawn. ``official`` is each on its own, from one seed, as in the
        reference implementation. ``disjoint`` gives all points to subsets of the sizes of the
        classes, by permuted labels: the same mean at a fraction of the spread, for what one subset
        has another has not.

    Raises
    ------
    InputError
        If lengths differ or a count is too small.
    EstimationError
        If no class has ``min_class_size`` samples.

    References
    ----------
    Liao et al., arXiv 2312.04823, definition IV.2, with subsets in place of the whole set.
    """
    labels = clusters.labels
    if len(labels) != space.n:
        raise InputError(f"expected one reference per sample, {space.n}, got {len(labels)}")
    if repetitions < 1 or min_class_size < 1 or permutations < 0:
        raise InputError(
            "expected repetitions and min_class_size of at least 1 and permutations of at least 0, "
            f"got {repetitions}, {min_class_size}, {permutations}"
        )
    if subsets not in get_args(Subsets):
        raise InputError(f"expected subsets official or disjoint, got {subsets!r}")
    classes, counts = np.unique(labels, return_counts=True)
    used = counts >= min_class_size
    if not used.any():
        raise EstimationError(
            f"expected a class of at least {min_class_size} samples, the largest has {counts.max()}"
        )
    kept = np.flatnonzero(np.isin(labels, classes[used]))
    sizes = counts[used]
    space = _with_kernel_if_cheaper(space, sizes, repetitions, permutations)

    bits, errors = _class_entropies(space, kept, labels[kept], classes[used])
    weights = sizes / sizes.sum()
    if subsets == "disjoint" and len(sizes) > 1:
        shuffled = _shuffled(labels[kept], repetitions, space.options.seed, "subsets")
        found = [_class_entropies(space, kept, one, classes[used]) for one in shuffled]
        star = np.stack([one for one, _ in found])  # (repetitions, n_times, n_used)
        star_error = (np.stack([error for _, error in found]) ** 2).sum(axis=0) ** 0.5
        star_error /= repetitions
    else:
        stars, star_errors = _subset_entropies(space, kept, sizes, repetitions)
        star = np.stack([stars[size] for size in sizes], axis=-1)
        star_error = np.stack([star_errors[size] for size in sizes], axis=-1)
    per_class = np.full((len(bits), len(classes)), np.nan)
    per_class[:, used] = star.mean(axis=0) - bits
    null = None
    if permutations:
        shuffled = _shuffled(labels[kept], permutations, space.options.seed, "permutation")
        entropies = [_class_entropies(space, kept, one, classes[used])[0] for one in shuffled]
        null = np.array([(star.mean(axis=0) - one) @ weights for one in entropies])
    totals = star @ weights  # (repetitions, n_times)
    spread = standard_error = None
    if repetitions > 1:
        numerical = ((errors**2 + star_error**2) @ weights**2) ** 0.5
        spread = totals.std(axis=0, ddof=1)
        drawn = spread**2
        if subsets == "disjoint":  # few totals, but a spread for each class
            drawn = star.var(axis=0, ddof=1) @ weights**2
        standard_error = np.sqrt(drawn / repetitions + numerical**2)
    return SubsetInformation(
        bits=(star.mean(axis=0) - bits) @ weights,
        per_class=per_class,
        counts=counts.astype(np.int64),
        used=used,
        subset_entropy=totals.mean(axis=0),
        class_entropy=bits @ weights,
        bound=float(weights @ np.log2(sizes)),
        entropy_of_labels=float(-weights @ np.log2(weights)) + 0.0,
        null=null,
        spread=spread,
        standard_error=standard_error,
    )


def _shuffled(labels: IntArray, permutations: int, seed: int, use: str) -> Iterator[IntArray]:
    """Yield permutations of the labels, each of the one before it."""
    draw = generator(seed, "dse", use)
    shuffled = labels.copy()
    for _ in range(permutations):
        draw.shuffle(shuffled)
        yield shuffled


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

"""Classes of real targets: as even in size as ties allow, each tied value whole."""

from __future__ import annotations

import logging

import numpy as np

from infoplane.arrays import sortable
from infoplane.data import Array, IntArray, ProbeSet
from infoplane.errors import InputError
from infoplane.text import counted

COLUMNS = (
    "take one column, of shape (n_samples,), as labels, or give each combination of them an id: "
    "numpy.unique(labels, axis=0, return_inverse=True)[1]"
)

_NUMBERS = 4  # samples of each value, on average, below which whole numbers are hardly class ids
FEW = 20
"""Samples, below which nothing is said of how many values they have."""

_ENDS = [end for bits in (8, 16, 32, 64) for end in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)]
UNLABELLED = (-1, -100, 255, -99, -999, -9999, 65535, *_ENDS)
"""Ids of samples without a label: of scikit-learn, torch (``ignore_index``), segmentation, tables;
the smallest and the largest integers."""

log = logging.getLogger("infoplane")


def classes_of(targets: Array | None, bins: int, where: str) -> IntArray:
    """Return `target_classes`; warn of targets that are hardly meant, and of fewer classes.

    Raises
    ------
    InputError
        As `target_classes`.
    """
    classes = target_classes(targets, bins)
    values, first, counts = np.unique(
        sortable(np.asarray(targets)), return_index=True, return_counts=True
    )
    _warn_of_targets(values, counts, bins, where)
    if (made := int(classes[first[-1]]) + 1) < bins:
        log.warning(
            "%s: --label-bins %d makes %d classes: the targets have no more values",
            where, bins, made,
        )  # fmt: skip
    return classes


def _warn_of_targets(values: Array, counts: IntArray, bins: int, where: str) -> None:
    """Warn of a value that often marks samples without a target, or that half of them have."""
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        common = len(values) > bins and 2 * count >= counts.sum() >= FEW
        if value in UNLABELLED and stands_apart(value, values):
            why = "by which data often marks samples without one; --label-bins makes it"
        elif common:
            why = "which --label-bins makes"
        else:
            continue
        log.warning(
            "%s: %d of %d samples have the target %s, %s a class or part of one: leave these "
            "samples out if they have none",
            where, count, counts.sum(), f"{value:.15g}", why,
        )  # fmt: skip


def target_classes(targets: Array | None, bins: int) -> IntArray:
    """Return class ids of scalar targets: ``bins`` classes, as even in size as ties allow.

    Samples of one value are of one class. A value of more samples than a class should have is a
    class of its own, so there are ``bins`` classes if there are so many values.

    Raises
    ------
    InputError
        If the targets are not scalar and finite.

    Examples
    --------
    >>> target_classes(np.array([0.0, 0.0, 0.0, 0.0, 0.3, 0.9, 1.5, 2.0]), 3)
    array([0, 0, 0, 0, 1, 1, 2, 2])
    """
    if targets is not None and targets.ndim > 1:
        raise InputError(
            f"expected scalar targets for --label-bins, got {targets.shape[1]} columns",
            hint=COLUMNS,
        )
    if targets is None or targets.dtype.kind not in "fiu" or bins < 2:
        raise InputError("expected scalar targets and at least 2 bins for --label-bins")
    if not np.isfinite(targets).all():
        raise InputError("expected finite targets, got NaN or inf")
    values, inverse, counts = np.unique(sortable(targets), return_inverse=True, return_counts=True)
    starts = _starts(counts, bins)
    classes: IntArray = np.searchsorted(starts, np.arange(len(values)), side="right") - 1
    return classes[inverse.reshape(-1)]


def are_numbers(whole: Array) -> bool:
    """Tell whether whole numbers are hardly class ids: there are too few samples of each."""
    return len(whole) >= FEW and _NUMBERS * len(np.unique(whole)) > len(whole)


def numbers_of(probe: ProbeSet, where: str) -> Array | None:
    """Return the real targets of a probe set, or labels that are hardly class ids.

    Raises
    ------
    InputError
        If there are class labels, or nothing.
    """
    if probe.targets is None and (probe.labels is None or not are_numbers(probe.labels)):
        classes = 0 if probe.labels is None else len(np.unique(probe.labels))
        found = f"class labels of {counted(classes, 'class')}" if classes else "no labels"
        raise InputError(
            f"label_bins: expected real targets, found {found} in {where}",
            argument="label_bins",
            hint="leave it out; or, if the labels are numbers, record them as real targets: "
            "infoplane.ProbeSet(inputs, targets=y)",
        )
    return probe.numbers


def _starts(counts: IntArray, bins: int) -> list[int]:
    """Return the first value of each class, given how many samples each value has."""
    largest = int(counts.argmax()) if len(counts) else 0
    if len(counts) <= bins:
        return list(range(len(counts)))
    if bins == 1 or counts[largest] * bins < counts.sum():
        return _even(counts, bins)
    below, above = counts[:largest], counts[largest + 1 :]
    if bins == 2 and len(below) and len(above):
        return _even(counts, bins)
    share = round((bins - 1) * below.sum() / (counts.sum() - counts[largest]))
    least = max(min(len(below), 1), bins - 1 - len(above))
    most = min(len(below), bins - 1 - min(len(above), 1))
    share = min(max(share, least), most)
    after = _starts(above, bins - 1 - share) if len(above) else []
    return [
        *(_starts(below, share) if share else []),
        largest,
        *(largest + 1 + start for start in after),
    ]


def _even(counts: IntArray, bins: int) -> list[int]:
    """Return the first values of classes that begin next to the quantiles."""
    before = counts.cumsum() - counts  # samples below each value
    wanted = np.ceil(np.arange(1, bins) / bins * (counts.sum() - 1))
    above = np.clip(np.searchsorted(before, wanted), 1, len(counts) - 1)
    below = np.maximum(above - 1, 1)
    nearest = np.where(wanted - before[below] <= before[above] - wanted, below, above)
    return [0, *np.unique(nearest).tolist()]


def stands_apart(label: float, classes: Array) -> bool:
    """Tell whether the other classes, or targets, are a row or a range far from this one.

    Classes are numbered from 0 on.
    """
    others = classes[~np.isin(classes, UNLABELLED)]
    if not len(others):
        return False
    first, last = others[0].item(), others[-1].item()
    if label < 0 <= first:  # -1 and 1 are two classes
        return label < -1 or len(others) > 1 or first == 0
    row = classes.dtype.kind != "f" and first >= 0 and last + 1 < label
    dense = row and 2 * len(others) > last + 1
    far = max(first - label, label - last) > last - first
    return len(others) > 1 and (dense or far)

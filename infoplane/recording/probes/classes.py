"""Classes of a probe set: made of real targets, and checked for what makes I(T;Y) mislead."""

from __future__ import annotations

import logging

import numpy as np

from infoplane.arrays import sortable
from infoplane.data import Array, IntArray, ProbeSet
from infoplane.errors import InputError

log = logging.getLogger("infoplane")

_COLUMNS = (
    "take one column, of shape (n_samples,), as labels, or give each combination of them an id: "
    "numpy.unique(labels, axis=0, return_inverse=True)[1]"
)
_ENDS = [end for bits in (8, 16, 32, 64) for end in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)]
_UNLABELLED = (-1, -100, 255, -99, -999, -9999, 65535, *_ENDS)
"""Ids of samples without a label: of scikit-learn, torch (``ignore_index``), segmentation, tables;
the smallest and the largest integers."""

_UNNAMED = ("", "unlabeled", "unlabelled", "unknown", "none", "nan", "null", "n/a")

_FEW = 20  # samples, below which nothing is said of how many classes they have


def classes_of(targets: Array | None, bins: int, where: str) -> IntArray:
    """Return class ids of scalar targets: ``bins`` classes, as even in size as ties allow.

    Samples of one value are of one class. A value of more samples than a class should have is a
    class of its own, so there are ``bins`` classes if there are so many values.

    Raises
    ------
    InputError
        If the targets are not scalar and finite.
    """
    if targets is not None and targets.ndim > 1:
        raise InputError(
            f"expected scalar targets for --label-bins, got {targets.shape[1]} columns",
            hint=_COLUMNS,
        )
    if targets is None or targets.dtype.kind not in "fiu" or bins < 2:
        raise InputError("expected scalar targets and at least 2 bins for --label-bins")
    if not np.isfinite(targets).all():
        raise InputError("expected finite targets, got NaN or inf")
    values, inverse, counts = np.unique(sortable(targets), return_inverse=True, return_counts=True)
    _warn_of_targets(values, counts, bins, where)
    starts = _starts(counts, bins)
    if len(starts) < bins:
        log.warning(
            "%s: --label-bins %d makes %d classes: the targets have no more values",
            where, bins, len(starts),
        )  # fmt: skip
    classes: IntArray = np.searchsorted(starts, np.arange(len(values)), side="right") - 1
    return classes[inverse.reshape(-1)]


def _warn_of_targets(values: Array, counts: IntArray, bins: int, where: str) -> None:
    """Warn of a value that often marks samples without a target, or that half of them have."""
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        common = len(values) > bins and 2 * count >= counts.sum() >= _FEW
        if value in _UNLABELLED and _stands_apart(value, values):
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


def warn_of_labels(probe: ProbeSet, where: str) -> None:
    """Warn where I(T;Y) will not be estimated, or of classes that are hardly meant."""
    if probe.labels is not None:
        warn_of_classes(probe.labels, where)
        return
    why, remedy = "no labels", ""
    if probe.targets is not None:
        several = probe.targets.ndim > 1
        why = f"labels of {probe.targets.shape[1]} columns" if several else "real targets"
        remedy = f"; {_COLUMNS}" if several else "; --label-bins K makes classes of them"
    log.warning("%s: %s: I(T;Y) will not be estimated%s", where, why, remedy)


def warn_of_classes(labels: IntArray, where: str) -> None:
    """Warn of a single class, of ids that often mark samples without a label, of too many."""
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) == 1 and classes[0] in _UNLABELLED:
        log.warning(
            "%s: all %d samples have the label %d, by which data often marks samples without one: "
            "I(T;Y) is 0 in every layer; are these the samples of a part without labels?",
            where, len(labels), classes[0],
        )  # fmt: skip
    elif len(classes) == 1:
        log.warning(
            "%s: one class: I(T;Y) is 0 in every layer, as all %d samples have the label %d",
            where, len(labels), classes[0],
        )  # fmt: skip
    elif len(classes) > len(labels) / 2 and len(labels) >= _FEW:
        log.warning(
            "%s: %d classes of %d samples: too few of each to estimate I(T;Y); if the labels are "
            "real targets, --label-bins K makes classes of them",
            where, len(classes), len(labels),
        )  # fmt: skip
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        if label in _UNLABELLED and _stands_apart(label, classes):
            log.warning(
                "%s: %d of %d samples have the label %d, by which data often marks samples without "
                "one; here it is a class: leave these samples out if they have none",
                where, count, len(labels), label,
            )  # fmt: skip


def _stands_apart(label: float, classes: Array) -> bool:
    """Tell whether the other classes, or targets, are a row or a range far from this one.

    Classes are numbered from 0 on.
    """
    others = classes[~np.isin(classes, _UNLABELLED)]
    if not len(others):
        return False
    first, last = others[0].item(), others[-1].item()
    if label < 0 <= first:  # -1 and 1 are two classes
        return label < -1 or len(others) > 1 or first == 0
    row = classes.dtype.kind != "f" and first >= 0 and last + 1 < label
    dense = row and 2 * len(others) > last + 1
    far = max(first - label, label - last) > last - first
    return len(others) > 1 and (dense or far)


def warn_of_names(names: Array | None, where: str) -> None:
    """Warn of classes whose names say that the samples have no label."""
    if names is None or names.dtype.kind not in "US":
        return
    for name, count in zip(*np.unique(names.astype(str), return_counts=True), strict=True):
        if name.strip().lower() in _UNNAMED:
            log.warning(
                "%s: %d of %d samples have the label %r, by which data often marks samples without "
                "one; here it is a class: leave these samples out if they have none",
                where, count, names.size, str(name),
            )  # fmt: skip


def warn_of_splits(probe: ProbeSet) -> None:
    """Warn of splits that do not have the same classes."""
    if probe.labels is None or not probe.splits:
        return
    every = np.unique(probe.labels)
    missing = {
        name: np.setdiff1d(every, probe.labels[rows])
        for name, rows in zip(probe.splits, probe.parts, strict=True)
    }
    if lacking := {name: classes for name, classes in missing.items() if len(classes)}:
        told = "; ".join(
            f"{name} has none of {', '.join(map(str, classes[:5]))}"
            + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")
            for name, classes in lacking.items()
        )
        log.warning("splits of different classes, whose I(T;Y) differ for that alone: %s", told)

"""Classes of a probe set: made of real targets, and checked for what makes I(T;Y) mislead."""

from __future__ import annotations

import logging

import numpy as np

from infoplane.arrays import sortable
from infoplane.data import NO_LABEL, Array, IntArray, ProbeSet
from infoplane.target_classes import COLUMNS, FEW, UNLABELLED, stands_apart

log = logging.getLogger("infoplane")

_UNNAMED = ("", "unlabeled", "unlabelled", "unknown", "none", "nan", "null", "n/a")


def warn_of_labels(probe: ProbeSet, where: str) -> None:
    """Warn where I(T;Y) will not be estimated, or of labels that are hardly meant."""
    if probe.token_labels is not None:
        warn_of_token_labels(probe.token_labels, where)
    elif probe.labels is not None:
        warn_of_classes(probe.labels, where)
    elif probe.targets is not None:
        warn_of_targets(probe.targets, where)
    else:
        log.warning("%s: no labels: I(T;Y) will not be estimated", where)


def warn_of_token_labels(labels: IntArray, where: str) -> None:
    """Say that labels are of tokens, and how many have none; otherwise as `warn_of_classes`."""
    known = labels[labels != NO_LABEL]
    log.warning(
        "%s: labels of tokens, %d of each sample, of which %d in all are %d, no label: infoplane "
        "analyze --rows token reads them",
        where, labels.shape[1], labels.size - known.size, NO_LABEL,
    )  # fmt: skip
    if known.size:
        warn_of_classes(known, where)


def warn_of_targets(targets: Array, where: str) -> None:
    """Warn of real targets that tell nothing, or that classes may have been meant by."""
    columns = targets.reshape(len(targets), -1)
    varies = (columns != columns[:1]).any(axis=0)
    if not varies.any():
        log.warning("%s: the targets do not vary: I(T;Y) is 0 in every layer", where)
    elif not varies.all():
        log.warning(
            "%s: %d of %d columns of the targets do not vary: they count for nothing",
            where, (~varies).sum(), len(varies),
        )  # fmt: skip
    whole = bool((columns == np.floor(columns)).all())
    if whole and columns.shape[1] > 1:
        log.warning(
            "%s: labels of %d columns are taken together, as real targets; for classes %s",
            where, columns.shape[1], COLUMNS,
        )  # fmt: skip
    elif whole and varies.any():
        log.warning(
            "%s: %d samples of %d whole numbers are taken as real targets; give integers for "
            "classes, or --label-bins K",
            where, len(columns), len(np.unique(sortable(columns))),
        )  # fmt: skip


def warn_of_classes(labels: IntArray, where: str) -> None:
    """Warn of a single class, of ids that often mark samples without a label, of too many."""
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) == 1 and classes[0] in UNLABELLED:
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
    elif len(classes) > len(labels) / 2 and len(labels) >= FEW:
        log.warning(
            "%s: %d classes of %d samples: too few of each to estimate I(T;Y); if the labels are "
            "real targets, --label-bins K makes classes of them",
            where, len(classes), len(labels),
        )  # fmt: skip
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        if label in UNLABELLED and stands_apart(label, classes):
            log.warning(
                "%s: %d of %d samples have the label %d, by which data often marks samples without "
                "one; here it is a class: leave these samples out if they have none",
                where, count, len(labels), label,
            )  # fmt: skip


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

"""What a layer tells about real targets, by classes that are made of them.

A class is a function of the target, so I(T;classes) is at most I(T;Y), whatever the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from infoplane.data import Array, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.numerics.discrete.target_cells import joint_classes

FLAG = "classes_of_targets"

_CLASSES = 10
_SAMPLES = 40  # of each class, below which there are fewer classes


def classes_of_targets(targets: Array) -> IntArray:
    """Return ten classes of targets, fewer below 400 samples."""
    return joint_classes(targets, max(2, min(_CLASSES, len(targets) // _SAMPLES)))


def of_targets(found: Mapping[str, Estimate], n_classes: int) -> dict[str, Estimate]:
    """Return estimates with labels as those of targets that the labels are classes of.

    I(X;T|Y) is left out: given the class it is another one than given the target.
    """
    told = {}
    for key, estimate in found.items():
        name = key.partition("@")[0]
        if name == "ity":
            settings = filter(None, (estimate.setting, f"{n_classes} classes of Y"))
            estimate = replace(
                estimate,
                flags=(*estimate.flags, FLAG),
                diagnostics={**estimate.diagnostics, FLAG: n_classes},
                setting=", ".join(settings),
            )
        if name != "ixt_given_y":
            told[key] = estimate
    return told

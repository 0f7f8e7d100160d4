"""What a code tells about real targets, by neighbour counts; values that many samples have apart.

The values that many samples have, the atoms of Y, are a function of Y. So is whether a target is
one of them, A. Hence I(T;Y) = I(T;A) + p I(T;Y | no atom), p the share of the samples that are at
no atom: the first is an information on labels, the second one on continuous numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from infoplane.data import Array, FloatArray, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.pair_information import ksg_information, mixed_information
from infoplane.estimators.trust import is_negative, noticeable, null_dominates
from infoplane.numerics.discrete.target_cells import normal_ranks
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.neighbors.terms import ATOM_FRACTION, duplicate_fraction

_ATOM = 0.02  # share of the samples, at least ten of them, that make a value an atom
_FEWEST = 10
_AXES = 8  # of several targets that are measured

_OF_THE_SUM = ("null_dominates", "negative")  # flags that are not those of a part


def target_information(code: FloatArray, targets: Array, k: int, seed: int) -> Estimate:
    """Return I(T;Y) of a code (n_samples, q) and real targets (n_samples,) or (n_samples, m).

    Targets are measured by their ranks, which hold the same information whatever their scale. Flags
    are those of `ksg_information` and, of targets with atoms, of `mixed_information`. Further ones:
    ``atoms``, where values that repeat are too rare to be atoms, or one of several columns has
    some; ``small_n``, where too few samples are left between the atoms to be measured.
    """
    columns = targets.reshape(len(targets), -1)
    columns = columns[:, (columns != columns[:1]).any(axis=0)]
    if not columns.shape[1]:
        reason = "expected targets that vary, got constant ones"
        return Estimate(0.0, flags=("constant",), diagnostics={"reason": reason})
    y = _axes(normal_ranks(columns))
    atoms = _atoms(y)
    at_none = atoms == 0
    share = float(at_none.mean())
    if share == 1.0:
        found = ksg_information(code, y, k, seed=seed)
    else:
        found = mixed_information(code, atoms, k, seed=seed)
        found = replace(found, bound_high=None, bound_name="none")
        found = _with_diagnostics(found, atoms=int(atoms.max()), share_at_atoms=1.0 - share)
        if at_none.sum() >= max(SMALLEST_SAMPLE, k + 1):
            between = ksg_information(code[at_none], y[at_none], k, seed=seed)
            found = _sum(found, between, share)
        elif share > ATOM_FRACTION:
            found = replace(found, flags=_once(*found.flags, "small_n"))
    if _repeats(columns, y[at_none]):
        found = replace(found, flags=_once(*found.flags, "atoms"))
    return found


def _repeats(columns: Array, between: FloatArray) -> bool:
    """Tell whether values repeat that are no atoms: rare ones, or of one of several columns."""
    if len(between) and duplicate_fraction(between) >= ATOM_FRACTION:
        return True
    return columns.shape[1] > 1 and any(_atoms(column[:, None]).any() for column in columns.T)


def _axes(ranks: FloatArray) -> FloatArray:
    """Return the ranks of targets; of many targets the longest principal axes of them."""
    if ranks.shape[1] <= _AXES:
        return ranks
    _, _, axes = np.linalg.svd(ranks, full_matrices=False)
    return np.asarray(ranks @ axes[:_AXES].T)


def _atoms(y: FloatArray) -> IntArray:
    """Return 1, 2, ... for samples at a value that many have, 0 for the others."""
    _, ids, counts = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    is_atom = counts >= max(_FEWEST, _ATOM * len(y))
    found: IntArray = np.where(is_atom, is_atom.cumsum(), 0)[ids.reshape(-1)]
    return found


def _sum(at_atoms: Estimate, between: Estimate, share: float) -> Estimate:
    """Return I(T;A) + p I(T;Y | no atom), with the errors of both."""
    flags = [flag for one in (at_atoms, between) for flag in one.flags if flag not in _OF_THE_SUM]
    told = {**at_atoms.diagnostics, "at_atoms": at_atoms.bits, "between": between.bits}
    if at_atoms.bits is None or between.bits is None:
        missing = at_atoms if at_atoms.bits is None else between
        told["reason"] = missing.diagnostics.get("reason", "one of two parts has no value")
        return Estimate(None, flags=_once("failed", *flags), diagnostics=told)
    bits = at_atoms.bits + share * between.bits
    null = _null(at_atoms) + share * _null(between)
    told["null"] = null
    if null > noticeable(bits) and null_dominates(abs(bits), null):
        flags.append("null_dominates")
    if is_negative(bits):
        flags.append("negative")
    found = replace(at_atoms, bits=bits, flags=_once(*flags), diagnostics=told)
    if at_atoms.low is None or between.low is None:
        return replace(found, low=None, high=None, method="none", level=None)
    down = math.hypot(at_atoms.bits - at_atoms.low, share * (between.bits - between.low))
    up = math.hypot(_high(at_atoms) - at_atoms.bits, share * (_high(between) - between.bits))
    return replace(found, low=bits - down, high=bits + up)


def _null(part: Estimate) -> float:
    return float(part.diagnostics.get("null") or 0.0)


def _high(part: Estimate) -> float:
    assert part.high is not None
    return part.high


def _once(*flags: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flags))


def _with_diagnostics(found: Estimate, **told: float) -> Estimate:
    return replace(found, diagnostics={**found.diagnostics, **told})

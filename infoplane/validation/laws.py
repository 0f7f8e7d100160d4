"""Laws of one cell: what its estimates must be beside each other, whatever the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from infoplane.data import Array
from infoplane.estimators.estimate import Estimate
from infoplane.validation.answers import normal_layer, permuted_labels
from infoplane.validation.findings import allowed_error
from infoplane.validation.problems import Problem, Trial
from infoplane.validation.truths import drawn_labels, entropy_of

_ROUNDING = 1e-3  # of kernel sums in single precision, in bits
_NULL_SAMPLES = 1000  # more, and a null from a subset spreads more than the value
_CEILING = 0.85  # share of log2 N above which a value follows N as much as the layer


class Claim(NamedTuple):
    """What must be true of one estimate.

    Parameters
    ----------
    key : str
        The estimate's key.
    truth : float
        What it must be, or what it may be at most, in bits.
    estimate : Estimate
        The estimate.
    allowed : float
        The difference that passes.
    at_most : bool
        Whether it may also be less.
    strict : bool
        Whether no flag excuses it.
    """

    key: str
    truth: float
    estimate: Estimate
    allowed: float = 0.0
    at_most: bool = False
    strict: bool = False


Claims: TypeAlias = Callable[[Problem, Mapping[str, Estimate]], Iterator[Claim]]


@dataclass(frozen=True)
class Law(Trial):
    """A problem, and what must hold between the estimates of it.

    Parameters
    ----------
    claims : callable
        From the problem and its estimates to what must be true of them.
    quantities : tuple of str
        Quantities that it is about.
    """

    claims: Claims
    quantities: tuple[str, ...]


def _patterns(n: int, rng: np.random.Generator) -> Problem:
    """Draw inputs out of 40 patterns, a layer of one point for each, uneven labels of them."""
    which = drawn_labels(np.full(40, 1 / 40), n, rng)
    places = 3.0 * rng.standard_normal((40, 4))
    labels = np.searchsorted([20, 32, 38], which, side="right").astype(np.int64)
    return Problem(rng.standard_normal((40, 3))[which], places[which], labels)


def _quadrants(n: int, rng: np.random.Generator) -> Problem:
    """Draw normal inputs, a layer that is noisy with declared noise, and the inputs' quadrants."""
    x = rng.standard_normal((n, 2))
    labels = (x > 0).astype(np.int64) @ np.array([1, 2])
    return Problem(x, x + 0.5 * rng.standard_normal((n, 2)), labels, noise=0.5)


def _entropies(problem: Problem, cell: Mapping[str, Estimate]) -> Iterator[Claim]:
    """I(T;Y) is at most H(Y), I(X;T) at most H(X), I(X;T|Y) at most H(X|Y), Y a function of X."""
    assert problem.labels is not None
    h_y, h_x = _entropy(problem.labels[:, None]), _entropy(problem.inputs)
    limits = {"ity": h_y, "ixt": h_x, "ixt_given_y": h_x - h_y}
    for key, estimate in cell.items():
        limit = limits.get(key.partition("@")[0])
        if limit is not None:
            rounding = _ROUNDING if estimate.method == "bracket" else 0.0
            yield Claim(key, limit, estimate, rounding, at_most=True)


def _entropy(rows: Array) -> float:
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    return entropy_of(counts / len(rows))


_OF_LABELS = ("ity", "dsmi_y", "csy")
_BOUND_BY_N = ("ixt", "ht", "ixt_given_y", "dse")


def _told_of_ceilings(problem: Problem, cell: Mapping[str, Estimate]) -> Iterator[Claim]:
    """A value near log2 N carries a flag."""
    for key, estimate in cell.items():
        if key.partition("@")[0] in _BOUND_BY_N:
            n = estimate.n or len(problem.activations)
            yield Claim(key, _CEILING * math.log2(n), estimate, at_most=True)


def _chain_rule(problem: Problem, cell: Mapping[str, Estimate]) -> Iterator[Claim]:
    """I(X;T) = I(T;Y) + I(X;T|Y), where the last is given."""
    for key, given in cell.items():
        quantity, _, variant = key.partition("@")
        if quantity != "ixt_given_y":
            continue
        suffix = f"@{variant}" if variant else ""
        ixt, ity = cell["ixt" + suffix], cell["ity" + suffix]
        if ixt.bits is None or ity.bits is None:
            yield Claim(key, math.nan, Estimate(None, flags=ixt.flags + ity.flags))
            continue
        yield Claim(key, ixt.bits - ity.bits, given, allowed=1e-9, strict=True)
        direct = given.diagnostics.get("direct")
        if direct is not None:
            second = Estimate(float(direct), flags=given.flags)
            yield Claim(f"{key}, by class", ixt.bits - ity.bits, second, allowed_error(ixt.bits))


def _null_of_its_own(problem: Problem, cell: Mapping[str, Estimate]) -> Iterator[Claim]:
    """With shuffled labels the value is what the estimator itself calls the null.

    Of an excess over that, it is what it was before.
    """
    for key, estimate in cell.items():
        null = estimate.diagnostics.get("null", estimate.diagnostics.get("null_mean"))
        if key.partition("@")[0] in _OF_LABELS and null is not None:
            # Both spread: four standard errors of one are three of their difference.
            width = (estimate.high or 0.0) - (estimate.low or 0.0)
            allowed = max(allowed_error(float(null)), width)
            raw = replace(estimate, bits=estimate.diagnostics.get("raw", estimate.bits))
            yield Claim(key, float(null), raw, allowed, strict=True)


LAWS: tuple[Law, ...] = (
    Law("no more than H(Y), H(X)", _patterns, _entropies, ("ixt", "ity", "ixt_given_y")),
    *(
        Law(
            f"ceiling is told, {units} units",
            partial(normal_layer, units=units),
            _told_of_ceilings,
            _BOUND_BY_N,
            shannon=False,
        )
        for units in (2, 20)
    ),
    Law("chain rule", _quadrants, _chain_rule, ("ixt_given_y",)),
    Law(
        "null is that of shuffled labels",
        lambda n, rng: permuted_labels(min(n, _NULL_SAMPLES), rng),
        _null_of_its_own,
        _OF_LABELS,
        shannon=False,
    ),
)
"""All laws."""

"""How weights stretch, how their spectra fall, and how far they have moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from infoplane.data import Array, IntArray
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost, Estimator, Reads
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import WEIGHTS, Quantity
from infoplane.numerics.tails import FEWEST_VALUES
from infoplane.numerics.weight_measures import (
    LARGEST_SIDE,
    WeightMeasures,
    gaussian_null,
    measures_of,
    sides,
    singular_values,
    square_condition,
)
from infoplane.weights import RecordedWeight

_OF_CHANCE = (0.05, 0.95)  # shares of square normal matrices
_SHORT = 10  # values in a tail, below which its exponent says little


@dataclass(frozen=True)
class Weights(Estimator):
    """Condition, volume, ranks and norms of recorded weights, and how far they have moved.

    A weight is the matrix (out, all other axes), s are its singular values. `condition_number` is
    largest s / smallest, `log_volume` mean ln s - 1/2 ln mean s^2 (0 where all are equal),
    `weight_stable_rank` sum of s^2 / largest, `spectral_norm` the largest, `frobenius_norm` the
    root of the sum of s^2, `weight_alpha` the exponent of the power law of the largest s^2, with
    its Kolmogorov-Smirnov distance in `diag`. `weight_distance` is the Frobenius distance from the
    first recorded step over the norm there. Weights of one axis have norm and distance alone.

    Warnings
    --------
    The condition number rests on the smallest s alone: of a square matrix at its initialisation it
    spans a decade (`within_null`). Below the rounding of the stored numbers it is infinite: no
    value, and the flag `rank_deficient`. An exponent of 2 to 4 says that the tail is heavy only
    where a power law fits (`no_power_law`, `short_tail`).

    References
    ----------
    Martin, Mahoney: "Implicit self-regularization in deep neural networks", JMLR 22, 2021. Clauset,
    Shalizi, Newman: "Power-law distributions in empirical data", SIAM Review 51, 2009. Ludwig:
    "KappaTune", 2025. Edelman: "Eigenvalues and condition numbers of random matrices", 1988.
    """

    name: ClassVar[str] = "weights"
    title: ClassVar[str] = "weights"
    quantities: ClassVar[tuple[Quantity, ...]] = WEIGHTS
    subject = "weights"
    reads: ClassVar[Reads] = "weight"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what the singular values of a square weight cost."""
        return Cost(2e-3 + 1e-10 * n_units**1.5, 2**24 + 40 * n_units)

    def left_out(self, quantity: str) -> str:
        """Return which weights have no such number."""
        if quantity == "frobenius_norm":
            return ""
        if quantity == "weight_distance":
            return "weights that began as zeros, or whose first values are not at hand"
        of_matrices = f"weights of one axis, or of more than {LARGEST_SIDE:,} rows and columns"
        if quantity == "weight_alpha":
            return f"{of_matrices}, or of fewer than {FEWEST_VALUES} singular values"
        return of_matrices

    def estimate(
        self,
        prepared: IntArray | None,
        activations: Array | RecordedWeight,
        rng: np.random.Generator,
    ) -> Mapping[str, Estimate]:
        """Return the measures of one weight at one step.

        Raises
        ------
        EstimationError
            If the weight holds nothing but zeros, and has several axes.
        """
        assert isinstance(activations, RecordedWeight)
        weight = activations
        found = _of_spectrum(weight) if _has_spectrum(weight) else {}
        return {**found, **_of_norm(weight)}


def _has_spectrum(weight: RecordedWeight) -> bool:
    small = min(sides(weight.shape)) <= LARGEST_SIDE
    return weight.form != "norm" and len(weight.shape) > 1 and small


def _of_norm(weight: RecordedWeight) -> dict[str, Estimate]:
    start = weight.start
    about: dict[str, Any] = {
        "distance": start.distance,
        "start_step": start.step,
        "start_norm": start.norm,
    }
    if start.reason:
        about = {"no_distance": start.reason}
    norm = Estimate(weight.norm, bound_low=0.0, diagnostics=about)
    if start.distance is None or not start.norm:
        return {"frobenius_norm": norm}
    share = Estimate(start.distance / start.norm, bound_low=0.0, diagnostics=about)
    return {"frobenius_norm": norm, "weight_distance": share}


def _of_spectrum(weight: RecordedWeight) -> dict[str, Estimate]:
    values = weight.values
    if weight.form == "whole":
        values = singular_values(values, weight.step)
    try:
        found = measures_of(values, weight.shape, weight.step)
    except EstimationError as error:
        empty = Estimate(None, flags=("failed", "constant"), diagnostics={"reason": str(error)})
        names = ("condition_number", "log_volume", "weight_stable_rank")
        return {**dict.fromkeys(names, empty), "spectral_norm": Estimate(0.0)}
    few = min(sides(weight.shape))
    told = {
        "resolved": found.rank,
        "rows": sides(weight.shape)[0],
        "columns": sides(weight.shape)[1],
    }
    null = gaussian_null(weight.shape) if few > 1 else {}
    estimates = {
        "condition_number": _condition(found, weight, told, null),
        "log_volume": _or_infinite(found.log_volume, found, told, null.get("log_volume"), high=0.0),
        "weight_stable_rank": Estimate(
            found.stable_rank,
            bound_low=1.0,
            bound_high=float(few),
            diagnostics={**told, "null": null.get("stable_rank")},
        ),
        "spectral_norm": Estimate(found.spectral_norm, bound_low=0.0, diagnostics=told),
    }
    if few >= FEWEST_VALUES:
        estimates["weight_alpha"] = _alpha(found, told)
    return estimates


def _condition(
    found: WeightMeasures,
    weight: RecordedWeight,
    told: Mapping[str, Any],
    null: Mapping[str, float],
) -> Estimate:
    rows, columns = sides(weight.shape)
    about = dict(told)
    flags: tuple[str, ...] = ()
    if rows == columns > 1:
        low, high = (square_condition(rows, share) for share in _OF_CHANCE)
        about["null_range"] = [low, high]
        flags = ("within_null",) if low <= found.condition_number <= high else ()
    value = found.condition_number
    return _or_infinite(value, found, about, null.get("condition_number"), low=1.0, flags=flags)


def _or_infinite(
    value: float,
    found: WeightMeasures,
    told: Mapping[str, Any],
    null: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    flags: tuple[str, ...] = (),
) -> Estimate:
    """Return a value, or, where it is infinite, none and the reason."""
    about = {**told, "null": null}
    if math.isfinite(value):
        return Estimate(value, bound_low=low, bound_high=high, flags=flags, diagnostics=about)
    sign = "-" if value < 0 else ""
    reason = f"{sign}infinite: only {found.rank} singular values are above the rounding of numbers"
    return Estimate(
        None, flags=("failed", "rank_deficient"), diagnostics={**about, "reason": reason}
    )


def _alpha(found: WeightMeasures, told: Mapping[str, Any]) -> Estimate:
    tail = found.tail
    if math.isnan(tail.alpha):
        reason = f"expected {FEWEST_VALUES} different singular values above rounding"
        return Estimate(None, flags=("failed",), diagnostics={**told, "reason": reason})
    raised = {"no_power_law": not tail.fits, "short_tail": tail.n < _SHORT}
    return Estimate(
        tail.alpha,
        bound_low=1.0,
        flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
        diagnostics={
            **told,
            "ks_distance": tail.distance,
            "smallest_eigenvalue": tail.smallest,
            "tail": tail.n,
            "standard_error": tail.deviation,
        },
    )

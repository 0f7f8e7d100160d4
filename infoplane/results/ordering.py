"""Order of estimates: find those in which a deeper layer has more than an earlier one.

A layer computed from another one cannot tell more than that one about the input or the label (the
data-processing inequality, Cover and Thomas, Elements of Information Theory, 2.8). Estimates may:
each layer is measured at a resolution of its own. Such a rise says something about the estimates,
not about the network, unless the deeper layer has an input of its own (a skip connection). Lower
bounds may rise: they tell what is readable. So may layers of tokens: what attention brings to a
token was not in the layer before, at its place.

An estimate of I(T;Y) below a lower bound of it, beyond the errors of both, is too low.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from infoplane.estimators.base import Estimator
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.trust import NORMAL_QUANTILE, SMALLEST_BITS
from infoplane.numerics.intervals import CHANCE, ROUNDING

FLAG = "order"
_LARGE_RISE = 0.25  # bits between layers that are measured at noise of their own

BELOW = "below_probe"


def flag_rises(
    rows: Iterable[dict[str, Any]],
    estimators: Sequence[Estimator] = (),
    of_tokens: Collection[str] = (),
) -> None:
    """Flag the rows whose I(X;T) or I(T;Y) is above that of an earlier layer.

    Compared are rows of one run, step, estimator and quantity, but of the ``estimators`` that give
    lower bounds, and of the runs whose rows are tokens (``of_tokens``). A difference counts from
    0.05 bits on, and from three standard errors on where both rows have an interval; between
    bounds, where the two brackets are apart. Noise relative to each layer is another noise in each:
    the inequality then says nothing, and only I(X;T) is looked at, from 0.25 bits on. A constant
    layer tells nothing, whatever the noise: one that tells more has an input of its own.
    """
    columns: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    bounds = {estimator.name for estimator in estimators if estimator.lower_bound}
    for row in rows:
        told = row["value"] is not None and "subject" not in row and _name(row) not in bounds
        told = told and "constant" not in row["flags"] and row["run"] not in of_tokens
        relative = row.get("bound_name") == "bracket"
        if row["quantity"] in (("ixt",) if relative else ("ixt", "ity")) and told:
            key = (row["run"], row["step"], row["estimator"], row["quantity"])
            columns[key].append(row)
    for column in columns.values():
        earlier: dict[str, Any] | None = None
        for row in sorted(column, key=lambda row: int(row["layer_index"])):
            if earlier is not None and _is_above(row, earlier) and FLAG not in row["flags"]:
                row["flags"].append(FLAG)
            if earlier is None or row["value"] < earlier["value"]:
                earlier = row


def flag_below_bounds(rows: Iterable[dict[str, Any]], estimators: Sequence[Estimator]) -> None:
    """Flag the rows whose I(T;Y) is below a lower bound of the same run, step and layer.

    Of real targets `ity_normal` is such a bound.

    A row is if its interval ends below that of the bound, by more than rounding; without an
    interval, its value. Those of estimators of another information than Shannon's are left as they
    are.
    """
    bounds = {estimator.name for estimator in estimators if estimator.lower_bound}
    claims = {estimator.name for estimator in estimators if estimator.shannon} - bounds
    least: dict[tuple[Any, ...], float] = {}
    claimed = []
    for row in rows:
        if row["quantity"] not in ("ity", "ity_normal") or row["value"] is None or "subject" in row:
            continue
        key, name = (row["run"], row["step"], row["layer"]), _name(row)
        if name in bounds and row["ci_low"] is not None:
            least[key] = max(row["ci_low"], least.get(key, row["ci_low"]))
        elif name in claims:
            claimed.append((key, row))
    for key, row in claimed:
        high = row["value"] if row["ci_high"] is None else row["ci_high"]
        if key in least and high < least[key] - ROUNDING and BELOW not in row["flags"]:
            row["flags"].append(BELOW)


def _name(row: dict[str, Any]) -> str:
    return MeasureId.read(row["estimator"]).name


def _is_above(row: dict[str, Any], earlier: dict[str, Any]) -> bool:
    rise = row["value"] - earlier["value"]
    if rise <= SMALLEST_BITS:
        return False
    if row.get("bound_name") == "bracket":
        highest = earlier["bound_high"]
        apart = highest is None or row["bound_low"] > highest
        return bool(rise > _LARGE_RISE and apart)
    ends = [row["ci_low"], row["ci_high"], earlier["ci_low"], earlier["ci_high"]]
    if None in ends:
        return True
    low, high, earlier_low, earlier_high = map(float, ends)
    if "bracket" in (row["ci_method"], earlier["ci_method"]):
        return low > earlier_high
    error = np.hypot(high - low, earlier_high - earlier_low) / 2 / NORMAL_QUANTILE
    return bool(rise > CHANCE * error)

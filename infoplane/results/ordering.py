"""Order of layers: find estimates in which a deeper layer has more than an earlier one.

A layer computed from another one cannot tell more than that one about the input or the label (the
data-processing inequality, Cover and Thomas, Elements of Information Theory, 2.8). Estimates may:
each layer is measured at a resolution of its own. Such a rise says something about the estimates,
not about the network, unless the deeper layer has an input of its own (a skip connection).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from infoplane.estimators.trust import NORMAL_QUANTILE, SMALLEST_BITS
from infoplane.numerics.intervals import CHANCE

FLAG = "order"
_LARGE_RISE = 0.25  # bits between layers that are measured at noise of their own


def flag_rises(rows: Iterable[dict[str, Any]]) -> None:
    """Flag the rows whose I(X;T) or I(T;Y) is above that of an earlier layer.

    Compared are rows of one run, step, estimator and quantity. A difference counts from 0.05 bits
    on, and from three standard errors on where both rows have an interval; between bounds, where
    the two brackets are apart. Noise relative to each layer is another noise in each: the
    inequality then says nothing, and only I(X;T) is looked at, from 0.25 bits on.
    """
    columns: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        told = row["value"] is not None and "subject" not in row
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


def _is_above(row: dict[str, Any], earlier: dict[str, Any]) -> bool:
    rise = row["value"] - earlier["value"]
    if rise <= SMALLEST_BITS:
        return False
    if row.get("bound_name") == "bracket":
        return bool(rise > _LARGE_RISE and row["bound_low"] > earlier["bound_high"])
    ends = [row["ci_low"], row["ci_high"], earlier["ci_low"], earlier["ci_high"]]
    if None in ends:
        return True
    low, high, earlier_low, earlier_high = map(float, ends)
    if "bracket" in (row["ci_method"], earlier["ci_method"]):
        return low > earlier_high
    error = np.hypot(high - low, earlier_high - earlier_low) / 2 / NORMAL_QUANTILE
    return bool(rise > CHANCE * error)

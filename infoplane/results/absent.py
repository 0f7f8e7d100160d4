"""Why results have no number of a quantity: what its rows say, or what its estimator leaves out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from infoplane.errors import InfoplaneError
from infoplane.estimators.registry import installed_estimator
from infoplane.text import printable


def why_absent(results: Mapping[str, Any], quantity: str) -> str:
    """Return why a document has no number of a quantity, "" where nothing is known."""
    rows = [row for row in results["rows"] if row["quantity"] == quantity]
    if rows:
        return reason_of(rows)
    for entry in results["estimators"]:
        with contextlib.suppress(InfoplaneError):  # a plug-in that is not installed
            if reason := installed_estimator(entry["id"]).left_out(quantity):
                return f"{printable(entry['id'])} leaves it out: {reason}"
    return ""


def reason_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the commonest reason that rows give for having no number, "" without one."""
    reasons = Counter(
        str(row["diag"]["reason"])
        for row in rows
        if row["value"] is None and (row.get("diag") or {}).get("reason")
    )
    return printable(reasons.most_common(1)[0][0]) if reasons else ""

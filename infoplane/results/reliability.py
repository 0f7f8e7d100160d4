"""How far the values of an estimator can be trusted that gives each a verdict of its own.

The verdict is ``reliable``, or says what is missing; it stands in ``diag.verdict`` of a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from infoplane.results.curves import group_of_runs
from infoplane.results.names import names_of_estimators
from infoplane.results.vocabulary import Vocabulary
from infoplane.text import counted, some_of

RELIABLE = "reliable"

_MOST = 6
"""Layers that are named."""


def reliability(results: Mapping[str, Any], group: str | None = None) -> list[str]:
    """Return a sentence for each estimator whose values have verdicts; none without any.

    Parameters
    ----------
    results : mapping
        A results document.
    group : str, optional
        Group of runs; all unless given.

    Returns
    -------
    list of str
        As ``neural: 10 of 12 values reliable; lower bound only: 2, I(X;T) of conv1, conv2``.
    """
    of, vocabulary = group_of_runs(results), Vocabulary.of(results)
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in results["rows"]:
        verdict = (row.get("diag") or {}).get("verdict")
        if verdict and (group is None or of.get(row["run"]) == group):
            found[row["estimator"]][str(verdict)].append(row)
    names = names_of_estimators(results, found)
    return [_told(names[e], by_verdict, vocabulary) for e, by_verdict in found.items()]


def _told(
    name: str, by_verdict: Mapping[str, list[Mapping[str, Any]]], vocabulary: Vocabulary
) -> str:
    good = len(by_verdict.get(RELIABLE, ()))
    total = sum(map(len, by_verdict.values()))
    parts = [f"{name}: {good} of {counted(total, 'value')} reliable"]
    for verdict, rows in by_verdict.items():
        if verdict != RELIABLE:
            parts.append(f"{verdict}: {len(rows)}, {_where(rows, vocabulary)}")
    return "; ".join(parts)


def _where(rows: list[Mapping[str, Any]], vocabulary: Vocabulary) -> str:
    """Return the quantities of rows with their layers."""
    by_quantity: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        by_quantity[row["quantity"]][row["layer"]] = None
    return ", ".join(
        f"{vocabulary.symbol(quantity)} of {some_of(list(layers), _MOST, between=', ')}"
        for quantity, layers in by_quantity.items()
    )

"""Correlation of change and generalisation gap over runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infoplane.results.generalization import gap_correlations, generalization_gaps, spearman

STEPS = [0, 1, 3, 10, 31, 100, 316, 1000]


def document(falls: list[float], gaps: list[float], *, metric: str = "loss") -> dict[str, Any]:
    """Return results in which run i falls by ``falls[i]`` bits and has the gap ``gaps[i]``."""
    rows = [
        {
            "run": f"s{i}",
            "step": step,
            "layer": "fc",
            "layer_index": 0,
            "estimator": "e",
            "quantity": "ixt",
            "value": 8.0 - fall * max(0, k - 3) / 4,
            "ci_low": None,
            "ci_high": None,
            "n": 100,
            "bound_high": 12.0,
            "bound_name": "log2_n",
            "flags": [],
        }
        for i, fall in enumerate(falls)
        for k, step in enumerate(STEPS)
    ]
    sign = 1 if metric == "loss" else -1
    recordings = [
        {
            "run": f"s{i}",
            "group": "g",
            "metrics": {f"train_{metric}": [9.0, 0.5], f"test_{metric}": [9.0, 0.5 + sign * gap]},
        }
        for i, gap in enumerate(gaps)
    ]
    return {"recordings": recordings, "estimators": [{"id": "e", "name": "e"}], "rows": rows}


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_runs_that_fall_more_and_generalise_better_correlate_positively(metric: str) -> None:
    falls, gaps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    (found,) = gap_correlations(document(falls, gaps, metric=metric))
    assert found["changes"] == pytest.approx([-f for f in falls])
    assert found["gaps"] == pytest.approx(gaps)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["n"] == 6
    # 2 of the 720 orders are as extreme: p = 0.0028, within the noise of 2000 permutations
    assert found["p"] == pytest.approx(2 / 720, abs=0.004)
    assert found["p_holm"] == found["p"]


def test_four_runs_are_too_few() -> None:
    assert gap_correlations(document([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4])) == []


def test_runs_without_metrics_have_no_gap() -> None:
    results = document([1.0, 2.0], [0.1, 0.2])
    del results["recordings"][0]["metrics"]
    words, gaps = generalization_gaps(results)
    assert words == "test − train loss"
    assert gaps == {"s1": pytest.approx(0.2)}


def test_spearman_of_known_orders() -> None:
    up = np.column_stack([np.arange(5.0), np.arange(5.0) ** 3])
    assert spearman(up) == pytest.approx(1.0)
    # d = (0, 1, -1): 1 - 6 * 2 / (3 * 8) = 0.5
    assert spearman(np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]])) == pytest.approx(0.5)
    # ties at their mean rank: ranks (1.5, 1.5, 3) and (1, 2, 3) have covariance 1.5
    tied = np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    assert spearman(tied) == pytest.approx(1.5 / np.sqrt(1.5 * 2.0))
    assert spearman(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])) is None

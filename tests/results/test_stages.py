"""Stages of a representation: named by rank and exponent together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infoplane.results.file import read_results, write_results
from infoplane.results.phases import find_phases
from infoplane.results.stages import SEEKS_COMPRESSION, SEEKS_ENTROPY, WARM_UP
from tests.plots import synthetic

STEPS = np.array([0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000])


def course(*knots: float) -> np.ndarray:
    """Return a curve through values: at the first, the second, the sixth and the last step."""
    return np.interp(np.arange(10), [0, 1, 5, 9][: len(knots)], knots)


def document(accuracy: list[float] | None = None, **curves: np.ndarray) -> dict[str, Any]:
    rows = [
        {
            "run": "s0", "step": int(step), "layer": "fc", "layer_index": 0, "estimator": "e",
            "quantity": quantity, "value": float(value), "ci_low": value - 0.01,
            "ci_high": value + 0.01, "ci_method": "subsample", "n": 500, "bound_high": None,
            "bound_name": "none", "flags": [],
        }
        for quantity, values in curves.items()
        for step, value in zip(STEPS, values, strict=True)
    ]  # fmt: skip
    recording = {"run": "s0", "group": None, "steps": STEPS.tolist(), "metrics": {}}
    if accuracy is not None:
        recording["metrics"] = {"train_accuracy": accuracy}
    return {"recordings": [recording], "estimators": [{"id": "e", "name": "e"}], "rows": rows}


def told(of: dict[str, Any], quantity: str) -> dict[str, Any]:
    return next(p for p in find_phases(of) if p["quantity"] == quantity)


@pytest.mark.parametrize(
    ("rank", "alpha", "stages"),
    [
        ((40, 20, 60, 25), (1, 2, 0.5, 2.5), [WARM_UP, SEEKS_ENTROPY, SEEKS_COMPRESSION]),
        ((40, 20, 60, 60), (1, 2, 0.5, 0.5), [WARM_UP, SEEKS_ENTROPY]),
        ((60, 50, 20, 10), (1, 1.2, 2, 3), [SEEKS_COMPRESSION]),
        ((10, 15, 40, 60), (3, 2.5, 2, 1), [SEEKS_ENTROPY]),
        ((40, 20, 60, 25), (1, 0.5, 2, 0.5), []),  # the exponent goes the same way
        ((40, 20, 60, 25), (1, 1, 1, 1), []),
        ((40, 40, 40, 40), (1, 2, 0.5, 2.5), []),
    ],
)
@pytest.mark.parametrize("quantity", ["effective_rank", "rankme"])
def test_movements_of_rank_against_exponent_have_names(
    quantity: str, rank: tuple[float, ...], alpha: tuple[float, ...], stages: list[str]
) -> None:
    found = told(document(**{quantity: course(*rank), "alpha_req": course(*alpha)}), quantity)
    assert [one["stage"] for one in found["stages"]] == stages
    assert found["sentence"].endswith(", then ".join(stages))


def test_without_an_exponent_there_are_no_names() -> None:
    assert told(document(rankme=course(40, 20, 60, 25)), "rankme")["stages"] == ()


def test_collapse_is_told_after_the_training_error_is_zero() -> None:
    nc1 = 10.0 ** -np.arange(10.0)
    right = [0.5] * 6 + [1.0] * 4
    assert (
        "to 0.001 of what it was at step 300" in told(document(right, nc1=nc1), "nc1")["sentence"]
    )


@pytest.mark.parametrize(
    ("accuracy", "nc1"),
    [
        (None, 10.0 ** -np.arange(10.0)),  # not recorded
        ([0.5] * 9 + [1.0], 10.0 ** -np.arange(10.0)),  # nothing after it
        ([1.0] * 6 + [0.9] * 4, 10.0 ** -np.arange(10.0)),  # it does not stay
        ([0.5] * 6 + [1.0] * 4, np.r_[10.0 ** -np.arange(6.0), [1e-5] * 4]),  # no further fall
    ],
)
def test_nor_is_it_told_otherwise(accuracy: list[float] | None, nc1: np.ndarray) -> None:
    assert "collapses" not in told(document(accuracy, nc1=nc1), "nc1")["sentence"]


def test_the_stages_are_written_and_read(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", synthetic.of_representations())
    found = read_results(tmp_path / "results.json")
    assert any(phase["stages"] for phase in found["phases"])

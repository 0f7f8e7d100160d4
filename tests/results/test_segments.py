"""Segments, sentences and verdicts on curves whose course is known."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from infoplane.numerics.turning_points import best_turns, half_width, turning_points
from infoplane.results.phases import find_phases

FIRST = np.r_[1.9, np.zeros(9)]


def through(*knots: tuple[int, float]) -> np.ndarray:
    at, values = zip(*knots, strict=True)
    return 5 + np.interp(np.arange(10), at, values)


def document(values: Any, *, half: float | None = None, **members: Any) -> dict[str, Any]:
    """Return results of curves (n_layers, n_runs, n_steps)."""
    rows = [
        {
            "run": f"s{run}",
            "step": int(step),
            "layer": f"fc{layer}",
            "layer_index": int(layer),
            "estimator": "e",
            "quantity": "ixt",
            "value": float(np.asarray(values)[layer, run, step]),
            "ci_low": None if half is None else float(np.asarray(values)[layer, run, step]) - half,
            "ci_high": None if half is None else float(np.asarray(values)[layer, run, step]) + half,
            "ci_method": "none" if half is None else "analytic",
            "n": 2000,
            "bound_high": None,
            "bound_name": "none",
            "flags": [],
            **members,
        }
        for layer, run, step in np.ndindex(*np.shape(values))
    ]
    recordings = [{"run": f"s{run}", "group": "g"} for run in range(np.shape(values)[1])]
    return {"recordings": recordings, "estimators": [{"id": "e", "name": "e"}], "rows": rows}


def runs_of(shape: np.ndarray, n_runs: int, *, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """Return one layer in several runs (1, n_runs, n_steps) that differ by 10 % of its movement."""
    rng = np.random.default_rng(seed)
    size = rng.normal(1, 0.1, (n_runs, 1))
    return (5 + size * (shape - 5) + rng.normal(0, noise, (n_runs, len(shape))))[None]


@pytest.mark.parametrize("n_runs", [1, 2, 5])
@pytest.mark.parametrize(
    ("shape", "verdict", "directions", "turns"),
    [
        (through((0, 0), (9, -1.5)), "compresses", {"falls"}, []),
        (through((0, 0), (9, 1.5)), "expands", {"rises"}, []),
        (5 + FIRST, "first_step", {"falls", "flat"}, [1]),
        (through((0, 1.9), (1, 0), (9, 1)), "mixed", {"falls", "rises"}, [1]),
        (through((0, 1), (3, 0), (6, 1), (9, 0)), "mixed", {"falls", "rises"}, [3, 6]),
        (through((0, 0), (3, 1.2), (9, 0)), "compresses", {"falls", "rises"}, [3]),
    ],
    ids=["fall", "rise", "first step", "fall and rise", "fall, rise, fall", "rise and fall"],
)
def test_the_course_is_told_as_it_was(
    shape: np.ndarray, verdict: str, directions: set[str], turns: list[int], n_runs: int
) -> None:
    (phase,) = find_phases(document(runs_of(shape, n_runs)))
    assert phase["verdict"] == verdict, phase["sentence"]
    segments = phase["segments"]
    assert (segments[0]["from_step"], segments[0]["to_step"]) == (0, 1)
    assert {s["direction"] for s in segments[1:]} <= directions
    ends = [
        a["to_step"]
        for a, b in pairwise(segments)
        if a["change"] * b["change"] < 0 and "flat" not in (a["direction"], b["direction"])
    ]
    if verdict != "first_step":
        assert len(ends) == len(turns)
        assert all(abs(end - turn) <= 1 for end, turn in zip(ends, turns, strict=True))


@pytest.mark.parametrize("n_runs", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(5))
def test_parts_add_up_whatever_the_curve(n_runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, (3, n_runs, 10))
    for phase, layer in zip(find_phases(document(values)), values, strict=True):
        total = sum(s["change"] for s in phase["segments"])
        assert (
            total
            == pytest.approx(phase["rise"])
            == pytest.approx((layer[:, 9] - layer[:, 0]).mean())
        )
        assert phase["change"] == pytest.approx(phase["last"] - phase["peak"])
        assert phase["peak"] >= phase["first"] - 1e-12
        steps = [(s["from_step"], s["to_step"]) for s in phase["segments"]]
        assert [steps[0][0], steps[-1][1]] == [0, 9]


@pytest.mark.parametrize("n_runs", [3, 5])
def test_seeds_that_part_after_a_first_fall_do_not_compress(n_runs: int) -> None:
    # the mean over all seeds does not move after the first step; 5 % may look as if it did
    rng, found = np.random.default_rng(0), []
    for _ in range(30):
        drift = rng.normal(0, 0.5, (6, n_runs, 1)) * np.linspace(0, 1, 10)
        noise = rng.normal(0, 0.05, (6, n_runs, 10))
        found += [p["verdict"] for p in find_phases(document(5 + FIRST + drift + noise))]
    assert sum(verdict in ("compresses", "expands") for verdict in found) <= 0.05 * len(found)


def test_a_fall_that_is_undone_is_no_compression() -> None:
    shape = through((0, 0.25), (3, 0), (6, 0.22), (9, 0.23))
    values = shape + np.random.default_rng(1).normal(0, 0.01, (1, 3, 10))
    (phase,) = find_phases(document(values))
    assert phase["verdict"] in ("inconclusive", "mixed", "no_change")
    assert phase["onset_step"] is None


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ([2, 2, 1.4, 1.4, 1.3], "compresses"),
        ([1.79, 1.81, 2.60, 2.66, 2.76], "expands"),
        ([4, 4, 1, 1, 1, 1], "compresses"),
        ([2.4, 2.4, 2.4, 0, 0, 0], "compresses"),
        ([1, 1, 2.5, 2.5, 3.5, 3.5, 3.6, 3.6], "expands"),
        ([4, 2, 1, 0.5, 0.3, 0.2], "compresses"),
    ],
)
def test_what_the_cells_of_one_run_are_sure_of_is_said(curve: list[float], verdict: str) -> None:
    (phase,) = find_phases(document([[curve]], half=0.05))
    assert phase["verdict"] == verdict, phase["sentence"]
    assert phase["about"] == "runs"
    assert phase["sentence"].endswith("(this run)")


@pytest.mark.parametrize("n_runs", [1, 2, 3])
def test_no_change_is_not_said_of_a_certain_change(n_runs: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        steps = rng.choice(5) + 2
        curve = 5 + np.repeat(rng.normal(0, 1, steps), 2)
        values = curve + rng.normal(0, 0.02, (1, n_runs, len(curve)))
        (phase,) = find_phases(document(values, half=0.04))
        certain = [s for s in phase["segments"] if s["direction"] != "flat"]
        if phase["verdict"] == "no_change":
            assert all(abs(s["change"]) < 0.25 for s in certain)


def test_three_runs_speak_of_the_network_and_two_of_themselves() -> None:
    shape = through((0, 0), (9, -1.5))
    for n_runs, about, end in ((1, "runs", "(this run)"), (2, "runs", "(these 2 runs)")):
        (phase,) = find_phases(document(runs_of(shape, n_runs)))
        assert (phase["about"], phase["sentence"][-len(end) :]) == (about, end)
    (phase,) = find_phases(document(runs_of(shape, 3)))
    assert phase["about"] == "network"
    assert "run" not in phase["sentence"]


@pytest.mark.parametrize("flag", ["wide_bracket", "finite_population", "degenerate_manifold"])
def test_no_verdict_from_values_that_are_not_to_be_trusted(flag: str) -> None:
    values = runs_of(through((0, 0), (9, -1.5)), 3)
    (phase,) = find_phases(document(values, flags=[flag]))
    assert phase["verdict"] == "inconclusive"
    assert phase["withheld"] == f"all values are {flag}"
    assert phase["last"] - phase["first"] == pytest.approx(phase["rise"])


def test_runs_may_come_in_any_order() -> None:
    values = runs_of(through((0, 1), (3, 0), (6, 1), (9, 0)), 4)
    (one,), (other,) = find_phases(document(values)), find_phases(document(values[:, ::-1]))
    assert one["sentence"] == other["sentence"]
    assert one["change"] == pytest.approx(other["change"])


def test_turning_points_are_where_a_curve_comes_back() -> None:
    assert turning_points(np.array([0, 1, 2, 1, 0, 1.0]), 0.5) == ([2, 4], False)
    assert turning_points(np.array([0, 1, 2, 1.8, 2, 3.0]), 0.5) == ([], False)
    assert turning_points(np.array([3, 2, 1, 0.0]), 0.5) == ([], True)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("falls_first", [True, False])
def test_best_turns_are_those_of_all_that_there_are(count: int, falls_first: bool) -> None:
    for seed in range(20):
        curve = np.random.default_rng(seed).normal(size=9)

        def moved(turns: tuple[int, ...], curve: np.ndarray = curve) -> float:
            at = curve[[0, *turns, len(curve) - 1]]
            signs = (-1.0 if falls_first else 1.0) * (-1.0) ** np.arange(len(at) - 1)
            return float((signs * np.diff(at)).sum())

        found = best_turns(curve, count, falls_first=falls_first)
        best = max(map(moved, combinations(range(1, len(curve) - 1), count)))
        assert moved(tuple(found)) == pytest.approx(best)


def test_layers_that_move_alike_add_nothing_to_what_three_runs_say() -> None:
    rng = np.random.default_rng(0)
    changes = rng.normal(0, 1, 3)
    same, own = np.tile(changes, (6, 1)), rng.normal(0, 1, (6, 3))
    alone = half_width(changes, np.empty((0, 3)), 0.5)
    assert half_width(changes, same, 0.5) >= alone - 1e-9
    assert half_width(np.zeros(3), own, 0.5) <= half_width(changes, np.empty((0, 3)), 5.0)


def test_what_is_certain_of_the_whole_alone_is_said() -> None:
    first, rest = np.array([-0.5, -0.1, -0.36]), np.array([0.2, -0.2, 0.06])
    values = np.array(
        [[5 + np.r_[0, np.full(4, a), a + b] for a, b in zip(first, rest, strict=True)]]
    )
    (phase,) = find_phases(document(values))
    assert phase["rise_high"] < 0
    assert phase["sentence"].startswith("falls 0.30 bits in steps 0-5")

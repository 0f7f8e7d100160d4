"""Verdicts on curves whose truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from infoplane.estimators.quantities import IXT, Quantity
from infoplane.results.curves import curves
from infoplane.results.phases import find_phases, jitter, smallest_change
from infoplane.results.verdicts import layer_verdicts

STEPS = np.unique(np.round(np.geomspace(1, 20001, 71)).astype(int) - 1)
U = np.log10(STEPS + 1.0) / np.log10(20001.0)
FIT = 1 / (1 + np.exp(-30 * (U - 0.3)))
FALL = np.clip((U - 0.6) / 0.4, 0, None)


def document(
    runs: np.ndarray | list[Any],
    *,
    steps: np.ndarray = STEPS,
    layer: str = "fc",
    estimator: str = "e",
    quantity: str = "ixt",
    group: str | None = "g",
    bound: float | None = 12.0,
    flags: tuple[str, ...] = (),
    half: float | None = None,
    index: int = 0,
) -> dict[str, Any]:
    """Return results with one layer; ``runs`` (n_runs, n_steps), None or NaN for no value."""
    rows = []
    for r, values in enumerate(runs):
        for step, value in zip(steps, values, strict=True):
            gone = value is None or not np.isfinite(value)
            rows.append(
                {
                    "run": f"s{r}",
                    "step": int(step),
                    "layer": layer,
                    "layer_index": index,
                    "estimator": estimator,
                    "quantity": quantity,
                    "value": None if gone else float(value),
                    "ci_low": None if gone or half is None else float(value) - half,
                    "ci_high": None if gone or half is None else float(value) + half,
                    "ci_method": "none" if half is None else "subsample",
                    "n": 4096,
                    "bound_high": bound,
                    "bound_name": "log2_n",
                    "flags": ["failed"] if gone else list(flags),
                }
            )
    return {
        "recordings": [{"run": f"s{r}", "group": group} for r in range(len(runs))],
        "estimators": [{"id": estimator, "name": estimator}],
        "rows": rows,
    }


def together(*documents: dict[str, Any]) -> dict[str, Any]:
    return {
        "recordings": documents[0]["recordings"],
        "estimators": [e for d in documents for e in d["estimators"]],
        "rows": [row for d in documents for row in d["rows"]],
    }


def noisy(shape: np.ndarray, n_runs: int, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return shape + rng.normal(0, noise, (n_runs, len(shape))) + rng.normal(0, 0.2, (n_runs, 1))


@pytest.mark.parametrize("n_runs", [1, 2, 3, 8])
def test_fit_then_compress_is_found_from_its_peak(n_runs: int) -> None:
    (phase,) = find_phases(document(noisy(5 + 3 * FIT - 2 * FALL, n_runs)))
    assert phase["verdict"] == "compresses"
    assert phase["n_runs"] == n_runs
    assert phase["change"] == pytest.approx(phase["last"] - phase["peak"])
    # one run carries the noise of its last value and of its peak: 2.5 sd of 0.12 bits
    assert phase["change"] == pytest.approx(-2.0, abs=0.3)
    assert phase["change_low"] < phase["change"] < phase["change_high"] < 0
    # the fall starts at u = 0.6, i.e. step 380; noise hides its first 0.1 to 0.2 bits
    assert 200 <= phase["onset_step"] <= 1000
    assert phase["onset_low"] <= phase["onset_step"] <= phase["onset_high"]


@pytest.mark.parametrize("n_runs", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("shape", "allowed"),
    [
        (np.full(len(U), 8.0), {"no_change", "inconclusive"}),
        (5 + 3 * FIT, {"expands", "inconclusive"}),
        (6 + np.where(U > 0.8, 15 * (U - 0.8), 0), {"expands", "inconclusive"}),
    ],
    ids=["flat", "monotone", "late expansion"],
)
def test_what_does_not_fall_is_not_said_to_compress(
    shape: np.ndarray, allowed: set[str], n_runs: int
) -> None:
    verdicts = Counter(
        find_phases(document(noisy(shape, n_runs, seed=seed)))[0]["verdict"] for seed in range(20)
    )
    # 5 % of 20 are allowed, in any of the words; benchmarks/phases.py finds 0 to 5 %
    assert sum(n for verdict, n in verdicts.items() if verdict not in allowed) <= 1


def test_the_peak_is_not_picked_on_the_data_it_is_measured_on() -> None:
    # last - max of these curves averages about -0.24 bits; held out it is 0, with a standard
    # error of 0.1 sqrt(1.5 / 8 / 60) = 0.006 for 60 groups of 8 runs
    changes = [
        find_phases(document(noisy(np.full(len(U), 8.0), 8, seed=seed)))[0]["change"]
        for seed in range(60)
    ]
    assert np.mean(changes) == pytest.approx(0.0, abs=0.025)
    single = [
        find_phases(document(noisy(np.full(len(U), 8.0), 1, seed=seed)))[0]["change"]
        for seed in range(200)
    ]
    assert np.mean(single) == pytest.approx(0.0, abs=0.04)


def test_a_saturated_layer_is_saturated_whatever_its_curve() -> None:
    (phase,) = find_phases(document(noisy(11 - 2 * FALL, 4), flags=("saturated",)))
    assert phase["verdict"] == "saturated"
    assert phase["onset_step"] is None


def test_a_decline_from_the_first_checkpoint_compresses() -> None:
    (phase,) = find_phases(document(noisy(8 - 3 * U, 8, 0.02)))
    assert phase["verdict"] == "compresses"
    assert phase["score"] == pytest.approx(3 / 8, abs=0.05)


def test_one_checkpoint_has_no_change() -> None:
    (phase,) = find_phases(document([[4.0], [5.0]], steps=np.array([10])))
    assert (phase["first"], phase["peak"], phase["last"]) == (4.5, 4.5, 4.5)
    assert phase["change"] is None
    assert phase["change_low"] is None
    assert phase["verdict"] == "inconclusive"


def test_few_checkpoints_need_intervals_of_the_cells() -> None:
    values, steps = [[4.0, 8.0, 5.0]], np.array([0, 10, 100])
    (bare,) = find_phases(document(values, steps=steps))
    assert (bare["verdict"], bare["interval"], bare["change"]) == ("inconclusive", "none", -3.0)
    (known,) = find_phases(document(values, steps=steps, half=0.2))
    assert (known["verdict"], known["interval"]) == ("compresses", "cells")


def test_wide_cells_make_a_single_run_inconclusive() -> None:
    curve = noisy(5 + 3 * FIT - 1 * FALL, 1, noise=0.02)
    assert find_phases(document(curve))[0]["verdict"] == "compresses"
    (phase,) = find_phases(document(curve, half=1.5))
    assert (phase["verdict"], phase["interval"]) == ("inconclusive", "cells")


def test_missing_cells_are_bridged_and_missing_layers_survive() -> None:
    values = noisy(5 + 3 * FIT - 2 * FALL, 4)
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[:, [0, -1]] = [[5.0, 6.0]] * 4
    (phase,) = find_phases(document(values))
    assert phase["verdict"] == "compresses"
    (nothing,) = find_phases(document([[None] * len(STEPS)]))
    assert (nothing["n_runs"], nothing["last"], nothing["verdict"]) == (0, None, "inconclusive")


def test_a_run_that_stopped_early_does_not_end_the_others() -> None:
    values = noisy(5 + 3 * FIT - 2 * FALL, 4)
    values[0, U > 0.4] = np.nan
    (phase,) = find_phases(document(values))
    assert phase["n_runs"] == 3
    assert phase["last"] == pytest.approx(6.0, abs=0.5)
    assert phase["verdict"] == "compresses"


def test_runs_recorded_at_different_steps_are_interpolated() -> None:
    values = noisy(5 + 3 * FIT - 2 * FALL, 4)
    values[::2, 1:-1:2] = np.nan
    values[1::2, 2:-1:2] = np.nan
    (phase,) = find_phases(document(values))
    assert phase["n_runs"] == 4
    assert phase["verdict"] == "compresses"


def test_runs_without_a_group_are_judged_alone() -> None:
    phases = find_phases(document(noisy(8 - 3 * U, 3), group=None))
    assert [(p["group"], p["n_runs"]) for p in phases] == [("s0", 1), ("s1", 1), ("s2", 1)]


def test_negative_information_is_not_clipped() -> None:
    (phase,) = find_phases(document(noisy(-1 - 0.5 * U, 8, 0.01), quantity="dsmi_y", bound=1.0))
    assert phase["last"] < -1.3
    assert phase["verdict"] == "compresses"
    assert phase["score"] is None


def test_agreement_counts_estimators_not_settings() -> None:
    fall, flat = noisy(8 - 3 * U, 8), noisy(np.full(len(U), 8.0), 8, 0.02)
    results = together(
        document(fall, estimator="binning"),
        document(fall, estimator="binning:bins=60"),
        document(fall, estimator="dse", quantity="dse"),
        document(flat, estimator="compressed"),
        document(fall, estimator="kde", flags=("saturated",)),
    )
    phases = find_phases(results)
    found = {p["estimator"]: (p["verdict"], p["agree"], p["of"]) for p in phases}
    assert found["binning"] == found["binning:bins=60"] == ("compresses", 2, 3)
    assert found["dse"] == ("compresses", 2, 3)
    assert found["compressed"] == ("no_change", 1, 3)
    assert found["kde"] == ("saturated", 0, 3)
    joint = layer_verdicts(phases)["g", "fc"]
    assert (joint.verdict, joint.agree, joint.of) == ("compresses", 2, 3)


def test_settings_that_disagree_do_not_vote_for_either() -> None:
    results = together(
        document(noisy(8 - 3 * U, 8), estimator="binning"),
        document(noisy(np.full(len(U), 8.0), 8, 0.02), estimator="binning@bins=60"),
    )
    joint = layer_verdicts(find_phases(results))["g", "fc"]
    assert (joint.verdict, joint.agree, joint.of) == ("inconclusive", 0, 1)


def test_an_onset_does_not_depend_on_other_layers() -> None:
    one = document(noisy(5 + 3 * FIT - 2 * FALL, 4), layer="a")
    two = document(noisy(8 - 3 * U, 4), layer="b", index=1)
    (alone,), (both, _) = find_phases(one), find_phases(together(one, two))
    ends = ("onset_step", "onset_low", "onset_high")
    assert [alone[end] for end in ends] == [both[end] for end in ends]
    assert find_phases(one, seed=1)[0]["verdict"] == "compresses"


def test_curves_come_in_the_order_of_the_forward_pass() -> None:
    results = together(
        document([[1.0]], steps=np.array([0]), layer="late", index=2),
        document([[2.0]], steps=np.array([0]), layer="early", index=0),
    )
    assert [key[1] for key in curves(results)] == ["early", "late"]


def test_jitter_of_white_noise_is_its_standard_deviation() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 4000)
    # 4000 points leave a relative error of about 2 %
    assert jitter(noise) == pytest.approx(0.3, rel=0.08)
    assert jitter(np.linspace(0, 5, 50)) == pytest.approx(0.0, abs=1e-12)


def test_the_smallest_change_follows_the_bound() -> None:
    assert smallest_change(IXT, 12.0) == 0.25
    assert smallest_change(IXT, 1.0) == pytest.approx(0.05)
    assert smallest_change(IXT, None) == 0.25
    own = Quantity("pr", "PR", "dimensions")
    assert smallest_change(own, 64.0) == pytest.approx(3.2)
    assert smallest_change(own, 1568.0, [69.0, np.nan, 30.0]) == pytest.approx(3.45)
    assert smallest_change(own, 64.0, [1000.0]) == pytest.approx(3.2)
    assert smallest_change(own, 64.0, [0.0, 0.0]) == pytest.approx(3.2)
    assert smallest_change(replace(own, smallest_change=2.0), 64.0, [10.0]) == 2.0
    assert smallest_change(own, None, [np.nan, -20.0, 4.0]) == pytest.approx(1.0)
    assert smallest_change(replace(own, smallest_change=2.0), None) == 2.0


@pytest.mark.parametrize(
    "quantity", ["effective_rank", "rankme", "participation_ratio", "stable_rank", "saturation"]
)
def test_a_fall_by_half_counts_however_far_the_bound_is(quantity: str) -> None:
    scale = 0.01 if quantity == "saturation" else 1.0
    falls = scale * np.linspace(69.0, 30.0, len(STEPS))
    told = {
        bound: find_phases(document([falls], quantity=quantity, bound=bound, half=scale))[0]
        for bound in (70.0 * scale, 1568.0 * scale)
    }
    for phase in told.values():
        assert phase["verdict"] == "compresses"
        assert phase["rise"] == pytest.approx(-39.0 * scale, rel=0.05)
    still = scale * np.linspace(30.0, 30.9, len(STEPS))
    phase = find_phases(document([still], quantity=quantity, bound=1568.0, half=0.1 * scale))[0]
    assert phase["verdict"] == "no_change"

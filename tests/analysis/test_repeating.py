"""An analysis that repeats the settings of another: the same numbers, or a word on what differs."""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import infoplane
from infoplane.analysis.repeating import Baseline
from infoplane.analysis.session import Analysis
from infoplane.errors import DataError, InputError, RunFileError
from infoplane.estimators import registry
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimator import Compressed
from tests.cli.analyses import write_run


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Two seeds of a network on 260 samples, two of a later commit, and one on fewer and more."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        write_run(f"main/s{seed}", n=260, seed=seed, units=4)
        write_run(f"pr/s{seed}", n=260, seed=7 + seed, units=4, sharper=3)
    write_run("fewer/s0", n=230, seed=7, units=4)
    write_run("more/s0", n=390, seed=7, units=4)


MAIN, PR = ["main/s0", "main/s1"], ["pr/s0", "pr/s1"]


def analyze(runs, *arguments, **options):
    with ThreadPoolExecutor(1) as threads:
        return infoplane.analyze(runs, *arguments, executor=threads, **options)


def numbers(results):
    varies = ("seconds", "cached")
    return [{k: v for k, v in row.items() if k not in varies} for row in results["rows"]]


def settings(results):
    """Setting of each quantity and layer, which must be one for all runs and steps."""
    found = {}
    for row in results["rows"]:
        key = row["estimator"], row["quantity"], row["layer"]
        assert found.setdefault(key, row.get("setting")) == row.get("setting"), key
    return found


def test_the_same_runs_give_the_same_numbers_to_the_last_bit():
    base = analyze(MAIN, ["binning:bins=7", "compressed", "exact"], seed=3)
    base.save("base.json")
    again = analyze(MAIN, settings_from="base.json")
    assert numbers(again) == numbers(base)
    assert again["artifacts"] == base["artifacts"]
    assert again["estimators"] == base["estimators"]
    assert again["config"]["analyze"] == base["config"]["analyze"] | {"settings_from": "base.json"}
    assert numbers(analyze(MAIN, settings_from=again)) == numbers(base)  # and so on


@pytest.mark.parametrize(
    "estimators",
    [
        ["binning:bins=5+9", "compressed:c=0.2+0.4"],
        ["compressed:noise=fixed"],
        ["compressed:noise_scale=0.5+1,seed=4"],
        ["compressed:noise=0.3", "compressed:max_samples=220"],
        [Compressed(c=(0.123456789123,))],
    ],
)
def test_every_parameter_is_repeated(estimators):
    base = analyze(MAIN, estimators, steps="0,last")
    assert numbers(analyze(MAIN, settings_from=base)) == numbers(base)


def test_another_commit_is_measured_at_the_noise_of_the_first():
    base, alone = analyze(MAIN, "compressed"), analyze(PR, "compressed")
    pr = analyze(PR, settings_from=base)
    fixed = {key: value for key, value in settings(base).items() if key[1] == "ixt_fixed"}
    assert all(value.startswith("σ=") for value in fixed.values())
    assert settings(alone) != settings(base) == settings(pr)
    assert infoplane.compare(base, alone).left_out
    whole = infoplane.compare(base, pr)
    assert not whole.left_out
    assert {d.quantity for d in whole.differences} >= {"ixt", "ixt_fixed", "ixt_scale", "size"}
    by = {(r["run"], r["layer"], r["step"], r["quantity"]): r["value"] for r in pr["rows"]}
    for (run, layer, step, quantity), value in by.items():
        if quantity == "ixt_scale":
            assert value == by[run, layer, step, "ixt_fixed"] - by[run, layer, step, "ixt"]
        if quantity in ("ixt", "size"):  # the noise that is relative was so anyway
            assert value == next(
                r["value"] for r in alone["rows"]
                if (r["run"], r["layer"], r["step"], r["quantity"]) == (run, layer, step, quantity)
            )  # fmt: skip


def test_fewer_samples_keep_c_and_are_named(caplog):
    base = analyze("main/s0", "compressed")
    assert settings(base)["compressed", "ixt", "fc1"] == "c=0.35"
    assert settings(analyze("fewer/s0", "compressed"))["compressed", "ixt", "fc1"] == "c=0.4"
    caplog.clear()
    fewer = analyze("fewer/s0", settings_from=base)
    assert settings(fewer) == settings(base)
    assert "fewer/s0: N = 230, in settings_from 260: compare will name it" in caplog.text
    with pytest.raises(DataError, match="samples of net 260 in the baseline, 230 in the candidate"):
        infoplane.compare(base, fewer)
    mismatches = infoplane.compare(base, fewer, allow_mismatch=True).mismatches
    assert any("N = 260 in the baseline, 230 in the candidate" in m for m in mismatches)
    assert not any("c=" in m for m in mismatches)


def test_of_more_samples_as_many_are_taken_class_by_class(caplog):
    base = analyze("main/s0", ["binning", "compressed"])
    more = analyze("more/s0", settings_from=base)
    assert "more/s0: N = 260 of its 390 samples" in caplog.text
    assert {row["n"] for row in more["rows"]} == {260}
    [recording] = more["recordings"]
    assert (recording["n"], recording["n_dropped"]) == (260, 130)
    assert recording["h_y"] == base["recordings"][0]["h_y"]
    assert infoplane.compare(base, more).differences


def test_one_group_of_the_baseline_serves_runs_of_any_name():
    base = analyze(MAIN, "compressed")
    write_run("other/t9", n=260, seed=9, units=4)
    assert settings(analyze("other/t9", settings_from=base)) == settings(base)


def test_layers_steps_and_splits_are_chosen_as_before_or_anew():
    base = analyze(MAIN, "exact", layers="fc2", steps="0,last", nan="drop", seed=5)
    whole = analyze(PR, settings_from=base)
    assert {(r["layer"], r["step"]) for r in whole["rows"]} == {("fc2", 0), ("fc2", 10)}
    assert whole["config"]["analyze"]["nan"] == "drop"
    assert whole["config"]["analyze"]["seed"] == 5
    part = analyze(PR, settings_from=base, steps="last")
    assert {r["step"] for r in part["rows"]} == {10}


def test_layers_that_one_side_has_alone_are_named(caplog):
    base = analyze("main/s0", "compressed")
    write_run("deeper/s0", n=260, units=4, layers=("fc1", "fc3"))
    found = analyze("deeper/s0", settings_from=base)
    assert "layer fc3 of deeper/s0 is not in settings_from" in caplog.text
    assert "layer fc2 of settings_from is not in deeper/s0" in caplog.text
    fixed = {r["layer"] for r in found["rows"] if r["quantity"] == "ixt_fixed"}
    assert fixed == {"fc1"}
    write_run("foreign/s0", n=260, layers=("a", "b"))
    with pytest.raises(DataError, match="none of its layers is in settings_from") as raised:
        Analysis("foreign/s0", settings_from=base)
    assert raised.value.hint == "choose layers of fc1 fc2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimators": "exact"}, "estimators: expected none, since base.json says which, got exa"),
        ({"seed": 4}, "seed: expected that of base.json, 0, got 4"),
        ({"nan": "drop"}, "nan: expected that of base.json, 'fail', got 'drop'"),
    ],
)
def test_what_contradicts_the_baseline_is_refused(options, message):
    analyze("main/s0", "exact", steps="0").save("base.json")
    with pytest.raises(InputError, match=message):
        Analysis("pr/s0", settings_from="base.json", **options)


def test_what_is_no_baseline_is_refused(tmp_path):
    with pytest.raises(RunFileError, match="no.json: no such file"):
        Analysis("pr/s0", settings_from="no.json")
    with pytest.raises(RunFileError, match="expected a results document, found a folder"):
        Analysis("pr/s0", settings_from="main/s0")
    (tmp_path / "other.json").write_text('{"schema": "other/1"}')
    with pytest.raises(RunFileError, match="expected a results document 'infoplane.results/1'"):
        Analysis("pr/s0", settings_from="other.json")
    with pytest.raises(InputError, match="settings_from: expected a results file, or results, got"):
        Analysis("pr/s0", settings_from=3)


def _changed(base, **entry):
    changed = copy.deepcopy(dict(base))
    changed["estimators"][0] |= entry
    return changed


def test_estimators_that_cannot_be_repeated_are_named(caplog):
    base = analyze("main/s0", "exact", steps="0")
    foreign = _changed(base)
    foreign["config"]["analyze"]["estimators"] = ["dimensions"]
    with pytest.raises(InputError, match="estimator 'dimensions' cannot be repeated") as raised:
        Analysis("pr/s0", settings_from=foreign)
    assert "install its plug-in" in raised.value.hint
    newer = _changed(base, params={**base["estimators"][0]["params"], "flux": 3})
    with pytest.raises(InputError, match="estimator exact has no parameter 'flux' here"):
        Analysis("pr/s0", settings_from=newer)
    Analysis("pr/s0", settings_from=_changed(base, version="0"))
    assert "estimator exact is of version 0, here of" in caplog.text
    assert "its numbers cannot be repeated" in caplog.text


def test_merged_results_are_repeated_with_all_their_estimators():
    parts = [analyze("main/s0", name, steps="0") for name in ("exact", "binning:bins=4")]
    for name, part in zip("ab", parts, strict=True):
        part.save(f"{name}.json")
    whole = infoplane.load("a.json", "b.json")
    again = analyze("main/s0", settings_from=whole)
    rows = {str(sorted(row.items())) for row in numbers(whole)}
    assert {str(sorted(row.items())) for row in numbers(again)} == rows


def test_runs_that_were_analyzed_apart_share_nothing_to_repeat(caplog):
    for seed in (0, 1):
        analyze(f"main/s{seed}", "compressed").save(f"{seed}.json")
    base = infoplane.load("0.json", "1.json")
    caplog.clear()
    analyze(PR, settings_from=base)
    assert "is set anew, from these runs: settings_from holds several for it" in caplog.text
    # but each run alone finds what it had
    alone = analyze("main/s1", settings_from=base)
    expected = [row for row in numbers(base) if row["run"] == "s1"]
    assert numbers(alone) == expected


def test_noise_of_neighbours_cannot_be_repeated_and_is_named(caplog):
    base = analyze("main/s0", "compressed:mode=neighbors", steps="0")
    caplog.clear()
    Analysis("pr/s0", settings_from=base)
    assert "compressed:mode=neighbors: the noise it fixes for a group is set anew" in caplog.text


def test_the_cache_knows_numbers_by_the_noise_they_were_made_at():
    base = analyze(MAIN, "compressed")
    anew = analyze(PR, "compressed", cache="cache")
    repeated = analyze(PR, settings_from=base, cache="cache")
    assert not any(row["cached"] for row in repeated["rows"])
    assert numbers(repeated) != numbers(anew)
    works = Analysis(PR, settings_from=base, cache="cache").plan()
    assert [work.cached for work in works] == [work.cells for work in works]
    again = analyze(PR, settings_from=base, cache="cache")
    assert all(row["cached"] for row in again["rows"])
    assert numbers(again) == numbers(repeated)
    assert again["artifacts"] == repeated["artifacts"]


def test_parts_of_the_samples_are_measured_at_the_noise_of_the_whole():
    results = analyze("main/s0", "compressed", sampling=True, steps="last")
    whole = {(r["layer"], r["quantity"]): r for r in results["rows"]}
    assert whole["fc1", "ixt"]["setting"] == "c=0.35"
    coarser = analyze("main/s0", "compressed:c=0.35", sampling=True, steps="last")
    for entry, other in zip(results["sampling"], coarser["sampling"], strict=True):
        if entry["quantity"] == "ixt":
            # other draws under another id, but the same resolution: 130 samples alone take 0.4
            assert entry["n"] == other["n"]
            assert np.mean(entry["values"]) == pytest.approx(np.mean(other["values"]), abs=0.3)


@dataclass(frozen=True)
class Shares(Estimator):
    """Keeps what its group shares in results."""

    name: ClassVar[str] = "shares"
    title: ClassVar[str] = "shares"
    quantities: ClassVar[tuple[str, ...]] = ("ixt",)

    def prepare_group(self, runs, rng):
        return sum(float(run.activations(run.steps[-1], "fc1").sum()) for run in runs)

    def prepare_member(self, shared, run, rng):
        return shared

    def artifacts(self, shared):
        return {"ab" * 32: {"content": "sum", "sum": shared}}

    def restored(self, kept):
        return kept["sum"]

    def estimate(self, prepared, activations, rng):
        return {"ixt": Estimate(prepared, diagnostics={"shared_sha256": "ab" * 32})}


def test_a_plug_in_repeats_what_it_keeps(monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "shares", f"{__name__}:Shares")
    base = analyze(MAIN, "shares")
    pr = analyze(PR, settings_from=base)
    assert {row["value"] for row in pr["rows"]} == {row["value"] for row in base["rows"]}


def test_what_is_kept_is_checked_when_it_is_read():
    with pytest.raises(InputError, match="expected the noise of a group"):
        Compressed().restored({"content": "other"})
    with pytest.raises(InputError, match="exact: keeps nothing of what the runs of a group share"):
        registry.parse_estimator("exact").restored({})


def test_a_baseline_without_estimators_has_nothing_to_repeat():
    base = {"config": {}, "estimators": [], "recordings": [], "rows": []}
    with pytest.raises(DataError, match="names no estimator"):
        Baseline("base.json", base).estimators()

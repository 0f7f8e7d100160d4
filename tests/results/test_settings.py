"""What must be equal for values to be averaged or compared, and how a difference is told."""

import numpy as np
import pytest

from infoplane.cli.table import summary
from infoplane.errors import DataError, NotFoundError
from infoplane.estimators.quantities import QUANTITIES
from infoplane.plots.figures import draw
from infoplane.plots.view import View
from infoplane.results.curves import curves
from infoplane.results.merging import merged, separate_unlike
from infoplane.results.settings import apart, difference, in_words
from tests.gate.made import document, row


def cell(setting=None, n=3000, value=4.2):
    return {"value": value, "n": n, "setting": setting}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"a": [cell("c=0.25")], "b": [cell("c=0.25")]}, ""),
        (
            {"base.json": [cell("c=0.25")], "pr.json": [cell("c=0.3", 1200)]},
            "c=0.25 in base.json, c=0.3 in pr.json; N = 3,000 in base.json, 1,200 in pr.json",
        ),
        (
            {"s0": [cell("c=0.25")], "s1": [cell("c=0.25")], "s2": [cell("c=0.3")]},
            "c=0.25 (s0, s1), c=0.3 (s2)",
        ),
        (
            {"a": [cell("c=0.25"), cell("c=0.3")], "b": [cell("c=0.3")]},
            "c=0.25 and c=0.3 in a, c=0.3 in b",
        ),
        ({"a": [cell()], "b": [cell("c=0.25")]}, ""),  # of before there were settings
        ({"a": [cell("c=0.25")], "b": [cell(None, 150, None)]}, ""),  # a cell that failed
        ({"a": [], "b": [cell("c=0.25")]}, ""),
    ],
)
def test_rows_differ_in_their_setting_or_number_of_samples(sets, said):
    assert difference(sets) == said


def test_parameters_differ_but_for_the_seed_and_what_is_not_set():
    one = {"bins": 30, "seed": 0}
    assert difference({}, {"a": one, "b": {"bins": 30, "seed": 7, "c": None}}) == ""
    assert difference({}, {"a": one, "b": {"bins": 15}}) == "bins 30 in a, 15 in b"


def test_many_values_and_hostile_names_stay_one_short_line():
    sets = {f"s{i}\n::error::": [cell(f"σ={i}")] for i in range(40)}
    said = difference(sets)
    assert "\n" not in said
    assert said.endswith("36 more")
    assert len(said) < 300


def test_only_what_is_of_no_family_can_be_left_out():
    of = {("fc1", "compressed", q): QUANTITIES[q] for q in ("ixt", "ity", "ixt_fixed", "size")}
    fixed, ixt = ("fc1", "compressed", "ixt_fixed"), ("fc1", "compressed", "ixt")
    assert apart({fixed: "σ"}, of) == ({}, {fixed: "σ"})
    assert apart({fixed: "σ", ixt: "c"}, of) == ({fixed: "σ", ixt: "c"}, {})
    assert apart({fixed: "σ"}, {fixed: of[fixed]}) == ({fixed: "σ"}, {})  # nothing else is there
    assert apart({}, of) == ({}, {})


def test_layers_that_differ_in_other_ways_are_counted():
    unlike = {(f"fc{i}", "compressed", q): f"σ={i}" for i in range(3) for q in ("a", "b")}
    assert in_words(unlike) == ["a, b of compressed: σ=0 (layer fc0, and 2 others)"]


def runs(*settings, quantity="ixt", n=4096, beside=()):
    """A document of one layer, a run per setting; quantities ``beside`` are alike."""
    rows = [
        row(
            f"s{i}", step, "fc1", 3.0 + i, estimator="compressed", quantity=q, n=n,
            setting=setting if q == quantity else None,
        )
        for i, setting in enumerate(settings) for step in (0, 1) for q in (quantity, *beside)
    ]  # fmt: skip
    return document(rows)


def one_run(number, setting, **more):
    found = runs(*[None] * number, setting, **more)
    for part in ("rows", "recordings"):
        found[part] = [x for x in found[part] if x["run"] == f"s{number}"]
    return found


def test_runs_of_unequal_settings_have_no_mean():
    (alike,) = curves(runs("c=0.25", "c=0.25", "c=0.25")).values()
    assert alike.mean() == pytest.approx([4.0, 4.0])
    assert alike.spread() is not None
    (unlike,) = curves(runs("c=0.25", "c=0.25", "c=0.3")).values()
    assert unlike.settings_differ == "c=0.25 (s0, s1), c=0.3 (s2)"
    assert np.isnan(unlike.mean()).all()
    assert unlike.spread() is None
    assert unlike.interval() is None


def test_steps_of_one_run_at_other_noise_are_no_curve():
    mixed = runs("c=0.25")
    mixed["rows"][1]["setting"] = "c=0.3"
    (curve,) = curves(mixed).values()
    assert curve.settings_differ == "c=0.25 in step 0, c=0.3 in step 1"


def test_table_and_figures_name_what_they_do_not_average():
    results = runs("σ=0.1", "σ=0.2", quantity="ixt_fixed", beside=("ixt", "ity"))
    told = "not averaged: ixt_fixed of compressed: σ=0.1 in s0, σ=0.2 in s1"
    assert told in " ".join(summary(results).split())
    view = View.of(results)
    assert view.not_averaged("net") == [told]
    assert {key[3] for key in view.curves} == {"ixt", "ity"}
    assert {key[3] for key in view.phases} == {"ixt", "ity"}
    draw(view, "plane")
    with pytest.raises(NotFoundError, match="'net' has no mean of I.X;T. fixed σ: not averaged"):
        draw(view, "depth", quantity="ixt_fixed")
    with pytest.raises(NotFoundError, match="nothing to draw: ixt of compressed: c=0.25 in s0"):
        View.of(runs("c=0.25", "c=0.3"))


def test_groups_that_are_drawn_together_are_told_apart():
    results = runs("c=0.25", "c=0.3", beside=())
    for recording in results["recordings"]:
        recording["group"] = recording["run"]
    labels = [r | {"quantity": "ity"} for r in results["rows"]]
    results["rows"] += labels
    figure = draw(results, "plane", facet="group")
    texts = " ".join(" ".join(t.get_text().split()) for t in figure.texts)
    assert "groups differ: c=0.25 in s0, c=0.3 in s1" in texts
    for r in results["rows"]:
        r["setting"] = "c=0.25"
    figure = draw(results, "plane", facet="group")
    assert not any("differ" in text.get_text() for text in figure.texts)


def test_merged_runs_of_other_settings_become_groups_of_their_own(caplog):
    whole = merged([one_run(0, "c=0.25"), one_run(1, "c=0.3")], names=["a.json", "b.json"])
    assert [r["group"] for r in whole["recordings"]] == ["s0", "s1"]
    assert {p["group"]: p["n_runs"] for p in whole["phases"]} == {"s0": 1, "s1": 1}
    apart_, groups = (record.getMessage() for record in caplog.records)
    assert apart_.startswith(
        "group net: not averaged: ixt of compressed: c=0.25 in s0, c=0.3 in s1"
    )
    assert "--settings-from" in apart_
    assert groups.startswith("groups of runs differ: values of compressed: c=0.25 in s0")


def test_merged_runs_of_equal_settings_are_averaged_without_a_word(caplog):
    whole = merged([one_run(0, "c=0.25"), one_run(1, "c=0.25")], names=["a.json", "b.json"])
    assert {r["group"] for r in whole["recordings"]} == {"net"}
    assert whole["phases"][0]["n_runs"] == 2
    assert not caplog.records


def test_noise_that_was_fixed_apart_is_named_and_parts_nothing(caplog):
    more = {"quantity": "ixt_fixed", "beside": ("ixt",)}
    parts = [one_run(0, "σ=0.1", **more), one_run(1, "σ=0.2", **more)]
    whole = merged(parts, names=["a.json", "b.json"])
    assert {r["group"] for r in whole["recordings"]} == {"net"}
    (said,) = (record.getMessage() for record in caplog.records)
    assert "not averaged: ixt_fixed of compressed: σ=0.1 in s0, σ=0.2 in s1" in said


def test_parts_of_one_run_with_other_settings_are_refused():
    first, second = one_run(0, "c=0.25"), one_run(0, "c=0.3")
    first["rows"], second["rows"] = first["rows"][:1], second["rows"][1:]
    with pytest.raises(DataError, match="of fc1 of s0 by compressed: c=0.25 in a.json, c=0.3 in b"):
        merged([first, second], names=["a.json", "b.json"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n": 1000}, "N = 600 (s0, s1), 1,000 (s2)"),
        ({"layers": [{"name": "fc1", "units": 4}]}, "layers: fc1 (3) (s0, s1), fc1 (4) (s2)"),
        ({"layers": []}, "layers: fc1 (3) (s0, s1), none (s2)"),
    ],
)
def test_runs_that_are_no_repetitions_are_told_in_one_line_that_names_the_difference(
    changed, said, caplog
):
    one = {"group": "net", "n": 600, "layers": [{"name": "fc1", "units": 3}]}
    recordings = [{**one, "run": "s0"}, {**one, "run": "s1"}, {**one, "run": "s2", **changed}]
    separate_unlike(recordings)
    assert [recording["group"] for recording in recordings] == ["s0", "s1", "s2"]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == f"group net: its runs are not averaged, each is a group of its own: {said}"


def test_the_table_names_the_setting_of_each_group():
    rows = [
        row(run, step, "fc1", value, estimator="compressed", setting=setting)
        for run, setting in (("s0", "c=0.35"), ("s1", "c=0.3"))
        for step, value in ((0, 5.0), (1, 4.0))
    ]
    told = summary(document(rows, group=None))
    assert ", c=0.35)" in told
    assert ", c=0.3)" in told

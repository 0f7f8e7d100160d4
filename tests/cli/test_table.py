"""The table on the terminal: what is shown, what is said of the rest, and how much of it."""

import numpy as np
import pytest

from infoplane.cli.table import summary
from tests.plots import synthetic


@pytest.fixture(scope="module")
def results():
    return synthetic.bracketed(wide_layers=1)


def lines(results, **options):
    return summary(results, **options).splitlines()


def joined(results, **options):
    return " ".join(summary(results, **options).split())


def test_the_one_that_says_most_is_shown_with_the_reason(results):
    text = joined(results)
    assert (
        "shown: lossy compression (no layer saturated, brackets at most 1.40 bits wide, bounds "
        "alone in 5 of 56 values); adaptive binning: all 7 layers at log₂ N, not drawn." in text
    )
    assert "bits, lossy compression (compressed, c=0.25), one run" in text
    assert text.count("saturated") == 1


def test_another_is_shown_if_it_is_named(results):
    text = joined(results, estimator="binning")
    assert "adaptive binning (binning)" in text
    assert "shown:" not in text


def test_every_change_at_fixed_noise_is_shape_and_scale(results):
    rows = [line.split() for line in lines(results) if line.startswith("fc7")]
    _, fixed, shape, scale, octaves, *_ = rows[-1]  # after the table and the sentence
    assert float(fixed) == pytest.approx(float(shape) + float(scale), abs=0.011)
    assert scale == octaves
    assert "at one noise for all checkpoints = shape + scale" in joined(results)


def test_many_layers_are_told_of_on_request():
    many = synthetic.bracketed(n_layers=60, n_steps=4, last_step=3)
    many["phases"] = [{**phase, "sentence": "falls"} for phase in many["phases"]]
    short, wide = joined(many), joined(many, wide=True)
    assert "shape and scale at fixed noise: --wide, or infoplane plot -f scale" in short
    assert "= shape + scale" in wide
    assert len(lines(many)) < 80 < len(lines(many, wide=True))


def test_a_layer_with_bounds_alone_shows_them():
    results = synthetic.bracketed(n_layers=2, n_steps=2, last_step=1, wide_layers=1)
    for row in results["rows"]:
        if row["layer"] == "fc1" and row["bound_name"] == "bracket":
            row |= {"value": None, "bound_low": 4.0, "bound_high": 5.5}
    from infoplane.results.phases import find_phases

    results["phases"] = find_phases(results)
    row = next(line for line in lines(results, wide=True) if line.startswith("fc1"))
    assert "4.00 .. 5.50" in row
    assert row.endswith("bounds alone")


def test_the_sentence_of_a_phase_stands_under_the_table(results):
    told = [{**phase, "sentence": f"falls in {phase['layer']}"} for phase in results["phases"]]
    assert "fc3  falls in fc3" in lines({**results, "phases": told})


def test_warnings_are_three_lines_with_the_codes_and_all_on_request(results):
    assert [line for line in lines(results) if line.startswith("[")] == [
        line for line in lines(results) if line.startswith("[1] IP201, IP202 ")
    ]
    flags = ("out_of_range", "biased", "upper_bound", "order")
    rows = [
        {**row, "flags": [*row["flags"], *flags]} if row["estimator"] == "compressed" else row
        for row in results["rows"]
    ]
    more = {**results, "rows": rows}
    assert len([line for line in lines(more) if line.startswith("[")]) == 2
    assert lines(more)[-1] == "    and 3 other warnings: --wide shows them"
    assert len([line for line in lines(more, wide=True) if line.startswith("[")]) == 5


@pytest.mark.parametrize("n_layers", [3, 7, 60])
def test_it_fits_80_columns(n_layers, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    results = synthetic.bracketed(n_layers=n_layers, n_seeds=3, n_steps=5, wide_layers=1)
    assert max(map(len, lines(results))) <= 80


def test_what_a_probe_reads_of_the_labels_stands_beside(results):
    assert "probe" not in joined(results)
    read = [
        {**row, "estimator": "probe", "value": 3.07, "bound_name": "h_y", "flags": []}
        for row in results["rows"]
        if (row["estimator"], row["quantity"]) == ("compressed", "ity")
    ]
    entry = {**results["estimators"][1], "id": "probe", "name": "held-out probe"}
    more = {
        **results,
        "rows": [*results["rows"], *read],
        "estimators": [*results["estimators"], entry],
    }
    header = next(line for line in lines(more) if line.startswith("layer"))
    row = next(line for line in lines(more) if line.startswith("fc5"))
    at = header.index("probe")
    assert row[at : at + 5].strip() == "3.07"
    assert "probe: I(T;Y) that a held-out probe reads" in joined(more)


def test_of_a_narrow_table_the_interval_of_the_change_stays_and_the_onset_goes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    results = synthetic.bracketed(n_layers=4, n_seeds=3, n_steps=5)
    results["phases"] = [{**phase, "onset_step": 1} for phase in results["phases"]]
    heads = next(line for line in lines(results) if line.startswith("layer"))
    assert "95% CI" in heads
    assert "onset" not in heads
    assert "curve, onset hidden at 80 columns" in joined(results)
    assert "I(X;T) in bits, lossy compression" in joined(results)


@pytest.mark.parametrize(
    ("phase", "written"),
    [
        ({"verdict": "compresses", "agree": 2, "of": 2}, "compresses 2/2"),
        ({"verdict": "compresses", "agree": 1, "of": 1}, "compresses"),
        ({"verdict": "inconclusive", "agree": 2, "of": 2}, "inconclusive"),
        ({"verdict": "saturated", "agree": 2, "of": 2}, "saturated"),
    ],
)
def test_estimators_are_counted_where_they_agree_on_a_conclusion(results, phase, written):
    changed = [{**one, **phase} for one in results["phases"]]
    row = next(line for line in lines({**results, "phases": changed}) if line.startswith("fc7"))
    assert row.endswith(f"  {written}")
    text = joined({**results, "phases": changed})
    assert ("n/m: estimators that agree" in text) == ("/" in written)


@pytest.mark.parametrize(
    ("unit", "bound", "top"),
    [("dimensions", 1568.0, 69.0), ("dimensions", 100.0, 100.0), ("bits", 1568.0, 1568.0)],
)
def test_bars_leave_out_a_bound_that_is_far(unit, bound, top):
    from infoplane.cli.table import _top
    from infoplane.results.curves import curves

    results = synthetic.bracketed(n_layers=1, n_steps=2, last_step=1, wide_layers=0)
    results["rows"] = [
        {**row, "value": 30.0 + 39.0 * row["step"], "bound_high": bound} for row in results["rows"]
    ]
    assert _top(list(curves(results).values()), unit) == pytest.approx(top)


def test_measures_stand_in_a_table_each_with_as_many_decimals_in_a_column():
    from infoplane.cli.measures_table import measures_table
    from infoplane.results.curves import curves

    results = synthetic.of_representations()
    told = measures_table(results, curves(results), results["recordings"][0]["group"], None)
    heads = [line.split("  ")[0] for line in told if line.startswith("layer")]
    assert heads == ["layer", "layer"]  # eigenvalues, classes
    ranks = told[1 : told.index("", 1)]
    places = {
        word.strip("()~").partition(".")[2] for line in ranks[2:] for word in line.split()[1:2]
    }
    assert len({len(digits) for digits in places}) == 1
    assert max(map(len, told)) < 140


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(0.1, 3, "0.100"), (1060.4, 2, "1060"), (99.9, 1, "99.9"), (2e-5, 3, "2.0e-05"),
     (0, 2, "0.00"), (3e6, 0, "3.0e+06")],
)  # fmt: skip
def test_numbers_of_a_column_have_its_decimals(value, places, text):
    from infoplane.cli.measures_table import _number

    assert _number(value, places) == text


def test_a_layer_without_a_value_at_the_last_checkpoint_has_an_empty_cell():
    from infoplane.cli.measures_table import _cells
    from infoplane.results.curves import curves

    results = synthetic.of_representations()
    drawn = {key[1]: c for key, c in curves(results).items() if key[3] == "alpha_req"}
    names = list(drawn)
    assert all(_cells(drawn, names))
    drawn[names[0]].values[:, -1] = np.nan
    assert [bool(cell) for cell in _cells(drawn, names)] == [False, *[True] * (len(names) - 1)]


def test_names_of_layers_are_cut_on_a_narrow_terminal_alone(monkeypatch):
    results = synthetic.results()
    for layer in [entry for run in results["recordings"] for entry in run["layers"]]:
        layer["name"] += "_" * 60
    for entry in [*results["rows"], *results["phases"]]:
        entry["layer"] += "_" * 60
    whole = results["rows"][0]["layer"]
    monkeypatch.delenv("COLUMNS", raising=False)
    assert whole in summary(results)
    monkeypatch.setenv("COLUMNS", "80")
    assert whole not in summary(results)
    assert max(map(len, summary(results).splitlines())) <= 80


def test_the_top_of_bars_that_are_all_0_is_0():
    results = synthetic.results()
    for row in results["rows"]:
        row.update(value=0.0, ci_low=None, ci_high=None, bound_low=0.0, bound_high=0.0)
    assert ", 0 to 0 bits" in summary(results, wide=True)

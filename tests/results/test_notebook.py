"""Results as an object: rows, data frame, HTML, figures, several files as one."""

import builtins
import json

import pytest

import infoplane
from infoplane.errors import DataError, InputError, RunFileError
from infoplane.plots.plane.figure import plane
from infoplane.results.notebook import Results
from tests.gate.made import compressing
from tests.plots import synthetic


@pytest.fixture(scope="module")
def document():
    return synthetic.results(n_layers=3, n_steps=8, n_seeds=2, estimators=("binning",), missing=0.1)


@pytest.fixture
def results(document, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    return infoplane.load(path)


def test_rows_are_those_of_the_document_with_their_group(results, document):
    rows = results.to_rows()
    assert [row["value"] for row in rows] == [row["value"] for row in document["rows"]]
    assert {row["group"] for row in rows} == {"tanh"} == set(results.groups)
    assert all(isinstance(row["flags"], tuple) for row in rows)


def test_a_file_that_is_named_twice_counts_once(results, tmp_path):
    again = infoplane.load(tmp_path / "results.json", f"{tmp_path}/./results.json")
    assert again.document == results.document


def test_the_data_frame_holds_the_same_numbers(results, document):
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert len(frame) == len(document["rows"])
    assert frame["value"].dtype == float
    expected = [float("nan") if r["value"] is None else r["value"] for r in document["rows"]]
    pandas.testing.assert_series_equal(frame["value"], pandas.Series(expected, name="value"))


@pytest.mark.parametrize("name", ["value", "ci_high", "bound_high"])
def test_numbers_that_overflow_are_refused(document, tmp_path, name):
    odd = json.loads(json.dumps(document))
    odd["rows"][3][name] = -1e308
    path = tmp_path / "results.json"
    path.write_text(json.dumps(odd))
    with pytest.raises(
        DataError, match=rf"rows\[3\]\.{name}: expected a number of bits, got -1e\+308"
    ):
        infoplane.load(path)


def test_without_pandas_the_error_says_what_to_install(results, monkeypatch):
    real = builtins.__import__
    import importlib

    def absent(name, *args):
        if name.startswith("pandas"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match="needs pandas") as caught:
        results.to_pandas()
    assert "pip install pandas" in caught.value.hint


def test_a_notebook_shows_a_table_of_escaped_verdicts():
    odd = synthetic.results(names=["<b>x</b>", "y"], n_steps=8, n_seeds=2, estimators=("binning",))
    html = infoplane.Results(odd)._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "<b>x</b>" not in html
    assert html.count("<tr>") == 1 + len(odd["phases"])


def test_figure_functions_take_the_object(results):
    figure = results.draw("plane")
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert plane(results).get_xlabel() == "I(X;T)  [bits]"


def test_the_report_is_written(results, tmp_path):
    results.report(tmp_path / "out" / "report.html")
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_missing_file_is_an_error_of_ours(tmp_path):
    with pytest.raises(RunFileError, match="no such file"):
        infoplane.load(tmp_path / "none.json")


def renamed(document, old, new):
    return json.loads(json.dumps(document).replace(old, new))


def test_several_files_are_one_document_whose_verdicts_are_found_anew(document, tmp_path):
    other = synthetic.results(
        n_layers=3, n_steps=8, n_seeds=3, estimators=("binning",), group="relu", seed=1
    )
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, one in zip(paths, (document, other), strict=True):
        path.write_text(json.dumps(one))
    both = infoplane.load(*paths)
    assert both.groups == ["tanh", "relu"]
    assert len(both["rows"]) == len(document["rows"]) + len(other["rows"])
    assert len(both.phases) == len(document["phases"]) + len(other["phases"])
    single = {p["group"]: p["n_runs"] for p in both.phases}
    assert single == {"tanh": 2, "relu": 3}
    assert both["warnings"][0]["count"] == 2 * document["warnings"][0]["count"]


def test_seeds_in_files_of_their_own_are_runs_of_one_group(document, tmp_path):
    parts = []
    for recording in document["recordings"]:
        rows = [row for row in document["rows"] if row["run"] == recording["run"]]
        path = tmp_path / f"{recording['run']}.json"
        path.write_text(json.dumps({**document, "recordings": [recording], "rows": rows}))
        parts.append(path)
    assert infoplane.load(*parts).phases == document["phases"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d, "is also in"),
        (
            lambda d: renamed(renamed(d, "tanh-s", "other-s"), '"bins": 30', '"bins": 60'),
            "params of estimator 'binning' differs",
        ),
    ],
)
def test_files_that_contradict_one_another_are_refused(document, tmp_path, change, message):
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "b.json").write_text(json.dumps(change(document)))
    with pytest.raises(DataError, match=message):
        infoplane.load(tmp_path / "a.json", tmp_path / "b.json")


@pytest.mark.parametrize("given", [3, None, dict])
def test_calls_name_an_argument_of_the_wrong_type(given):
    results = Results(compressing())
    for call in (infoplane.load, results.save, results.report, results.draw):
        with pytest.raises(InputError, match="expected a"):
            call(given)
    for write in (infoplane.write_csv, infoplane.write_parquet):
        with pytest.raises(InputError, match="path: expected a path, got"):
            write(results, given)
    with pytest.raises(InputError, match="estimators: expected names such as"):
        infoplane.analyze("run", [given])

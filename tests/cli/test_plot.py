import copy
import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tests.cli.test_analyze import write_run
from tests.conftest import infoplane as infoplane_process
from tests.conftest import infoplane_here as infoplane
from tests.plots.synthetic import of_a_plugin


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    for seed in range(2):
        write_run(folder / f"net-s{seed}", seed=seed)
    done = infoplane("analyze", "net-s0", "net-s1", "-o", "r.json", cwd=folder)
    assert done.code == 0
    return json.loads((folder / "r.json").read_text())


@pytest.fixture
def results(tmp_path, monkeypatch, document):
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text(json.dumps(document))
    return copy.deepcopy(document)


@pytest.fixture
def binned(results):
    """The same document with the estimates of binning alone, of which a report is soon drawn."""
    keep = {"estimators": "id", "rows": "estimator", "phases": "estimator"}
    for member, key in keep.items():
        results[member] = [entry for entry in results[member] if entry[key] == "binning"]
    Path("r.json").write_text(json.dumps(results))
    return results


def test_figures_and_report_are_the_same_bytes_in_every_process(results):
    for command, folder in ((infoplane_process, "one"), (infoplane, "two")):
        arguments = ["-o", folder, "--format", "png,svg", "--report", f"{folder}/r.html"]
        done = command("plot", "r.json", *arguments)
        assert done.code == 0
    written = {Path(path).name for path in done.err.replace("wrote ", "").split()}
    assert {"plane.png", "steps.svg", "compression.png", "r.html"} <= written
    for folder in ("one", "two"):
        assert {path.name for path in Path(folder).iterdir()} == written
    for name in written:
        assert Path("one", name).stat().st_size > 1000
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes(), name
    assert Path("one/plane.png").read_bytes()[:4] == b"\x89PNG"
    assert Path("one/r.html").read_text().startswith("<!DOCTYPE html>")


def test_chosen_figures_and_formats(results):
    done = infoplane("plot", "r.json", "-f", "plane", "--format", "svg,pdf", "-o", "f")
    assert done.code == 0
    assert sorted(path.name for path in Path("f").iterdir()) == ["plane.pdf", "plane.svg"]


def _without_rows(document):
    document["rows"] = []


def _other_schema(document):
    document["schema"] = "infoplane.results.notebook/9"


def _no_value_field(document):
    del document["rows"][3]["value"]


def _only_ity(document):
    document["rows"] = [row for row in document["rows"] if row["quantity"] == "ity"]


@pytest.mark.parametrize(
    ("spoil", "options", "code", "message"),
    [
        (_without_rows, [], 4, "no rows"),
        (_other_schema, [], 3, "infoplane.results.notebook/9"),
        (_no_value_field, [], 3, "rows[3]: expected 'value'"),
        (_only_ity, ["-f", "plane"], 4, ""),
        (None, ["-f", "plain"], 2, "expected a figure, got 'plain'"),
        (None, ["--format", "jpg"], 2, "--format"),
        (None, ["-o", "r.json/figures"], 3, "cannot be written"),
        (None, ["--report", "r.json/report.html"], 3, "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(results, spoil, options, code, message):
    if spoil:
        spoil(results)
        Path("r.json").write_text(json.dumps(results))
    done = infoplane("plot", "r.json", *options)
    assert done.code == code
    errors = [line for line in done.err.splitlines() if line.startswith("error[IP")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": "infoplane.results/1"', "[]", "\x00\x01", "3"]
)
def test_truncated_or_foreign_document(results, text):
    Path("r.json").write_text(text)
    done = infoplane("plot", "r.json")
    assert done.code == 3
    assert done.err.startswith("error[IP")


def test_unknown_fields_and_missing_cells_are_no_problem(binned):
    results = binned
    results["later"] = {"a": 1}
    for row in results["rows"]:
        row["later"] = 1
    results["rows"] = [row for row in results["rows"] if (row["step"], row["layer"]) != (1, "fc2")]
    for row in results["rows"][:20]:
        row["value"] = None
        row["flags"] = ["failed"]
    Path("r.json").write_text(json.dumps(results))
    done = infoplane("plot", "r.json", "--report", "report.html", "-q")
    assert (done.code, done.err) == (0, "")


def test_missing_file(results):
    done = infoplane("plot", "other.json")
    assert done.code == 3
    assert "other.json: no such file" in done.err


def test_options_reach_the_figures_that_take_them(results):
    done = infoplane("plot", "r.json", "-f", "plane", "-f", "steps", "-e", "compressed", "-o", "f")
    assert (done.code, done.err) == (0, "wrote f/plane.png\nwrote f/steps.png\n")
    for folder, options in {"a": [], "b": ["--style", "dark"], "c": ["--size", "5"]}.items():
        assert infoplane("plot", "r.json", "-f", "plane", "-o", folder, *options).code == 0
    images = {Path(folder, "plane.png").read_bytes() for folder in "abc"}
    assert len(images) == 3


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["-f", "heat", "--facet", "layer"], 2, "the figure 'heat' has no such option"),
        (["--layers", "fc9"], 4, "no layer matches 'fc9'\n  hint: there are fc1 fc2"),
        (["-f", "plane", "--size", "huge"], 2, "--size"),
        (
            ["-f", "plane", "-e", "nothing"],
            4,
            "--estimator: the results have no 'nothing'; there are binning",
        ),
        (
            ["-f", "plane", "--group", "other"],
            4,
            "--group: the results have no 'other'; there are net",
        ),
        (["-f", "gap"], 4, "metrics"),
        (["-f", "gradients"], 4, "recorded without"),
        (["-f", "bound"], 4, "needs p(y|x) of a discrete X"),
        (["-f", "sampling"], 4, "estimates on parts of the samples"),
        (["-f", "compare"], 4, "a second results document"),
        (["-f", "heat", "--quantity", "ixx"], 2, "expected a quantity"),
    ],
)
def test_options_that_do_not_fit(results, options, code, message):
    done = infoplane("plot", "r.json", *options)
    assert done.code == code
    assert message in done.err
    assert done.err.startswith("error[IP")


def test_the_plane_with_the_information_on_labels_of_a_probe(results):
    chosen = ["-f", "plane", "-e", "binning", "--ity", "probe", "--format", "svg"]
    done = infoplane("plot", "r.json", *chosen)
    assert done.code == 0
    assert "held-out probe" in Path("figures/plane.svg").read_text()
    done = infoplane("plot", "r.json", "-f", "plane", "--ity", "dse")
    assert done.code == 4
    assert "--ity: the results have no 'dse'; there are binning, compressed, probe" in done.err
    done = infoplane("plot", "r.json", "-f", "steps", "--ity", "probe")
    assert "--ity: the figure 'steps' has no such option" in done.err


def test_the_table_of_layers_ends_the_output(results):
    done = infoplane("plot", "r.json", "-f", "plane", "-o", "f", COLUMNS="120")
    assert "I(X;T), 0 to" in done.out
    for layer in ("fc1", "fc2"):
        assert any(line.startswith(layer) for line in done.out.splitlines())
    assert infoplane("plot", "r.json", "-f", "plane", "-o", "f", "--no-table").out == ""
    narrow = infoplane("plot", "r.json", "-f", "plane", "-o", "f", COLUMNS="70")
    assert "hidden at 70 columns; --wide shows all" in " ".join(narrow.out.split())
    rows = [line for line in narrow.out.splitlines() if line.startswith("fc1")]
    wide = [line for line in done.out.splitlines() if line.startswith("fc1")]
    assert set(rows[0].split()) < set(wide[0].split())  # whole cells are left out, none is cut


def test_a_baseline_is_compared_in_figures_and_report(binned):
    other = copy.deepcopy(binned)
    for row in other["rows"]:
        if row["value"] is not None and row["quantity"] == "ixt":
            row["value"] -= 0.5
    Path("main.json").write_text(json.dumps(other))
    done = infoplane("plot", "r.json", "--baseline", "main.json", "--report", "r.html", "-o", "f")
    assert done.code == 0
    assert Path("f/compare.png").exists()
    assert "Comparison with the baseline" in Path("r.html").read_text()
    alone = infoplane("plot", "r.json", "-f", "compare", "-o", "g")
    assert alone.code == 4
    assert "--baseline FILE" in alone.err


def test_several_results_are_drawn_as_one(binned):
    results = binned
    for recording in results["recordings"]:
        recording["group"] = None
    Path("one.json").write_text(json.dumps(results))
    renamed = json.loads(json.dumps(results).replace("net-s", "other-s"))
    Path("two.json").write_text(json.dumps(renamed))
    done = infoplane("plot", "one.json", "two.json", "-f", "plane", "--report", "r.html")
    assert done.code == 0
    assert done.out.count("other-s0") >= 1
    assert "Groups of runs" in Path("r.html").read_text()
    Path("again.json").write_text(Path("one.json").read_text())
    twice = infoplane("plot", "one.json", "again.json", "-f", "plane")
    assert twice.code == 3
    assert "is also in one.json" in twice.err


def test_the_table_is_ascii_where_the_stream_carries_no_more(results):
    options = ("-f", "plane", "-o", "f")
    done = infoplane_process("plot", "r.json", *options, PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert done.out.isascii()
    assert "log2 N" in done.out


def test_the_baseline_must_have_been_measured_in_the_same_way(results):
    for entry in results["estimators"]:
        entry["version"] = "0"
    Path("old.json").write_text(json.dumps(results))
    done = infoplane("plot", "r.json", "--baseline", "old.json", "-f", "compare")
    assert done.code == 3
    assert "not comparable: version of estimator" in done.err


def test_checks_of_the_configuration_stand_in_the_report(binned):
    rule = '[[check]]\nname = "keeps the labels"\nrule = "last(ity, fc2) >= 99"\n'
    Path("infoplane.toml").write_text(rule)
    done = infoplane("plot", "r.json", "-f", "plane", "--report", "r.html", "--no-table")
    assert done.code == 0  # drawing is no gate
    page = Path("r.html").read_text()
    assert "keeps the labels" in page
    assert "infoplane.toml:3" in page
    assert '<span class="fail">fail</span>' in page or '<span class="unknown">' in page


def test_estimates_on_parts_of_the_samples_reach_document_and_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "net-s0")
    options = ["-e", "exact", "--sampling", "-o", "r.json"]
    missing = infoplane("analyze", "net-s0", *options, "--sampling-steps", "7")
    assert missing.code == 4
    assert "step 7 is not analyzed" in missing.err
    assert infoplane("analyze", "net-s0", *options).code == 0
    document = json.loads(Path("r.json").read_text())
    schema = resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(document)
    assert {entry["n"] for entry in document["sampling"]} == {75}
    assert all(len(entry["values"]) == 4 for entry in document["sampling"])
    assert {entry["step"] for entry in document["sampling"]} == {10}
    assert infoplane("plot", "r.json", "-f", "sampling", "-o", "f").code == 0
    assert Path("f/sampling.png").exists()


def test_a_quantity_of_a_plugin_is_drawn_by_default_and_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shape = {"n_layers": 3, "n_seeds": 3, "n_steps": 6}
    for name, alone in {"alone": True, "beside": False}.items():
        Path(f"{name}.json").write_text(json.dumps(of_a_plugin(alone=alone, **shape)))
    done = infoplane("plot", "alone.json", "-o", "a", "--report", "a.html", "--no-table")
    assert done.code == 0, done.err
    assert {path.stem for path in Path("a").iterdir()} == {"steps", "heat", "depth"}
    assert "dimensions" in Path("a.html").read_text()
    assert infoplane("plot", "beside.json", "-o", "b").code == 0
    own = {f"{name}-spread_ratio" for name in ("steps", "heat", "depth")}
    assert own == {path.stem for path in Path("b").iterdir() if "-" in path.stem}
    chosen = ["--quantity", "spread_ratio", "-o", "c", "-q"]
    done = infoplane("plot", "beside.json", "-f", "steps", "-f", "depth", *chosen)
    assert (done.code, done.err) == (0, "")
    assert Path("c/steps.png").read_bytes() == Path("b/steps-spread_ratio.png").read_bytes()
    done = infoplane("plot", "beside.json", "-f", "steps", "--quantity", "volume")
    assert done.code == 2
    assert "expected a quantity, got" in done.err
    assert max(map(len, done.err.splitlines())) < 200


def test_of_several_groups_one_is_drawn_and_told_or_all(results):
    for recording in results["recordings"]:
        recording["group"] = None
    Path("r.json").write_text(json.dumps(results))
    done = infoplane("plot", "r.json", "-f", "heat", "--no-table")
    assert "1 of 2 groups drawn, net-s0: --groups beside or overlay draws all" in done.err
    for more in (["--groups", "beside"], ["--group", "net-s0", "--group", "net-s1"]):
        done = infoplane("plot", "r.json", "-f", "heat", "--no-table", *more)
        assert (done.code, done.err) == (0, "wrote figures/heat.png\n")
    done = infoplane("plot", "r.json", "-f", "plane", "--groups", "overlay", "--facet", "layer")
    assert (done.code, "--facet: expected without --groups" in done.err) == (2, True)
    Path("infoplane.toml").write_text('[plot]\ngroup = "net-s1"\n')
    done = infoplane("plot", "r.json", "-f", "heat", "--no-table")
    assert "1 of 2 groups drawn, net-s1" in done.err

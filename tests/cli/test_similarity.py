"""``infoplane similarity``, its rules, figures and the comparison of runs."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import infoplane_here
from tests.similarity.made import network, probe, write_run

SCHEMA = Path(__file__).parents[2] / "infoplane" / "schemas" / "results.schema.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs, and their similarities by two measures."""
    folder = tmp_path_factory.mktemp("made")
    for seed in range(2):
        write_run(folder / f"runs/net-s{seed}", network(seed), seed=seed)
    measures = ("-m", "cka", "-m", "procrustes")
    runs = (f"runs/net-s{seed}" for seed in range(2))
    done = infoplane_here("similarity", *runs, *measures, "-q", "--no-cache", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "runs", "runs")
    return ["runs/net-s0", "runs/net-s1"]


def similarity(*arguments):
    return infoplane_here("similarity", *arguments, "-q", "-j", "1")


def test_table_document_figures_and_report(runs):
    done = similarity(*runs, "-m", "cka", "-m", "procrustes")
    assert done.code == 0, done.err
    assert "net: 2 runs, 3 steps 0..20, 2 layers, N = 120" in done.out
    assert "CKA: 0.00 by chance" in done.out
    assert "not before 20" in done.out
    document = json.loads(Path("similarity.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    drawn = infoplane_here("plot", "similarity.json", "--report", "report.html")
    assert drawn.code == 0, drawn.err
    assert "CKA: 0.00 by chance" in drawn.out
    figures = {path.stem for path in Path("figures").iterdir()}
    assert figures == {"similarity", "similarity-training", "similarity-steps"}
    report = Path("report.html").read_text()
    assert 'id="similarity"' in report
    assert "not before the last step" in report


def test_dry_run_counts_pairs_and_writes_nothing(runs):
    done = similarity(*runs, "-m", "cka", "-n")
    assert done.code == 0, done.err
    assert "would compare 24 pairs of 2 runs (0 cached)" in done.out
    assert not Path("similarity.json").exists()
    similarity(*runs, "-m", "cka")
    assert "(24 cached)" in similarity(*runs, "-m", "cka", "-n").out


def test_analyze_holds_similarities_in_the_same_document(runs):
    done = infoplane_here(
        "analyze", runs[0], "-e", "binning", "--similarity", "cka", "-q", "-j", "1"
    )
    assert done.code == 0, done.err
    document = json.loads(Path("results.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert document["rows"]
    assert len(document["similarities"]["rows"]) == 3 + 2 * 3


def test_too_few_samples_leave_no_empty_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("few", network(0, n=3, steps=(1,)), of=probe(n=3))
    done = similarity("few", "-m", "cka", "-m", "rsa")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:3] == [
        "net: 1 run, 1 step 1..1, 2 layers, N = 3", "",
        "IP204: 2 pairs without a number: expected at least 4 samples to compare, got 3",
    ]  # fmt: skip
    assert "1 pair without" in similarity("few", "-m", "cka", "--overwrite").out


def test_documents_of_runs_are_joined(runs):
    for run in runs:
        assert similarity(run, "-m", "cka", "-o", f"{Path(run).name}.json").code == 0
    done = infoplane_here("merge", "net-s0.json", "net-s1.json", "-o", "both.json")
    assert done.code == 0, done.err
    rows = json.loads(Path("both.json").read_text())["similarities"]["rows"]
    assert {row["run_a"] for row in rows} == {"net-s0", "net-s1"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-m", "ckka"], 2, "did you mean 'cka'"),
        (["--axes", "rows"], 2, "--axes"),
        (["-l", "fc9"], 4, "no layer matches 'fc9'"),
        (["--steps", "3"], 4, "no step 3"),
        (["-l", "fc1", "--steps", "last", "--axes", "layers"], 0, ""),
    ],
)
def test_mistakes_are_one_line(runs, arguments, code, told):
    done = similarity(*runs, *arguments)
    assert done.code == code
    assert told in done.err


def test_runs_of_other_samples_are_refused(runs, tmp_path):
    write_run("runs/other", network(2), of=probe(seed=3))
    done = similarity(*runs, "runs/other")
    assert done.code == 3
    assert "error[IP319]" in done.err
    assert "no sample in common" in done.err


RULES = {
    "similarity(cka, fc1, fc1) >= 0": "no such layers",
    "similarity(ckka, fc1, fc2) >= 0": "no similarities by 'ckka'",
    "similarity(cka, fc9, fc2) >= 0": "no layer matches 'fc9'",
    "drift(cka, 'fc*', main) >= 0.9": "no group or run 'main'",
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_that_say_nothing_are_unknown(document, rule):
    done = infoplane_here("check", document, "--require", rule)
    assert done.code == 1
    assert RULES[rule] in done.out


@pytest.mark.parametrize(
    "rule",
    [
        "similarity(cka, fc1) >= 0", "drift(cka) >= 0", "similarity(cka, a, b) == 1",
        "similarity(cka, a, b) >= high",
    ],
)  # fmt: skip
def test_rules_that_do_not_follow_the_grammar(document, rule):
    done = infoplane_here("check", document, "--require", rule)
    assert done.code == 2
    assert "error[IP501]" in done.err


def test_a_change_of_one_layer_fails_with_its_name(runs):
    """fc1 is another function of the samples, fc2 is not."""
    write_run("pr/net-s0", network(0, shift=2.0))
    rule = "drift(cka, 'fc*', baseline) >= 0.95"
    measures = ["-m", "cka", "-m", "procrustes"]
    done = infoplane_here(
        "compare", runs[0], "pr/net-s0", "--similarity", *measures, "--require", rule,
        "-o", "drift.json", "-q",
    )  # fmt: skip
    assert done.code == 1, done.err
    failed = [line for line in done.out.splitlines() if "is not >= 0.95" in line]
    assert len(failed) == 1
    assert failed[0].strip().startswith("fc1 and baseline: cka ")
    assert "so procrustes" in failed[0]
    assert "chance" in failed[0]
    checked = infoplane_here("check", "drift.json", "--require", rule, "--junit", "j.xml")
    assert checked.code == 1
    assert "fc1 and baseline" in Path("j.xml").read_text()
    same = infoplane_here(
        "compare", runs[0], "pr/net-s0", "--similarity", *measures, "-q",
        "--require", "drift(cka, fc2, baseline) >= 0.95",
    )  # fmt: skip
    assert same.code == 0, same.out


def test_layers_of_other_names_are_said_to_be_named_apart(runs):
    wide = [(f"h.{i}", 4) for i in range(25)]
    write_run("runs/wider", network(3, widths=wide), group="wider")
    done = similarity(*runs, "runs/wider", "-m", "cka", "--axes", "runs", "--no-cache")
    assert done.code == 0, done.err
    for rule, told in {
        "drift(cka, 'fc*', wider) >= 0.5": "the same name in wider, which has h.0 h.1 ",
        "drift(cka, 'fc1', net) >= 0.5": "the same name in wider, which has h.0 h.1 ",
        "drift(cka, 'h.*', wider) >= 0.5": "the same name in net, which has fc1 fc2; drift",
    }.items():
        checked = infoplane_here("check", "similarity.json", "--require", rule)
        assert checked.code == 1
        (line,) = [line for line in checked.out.splitlines() if "unknown:" in line]
        assert told in line
        assert "--axes runs tells which are alike" in line
        assert ("h.19 and 5 more" in line) == ("h.0" in line)


def test_one_family_alone_decides_nothing(runs):
    similarity(runs[0], "-m", "cka", "-m", "cka_without_top")
    done = infoplane_here("check", "similarity.json", "--require", "similarity(cka, fc1, fc2) <= 1")
    assert done.code == 1
    assert "one family of measures alone" in done.out


def test_options_of_runs_are_refused_for_results(runs):
    done = infoplane_here("compare", "a.json", "b.json", "--require", "drift(cka, 'a') >= 1")
    assert done.code == 2
    assert "--similarity" in done.err


@pytest.fixture
def document(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    shutil.copy(made / "similarity.json", "similarity.json")
    return "similarity.json"


def test_inspect_says_what_is_in_a_document_of_similarities(document):
    done = infoplane_here("inspect", document)
    assert "similarities: cka, procrustes" in done.out
    assert "48 pairs (layers 12, seeds 12, steps 24), 0 without a value" in done.out
    assert "estimators" not in done.out
    found = json.loads(infoplane_here("inspect", document, "--format", "json").out)
    assert found["files"][0]["similarities"]["pairs"]["seeds"] == 12


def test_similarities_are_exported_as_a_table_of_pairs(document):
    rows = json.loads(Path(document).read_text())["similarities"]["rows"]
    done = infoplane_here("export", document, "--to", "csv", "-o", "-")
    first, *lines = csv.DictReader(done.out.splitlines())
    assert len(lines) + 1 == len(rows)
    assert [float(line["value"]) for line in lines] == [row["value"] for row in rows[1:]]
    assert (first["group_a"], first["unit"], first["layer_b"]) == ("net", "ratio", "fc2")
    parquet = pytest.importorskip("pyarrow.parquet")
    assert infoplane_here("export", document, "--to", "parquet", "-o", "s.parquet").code == 0
    table = parquet.read_table("s.parquet").to_pylist()
    assert [row["value"] for row in table] == [row["value"] for row in rows]


def test_results_of_both_export_either(runs):
    infoplane_here("analyze", runs[0], "-e", "binning", "--similarity", "cka", "-q", "-j", "1")
    for table, beginning in (("rows", "group,run,step"), ("similarities", "axis,measure")):
        done = infoplane_here(
            "export", "results.json", "--to", "csv", "-o", "-", "--table", table
        )  # fmt: skip
        assert done.out.startswith(beginning)


ALONE = {  # a command on similarities alone, its exit status and what it says
    "export --to tensorboard -o board": (2, "pairs are no curves"),
    "export --to csv --table rows -o -": (0, ""),
    "plot -f plane": (4, "no estimates, but similarities"),
    "plot -f agreement": (4, "no estimates, but similarities"),
    "compare similarity.json": (4, "similarities alone"),
    "check --require 'last(ity) >= 0'": (1, ""),
    "merge -o all.json": (0, "48 pairs"),
    "similarity": (3, "expected a run folder"),
}


@pytest.mark.parametrize("command", ALONE)
def test_every_command_takes_similarities_alone_or_says_one_line(document, command):
    name, *options = shlex.split(command)
    done = infoplane_here(name, document, *options)
    code, told = ALONE[command]
    assert (done.code, "IP900" in done.err) == (code, False), done.err
    assert told in done.err

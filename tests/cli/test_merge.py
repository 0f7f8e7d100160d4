"""Results of several machines as one document."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.analyses import rows_of, write_run
from tests.cli.test_analyze import SCHEMA
from tests.conftest import infoplane_here as infoplane

QUICK = ("-j", "1", "--no-cache")


def analyzed(*options, output):
    done = infoplane("analyze", *options, *QUICK, "-o", output)
    assert done.code == 0, done.err


@pytest.fixture
def apart(runs):
    analyzed("net-s0", "-e", "binning", output="a.json")
    analyzed("net-s1", "-e", "binning", output="b.json")
    return runs


def test_merged_results_equal_those_of_one_analysis(apart):
    analyzed("net-s0", "net-s1", "-e", "binning", output="both.json")
    done = infoplane("merge", "a.json", "b.json", "-o", "all.json")
    assert done.code == 0, done.err
    assert "wrote all.json (2 runs, 36 rows)" in done.err
    assert rows_of("all.json") == rows_of("both.json")
    whole, both = (json.loads(Path(name).read_text()) for name in ("all.json", "both.json"))
    jsonschema.Draft202012Validator(SCHEMA).validate(whole)
    for part in ("phases", "recordings", "estimators", "warnings", "status"):
        assert whole[part] == both[part]
    assert whole["timing"]["cells"] == both["timing"]["cells"]
    assert infoplane("plot", "all.json", "-f", "plane", "-o", "figures").code == 0
    piped = infoplane("merge", "a.json", "b.json", "-o", "-")
    assert json.loads(piped.out)["rows"] == whole["rows"]
    assert not Path("-").exists()


def test_estimators_of_one_run_are_merged(apart):
    analyzed("net-s0", "-e", "exact", output="exact.json")
    assert infoplane("merge", "a.json", "exact.json", "-o", "all.json").code == 0
    whole = json.loads(Path("all.json").read_text())
    assert [entry["id"] for entry in whole["estimators"]] == ["binning", "exact"]
    assert len(whole["recordings"]) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("--steps", "0,4,16"), ("--steps", "1,2,8")),
        (("--layers", "fc2"), ("--layers", "fc1")),
    ],
)
def test_parts_of_one_run_are_merged(runs, first, second):
    write_run("net", steps=(0, 1, 2, 4, 8, 16), gradients=True)
    analyzed("net", "-e", "binning", *first, output="a.json")
    analyzed("net", "-e", "binning", *second, output="b.json")
    analyzed("net", "-e", "binning", output="both.json")
    assert infoplane("merge", "a.json", "b.json", "-o", "all.json").code == 0
    assert infoplane("inspect", "all.json").code == 0
    whole, both = (json.loads(Path(name).read_text()) for name in ("all.json", "both.json"))
    assert whole["recordings"] == both["recordings"]
    assert both["recordings"][0]["gradients"]["fc1"]["transition"] is not None
    keys = ("layer", "step", "quantity", "value")
    assert {tuple(map(row.get, keys)) for row in whole["rows"]} == {
        tuple(map(row.get, keys)) for row in both["rows"]
    }
    assert len(whole["rows"]) == len(both["rows"])
    assert whole["phases"] == both["phases"]


def test_documents_that_contradict_one_another_are_refused(apart):
    def refused(*names):
        done = infoplane("merge", *names, "-o", "all.json")
        assert done.code == 3
        assert done.err.startswith("error[IP317]")
        assert not Path("all.json").exists()
        return done.err

    assert "is also in a.json" in refused("a.json", "a.json")
    changed = json.loads(Path("b.json").read_text())
    changed["estimators"][0]["params"]["bins"] = [31]
    Path("c.json").write_text(json.dumps(changed))
    assert "params of estimator 'binning' differs from that in a.json" in refused(
        "a.json", "c.json"
    )
    Path("net-s0").rename("old")
    write_run("net-s0", seed=9)
    analyzed("net-s0", "-e", "exact", output="d.json")
    assert "is another recording" in refused("a.json", "d.json")


def test_runs_of_other_samples_are_not_averaged(apart):
    write_run("net-s2", n=90, seed=2)
    analyzed("net-s2", "-e", "binning", output="c.json")
    done = infoplane("merge", "a.json", "c.json", "-o", "all.json")
    assert done.code == 0
    assert "not averaged" in done.err
    groups = {r["group"] for r in json.loads(Path("all.json").read_text())["recordings"]}
    assert groups == {"net-s0", "net-s2"}


def test_an_existing_file_is_kept(apart):
    done = infoplane("merge", "a.json", "b.json", "-o", "a.json")
    assert done.code == 3
    assert "error[IP302]: a.json: the file exists" in done.err

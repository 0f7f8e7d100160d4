"""Repeating the settings of a baseline on the command line, and comparing with it."""

import json
from pathlib import Path

import pytest

from tests.cli.analyses import rows_of, write_run
from tests.conftest import infoplane_here as infoplane

QUICK = ("-j", "1", "--no-cache", "--overwrite")


@pytest.fixture(autouse=True)
def baseline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    write_run("main/s0", n=160, seed=0, units=4)
    write_run("pr/s0", n=160, seed=1, units=4)
    done = infoplane("analyze", "main/s0", "-e", "compressed", *QUICK, "-o", "base.json")
    assert done.code == 0, done.err


def analyzed(run, *options, code=0, output="pr.json"):
    done = infoplane("analyze", run, *options, *QUICK, "-o", output)
    assert done.code == code, done.err
    return done.err


def settings(path):
    return json.loads(Path(path).read_text())["config"]["analyze"]


def test_recipe_of_a_pull_request(tmp_path):
    analyzed("pr/s0", "--settings-from", "base.json")
    done = infoplane("compare", "base.json", "pr.json")
    assert done.code in (0, 1), done.err
    assert "not compared" not in done.out
    assert "fixed σ" in done.out
    analyzed("main/s0", "--settings-from", "base.json", output="again.json")
    assert rows_of("again.json") == rows_of("base.json")
    assert infoplane("compare", "base.json", "again.json").code == 0


def test_without_it_the_fixed_noise_is_left_out_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    analyzed("pr/s0", "-e", "compressed")
    done = infoplane("compare", "base.json", "pr.json")
    assert done.code in (0, 1), done.err
    assert "not compared: ixt_fixed, ixt_scale of compressed: σ=" in done.out
    assert "fixed σ" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    document = json.loads(infoplane("compare", "base.json", "pr.json", "--format", "json").out)
    assert len(document["candidates"][0]["left_out"]) == 1


def test_other_noise_is_refused_with_both_values_and_the_remedy():
    analyzed("pr/s0", "-e", "compressed")
    document = json.loads(Path("pr.json").read_text())
    for row in document["rows"]:
        if row.get("setting", "").startswith("c="):
            row["setting"] = "c=0.3"
    Path("pr.json").write_text(json.dumps(document))
    done = infoplane("compare", "base.json", "pr.json")
    assert done.code == 3
    assert "c=0.4 in the baseline, c=0.3 in the candidate" in done.err
    assert "analyze --settings-from BASELINE" in done.err
    assert infoplane("compare", "base.json", "pr.json", "--allow-mismatch").code in (0, 1)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-e", "exact"), 2, "--estimator: expected none, since base.json says which"),
        (("--seed", "3"), 2, "--seed: expected that of base.json, 0, got 3"),
        (("--nan", "drop"), 2, "--nan: expected that of base.json, 'fail', got 'drop'"),
    ],
)
def test_options_that_contradict_it_are_refused(options, code, message):
    assert message in analyzed("pr/s0", "--settings-from", "base.json", *options, code=code)


def test_a_file_that_is_none_is_refused():
    assert "none.json: no such file" in analyzed("pr/s0", "--settings-from", "none.json", code=3)
    assert "found a folder" in analyzed("pr/s0", "--settings-from", "pr/s0", code=3)


def test_the_file_gives_way_to_the_command_line_and_the_stronger_source_counts():
    Path("infoplane.toml").write_text(
        '[analyze]\nestimators = ["exact"]\nseed = 5\nlayers = "fc1"\n[estimator.exact]\n'
    )
    analyzed("pr/s0", "--settings-from", "base.json")
    assert settings("pr.json")["estimators"] == ["compressed"]
    assert settings("pr.json")["seed"] == 0
    assert {row["layer"] for row in rows_of("pr.json")} == {"fc1", "fc2"}
    Path("infoplane.toml").write_text('[analyze]\nsettings-from = "base.json"\n')
    analyzed("pr/s0")
    assert settings("pr.json")["settings_from"] == "base.json"
    analyzed("pr/s0", "-e", "exact")
    assert settings("pr.json")["estimators"] == ["exact"]
    Path("infoplane.toml").write_text('[analyze]\nsettings-from = "base.json"\nseed = 5\n')
    assert "seed: expected that of base.json" in analyzed("pr/s0", code=2)


def test_a_dry_run_knows_the_estimators():
    done = infoplane("analyze", "pr/s0", "--settings-from", "base.json", "--dry-run")
    assert done.code == 0
    assert "compressed" in done.out
    assert "binning" not in done.out

"""The workflows that docs/ci.md offers: their shell steps, in order, on recorded runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter

DOCS = Path(__file__).parent.parent.parent / "docs"
TEMPLATES = DOCS.parent / "infoplane" / "templates"
RULES = """
[analyze]
estimators = ["binning"]
jobs = 1

[estimator.binning]
bins = 8
mode = "fixed"
low = -1
high = 1

[[check]]
name = "the last layer keeps the labels"
rule = "last(ity, fc2) >= {least}"
"""


def workflow(name):
    return yaml.safe_load((TEMPLATES / name).read_text())


def job():
    [found] = workflow("infoplane.yml")["jobs"].values()
    return found


def _without_variables(text):
    """What an expression gives in a repository that has set no variable."""
    return re.sub(r"\$\{\{ vars\.\w+ \|\| '([^']*)' \}\}", r"\1", text)


def steps(event):
    """Name and script of the shell steps that run on an event, in their order."""
    for step in job()["steps"]:
        script = step.get("run")
        condition = step.get("if", "")
        on = "push" if "refs/heads/main" in condition else ""
        on = "pull_request" if "== 'pull_request'" in condition else on
        if script and on in ("", event):
            yield step.get("name"), re.sub(r"\$\{\{ github\.event\.number \}\}", "7", script)


def record(path, spread, seed=0):
    """A run whose layers hold the label, the more apart the larger ``spread`` is not."""
    rng = np.random.default_rng(seed)
    labels = np.arange(300, dtype=np.int64) % 2
    writer = FolderWriter(
        Path(path), ProbeSet(rng.normal(size=(300, 4)), labels), {"run": "s0", "group": "net"}
    )
    for step in (0, 1, 10, 100):
        with writer.step(step) as out:
            for index, name in enumerate(("fc1", "fc2")):
                values = np.tanh(labels[:, None] * 2.0 - 1 + spread * rng.normal(size=(300, 1)))
                out.write(index, name, "Tanh", 0, values.astype(np.float32), "float32")
    writer.close()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    Path("infoplane.toml").write_text(RULES.format(least=0.9))
    # pip would build a wheel and fetch what it needs: this one writes down what it was asked.
    pip = Path("bin/pip")
    pip.parent.mkdir()
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/pip.txt\n')
    pip.chmod(0o755)
    return tmp_path


def run_job(event):
    """Run the steps; later ones run after a failure if they say ``!cancelled()``."""
    environment = {
        **os.environ,
        **{name: _without_variables(text) for name, text in job()["env"].items()},
        "PATH": os.pathsep.join(["bin", str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": event,
        "GITHUB_WORKSPACE": str(Path.cwd()),
        "GITHUB_STEP_SUMMARY": str(Path.cwd() / "summary.md"),
    }
    done = {}
    for name, script in steps(event):
        if any(code for code, _ in done.values()) and name != "Compare with main":
            continue
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ran.stderr
        done[name] = ran.returncode, ran.stdout + ran.stderr
    return done


def test_baseline_then_a_pull_request_that_passes_fails_and_differs(checkout):
    record("runs/run-a", spread=0.1)
    main = run_job("push")
    assert Path("pip.txt").read_text().split() == ["install", "./infoplane"]
    assert {name: code for name, (code, _) in main.items()} == {
        "Install": 0,
        "Analyze": 0,
        "Plot": 0,
        "Gate": 0,
        "Keep as the baseline": 0,
    }
    assert "1 check: 1 passed" in main["Gate"][1]
    assert Path("baseline.json").exists()

    # the same training again: the checks pass, and nothing differs from main
    shutil.rmtree("runs")
    record("runs/run-a", spread=0.1, seed=1)
    alike = run_job("pull_request")
    names = ["Install", "Analyze", "Plot", "Gate", "Compare with main"]
    assert {name: code for name, (code, _) in alike.items()} == dict.fromkeys(names, 0)
    assert Path("comment.md").read_text().startswith("### infoplane: 0 of ")
    assert '"settings_from":"baseline.json"' in Path("results.json").read_text()
    assert '"settings_from"' not in Path("baseline.json").read_text()
    assert Path("pr.txt").read_text() == "7\n"

    # a change that loses the label: the check fails on its line, and compare says what differs
    shutil.rmtree("runs")
    record("runs/run-a", spread=8.0)
    worse = run_job("pull_request")
    assert (worse["Gate"][0], worse["Compare with main"][0]) == (1, 1)
    assert "FAIL  the last layer keeps the labels" in worse["Gate"][1]
    assert "file=infoplane.toml,line=14::" in worse["Gate"][1]
    failures = ET.parse("checks.xml").getroot().get("failures")
    assert failures == "1"
    comment = Path("comment.md").read_text()
    assert "| `fc2` | I(T;Y), `binning` |" in comment
    assert "different" in comment
    assert Path("pr.txt").read_text() == "7\n"  # written although the comparison failed
    assert Path("summary.md").read_text().count("### infoplane: 1 check") == 3


def test_first_pull_request_has_no_baseline(checkout):
    record("runs/run-a", spread=0.1)
    done = run_job("pull_request")
    assert done["Compare with main"][0] == 0
    assert Path("comment.md").read_text().startswith("### infoplane: no baseline yet")


def test_workflows_hold_together():
    first, second = workflow("infoplane.yml"), workflow("infoplane-comment.yml")
    assert first["permissions"] == {"contents": "read", "actions": "read"}
    assert second[True]["workflow_run"]["workflows"] == [first["name"]]  # yaml reads on as true
    [upload] = [
        step["with"]
        for step in first["jobs"]["analyze"]["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact")
    ]
    assert all("${{" not in step.get("run", "") or "event.number" in step["run"]
               for step in first["jobs"]["analyze"]["steps"])  # fmt: skip
    script = second["jobs"]["comment"]["steps"][1]["with"]["script"]
    assert second["jobs"]["comment"]["steps"][0]["with"]["name"] == upload["name"]
    for name in re.findall(r"from-run/([\w.]+)", script):
        assert name in upload["path"].split("\n")


def test_guide_shows_a_configuration_that_holds(checkout, capsys):
    from infoplane.cli.main import run

    text = (DOCS / "ci.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        Path("infoplane.toml").write_text(block)
        assert run(["config", "check"]) == 0, capsys.readouterr().err

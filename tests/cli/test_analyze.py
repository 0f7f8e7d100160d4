import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter
from tests.cli.analyses import rows_of, start, wait_for_cells, workers_of, write_run
from tests.conftest import infoplane as infoplane_process
from tests.conftest import infoplane_here as infoplane
from tests.processes import LONG

SCHEMA = json.loads(
    resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
)


def test_document_validates_and_covers_every_cell(runs):
    done = infoplane_process("analyze", "net-s0", "net-s1", "-o", "r.json")
    assert done.code == 0
    document = json.loads(Path("r.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["status"] == "complete"
    cells = {(r["run"], r["step"], r["layer"], r["estimator"]) for r in document["rows"]}
    assert len(cells) == 2 * 3 * 2 * 4 == document["timing"]["cells"]
    assert {r["estimator"] for r in document["rows"]} == {"binning", "compressed", "dse", "probe"}
    assert {r["quantity"] for r in document["rows"]} >= {"ixt", "ity", "dse", "dsmi_x", "dsmi_y"}
    assert {p["layer"] for p in document["phases"]} == {"fc1", "fc2"}
    clusters = {r["diag"]["clusters_sha256"] for r in document["rows"] if r["quantity"] == "dsmi_x"}
    [noise] = {r["diag"].get("shared_sha256") for r in document["rows"]} - {None}  # of the group
    assert clusters | {noise} == document["artifacts"].keys()  # each by its hash
    assert len(clusters) == 2  # one clustering per run
    assert all(len(document["artifacts"][one]["labels"]) == 150 for one in clusters)
    assert document["artifacts"][noise]["sigma"].keys() == {"fc1", "fc2"}
    assert "verdict" in done.out
    assert "wrote r.json" in done.err


def test_numbers_do_not_depend_on_the_number_of_jobs(runs):
    for jobs in ("1", "2"):
        assert (
            infoplane("analyze", "net-s0", "-j", jobs, "-o", f"{jobs}.json", "--no-cache").code == 0
        )
    assert rows_of("1.json") == rows_of("2.json")
    assert infoplane("analyze", "net-s0", "--seed", "1", "-o", "other.json").code == 0
    assert rows_of("other.json") != rows_of("1.json")


def test_sweep_becomes_one_estimator_per_value(runs):
    assert infoplane("analyze", "net-s0", "-e", "binning:bins=5+30", "-o", "r.json").code == 0
    document = json.loads(Path("r.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    by_id = {entry["id"]: entry["params"]["bins"] for entry in document["estimators"]}
    assert by_id == {"binning:bins=5": 5, "binning:bins=30": 30}


def test_stdout_is_one_json_document(runs):
    done = infoplane("analyze", "net-s0", "-e", "binning", "-o", "-")
    assert json.loads(done.out)["schema"] == "infoplane.results/1"


def test_compressed_document(runs):
    assert infoplane("analyze", "net-s0", "-e", "binning", "-o", "r.json.gz").code == 0
    assert json.loads(gzip.decompress(Path("r.json.gz").read_bytes()))["rows"]
    assert infoplane("plot", "r.json.gz", "-f", "plane").code == 0


def test_selection_of_layers_and_steps(runs):
    options = ["-e", "binning", "-l", "fc*", "-l", "!fc1", "--steps", "0,last"]
    assert infoplane("analyze", "net-s0", *options, "-o", "r.json").code == 0
    assert {(r["step"], r["layer"]) for r in rows_of("r.json")} == {(0, "fc2"), (10, "fc2")}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net-s0", "-e", "bining"], 2, "did you mean 'binning'?"),
        (["net-s0", "-e", "binning:bin=3"], 2, "did you mean 'bins'?"),
        (["net-s0", "-e", "binning:bins=x"], 2, "expected a whole number"),
        (["net-s0", "-l", "conv*"], 4, "no layer matches 'conv*'"),
        (["net-s0", "--steps", "5"], 4, "no step 5"),
        (["net-s0", "--steps", "five"], 2, "--steps"),
        (["net-s0", "-j", "0"], 2, "--jobs"),
        (["net-s0", "--seed", "-1"], 2, "--seed"),
        (["missing"], 3, "missing: no such run"),
        (["."], 3, "expected a run folder"),
        (["net-s0", "copy/net-s0"], 2, "two runs are called 'net-s0'"),
        (["net-s0", "-o", "exists.json"], 3, "the file exists"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(runs, arguments, code, message):
    Path("exists.json").write_text("{}")
    shutil.copytree("net-s0", "copy/net-s0")
    done = infoplane("analyze", *arguments)
    assert (done.code, done.out) == (code, "")
    errors = [line for line in done.err.splitlines() if line.startswith("error[IP")]
    assert len(errors) == 1
    assert message in errors[0]
    assert Path("exists.json").read_text() == "{}"


def test_usage_errors_of_click_are_2(runs):
    for arguments in (["analyze"], ["analyse"], ["analyze", "net-s0", "--nonsense"]):
        assert infoplane(*arguments).code == 2


def test_truncated_step_names_the_file(runs):
    path = Path("net-s0/steps/step_000000000010.h5")
    path.write_bytes(path.read_bytes()[:-200])
    done = infoplane("analyze", "net-s0", "-o", "r.json")
    assert done.code == 3
    assert "step_000000000010.h5: not a complete HDF5 file (truncated" in done.err
    path.unlink()  # what the hint says
    assert infoplane("analyze", "net-s0", "-e", "binning", "-o", "r.json").code == 0


def test_run_of_another_version(runs):
    path = Path("net-s0/manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9}))
    done = infoplane("analyze", "net-s0")
    assert done.code == 3
    assert "expected format version 1, found 9" in done.err


def test_cells_that_fail_are_counted_and_strict_says_so(runs):
    probe = ProbeSet(np.zeros((20, 1)), np.arange(20) % 2)
    writer = FolderWriter(Path("diverged"), probe, {"run": "diverged"})
    for step, value in ((0, 1.0), (1, np.nan)):
        with writer.step(step) as out:
            values = np.full((20, 2), value) + np.arange(20)[:, None] % 3
            out.write(0, "fc", "ReLU", 0, values, "float64")
    writer.close()
    done = infoplane("analyze", "diverged", "-e", "binning", "-o", "r.json")
    assert done.code == 0
    assert "1 failed" in done.err
    assert "IP204" in done.out
    document = json.loads(Path("r.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["status"] == "partial"
    values = {r["step"]: r["value"] for r in document["rows"] if r["quantity"] == "ixt"}
    assert values[1] is None
    assert values[0] is not None
    arguments = ["analyze", "diverged", "-e", "binning", "-o", "r.json", "--overwrite", "--strict"]
    assert infoplane(*arguments).code == 5


def test_interrupt_keeps_the_finished_cells(runs):
    write_run("big", n=1000, steps=range(60), units=20)
    process = start("big", "-e", "dse", "-j", "1", "-o", "r.json")
    wait_for_cells(process, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out == ""
    document = json.loads(Path("r.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["status"] == "interrupted"
    assert 0 < document["timing"]["cells"] < 120
    assert f"{document['timing']['cells']} of 120 cells are in r.json" in err
    assert infoplane("plot", "r.json", "-o", "figures").code == 0


@pytest.mark.parametrize(
    "seconds", [1.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (2.5, 3.5)), 5.0]
)
def test_interrupt_of_the_whole_group_ends_at_any_time(runs, seconds):
    """A terminal sends Ctrl-C to the workers too, which may still be starting."""
    write_run("big", n=3000, steps=range(60), units=20)
    process = start("big", "-j", "2", "-o", "r.json")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode in (130, -signal.SIGINT)  # -2: before Python was up
    assert "CANCELLED" not in err
    assert "bug" not in err


def test_termination_keeps_the_finished_cells(runs):
    write_run("big", n=1000, steps=range(60), units=20)
    process = start("big", "-e", "dse", "-j", "1", "-o", "r.json")
    wait_for_cells(process, 3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 143
    assert "terminated: " in err
    assert json.loads(Path("r.json").read_text())["timing"]["cells"] > 0


def test_dead_worker_costs_a_retry_and_changes_nothing(runs):
    write_run("big", n=700, steps=range(20), units=20)
    assert infoplane("analyze", "big", "-e", "dse", "-o", "whole.json", "--no-cache").code == 0
    process = start("big", "-e", "dse", "-j", "2", "-o", "r.json")
    wait_for_cells(process, 3)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert "a worker process died, perhaps for want of memory; its work is tried again" in err
    assert rows_of("r.json") == rows_of("whole.json")


@pytest.mark.parametrize("target", [".", "net-s0/manifest.json/r.json", "/proc/r.json"])
def test_output_that_cannot_be_written_is_told_before_the_work(runs, target):
    done = infoplane("analyze", "net-s0", "-o", target, "--overwrite")
    assert done.code == 3
    assert done.err.startswith("error[IP30")
    assert "cells" not in done.err


def test_reader_that_goes_away_costs_nothing(runs):
    command = (
        f"{sys.executable} -m infoplane analyze net-s0 -e binning -o {{}} {{}}; "
        "echo ${{PIPESTATUS[0]}}"
    )
    for name, pipe in (("a.json", "2>&1 | true"), ("b.json", "| true")):
        text = command.format(name, pipe)
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == "0"
        assert json.loads(Path(name).read_text())["status"] == "complete"


def test_runs_without_a_step_are_left_out(runs):
    Path("empty/steps").mkdir(parents=True)
    shutil.copy("net-s0/manifest.json", "empty/manifest.json")
    shutil.copy("net-s0/probe.h5", "empty/probe.h5")
    done = infoplane("analyze", "net-s0", "empty", "-e", "binning", "-o", "r.json")
    assert done.code == 0
    assert "warning: empty: left out" in done.err
    assert infoplane("analyze", "empty", "-o", "e.json").code == 4


def test_layer_that_is_never_finite_does_not_spoil_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    probe = ProbeSet(rng.normal(size=(200, 3)), np.arange(200) % 2)
    writer = FolderWriter(Path("net"), probe, {"run": "net"})
    for step in range(3):
        with writer.step(step) as out:
            values = rng.normal(size=(200, 3))
            out.write(0, "good", "Linear", 0, values, "float64")
            out.write(1, "bad", "Linear", 0, values * np.nan, "float64")
    writer.close()
    assert infoplane("analyze", "net", "-o", "r.json").code == 0
    values = {}
    for row in json.loads(Path("r.json").read_text())["rows"]:
        values.setdefault(row["layer"], []).append(row["value"])
    assert None not in values["good"]
    assert set(values["bad"]) == {None}


def test_samples_with_nan_can_be_left_out_of_all_cells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(200, 3)), np.arange(200) % 2
    bad = np.array([3, 50, 51])
    for name, rows in (("spoiled", np.arange(200)), ("clean", np.delete(np.arange(200), bad))):
        writer = FolderWriter(Path(name), ProbeSet(inputs[rows], labels[rows]), {"run": "net"})
        draws = np.random.default_rng(1)
        for step in range(2):
            with writer.step(step) as out:
                for index in range(2):
                    values = draws.normal(size=(200, 3))
                    if name == "spoiled" and (step, index) == (1, 0):
                        values[bad, 1] = np.nan, np.inf, np.nan
                    out.write(index, f"fc{index}", "Linear", 0, values[rows], "float64")
        writer.close()
    arguments = ["-e", "binning", "-e", "dse", "-e", "compressed", "-o"]
    done = infoplane("analyze", "spoiled", *arguments, "r.json")
    assert "3 failed" in done.err
    assert infoplane("analyze", "spoiled", "--nan", "drop", *arguments, "s.json").code == 0
    assert infoplane("analyze", "clean", *arguments, "c.json").code == 0
    assert rows_of("s.json") == rows_of("c.json")
    assert json.loads(Path("s.json").read_text())["recordings"][0]["n_dropped"] == 3


def test_names_from_files_are_printed_as_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net", layers=("[bold]a[/]", "b\n\x1b[31mred", "<script>"))
    done = infoplane("analyze", "net", "-e", "binning", "-o", "r.json")
    assert done.code == 0
    assert "[bold]a[/]" in done.out
    assert "\\n\\x1b[31mred" in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize("columns", ["200", "80", "60"])
def test_table_drops_whole_columns_and_never_cuts_a_number(runs, columns):
    assert infoplane("analyze", "net-s0", "net-s1", "-e", "binning", "-o", "r.json").code == 0
    last = {
        p["layer"]: f"{p['last']:.2f}"
        for p in json.loads(Path("r.json").read_text())["phases"]
        if p["quantity"] == "ixt"
    }
    arguments = ["analyze", "net-s0", "net-s1", "-e", "binning", "-o", "r.json", "--overwrite"]
    done = infoplane(*arguments, COLUMNS=columns)
    for layer, value in last.items():
        line = next(line for line in done.out.splitlines() if line.startswith(layer))
        assert value in line.split()
        assert len(line) <= int(columns)
    assert ("hidden at" in done.out) == (columns != "200")
    assert "▁" not in infoplane_process(*arguments, PYTHONIOENCODING="ascii").out


def test_closed_pipe_ends_quietly(runs):
    command = f"{sys.executable} -m infoplane estimators | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_layer_that_is_constant_before_live_ones_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    probe = ProbeSet(rng.normal(size=(200, 4)), np.arange(200) % 2)
    writer = FolderWriter(Path("net"), probe, {"run": "net", "group": "net", "seed": 0})
    for step in (0, 1):
        with writer.step(step) as out:
            for index, live in enumerate((step, True)):
                values = live * rng.normal(size=(200, 3)).astype(np.float32)
                out.write(index, f"fc{index}", "Tanh", 0, values, "float32")
    writer.close()
    assert infoplane("analyze", "net", "-e", "compressed", "-o", "r.json").code == 0
    rows = [r for r in json.loads(Path("r.json").read_text())["rows"] if r["quantity"] == "ixt"]
    dead, *live = sorted(rows, key=lambda row: (row["step"], row["layer"]))
    assert (dead["value"], dead["flags"]) == (0.0, ["constant"])
    assert dead["diag"]["reason"] == "the layer does not vary over the samples"
    assert all(row["value"] > 1.0 and row["bound_name"] == "bracket" for row in live)

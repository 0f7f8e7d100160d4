import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter
from tests.cli.test_analyze import write_run
from tests.conftest import infoplane_here as infoplane

HOSTILE = "a/../b\n\x1b[31m[bold]<script>::error::x</script>\u202e"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net-s0")
    return tmp_path


def test_what_is_recorded(runs):
    done = infoplane("inspect", "net-s0", COLUMNS="100")
    assert done.code == 0
    assert "net-s0   infoplane.recording/1   run" in done.out
    assert "complete" in done.out
    assert "run net-s0   group net   seed 0   N 150   3 classes   H(Y) 1.58 bits" in done.out
    assert "3 steps 0..10" in done.out
    (found,) = json.loads(infoplane("inspect", "net-s0", "--format", "json").out)["files"]
    assert found["classes"] == [50, 50, 50]
    assert found["steps"] == [0, 1, 10]
    layer = found["layers"][0]
    assert (layer["name"], layer["units"], layer["dtype"], layer["step"]) == (
        "fc1",
        3,
        "float32",
        10,
    )
    assert -1 <= layer["min"] < layer["max"] <= 1
    assert layer["distinct"] == 150


def test_zeros_dead_units_and_distinct_rows_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    probe = ProbeSet(np.random.default_rng(0).normal(size=(8, 2)), None)
    writer = FolderWriter(Path("r"), probe, {"run": "r"})
    values = np.array([[0, 5, 1], [0, 5, 2]] * 4, dtype=np.float32)
    with writer.step(3) as out:
        out.write(0, "fc", "ReLU", 0, values, "float32")
    writer.close()
    (found,) = json.loads(infoplane("inspect", "r", "--format", "json").out)["files"]
    (layer,) = found["layers"]
    assert layer["zeros"] == pytest.approx(1 / 3)
    assert (layer["constant_units"], layer["distinct"]) == (2, 2)
    assert (layer["min"], layer["max"]) == (0, 5)
    assert found["classes"] is None


def test_every_step_and_every_array(runs):
    stats = json.loads(infoplane("inspect", "net-s0", "--stats", "--format", "json").out)
    assert len(stats["files"][0]["layers"]) == 6
    tree = json.loads(infoplane("inspect", "net-s0", "--tree", "--format", "json").out)
    arrays = {array["name"]: array for array in tree["files"][0]["arrays"]}
    assert arrays["step 10/fc2"] == {
        "name": "step 10/fc2", "shape": [150, 3], "dtype": "float32", "bytes": 1800
    }  # fmt: skip
    assert "step 10/fc2" in infoplane("inspect", "net-s0", "--tree").out


def test_packed_run_and_results(runs):
    assert infoplane("pack", "net-s0", "net.h5").code == 0
    packed = infoplane("inspect", "net.h5")
    assert (packed.code, "packed run" in packed.out) == (0, True)
    assert infoplane("inspect", "net.h5", "--verify").out == "net.h5: intact\n"
    assert infoplane("analyze", "net-s0", "-e", "binning", "-o", "r.json").code == 0
    text = infoplane("inspect", "r.json").out
    assert "infoplane.results/1" in text
    assert "18 rows, 0 without a value; quantities: ht ity ixt" in text
    (found,) = json.loads(infoplane("inspect", "r.json", "--format", "json").out)["files"]
    assert found["recordings"][0]["layers"] == ["fc1", "fc2"]
    assert infoplane("inspect", "r.json", "--verify").code == 0
    Path("r.json").write_text("{")
    assert infoplane("inspect", "r.json").code == 3


def test_damage_is_told_and_the_rest_saved(runs):
    path = Path("net-s0/steps/step_000000000001.h5")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    done = infoplane("inspect", "net-s0")
    assert done.code == 0
    assert "damaged" in done.out
    assert "step 1 cannot be read" in done.out
    assert "record with --resume -o net-s0 again" in done.out
    checked = infoplane("inspect", "net-s0", "--verify")
    assert (checked.code, len(checked.out.splitlines())) == (3, 1)
    assert checked.err == (
        "hint: save what is intact: infoplane inspect net-s0 --rescue OUT; "
        "or record with --resume -o net-s0 again\n"
    )
    saved = infoplane("inspect", "net-s0", "--rescue", "saved")
    assert (saved.code, saved.out) == (0, "")
    assert saved.err == "wrote saved: the 2 steps, 0..10, intact of net-s0\n"
    assert infoplane("inspect", "saved", "--verify").out == "saved: intact\n"
    Path("saved/probe.h5").write_bytes(b"")
    assert infoplane("inspect", "saved", "--verify").err == (
        "hint: put a copy of it into saved, or record the run again\n"
    )


def test_hostile_names_are_shown_on_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("r", layers=(HOSTILE, "fc"))
    for option in ([], ["--tree"], ["--stats"]):
        done = infoplane("inspect", "r", *option, COLUMNS="200")
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "\u202e" not in done.out
        assert any(line.lstrip(" 01").startswith(("a/../b\\n\\x1b[31m[bold]", "step 0/a/../b\\n"))
                   for line in done.out.splitlines())  # fmt: skip
    (found,) = json.loads(infoplane("inspect", "r", "--format", "json").out)["files"]
    assert found["layers"][0]["name"] == HOSTILE


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing"], 3, "missing"),
        (["."], 3, "expected a run folder"),
        (["net-s0", "net-s0", "--rescue", "x"], 2, "--rescue"),
        (["net-s0", "--rescue", "net-s0"], 3, "net-s0"),
    ],
)
def test_bad_input_is_one_line(runs, arguments, code, message):
    done = infoplane("inspect", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


@pytest.mark.slow
def test_mutated_step_files_end_in_a_documented_code(runs):
    """2,000 mutated step files; run in-process, since a process each would take an hour."""
    from infoplane.errors import InfoplaneError
    from infoplane.results.inspection import damage, describe

    path = Path("net-s0/steps/step_000000000001.h5")
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 8))):
            at = int(rng.integers(len(data)))
            data[at] = int(rng.integers(256))
        if rng.random() < 0.2:
            del data[int(rng.integers(len(data))) :]
        path.write_bytes(bytes(data))
        try:
            describe(Path("net-s0"))
            damage(Path("net-s0"))
        except InfoplaneError:
            continue


def test_roles_are_named_or_what_to_record(runs):
    told = infoplane("inspect", "net-s0").out
    assert "logits: unknown; record the layer that the model returns, or name it" in told
    assert "features: unknown; record what the last linear layer is given" in told
    writer = FolderWriter(Path("r"), ProbeSet(np.zeros((8, 2)), None), {"run": "r"})
    with writer.step(3) as out:
        for name in ("act", "fc"):
            out.write(name, name, "Linear", 0, np.ones((8, 2)), "float32")
        out.layers["act"].details = {"roles": ["features"], "head": "fc"}
        out.layers["fc"].details = {"roles": ["logits"]}
    writer.close()
    told = infoplane("inspect", "r").out
    assert told.endswith("features: act, given to fc\nlogits: fc\n")
    (found,) = json.loads(infoplane("inspect", "r", "--format", "json").out)["files"]
    assert [(layer["roles"], layer["head"]) for layer in found["layers"]] == [
        (["features"], "fc"),
        (["logits"], None),
    ]

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import infoplane


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = infoplane("demo", "--seeds", "2", "--epochs", "150", cwd=folder)
    assert done.code == 0, done.err
    return folder / "infoplane-demo", done


@pytest.fixture(scope="module")
def document(demo):
    return json.loads((demo[0] / "results.json").read_text())


def test_leaves_report_figures_and_a_valid_document(demo, document):
    folder, done = demo
    assert (folder / "report.html").stat().st_size > 50_000
    assert len(list((folder / "figures").glob("*.png"))) >= 3
    schema = resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(document)
    assert "open infoplane-demo/report.html" in done.out
    assert len(list((folder / "checkpoints" / "tanh-s0").glob("epoch_*.pt"))) > 20


def test_its_inputs_are_all_there_are_so_the_bound_is_known(demo, document):
    assert all(r["bottleneck"]["deterministic"] for r in document["recordings"])
    assert (demo[0] / "figures" / "bound.png").exists()


def test_all_three_families_are_in_it(document):
    assert {entry["name"] for entry in document["estimators"]} >= {
        "diffusion spectral entropy",
        "lossy compression",
    }
    assert {r["estimator"].partition(":")[0] for r in document["rows"]} == {
        "binning",
        "compressed",
        "dse",
    }
    assert not any("failed" in row["flags"] for row in document["rows"])


def rows(document, layer, quantity):
    found = [
        row
        for row in document["rows"]
        if (row["layer"], row["quantity"], row["estimator"]) == (layer, quantity, "binning")
    ]
    first, last = min(r["step"] for r in found), max(r["step"] for r in found)
    return ([r for r in found if r["step"] == step] for step in (first, last))


def test_deep_layer_fits_and_then_compresses(document):
    before, after = rows(document, "output", "ity")
    assert all(b["value"] > a["value"] + 0.3 for a, b in zip(before, after, strict=True))
    before, after = rows(document, "tanh5", "ixt")
    assert all(b["value"] < a["value"] - 1 for a, b in zip(before, after, strict=True))


def test_layers_at_the_ceiling_are_marked_saturated(document):
    verdicts = {
        phase["layer"]: phase["verdict"]
        for phase in document["phases"]
        if (phase["estimator"], phase["quantity"]) == ("binning", "ixt")
    }
    assert verdicts["tanh1"] == verdicts["tanh2"] == "saturated"
    assert verdicts["tanh5"] != "saturated"
    for row in next(iter(rows(document, "tanh1", "ixt"))):
        assert row["value"] == pytest.approx(12, abs=0.01)
        assert "saturated" in row["flags"]


def test_gradients_are_recorded_with_their_drop(document):
    for recording in document["recordings"]:
        assert {"fc1", "fc5", "output"} <= recording["gradients"].keys()
        assert recording["gradients"]["fc5"]["transition"]["before"] > 0


def test_folder_is_not_overwritten_unless_told(demo):
    folder = demo[0].parent
    before = (folder / "infoplane-demo" / "results.json").read_bytes()
    done = infoplane("demo", "--seeds", "1", "--epochs", "5", cwd=folder)
    assert done.code == 3
    assert "the folder is not empty" in done.err
    assert (folder / "infoplane-demo" / "results.json").read_bytes() == before


def test_sample_run_trains_by_hand(tmp_path):
    import subprocess
    import sys

    from infoplane.sample_runs.twelve_bit import train

    command = [sys.executable, train.__file__, "--epochs", "2", "--out", "c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    arguments = ["--model", f"{Path(train.__file__).parent}/model.py:build"]
    arguments += ["--data", f"{Path(train.__file__).parent}/model.py:probe"]
    done = infoplane("record", *arguments, "--checkpoints", "c/*.pt", "-o", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "recorded 3 steps x 11 layers x 4,096 samples" in done.out


def test_folders_of_others_are_never_touched(tmp_path):
    (tmp_path / "checkpoints" / "tanh-s0").mkdir(parents=True)
    (tmp_path / "checkpoints" / "tanh-s0" / "best.pt").write_text("mine")
    (tmp_path / "results.json").write_text("mine")
    done = infoplane("demo", "-o", ".", "--overwrite", cwd=tmp_path)
    assert done.code == 3
    assert "not an earlier demo" in done.err
    assert (tmp_path / "checkpoints" / "tanh-s0" / "best.pt").read_text() == "mine"
    assert infoplane("demo", "-o", "results.json", cwd=tmp_path).code == 3

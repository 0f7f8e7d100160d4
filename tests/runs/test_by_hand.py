"""A run that somebody writes by docs/run-format.md, and what is said of a mistake."""

import json
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from infoplane.errors import RunFileError
from infoplane.runs.run import Run

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
STEP = Path("run/steps/step_000000000000.h5")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run/steps").mkdir(parents=True)
    about = {"format": "infoplane.recording", "version": 1}
    Path("run/manifest.json").write_text(json.dumps({**about, "probe": {"n_samples": 20}}))
    with h5py.File("run/probe.h5", "w") as file:
        file["inputs"] = X
    layer = {
        "name": "fc1", "module_type": "?", "shape": [3], "dtype": "float32",
        "reduction": "none", "noise": None, "crc32": zlib.crc32(X.tobytes()), "n_nonfinite": 0,
    }  # fmt: skip
    meta = {
        **about, "step": 0, "n_samples": 20, "layers": [layer], "metrics": {}, "epoch": None,
        "provenance": {}, "gradients": {},
    }  # fmt: skip
    with h5py.File(STEP, "w") as file:
        file["layers/L0000/act"] = X
    rewrite(meta)
    return meta


def rewrite(meta):
    with h5py.File(STEP, "r+") as file:
        if "meta" in file:
            del file["meta"]
        file["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)


def refused():
    with pytest.raises(RunFileError) as error:
        found = Run("run")
        found.check()
        found.activations(0, "fc1", verify=True)
    assert "damaged (" not in str(error.value)
    return error.value


def test_run_by_the_page_is_read(run):
    found = Run("run")
    found.check()
    np.testing.assert_array_equal(found.activations(0, "fc1", verify=True), X)


@pytest.mark.parametrize(
    "member", ["step", "n_samples", "layers", "metrics", "epoch", "provenance", "gradients"]
)
def test_missing_member_of_a_step_is_named(run, member):
    del run[member]
    rewrite(run)
    error = refused()
    assert f"metadata: member {member!r} is missing" in str(error)
    assert "infoplane.RunWriter" in error.hint


@pytest.mark.parametrize(
    "member",
    ["name", "module_type", "shape", "dtype", "reduction", "noise", "crc32", "n_nonfinite"],
)
def test_missing_member_of_a_layer_is_named_with_the_layer(run, member):
    del run["layers"][0][member]
    rewrite(run)
    layer = "0" if member == "name" else "'fc1'"
    assert f"metadata: layer {layer}: member {member!r} is missing" in str(refused())


def test_misspelt_member_is_shown(run):
    run["layers"][0]["crc_32"] = run["layers"][0].pop("crc32")
    rewrite(run)
    assert "'crc32' is missing; it has 'crc_32'" in str(refused())


def test_other_mistakes_are_named(run):
    with h5py.File(STEP, "r+") as file:
        del file["layers/L0000/act"]
    assert "'layers/L0000/act' is missing" in str(refused())
    with h5py.File(STEP, "r+") as file:
        file.create_dataset("layers/L0000/act", data=X, chunks=True)
    assert "expected contiguous data" in str(refused())
    with h5py.File("run/probe.h5", "r+") as file:
        del file["inputs"]
    assert "'inputs' is missing" in str(refused())
    Path("run/manifest.json").unlink()
    assert "expected a run folder with manifest.json" in str(refused())
    shutil.rmtree("run")
    assert "no such run" in str(refused())

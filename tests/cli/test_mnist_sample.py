"""The MNIST sample run on small files of the same format."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infoplane.runs.run import Run
from infoplane.sample_runs.mnist import models, train
from tests.conftest import infoplane_here as infoplane


def write_idx(path, array, compress=True):
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if compress else data)


@pytest.fixture
def digits(tmp_path):
    """Eight by eight digits of scikit-learn on a 28 by 28 canvas."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.zeros((300, 28, 28))
    images[:, 2:26, 2:26] = np.kron(found.images[:300], np.ones((3, 3))) * 15
    write_idx(tmp_path / "images.gz", images)
    write_idx(tmp_path / "labels", found.target[:300], compress=False)
    return tmp_path


@pytest.mark.parametrize("model", [pytest.param("mlp", marks=pytest.mark.slow), "cnn"])
def test_trains_and_records(digits, model):
    command = [sys.executable, train.__file__, "--images", "images.gz", "--labels", "labels"]
    command += ["--model", model, "--epochs", "1", "--out", model]
    done = subprocess.run(command, cwd=digits, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = f"{models.__file__}:{model}"
    arguments = ["--model", reference, "--data", f"{model}/probe.npz"]
    arguments += ["--checkpoints", f"{model}/epoch_*.pt", "-o", "run"]
    done = infoplane("record", *arguments, cwd=digits)
    assert done.code == 0, done.err
    run = Run(Path(digits / "run"))
    assert run.steps == (0, 1)
    assert run.layers[-1].shape == (10,)
    assert len(run.layers) == 7


def test_idx_files_round_trip_and_are_checked(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(train.read_idx(tmp_path / "a"), array)
    (tmp_path / "short").write_bytes((tmp_path / "a").read_bytes()[:20])
    for name in ("short", "missing"):
        with pytest.raises(SystemExit, match=name):
            train.read_idx(tmp_path / name)
    write_idx(tmp_path / "b", array, compress=False)
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-1])
    with pytest.raises(SystemExit, match="truncated: 23 of 24"):
        train.read_idx(tmp_path / "b")
    (tmp_path / "c").write_bytes(b"nonsense")
    with pytest.raises(SystemExit, match="expected an idx file"):
        train.read_idx(tmp_path / "c")

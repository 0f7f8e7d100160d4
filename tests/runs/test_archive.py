"""Runs of released format versions are read for ever; the files under tests/data never change."""

from pathlib import Path

import numpy as np
import pytest

from infoplane.runs.run import Run
from infoplane.runs.verify import verify

DATA = Path(__file__).parent.parent / "data"
HASH = "sha256:1f41038b1320e5f355b2518f6a33ea5eb0fead49ade80828b36b852780ded99f"


@pytest.mark.parametrize("name", ["run-v1", "run-v1.h5"])
def test_version_1(name):
    run = Run(DATA / name)
    assert verify(run) == []
    assert (run.name, run.manifest["group"], run.manifest["seed"]) == ("archived-s3", "archived", 3)
    assert run.steps == (0, 1200)
    inputs = np.arange(24, dtype=np.float32).reshape(8, 3) / 4
    np.testing.assert_array_equal(run.probe.inputs, inputs)
    np.testing.assert_array_equal(run.probe.labels, [0, 1, 0, 1, 0, 1, 0, 1])
    assert [(layer.name, layer.shape, layer.dtype) for layer in run.layers] == [
        ("conv/0\n", (2, 2), "float16"),
        ("fc", (2,), "float32"),
    ]
    for step in run.steps:
        info = run.step_info(step)
        assert (info.metrics, info.epoch) == ({"train_loss": 0.5}, step / 100)
        conv = np.arange(32, dtype=np.float16).reshape(8, 4) + step
        np.testing.assert_array_equal(run.activations(step, "conv/0\n", verify=True), conv)
        fc = inputs[:, :2] * (step + 1)
        np.testing.assert_array_equal(run.activations(step, "fc", verify=True), fc)
    assert run.content_hash() == HASH

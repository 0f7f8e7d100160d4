"""Compiled models are recorded as their eager code, whatever was hooked or called before."""

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:::torch")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))


def wrapped(model):
    return torch.compile(model, backend="eager")


def in_place(model):
    model.compile(backend="eager")
    return model


def inner(model):
    outer = nn.Sequential()
    outer.add_module("body", torch.compile(model, backend="eager"))
    return outer


def function(model):
    model.forward = torch.compile(model.forward, backend="eager")
    return model


@pytest.mark.parametrize("called_first", [True, False])
@pytest.mark.parametrize("form", [wrapped, in_place, inner, function])
def test_every_layer_fires(tmp_path, probe, form, called_first):
    model = form(net())
    inputs = torch.from_numpy(probe.inputs)
    if called_first:
        model(inputs)
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
        compiled = model(inputs).detach()
        recorder.snapshot(1)
    run = Run(tmp_path / "r")
    prefix = "body." if form is inner else ""
    assert [layer.name for layer in run.layers] == [f"{prefix}{name}" for name in "012"]
    eager = net()
    with torch.no_grad():
        before = eager[0](inputs)
        output = eager(inputs)
    for step in (0, 1):
        np.testing.assert_array_equal(run.activations(step, f"{prefix}0"), before)
        np.testing.assert_array_equal(run.activations(step, f"{prefix}2"), output)
    torch.testing.assert_close(compiled, output)

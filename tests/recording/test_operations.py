"""Functions that a model calls outside of modules."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(5, 5), nn.ReLU()

    def forward(self, x):
        h = functional.relu(self.fc(x), inplace=True)
        return torch.relu(x + h)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block, self.out = Block(), nn.Linear(5, 2)

    def forward(self, x):
        x = self.block(x)
        x = self.block(x).tanh()
        largest = x.max(dim=1)
        x *= 2
        return functional.softmax(self.out(x), dim=-1) - largest.values[:, None] / x.shape[1]


def recorded(model, probe, path, *layers, **options):
    with Recorder(model, probe, path, layers=layers, batch_size=50, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def by_hand(model, x):
    """What the functions of ``Net`` return."""
    found = {}
    with torch.no_grad():
        for call in range(2):
            found[f"op:block.relu#{2 * call}"] = h = torch.relu(model.block.fc(x))
            found[f"op:block.add#{call}"] = x = x + h
            found[f"op:block.relu#{2 * call + 1}"] = x = torch.relu(x)
        found["op:tanh"] = x = torch.tanh(x)
        found["op:max[0]"] = x.max(dim=1).values[:, None]
        found["op:mul"] = x = 2 * x
        found["block.fc#1"] = None
        found["op:softmax"] = torch.softmax(model.out(x), -1)
    return found


def test_functions_are_recorded_under_the_module_that_calls_them(tmp_path, probe):
    model = Net()
    run = recorded(
        model,
        probe,
        tmp_path / "r",
        *("op:block.*", "op:tanh", "op:max[0]", "op:mul", "op:softmax", "block.fc"),
    )
    expected = by_hand(model, torch.from_numpy(probe.inputs))
    assert [layer.name for layer in run.layers] == [
        "block.fc#0",
        "op:block.relu#0",
        "op:block.add#0",
        "op:block.relu#1",
        "block.fc#1",
        "op:block.relu#2",
        "op:block.add#1",
        "op:block.relu#3",
        "op:tanh",
        "op:max[0]",
        "op:mul",
        "op:softmax",
    ]
    for name, values in expected.items():
        if values is not None:
            np.testing.assert_allclose(run.activations(0, name), values, rtol=1e-5, atol=1e-6)
    kinds = {layer.name: layer.type for layer in run.layers}
    assert (kinds["op:block.add#0"], kinds["op:max[0]"], kinds["block.fc#0"]) == (
        "add",
        "max",
        "Linear",
    )


def test_what_recording_does_is_no_operation_of_the_model(tmp_path, probe):
    model = Net()
    reduce = {"op:block.add": "sketch:3", "*.fc": "sketch:2"}
    run = recorded(model, probe, tmp_path / "r", "op:**add", "op:tanh", "**.fc", reduce=reduce)
    assert [(layer.name, layer.shape, layer.reduction) for layer in run.layers] == [
        ("block.fc#0", (2,), "sketch:2"),
        ("op:block.add#0", (3,), "sketch:3"),
        ("block.fc#1", (2,), "sketch:2"),
        ("op:block.add#1", (3,), "sketch:3"),
        ("op:tanh", (5,), "none"),
    ]


def test_no_trace_is_left(tmp_path, probe):
    model = Net()
    x = torch.from_numpy(probe.inputs)
    with torch.no_grad():
        before = model(x)
    recorded(model, probe, tmp_path / "r", "op:**", "!op:max", "!op:getitem")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(model(x), before, rtol=0, atol=0)


def test_compiled_model(tmp_path, probe):
    model = Net()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(torch.from_numpy(probe.inputs))
    run = recorded(compiled, probe, tmp_path / "r", "op:tanh")
    expected = by_hand(model, torch.from_numpy(probe.inputs))["op:tanh"]
    np.testing.assert_allclose(run.activations(0, "op:tanh"), expected, rtol=1e-5, atol=1e-6)


def test_samples_on_another_axis(tmp_path, probe):
    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)

        def forward(self, x):
            return self.fc(x).t().tanh().t()

    with pytest.raises(DataError, match="op:tanh.*one row per sample") as error:
        recorded(Transposed(), probe, tmp_path / "a", "op:tanh")
    assert "--batch-dim 'op:tanh=1'" in error.value.hint
    run = recorded(Transposed(), probe, tmp_path / "b", "op:tanh", batch_dims={"op:tanh": 1})
    assert run.layers[0].shape == (3,)


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        (["op:gelu"], {}, NotFoundError, "no operation matches 'op:gelu'"),
        (["op:tanh", "!op:gelu"], {}, NotFoundError, "no operation matches '!op:gelu'"),
        (["op:tanh"], {"reduce": {"op:x": "gap"}}, NotFoundError, "no operation matches 'op:x'"),
        (["op:max['x']"], {}, DataError, r"operation \"op:max\['x'\]\": expected a tensor there"),
        (["op:tanh"], {"at": "input"}, InputError, "expected at='output' to record operations"),
        (["op:max[0]", "relu"], {}, NotFoundError, "no layer matches 'relu'"),
    ],
)
def test_operations_that_are_not_there(tmp_path, probe, layers, options, error, message):
    with pytest.raises(error, match=message) as raised:
        recorded(Net(), probe, tmp_path / "r", *layers, **options)
    if "operation matches" in message:
        assert "the model calls op:block.fc.linear, op:block.relu, op:block.add, op:tanh" in (
            raised.value.hint
        )
    if "no layer" in message:
        assert "--layers 'op:relu'" in raised.value.hint
    assert not (tmp_path / "r").exists()

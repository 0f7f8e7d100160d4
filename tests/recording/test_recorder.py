import copy
import errno
import json
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run
from tests.conftest import small_net


def recorded(model, probe, path, **options):
    with Recorder(model, probe, path, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def outputs(model, probe):
    """The activations of every child of a Sequential, computed by hand."""
    value, found = torch.from_numpy(probe.inputs), {}
    with torch.no_grad():
        for name, module in model.named_children():
            value = copy.deepcopy(module).eval()(value.clone())
            found[name] = value.flatten(1).clone().numpy()
    return found


@pytest.mark.parametrize("batch_size", [1, 7, 120, 1000])
def test_records_what_the_layers_computed(tmp_path, probe, batch_size):
    model = small_net()
    run = recorded(model, probe, tmp_path / "r", batch_size=batch_size)
    expected = outputs(model, probe)
    assert [layer.name for layer in run.layers] == ["fc1", "act1", "fc2", "act2", "out"]
    assert [layer.type for layer in run.layers] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    for name, values in expected.items():
        # A product over another number of rows may round differently.
        np.testing.assert_allclose(run.activations(0, name), values, rtol=2e-6, atol=1e-6)


def test_in_place_activation_does_not_change_what_was_recorded(tmp_path, probe):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    run = recorded(model, probe, tmp_path / "r", batch_size=200)
    with torch.no_grad():
        before = model[0](torch.from_numpy(probe.inputs)).numpy()
    assert (before < 0).any()
    np.testing.assert_array_equal(run.activations(0, "0"), before)
    np.testing.assert_array_equal(run.activations(0, "1"), np.maximum(before, 0))


def test_convolutions_keep_their_shape_and_dtype(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 3, 2)
            self.wide = nn.Conv1d(1, 2, 2).double()

        def forward(self, x):
            self.wide(x[:, None].double())
            return self.conv(x[:, None]).to(torch.bfloat16)

    run = recorded(Net(), probe, tmp_path / "r")
    shapes = {layer.name: (layer.shape, layer.dtype) for layer in run.layers}
    assert shapes == {"wide": ((2, 4), "float64"), "conv": ((3, 4), "float32")}
    assert run.activations(0, "conv").shape == (120, 12)


def test_bfloat16_is_kept_exactly(tmp_path, probe):
    model = small_net().to(torch.bfloat16)
    run = recorded(model, probe, tmp_path / "r", batch_size=200)
    with torch.no_grad():
        expected = model.fc1(torch.from_numpy(probe.inputs).to(torch.bfloat16)).float().numpy()
    np.testing.assert_array_equal(run.activations(0, "fc1"), expected)
    assert run.activations(0, "fc1").dtype == np.float32
    info = run.layer("fc1")
    assert (info.dtype, info.encoding) == ("uint16", "bfloat16")  # two bytes a value
    stored = json.loads(bytes(run.datasets(0)["meta"]))["layers"][0]
    assert (stored["min"], stored["max"]) == (expected.min(), expected.max())


def test_module_called_twice_is_recorded_twice(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.out = nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.out(self.fc(self.fc(x)))

    model = Net()
    run = recorded(model, probe, tmp_path / "r", batch_size=50)
    assert [layer.name for layer in run.layers] == ["fc#0", "fc#1", "out"]
    with torch.no_grad():
        once = model.fc(torch.from_numpy(probe.inputs))
        twice = model.fc(once)
    np.testing.assert_allclose(run.activations(0, "fc#0"), once, atol=1e-6)
    np.testing.assert_allclose(run.activations(0, "fc#1"), twice, atol=1e-6)


def test_first_tensor_of_a_structured_output(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(1, 3, batch_first=True)

        def forward(self, x):
            return self.rnn(x[:, :, None])[0]

    run = recorded(Net(), probe, tmp_path / "r")
    assert run.layers[0].shape == (5, 3)


def test_snapshot_leaves_no_trace_in_training(tmp_path, probe):
    def train(path):
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)
        model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )
        model[1].eval()  # frozen by the user
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder = Recorder(model, probe, path) if path else None
        for step in range(4):
            if recorder:
                recorder.snapshot(step)
            loss = model(torch.from_numpy(probe.inputs[torch.randperm(120)[:16]])).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if recorder:
            recorder.close()
        assert not any(module._forward_hooks for module in model.modules())
        modes = [module.training for module in model]
        draws = (torch.rand(1).item(), np.random.rand(), random.random())
        return modes, draws, [p.detach().clone() for p in model.state_dict().values()]

    modes, draws, weights = train(None)
    assert modes == [True, False, True, True, True]
    modes_recorded, draws_recorded, weights_recorded = train(tmp_path / "r")
    assert modes_recorded == modes
    assert draws_recorded == draws
    assert all(map(torch.equal, weights, weights_recorded))
    assert Run(tmp_path / "r").steps == (0, 1, 2, 3)


def test_hooks_and_modes_are_restored_after_a_failure(tmp_path, probe):
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no\nway")

    model = nn.Sequential(nn.Linear(5, 3), Fails())
    recorder = Recorder(model, probe, tmp_path / "r")
    with recorder, pytest.raises(DataError, match=r"model failed .*ValueError: no way"):
        recorder.snapshot(0)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert not list(tmp_path.rglob("*.h5*"))


def test_inputs_of_another_shape_are_told_in_one_line(tmp_path, probe):
    model = nn.Linear(9, 2)
    with pytest.raises(DataError, match=r"shape \(120, 5\)") as error:
        recorded(nn.Sequential(model), probe, tmp_path / "r")
    assert "\n" not in str(error.value)


def test_layers_that_never_fire(tmp_path, probe, caplog):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(5, 2), nn.Linear(5, 2)

        def forward(self, x):
            return self.used(x)

    run = recorded(Net(), probe, tmp_path / "r")
    assert [layer.name for layer in run.layers] == ["used"]
    assert "unused" in caplog.text
    with pytest.raises(DataError, match="none of the chosen layers is called by the model: unused"):
        recorded(Net(), probe, tmp_path / "r2", layers="unused")


def test_output_without_a_row_per_sample_is_refused(tmp_path, probe):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(x.T)

    with pytest.raises(
        DataError, match=r"layer 'act': expected an output of shape \(120, n_units\)"
    ):
        recorded(Sum(), probe, tmp_path / "r", layers="act")


def test_wrappers_are_looked_through(tmp_path, probe):
    run = recorded(nn.DataParallel(small_net()), probe, tmp_path / "r")
    assert run.layers[0].name == "fc1"


def test_group_and_seed_come_from_the_name(tmp_path, probe):
    for name, group, seed in [
        ("tanh-s3", "tanh", 3),
        ("relu_seed12", "relu", 12),
        ("plain", "plain", None),
        ("resnet50", "resnet50", None),
        ("mlp-bs64", "mlp-bs64", None),
        ("axis3", "axis3", None),
        ("resnets50", "resnets50", None),
        ("hiddens32", "hiddens32", None),
        ("runs-2", "runs-2", None),
        ("a-s1-s2", "a-s1", 2),
    ]:
        manifest = recorded(small_net(), probe, tmp_path / name).manifest
        assert (manifest["group"], manifest["seed"]) == (group, seed)


def test_bad_arguments(tmp_path, probe):
    with pytest.raises(InputError, match="batch size"):
        Recorder(small_net(), probe, tmp_path / "r", batch_size=0)
    with pytest.raises(InputError, match=r"shape \(120,\), got \(119,\)"):
        Recorder(small_net(), (probe.inputs, probe.labels[1:]), tmp_path / "r")
    with pytest.raises(InputError, match="NaN or inf in 1 of 120 rows"):
        bad = probe.inputs.copy()
        bad[3, 2] = np.nan
        Recorder(small_net(), (bad, probe.labels), tmp_path / "r")
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        with pytest.raises(InputError, match=r"at least 0, got -1"):
            recorder.snapshot(-1)
        recorder.snapshot(0)
    with pytest.raises(RunFileError, match="already holds a run"):
        Recorder(small_net(), probe, tmp_path / "r")


def test_memory_does_not_grow_with_checkpoints(tmp_path, probe):
    import tracemalloc

    model = nn.Sequential(nn.Linear(5, 2000), nn.Tanh())
    with Recorder(model, probe, tmp_path / "r", batch_size=10) as recorder:
        recorder.snapshot(0)
        tracemalloc.start()
        for step in range(1, 6):
            recorder.snapshot(step)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # One batch of both layers is 160 kB, one checkpoint 1.9 MB.
    assert peak < 1e6


def test_gradient_statistics_at_fixed_weights(tmp_path, probe):
    from torch.nn.functional import cross_entropy

    torch.manual_seed(0)
    model = small_net()
    model.fc1.weight.grad = torch.full_like(model.fc1.weight, 3.0)  # of the user's training
    before = copy.deepcopy(model.state_dict())
    with Recorder(model, probe, tmp_path / "r", layers="act1") as recorder:
        recorder.snapshot(4, gradients=cross_entropy, gradient_batch_size=40)
    assert all(map(torch.equal, before.values(), model.state_dict().values()))
    assert (model.fc1.weight.grad == 3.0).all()
    found = Run(tmp_path / "r").step_info(4).gradients
    assert list(found) == ["fc1", "fc2", "out"]

    twin = small_net()
    twin.load_state_dict(before)
    x, y = torch.from_numpy(probe.inputs), torch.from_numpy(probe.labels)
    gradients = []
    for rows in (slice(0, 40), slice(40, 80), slice(80, 120)):
        twin.zero_grad()
        cross_entropy(twin(x[rows]), y[rows]).backward()
        gradients.append(twin.fc2.weight.grad.numpy().copy())
    twin.zero_grad()
    cross_entropy(twin(x), y).backward()
    # The mean over batches that part the data is the gradient of the data.
    whole = np.linalg.norm(twin.fc2.weight.grad.numpy())
    assert found["fc2"]["mean_norm"] == pytest.approx(whole, rel=1e-5)
    spread = np.sqrt(np.var(gradients, axis=0).sum())
    assert found["fc2"]["spread"] == pytest.approx(spread, rel=1e-4)
    assert found["fc2"]["weight_norm"] == pytest.approx(
        float(before["fc2.weight"].norm()), rel=1e-6
    )
    assert found["fc2"]["n_batches"] == 3


def test_gradients_that_cannot_be_taken(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        with pytest.raises(InputError, match="at least two mini-batches"):
            recorder.snapshot(0, gradients=nn.functional.cross_entropy, gradient_batch_size=100)
        with pytest.raises(DataError, match="the loss failed"):
            recorder.snapshot(0, gradients=lambda a, b: a @ b.float(), gradient_batch_size=9)
    assert not list(tmp_path.rglob("*.h5*"))


def test_step_is_a_whole_number_recorded_once(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        for step in (np.int64(3), 4.0, torch.tensor(5)):
            recorder.snapshot(step)
        with pytest.raises(InputError, match="step 4 is recorded already"):
            recorder.snapshot(4)
        for bad in (1.7, float("nan"), float("inf"), "5", None, 2**63, -1, torch.zeros(2)):
            with pytest.raises(InputError, match="whole number of at least 0"):
                recorder.snapshot(bad)
    with pytest.raises(InputError, match="closed"):
        recorder.snapshot(6)
    assert Run(tmp_path / "r").steps == (3, 4, 5)


def test_step_that_failed_can_be_tried_again(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        with pytest.raises(DataError, match="loss failed"):
            recorder.snapshot(0, gradients=lambda a, b: a.nothing, gradient_batch_size=40)
        recorder.snapshot(0)
    assert Run(tmp_path / "r").steps == (0,)


def test_numbers_of_a_step(tmp_path, probe):
    loss = torch.tensor(0.5, requires_grad=True)
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.snapshot(
            0, epoch=np.float32(1), metrics={"loss": loss, "accuracy": np.float32(0.25), "n": 3}
        )
        for epoch in (float("nan"), np.inf, "1", [1]):
            with pytest.raises(InputError, match="epoch: expected a"):
                recorder.snapshot(1, epoch=epoch)
        for value in ("0.5", None, [1.0, 2.0], torch.zeros(2)):
            with pytest.raises(InputError, match=r"metrics\['loss'\]: expected a number"):
                recorder.snapshot(1, metrics={"loss": value})
    info = Run(tmp_path / "r").step_info(0)
    assert info.epoch == 1.0
    assert info.metrics == {"loss": 0.5, "accuracy": 0.25, "n": 3.0}


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), np.zeros(2), object()])
def test_provenance_that_is_not_json_is_refused_before_anything_is_written(tmp_path, probe, value):
    with pytest.raises(InputError, match="provenance: expected JSON values"):
        Recorder(small_net(), probe, tmp_path / "r", provenance={"a": value})
    assert not (tmp_path / "r").exists()
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        with pytest.raises(InputError, match="provenance: expected JSON values"):
            recorder.snapshot(0, provenance={"a": value})
        assert not list((tmp_path / "r" / "steps").iterdir())


class Changing(nn.Module):
    """Changes between snapshots in the way that is asked for."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(5, 3), nn.Linear(3, 3), nn.ReLU()
        self.mode = "plain"

    def forward(self, x):
        x = self.act(self.a(x))
        if self.mode == "silent":
            return x
        if self.mode == "wide":
            x = torch.cat([x, x])[:, :, None].reshape(2, len(x), 3).movedim(0, 1)
        if self.mode == "twice":
            x = self.act(x)
        return self.b(x)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("silent", "'b': absent at step 7, shape (3,) and dtype float32 at step 2;"),
        ("wide", "'b': shape (2, 3) and dtype float32 at step 7, shape (3,) and dtype"),
        ("double", "'a': shape (3,) and dtype float64 at step 7, shape (3,) and dtype float32"),
        ("twice", "'act': absent at step 7, shape (3,) and dtype float32 at step 2"),
    ],
)
def test_layers_are_the_same_at_every_step(tmp_path, probe, mode, message):
    model = Changing()
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(2)
        model.mode = mode
        if mode == "double":
            model.double()
        with pytest.raises(DataError) as error:
            recorder.snapshot(7)
        assert message in str(error.value)
        model.mode = "plain"
        model.float()
        recorder.snapshot(8)
    assert Run(tmp_path / "r").steps == (2, 8)


def test_output_without_units_is_refused(tmp_path, probe):
    class Odd(nn.Module):
        def forward(self, x):
            return x[:, :0]

    with pytest.raises(DataError, match="'0': expected an output with units, got"):
        recorded(nn.Sequential(Odd()), probe, tmp_path / "r", layers="0")
    assert not (tmp_path / "r").exists()


def test_uninitialised_model_is_refused(tmp_path, probe):
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    with Recorder(model, probe, tmp_path / "r") as recorder:
        with pytest.raises(DataError, match=r"0\.weight: the parameter is not initialised"):
            recorder.snapshot(0)
        model(torch.from_numpy(probe.inputs))
        recorder.snapshot(0)


def test_model_without_parameters(tmp_path, probe):
    model = nn.Sequential(nn.ReLU())
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(0, gradients=nn.functional.cross_entropy, gradient_batch_size=40)
    run = Run(tmp_path / "r")
    np.testing.assert_array_equal(run.activations(0, "0"), np.maximum(probe.inputs, 0))
    assert run.step_info(0).gradients == {}


def test_full_disk_is_not_blamed_on_the_model(tmp_path, probe, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        monkeypatch.setattr("infoplane.runs.step_writer.reserve", full)
        with pytest.raises(RunFileError, match="No space left on device") as error:
            recorder.snapshot(0)
    assert "model failed" not in str(error.value)


def test_model_that_exits_is_told_in_one_line(tmp_path, probe):
    class Exits(nn.Module):
        def forward(self, x):
            raise SystemExit(0)

    with pytest.raises(DataError, match=r"SystemExit: it ended the program with exit\(0\)"):
        recorded(nn.Sequential(nn.Linear(5, 2), Exits()), probe, tmp_path / "r")


def test_nonfinite_outputs_are_told_once(tmp_path, probe, caplog):
    model = small_net()
    with torch.no_grad():
        model.fc2.weight[0, 0] = float("nan")
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
        recorder.snapshot(1)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["NaN or inf in the outputs at step 0: fc2, act2, out"]


def test_foreign_byte_order_is_recorded(tmp_path, probe):
    run = recorded(small_net(), (probe.inputs.astype(">f4"), probe.labels), tmp_path / "r")
    np.testing.assert_array_equal(run.probe.inputs, probe.inputs)


@pytest.mark.parametrize("bad", [None, "xy", (np.zeros((3, 2)),)])
def test_probe_that_is_no_pair(tmp_path, bad):
    with pytest.raises(InputError, match=r"pair \(inputs, labels\)"):
        Recorder(small_net(), bad, tmp_path / "r")


@pytest.mark.parametrize("before", ["prepare", "snapshot"])
def test_folder_that_is_gone_is_told(tmp_path, probe, before):
    with Recorder(small_net(), probe, tmp_path / "run") as recorder:
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(RunFileError, match=r"run.*: cannot be written \(No such file"):
            recorder.prepare(3) if before == "prepare" else recorder.snapshot(0)

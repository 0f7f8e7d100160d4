import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.cli.main import run as command
from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.checkpoints.find import Checkpoint
from infoplane.recording.checkpoints.replay import record_checkpoints
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.conftest import NET, small_net
from tests.conftest import infoplane_here as infoplane

RECORD = (
    "record",
    "-q",
    "--model",
    "net.py:build",
    "--checkpoints",
    "ckpt/*.pt",
    "--data",
    "probe.npz",
)


def content(run):
    """The bytes of a run's data files, by name."""
    return {str(file.relative_to(run)): file.read_bytes() for file in sorted(run.rglob("*.h5"))}


@pytest.fixture
def record(project, capsys):
    """Runs ``record`` in this process; returns its exit code and what it said."""

    def run(*options):
        code = command([*RECORD, *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def whole(record):
    """An undisturbed run of three checkpoints, and a copy in which step 0 alone is intact."""
    assert record("-o", "whole", "--name", "net")[0] == 0
    shutil.copytree("whole", "run")
    steps = Path("run/steps")
    (steps / "step_000000000002.h5").unlink()
    (steps / "step_000000000007.h5.tmp").write_bytes(b"x")
    damaged = steps / "step_000000000010.h5"
    data = bytearray(damaged.read_bytes())
    data[data.index(Run("run").activations(10, "fc1").tobytes())] ^= 1
    damaged.write_bytes(data)
    return content(Path("whole"))


def test_only_what_is_missing_or_damaged_is_recorded_again(whole, record):
    first = Path("run/steps/step_000000000000.h5").stat()
    manifest = Path("run/manifest.json").read_bytes()
    code, said = record("-o", "run", "--name", "net", "--resume")
    assert code == 0
    assert "1 of them kept from before" in said
    assert content(Path("run")) == whole
    assert Path("run/steps/step_000000000000.h5").stat().st_mtime_ns == first.st_mtime_ns
    assert Path("run/manifest.json").read_bytes() == manifest
    assert not list(Path("run").rglob("*.tmp"))


def test_changed_checkpoint_is_recorded_again(whole, record):
    state = torch.load("ckpt/epoch_0.pt")
    state["fc1.weight"] += 1
    torch.save(state, "ckpt/epoch_0.pt")
    _, said = record("-o", "whole", "--name", "net", "--resume")
    assert "2 of them kept from before" in said
    changed = content(Path("whole"))
    assert [name for name in whole if changed[name] != whole[name]] == [
        "steps/step_000000000000.h5"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--batch-size", "7"], "settings.batch_size: 512 then, 7 now"),
        (["--layers", "fc*"], "layers: [] then, ['fc*'] now"),
        (["--samples", "50"], "probe."),
        (["--name", "other"], "group: 'net' then, 'other' now; run: 'net' then, 'other' now"),
    ],
)
def test_other_settings_are_refused(whole, record, change, message):
    code, said = record("-o", "whole", "--name", "net", "--resume", *change)
    assert code == 3
    assert message in said
    assert content(Path("whole")) == whole


def test_other_model_code_is_refused(whole):
    text = NET.replace("act1=nn.Tanh()", "act1=nn.LeakyReLU(0.2)")
    Path("net.py").write_text(text)
    done = infoplane(*RECORD, "-o", "whole", "--name", "net", "--resume")
    assert done.code == 3
    assert "settings.model_sha256" in done.err


@pytest.mark.parametrize(
    ("key", "then"),
    [("torch", "2.9.0"), ("device", "NVIDIA H200"), ("dtype", "bfloat16")],
)
def test_other_arithmetic_is_refused_with_the_remedy(whole, record, key, then):
    manifest = json.loads(Path("whole/manifest.json").read_text())
    now, manifest["settings"][key] = manifest["settings"][key], then
    Path("whole/manifest.json").write_text(json.dumps(manifest))
    code, said = record("-o", "whole", "--name", "net", "--resume")
    assert code == 3
    assert f"settings.{key}: {then!r} then, {now!r} now" in said
    assert "replace the run with --overwrite" in said
    assert content(Path("whole")) == whole


def test_precision_of_products_and_dtype_are_noted(tmp_path, probe):
    torch.set_float32_matmul_precision("high")
    try:
        with Recorder(small_net().double(), probe, tmp_path / "r") as recorder:
            recorder.snapshot(0)
    finally:
        torch.set_float32_matmul_precision("highest")
    found = Run(tmp_path / "r").manifest["settings"]
    assert (found["matmul_precision"], found["dtype"]) == ("high", "float64")
    assert (found["torch"], found["device"]) == (torch.__version__, "cpu")
    with pytest.raises(RunFileError, match="settings.dtype: 'float64' then, 'float32' now"):
        Recorder(small_net(), probe, tmp_path / "r", resume=True)


def test_resume_begins_a_run_where_there_is_none(record):
    assert record("-o", "run", "--resume")[0] == 0
    assert Run("run").steps == (0, 2, 10)
    code, said = record("-o", "run")
    assert code == 3
    assert "already holds a run" in said
    assert record("-o", "run", "--resume", "--overwrite")[0] == 2


def test_training_loop_resumes(tmp_path, probe):
    def train(path, steps, **options):
        torch.manual_seed(0)
        model = small_net()
        with Recorder(model, probe, path, name="r", **options) as recorder:
            for step in steps:
                with torch.no_grad():
                    model.fc1.weight.mul_(1.1)
                recorder.snapshot(step, metrics={"loss": float("nan"), "step": step})
        return recorder.kept

    train(tmp_path / "whole", range(6))
    assert train(tmp_path / "r", range(3)) == []
    assert train(tmp_path / "r", range(6), resume=True) == [0, 1, 2]
    assert content(tmp_path / "r") == content(tmp_path / "whole")
    with pytest.raises(InputError, match="overwrite or resume"):
        train(tmp_path / "r", range(6), resume=True, overwrite=True)


def test_resume_compares_layers_with_those_that_are_there(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.wide = nn.Linear(5, 3), nn.Linear(3, 2), False

        def forward(self, x):
            x = self.a(x)
            return self.b(torch.stack([x, x], 1) if self.wide else x)

    torch.manual_seed(0)
    net = Net()
    with Recorder(net, probe, tmp_path / "r") as recorder:
        recorder.snapshot(4)
    net.wide = True
    with (
        Recorder(net, probe, tmp_path / "r", resume=True) as recorder,
        pytest.raises(DataError, match=r"shape \(2, 2\) .* at step 9, shape \(2,\) .* at step 4"),
    ):
        recorder.snapshot(9)
    assert Run(tmp_path / "r").steps == (4,)


def test_damaged_probe_set_costs_no_step(tmp_path, probe):
    path, model = tmp_path / "r", small_net()
    with Recorder(model, probe, path) as recorder:
        recorder.snapshot(0)
    before = content(path)
    (path / "probe.h5").write_bytes(b"")
    with Recorder(model, probe, path, resume=True) as recorder:
        recorder.snapshot(0)
    assert recorder.kept == [0]
    assert content(path) == before


def test_vanished_directory_is_told_in_one_line(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
        shutil.move(tmp_path / "r", tmp_path / "moved")
        with pytest.raises(RunFileError, match="step_000000000001.h5: cannot be written") as error:
            recorder.snapshot(1)
    assert "go on with --resume" in error.value.hint
    run = Run(tmp_path / "moved")
    assert run.steps == (0,)
    assert verify(run) == []
    assert np.isfinite(run.activations(0, "fc1")).all()


def test_steps_that_are_kept_are_not_listed_for_each(tmp_path, probe, monkeypatch):
    model = small_net()
    with Recorder(model, probe, tmp_path / "r") as recorder:
        for step in range(12):
            recorder.snapshot(step)
    listed = []
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, how: listed.append(how) or glob(path, how))
    counts = []
    for n in (2, 12):
        with Recorder(model, probe, tmp_path / "r", resume=True) as recorder:
            listed.clear()
            for step in range(n):
                recorder.snapshot(step)
        assert len(recorder.kept) == n
        counts.append(listed.count("step_*.h5"))
    assert counts == [0, 0]


def test_weights_that_a_checkpoint_lacks_are_those_of_the_model(tmp_path, probe):
    model = small_net()
    untouched = model[0].weight.detach().clone()
    state = small_net().state_dict()
    torch.save(state, tmp_path / "epoch_1.pt")
    torch.save({key: state[key] for key in state if key != "fc1.weight"}, tmp_path / "epoch_2.pt")
    found = [Checkpoint(tmp_path / f"epoch_{step}.pt", step) for step in (1, 2)]
    with Recorder(model, probe, tmp_path / "r") as recorder:
        assert list(record_checkpoints(recorder, found, strict=False)) == [1, 2]
    x = torch.from_numpy(probe.inputs)
    for step, weight in ((1, state["fc1.weight"]), (2, untouched)):
        expected = nn.functional.linear(x, weight, state["fc1.bias"]).numpy()
        np.testing.assert_array_equal(Run(tmp_path / "r").activations(step, "fc1"), expected)

"""What a recording will take, said and set aside before it begins."""

import os
import re
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch
from torch import nn

from infoplane.cli.main import run as command
from infoplane.errors import DataError, RunFileError
from infoplane.recording.checkpoints.find import Checkpoint
from infoplane.recording.checkpoints.replay import record_checkpoints
from infoplane.recording.recorder import Recorder
from infoplane.runs.disk import Room
from infoplane.runs.run import Run
from tests.conftest import small_net

RECORD = ("record", "-q", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt", "--data")


def drained(queue):
    return [queue.get() for _ in range(queue.qsize())]


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_dry_run_tells_the_plan_and_writes_nothing(project, capsys):
    before = tree(project)
    record = (*RECORD, "probe.npz", "-o", "runs/a", "--layers", "fc*", "--reduce", "fc1=sketch:2")
    assert command([*record, "--dry-run"]) == 0
    assert tree(project) == before
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "would record 3 checkpoints (steps 0..10) x 2 layers x 120 samples in runs/a"
    )
    # 120 samples of 2 and 3 floats, at 3 steps
    assert said[3].split() == ["fc1", "Linear", "2", "float32", "sketch:2", "960", "B"]
    assert said[4].split() == ["fc2", "Linear", "3", "float32", "none", "1.44", "KB"]
    assert re.fullmatch(r"about [\d.e-]+ m?s, 7.2 KB of .* free", said[5])
    assert len(said) == 6
    assert command([*record]) == 0
    assert command([*record, "-n"]) == 0
    assert "runs/a holds a run already: go on with --resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layers", "none"], 4, "no layer matches 'none'"),
        (["--layers", "fc1[3]"], 3, "layer 'fc1[3]': expected an output of shape"),
        (["--max-size", "1K"], 3, "more than the 1,000 bytes of --max-size"),
        (["--", "python", "train.py"], 2, "--dry-run is for --checkpoints"),
    ],
)
def test_dry_run_fails_as_the_recording_would(project, capsys, options, code, message):
    arguments = [*RECORD, "probe.npz", "-o", "runs/a", "-n", *options]
    if "--" in options:
        arguments = ["record", "--data", "probe.npz", "-o", "runs/a", "-n", *options]
    assert command(arguments) == code
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


class Vast(nn.Module):
    """Returns 2**42 units for each sample, all of them one number in memory."""

    def forward(self, x):
        return x[:, :1].expand(len(x), 2**42)


def test_run_that_the_disk_has_no_room_for_is_refused_before_the_first_pass(tmp_path, probe):
    passes = SimpleQueue()  # a list would be put back

    class Seen(nn.Sequential):
        def forward(self, x):
            passes.put(len(x))
            return super().forward(x)

    model = Seen(nn.Linear(5, 3), Vast())
    torch.save(model.state_dict(), tmp_path / "epoch_1.pt")
    found = [Checkpoint(tmp_path / "epoch_1.pt", step) for step in range(10)]
    with (
        Recorder(model, probe, tmp_path / "r", layers=["*"], reduce={"*": "flatten"}) as recorder,
        pytest.raises(DataError) as error,
    ):
        list(record_checkpoints(recorder, found))
    assert "10 steps x 120 samples x 17,592,186,044,428 bytes" in str(error.value)
    assert "bytes that the disk has free; largest of 2 layers, for each sample: 1 1" in str(
        error.value
    )
    assert drained(passes) == [2, 3]  # a few samples, to learn the shapes
    assert not (tmp_path / "r").exists()


def test_space_of_the_whole_run_is_set_aside_and_used_up(tmp_path, probe, monkeypatch):
    """The file without a name is looked at from inside the model."""
    monkeypatch.setattr("infoplane.runs.disk._LUMP", 1)
    seen = SimpleQueue()  # a list would be put back

    def look(module, inputs):
        for entry in Path("/proc/self/fd").iterdir():
            lies = str(entry.readlink() if entry.is_symlink() else "")
            if lies.startswith(str(tmp_path)) and entry.stat().st_nlink == 0:
                seen.put((len(inputs[0]), entry.stat().st_size, 512 * entry.stat().st_blocks))

    class Looking(type(small_net())):
        def forward(self, x):
            look(self, (x,))
            return super().forward(x)

    model = small_net()
    model.__class__ = Looking
    torch.save(model.state_dict(), tmp_path / "epoch_1.pt")
    with Recorder(model, probe, tmp_path / "r") as recorder:
        found = [Checkpoint(tmp_path / "epoch_1.pt", step) for step in range(3)]
        for _ in record_checkpoints(recorder, found):
            assert not (tmp_path / "r" / "steps" / "room.tmp").exists()
    step = Run(tmp_path / "r").step_file(0).stat().st_size
    # Every pass of the probe set follows the taking of its own part.
    found_room = drained(seen)
    assert [(rows, size) for rows, size, _ in found_room] == [
        (120, 2 * step),
        (120, step),
        (120, 0),
    ]
    assert all(taken >= size for _, size, taken in found_room)
    with Recorder(model, probe, tmp_path / "r", resume=True) as recorder:
        found += [Checkpoint(tmp_path / "epoch_1.pt", step) for step in (3, 4)]
        list(record_checkpoints(recorder, found))
    assert [size for _, size, _ in drained(seen)] == [step, 0]  # only the steps that are missing


def test_room_that_cannot_be_had_leaves_nothing(tmp_path, probe, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, os.strerror(28))

    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(RunFileError, match="cannot be written .No space left"):
            recorder.prepare(3)
    assert not (tmp_path / "r").exists()


def test_room_shrinks_to_nothing(tmp_path):
    room = Room(tmp_path, 1000, 2)
    for _ in range(3):
        room.take()
    room.close()
    assert list(tmp_path.iterdir()) == []


def test_model_of_one_batch_size_is_planned(tmp_path, probe):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)

        def forward(self, x):
            assert len(x) == 40
            return self.fc(x)

    with Recorder(Fixed(), probe, tmp_path / "r", batch_size=40) as recorder:
        recorder.prepare(1)
        recorder.snapshot(0)
    assert Run(tmp_path / "r").layers[0].shape == (3,)

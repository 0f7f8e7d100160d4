"""A recording that is killed loses no complete step and shows no half-written one."""

import errno
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from infoplane.cli.main import run as command
from infoplane.errors import RunFileError
from infoplane.recording.recorder import Recorder
from infoplane.runs import hdf5
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.conftest import NET, small_net
from tests.recording.test_resume import content

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

STEPS = range(4)


def train(path, probe, pause=0.0):
    """A training loop that records itself; the same each time."""
    torch.manual_seed(0)
    model = small_net()
    with Recorder(model, probe, path, name="r", batch_size=50, resume=True) as recorder:
        for step in STEPS:
            with torch.no_grad():
                model.fc1.weight.mul_(1.1)
            recorder.snapshot(step)
            time.sleep(pause)


def forked(function):
    """Call a function in a child process; torch is loaded there already."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            os.dup2(devnull, 2)
            function()
            status = 0
        finally:
            os._exit(status)
    return child


def check_killed(path, whole):
    """Every visible file of the run is complete and as in the undisturbed run."""
    if not (path / "manifest.json").exists():
        assert not list(path.glob("steps/*.h5"))
        return
    found = content(path)
    assert found.items() <= whole.items()
    assert verify(Run(path)) == []


def cut_at(monkeypatch, count, *, torn):
    """Kill this process at the n-th call that changes a file, a write half done if torn."""
    left = [count]

    def counted(name, function):
        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                if torn and name == "pwrite":
                    function(args[0], args[1][: len(args[1]) // 2], *args[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    names = ("open", "pwrite", "posix_fallocate", "ftruncate", "replace", "unlink", "mkdir")
    for name in (*names, "rename", "rmdir", "close"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    for name in ("add", "close"):
        monkeypatch.setattr(hdf5.Outline, name, counted(name, getattr(hdf5.Outline, name)))
    return left


def sweep(tmp_path, probe, every):
    """Cut the recording at every n-th call; return the number of cuts."""
    train(tmp_path / "whole", probe)
    whole = content(tmp_path / "whole")
    count, cuts = 0, 0
    while True:
        count += every
        path = tmp_path / "cut"
        with pytest.MonkeyPatch.context() as patch:
            child = forked(
                lambda: (cut_at(patch, count, torn=count % 2 == 0), train(path, probe))  # noqa: B023
            )
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check_killed(path, whole)
        train(path, probe)
        assert content(path) == whole
        assert verify(Run(path)) == []
        assert not list(path.rglob("*.tmp"))
        shutil.rmtree(path)
        if not killed:
            return cuts
        cuts += 1


def test_write_sequence_cut_at_some_calls(tmp_path, probe):
    assert sweep(tmp_path, probe, every=17) >= 5


@pytest.mark.slow
def test_write_sequence_cut_at_every_call(tmp_path, probe):
    cuts = sweep(tmp_path, probe, every=1)
    print(f"{cuts} cuts")
    assert cuts >= 100


def kill_at_random(tmp_path, function, finish, kills):
    """Kill processes that run a function at random times; return how many still ran."""
    function(tmp_path / "whole")
    whole = content(tmp_path / "whole")
    start = time.monotonic()
    os.waitpid(forked(lambda: function(tmp_path / "timed")), 0)
    seconds = time.monotonic() - start
    rng, done, unfinished = random.Random(0), 0, 0
    path = tmp_path / "killed"
    while done < kills:
        child = forked(lambda: function(path))
        try:
            latest = time.monotonic() + 60
            while done % 2 and not (path / "manifest.json").exists() and time.monotonic() < latest:
                time.sleep(0.001)  # else all could come before the first step, on a busy machine
            end = time.monotonic() + rng.uniform(0, seconds)
            while time.monotonic() < end:  # readers are never blocked, and never see a part
                if (path / "manifest.json").exists():
                    assert verify(Run(path)) == []
        finally:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        done += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        unfinished += 0 < len(list(path.glob("steps/*.h5"))) < len(whole) - 1
        check_killed(path, whole)
        finish(path)
        assert content(path) == whole
        shutil.rmtree(path)
    return unfinished


def loop_kills(tmp_path, probe, kills):
    return kill_at_random(
        tmp_path, lambda path: train(path, probe, 0.02), lambda path: train(path, probe), kills
    )


def record_kills(tmp_path, kills):
    arguments = ["record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt", "--name", "net"]
    arguments += ["--data", "probe.npz", "--resume", "-q", "-o"]

    def record(path):
        assert command([*arguments, str(path)]) == 0

    Path("net.py").write_text("import time, torch\n" + NET.replace("Tanh", "Slow") + SLOW)
    return kill_at_random(tmp_path, record, record, kills)


SLOW = """
class Slow(nn.Tanh):
    def forward(self, x):
        time.sleep(0.03)
        return torch.tanh(x)

nn.Slow = Slow
"""


def test_training_loop_killed_at_random_times(tmp_path, probe):
    loop_kills(tmp_path, probe, 3)


@pytest.mark.slow
def test_training_loop_killed_50_times(tmp_path, probe):
    assert loop_kills(tmp_path, probe, 50) > 10


def test_record_killed_at_random_times(project):
    record_kills(project, 2)


@pytest.mark.slow
def test_record_killed_50_times(project):
    assert record_kills(project, 50) > 10


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_full_disk_keeps_complete_steps(tmp_path, probe, monkeypatch, calls):
    model = small_net()
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
        before = content(tmp_path / "r")
        left = [calls]
        write = os.pwrite

        def full(*args):
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(*args)

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(RunFileError, match=r"cannot be written \(No space left on device\)"):
            recorder.snapshot(1)
        monkeypatch.undo()
        assert content(tmp_path / "r") == before
        assert verify(Run(tmp_path / "r")) == []
        recorder.snapshot(1)  # space was made
    assert Run(tmp_path / "r").steps == (0, 1)

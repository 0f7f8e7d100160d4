"""Runs that several processes record together."""

import json
import shutil
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.cli.main import run as command
from infoplane.errors import InputError, RunFileError
from infoplane.recording.recorder import Recorder
from infoplane.runs.checksum import joined_crc32
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import rescue, verify
from tests.conftest import small_net

FIRST, SECOND = "shard-0001-of-0002", "shard-0002-of-0002"


def record(path, probe, *, shard=False, steps=(0, 3), model=None, **options):
    torch.manual_seed(0)
    model = model or small_net()
    with Recorder(model, probe, path, name="r", shard=shard, batch_size=20, **options) as recorder:
        for step in steps:
            recorder.snapshot(
                step,
                metrics={"rank": shard[0] if shard else 0},
                gradients=nn.functional.cross_entropy,
                gradient_batch_size=40,
            )
    return recorder


@pytest.fixture
def sharded(tmp_path, probe):
    for index in (1, 0):  # in any order
        record(tmp_path / "r", probe, shard=(index, 2))
    return tmp_path / "r"


def test_checksums_of_pieces_join():
    data = np.random.default_rng(0).bytes(70_003)
    for cut in (0, 1, 4096, 70_003):
        before, after = zlib.crc32(data[:cut]), zlib.crc32(data[cut:])
        assert joined_crc32(before, after, len(data) - cut) == zlib.crc32(data)


def test_shards_are_the_run_that_one_process_records(tmp_path, probe):
    # One block of rows holds the end of the first split and the beginning of the second.
    splits = {
        "train": (probe.inputs[:80], probe.labels[:80]),
        "test": (probe.inputs[80:], probe.labels[80:]),
    }
    torch.manual_seed(0)
    model = small_net()

    def recorded(path, **options):
        with Recorder(model, splits, path, name="r", batch_size=20, **options) as recorder:
            recorder.snapshot(7)

    recorded(tmp_path / "whole")
    for index in range(3):
        recorded(tmp_path / "parts", shard=(index, 3))
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    assert parts.splits == {"train": 80, "test": 40}
    assert parts.n_samples == 120
    assert parts.content_hash() == whole.content_hash()
    assert parts.manifest["probe"] == whole.manifest["probe"]
    assert bytes(parts.datasets(7)["meta"]) == bytes(whole.datasets(7)["meta"])
    for layer in whole.layers:
        found = parts.activations(7, layer.name, verify=True)
        np.testing.assert_array_equal(found, whole.activations(7, layer.name))
    np.testing.assert_array_equal(parts.probe.labels, whole.probe.labels)
    np.testing.assert_array_equal(
        Run(tmp_path / "parts", split="test").probe.inputs, probe.inputs[80:]
    )


def test_metrics_and_gradients_are_those_of_the_first_process(sharded, tmp_path, probe):
    record(tmp_path / "whole", probe)
    whole, found = Run(tmp_path / "whole").step_info(3), Run(sharded).step_info(3)
    assert found.metrics == whole.metrics == {"rank": 0.0}
    assert found.gradients == whole.gradients != {}


def test_pack_and_rescue_join_the_shards(sharded, tmp_path):
    pack(Run(sharded), tmp_path / "r.h5")
    rescue(Run(sharded), tmp_path / "joined")
    for path in (tmp_path / "r.h5", tmp_path / "joined"):
        run = Run(path)
        assert not run.shards
        assert run.content_hash() == Run(sharded).content_hash()
        assert verify(run) == []
        assert "shard" not in run.manifest


def test_every_shard_is_verified(sharded):
    assert verify(Run(sharded)) == []
    step = sharded / SECOND / "steps" / "step_000000000003.h5"
    damaged = bytearray(step.read_bytes())
    damaged[damaged.index(Run(sharded / SECOND).activations(3, "fc2").tobytes())] ^= 1
    step.write_bytes(damaged)
    (finding,) = verify(Run(sharded))
    assert (finding.path, finding.step, finding.layer) == (step, 3, "fc2")
    with pytest.raises(RunFileError, match="does not match its checksum"):
        Run(sharded).activations(3, "fc2", verify=True)


def test_step_that_a_shard_lacks_is_incomplete(sharded, capsys):
    (sharded / SECOND / "steps" / "step_000000000003.h5").unlink()
    run = Run(sharded)
    assert run.steps == (0,)
    assert run.incomplete == {3: "shard 2 of 2 is missing"}
    assert command(["inspect", str(sharded)]) == 0
    assert "step 3 is incomplete: shard 2 of 2 is missing" in capsys.readouterr().out
    assert command(["analyze", "-q", "-j1", "-e", "binning", "-o", "-", str(sharded)]) == 0
    assert "left out as incomplete: step 3: shard 2 of 2 is missing" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["inspect"], ["analyze", "-e", "binning", "-o", "-"]])
def test_missing_shard_is_said(sharded, capsys, arguments):
    shutil.rmtree(sharded / FIRST)
    assert command([*arguments, str(sharded)]) == 3
    assert "shard 1 of 2 is missing" in capsys.readouterr().err


class Wide(nn.Module):
    """As wide as it is told to be, though its structure is the same."""

    def __init__(self, factor):
        super().__init__()
        self.fc1, self.factor = nn.Linear(5, 4), factor

    def forward(self, x):
        return self.fc1(x).repeat(1, self.factor)


class Repeated(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.inner = Wide(factor)

    def forward(self, x):
        return self.inner(x)


def test_processes_that_disagree_are_refused_at_once_and_later(tmp_path, probe):
    def both(name, message, **options):
        """Record the second shard with other options; reading says the same as the recorder."""
        torch.manual_seed(0)
        usual = {
            "model": Repeated(1),
            "layers": ["inner"],
            "steps": [0],
            **options.pop("usual", {}),
        }
        record(tmp_path / name, probe, shard=(0, 2), **usual)
        torch.manual_seed(0)
        other = options.pop("probe", probe)
        with pytest.raises(RunFileError, match=message):
            record(tmp_path / name, other, shard=(1, 2), **{**usual, **options})
        assert (tmp_path / name / SECOND / "steps" / "step_000000000000.h5").exists()
        with pytest.raises(RunFileError, match=message):
            Run(tmp_path / name).layers  # noqa: B018

    both(
        "shape",
        r"step 0: the processes disagree: shape of layer 'inner': \[4\] in shard 1, "
        r"\[8\] in shard 2",
        model=Repeated(2),
    )
    both("layers", r"the processes recorded otherwise: layers is \['inner'\]", layers=["**"])
    model = Repeated(1)
    with torch.no_grad():
        model.inner.fc1.weight.mul_(2)
    both("weights", "shards 1 and 2 were recorded with different weights", model=model)
    both(
        "probe",
        "shards 1 and 2 are of different probe sets",
        probe=probe.take(slice(None, None, -1)),
    )


def test_shards_resume_each_for_itself(sharded, probe):
    (sharded / SECOND / "steps" / "step_000000000003.h5").unlink()
    assert record(sharded, probe, shard=(0, 2), resume=True).kept == [0, 3]
    assert record(sharded, probe, shard=(1, 2), resume=True).kept == [0]
    assert Run(sharded).steps == (0, 3)


@pytest.mark.parametrize("option", ["overwrite", "resume"])
def test_other_weights_replace_shards_one_after_the_other(sharded, probe, option):
    model = small_net()
    with torch.no_grad():
        model[0].weight.mul_(2)
        expected = model[0](torch.from_numpy(probe.inputs)).numpy()
    for rank in range(2):  # of which the first finds steps of the earlier weights in the second
        record(sharded, probe, shard=(rank, 2), model=model, **{option: True})
    assert Run(sharded).steps == (0, 3)
    np.testing.assert_array_equal(Run(sharded).activations(3, "fc1"), expected)


def test_folder_of_another_recording_is_refused(sharded, tmp_path, probe):
    with pytest.raises(RunFileError, match="already holds a run"):
        record(sharded, probe, shard=(0, 2))
    with pytest.raises(RunFileError, match="recorded by 2 processes, expected 3"):
        record(sharded, probe, shard=(0, 3), overwrite=True)
    with pytest.raises(RunFileError, match="files that are not of a run"):
        record(sharded, probe, overwrite=True)
    record(tmp_path / "plain", probe)
    with pytest.raises(RunFileError, match="recorded by one process"):
        record(tmp_path / "plain", probe, shard=(0, 2))
    shutil.copytree(sharded / FIRST, sharded / "shard-0001-of-0003")
    with pytest.raises(RunFileError, match="some of 2 and some of 3 processes"):
        Run(sharded).manifest  # noqa: B018
    assert Run(sharded / FIRST).steps == (0, 3)  # a shard is a run of its own


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 61), (0,), "first", (0.0, 2)])
def test_shard_that_cannot_be(tmp_path, probe, shard):
    with pytest.raises(InputError, match="shard|at least 2 probe samples for each of 61"):
        Recorder(small_net(), probe, tmp_path / "r", shard=shard)
    assert not (tmp_path / "r").exists()


def test_one_process_alone_records_a_run_without_shards(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r", shard=True) as recorder:
        recorder.snapshot(0)
    assert not Run(tmp_path / "r").shards


@pytest.mark.parametrize("damage", [{}, {"shard": 3}, {"shard": {"probe": 3}}])
def test_manifest_that_says_nothing_of_the_whole(sharded, damage, capsys):
    for name in (FIRST, SECOND):
        file = sharded / name / "manifest.json"
        manifest = json.loads(file.read_text())
        del manifest["shard"]
        file.write_text(json.dumps({**manifest, **damage}))
    assert command(["analyze", "-e", "binning", "-o", "-", str(sharded)]) == 3
    assert "under 'shard'" in capsys.readouterr().err


def train_in_parallel(rank, folder):
    """One of two processes: train with DDP and record a shard; the batches differ."""
    from torch.nn.parallel import DistributedDataParallel

    from infoplane.recording.loops.keras import KerasRecorder

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = DistributedDataParallel(small_net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.linspace(-1, 1, 200).reshape(40, 5)
    labels = torch.arange(40) % 2
    callback = KerasRecorder(
        (inputs, labels),
        f"{folder}/r",
        schedule="every:2",
        on_error="raise",
        batch_size=20,
        shard=True,
    )
    callback.set_model(model)
    callback.on_train_begin()
    for batch in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 5) + rank).square().sum().backward()
        optimizer.step()
        callback.on_train_batch_end(batch)
    callback.on_train_end()
    assert callback.recorder is not None
    with torch.no_grad():
        halves = [model.module(half) for half in inputs.split(20)]
        np.save(f"{folder}/{rank}.npy", torch.cat(halves))
    torch.distributed.destroy_process_group()


def test_two_processes_of_a_training_write_one_run(tmp_path, capsys, monkeypatch):
    torch.multiprocessing.spawn(train_in_parallel, (str(tmp_path),), nprocs=2)
    run = Run(tmp_path / "r")
    assert len(run.shards) == 2
    assert run.steps == (0, 2, 3)
    assert verify(run) == []
    for rank in (0, 1):
        expected = np.load(tmp_path / f"{rank}.npy")
        np.testing.assert_array_equal(run.activations(3, "out"), expected)
    monkeypatch.chdir(tmp_path)
    assert command(["inspect", "r"]) == 0
    assert "run of 2 processes" in capsys.readouterr().out
    assert command(["pack", "r", "r.h5"]) == 0
    values = []
    for name in ("r", "r.h5"):
        assert command(["analyze", name, "-q", "-j1", "-e", "binning", "-o", f"{name}.json"]) == 0
        rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
        values.append([(row["step"], row["layer"], row["value"]) for row in rows])
    assert values[0] == values[1] != []
    assert command(["plot", "r.json", "-q", "-o", "figures", "-f", "plane"]) == 0

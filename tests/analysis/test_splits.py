"""Train and test samples in one run: recorded together, analyzed apart."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from infoplane.analysis.selection import select_cells
from infoplane.analysis.subsamples import _part
from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError, NotFoundError, RunFileError
from infoplane.recording.probes.from_arrays import joined
from infoplane.recording.recorder import Recorder
from infoplane.results.recordings import describe_recordings
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import rescue, verify
from tests.conftest import infoplane_here as infoplane
from tests.conftest import small_net

RECORD = ("record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt")


def samples(n: int, seed: int) -> ProbeSet:
    inputs = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    return ProbeSet(inputs, (inputs[:, 0] > 0).astype(np.int64))


PARTS = {"train": samples(90, 1), "test": samples(40, 2)}


def snapshots(path, probe, **options) -> Run:
    net = small_net()
    with Recorder(net, probe, path, batch_size=32, **options) as recorder:
        recorder.snapshot(0, metrics={"loss": 1.0})
        for parameter in net.parameters():
            parameter.data *= 1.5
        recorder.snapshot(5)
    return Run(path)


def equal(one: ProbeSet, other: ProbeSet) -> None:
    np.testing.assert_array_equal(one.inputs, other.inputs)
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.fixture
def run(tmp_path) -> Run:
    import torch

    torch.manual_seed(0)
    return snapshots(tmp_path / "net-s3", PARTS)


def test_a_split_is_what_a_run_of_its_own_records(run, tmp_path):
    import torch

    assert run.splits == {"train": 90, "test": 40}
    for part in run.by_split():
        torch.manual_seed(0)
        alone = snapshots(tmp_path / part.split, PARTS[part.split])
        equal(part.probe, alone.probe)
        assert (part.name, part.group) == (f"net-s3[{part.split}]", f"net[{part.split}]")
        assert (part.layers, part.steps, part.splits) == (alone.layers, alone.steps, run.splits)
        for step in (0, 5):
            for layer in run.layers:
                found = part.activations(step, layer.name, verify=True)
                np.testing.assert_array_equal(found, alone.activations(step, layer.name))
        assert pickle.loads(pickle.dumps(part)) == part


@pytest.mark.parametrize("as_file", [False, True])
def test_splits_stay_with_packed_and_rescued_runs(run, tmp_path, as_file):
    copy = tmp_path / ("copy.h5" if as_file else "copy")
    pack(run, copy) if as_file else rescue(run, copy)
    assert verify(Run(copy)) == []
    for one, other in zip(run.by_split(), Run(copy).by_split(), strict=True):
        equal(one.probe, other.probe)
        assert one.content_hash() == other.content_hash()


def test_no_cell_has_samples_of_two_splits(run):
    cells = select_cells([run], ["act*"])
    assert [(part.split, len(part.probe.inputs)) for part in cells] == [("train", 90), ("test", 40)]
    chosen = select_cells([run], splits=["test"])
    assert [part.split for part in chosen] == ["test"]
    with pytest.raises(NotFoundError, match="no split 'val'; it has train, test"):
        select_cells([run], splits=["val"])
    train, test = describe_recordings(cells)
    assert (train["split"], train["n"], train["group"]) == ("train", 90, "net[train]")
    assert (test["split"], test["n"], test["group"]) == ("test", 40, "net[test]")
    assert train["content_hash"] != test["content_hash"]
    assert train["metrics"] == test["metrics"] == {"loss": [1.0, None]}


def test_parts_for_sampling_are_of_one_split(run):
    for part, wanted in zip(run.by_split(), (set(range(90)), set(range(90, 130))), strict=True):
        taken = [set(_part(part, 20, number, seed=0).kept.tolist()) for number in range(6)]
        assert all(len(rows) == 20 and rows <= wanted for rows in taken)


def test_nan_in_one_split_is_dropped_there(tmp_path):
    import torch

    net = small_net()

    def spoil(module, args, output):
        return torch.where(args[0][:, :1] == PARTS["test"].inputs[7, 0], torch.nan, output)

    net.fc1.register_forward_hook(spoil)
    with Recorder(net, PARTS, tmp_path / "run") as recorder:
        recorder.snapshot(0)
    cells = select_cells([Run(tmp_path / "run")], drop_nonfinite=True)
    assert [(part.split, part.dropped) for part in cells] == [("train", ()), ("test", (97,))]
    train, test = cells
    assert not train.spoiled(0)
    assert not test.spoiled(0)
    assert Run(tmp_path / "run", split="test").spoiled(0) == {layer.name for layer in test.layers}
    np.testing.assert_array_equal(test.probe.inputs, np.delete(PARTS["test"].inputs, 7, axis=0))


def test_gradients_are_those_of_the_first_split(tmp_path):
    import torch
    from torch.nn.functional import cross_entropy

    found = []
    for name, probe in (("both", PARTS), ("train", PARTS["train"])):
        torch.manual_seed(0)
        with Recorder(small_net(), probe, tmp_path / name) as recorder:
            recorder.snapshot(0, gradients=cross_entropy, gradient_batch_size=30)
        found.append(Run(tmp_path / name).step_info(0).gradients)
    assert found[0] == found[1]
    train, test = describe_recordings(select_cells([Run(tmp_path / "both")]))
    assert train["gradients"]
    assert not test["gradients"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ProbeSet(np.zeros((9, 4), np.float32), np.zeros(9, int)), r"inputs are .*5,\).*4,\)"),
        (ProbeSet(np.zeros((9, 5)), np.zeros(9, int)), "inputs are float32, .* float64"),
        (ProbeSet(np.zeros((9, 5), np.float32)), "labels are int64, .* absent in 'test'"),
    ],
)
def test_splits_that_differ_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        joined({"train": PARTS["train"], "test": other})
    with pytest.raises(InputError, match="named by letters"):
        joined({"a b": other})


@pytest.mark.parametrize(
    "splits",
    [
        5,
        [5],
        [{"name": "a"}],
        [{"name": "a", "n_samples": 130.0}],
        [{"name": "a", "n_samples": 65}] * 2,
        [{"name": "a", "n_samples": 131}],
        [{"name": "a", "n_samples": 1}, {"name": "b", "n_samples": 129}],
    ],
)
def test_a_manifest_with_other_splits_is_refused(run, splits):
    path = run.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["probe"]["splits"] = splits
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunFileError, match="splits"):
        select_cells([Run(run.path)])
    with pytest.raises(DataError, match="splits"):
        Run(run.path).probe  # noqa: B018


def test_command_line_records_and_compares_splits(project):
    for name, part in PARTS.items():
        np.savez(f"{name}.npz", inputs=part.inputs, labels=part.labels)
    splits = ("--split", "train=train.npz", "--split", "test=test.npz")
    done = infoplane(*RECORD, *splits, "--samples", "50", "-o", "net-s0")
    assert done.code == 0, done.err
    assert "90 samples" in done.out  # 50 of train, all 40 of test
    again = infoplane(*RECORD, *splits, "--samples", "50", "-o", "net-s0", "--resume")
    assert "3 of them kept" in again.out
    assert "train 50   test 40" in infoplane("inspect", "net-s0").out
    done = infoplane("analyze", "net-s0", "-e", "binning", "--layers", "act*", "-o", "r.json")
    assert done.code == 0, done.err
    results = json.loads(Path("r.json").read_text())
    assert [(r["run"], r["split"], r["n"]) for r in results["recordings"]] == [
        ("net-s0[train]", "train", 50),
        ("net-s0[test]", "test", 40),
    ]
    assert {(row["run"], row["n"]) for row in results["rows"]} == {
        ("net-s0[train]", 50),
        ("net-s0[test]", 40),
    }
    one = ("analyze", "net-s0", "-e", "binning", "--layers", "act*", "--split", "test")
    assert infoplane(*one, "-o", "t.json").code == 0
    values = [
        [(row["layer"], row["step"], row["quantity"], row["value"]) for row in rows]
        for rows in (
            json.loads(Path("t.json").read_text())["rows"],
            [row for row in results["rows"] if row["run"] == "net-s0[test]"],
        )
    ]
    assert values[0] == values[1]


def test_splits_of_the_configuration_start_from_its_file(project, monkeypatch):
    Path("infoplane.toml").write_text(
        '[record]\nmodel = "net.py:build"\ncheckpoints = "ckpt/*.pt"\noutput = "run"\n'
        'split = ["train=probe.npz", "test=probe.npz"]\n'
    )
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    done = infoplane("record")
    assert done.code == 0, done.err
    assert Run(project / "run").splits == {"train": 120, "test": 120}


def test_what_is_wrong_with_the_options_is_said(project):
    data = ("--data", "probe.npz", "-o", "run")
    for options, message in (
        (("--split", "probe.npz"), "expected NAME=FILE such as 'test=test.npz'"),
        (("--split", "probe=probe.npz"), "two probe sets are named 'probe'"),
    ):
        done = infoplane(*RECORD, *data, *options)
        assert (done.code, message in done.err) == (2, True), done.err
    np.savez("test.npz", inputs=np.zeros((9, 4), np.float32), labels=np.zeros(9, int))
    done = infoplane(*RECORD, *data, "--split", "test=test.npz")
    assert done.code == 3
    assert "error[IP" in done.err
    assert not Path("run").exists()

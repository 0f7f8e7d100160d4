"""Hostile files on the command line: one line, exit code 3, within 5 s and 2 GB, nothing run."""

import io
import json
import os
import pickle
import struct
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import pytest
import torch

from infoplane.cli.main import run as command
from infoplane.errors import InfoplaneError
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from tests.conftest import small_net
from tests.recording.test_pickles import HOSTILE as PICKLED
from tests.recording.test_probe_kinds import HOSTILE as PROBES
from tests.recording.test_tensor_files import F32, write
from tests.runs.test_hostile import (
    ACT,
    DATASETS,
    bomb,
    external_storage,
    hard_link_loop,
    limited,
    virtual,
)
from tests.runs.test_run import write_run

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def ended(*arguments):
    """Return exit code, stdout and stderr of a command in a process of limited time and memory."""

    def call():
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = command([str(argument) for argument in arguments])
        raise InfoplaneError(json.dumps([code, out.getvalue()[-800:], err.getvalue()[-800:]]))

    said = limited(call)
    assert said.startswith("InfoplaneError: "), said
    return json.loads(said.partition(": ")[2])


def refused(*arguments, naming):
    """Check that a command ends in one line that names a file, with its hint."""
    code, out, err = ended(*arguments)
    lines = err.splitlines()
    assert code == 3, (out, err)
    assert out == ""
    assert lines[0].startswith("error[IP3")
    assert str(naming) in lines[0]
    assert all(line.startswith("  hint: ") for line in lines[1:])
    assert len(lines) <= 2


def attacked(path, probe, fifo, attack, *, packed):
    """Write a run whose first layer at step 7 is replaced by something hostile."""
    write_run(path / "s0", probe, names=("fc1", "fc2"))
    run = Run(path / "s0")
    file, act = run.step_file(7), ACT
    if packed:
        pack(run, path / "s0.h5")
        file, act = path / "s0.h5", f"steps/step_000000000007/{ACT}"
    os.mkfifo(fifo)  # whoever opens it waits until the alarm
    with h5py.File(file, "a") as opened:
        if packed:
            opened.move(act.removesuffix("/L0000/act"), "layers")
        del opened[ACT]
        attack(opened, fifo)
        if packed:
            opened.move("layers", act.removesuffix("/L0000/act"))
    return file if packed else run.path


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(False, id="folder"),
        pytest.param(True, id="packed", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("attack", DATASETS, ids=lambda attack: attack.__name__)
def test_dataset_of_a_run_inspected(tmp_path, probe, attack, packed):
    run = attacked(tmp_path, probe, tmp_path / "secret", attack, packed=packed)
    code, out, err = ended("inspect", "--verify", run)
    assert (code, len(err.splitlines())) == (3, 1)  # the hint
    assert ("s0.h5" if packed else "step_000000000007.h5") in out
    assert len(out.splitlines()) <= 2  # one for each layer


OFTEN = (hard_link_loop, external_storage, virtual, bomb)
ANALYZED = [
    pytest.param(attack, marks=() if attack in OFTEN else pytest.mark.slow, id=attack.__name__)
    for attack in DATASETS
]


@pytest.mark.parametrize("attack", ANALYZED)
def test_dataset_of_a_run_analyzed(tmp_path, probe, attack):
    run = attacked(tmp_path, probe, tmp_path / "secret", attack, packed=False)
    one_cell = ("--layers", "fc1", "--steps", "7", "-q", "-j1", "-e", "binning", "--no-cache")
    results = tmp_path / "r.json"
    refused("analyze", *one_cell, "-o", results, run, naming="step_000000000007.h5")
    assert not results.exists()


@pytest.mark.parametrize("name", PROBES)
def test_probe_set(project, name, monkeypatch):
    monkeypatch.setattr("infoplane.recording.probes.hdf5._LEAST", 2**20)  # GiB take long to write
    reference, save = PROBES[name]
    save()
    record = ("record", "-q", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt", "-o", "run")
    refused(*record, "--data", reference, naming="bad")
    assert not Path("run").exists()


def torch_file(content, *, zipped=True):
    torch.save(content, "bad_4.pt", _use_new_zipfile_serialization=zipped)


def expanded():
    state = small_net().state_dict()
    torch_file({**state, "fc1.weight": torch.zeros(1).expand(2**15, 2**15)})


def tensors(header):
    write(header, bytes(8), "bad_4.safetensors")


def raw(name, data):
    Path(name).write_bytes(data)


STATE = small_net().state_dict()
CHECKPOINTS = {
    **{
        f"{name}, zipped {zipped}": lambda name=name, zipped=zipped: torch_file(
            {"model": STATE, "beside": PICKLED[name]}, zipped=zipped
        )
        for index, name in enumerate(PICKLED)
        for zipped in (index % 2 == 0,)
    },
    "plain pickle": lambda: raw("bad_4.pt", pickle.dumps(PICKLED["system"])),
    "expanded": expanded,
    "empty": lambda: raw("bad_4.pt", b""),
    "truncated": lambda: raw("bad_4.pt", Path("ckpt/epoch_2.pt").read_bytes()[:700]),
    "text": lambda: raw("bad_4.pt", b"hello, world"),
    "fifo": lambda: os.mkfifo("bad_4.pt"),
    "header of 2**62": lambda: raw("bad_4.safetensors", struct.pack("<Q", 2**62) + b"{}"),
    "tensor of 4 TiB": lambda: tensors({"fc1.weight": {**F32, "shape": [2**40]}}),
    "tensor beyond 64 bits": lambda: tensors({"fc1.weight": {**F32, "shape": [2**62, 2**62]}}),
    "deep header": lambda: write(b"[" * 100_000, b"", "bad_4.safetensors"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint(project, name):
    CHECKPOINTS[name]()
    record = ("record", "-q", "--model", "net.py:build", "--data", "probe.npz", "-o", "run")
    refused(*record, "--checkpoints", "bad_4.*", naming="bad_4")
    assert not Path("executed").exists()
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "r.json"),
        ("plot", "r.json"),
        ("check", "r.json"),
        ("compare", "r.json", "r.json"),
        ("merge", "r.json", "-o", "merged.json"),
        ("export", "--to", "csv", "r.json", "-o", "r.csv"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_results_that_are_a_pipe(project, arguments):
    os.mkfifo("r.json")
    refused(*arguments, naming="r.json")

"""Checkpoints that hold more than tensors."""

import argparse
import enum
import os
import pickle
import shlex
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.errors import DataError, RunFileError
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.pickles import Inert, read_pickle
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import small_net


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Kind(enum.Enum):
    LARGE = 3


class Settings(dict):
    pass


class History(list):
    pass


class Watched:
    """Tells when it is made, which it must not be."""

    def __init__(self):
        self.lr = 0.1

    def __setstate__(self, state):
        Path("executed").touch()


BESIDE = {
    "namespace": argparse.Namespace(lr=1),
    "path": Path("x"),
    "enum": Kind.LARGE,
    "object": Watched(),
    "words": np.array(["tanh", "relu"]),
    "default": defaultdict(list, {1: [2]}),
    "settings": Settings(lr=0.1),
    "history": History([1, 2]),
    "function": torch.nn.functional.relu,
    "nested": OrderedDict(a=[{"b": (Kind.LARGE, slice(3))}]),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", BESIDE)
def test_objects_beside_the_weights_become_inert(name, zipped):
    net = small_net()
    content = {"model": net.state_dict(), "step": 5, "beside": BESIDE[name]}
    torch.save(content, "c.pt", _use_new_zipfile_serialization=zipped)
    allowed = set(torch.serialization.get_safe_globals())
    weights = load_weights(Path("c.pt"))
    assert weights.step == 5
    assert all(map(torch.equal, weights.state.values(), net.state_dict().values()))
    assert not Path("executed").exists()
    assert set(torch.serialization.get_safe_globals()) == allowed
    beside = read_pickle(Path("c.pt"))["beside"]
    plain = {"default": {1: [2]}, "settings": {"lr": 0.1}, "history": [1, 2]}
    if name in plain:
        assert beside == plain[name]
        assert type(beside) in (dict, list)
    elif name == "function":
        assert issubclass(beside, Inert)
    elif name == "nested":
        assert all(isinstance(one, Inert) for one in beside["a"][0]["b"])
    elif name == "words":
        assert not vars(beside)
    else:
        assert isinstance(beside, Inert)
        assert not vars(beside)


class Calls:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


HOSTILE = {
    "system": Calls(os.system, "touch executed"),
    "eval": Calls(eval, "open('executed', 'w')"),
    "exec": Calls(exec, "open('executed', 'w')"),
    "getattr": Calls(getattr, "x", "upper"),
    "open": Calls(open, "executed", "w"),
    "popen": Calls(subprocess.Popen, ["touch", "executed"]),
    "import": Calls(__import__, "os"),
    "runpy": Calls(__import__("runpy").run_path, "x.py"),
    "loads": Calls(pickle.loads, b"cposix\nsystem\n."),
    "hub": Calls(torch.hub.load, "someone/model"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_functions_that_run_code_are_refused_by_name(name, zipped):
    content = {"model": small_net().state_dict(), "beside": HOSTILE[name]}
    torch.save(content, "c.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"^c\.pt: refused: .* which could run code") as error:
        load_weights(Path("c.pt"))
    assert "weights_only=False" not in error.value.hint
    assert not Path("executed").exists()


def test_an_unknown_function_is_not_called():
    evil = Calls(np.savetxt, "executed", [1])
    torch.save({"model": small_net().state_dict(), "x": evil}, "c.pt")
    load_weights(Path("c.pt"))
    Path("plain.pt").write_bytes(pickle.dumps(evil))
    with pytest.raises(DataError, match=r"plain\.pt: "):
        load_weights(Path("plain.pt"))
    assert not Path("executed").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_is_refused(zipped):
    torch.save(small_net(), "whole.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"whole\.pt: ") as error:
        load_weights(Path("whole.pt"))
    assert "model.state_dict()" in error.value.hint


def test_torchscript_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(small_net()), "s.pt")
    with pytest.raises(DataError, match=r"s\.pt: refused: it is a TorchScript program"):
        load_weights(Path("s.pt"))


def test_compressed_members_are_refused():
    torch.save({"w": torch.zeros(2**22)}, "c.pt")
    with zipfile.ZipFile("c.pt") as one, zipfile.ZipFile("bomb.pt", "w", 8) as other:
        for name in one.namelist():
            other.writestr(name, one.read(name))
    assert Path("bomb.pt").stat().st_size < 2**17
    with pytest.raises(RunFileError, match=r"bomb\.pt: expected an archive of torch\.save"):
        load_weights(Path("bomb.pt"))


def test_numpy_numbers_beside_the_weights_load():
    content = {
        "model": small_net().state_dict(),
        "epoch": np.int64(4),
        "dtype": np.dtype("float32"),
        "metrics": {"loss": np.float32(0.25), "auc": np.float64(0.5), "best": np.bool_(True)},
        "name": np.str_("tanh"),
        "accuracy": torch.tensor(0.75),
    }
    torch.save(content, "c.pt")
    allowed = torch.serialization.get_safe_globals()
    weights = load_weights(Path("c.pt"))
    assert (weights.step, weights.epoch) == (4, 4.0)
    assert weights.metrics == {"loss": 0.25, "auc": 0.5, "accuracy": 0.75}
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


@pytest.mark.parametrize("value", [np.zeros(1, "O,i4")[0], np.dtype("O"), np.dtype("i4,O")])
def test_other_numpy_objects_are_refused(value):
    torch.save({"model": small_net().state_dict(), "extra": value}, "c.pt")
    with pytest.raises(DataError, match="refused"):
        load_weights(Path("c.pt"))


class Marked(torch.Tensor):
    pass


def test_tensors_of_a_class_of_its_own_are_refused_by_its_name():
    state = {key: value.as_subclass(Marked) for key, value in small_net().state_dict().items()}
    torch.save(state, "c.pt")
    with pytest.raises(DataError, match=r"refused.*needs tests\.recording\.test_pickles\.Marked"):
        load_weights(Path("c.pt"))


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_conversion_that_the_hint_tells_works(key):
    torch.save({key: small_net().state_dict(), "extra": np.dtype("O")}, "c 1.pt")
    with pytest.raises(DataError, match="refused") as error:
        load_weights(Path("c 1.pt"))
    before, _, code = error.value.hint.partition("python -c ")
    assert "if you trust the file" in before
    subprocess.run(f"{shlex.quote(sys.executable)} -c {code}", shell=True, check=True)
    load_into(small_net(), load_weights(Path("c 1.weights")), Path("c 1.weights"))

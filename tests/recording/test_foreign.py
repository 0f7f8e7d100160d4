"""Weights that are DTensors, of FSDP, or arrays of NumPy."""

import importlib
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from infoplane.errors import DataError, RunFileError
from infoplane.recording.checkpoints.foreign import _Array, _Distributed, _whole
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import NET, small_net
from tests.processes import LONG


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def loads(file, state, step=None):
    target = small_net()
    weights = load_weights(Path(file))
    load_into(target, weights, Path(file))
    assert all(map(torch.equal, state.values(), target.state_dict().values()))
    assert weights.step == step


FSDP = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, distribute_tensor
from net import build

rank, world = int(sys.argv[1]), int(sys.argv[2])
where = Path("meet").resolve().as_uri()
dist.init_process_group("gloo", init_method=where, rank=rank, world_size=world)
mesh = init_device_mesh("cpu", (world,))
torch.manual_seed(0)
plain = build().state_dict()
if rank == 0:
    torch.save(plain, "plain.pt")
copies = {k: distribute_tensor(v, mesh, [Replicate()]) for k, v in plain.items()}
model = fully_shard(build(), mesh=mesh)
split = {k: distribute_tensor(plain[k], mesh, v.placements) for k, v in model.state_dict().items()}
model.load_state_dict(split)
#HINT
if rank == 0:
    parts = model.state_dict()
    torch.save(copies, "copies_step_1.pt")
    torch.save({"app": 1, "model": copies, "step": 3}, "nested.pt")
    torch.save(copies, "legacy_step_1.pt", _use_new_zipfile_serialization=False)
    torch.save(parts, "parts_step_1.pt")
    total = dist.tensor.DTensor.from_local(torch.ones(2), mesh, [dist.tensor.Partial()])
    torch.save({"w": total}, "sum.pt")
dist.barrier()
dist.destroy_process_group()
"""


def trained(world, hint=""):
    Path("net.py").write_text(NET)
    Path("fsdp.py").write_text(FSDP.replace("#HINT", hint))
    command = [sys.executable, "fsdp.py"]
    started = [subprocess.Popen([*command, str(rank), str(world)]) for rank in range(world)]
    codes = {process.wait(LONG) for process in started}
    assert codes <= {0, -signal.SIGABRT}  # gloo may abort on its way out, after the last barrier
    return torch.load("plain.pt")


def test_dtensors_are_read_if_whole_and_else_the_hint_leads_to_a_whole_file():
    part = SimpleNamespace(_local_tensor=torch.ones(2), shape=(4,))
    with pytest.raises(DataError) as error:
        _whole(part, "w", Path("c.pt"))
    words = error.value.hint
    imported = words[words.index("from torch") : words.index(";")]
    call = words[words.index("state = ") : words.index(", and the first")]
    save = words[words.index("torch.save(") :]
    state = trained(2, f"{imported}\n{call}\nif rank == 0:\n    {save}")
    with pytest.raises(DataError, match=r"expected a whole tensor of shape .* found the part") as e:
        load_weights(Path("parts_step_1.pt"))
    assert e.value.hint == words
    for name in ("copies_step_1.pt", "legacy_step_1.pt", "step_100.pt"):
        loads(name, state)
    loads("nested.pt", state, step=3)
    importlib.import_module("torch.distributed.tensor")  # torch now knows its classes by itself
    before = set(torch.serialization.get_safe_globals())
    for _ in range(5):
        with pytest.raises(DataError, match=r"sum\.pt: refused.*a sum over processes"):
            load_weights(Path("sum.pt"))
        with pytest.raises(DataError, match="found the part"):
            load_weights(Path("parts_step_1.pt"))
    loads("copies_step_1.pt", state)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("convert", [np.asarray, np.asfortranarray, lambda a: a.astype(">f4")])
def test_arrays_of_numpy_are_weights(convert, zipped):
    net = small_net()
    state = {key: convert(value.numpy()) for key, value in net.state_dict().items()}
    for name, content in (
        ("step_1.pt", state),
        ("nested.pt", {"model": state, "epoch": np.array(4), "words": np.array(["a"])}),
    ):
        torch.save(content, name, _use_new_zipfile_serialization=zipped)
    loads("step_1.pt", net.state_dict())
    loads("nested.pt", net.state_dict(), step=4)


@pytest.mark.parametrize("array", [np.arange(3), np.array(2.5), np.zeros((0, 2)), np.array([True])])
def test_arrays_keep_shape_dtype_and_values(array):
    torch.save({"w": array}, "c.pt")
    found = load_weights(Path("c.pt")).state["w"].numpy()
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(found, array)


class _Forged:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def test_arrays_whose_bytes_do_not_fit_their_shape_hold_nothing():
    reconstruct = np.zeros(1).__reduce__()[0]
    forged = (reconstruct, (np.ndarray, (0,), b"b"), (1, (10**9,), np.dtype("f8"), False, b"1234"))
    torch.save({"model": {"w": torch.ones(1)}, "beside": _Forged(*forged)}, "c.pt")
    assert list(load_weights(Path("c.pt")).state) == ["w"]
    torch.save({"w": _Forged(*forged)}, "c.pt")
    with pytest.raises(DataError, match=r"c\.pt: expected a state dict"):
        load_weights(Path("c.pt"))


def test_stand_ins_without_what_they_stand_for_are_damage():
    tensor = torch.Tensor._make_wrapper_subclass(_Distributed, (3,))
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        tensor + 1
    assert _Array().values is None
    with pytest.raises(RunFileError, match="no such file"):
        load_weights(Path("none.pt"))

"""Weights in the formats that training libraries write."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, NotFoundError, RunFileError
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import small_net
from tests.recording.test_tensor_files import write


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save_safetensors(state, path, metadata=None):
    """Write the format by hand, so that the tests need no library for it."""
    at, header, data = 0, {"__metadata__": metadata or {"format": "pt"}}, b""
    for name, tensor in state.items():
        raw = np.ascontiguousarray(tensor.numpy()).tobytes()
        span = [at, at + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": span}
        at, data = at + len(raw), data + raw
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(header, data, path)


def save_shards(state, folder):
    names = list(state)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    halves = names[:3], names[3:]
    for file, half in zip(files, halves, strict=True):
        save_safetensors({name: state[name] for name in half}, f"{folder}/{file}")
    weight_map = {n: f for f, half in zip(files, halves, strict=True) for n in half}
    index = Path(folder, "model.safetensors.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return index


def assert_loads(path, source, **options):
    target = small_net()
    left = load_into(target, load_weights(Path(path), **options), Path(path))
    assert all(map(torch.equal, source.state_dict().values(), target.state_dict().values()))
    return left


def test_safetensors_with_step_in_its_metadata():
    net = small_net()
    save_safetensors(
        net.state_dict(), "last.safetensors", {"step": "40", "epoch": "2", "loss": "1"}
    )
    assert_loads("last.safetensors", net)
    weights = load_weights(Path("last.safetensors"))
    assert (weights.step, weights.epoch, weights.metrics) == (40, 2.0, {"loss": 1.0})


def test_shards_by_their_index_or_folder():
    net = small_net()
    index = save_shards(net.state_dict(), "checkpoint-500")
    assert_loads(index, net)
    assert_loads("checkpoint-500", net)
    with pytest.raises(DataError, match="one shard of a checkpoint") as error:
        load_weights(Path("checkpoint-500/model-00001-of-00002.safetensors"))
    assert "index" in error.value.hint


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"w": "../outside.safetensors"}, "beside the index"),
        ({"w": "/etc/passwd"}, "beside the index"),
        ({"w": ".."}, "beside the index"),
        ({"w": ""}, "beside the index"),
        ({"w": "missing.safetensors"}, "no such file, though"),
        ({"w": 3}, "weight_map"),
        ([], "weight_map"),
        ({"other": "model-00001-of-00002.safetensors"}, "'other' is in none of the shards"),
    ],
)
def test_index_that_leads_elsewhere(weight_map, message):
    save_shards(small_net().state_dict(), "c")
    index = Path("c/model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(RunFileError, match=message):
        load_weights(index)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff"])
def test_index_that_is_no_json(text):
    Path("m.index.json").write_text(text)
    with pytest.raises(RunFileError, match=r"m\.index\.json: "):
        load_weights(Path("m.index.json"))


def test_hugging_face_folder_tells_step_epoch_and_metrics():
    net = small_net()
    save_safetensors(net.state_dict(), "out/checkpoint-20/model.safetensors")
    history = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}, {"step": 20, "eval_loss": 1.5}]
    state = {"global_step": 20, "epoch": 0.5, "log_history": history}
    Path("out/checkpoint-20/trainer_state.json").write_text(json.dumps(state))
    assert_loads("out/checkpoint-20", net)
    weights = load_weights(Path("out/checkpoint-20"))
    assert (weights.step, weights.epoch) == (20, 0.5)
    assert weights.metrics == {"loss": 1.0, "eval_loss": 1.5}


def test_folder_of_a_training():
    state = small_net().state_dict()
    for step in (100, 20):
        save_safetensors(state, f"out/checkpoint-{step}/model.safetensors")
        Path(f"out/checkpoint-{step}/optimizer.pt").touch()
    save_safetensors(state, "out/model.safetensors")  # the last model once more
    folders = [Path("out/checkpoint-20"), Path("out/checkpoint-100")]
    for pattern in ("out", "out/", "out/checkpoint-*"):
        found = find_checkpoints([pattern])
        assert [(c.path, c.step) for c in found] == list(zip(folders, (20, 100), strict=True))
    assert find_checkpoints(["out/model.safetensors"])[0].step is None


def test_folder_of_lightning(caplog):
    folder = Path("lightning_logs/version_0/checkpoints")
    folder.mkdir(parents=True)
    for name in ("epoch=1-step=40.ckpt", "epoch=0-step=20.ckpt", "last.ckpt"):
        (folder / name).touch()
    assert [c.step for c in find_checkpoints(["lightning_logs/version_0"])] == [20, 40]
    assert "left out, without a step in their name" in caplog.text
    assert "last.ckpt" in caplog.text


def test_folder_without_checkpoints_and_what_is_no_file():
    Path("empty").mkdir()
    with pytest.raises(NotFoundError, match="empty: the folder holds no checkpoint"):
        find_checkpoints(["empty"])
    os.mkfifo("step_1.pt")
    with pytest.raises(RunFileError, match=r"step_1\.pt: expected a regular file"):
        find_checkpoints(["step_1.pt"])
    Path("dcp").mkdir()
    Path("dcp/.metadata").touch()
    with pytest.raises(DataError, match="distributed checkpoint") as error:
        find_checkpoints(["dcp"])
    assert "dcp_to_torch dcp dcp.pt" in error.value.hint


def test_names_of_a_surrounding_module():
    net = small_net()
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(2)}}, "c.ckpt")
    assert assert_loads("c.ckpt", net).unexpected == ("loss.weight",)
    torch.save({f"a.b.{name}": value for name, value in net.state_dict().items()}, "c.ckpt")
    assert not assert_loads("c.ckpt", net)


def test_two_models_in_one_checkpoint_need_a_name():
    one, other = small_net(), small_net()
    state = {
        f"{part}.{name}": value
        for part, net in (("student", one), ("teacher", other))
        for name, value in net.state_dict().items()
    }
    torch.save({"state_dict": state}, "c.ckpt")
    with pytest.raises(DataError, match="the model could be student or teacher") as error:
        assert_loads("c.ckpt", one)
    assert "--weights-key student" in error.value.hint
    assert_loads("c.ckpt", other, key="teacher")
    torch.save({"ema": {"model": other.state_dict()}, "model": one.state_dict()}, "c.pt")
    assert_loads("c.pt", one)
    assert_loads("c.pt", other, key="ema.model")
    with pytest.raises(DataError, match="no weights under 'swa'; there is"):
        load_weights(Path("c.pt"), key="swa")


def test_weights_of_an_inner_model():
    net = small_net()
    torch.save(net.state_dict(), "c.pt")
    outer = nn.ModuleDict({"body": small_net(), "head": nn.Linear(2, 2)})
    with pytest.raises(DataError, match=r"missing head\.weight, head\.bias$"):
        load_into(outer, load_weights(Path("c.pt")), Path("c.pt"))
    left = load_into(outer, load_weights(Path("c.pt")), Path("c.pt"), strict=False)
    assert left.missing == ("head.weight", "head.bias")
    assert torch.equal(outer["body"].fc1.weight, net.fc1.weight)


def test_what_does_not_match_is_listed():
    state = small_net().state_dict()
    state["extra"] = torch.zeros(1)
    state["out.weight"] = torch.zeros(9, 3)
    del state["fc2.bias"]
    torch.save(state, "c.pt")
    net = small_net()
    before = net.fc2.bias.clone()
    with pytest.raises(DataError, match="missing fc2.bias; unexpected extra; of another shape"):
        load_into(net, load_weights(Path("c.pt")), Path("c.pt"))
    left = load_into(net, load_weights(Path("c.pt")), Path("c.pt"), strict=False)
    assert left.missing == ("fc2.bias",)
    assert left.unexpected == ("extra",)
    assert left.reshaped == ("out.weight (2, 3), found (9, 3)",)
    assert torch.equal(net.fc1.weight, state["fc1.weight"])
    assert torch.equal(net.fc2.bias, before)
    torch.save({"other": torch.zeros(1)}, "d.pt")
    with pytest.raises(DataError, match="none of the weights fit"):
        load_into(net, load_weights(Path("d.pt")), Path("d.pt"), strict=False)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 3), nn.Linear(3, 7, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("positions", torch.arange(4), persistent=False)


def test_tied_weights_may_stand_once():
    state = {"embed.weight": torch.randn(7, 3)}
    save_safetensors(state, "m.safetensors")
    model = Tied()
    assert not load_into(model, load_weights(Path("m.safetensors")), Path("m.safetensors"))
    assert torch.equal(model.head.weight, state["embed.weight"])
    assert model.head.weight is model.embed.weight


@pytest.mark.parametrize(("positions", "fits"), [(torch.arange(4), True), (torch.ones(4), False)])
def test_buffer_that_the_model_makes_itself(positions, fits):
    torch.save({**Tied().state_dict(), "positions": positions}, "c.pt")
    weights = load_weights(Path("c.pt"))
    if fits:
        assert not load_into(Tied(), weights, Path("c.pt"))
    else:
        with pytest.raises(DataError, match="unexpected positions"):
            load_into(Tied(), weights, Path("c.pt"))


def test_tensor_that_repeats_one_value_is_not_unfolded():
    torch.save({"0.weight": torch.zeros(1).expand(2**14, 2**16), "0.bias": torch.zeros(3)}, "c.pt")
    assert Path("c.pt").stat().st_size < 4000
    weights = load_weights(Path("c.pt"))
    with pytest.raises(DataError, match=r"expected shape \(3, 5\), found \(16384, 65536\)"):
        load_into(nn.Sequential(nn.Linear(5, 3)), weights, Path("c.pt"))
    with pytest.raises(DataError, match="repeats values that the file holds once"):
        load_into(nn.Sequential(nn.LazyLinear(3)), weights, Path("c.pt"))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, 5).to_sparse(), "expected a dense tensor, found sparse_coo"),
        (torch.zeros(4, 5, device="meta"), "saved without its values"),
    ],
)
def test_tensors_that_would_load_as_something_else(tensor, message):
    torch.save({**small_net().state_dict(), "fc1.weight": tensor}, "c.pt")
    with pytest.raises((DataError, RunFileError), match=message):
        load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))


def test_keras_file_is_named():
    Path("m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(RunFileError, match="an HDF5 file, as Keras writes"):
        load_weights(Path("m.h5"))


@pytest.fixture
def exported():
    torch.manual_seed(0)
    net = small_net().eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.zeros(3, 5),), dynamic_shapes=(batch,))
    torch.export.save(program, "m.pt2")
    return net


def test_exported_program_is_code_and_needs_trust(exported):
    for load in (load_model, lambda name: load_weights(Path(name))):
        with pytest.raises(DataError, match=r"m\.pt2: refused: .* is code: .*unpickles") as error:
            load("m.pt2")
        assert "--trust-model" in error.value.hint
    model = load_model("m.pt2", trust_model=True)
    x = torch.randn(7, 5)
    assert torch.equal(model(x), exported(x))
    assert [n for n, _ in model.named_children()] == [n for n, _ in exported.named_children()]
    load_into(model, load_weights(Path("m.pt2"), trust_model=True), Path("m.pt2"))
    Path("n.pt2").write_bytes(Path("m.pt2").read_bytes()[:300])
    with pytest.raises(RunFileError, match=r"n\.pt2: not a readable \.pt2 file"):
        load_model("n.pt2", trust_model=True)


def test_average_alone_in_a_checkpoint_is_found():
    one, other = small_net(), small_net()
    torch.save({"ema": one.state_dict()}, "c.pt")
    assert_loads("c.pt", one)
    torch.save({"ema": other.state_dict(), "model": one.state_dict()}, "c.pt")
    assert_loads("c.pt", one)

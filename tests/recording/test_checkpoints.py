import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, NotFoundError, RunFileError
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import small_net


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("pattern", ["locked", "locked/*.pt", "locked/**/*.pt"])
def test_folder_that_may_not_be_listed_is_not_taken_for_empty(pattern, monkeypatch):
    Path("locked").mkdir()
    real = os.scandir

    def refused(folder="."):
        if str(folder).startswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(RunFileError, match=r"locked: cannot be read \(Permission denied\)"):
        find_checkpoints([pattern])


def test_nothing_matches():
    with pytest.raises(NotFoundError, match=r"no checkpoint file matches 'x/\*.pt'"):
        find_checkpoints(["x/*.pt"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    ],
)
def test_usual_layouts_load(wrap):
    source, target = small_net(), small_net()
    torch.save(wrap(source.state_dict()), "c.pt")
    load_into(target, load_weights(Path("c.pt")), Path("c.pt"))
    assert all(map(torch.equal, source.state_dict().values(), target.state_dict().values()))


def test_buffers_of_one_number_are_no_metrics():
    torch.save(nn.BatchNorm1d(2).state_dict(), "bare.pt")
    torch.save({"step": torch.tensor(7), "weight": torch.ones(2)}, "named.pt")
    for name in ("bare.pt", "named.pt"):
        weights = load_weights(Path(name))
        assert (weights.step, weights.metrics) == (None, {})


def test_step_epoch_and_metrics_in_the_file():
    content = {
        "model": small_net().state_dict(),
        "epoch": 4,
        "global_step": 40,
        "best": True,
        "metrics": {"test_loss": 0.25},
        "train_loss": 1,
    }
    torch.save(content, "c.pt")
    weights = load_weights(Path("c.pt"))
    assert (weights.step, weights.epoch) == (40, 4.0)
    assert weights.metrics == {"test_loss": 0.25, "train_loss": 1.0}


def test_keys_that_do_not_fit_are_named():
    state = small_net().state_dict()
    state["fc9.weight"] = state.pop("fc1.weight")
    torch.save(state, "c.pt")
    with pytest.raises(DataError, match=r"missing fc1.weight; unexpected fc9.weight"):
        load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))


def test_shapes_that_do_not_fit_are_named():
    state = small_net().state_dict()
    state["fc1.weight"] = torch.zeros(4, 6)
    torch.save(state, "c.pt")
    with pytest.raises(DataError, match=r"fc1.weight: expected shape \(4, 5\), found \(4, 6\)"):
        load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))


@pytest.mark.parametrize("size", [0, 1, 4, 100, 600])
def test_truncated_file(size):
    torch.save(small_net().state_dict(), "c.pt")
    Path("c.pt").write_bytes(Path("c.pt").read_bytes()[:size])
    with pytest.raises((RunFileError, DataError), match=r"c\.pt"):
        load_weights(Path("c.pt"))


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_file_is_told_in_one_line(zipped):
    torch.save(small_net().state_dict(), "c.pt", _use_new_zipfile_serialization=zipped)
    data, rng, told = Path("c.pt").read_bytes(), np.random.default_rng(0), []
    for at in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[at] = rng.integers(256)
        Path("c.pt").write_bytes(damaged)
        try:
            load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))
        except (RunFileError, DataError) as error:
            told.append(str(error))
    assert len(told) > 20
    assert all("c.pt" in text and "\n" not in text for text in told)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"a": 1}, {"model": {"w": 3}}])
def test_no_state_dict(content):
    torch.save(content, "c.pt")
    with pytest.raises(DataError, match="expected a state dict"):
        load_weights(Path("c.pt"))


def test_random_bytes():
    Path("c.pt").write_bytes(bytes(range(256)) * 40)
    with pytest.raises((RunFileError, DataError), match=r"c\.pt"):
        load_weights(Path("c.pt"))


@pytest.mark.parametrize("content", [{}, {"model": {}, "epoch": 3}])
def test_empty_state_dict_fits_a_model_without_parameters(content):
    torch.save(content, "c.pt")
    load_into(nn.Sequential(nn.Flatten(), nn.ReLU()), load_weights(Path("c.pt")), Path("c.pt"))
    with pytest.raises(DataError, match=r"missing fc1\.weight"):
        load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))


def test_lazy_layers_take_the_shape_of_the_weights():
    saved = nn.Sequential(nn.Linear(5, 3))
    torch.save(saved.state_dict(), "c.pt")
    model = nn.Sequential(nn.LazyLinear(3))
    load_into(model, load_weights(Path("c.pt")), Path("c.pt"))
    assert torch.equal(model[0].weight, saved[0].weight)
    torch.save(nn.Sequential(nn.LazyLinear(3)).state_dict(), "lazy.pt")
    with pytest.raises((DataError, RunFileError), match=r"lazy\.pt"):
        load_into(saved, load_weights(Path("lazy.pt")), Path("lazy.pt"))


def test_text_is_not_called_a_pickle():
    Path("c.pt").write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(RunFileError, match=r"c\.pt: not a PyTorch checkpoint \(17 bytes"):
        load_weights(Path("c.pt"))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400])
def test_numbers_in_a_file_that_are_no_step(value):
    content = {"model": small_net().state_dict(), "step": value, "epoch": value, "size": 10**400}
    torch.save(content, "c.pt")
    weights = load_weights(Path("c.pt"))
    assert (weights.step, weights.epoch, weights.metrics) == (None, None, {})


def test_model_that_refuses_its_weights_is_told_in_one_line():
    class Strict(nn.Linear):
        def _load_from_state_dict(self, *args):
            raise OSError("no\nlicence")

    torch.save(Strict(2, 2).state_dict(), "c.pt")
    with pytest.raises(DataError, match=r"c\.pt: the weights do not fit the model: no licence"):
        load_into(Strict(2, 2), load_weights(Path("c.pt")), Path("c.pt"))

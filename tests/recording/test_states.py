"""Where the weights are in a checkpoint: what a hint or a warning says leads to them."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.errors import DataError, RunFileError
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.session import record
from tests.conftest import small_net

X = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def states():
    torch.manual_seed(0)
    return small_net().state_dict(), small_net().state_dict()


def optimizer():
    net = small_net()
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 5)).sum().backward()
    adam.step()
    return adam.state_dict()


ONE, OTHER = states()


def assert_found(weights, state):
    assert weights.state.keys() == state.keys()
    assert all(torch.equal(weights.state[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"models": [ONE]}, "models.0"),
        ({"models": [{"a": torch.ones(1)}, ONE]}, "models.1"),
        ({"models": (ONE,)}, "models.0"),
        ({"model": [ONE]}, "model.0"),
        ({"models": {0: ONE}}, "models.0"),
        ({"state": {"model": ONE}}, "state.model"),
        ({"state": {"model": ONE}, "optimizer": optimizer()}, "state.model"),
        ({"model_ema": ONE, "rng": {"cpu": torch.zeros(9)}}, "model_ema"),
        ({"model": {"state_dict": ONE, "args": {"lr": 1.0}}}, "model.state_dict"),
        ({"callbacks": [{"ema": {"weights": ONE}}]}, "callbacks.0.ema.weights"),
        ({"generator": ONE, "losses": [0.5] * 1000}, "generator"),
    ],
)
def test_hint_names_a_key_that_leads_to_the_weights(content, key):
    torch.save(content, "c.pt")
    for asked in (None, "swa"):
        with pytest.raises(DataError, match="expected a state dict|no weights under") as error:
            load_weights(Path("c.pt"), key=asked)
        told = re.search(r"--weights-key ([\w.]+)", error.value.hint)
        assert told is not None
        assert told[1] == key
    assert_found(load_weights(Path("c.pt"), key=key), ONE)


@pytest.mark.parametrize("key", ["models", "models.1", "models.x", "other"])
def test_key_beside_the_weights_is_told_where_they_are(key):
    torch.save({"models": [ONE]}, "c.pt")
    with pytest.raises(DataError, match="no weights under") as error:
        load_weights(Path("c.pt"), key=key)
    assert "--weights-key models.0" in error.value.hint


def test_two_places_are_both_told():
    torch.save({"generator": ONE, "discriminator": {"w": torch.ones(1)}}, "c.pt")
    with pytest.raises(DataError) as error:
        load_weights(Path("c.pt"))
    assert "--weights-key generator; also under discriminator" in error.value.hint


AVERAGE = {
    "decay": 0.99,
    "num_updates": 3,
    "shadow_params": list(ONE.values()),
    "collected_params": None,
}


@pytest.mark.parametrize(
    ("content", "key", "told"),
    [
        (AVERAGE, None, "weights without names, a list under shadow_params"),
        ({"ema": AVERAGE}, None, "weights without names, a list under ema.shadow_params"),
        ({"ema": AVERAGE}, "ema", "weights without names, a list under shadow_params"),
        ({"params": list(ONE.values())}, None, "weights without names"),
        (optimizer(), None, "the state of an optimizer, without the weights of the model"),
        ({"optimizer": optimizer()}, "optimizer", "the state of an optimizer"),
        ({"optimizer": optimizer(), "epoch": 3}, None, "found keys optimizer, epoch"),
    ],
)
def test_what_is_there_instead_of_weights_is_told(content, key, told):
    torch.save(content, "c.pt")
    with pytest.raises(DataError, match=told) as error:
        load_weights(Path("c.pt"), key=key)
    assert "--weights" not in error.value.hint
    assert "model.state_dict()" in error.value.hint


def test_content_that_holds_itself_is_searched_once():
    content = {"a": [1, 2]}
    content["a"].append(content)
    torch.save({"a": content, "b": {"weights": ONE}}, "c.pt")
    with pytest.raises(DataError) as error:
        load_weights(Path("c.pt"))
    assert "--weights-key b.weights" in error.value.hint


@pytest.mark.parametrize(
    ("content", "taken", "other"),
    [
        ({"model": ONE, "ema": OTHER}, "model", "ema"),
        ({"model": ONE, "model_ema": OTHER, "optimizer": optimizer()}, "model", "model_ema"),
        ({"ema": {"model": OTHER}, "state_dict": ONE}, "state_dict", "ema.model"),
        ({"net": ONE, "swa": {f"module.{k}": v for k, v in OTHER.items()}}, "net", "swa"),
    ],
)
def test_weights_that_are_taken_before_others_are_told_once(content, taken, other, caplog):
    for step in (1, 2):
        torch.save(content, f"step_{step}.pt")
    record(small_net(), "step_*.pt", (X, None), "run")
    told = [r.message for r in caplog.records if "are taken" in r.message]
    assert told == [
        f"step_1.pt: the weights under {taken} are taken; --weights-key {other} takes others of "
        "the same names"
    ]
    caplog.clear()
    for key in (taken, other):
        record(small_net(), "step_*.pt", (X, None), "run", weights_key=key, overwrite=True)
    assert "are taken" not in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        ONE,
        {"model": ONE, "optimizer": optimizer()},
        {"model": ONE, "loss": {"weight": torch.ones(2)}},
        {"model": ONE, "ema": AVERAGE},
    ],
)
def test_one_reading_is_taken_without_a_word(content):
    torch.save(content, "c.pt")
    assert load_weights(Path("c.pt")).rivals == ()


@pytest.mark.parametrize("name", ["c.pt", "m.safetensors"])
def test_files_without_content_are_told(name):
    Path(name).touch()
    with pytest.raises(RunFileError, match="an empty file"):
        load_weights(Path(name))
    Path(name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    with pytest.raises(RunFileError, match="a pointer of git lfs") as error:
        load_weights(Path(name))
    assert f"git lfs pull --include {name}" in error.value.hint
    Path("m.safetensors.index.json").write_text(f'{{"weight_map": {{"w": "{name}"}}}}')
    with pytest.raises(RunFileError, match="a pointer of git lfs"):
        load_weights(Path("m.safetensors.index.json"))

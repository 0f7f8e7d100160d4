"""Folders of ``transformers``: what its ``from_pretrained`` makes of them, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.errors import DataError
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.recording.session import record

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the library

IDS = np.random.default_rng(0).integers(1, 50, (12, 6))


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gpt(**other):
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **other))


def bert():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.BertModel(
        transformers.BertConfig(vocab_size=50, intermediate_size=32, **sizes)
    )


def saved(model, step, **changes):
    """Write a folder as the Trainer does, some weights changed."""
    folder = Path(f"out/checkpoint-{step}")
    model.save_pretrained(folder)
    if changes:
        (folder / "model.safetensors").unlink()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        torch.save(changes["change"](state), folder / "pytorch_model.bin")
    return folder


def assert_recorded(kind, folders, layers):
    run = record(
        f"hf:{kind}", [str(folder) for folder in folders], as_probe({"input_ids": IDS}), "run",
        layers=layers,
    )  # fmt: skip
    for folder in folders:
        model = getattr(transformers, kind).from_pretrained(folder)
        for name in layers:
            found = []
            hook = model.get_submodule(name).register_forward_hook(
                lambda module, given, output, found=found: found.append(output)
            )
            model(input_ids=torch.from_numpy(IDS))
            hook.remove()
            expected = found[0].detach().numpy().reshape(12, -1)
            step = int(folder.name.partition("-")[2])
            np.testing.assert_array_equal(run.activations(step, name), expected)


def test_weights_that_one_checkpoint_ties_and_another_does_not():
    def untied(state):
        state["lm_head.weight"] = state["lm_head.weight"] + 1
        return state

    folders = [saved(gpt(), 1), saved(gpt(), 2, change=untied)]
    assert_recorded("GPT2LMHeadModel", folders, ["transformer.ln_f", "lm_head"])


def test_names_of_an_earlier_release_and_dtypes():
    def gamma(state):
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): value
            for name, value in state.items()
        }

    layers = ["encoder.layer.0.output.LayerNorm", "pooler.activation"]
    assert_recorded("BertModel", [saved(bert(), 1, change=gamma)], layers)
    model = bert()
    state = gamma(model.state_dict())
    torch.save(state, "file.pt")  # into a model that is there
    other = bert()
    assert not load_into(other, load_weights(Path("file.pt")), Path("file.pt"))
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))
    torch.save({name: value.double() for name, value in state.items()}, "file.pt")
    left = load_into(other, load_weights(Path("file.pt")), Path("file.pt"))
    assert other.dtype == torch.float32  # it stays what it was built as, and that is told
    assert left.changed[0][1] == "float64 -> float32"


def test_a_file_beside_its_configuration():
    model = bert()
    model.config.save_pretrained(".")
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, "a.ckpt")
    found = load_model("hf:AutoModel", Path("a.ckpt"))
    assert all(map(torch.equal, model.state_dict().values(), found.state_dict().values()))


def test_several_weights_in_a_folder():
    one, other = bert(), bert()
    folder = saved(one, 1, change=lambda state: {"model": state, "ema": other.state_dict()})
    found = load_model("hf:AutoModel", folder, key="ema")
    assert all(map(torch.equal, other.state_dict().values(), found.state_dict().values()))


def test_what_a_folder_lacks():
    def headless(state):
        return {name: value for name, value in state.items() if "pooler" not in name}

    folder = saved(bert(), 1, change=headless)
    with pytest.raises(DataError, match=r"missing pooler\.dense\.bias, pooler\.dense\.weight"):
        load_model("hf:BertModel", folder)
    one, two = (load_model("hf:BertModel", folder, strict=False) for _ in range(2))
    assert torch.equal(one.pooler.dense.weight, two.pooler.dense.weight)  # from one seed

    def wide(state):
        return {**state, "pooler.dense.bias": torch.zeros(3)}

    with pytest.raises(DataError, match=r"pooler\.dense\.bias: expected shape \(16,\), found \(3"):
        load_model("hf:BertModel", saved(bert(), 2, change=wide))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attn_implementation": "someone/kernel"}, "code of another repository"),
        ({"_attn_implementation": {"text": "x/y:z"}}, "code of another repository"),
        ({"auto_map": {"AutoModel": "code.Net"}, "model_type": "own"}, "cannot be loaded|makes no"),
        ({"model_type": "nothing"}, "makes no AutoModel"),
        ({"hidden_size": 7}, "makes no AutoModel|cannot be loaded"),
    ],
)
def test_configurations_that_lead_elsewhere(change, message):
    folder = saved(bert(), 1)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    (folder / "code.py").write_text("open('ran', 'w')\nclass Net: pass\n")
    with pytest.raises(DataError, match=message):
        load_model("hf:AutoModel", folder)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("adapter_config.json", "holds an adapter"), (".metadata", "a distributed checkpoint")],
)
def test_folders_of_something_else(name, message):
    folder = saved(bert(), 1)
    (folder / name).write_text("{}")
    with pytest.raises(DataError, match=message):
        load_model("hf:AutoModel", folder)


def test_class_of_another_kind_is_told_the_one_of_the_configuration():
    folder = saved(gpt(), 1)
    with pytest.raises(DataError, match="Unrecognized configuration class") as error:
        load_model("hf:AutoModelForImageClassification", folder)
    assert error.value.hint.endswith("--model hf:GPT2LMHeadModel")
    assert_recorded("GPT2LMHeadModel", [folder], ["transformer.h.0"])


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"model_type": "nosuch"}, "nosuch", "a model of your own"),
        ({"n_head": 5}, "divisible", "a model of your own"),
        (
            {"model_type": "mine", "auto_map": {"AutoConfig": "conf.C", "AutoModel": "mod.M"}},
            "custom code",
            "code that a configuration names is not run",
        ),
    ],
)
def test_code_is_named_where_it_is_the_reason_alone(change, words, hint):
    folder = saved(gpt(), 1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(DataError, match=words) as error:
        load_model("hf:AutoModel", folder)
    assert error.value.hint.startswith(hint)


def test_package_that_is_missing_is_told(monkeypatch):
    folder = saved(gpt(), 1)

    def lacking(*_, **__):
        raise ImportError("this needs bitsandbytes: pip install -U bitsandbytes")

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", lacking)
    with pytest.raises(DataError, match="this needs bitsandbytes") as error:
        load_model("hf:AutoModel", folder)
    assert error.value.hint.startswith("install the package that is named")

"""Folders as training libraries write them, and names that a glob could read otherwise."""

import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from infoplane.errors import DataError, NotFoundError
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import small_net
from tests.recording.test_weights import save_safetensors


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def found(*patterns):
    return [(c.path.as_posix(), c.step) for c in find_checkpoints(list(patterns))]


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        ("exp [v2]", []),
        ("exp [v2]", ["exp v", "exp 2"]),
        ("runs [a-c]/s[0]", ["runs b/s0"]),
        ("lr*0.1", ["lr-0.1"]),
        ("a?b", ["aab"]),
        ("[!x]", ["y"]),
    ],
)
def test_part_of_a_path_that_exists_as_it_is_written_goes_before_the_glob(folder, others):
    for place in (folder, *others):
        touch(f"{place}/step_1.pt", f"{place}/step_2.pt")
    here = Path.cwd()
    both = [(f"{folder}/step_1.pt", 1), (f"{folder}/step_2.pt", 2)]
    assert found(f"{folder}/step_1.pt") == both[:1]
    for pattern in (folder, f"{folder}/", f"./{folder}/*.pt", f"{folder}/step_*.pt"):
        assert found(pattern) == both
    assert found(f"{folder}/step_[2].pt") == both[1:]
    assert found(f"{here}/{folder}/*.pt") == [(f"{here}/{name}", step) for name, step in both]
    assert found(f"../{here.name}/{folder}/**/*.pt")[0][1] == 1


def test_literal_folder_below_a_glob():
    touch("s1/exp [v2]/step_1.pt", "s2/exp [v2]/step_2.pt", "s1/exp v/step_3.pt")
    assert [step for _, step in found("s*/exp [v2]/*.pt")] == [1, 2]
    assert [step for _, step in found("s[12]/exp [v]/*.pt")] == [3]


def test_file_whose_name_is_a_glob_of_others_is_taken_as_it_is():
    touch("step_[12].pt", "step_1.pt", "step_2.pt")
    assert found("step_[12].pt") == [("step_[12].pt", None)]
    assert [step for _, step in found("step_[1-2].pt")] == [1, 2]


def test_what_is_saved_beside_the_weights_is_left_out(caplog):
    beside = (
        "optimizer.pt", "optimizer_10.pt", "step_10_optimizer.pt", "lr_scheduler_10.pt",
        "rng_state_0.pth", "random_states_0.pt", "scaler.pt", "optim_10.pth", "training_args.pt",
    )  # fmt: skip
    touch("out/step_10.pt", "out/step_20.pt", *(f"out/{name}" for name in beside))
    assert found("out") == [("out/step_10.pt", 10), ("out/step_20.pt", 20)]
    assert not caplog.text
    assert found("out/*.pt") == [("out/step_10.pt", 10), ("out/step_20.pt", 20)]
    assert "left out, no weights by their name: out/lr_scheduler_10.pt" in caplog.text
    touch("adoption_3.pt", "stopt_4.pt")  # parts of other words
    assert [step for _, step in found("*opt*.pt")] == [None, None]
    assert found("out/optimizer_10.pt")[0][0] == "out/optimizer_10.pt"  # as it is named


def deepspeed(step, *names):
    folder = Path(f"ds/global_step{step}")
    folder.mkdir(parents=True)
    for name in names:
        content = {"optimizer_state_dict": {}}
        if "model_states" in name:
            content = {"module": small_net().state_dict(), "global_steps": step}
        torch.save(content, folder / f"{name}.pt")
    Path("ds/latest").write_text(f"global_step{step}")


@pytest.mark.parametrize("optim", ["", "bf16_"])
def test_folder_of_deepspeed(optim):
    for step in (10, 20):
        shards = [f"{optim}zero_pp_rank_{rank}_mp_rank_00_optim_states" for rank in range(2)]
        deepspeed(step, "mp_rank_00_model_states", *shards)
    whole = [(f"ds/global_step{step}/mp_rank_00_model_states.pt", step) for step in (10, 20)]
    for pattern in ("ds", "ds/*/*.pt", "ds/global_step*", "ds/*/mp_rank_*.pt"):
        assert found(pattern) == whole
    assert load_weights(Path(whole[0][0])).step == 10


@pytest.mark.parametrize(
    "names",
    [
        ["mp_rank_00_model_states", "mp_rank_01_model_states"],
        ["zero_pp_rank_0_mp_rank_00_model_states", "zero_pp_rank_1_mp_rank_00_model_states"],
        ["zero_pp_rank_0_mp_rank_00_model_states"],
        ["layer_00-model_states", "layer_01-model_states", "mp_rank_00_model_states"],
        ["layer_00-model_00-model_states", "mp_rank_00_model_states"],
    ],
)
@pytest.mark.parametrize("pattern", ["ds", "ds/*/*.pt"])
def test_model_in_parts_is_refused(names, pattern):
    deepspeed(10, *names)
    with pytest.raises(DataError, match="holds a part of the model") as error:
        find_checkpoints([pattern])
    assert (
        "python ds/zero_to_fp32.py ds global_step10_whole --tag global_step10" in error.value.hint
    )
    Path("global_step10_whole").mkdir()  # as the script makes it
    torch.save(small_net().state_dict(), "global_step10_whole/pytorch_model.bin")
    assert found("global_step10_whole") == [("global_step10_whole", 10)]


class Peft:
    """Stands for the classes of the library."""

    @classmethod
    def from_pretrained(cls, folder):
        assert (Path(folder) / "adapter_config.json").is_file()
        return cls()

    def merge_and_unload(self):
        return self

    def save_pretrained(self, folder):
        touch(f"{folder}/model.safetensors")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("task", "name"),
    [
        (None, "AutoPeftModel"),
        ("CAUSAL_LM", "AutoPeftModelForCausalLM"),
        ("SEQ_CLS", "AutoPeftModelForSequenceClassification"),
    ],
)
def test_adapter_alone_is_refused_and_the_hint_merges_it(task, name, suffix, monkeypatch):
    folder = Path("out dir/checkpoint-5")
    folder.mkdir(parents=True)
    if suffix == "safetensors":
        save_safetensors({"a": torch.ones(1)}, folder / "adapter_model.safetensors")
    else:
        torch.save({"a": torch.ones(1)}, folder / "adapter_model.bin")
    (folder / "adapter_config.json").write_text(json.dumps({"task_type": task}))
    touch(folder / "optimizer.pt", folder / "training_args.bin")
    for pattern in ("out dir", "out dir/checkpoint-*", str(folder / f"adapter_model.{suffix}")):
        with pytest.raises(DataError, match="a PEFT adapter alone") as error:
            find_checkpoints([pattern])
    monkeypatch.setitem(sys.modules, "peft", SimpleNamespace(**{name: Peft}))
    code = error.value.hint.partition("python -c ")[2].partition("; and name")[0]
    exec(*shlex.split(code))
    assert found("merged/checkpoint-5") == [("merged/checkpoint-5", 5)]


def test_whole_model_beside_an_adapter_is_taken():
    save_safetensors({"a": torch.ones(1)}, "out/checkpoint-5/model.safetensors")
    touch("out/checkpoint-5/adapter_config.json", "out/checkpoint-5/adapter_model.bin")
    assert found("out") == [("out/checkpoint-5", 5)]


@pytest.mark.parametrize("pattern", ["logs", "logs/*/*.ckpt", "logs/version_0/step=10.ckpt"])
def test_distributed_checkpoint_of_lightning_is_told_how_to_convert(pattern):
    touch(*(f"logs/version_0/step=10.ckpt/{name}" for name in (".metadata", "meta.pt", "0.distcp")))
    with pytest.raises(DataError, match="a distributed checkpoint") as error:
        find_checkpoints([pattern])
    place = "dcp_to_torch logs/version_0/step=10.ckpt step=10.ckpt.pt"
    assert place in error.value.hint


def test_folder_of_nothing():
    touch("out/optimizer.pt", "out/log.txt")
    with pytest.raises(NotFoundError, match="out: the folder holds no checkpoint"):
        find_checkpoints(["out"])

"""The step of a checkpoint, told by its name and its content, never guessed."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from infoplane.errors import DataError, InputError
from infoplane.recording.checkpoints.find import find_checkpoints
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.checkpoints.steps import Steps


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("epoch_3.pt", 3),
        ("epoch_0003.pt", 3),
        ("mnist2_epoch_7.pt", 7),
        ("epoch=3-step=1200.ckpt", 1200),
        ("step=1200-epoch=3.ckpt", 1200),
        ("checkpoint-500.pt", 500),
        ("resnet18_iter900.pt", 900),
        ("last.pt", None),
        ("model-00001-of-00002.pt", None),
        ("lr_0.01.pt", None),
        ("epoch_2_deep4.pt", 2),
        ("epoch_3_0.25.pt", 3),
        ("epoch_3.pth.tar", 3),
        ("model.ckpt-100", 100),
        ("iter_500_ep_3.pt", 500),
        ("step_7_global_step_90.pt", 90),
        ("global_step1000/mp_rank_00_model.pt", 1000),
        ("checkpoint-500/pytorch_model.bin", 500),
        ("checkpoint-500/epoch_3.pt", 3),
        ("deep4/last.pt", None),
        ("7.pt", 7),
        ("it_12.pt", 12),
        ("steps_100.pt", 100),
        ("iters-100.pt", 100),
        ("epochs_10.pt", 10),
        ("Step 100.pt", 100),
        ("net.epoch.7.pt", 7),
        ("global-steps=90.pt", 90),
        ("ckpt_ep5_it2000.pt", 2000),
        ("max_steps_1000_epoch_3.pt", 3),
        ("train_step_100.pt", 100),
        ("step_20240102.pt", 20240102),
        ("checkpoint-500/resnet18.pt", 500),
        ("epoch_3/mp_rank_00_model.pt", 3),
        ("model_42.pth", None),
        ("resnet18.pth", None),
        ("checkpoint_1_500.pt", None),
        ("ckpt_10_resnet18.pt", 10),
        ("step1e3.pt", None),
        ("step_7_global_step_90_iter_5.pt", 90),
        ("step_5_iter_5.pt", 5),
        ("step500epoch10.pt", 500),
        ("epoch10step500.pt", 500),
        ("step_100_20240102.pt", 100),
        ("step_100_20240102_120500.pt", 100),
        ("step_100_7b.pt", 100),
        ("epoch_2_4bit.pt", 2),
        ("llama8b_step_5.pt", 5),
        ("3f2a9c1_epoch_5.pt", 5),
        ("grad_accum_steps_4_epoch_2.pt", 2),
        ("accumulation-steps-4-epoch-2.pt", 2),
        ("accum_iter_4_epoch_2.pt", 2),
        ("time_step_20_epoch_3.pt", 3),
        ("timestep_20_epoch_3.pt", 3),
        ("timesteps20_step_3.pt", 3),
        ("lr_step_30_epoch_5.pt", 5),
        ("lr_decay_step_30_epoch_5.pt", 5),
        ("diffusion_steps_1000_epoch_3.pt", 3),
        ("Diffusion Steps 1000 Epoch 3.pt", 3),
        ("inference_steps=50-step=700.pt", 700),
        ("resume_step_500_epoch_2.pt", 2),
        ("resumed_step_500_step_700.pt", 700),
        ("finetuned_from_step_1000_step_20.pt", 20),
        ("from_epoch_90_epoch_3.pt", 3),
        ("pretrained_step_500_epoch_2.pt", 2),
        ("pretrained_epoch_90.pt", 90),
        ("diffusion_epoch_3.pt", 3),
        ("diffusion_ckpt_3.pt", 3),
        ("lr_30_step_5.pt", 5),
    ],
)
def test_step_in_the_file_name(name, step):
    touch(name)
    assert find_checkpoints([name])[0].step == step


def steps_of(files):
    """Return the steps of files by name, of which some hold numbers."""
    touch(*files)
    steps, found = Steps(), find_checkpoints(list(files))
    return [
        steps.of(checkpoint, weights_of(**files[checkpoint.path.as_posix()]))
        for checkpoint in found
    ]


def weights_of(**numbers):
    torch.save({"state_dict": {"w": torch.ones(1)}, **numbers}, "told.tmp")
    return load_weights(Path("told.tmp"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("step1e3.pt", "'1e3' after 'step' is no plain whole number"),
        ("step_1e-3.pt", "'1e-3' after 'step'"),
        ("ckpt_1.5.pt", "'1.5' after 'ckpt'"),
        ("step_100.5", "'100.5'"),
        ("step_-5.pt", "'-5'"),
        ("step_10k.pt", "'10k'"),
        ("epoch_3-5.pt", "'3-5'"),
        ("epoch_3_epoch_5.pt", "3 or 5"),
        ("checkpoint_3_epoch_5.pt", "3 or 5"),
        ("model_-5.pt", ""),
        ("step_9223372036854775808.pt", r"above 2\*\*63"),
        ("step1e3/model.pt", "'1e3'"),
        ("checkpoint_1_500.pt", "it could be 1 or 500"),
        ("ckpt-2_1000.pth", "it could be 2 or 1000"),
        ("model_1_500.pt", "it could be 1 or 500"),
        ("resnet18.pth", "no word announces 18 as one"),
        ("vgg16_bn.pt", "no word announces 16"),
        ("efficientnet_b0.pth", "no word announces 0"),
        ("model_v2.pt", "no word announces 2"),
        ("resnet50_cifar10.pt", "it could be 50 or 10"),
        ("net-50k.pt", ""),
        ("model_42.pth", "no word announces 42"),
        ("gemma-2-it_100.pt", "2 or 100"),
        ("llama-it_100.pt", "no word announces 100"),
        ("max_steps_1000.pt", "no word announces 1000"),
        ("num_epochs_50.pt", "no word announces 50"),
        ("ckpt_20240102.pt", "20240102 could be a date"),
        ("epoch_20240102.pt", "could be a date"),
        ("20240102.pt", "could be a date"),
        ("checkpoint_20240101_120500.pt", "could be a date"),
        ("model_1704067205.pt", "could be a date"),
        ("step2/100.pt", "it could be 100 or, of its folder, 'step2'"),
        ("ckpt2/model_5.pt", "5 or, of its folder, 'ckpt2'"),
        ("epoch_20240102/model.pt", "could be a date"),
        ("checkpoint-3f2a9c1.pt", "'3f2a9c1' after 'checkpoint' is no plain whole number"),
        ("ckpt_7d9e0a.pt", "'7d9e0a' after 'ckpt'"),
        ("step-12ab.pt", "'12ab' after 'step'"),
        ("checkpoint8b.pt", "'8b' after 'checkpoint'"),
        ("checkpoint-2b.pt", "'2b'"),
        ("ep3d_resnet.pt", "'3d_resnet' after 'ep'"),
        ("epoch_3a/model.pt", "'3a'"),
        ("step_100_iter_5.pt", "it could be 5 or 100"),
        ("iter=5-step=100.pt", "it could be 5 or 100"),
        ("step_1_000.pt", "it could be 1 or 000"),
        ("step_000_100.pt", "it could be 0 or 100"),
        ("step_1_000_000.pt", "it could be 1 or 000"),
        ("step 1,000.pt", "it could be 1 or 000"),
        ("step_5_2.pt", "it could be 5 or 2"),
        ("epoch_1_500.pt", "it could be 1 or 500"),
        ("iter_1_500k.pt", "it could be 1 or 500"),
        ("step_1_000/model.pt", "it could be 1 or 000"),
        ("finetuned_from_step_1000.pt", "no word announces 1000"),
        ("resume_step_500.pt", "no word announces 500"),
        ("diffusion_steps_1000.pt", "no word announces 1000"),
        ("lr_step_30.pt", "no word announces 30"),
        ("grad_accum_steps_4.pt", "no word announces 4"),
        ("from_epoch_90.pt", "no word announces 90"),
        ("last.pt", ""),
        ("lr_0.01.pt", ""),
    ],
)
def test_step_that_would_be_a_guess_is_refused_unless_the_file_tells_it(name, found):
    with pytest.raises(DataError, match=f"the file name does not tell the step.*{found}") as error:
        steps_of({name: {}})
    assert name in str(error.value)
    assert "--step-pattern" in error.value.hint
    assert steps_of({name: {"epoch": 90}}) == [90]
    assert steps_of({name: {"epoch": 90, "global_step": 1000}}) == [1000]
    number = re.search("[0-9]+", Path(name).name)
    if number and found.startswith(("no word", "it could be", number[0])):
        pattern = shlex.split(error.value.hint.partition("--step-pattern ")[2])[0]
        assert str(find_checkpoints([name], pattern)[0].step) in name


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["1.pt", "2.pt", "10.pt"], [1, 2, 10]),
        (["weights_001.pt", "weights_002.pt"], [1, 2]),
        (["model-10.pt", "model-9.pt"], [9, 10]),
        (["net0.5_10.pt", "net0.5_20.pt"], [10, 20]),
        (["G_1000.pth", "G_2000.pth"], [1000, 2000]),
        (["snapshot10.pt", "Snapshot20.pt"], [10, 20]),
        (["step2/100.pt", "step2/200.pt"], [100, 200]),
        (["it1/model_5.pt", "it1/model_10.pt"], [5, 10]),
        (["epoch_1/100.pt", "epoch_1/200.pt", "epoch_2/300.pt", "epoch_2/400.pt"], None),
        (["checkpoint_1_500.pt", "checkpoint_1_1000.pt"], [500, 1000]),
        (["7.pt"], [7]),
        (["1epoch.pt", "2epoch.pt"], [1, 2]),
    ],
)
def test_number_in_which_alone_the_files_differ_is_the_step(names, steps):
    steps = steps or [100 * (1 + place) for place in range(len(names))]
    assert steps_of({name: {} for name in names}) == steps
    told = {name: {"iter_num": 100 * place} for place, name in enumerate(names)}
    assert sorted(steps_of(told)) == [100 * place for place in range(len(names))]


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["step_5_2.pt", "step_10_2.pt"], [5, 10]),
        (["epoch_1_64/model.pt", "epoch_2_64/model.pt"], [1, 2]),
        (["lr_step_30_epoch_1.pt", "lr_step_30_epoch_2.pt"], [1, 2]),
        (["step_100_20240102.pt", "step_200_20240103.pt"], [100, 200]),
    ],
)
def test_announced_number_counts_beside_one_that_all_names_have(names, steps):
    assert steps_of({name: {} for name in names}) == steps


@pytest.mark.parametrize(
    "names",
    [
        ["checkpoint_1_500.pt", "checkpoint_2_1000.pt"],
        ["model_1_500.pt", "model_2_1000.pt"],
        ["seed_0.pt", "seed_1.pt"],
        ["net_fold1.pt", "net_fold2.pt"],
        ["model_v1.pt", "model_v2.pt"],
        ["vgg16.pt", "resnet18.pt"],
        ["a/resnet18.pt", "b/resnet18.pt"],
        ["lr_0.01.pt", "lr_0.02.pt"],
        ["net-50k.pt", "net-100k.pt"],
        ["mlp_64.pt", "mlp_128.pt"],
        ["width64.pt", "width128.pt"],
        ["dropout_10.pt", "dropout_20.pt"],
        ["model_dim_64.pt", "model_dim_128.pt"],
        ["d_64.pt", "d_128.pt"],
        ["best_91.pt", "best_93.pt"],
        ["resnet18_10.pt", "resnet18_20.pt"],
        ["mlp2_64.pt", "mlp2_128.pt"],
        ["lr0.1_10.pt", "lr0.1_20.pt"],
        ["gemma-it_100.pt", "gemma-it_200.pt"],
        ["2024-01-02.pt", "2024-01-03.pt"],
        ["model_20240101_1205.pt", "model_20240101_1305.pt"],
        ["model-2b.pt", "model-7b.pt"],
        ["1b.pt", "7b.pt"],
        ["checkpoint-3f2a9c1.pt", "checkpoint-4f2a9c1.pt"],
        ["lr_step_30.pt", "lr_step_60.pt"],
        ["step_1_000.pt", "step_2_000.pt"],
        ["step_1_500.pt", "step_2_0.pt"],
        ["epoch_1_2.pt", "epoch_1_3.pt"],
    ],
)
def test_files_that_differ_in_more_or_in_something_else_tell_no_step(names):
    with pytest.raises(DataError, match="the file name does not tell the step") as error:
        steps_of({name: {} for name in names})
    assert "--step-pattern" in error.value.hint


def test_pattern_in_the_hint_of_a_series_leads_to_its_steps():
    names = ["resnet18_10.pt", "resnet18_20.pt"]
    with pytest.raises(DataError, match="no word announces 10 as one") as error:
        steps_of({name: {} for name in names})
    pattern = shlex.split(error.value.hint.partition("--step-pattern ")[2])[0]
    assert [found.step for found in find_checkpoints(names, pattern)] == [10, 20]


def test_checkpoints_of_one_epoch_are_told_apart_by_the_pattern_in_the_hint():
    files = {"checkpoint_400.pt": {"epoch": 2}, "checkpoint_500.pt": {"epoch": 2}}
    with pytest.raises(DataError, match="two checkpoints of step 2") as error:
        steps_of(files)
    pattern = shlex.split(error.value.hint.partition("--step-pattern ")[2])[0]
    assert [found.step for found in find_checkpoints(list(files), pattern)] == [400, 500]


@pytest.mark.parametrize(
    ("name", "numbers", "step"),
    [
        ("step_100.pt", {"step": 100}, 100),
        ("step_100.pt", {"epoch": 3}, 100),
        ("step_100.pt", {}, 100),
        ("epoch=3-step=100.ckpt", {"epoch": 3, "global_step": 100}, 100),
        ("epoch_3.pt", {"epoch": 3, "global_step": 1200}, 3),
        ("epoch_3.pt", {"epoch": 2}, 3),  # counted from 0
        ("epoch_3.pt", {"step": 1200}, 3),
        ("checkpoint_3.pt", {"epoch": 3, "step": 1200}, 3),
        ("checkpoint_3.pt", {"step": 3000}, 3000),
        ("checkpoint_500.pt", {"epoch": 2}, 2),
        ("checkpoint_5.pt", {"epoch": 7}, 7),
        ("checkpoint_5.pt", {"epoch": 4}, 5),  # counted from 0
        ("step2/100.pt", {"step": 300}, 300),
        ("ckpt_20240102.pt", {"step": 300}, 300),
        ("mlp_64.pt", {"step": 300}, 300),
        ("resnet18.pth", {"epoch": 90}, 90),
        ("ckpt.pt", {"iter_num": 2000}, 2000),
        ("18.pt", {"meta": {"epoch": 12, "iter": 1000}}, 1000),
        ("net.pt", {"step": 3, "global_step": 500}, 500),
        ("net.pt", {"step": 3, "iteration": 500, "epoch": 7}, 7),
    ],
)
def test_word_goes_before_a_bare_number_wherever_it_stands(name, numbers, step):
    assert steps_of({name: numbers}) == [step]


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("step_100.pt", {"step": 200}, "name tells step 100, the file step 200"),
        ("step_100.pt", {"global_step": 101, "epoch": 1}, "step 100, the file step 101"),
        ("iter_7.pt", {"iter_num": 8}, "step 7, the file step 8"),
        ("epoch_3.pt", {"epoch": 30}, "epoch 3, the file epoch 30"),
    ],
)
def test_name_and_file_that_contradict_each_other_are_refused(name, numbers, message):
    with pytest.raises(DataError, match=message) as error:
        steps_of({name: numbers})
    assert "--step-pattern" in error.value.hint
    pattern = shlex.split(error.value.hint.partition("--step-pattern ")[2])[0]
    by_hand = Steps().of(find_checkpoints([name], pattern)[0], weights_of(**numbers))
    assert by_hand in (100, 7, 3)


@pytest.mark.parametrize(
    "files",
    [
        {"epoch_1.pt": {}, "step_200.pt": {}},
        {"1.pt": {"epoch": 10}, "2.pt": {}},
        {"a.pt": {"epoch": 10}, "b.pt": {"step": 2000}},
    ],
)
def test_steps_that_count_different_things_are_refused(files):
    with pytest.raises(DataError, match="its step is .*, that of .* is"):
        steps_of(files)


def test_steps_before_the_first_count_nothing():
    assert steps_of({"step_0.pt": {}, "epoch_1.pt": {}}) == [0, 1]


def test_two_files_that_tell_one_step_are_refused():
    with pytest.raises(DataError, match=r"two checkpoints of step 90: a\.pt and b\.pt"):
        steps_of({"a.pt": {"epoch": 90}, "b.pt": {"epoch": 90}})


def test_natural_order():
    touch("epoch_10.pt", "epoch_9.pt", "epoch_100.pt", "last.pt")
    assert [c.path.name for c in find_checkpoints(["*.pt"])] == [
        "epoch_9.pt",
        "epoch_10.pt",
        "epoch_100.pt",
        "last.pt",
    ]


def test_files_named_twice_count_once():
    touch("a/epoch_1.pt", "a/epoch_2.pt")
    assert len(find_checkpoints(["a/*.pt", "a/epoch_1.pt"])) == 2


def test_step_pattern():
    touch("lr_0.01_b7_final.pt")
    assert find_checkpoints(["*.pt"], r"b(\d+)")[0].step == 7
    with pytest.raises(DataError, match="finds no whole number"):
        find_checkpoints(["*.pt"], r"c(\d+)")
    touch("b9223372036854775808.ckpt")
    with pytest.raises(DataError, match="fits 64 bits"):
        find_checkpoints(["*.ckpt"], r"b(\d+)")
    with pytest.raises(InputError, match="expected a group"):
        find_checkpoints(["*.pt"], r"b\d+")
    with pytest.raises(InputError, match="step_pattern"):
        find_checkpoints(["*.pt"], r"b(\d+")


def test_two_files_of_one_step_are_refused():
    touch("epoch_5.pt", "epoch_05.pt")
    with pytest.raises(
        DataError, match=r"two checkpoints of step 5: epoch_0?5.pt and epoch_0?5.pt"
    ):
        find_checkpoints(["*.pt"])

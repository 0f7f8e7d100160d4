"""A recording as a call: what the command line does, and its arguments."""

import json
from pathlib import Path

import pytest

from infoplane import Recording, Run, record
from infoplane.errors import InfoplaneError, InputError, RunFileError
from tests.conftest import infoplane_here as command
from tests.conftest import small_net

NAMED = {"model": "net.py:build", "checkpoints": "ckpt/*.pt", "data": "probe.npz"}


def content(run):
    return {
        (step, layer.name): run.activations(step, layer.name).tobytes()
        for step in run.steps
        for layer in run.layers
    }


def test_the_run_is_that_of_the_command_line(project):
    done = command("record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt",
                   "--data", "probe.npz", "-l", "act*", "--gradients",
                   "--gradient-batch-size", "40", "-o", "cli")  # fmt: skip
    assert done.code == 0, done.err
    told = []
    run = record(
        **NAMED,
        output="py",
        layers="act*",
        gradients=True,
        gradient_batch_size=40,
        progress=told.append,
    )
    assert content(run) == content(Run(Path("cli")))
    assert [(now.stage, now.done, now.total) for now in told] == [
        ("record", done, 3) for done in range(4)
    ]
    ours, theirs = (json.loads(Path(f"{name}/manifest.json").read_text()) for name in ("py", "cli"))
    for manifest in (ours, theirs):
        del manifest["run"], manifest["group"], manifest["created"], manifest["provenance"]["argv"]
    assert ours == theirs
    assert run.step_info(2).gradients == Run(Path("cli")).step_info(2).gradients


def test_model_and_probe_set_may_be_objects(project, probe):
    named = record(**NAMED, output="named")
    for output, model in (("module", small_net()), ("factory", small_net)):
        run = record(model, Path("ckpt").glob("*.pt"), (probe.inputs, probe.labels), output)
        assert content(run) == content(named)
    splits = {"train": probe, "test": (probe.inputs[:20], probe.labels[:20])}
    assert record(small_net, "ckpt", splits, "splits").splits == {"train": 120, "test": 20}
    both = record(small_net, "ckpt", {"a": "probe.npz", "b": Path("probe.npz")}, "both", samples=30)
    assert both.splits == {"a": 30, "b": 30}


def test_steps_that_are_removed_meanwhile_are_told(project):
    def remove(now):
        if now.done == 2:
            next(Path("run/steps").glob("step_*.h5")).unlink()

    with pytest.raises(RunFileError, match="1 of the 3 recorded steps are gone, step 0 first"):
        record(**NAMED, output="run", progress=remove)
    assert len(record(**NAMED, output="run", resume=True).steps) == 3


def test_plan_writes_nothing(project):
    recording = Recording(**NAMED, output="run", layers=["act1"])
    assert recording.steps == [0, 2, 10]
    plan = recording.plan()
    assert [layer.name for layer in plan.layers] == ["act1"]
    assert plan.bytes == 3 * 120 * 4 * 4
    assert not Path("run").exists()


def test_an_interrupt_keeps_the_steps_and_resume_goes_on(project):
    def stop(now):
        if now.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(**NAMED, output="run", progress=stop)
    assert Run(Path("run")).steps == (0, 2)
    assert record(**NAMED, output="run", resume=True).steps == (0, 2, 10)


WRONG = [
    ({"model": 3}, "model: expected a torch.nn.Module, what makes one, or MODULE:CALLABLE, got 3"),
    ({"model": lambda: 3}, "model: expected a torch.nn.Module, what makes one, or"),
    ({"model": "net.py"}, "model: expected MODULE:CALLABLE or path/to/file.py:callable, got"),
    ({"checkpoints": 3}, "checkpoints: expected a path, a glob or a list of these, got 3"),
    ({"checkpoints": []}, "checkpoints: expected a path, a glob or a list of these, got []"),
    ({"checkpoints": "no/*.pt"}, "no checkpoint file matches 'no/*.pt'"),
    ({"data": 3}, "data: expected a file, MODULE:CALLABLE, a ProbeSet, a pair"),
    ({"data": {}}, "data: expected a file, MODULE:CALLABLE, a ProbeSet, a pair"),
    ({"data": {"train": 3}}, "data: expected a file, MODULE:CALLABLE, a ProbeSet, a pair"),
    ({"output": 3}, "output: expected a path, got 3"),
    ({"weights_key": 3}, "weights_key: expected a text or None, got 3"),
    ({"weights": 3}, "weights: expected 'summary', a glob, or a list of these, got 3"),
    ({"strict": "yes"}, "strict: expected True or False, got 'yes'"),
    ({"trust_model": 1}, "trust_model: expected True or False, got 1"),
    ({"layers": 7}, "layers: expected a text or a list of them, got 7"),
    ({"at": "middle"}, "at: expected 'output' or 'input', got 'middle'"),
    ({"batch_dims": ["rnn"]}, "batch_dims: expected a dict of layer globs and axes, got ['rnn']"),
    ({"batch_dims": {"rnn": "1"}}, "batch_dims: expected a dict of layer globs and axes, got"),
    ({"reduce": "gap"}, "reduce: expected a dict of layer globs and kinds such as 'sketch:256'"),
    ({"batch_size": 0}, "batch_size: expected a number of at least 1, got 0"),
    ({"max_size": "5G"}, "max_size: expected a whole number, got '5G'"),
    ({"step_pattern": 3}, "step_pattern: expected a text or None, got 3"),
    ({"step_pattern": "x"}, "step_pattern: expected a group around the step, got 'x'"),
    ({"device": "gpu"}, "device: expected auto, cpu, cuda or cuda:K, got 'gpu'"),
    ({"gradients": 1}, "gradients: expected True or False, got 1"),
    ({"gradient_batch_size": 0}, "gradient_batch_size: expected a number of at least 1, got 0"),
    ({"name": 3}, "name: expected a text or None, got 3"),
    ({"overwrite": None}, "overwrite: expected True or False, got None"),
    ({"labels": 3}, "labels: expected a path, got 3"),
    ({"label_bins": 1}, "label_bins: expected a number of at least 2, got 1"),
    ({"x": 3}, "x: expected a text or None, got 3"),
    ({"samples": True}, "samples: expected a whole number, got True"),
    ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
    ({"progress": 3}, "progress: expected True, False or a function of a Progress, got 3"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[str(next(iter(g))) for g, _ in WRONG])
def test_wrong_arguments_are_one_line_that_names_them(project, given, words):
    with pytest.raises(InfoplaneError) as caught:
        record(**{**NAMED, "output": "run", **given})
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()
    if words.partition(":")[0] in given:
        assert isinstance(caught.value, InputError)
        assert caught.value.argument in given


def test_choices_of_rows_are_for_probe_sets_that_are_named(project, probe):
    with pytest.raises(InputError, match="^samples: expected with data that is named, got arrays"):
        record(small_net, "ckpt", probe, "run", samples=10)


def test_a_wrong_model_on_the_command_line_names_the_option(project):
    Path("bad.py").write_text("def build(): return 3")
    done = command("record", "--model", "bad.py:build", "--checkpoints", "ckpt/*.pt",
                   "--data", "probe.npz", "-o", "run")  # fmt: skip
    assert done.code == 2
    assert "--model bad.py:build: expected a torch.nn.Module, got int" in done.err

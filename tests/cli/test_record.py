import json
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.runs.run import Run
from tests.conftest import infoplane as infoplane_process
from tests.conftest import infoplane_here as infoplane
from tests.conftest import small_net
from tests.processes import LONG, start_process, wait_until

RECORD = ("record", "--model", "net.py:build", "--data", "probe.npz", "-o", "run")
CHECKPOINTS = ("--checkpoints", "ckpt/*.pt")


def test_record_from_files_alone(project, probe):
    done = infoplane_process(*RECORD, *CHECKPOINTS, "--layers", "act*", "--layers", "!act1")
    assert (done.code, done.err) == (0, "record   3/3 checkpoints, " + done.err.split(", ")[1])
    assert done.out.startswith("recorded 3 steps x 1 layer x 120 samples in run (")
    run = Run(Path("run"))
    assert run.steps == (0, 2, 10)
    assert [layer.name for layer in run.layers] == ["act2"]
    net = small_net()
    net.load_state_dict(torch.load("ckpt/epoch_10.pt", weights_only=True))
    with torch.no_grad():
        expected = net[:4](torch.from_numpy(probe.inputs))
    np.testing.assert_array_equal(run.activations(10, "act2"), expected)
    assert run.manifest["provenance"]["model"] == "net.py:build"


def test_step_and_metrics_from_the_checkpoint(project):
    content = {"model": small_net().state_dict(), "step": 77, "metrics": {"test_loss": 0.5}}
    torch.save(content, "last.pt")
    assert infoplane(*RECORD, "--checkpoints", "last.pt").code == 0
    assert Run(Path("run")).step_info(77).metrics == {"test_loss": 0.5}


def test_samples_and_quiet(project):
    done = infoplane("-q", *RECORD, *CHECKPOINTS, "--samples", "50")
    assert (done.code, done.err) == (0, "")
    assert Run(Path("run")).probe.n_samples == 50


def test_existing_run_needs_overwrite(project):
    assert infoplane(*RECORD, *CHECKPOINTS).code == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*") if path.is_file()}
    done = infoplane(*RECORD, "--checkpoints", "ckpt/epoch_2.pt")
    assert done.code == 3
    assert done.err.startswith("error[IP302]: run: already holds a run\n  hint: ")
    assert "--overwrite" in done.err
    assert {path: path.read_bytes() for path in before} == before
    assert infoplane(*RECORD, "--checkpoints", "ckpt/epoch_2.pt", "--overwrite").code == 0
    assert Run(Path("run")).steps == (2,)


def save_keys_that_do_not_fit():
    state = small_net().state_dict()
    state["head.weight"] = state.pop("out.weight")
    torch.save(state, "ckpt/epoch_4.pt")


def save_pickle():
    class Config:
        pass

    Path("ckpt/epoch_4.pt").write_bytes(pickle.dumps({"config": Path("x")}))


def save_nan():
    np.savez("probe.npz", inputs=np.full((9, 5), np.nan), labels=np.zeros(9, int))


def save_without_labels():
    np.savez("probe.npz", inputs=np.zeros((9, 5)), classes=np.zeros(9))


def save_other_rows():
    np.savez("probe.npz", inputs=np.zeros((9, 5)), labels=np.zeros(8, int))


def save_other_width():
    np.savez("probe.npz", inputs=np.zeros((9, 4)), labels=np.zeros(9, int))


def truncate():
    data = Path("ckpt/epoch_2.pt").read_bytes()
    Path("ckpt/epoch_2.pt").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "options", "code", "message"),
    [
        (None, ["--layers", "conv*"], 4, "no layer matches 'conv*'"),
        (None, ["--checkpoints", "nothing/*.pt"], 4, "no checkpoint file matches"),
        (None, ["--model", "net.py:bild"], 2, "AttributeError"),
        (None, ["--model", "net"], 2, "expected MODULE:CALLABLE"),
        (None, ["--step-pattern", "x"], 2, "--step-pattern"),
        (None, ["--data", "nothing.npz"], 3, "nothing.npz: no such file"),
        (None, ["-o", "net.py"], 3, "expected a folder"),
        (None, ["-o", "ckpt"], 3, "not of a run"),
        (save_keys_that_do_not_fit, [], 3, "missing out.weight; unexpected head.weight"),
        (save_pickle, [], 3, "ckpt/epoch_4.pt: refused: it is a pickle"),
        (save_nan, [], 3, "NaN or inf in 9 of 9 rows"),
        (save_without_labels, [], 3, "labels is missing"),
        (save_other_rows, [], 3, "shape (9,), got (8,)"),
        (save_other_width, [], 3, "the model failed on probe inputs of shape (9, 4)"),
        (truncate, [], 3, "ckpt/epoch_2.pt: not a readable PyTorch checkpoint"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(project, spoil, options, code, message):
    if spoil:
        spoil()
    done = infoplane(*RECORD, *CHECKPOINTS, *options)
    assert (done.code, done.out) == (code, "")
    errors = [line for line in done.err.splitlines() if line.startswith("error[IP")]
    assert len(errors) == 1
    assert message in errors[0]


def test_what_was_recorded_before_an_error_is_kept(project):
    save_keys_that_do_not_fit()  # step 4, after 0 and 2
    done = infoplane(*RECORD, *CHECKPOINTS)
    assert done.code == 3
    kept, error, _ = done.err.splitlines()[-3:]
    assert kept == "2 of 4 steps are recorded in run and can be analyzed; --resume records the rest"
    assert error.startswith("error[IP312]")
    assert Run(Path("run")).steps == (0, 2)


def test_first_attempt_that_failed_does_not_block_the_second(project):
    assert infoplane(*RECORD, *CHECKPOINTS, "--layers", "out", "--layers", "!out").code == 4
    save_keys_that_do_not_fit()
    assert infoplane(*RECORD, "--checkpoints", "ckpt/epoch_4.pt").code == 3
    assert infoplane(*RECORD, "--checkpoints", "ckpt/epoch_2.pt").code == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_keeps_the_finished_steps(project, sent, code):
    Path("net.py").write_text(
        Path("net.py").read_text()
        + "\nimport time\nclass Slow(nn.Module):\n    def forward(self, x):\n"
        "        time.sleep(0.1)\n        return x\n"
        "fast = build\ndef build():\n    net = fast()\n    net.slow = Slow()\n    return net\n"
    )
    state = torch.load("ckpt/epoch_2.pt", weights_only=True)
    for epoch in range(100, 200):
        torch.save(state, f"ckpt/epoch_{epoch}.pt")
    process = start_process([sys.executable, "-m", "infoplane", *RECORD, *CHECKPOINTS], text=True)
    steps = Path("run/steps")
    wait_until(lambda: len(list(steps.glob("*.h5"))) >= 3, process, "3 steps were recorded")
    process.send_signal(sent)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == code, err
    assert "Traceback" not in err
    run = Run(Path("run"))
    assert 3 <= len(run.steps) < 103
    word = "interrupted" if sent == signal.SIGINT else "terminated"
    counted = f"{word}: {len(run.steps)} of 103 steps are recorded in run and can be analyzed;"
    assert err.splitlines()[-1] == f"{counted} --resume records the rest"
    run.check()
    assert not list(Path("run/steps").glob("*.tmp"))
    done = infoplane("analyze", "run", "-e", "binning", "-o", "r.json")
    assert done.code == 0
    assert json.loads(Path("r.json").read_text())["recordings"][0]["steps"] == list(run.steps)


def test_unwritable_output(project):
    if os.geteuid() == 0:
        target = "/proc/run"  # root may write everywhere else
    else:
        Path("locked").mkdir(mode=0o500)
        target = "locked/run"
    done = infoplane(*RECORD, *CHECKPOINTS, "-o", target)
    assert done.code == 3
    assert "cannot be written" in done.err


@pytest.mark.parametrize(
    "options",
    [
        ["--samples", "1"],
        ["--batch-size", "0"],
        ["--seed", "-5"],
        ["--gradients", "--gradient-batch-size", "0"],
    ],
)
def test_number_out_of_range_is_a_usage_error(project, options):
    done = infoplane(*RECORD, *CHECKPOINTS, *options)
    assert (done.code, done.out) == (2, "")
    assert f"{options[-2]}" in done.err
    assert "a bug" not in done.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--model", "net.py:bild"], 2),
        (["--model", "exits.py:build"], 2),
        (["--data", "nothing.npz"], 3),
        (["--data", "wide.npz"], 3),
        (["--checkpoints", "text/epoch_1.pt"], 3),
        (["--layers", "conv*"], 4),
        (["--gradients", "--gradient-batch-size", "61"], 2),
    ],
)
def test_failed_attempt_to_overwrite_leaves_the_run_as_it_was(project, options, code):
    Path("exits.py").write_text("import sys\nsys.exit(0)\n")
    Path("text").mkdir()
    Path("text/epoch_1.pt").write_text("epoch,loss\n")
    np.savez("wide.npz", inputs=np.zeros((9, 4)), labels=np.zeros(9, int))
    checkpoints = () if "--checkpoints" in options else CHECKPOINTS
    assert infoplane(*RECORD, *CHECKPOINTS).code == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert infoplane(*RECORD, *checkpoints, "--overwrite", *options).code == code
    after = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert after == before


def test_gradients_of_mini_batches(project):
    options = ("--layers", "act*", "--gradients", "--gradient-batch-size", "30")
    assert infoplane(*RECORD, *CHECKPOINTS, *options).code == 0
    gradients = Run(Path("run")).step_info(2).gradients
    assert {found["n_batches"] for found in gradients.values()} == {4}


def test_lazy_model_takes_the_shape_of_the_checkpoints(project):
    lazy = Path("net.py").read_text().replace("nn.Linear(5, 4)", "nn.LazyLinear(4)")
    Path("lazy.py").write_text(lazy)
    assert infoplane(*RECORD, *CHECKPOINTS, "--model", "lazy.py:build").code == 0
    assert infoplane(*RECORD, *CHECKPOINTS, "-o", "plain").code == 0
    for step in (0, 2, 10):
        one, other = (Run(Path(run)).activations(step, "out") for run in ("run", "plain"))
        np.testing.assert_array_equal(one, other)


def test_input_and_part_of_an_output_by_name(project):
    net = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.rnn = nn.Linear(5, 4), nn.LSTM(1, 3)

    def forward(self, x):
        return self.rnn(self.fc(x).T[:, :, None])

def build():
    torch.manual_seed(0)
    return Net()
"""
    Path("rnn.py").write_text(net)
    from torch import nn

    state = {f"fc.{k}": v for k, v in nn.Linear(5, 4).state_dict().items()}
    state |= {f"rnn.{k}": v for k, v in nn.LSTM(1, 3).state_dict().items()}
    Path("rnn").mkdir()
    torch.save(state, "rnn/step_1.pt")
    command = ["record", "--model", "rnn.py:build", "--data", "probe.npz", "-o", "run"]
    command += ["--checkpoints", "rnn/*.pt"]
    done = infoplane(*command)
    assert done.code == 0
    assert "warning: samples on axis 1, as batches of two lengths show: rnn\n" in done.err
    done = infoplane(*command, "--overwrite", "--layers", "rnn")
    assert done.code == 3
    assert "--batch-dim 'rnn=1'" in done.err
    command.append("--overwrite")
    done = infoplane(*command, "--layers", "rnn[1][0]", "--batch-dim", "rnn=1")
    assert (done.code, Run(Path("run")).layer("rnn[1][0]").shape) == (0, (1, 3))
    done = infoplane(*command, "--at", "input", "--batch-dim", "rnn=1")
    assert (done.code, Run(Path("run")).layer("rnn").shape) == (0, (4, 1))
    done = infoplane("analyze", "run", "--layers", "rnn[1][0]", "-o", "x.json")
    assert (done.code, "rnn[1][0]" in done.err) == (4, True)
    assert infoplane(*command, "--batch-dim", "rnn").code == 2


PAIR = """
import torch
from torch import nn


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.act = nn.Embedding(20, 3), nn.Tanh()

    def forward(self, words, real, padding):
        return self.act(self.embed(words))


def build():
    torch.manual_seed(0)
    return Pair()
"""


@pytest.fixture
def tokens(tmp_path, monkeypatch):
    """A model of tokens with two masks whose names say nothing; return the masks."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    real = np.arange(6) < rng.integers(1, 7, 15)[:, None]
    padding = np.arange(6) >= rng.integers(1, 7, 15)[:, None]
    ids = rng.integers(0, 20, (15, 6))
    np.savez("probe.npz", words=ids, real=real, padding=padding, y=np.arange(15) % 2)
    Path("net.py").write_text(PAIR)
    net = {}
    exec(PAIR, net)
    model = net["build"]()
    torch.save(model.state_dict(), "step_1.pt")
    with torch.no_grad():
        h = model(torch.from_numpy(ids), None, None).numpy()
    every = np.ones_like(real)
    return {
        name: (h * keep[..., None]).sum(1) / keep.sum(1, keepdims=True)
        for name, keep in {"real": real, "!padding": ~padding, "none": every}.items()
    }


def record_masked(configured, mask):
    command = [*RECORD, "--checkpoints", "step_1.pt", "--layers", "act"]
    if not configured:
        return infoplane(*command, "--reduce", "act=mean", "--mask", f"act={mask}")
    Path("infoplane.toml").write_text(f'[record]\nreduce = ["act=mean"]\nmask = ["act={mask}"]\n')
    return infoplane(*command)


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("mask", ["real", "!padding", "none"])
def test_mask_of_a_layer(tokens, configured, mask):
    done = record_masked(configured, mask)
    assert done.code == 0, done.err
    run = Run(Path("run"))
    np.testing.assert_allclose(run.activations(1, "act"), tokens[mask], atol=1e-6)
    assert run.manifest["settings"]["mask"] == {"act": mask}


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("mask", ["reel", "!pad", "None", "!none"])
def test_mask_that_is_no_argument_is_refused_with_those_that_are(tokens, configured, mask):
    done = record_masked(configured, mask)
    assert done.code == 2
    assert f"mask {mask!r}: no such argument of the model" in done.err
    assert "the probe set has words, real, padding" in done.err
    assert not Path("run").exists()


@pytest.mark.parametrize("text", ["act", "act=", "=real"])
def test_mask_without_a_glob_or_a_name_is_refused(tokens, text):
    done = infoplane(*RECORD, "--checkpoints", "step_1.pt", "--mask", text)
    assert done.code == 2
    assert "expected GLOB=NAME" in done.err


def test_mask_of_no_layer_is_refused(tokens):
    done = infoplane(*RECORD, "--checkpoints", "step_1.pt", "--mask", "fc=real")
    assert done.code == 4
    assert "fc" in done.err
    assert "act" in done.err


NOISY_NET = """
import torch
from torch import nn
from infoplane.nn import GaussianNoise


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), GaussianNoise(0.3), nn.Linear(4, 2), GaussianNoise(0.3))
"""


@pytest.fixture
def noisy_project(tmp_path, monkeypatch):
    """A network with noise, a checkpoint of it, and a probe set."""
    monkeypatch.chdir(tmp_path)
    Path("noisy_net.py").write_text(NOISY_NET)
    weights = {"0.weight": torch.ones(4, 3), "0.bias": torch.zeros(4)}
    weights |= {"2.weight": torch.ones(2, 4), "2.bias": torch.zeros(2)}
    torch.save(weights, "step_0.pt")
    inputs = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    np.savez("probe.npz", inputs=inputs, labels=np.arange(60) % 2)
    return ["record", "--model", "noisy_net.py:build", "--checkpoints", "step_0.pt",
            "--data", "probe.npz", "-o", "run"]  # fmt: skip


def test_noisy_network_from_the_command_line(noisy_project):
    done = infoplane(*noisy_project, "--keep-dropout", "--passes", "3", "--dry-run")
    assert "4 layers x 60 samples x 3 passes" in done.out
    assert infoplane(*noisy_project, "--keep-dropout", "--passes", "3").code == 0
    run = Run(Path("run"))
    assert run.passes(0, "1").shape == (60, 3, 4)
    assert (run.manifest["settings"]["passes"], run.manifest["settings"]["keep_dropout"]) == (
        3,
        True,
    )
    done = infoplane("analyze", "run", "-e", "noisy", "-o", "results.json", "-j", "1")
    assert done.code == 0
    found = json.loads(Path("results.json").read_text())["rows"]
    assert {row["layer"] for row in found} == {"1", "3"}


def test_resuming_with_other_passes_is_refused(noisy_project):
    assert infoplane(*noisy_project, "--keep-dropout", "--passes", "3").code == 0
    done = infoplane(*noisy_project, "--keep-dropout", "--passes", "4", "--resume")
    assert done.code == 3
    assert "settings.passes: 3 then, 4 now" in done.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--noise", "1"], "expected GLOB=SIGMA such as 'noise*=0.1', got '1'"),
        (["--noise", "1=0"], "expected GLOB=SIGMA"),
        (["--noise", "1=-1"], "expected GLOB=SIGMA"),
        (["--noise", "1=inf"], "expected GLOB=SIGMA"),
        (["--noise", "fc=1"], "no chosen layer matches 'fc', whose noise is declared"),
        (["--noise", "1=0.4"], "layer '1' adds noise of 0.3, but 0.4 is declared"),
        (["--passes", "0"], "0 is not in the range"),
    ],
)
def test_unfit_noise_is_one_line(options, text, noisy_project):
    done = infoplane(*noisy_project, *options)
    assert done.code == 2 or done.code == 4
    assert text in done.err
    assert not Path("run").exists()

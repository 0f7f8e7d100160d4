"""Training scripts recorded from outside: nothing in them changes, nor does what they compute."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.cli.main import run as command
from infoplane.errors import DataError, InputError
from infoplane.recording.loops.script import record_script
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run
from tests.conftest import infoplane, infoplane_here, small_net

TRAIN = """
import hashlib, random, sys
import numpy as np
import torch
from torch import nn

torch.manual_seed(0); np.random.seed(0); random.seed(0)
model = nn.Sequential(
    nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 2)
)
COMPILE
data = np.load("probe.npz")
x, y = torch.from_numpy(data["inputs"]), torch.from_numpy(data["labels"])
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x, y), batch_size=30, shuffle=True
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=float(sys.argv[1]))
for epoch in range(3):
    model.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        criterion(model(xb + 0.01 * random.random() * np.random.rand()), yb).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        model(x)
digest = hashlib.sha256()
for value in model.state_dict().values():
    digest.update(value.numpy().tobytes())
torch.save(model.state_dict(), "last.pt")
print(__name__, digest.hexdigest(), torch.rand(1).item(), np.random.rand(), random.random())
"""


def write(form=""):
    Path("train.py").write_text(TRAIN.replace("COMPILE", form))


COMPILED = "model = torch.compile(model, backend='eager')"


@pytest.mark.parametrize("form", ["", pytest.param(COMPILED, marks=pytest.mark.slow)])
def test_script_computes_the_same_with_and_without_recording(project, probe, form):
    write(form)
    plain = subprocess.run(
        [sys.executable, "train.py", "0.01"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    command = ["record", "--data", "probe.npz", "-o", "run", "--schedule", "every:5"]
    done = infoplane(*command, "--", "python", "train.py", "0.01")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == plain.stdout.strip()
    assert plain.stdout.startswith("__main__ ")
    assert done.out.splitlines()[1].startswith("recorded 4 steps x 4 layers x 120 samples in run (")
    run = Run(Path("run"))
    assert run.steps == (0, 5, 10, 12)
    assert [layer.name for layer in run.layers] == ["0", "1", "2", "4"]
    state = torch.load("last.pt", weights_only=True)
    layer = nn.Linear(5, 8)
    layer.load_state_dict(
        {key: state[f"{'_orig_mod.' if form else ''}0.{key}"] for key in ("weight", "bias")}
    )
    with torch.no_grad():
        expected = layer(torch.from_numpy(probe.inputs))
    np.testing.assert_array_equal(run.activations(12, "0"), expected)


def recorded(text, make=None, *, command=("python", "train.py")):
    Path("train.py").write_text(text)
    return record_script(
        command, make or (lambda model, inputs: Recorder(model, (inputs[0], None), "run"))
    )


SMALL = """
import sys
import torch
from torch import nn
net, x = nn.Sequential(nn.Linear(3, 2)), torch.randn(4, 3)
optimizer = torch.optim.{optimizer}(net.parameters(), lr=0.1)
"""


def test_first_training_batch_is_the_probe_set_by_default(project):
    text = SMALL.format(optimizer="SGD") + (
        "with torch.no_grad(): net(2 * x)\nnet(x).sum().backward()\noptimizer.step()\n"
        "torch.save(x, 'x.pt')"
    )
    recorder = recorded(text, command=["python", "-m", "train"])
    assert recorder.steps == (0, 1)
    np.testing.assert_array_equal(Run(Path("run")).probe.inputs, torch.load("x.pt").numpy())
    assert not nn.modules.module._global_forward_pre_hooks
    assert not nn.modules.module._global_forward_hooks


def test_steps_before_the_model_is_known_are_counted(project):
    """An optimizer that calls the model itself shows it during its first step."""
    text = SMALL.format(optimizer="LBFGS") + (
        "def closure():\n    optimizer.zero_grad(); loss = net(x).square().sum(); loss.backward()\n"
        "    return loss\n"
        "for _ in range(3): optimizer.step(closure)\n"
    )
    assert recorded(text).steps == (1, 2, 3)


def test_script_that_goes_to_another_folder(project, capsys):
    text = SMALL.format(optimizer="SGD") + (
        "import os\nos.makedirs('a/b')\nos.chdir('a')\n"
        "for step in range(3):\n"
        "    net(x).sum().backward(); optimizer.step(); os.chdir('b' if step == 1 else '.')\n"
    )
    Path("train.py").write_text(text)
    assert command(["record", "-o", "runs/a", "--", "python", "train.py"]) == 0
    assert "recorded 4 steps x 1 layer x 4 samples in runs/a" in capsys.readouterr().out
    assert Path.cwd() == project
    assert Run(Path("runs/a")).steps == (0, 1, 2, 3)


@pytest.mark.parametrize("words", [["python", "train.py"], ["python3", "-u", "train.py"]])
def test_script_knows_its_file_as_under_the_interpreter(project, words):
    text = SMALL.format(optimizer="SGD") + (
        "from pathlib import Path\nPath('file').write_text(__file__)\n"
        "net(x).sum().backward(); optimizer.step()\n"
    )
    assert recorded(text, command=words).steps == (0, 1)
    assert Path("file").read_text() == str(project / "train.py")


def test_script_that_fails_keeps_what_was_recorded(project, capsys):
    text = SMALL.format(optimizer="SGD") + "net(x).sum().backward(); optimizer.step(); {}\n"
    with pytest.raises(DataError, match=r"python train\.py: ValueError: no$"):
        recorded(text.format("raise ValueError('no')"))
    assert "train.py" in capsys.readouterr().err  # its own traceback
    assert Run(Path("run")).steps == (0, 1)
    with pytest.raises(DataError, match="ended with exit status 3"):
        recorded(
            text.format("sys.exit(3)"),
            lambda *found: Recorder(found[0], (found[1][0], None), "run2"),
        )


def test_recording_that_cannot_begin_does_not_stop_the_script(project, caplog):
    text = SMALL.format(optimizer="SGD") + (
        "net(x).sum().backward(); optimizer.step(); torch.save(x, 'done')"
    )

    def make(model, inputs):
        raise InputError("no probe set")

    with pytest.raises(DataError, match="nothing was recorded: see the warning"):
        recorded(text, make)
    assert "nothing is recorded, training goes on: no probe set" in caplog.text
    assert Path("done").exists()


NAMED = """
import torch
class Both(torch.nn.Sequential):
    def forward(self, x, again=None): return super().forward(x + again)
net, x = Both(torch.nn.Linear(3, 2)), torch.randn(4, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(x, again=x).sum().backward()
optimizer.step()
open("done", "w").close()
"""


def test_script_of_which_no_step_could_be_recorded_is_told(project, caplog):
    with pytest.raises(DataError, match="nothing was recorded: see the warning") as error:
        recorded(NAMED)
    assert "--data" in error.value.hint
    assert "recording ends at step 0, training goes on" in caplog.text
    assert Path("done").exists()


def test_script_without_training_is_told(project):
    with pytest.raises(DataError, match="no torch optimizer stepped a model"):
        recorded("print('nothing')")


@pytest.mark.parametrize("command", [["torchrun", "train.py"], ["python"], ["python", "-c", "1"]])
def test_commands_that_cannot_be_recorded(command):
    with pytest.raises(InputError, match=r"expected python SCRIPT\.py or python -m MODULE"):
        record_script(command, lambda *found: None)


def test_usage(project):
    assert (
        infoplane_here("record", "-o", "r", "--model", "a:b", "--", "python", "train.py").code == 2
    )
    done = infoplane_here("record", "-o", "r", "--", "python", "nowhere.py")
    assert (done.code, done.err.startswith("error[IP101]: nowhere.py: no such file")) == (2, True)
    done = infoplane_here("record", "-o", "r", "--model", "a:b", "--checkpoints", "*.pt")
    assert (done.code, "Missing option '--data'" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gradients"], "--gradients is for --checkpoints"),
        (["--device", "cpu"], "--device is for --checkpoints"),
        (["--no-strict"], "--strict is for --checkpoints"),
        (["--model", "net.py:build"], "--model is for --checkpoints"),
        (["--samples", "10"], "--samples is for --data"),
        (["--label-bins", "3"], "--label-bins is for --data"),
    ],
)
def test_option_that_would_change_nothing_is_refused(project, capsys, options, message):
    Path("train.py").write_text("raise SystemExit('ran')")
    assert command(["record", "-o", "runs/a", *options, "--", "python", "train.py"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "old"], "old: already holds a run"),
        (["-o", "ckpt"], "ckpt: the folder holds files that are not of a run"),
        (["-o", "old", "--overwrite", "--resume"], "expected overwrite or resume, got both"),
        (["-o", "new", "--schedule", "every:0"], "expected a schedule such as"),
        (["-o", "new", "--schedule", "epoch"], "the epochs of a script are not seen"),
        (["-o", "new", "--reduce", "fc1=half"], "expected a reduction among"),
    ],
)
def test_what_is_wrong_from_the_start_is_told_before_the_script_runs(
    project, probe, capsys, options, message
):
    with Recorder(small_net(), probe, "old") as recorder:
        recorder.snapshot(0)
    Path("train.py").write_text("open('ran', 'w')")
    assert command(["record", *options, "--", "python", "train.py"]) in (2, 3)
    assert message in capsys.readouterr().err
    assert not Path("ran").exists()


def test_pattern_that_the_shell_replaced_is_told(project, capsys):
    files = sorted(map(str, Path("ckpt").iterdir()))
    arguments = ["record", "--model", "net.py:build", "--data", "probe.npz", "-o", "runs/a"]
    assert command([*arguments, "--checkpoints", *files]) == 2
    assert f"got {files[1]!r} as well: write the pattern in quotes" in capsys.readouterr().err

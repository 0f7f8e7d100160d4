import compileall
import contextlib
import importlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# One numerical thread each, as in the workers; before numpy is loaded.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import hypothesis
import numpy as np
import pytest
import torch
from torch import nn

from infoplane.data import ProbeSet
from tests.processes import LONG, end_processes
from tests.workers import one_worker_is_here

hypothesis.settings.register_profile("default", deadline=None, max_examples=40)
hypothesis.settings.load_profile("default")

_LONG = (
    "test_figures", "test_demo", "test_executors", "test_analyze", "test_analyze_cache",
    "test_sample_runs", "test_report", "test_plot", "test_script", "test_masks",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Compile the tree once: every process would, where Python is told to keep no byte code."""
    if not hasattr(config, "workerinput"):
        for name in ("infoplane", "cli", "sample_runs"):
            compileall.compile_dir(Path(__file__).parent.parent / name, quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with them."""
    items.sort(key=lambda item: item.path.stem not in _LONG)


# The defaults, of fewer samples: pages say nothing of how many an estimator takes.
QUICK = """
[analyze]
jobs = 1
[estimator.dse]
max_samples = 300
[estimator.probe]
max_samples = 300
"""

NET = """
from collections import OrderedDict
from torch import nn

def build():
    return nn.Sequential(OrderedDict(
        fc1=nn.Linear(5, 4), act1=nn.Tanh(),
        fc2=nn.Linear(4, 3), act2=nn.Tanh(),
        out=nn.Linear(3, 2),
    ))
"""


def small_net() -> nn.Module:
    namespace: dict = {}
    exec(NET, namespace)  # the text that the command line tests write to net.py
    return namespace["build"]()


@pytest.fixture(autouse=True, scope="session")
def _one_worker_is_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        one_worker_is_here(patch)
        yield


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """What a test has started ends with it, also where it fails."""
    yield
    end_processes()


@pytest.fixture
def probe() -> ProbeSet:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(120, 5)).astype(np.float32)
    return ProbeSet(inputs, (inputs[:, 0] > 0).astype(np.int64))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ProbeSet) -> Path:
    """A user's folder: net.py, probe.npz, ckpt/epoch_{0,2,10}.pt; also the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    np.savez("probe.npz", inputs=probe.inputs, labels=probe.labels)
    Path("ckpt").mkdir()
    torch.manual_seed(0)
    net = small_net()
    for epoch in (0, 2, 10):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5)
        torch.save(net.state_dict(), f"ckpt/epoch_{epoch}.pt")
    return tmp_path


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        assert "Traceback" not in err, err
        self.code, self.out, self.err = code, out, err


def infoplane(*arguments: str, cwd: Path | None = None, **env: str) -> Result:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "infoplane", *arguments],
        capture_output=True,
        text=True,
        timeout=LONG,
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def infoplane_here(*arguments: str, cwd: Path | None = None, **env: str) -> Result:
    """Run the command line in this process, where torch and matplotlib are loaded once.

    For what a command does; not for signals, what it loads, or how Python itself was started.
    """
    from infoplane.cli.main import run

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.ExitStack() as stack:
        stack.enter_context(as_in_a_new_process(cwd or Path.cwd(), env))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        code = run(list(arguments))
    for stream in (out, err):
        stream.seek(0)
    return Result(int(code), out.read(), err.read())


@contextlib.contextmanager
def as_in_a_new_process(cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """Set folder and variables; take over and leave no module of a user, such as net.py."""
    _forget_modules_of_other_tests()
    modules, path, variables = set(sys.modules), list(sys.path), dict(os.environ)
    before = Path.cwd()
    os.chdir(cwd)
    os.environ |= env
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = further = [one for one in named if one and one not in sys.path]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ |= variables
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(map(Path(file).is_relative_to, (Path.cwd(), *further))):
                del sys.modules[name]
        os.chdir(before)


def _forget_modules_of_other_tests() -> None:
    """Drop what tests imported from their temporary folders."""
    temporary = Path(tempfile.gettempdir()).resolve()
    ours = (Path(__file__).resolve().parents[1], Path(sys.prefix).resolve())
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or not (found := Path(file).resolve()).is_relative_to(temporary):
            continue
        if not any(map(found.is_relative_to, ours)):
            del sys.modules[name]

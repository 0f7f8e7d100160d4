"""What goes where: colours, progress, quiet, closed pipes, exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.cli.main import run
from infoplane.errors import ExitCode
from tests.cli.analyses import write_run
from tests.conftest import infoplane
from tests.gate.made import compressing
from tests.processes import LONG, start_process

RULE = ("--require", "runs() == 3")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    Path(".git").mkdir()
    Path("r.json").write_text(json.dumps(compressing()))


@pytest.mark.parametrize(
    ("arguments", "environment", "colored"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "0"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colours(capsys, monkeypatch, arguments, environment, colored):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(["check", "r.json", *RULE, *arguments]) == 0
    assert ("\x1b[" in capsys.readouterr().out) == colored
    assert run([*arguments, "check", "none.json", *RULE]) == 3
    assert ("\x1b[" in capsys.readouterr().err) == colored


def test_forced_colours_draw_no_bar_in_a_pipe():
    write_run("net-s0", n=60)
    arguments = ("analyze", "net-s0", "-e", "binning", "-j", "1", "--no-cache")
    done = infoplane(*arguments, "-o", "a.json", FORCE_COLOR="1")
    assert "\x1b" not in done.err
    assert "analyze" in done.err
    for silent in (["--progress", "none"], ["-q"]):
        done = infoplane(*arguments, *silent, "-o", f"{silent[0]}.json")
        assert done.code == 0
        assert "cells" not in done.err
    assert "\x1b[" in infoplane(*arguments, "--progress", "bar", "-o", "b.json").err


def test_json_is_all_of_stdout_even_where_annotations_are_written(capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run(["check", "r.json", "--require", "runs() == 9", "--format", "json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "fail"
    assert err.startswith("::error title=infoplane%3A runs() == 9::")


def test_a_closed_pipe_ends_quietly():
    rows = ("--format", "json", *[part for _ in range(400) for part in RULE])
    command = [sys.executable, "-m", "infoplane", "check", "r.json", *rows]
    process = start_process(command)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=LONG) == 0


def test_text_of_a_stream_that_carries_ascii_alone():
    document = json.dumps(compressing(layers=("fc\u00e9",)))
    Path("r.json").write_text(document)
    done = infoplane("compare", "r.json", "r.json", PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert "fc\\xe9" in done.out


def _bug(monkeypatch):
    import infoplane.results.notebook as notebook

    def broken(paths):
        raise RuntimeError("broken\x1b[2J")

    monkeypatch.setattr(notebook, "load", broken)


def test_every_exit_code(capsys, monkeypatch):
    assert run(["check", "r.json", *RULE]) == ExitCode.OK == 0
    assert run(["check", "r.json", "--require", "runs() == 4"]) == ExitCode.CHECK_FAILED == 1
    assert run(["check", "r.json", "--require", "runs("]) == ExitCode.USAGE == 2
    assert run(["check", "--nonsense"]) == 2
    assert run(["chekc"]) == 2
    assert run(["check", "none.json", *RULE]) == ExitCode.DATA == 3
    assert run(["check", "r.json"]) == ExitCode.NOTHING == 4
    capsys.readouterr()
    _bug(monkeypatch)
    assert run(["check", "r.json", *RULE]) == ExitCode.BUG == 70
    err = capsys.readouterr().err
    assert "error[IP900]: a bug in infoplane: RuntimeError: broken\\x1b[2J" in err
    assert "Traceback" not in err
    assert run(["check", "r.json", *RULE, "-vv"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_interrupts_have_codes_of_their_own(capsys, monkeypatch):
    import infoplane.results.notebook as notebook
    from infoplane.errors import TerminatedError

    for kind, code in ((KeyboardInterrupt, 130), (TerminatedError, 143)):

        def stopped(paths, kind=kind):
            raise kind

        monkeypatch.setattr(notebook, "load", stopped)
        assert run(["check", "r.json", *RULE]) == code


def test_help_says_every_exit_code(capsys):
    assert run(["-h"]) == 0
    out = capsys.readouterr().out
    epilog = out[out.index("Exit codes:") :]
    for code in ExitCode:
        assert f" {int(code)} " in re.sub("[():]", " ", epilog), code


@pytest.mark.parametrize("command", [["check", "r.json", *RULE], ["compare", "r.json", "r.json"]])
def test_the_gate_loads_neither_torch_nor_matplotlib(command):
    code = (
        "import sys; from infoplane.cli.main import run\n"
        f"status = run({command!r})\n"
        "heavy = {'torch', 'matplotlib', 'h5py', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_signal_in_a_finalizer_is_kept_and_prints_nothing():
    code = """
import os, signal
from infoplane.cli import signals

class Slow:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

signals.install()
Slow()
try:
    signals.check()
except KeyboardInterrupt as stop:
    print(type(stop).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "TerminatedError\n"
    assert done.stderr == ""

"""Commands in a process of limited time and memory, on files that may be anything."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from infoplane.analysis import executors
from infoplane.cli.main import run
from infoplane.errors import ExitCode
from tests.workers import Here

REFUSED = {ExitCode.DATA, ExitCode.NOTHING, ExitCode.USAGE}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``analyze`` work in this process."""
    monkeypatch.setattr(executors, "Processes", Here)


def told(*arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it said, which must be safe to show."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = int(run(list(arguments)))
    said = out.getvalue() + err.getvalue()
    assert code in set(ExitCode) - {ExitCode.BUG}, (arguments, said)
    assert "Traceback" not in said, said
    assert all(char == "\n" or char.isprintable() for char in said), repr(said)
    assert not any(line.lstrip().startswith("::") for line in said.splitlines()), said
    if code in REFUSED:
        lines = err.getvalue().splitlines()
        errors = [line for line in lines if line.startswith("error[IP")]
        assert len(errors) == 1 or "--verify" in arguments, (arguments, said)
    return code, said


def through_every_command(run_path: str) -> dict[str, int]:
    """Show, analyze, and where that succeeds draw and gate a run; return the exit codes."""
    codes = {
        "inspect": told("inspect", run_path)[0],
        "stats": told("inspect", run_path, "--stats", "--tree", "--format", "json")[0],
        "verify": told("inspect", run_path, "--verify")[0],
    }
    output = Path("r.json")
    output.unlink(missing_ok=True)
    codes["analyze"] = told(
        "analyze", run_path, "-e", "binning", "-q", "--no-cache", "-o", str(output), "--overwrite"
    )[0]
    if not output.exists():
        return codes
    json.loads(output.read_text())
    rule = "last(ity) >= 0"
    codes["check"] = told("check", "r.json", "--require", rule, "--junit", "j.xml")[0]
    codes["compare"] = told("compare", "r.json", "r.json", "--markdown", "m.md")[0]
    codes["inspect results"] = told("inspect", "r.json")[0]
    return codes

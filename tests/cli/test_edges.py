"""What a process may be started with: closed and full streams, folders, names and limits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.errors import refused
from tests.cli.analyses import write_run
from tests.conftest import infoplane_here
from tests.gate.made import compressing
from tests.processes import LONG

PASS, FAIL = ("--require", "runs() == 3"), ("--require", "runs() == 4")

COMMANDS = {
    "passes": (["check", "r.json", *PASS], 0),
    "fails": (["check", "r.json", *FAIL], 1),
    "usage": (["check", "--nonsense"], 2),
    "missing": (["check", "none.json", *PASS], 3),
    "nothing": (["check", "r.json"], 4),
    "help": (["-h"], 0),
    "document": (["export", "r.json", "--to", "csv", "-o", "-"], 0),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    Path("r.json").write_text(json.dumps(compressing()))


def by_shell(redirection, arguments):
    """Run a command with its streams redirected by a shell."""
    command = ["bash", "-c", f'"$0" "$@" {redirection}', sys.executable, "-m", "infoplane"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=LONG, check=False
    )


@pytest.mark.parametrize(
    ("command", "redirection"),
    [
        *((command, "<&- >&- 2>&-") for command in COMMANDS),
        *((command, "2>/dev/full") for command in ("missing", "usage", "fails")),
        *((command, "| true; exit ${PIPESTATUS[0]}") for command in ("fails", "document")),
        ("passes", ">&-"),
        ("missing", "2>&-"),
    ],
)
def test_streams_that_nobody_reads_leave_the_exit_code(command, redirection):
    arguments, code = COMMANDS[command]
    done = by_shell(redirection, arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "IP900" not in done.stderr


@pytest.mark.parametrize("command", ["passes", "fails", "help", "document"])
def test_stdout_that_is_full_is_told_in_one_line(command):
    done = by_shell(">/dev/full", COMMANDS[command][0])
    line = "error[IP305]: stdout: cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (3, line)
    assert by_shell(">/dev/full 2>/dev/full", COMMANDS[command][0]).returncode == 3


def test_files_are_not_taken_for_closed_streams():
    write_run("net-s0", n=60)
    arguments = ["analyze", "net-s0", "-e", "binning", "-o", "a.json"]
    assert by_shell("<&- >&- 2>&-", arguments).returncode == 0
    assert infoplane_here("inspect", "a.json").code == 0


@pytest.mark.parametrize("backend", ["nonsense", "TkAgg", "module://none.such"])
def test_inherited_backends_do_not_matter(backend):
    environment = {**os.environ, "MPLBACKEND": backend}
    code = "import os, infoplane.plots; print(os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == (f"{backend}\n", "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["estimators"], 0),
        (["check", "{r}", *PASS], 0),
        (["check", "{r}", *FAIL], 1),
        (["check", "r.json", *PASS], 3),
        (["init"], 3),
        (["record", "--model", "n:n", "--checkpoints", "c", "--data", "d", "-o", "r"], 3),
    ],
)
def test_working_folder_that_was_removed(tmp_path, monkeypatch, arguments, code):
    from infoplane.cli.main import run

    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run([text.format(r=tmp_path / "r.json") for text in arguments]) == code
    monkeypatch.chdir(tmp_path)


def test_byte_order_mark_before_the_configuration():
    Path("infoplane.toml").write_bytes(b"\xef\xbb\xbf[analyze]\nseed = 1\n")
    assert infoplane_here("config", "check").code == 0


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80", "lay\u00e9r".encode()])
def test_results_of_folders_of_any_name_are_read_again(name):
    write_run("net-s0", n=60)
    folder = os.fsdecode(name)
    Path("net-s0").rename(folder)
    manifest = json.loads((Path(folder) / "manifest.json").read_text())
    del manifest["run"]
    (Path(folder) / "manifest.json").write_text(json.dumps(manifest))
    done = infoplane_here("analyze", folder, "-e", "binning", "-j", "1", "-o", "a.json")
    assert done.code == 0, done.err
    for arguments in (["inspect", "a.json"], ["check", "a.json", "--require", "runs() == 1"]):
        assert infoplane_here(*arguments).code == 0
    rows = json.loads(Path("a.json").read_text(encoding="utf-8"))["rows"]
    assert all(row["value"] is not None for row in rows if row["quantity"] == "ixt")
    assert {row["run"] for row in rows} == {name.decode("utf-8", "surrogateescape").encode(
        "utf-8", "backslashreplace").decode()}  # fmt: skip


@pytest.mark.parametrize("seed", [10**300, 2**64, "one", 1.5])
def test_seed_that_results_cannot_hold_is_refused_before_the_work(seed):
    write_run("net-s0", n=60)
    path = Path("net-s0/manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": seed}))
    done = infoplane_here("analyze", "net-s0", "-e", "binning", "-o", "a.json")
    assert done.code == 3
    assert "error[IP310]: net-s0: seed: expected integer or null" in done.err
    assert not Path("a.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "x" * 300],
        ["inspect", "x" * 300, "--verify"],
        ["check", "x" * 300, *PASS],
        ["plot", "x" * 300, "-o", "figures"],
        ["merge", "r.json", "-o", "x" * 300],
        ["analyze", "x" * 300],
        ["analyze", "net-s0", "-e", "binning", "-o", "x" * 300],
        ["pack", "net-s0", "x" * 300],
    ],
)
def test_names_longer_than_the_file_system_takes(arguments):
    write_run("net-s0", n=60)
    done = infoplane_here(*arguments)
    assert done.code == 3
    assert "error[IP30" in done.err
    assert "File name too long" in done.err


def test_verified_run_without_steps_is_not_intact():
    write_run("net-s0", n=60)
    shutil.rmtree("net-s0/steps")
    done = infoplane_here("inspect", "net-s0", "--verify")
    assert (done.code, done.out) == (4, "net-s0: no complete step\n")
    told = json.loads(infoplane_here("inspect", "net-s0", "--verify", "--format", "json").out)
    assert told["empty"] == ["net-s0"]


def test_verified_run_that_cannot_be_read_is_not_called_damaged(monkeypatch):
    write_run("net-s0", n=60)

    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    done = infoplane_here("inspect", "net-s0", "--verify")
    assert done.code == 3
    assert "cannot be read (Input/output error)" in done.out
    assert "no damage" in done.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(24, "Too many open files"), "IP309"),
        (MemoryError(), "IP309"),
        (OSError(28, "No space left on device", "x"), "IP305"),
        (PermissionError(13, "Permission denied", "x"), "IP303"),
        (OSError(36, "File name too long", "x"), "IP303"),
        (OSError(9, "Bad file descriptor"), None),
        (BrokenPipeError(32, "Broken pipe"), None),
        (ValueError("errno = 5"), None),
    ],
)
def test_what_the_system_refuses_is_no_bug(error, code):
    found = refused(error)
    assert (found and found.code) == code

"""Files appear whole, follow no link, and what killed processes left goes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infoplane.errors import RunFileError
from infoplane.runs import atomic
from infoplane.runs.atomic import append_file, private_folder, replace_file, replacing
from tests.processes import LONG, start_process, wait_until

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and locks of POSIX")


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@posix
@pytest.mark.parametrize("write", [replace_file, append_file])
@pytest.mark.parametrize("target", ["victim", "missing", "folder/victim"])
def test_a_link_at_the_output_is_not_followed(tmp_path, victim, write, target):
    out = tmp_path / "out.json"
    out.symlink_to(tmp_path / target)
    if write is append_file:
        with pytest.raises(RunFileError, match="cannot be written"):
            write(out, b"new")
    else:
        write(out, b"new")
        assert not out.is_symlink()
        assert out.read_bytes() == b"new"
    assert victim.read_text() == "precious"
    assert not (tmp_path / "missing").exists()


@posix
def test_names_that_are_guessed_lead_nowhere(tmp_path, victim):
    for pid in range(os.getpid(), os.getpid() + 50):
        for name in (f"out.json.{pid}.tmp", f".out.json.{pid}.tmp"):
            (tmp_path / name).symlink_to(victim)
    replace_file(tmp_path / "out.json", b"new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "out.json").read_bytes() == b"new"


@posix
def test_nobody_else_writes_where_it_is_made(tmp_path):
    before = os.umask(0)
    try:
        with private_folder(tmp_path / "out") as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
        replace_file(tmp_path / "out", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o666
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["x", "x" * 255, "é" * 127, "日" * 85, "a*[b]?", ".hidden"])
def test_any_name_that_the_system_takes(tmp_path, name):
    replace_file(tmp_path / "deep" / name, b"1")
    replace_file(tmp_path / "deep" / name, b"2")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "deep").iterdir()] == [(name, b"2")]


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@posix
def test_pipes_and_devices_are_written_to(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = start_process(["cat", str(fifo)], text=True)
    replace_file(fifo, b"through")
    assert reader.communicate(timeout=LONG)[0] == "through"
    replace_file(Path("/dev/null"), b"away")
    append_file(Path("/dev/null"), b"away")
    assert Path("/dev/null").is_char_device()


def test_appending_makes_the_file(tmp_path):
    append_file(tmp_path / "a" / "summary", b"1")
    append_file(tmp_path / "a" / "summary", b"2")
    assert (tmp_path / "a" / "summary").read_bytes() == b"12"


@posix
def test_a_full_disk_leaves_what_was_appended_to(tmp_path, monkeypatch):
    path = tmp_path / "summary"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from infoplane.runs.atomic import append_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "append_file(Path(sys.argv[1]), bytes(5000))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False)
    assert b"cannot be written" in done.stderr
    assert path.read_bytes() == b"old"


HOLD = """
import sys, time
from pathlib import Path
from infoplane.runs.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("mine")
    time.sleep(float(sys.argv[2]))
"""


@posix
def test_only_what_dead_processes_left_is_removed(tmp_path):
    path = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(path)]
    alive, killed = start_process([*command, "600"]), start_process([*command, "600"])
    wait_until(lambda: len(list(tmp_path.glob(".out.*.tmp/new"))) == 2, alive, "written")
    killed.kill()
    killed.wait(timeout=LONG)
    kept = ["other.tmp", ".out.mine.tmp", ".output.12.tmp", ".out.json.tmp", ".out.99999"]
    for name in kept:
        (tmp_path / name).write_text("of somebody")
    (tmp_path / ".out.99999.tmp").touch()  # of an earlier release
    replace_file(path, b"new")
    left = sorted(p.name for p in tmp_path.iterdir() if p.is_file())
    assert left == sorted([*kept, "out"])
    assert len(list(tmp_path.glob(".out.*.tmp/new"))) == 1
    alive.kill()
    alive.wait(timeout=LONG)
    replace_file(path, b"newer")
    assert not list(tmp_path.glob(".out.*.tmp/new"))


@posix
@pytest.mark.parametrize(("days", "stays"), [(0, True), (2, False)])
def test_without_locks_age_tells(tmp_path, monkeypatch, days, stays):
    left = tmp_path / ".out.abcdefgh.tmp"
    left.mkdir()
    (left / "new").touch()
    at = time.time() - days * 24 * 3600
    os.utime(left, (at, at))
    monkeypatch.setattr(atomic, "_lock", lambda path: None)
    replace_file(tmp_path / "out", b"x")
    assert left.exists() is stays

"""The pipeline on other systems than this one, by taking away what they lack."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from infoplane import system
from infoplane.analysis import executors
from infoplane.cli import options, signals, streams
from infoplane.recording.loops.script import _PYTHON
from infoplane.runs.disk import Room
from tests.conftest import infoplane_here
from tests.processes import LONG

SIMULATED = Path(__file__).parent / "simulated"
linux = pytest.mark.skipif(sys.platform != "linux", reason="the simulation is one of Linux")

RECORD = (
    "record", "-q", "--model", "net.py:build", "--checkpoints", "ckpt/epoch_*.pt",
    "--data", "probe.npz", "-o", "run",
)  # fmt: skip
PIPELINE = (
    RECORD,
    (*RECORD, "--resume"),
    (*RECORD, "--overwrite"),
    ("inspect", "run", "--verify"),
    ("analyze", "run", "-e", "binning", "-j", "2", "-o", "r.json", "--color", "always"),
    ("analyze", "run", "-e", "binning", "-n"),
    ("pack", "run", "run.h5"),
    ("analyze", "run.h5", "-e", "binning", "-q", "-j", "1", "-o", "p.json"),
    ("check", "r.json", "--require", "runs() >= 1", "--junit", "j.xml"),
    ("plot", "r.json", "-q", "-f", "plane", "-o", "figures", "--report", "report.html"),
    ("export", "r.json", "--to", "csv", "-o", "r.csv"),
)

ONE_AFTER_ANOTHER = """
import ast, sys
from infoplane.cli.main import main

for command in ast.literal_eval(sys.argv.pop()) if __name__ == "__main__" else ():
    print("+ infoplane", *command, file=sys.stderr, flush=True)
    sys.argv[1:] = command
    try:
        main()
    except SystemExit as done:
        if done.code:
            raise
"""


@linux
@pytest.mark.parametrize("name", ["macos", "windows"])
def test_every_command_works(project, name):
    """In ASCII too: no file is opened in the encoding of the system, no stream lacks a sign."""
    variables = {
        "SIMULATED": name,
        "PYTHONPATH": str(SIMULATED),
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
        "PYTHONWARNDEFAULTENCODING": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, repr(PIPELINE)],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=LONG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("+ infoplane ") == len(PIPELINE)
    assert not re.search("infoplane.*EncodingWarning", done.stderr), done.stderr
    assert not list(Path().rglob("*.tmp"))
    bytes_of = {path.name: path.read_bytes() for path in Path("run/steps").iterdir()}
    assert infoplane_here(*RECORD, "--overwrite").code == 0
    assert {path.name: path.read_bytes() for path in Path("run/steps").iterdir()} == bytes_of


@pytest.fixture
def windows(monkeypatch):
    for name in ("pread", "pwrite", "posix_fallocate", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(system, "_NO_LINK", 0)
    monkeypatch.setattr(system, "_unix", None)
    monkeypatch.setattr(system, "_windows", Msvcrt())
    monkeypatch.setattr(system, "SHELL_RESOLVES_GLOBS", False)


class Msvcrt:
    """The locks of Windows, as its library gives them."""

    LK_NBLCK = 2

    def __init__(self):
        self.held = set()

    def locking(self, descriptor, mode, size):
        file = os.fstat(descriptor).st_ino
        if mode != self.LK_NBLCK or size != 1 or file in self.held:
            raise PermissionError(13, "Permission denied")
        self.held.add(file)


def test_without_positioned_calls_bytes_keep_their_place(windows, tmp_path):
    data = np.arange(3 << 20, dtype=np.uint8)  # more than is moved at once
    descriptor = system.open_file(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    system.write_at(descriptor, data.data, 7)
    system.write_at(descriptor, b"\r\n\x1a\n", 1)
    found = bytearray(len(data))
    system.read_at(descriptor, memoryview(found), 7)
    os.close(descriptor)
    assert found == data.tobytes()
    assert (tmp_path / "x").read_bytes()[:7] == b"\0\r\n\x1a\n\0\0"


def test_without_flock_one_process_at_a_time_writes(windows, tmp_path):
    first, second = (system.open_file(tmp_path / "x", os.O_WRONLY | os.O_CREAT) for _ in "ab")
    assert system.lock(first)
    assert not system.lock(second)
    os.close(first)
    os.close(second)


def test_without_o_nofollow_no_link_is_followed(windows, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        system.open_file(tmp_path / "link", os.O_WRONLY | os.O_CREAT)
    assert not (tmp_path / "victim").exists()


def test_processors_are_counted(windows):
    assert system.processors() == os.cpu_count()


def test_one_module_alone_asks_the_system_for_them():
    package = Path(system.__file__).parent
    asking = [path for path in package.rglob("*.py") if "sched_getaffinity" in path.read_text()]
    assert asking == [Path(system.__file__)]


def test_no_more_processes_than_windows_can_wait_for(monkeypatch):
    monkeypatch.setattr(executors, "MOST_PROCESSES", 61)
    assert [executors.Processes(jobs).jobs for jobs in (1, 61, 200)] == [1, 61, 61]


def test_room_has_no_name(tmp_path):
    room = Room(tmp_path, 1 << 20, 2)
    assert not list(tmp_path.iterdir())
    room.close()


def test_what_somebody_looks_into_is_replaced_a_moment_later(monkeypatch):
    monkeypatch.setattr(system, "_PAUSES", (0.0, 0.0, 0.0))
    tries = []

    def change(name):
        tries.append(name)
        if len(tries) < 4:
            raise PermissionError(13, "in use")

    system.patiently(change, "x")
    assert tries == ["x"] * 4
    with pytest.raises(PermissionError):
        system.patiently(always_in_use)


def always_in_use():
    raise PermissionError(13, "in use")


@pytest.mark.parametrize("full", [True, False])
def test_macos_syncs_past_the_memory_of_the_drive(monkeypatch, tmp_path, full):
    class Fcntl:
        F_FULLFSYNC = 51

        def fcntl(self, descriptor, number):
            called.append(number)
            if not full:
                raise OSError(45, "Operation not supported")  # a network drive

    called = []
    monkeypatch.setattr(system, "_unix", Fcntl())
    monkeypatch.setattr(os, "fsync", lambda descriptor: called.append("fsync"))
    system.sync(0)
    assert called == ([51] if full else [51, "fsync"])


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("net:build", ("net", "build")),
        ("net.py:a.b", ("net.py", "a.b")),
        ("C:\\x\\net.py:build", ("C:\\x\\net.py", "build")),
        ("c:/x/net.py:build", ("c:/x/net.py", "build")),
        ("C:\\x\\probe.npz", ("C:\\x\\probe.npz", "")),
        ("C:/x/probe.npz:x,y", ("C:/x/probe.npz", "x,y")),
        ("probe.npz", ("probe.npz", "")),
        ("n:build", ("n", "build")),
        (":build", ("", "build")),
    ],
)
def test_the_colon_of_a_drive_divides_nothing(reference, parts):
    assert system.split_reference(reference) == parts


def test_drive_in_a_reference_is_told_as_no_callable(project):
    done = infoplane_here(*RECORD[:3], "C:\\x\\net.py", *RECORD[4:])
    assert done.code == 2
    assert "expected MODULE:CALLABLE" in done.err


@pytest.mark.parametrize(
    ("word", "runs"),
    [
        ("python", True), ("python3", True), ("python3.12", True), ("python.exe", True),
        ("Python3.EXE", True), ("py", True), ("py.exe", True), ("pythonista", False),
        ("python.sh", False), ("ipython", False),
    ],
)  # fmt: skip
def test_names_of_python(word, runs):
    assert bool(_PYTHON.fullmatch(word)) == runs


NAMES = [
    "s0",
    "S0",
    "CON",
    "con.txt",
    "nul",
    "COM1",
    "a:b",
    "a/b",
    "..",
    ".x",
    "x.",
    "x ",
    "é",
    "É",
]


def test_names_of_files_are_names_on_every_system():
    made = []
    for name in NAMES:
        made.append(system.file_name(name, made))
    assert [unquote(name) for name in made] == NAMES
    assert len({name.casefold() for name in made}) == len(NAMES)
    for name in made:
        assert not set(name) & set('<>:"/\\|?*')
        assert name.partition(".")[0].casefold() not in ("con", "nul", "com1")
        assert name[0] != "."
        assert name[-1] not in ". "


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("runs/*",), ("runs/a", "runs/b")),
        (("runs/a", "runs/[b]"), ("runs/a", "runs/b")),
        (("none*",), ("none*",)),
        (("[x]",), ("[x]",)),
    ],
)
def test_globs_that_the_shell_leaves_are_resolved(windows, tmp_path, monkeypatch, names, found):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/a", "runs/b", "[x]", "x"):
        Path(name).mkdir(parents=True)
    assert tuple(Path(name) for name in options.globbed(None, None, names)) == tuple(
        map(Path, found)
    )
    monkeypatch.setattr(system, "SHELL_RESOLVES_GLOBS", True)
    assert options.globbed(None, None, names) == names


def test_paths_of_another_drive_stay_whole(monkeypatch, tmp_path):
    def fail(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    assert system.relative(tmp_path / "a" / "b", tmp_path) == str(Path("a/b"))
    monkeypatch.setattr(os.path, "relpath", fail)
    assert system.relative(tmp_path / "a", tmp_path) == str(tmp_path / "a")


class Console(io.RawIOBase):
    """As ``io._WindowsConsoleIO``: what it is given is UTF-8, whatever the code of the console."""

    def __init__(self):
        self.shown = b""

    def writable(self):
        return True

    def fileno(self):
        return 1

    def isatty(self):
        return True

    def write(self, data):
        taken = bytes(data)[:5]  # it takes no more at once than it likes
        self.shown += taken
        return len(taken)


def test_a_console_gets_text_and_not_bytes_of_a_file():
    console = Console()
    stream = streams._lasting(io.TextIOWrapper(io.BufferedWriter(console), encoding="utf-8"), 1)
    stream.write("I(X;T) ▁▂▃▄ log₂")
    stream.flush()
    assert console.shown.decode() == "I(X;T) ▁▂▃▄ log₂"
    assert stream.isatty()


def test_signals_that_a_system_lacks_are_not_asked_for():
    assert set(signals._KINDS) >= {2, 15}

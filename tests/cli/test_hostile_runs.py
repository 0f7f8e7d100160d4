"""Step files made to mislead, through every command that reads them or what came of them.

The long run: ``pytest -m slow tests/cli/test_hostile_runs.py -s`` prints the exit codes.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from tests.cli.hostile import REFUSED, here, through_every_command, told
from tests.runs.test_hostile import ACT, DATASETS, limited, mutated, rewrite_metadata
from tests.runs.test_run import write_run

__all__ = ["here"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch, probe):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    write_run(Path("s0"), probe, names=("fc1", "fc2"))
    assert set(through_every_command("s0").values()) <= {0, 1}
    Path("r.json").rename("good.json")
    if "matplotlib.figure" not in sys.modules:  # once, and not in every child
        told("plot", "good.json", "-f", "plane", "-q", "--report", "p.html", "-o", "figures")
    return tmp_path


@pytest.mark.parametrize("attack", DATASETS, ids=lambda attack: attack.__name__)
def test_every_command_refuses_or_leaves_the_step_out(folder, attack):
    """No command reads beyond the file: whoever opens the FIFO waits until the alarm."""
    os.mkfifo("secret")
    with h5py.File(Run(Path("s0")).step_file(7), "a") as file:
        del file[ACT]
        attack(file, folder / "secret")

    def commands():
        codes = through_every_command("s0")
        assert codes["verify"] == 3, codes
        assert codes["analyze"] == 3, codes
        # Results commands do not take a run for results.
        for command in (("check", "--require", "runs() > 0"), ("compare", "good.json"), ("plot",)):
            assert told(*command, "s0")[0] in REFUSED

    assert limited(commands, seconds=30) is None


NAMES = ["a/b", "..", "../../etc/passwd", "/abs", "x\ny", "\x1b[2J\x07", "[bold red]b[/]",
         "<img src=x onerror=alert(1)>", "::error::x", "\u202egnp.exe", "$\\frac{", "%s{0}",
         " ", "`|`", "é" * 300]  # fmt: skip

MARKUP = {"\x1b[2J\x07", "<img src=x onerror=alert(1)>", "../../etc/passwd", "$\\frac{"}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
def test_names_are_shown_as_text_and_stay_in_the_folder(folder, name):
    run = Run(Path("s0"))
    for step in run.steps:
        rewrite_metadata(run.step_file(step), lambda meta: meta["layers"][0].update(name=name))
    rewrite_manifest(run, run=name, group=name)
    before = sorted(entry.name for entry in folder.iterdir())

    def commands():
        codes = through_every_command("s0")
        assert set(codes.values()) <= {0, 1}, codes
        assert {row["layer"] for row in json.loads(Path("r.json").read_text())["rows"]} == {
            name,
            "fc2",
        }
        if name in MARKUP:
            told("plot", "r.json", "-f", "plane", "--dpi", "50", "-q", "--report", "p.html")
            page = Path("p.html").read_text()
            assert "<img src=x" not in page
            assert "\x1b" not in page
        told("export", "r.json", "--to", "csv", "-o", "t.csv")
        told("merge", "r.json", "good.json", "-o", "all.json")

    assert limited(commands, seconds=60) is None
    new = {entry.name for entry in folder.iterdir()} - set(before)
    assert new <= {"r.json", "j.xml", "m.md", "p.html", "t.csv", "all.json", "figures"}, new


def rewrite_manifest(source, **changes):
    path = source.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def fuzz(folder, count, first=0):
    """Put mutated runs through the commands; return how often each ended in which exit code."""
    run = Run(Path("s0"))
    pack(run, Path("s0.h5"))
    targets = [
        (run.step_file(7), "s0"),
        (run.step_file(7), "s0"),
        (run.path / "probe.h5", "s0"),
        (run.path / "manifest.json", "s0"),
        (Path("s0.h5"), "s0.h5"),
    ]
    tally = folder / "tally"
    tally.write_text("")

    def one(index):
        path, where = targets[index % len(targets)]
        data = path.read_bytes()
        path.write_bytes(mutated(data, np.random.default_rng(index)))
        try:
            codes = through_every_command(where)
            if Path("r.json").exists() and index % 20 == 0:
                figure = ("-f", "plane", "--dpi", "50", "-q", "-o", "figures")
                codes["plot"] = told("plot", "r.json", *figure)[0]
        finally:
            path.write_bytes(data)
        return codes

    for batch in range(first, first + count, 40):

        def some(batch=batch):
            for index in range(batch, min(batch + 40, first + count)):
                (folder / "last").write_text(str(index))
                found = one(index)
                with tally.open("a") as file:
                    file.write("".join(f"{key} {code}\n" for key, code in found.items()))

        assert limited(some, seconds=300) is None, (folder / "last").read_text()
    return Counter(tuple(line.rsplit(" ", 1)) for line in tally.read_text().splitlines())


def test_mutated_runs_end_in_a_documented_exit_code(folder):
    codes = fuzz(folder, 30)
    assert codes["analyze", "3"] > 5
    assert codes["analyze", "0"] > 0


@pytest.mark.slow
def test_thousands_of_mutated_runs_end_in_a_documented_exit_code(folder):
    codes = fuzz(folder, 2400, first=1000)
    for (command, code), count in sorted(codes.items()):
        print(f"{command:16} exit {code:>3}: {count:6,}")
    assert sum(count for (command, _), count in codes.items() if command == "analyze") == 2400

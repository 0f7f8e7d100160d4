"""The blocks of docs/arrays.md, as printed."""

import re
import shlex
from pathlib import Path

import infoplane
from tests.conftest import QUICK, infoplane_here

PAGE = (Path(__file__).parents[2] / "docs" / "arrays.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_blocks_run_in_the_order_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("infoplane.toml").write_text(QUICK)
    said = ""
    for language, text in BLOCKS:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)[1]
            Path(name).write_text(text)
        for line in text.splitlines() if language == "sh" else ():
            command, *arguments = shlex.split(line)
            if command == "python3":
                exec(compile(Path(arguments[0]).read_text(), arguments[0], "exec"), {})
                continue
            done = infoplane_here(*arguments)
            assert (command, done.code) == ("infoplane", 0), done.err
            said += done.out
    shown = next(text for language, text in BLOCKS if text.startswith("steps:"))
    assert shown in said
    assert infoplane.Run("runs/kept-s0").steps == (0, 50, 100, 150, 200)
    assert infoplane.Run("runs/written-s0").steps == (0, 10, 100)


def test_layouts_of_the_page_are_understood(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    Path("acts/run3/5").mkdir(parents=True)
    for step in (0, 7):
        np.savez(f"acts_{step}.npz", fc1=np.eye(4) + step)
    np.save("acts/run3/5/fc1.npy", np.eye(4))
    lines = [line for _, text in BLOCKS for line in text.splitlines() if "--layout" in line]
    found = []
    for line in lines:
        _, *arguments = shlex.split(line)
        files = sorted(map(str, Path().glob(arguments[1])))
        arguments[1:2] = files
        done = infoplane_here(*arguments, "--overwrite")
        assert done.code == 0, done.err
        found.append(infoplane.Run("runs/s0").steps)
    assert found == [(0, 7), (5,)]
